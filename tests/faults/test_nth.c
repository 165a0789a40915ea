/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fail the Nth allocation, submission and lane call of each operation, N = 1, 2, ... until a run
 * passes them all. Each time the operation reports the failure, undoes its steps, and the next one
 * works. See engine/base/fault.h. All of them take minutes: that is for VARVE_TEST_SOAK; otherwise
 * a seed chooses some of each operation, others each time.
 *
 * varve-test: timeout=300 options=nobarrier
 */
#include "test.h"

#include "engine/store/store.h"
#include "engine/walk/workers.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs_tree.h>
#include <sys/mman.h>
#include <unistd.h>

/* What fails: an errno that no operation gives by itself here. */
#define INJECTED (-ENOTRECOVERABLE)

/* More failures than any operation has calls: the loop would not end. */
#define NTH_MAX 500

/*
 * Without VARVE_TEST_SOAK, of so many places one is failed, and at least one of each kind and
 * operation.
 */
#define SAMPLED_OF 8

/* An operation to be failed. */
struct victim {
	const char *name;
	/* Makes what it needs; the layer it is about is "victim". */
	void (*prepare)(struct varve_store *store);
	/* Runs it. */
	int (*run)(struct varve_store *store, struct varve_failure *failure);
	/* Checks what is there after ERROR of it. */
	void (*check)(struct varve_store *store, const char *home, int error);
};

static const char *const point_names[FAULT_POINTS] = { "allocation", "submission", "lane call",
						       "quota step", "record step" };

/* The size of a layer that has one. */
static const char *const victim_size[] = { "size=8m", NULL };
static const char *const victim_group[] = { "group=job:64m", NULL };
static const char *const victim_labels[] = { "job=17", "role=web", NULL };
#define VICTIM_BYTES (8ull << 20)

/* ---- what is prepared ------------------------------------------------------------------------ */

static void prepare_nothing(struct varve_store *store)
{
}

static void prepare_parent(struct varve_store *store)
{
	test_create(store, "parent", NULL);
}

static void prepare_layer(struct varve_store *store)
{
	test_create(store, "parent", NULL);
	test_create(store, "victim", "parent");
}

static void prepare_nested(struct varve_store *store)
{
	char *path;

	prepare_layer(store);
	test_error(varve_layer_get_wait(store, "victim", NULL, &path, NULL), 0);
	test_subvolume_create(test_path("%s/a", path));
	test_subvolume_create(test_path("%s/a/b", path));
	test_subvolume_create(test_path("%s/c", path));
	free(path);
}

/* Let quota run in MODE, whatever ran before. */
static void prepare_mode(struct varve_store *store, enum varve_quota_mode mode)
{
	test_error(varve_quota_disable_wait(store, NULL), 0);
	if (mode != VARVE_QUOTA_OFF)
		test_error(varve_quota_enable_wait(store, mode, NULL), 0);
}

static void prepare_off(struct varve_store *store)
{
	prepare_mode(store, VARVE_QUOTA_OFF);
	test_create(store, "parent", NULL);
}

static void prepare_simple(struct varve_store *store)
{
	prepare_mode(store, test_quota_mode());
	test_create(store, "parent", NULL);
}

static void prepare_full(struct varve_store *store)
{
	prepare_mode(store, VARVE_QUOTA_FULL);
	test_create(store, "parent", NULL);
}

/* A layer in a group. */
static void prepare_grouped(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	prepare_simple(store);
	options.storage_options = victim_group;
	test_error(varve_layer_create_wait(store, "victim", &options, NULL), 0);
}

/* A layer with a record, and quota turned off and on since. */
static void prepare_unlimited(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	prepare_simple(store);
	options.storage_options = victim_size;
	test_error(varve_layer_create_wait(store, "victim", &options, NULL), 0);
	prepare_mode(store, test_quota_mode());
}

static void prepare_files(struct varve_store *store)
{
	char *path;

	prepare_layer(store);
	test_error(varve_layer_get_wait(store, "victim", NULL, &path, NULL), 0);
	test_make_tree(path, 2, 3, 1);
	free(path);
}

/* A layer with labels and a record. */
static void prepare_record(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	test_create(store, "parent", NULL);
	options.labels = victim_labels;
	options.record = "record";
	options.record_bytes = 6;
	test_error(varve_layer_create_wait(store, "victim", &options, NULL), 0);
}

/* ---- what is run ----------------------------------------------------------------------------- */

static int run_create(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_create_wait(store, "victim", NULL, failure);
}

static int run_snapshot(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.parent = "parent";
	return varve_layer_create_wait(store, "victim", &options, failure);
}

static int run_read_only(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.flags = VARVE_CREATE_READ_ONLY;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

static int run_batch(struct varve_store *store, struct varve_failure *failure)
{
	const char *const ids[] = { "victim", "victim-2", "victim-3" };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.parent = "parent";
	return varve_layer_create_batch_wait(store, ids, TEST_COUNT(ids), &options, NULL, failure);
}

static int run_labelled(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.parent = "parent";
	options.labels = victim_labels;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

static int run_label(struct varve_store *store, struct varve_failure *failure)
{
	static const char *const labels[] = { "job=18", NULL };
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;

	options.labels = labels;
	return varve_layer_label_wait(store, "victim", &options, NULL, failure);
}

static int run_record(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_record_wait(store, "victim", NULL, failure);
}

static int run_find(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	size_t count;

	options.labels = victim_labels;
	options.flags = VARVE_FIND_RECORDS;
	return varve_layer_find_wait(store, &options, NULL, NULL, &count, failure);
}

static int pass_over(struct varve_store *store, varve_request request, const char *id,
		     const struct varve_layer_record *record, void *data)
{
	return 0;
}

static int run_find_each(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;

	options.flags = VARVE_FIND_RECORDS;
	options.found = pass_over;
	return varve_layer_find_wait(store, &options, NULL, NULL, NULL, failure);
}

static int run_rename(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_rename_wait(store, "victim", "renamed", 0, failure);
}

/* A plain directory in a layer's place. */
static void prepare_plain(struct varve_store *store)
{
	char *plain = test_path("%s/subvolumes/victim", store->layout.home);

	test_create(store, "parent", NULL);
	/* One that failed has left it. */
	if (test_exists(plain))
		return;
	test_mkdir(plain);
	test_make_tree(plain, 2, 3, 1);
}

static int run_adopt(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_adopt_wait(store, "victim", 0, failure);
}

static int run_remove(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_remove_wait(store, "victim", 0, failure);
}

/* Of the victim and of its parent, the second of which waits for its slice. */
static int run_remove_background(struct varve_store *store, struct varve_failure *failure)
{
	const char *ids[] = { "victim", "parent" };

	return varve_layer_remove_batch_wait(store, ids, TEST_COUNT(ids), VARVE_REMOVE_BACKGROUND,
					     NULL, failure);
}

static int run_get(struct varve_store *store, struct varve_failure *failure)
{
	char *path = NULL;
	int r = varve_layer_get_wait(store, "victim", NULL, &path, failure);

	free(path);
	return r;
}

static int run_exists(struct varve_store *store, struct varve_failure *failure)
{
	bool exists = false;
	int r = varve_layer_exists_wait(store, "victim", &exists, failure);

	if (!r)
		ck_assert(exists);
	return r;
}

static int run_list(struct varve_store *store, struct varve_failure *failure)
{
	char **ids = NULL;
	size_t count = 0;
	int r = varve_layer_list_wait(store, &ids, &count, failure);

	if (!r)
		ck_assert_uint_eq(count, 2);
	free(ids);
	return r;
}

/* The way without the privilege to search trees. */
static int run_list_walk(struct varve_store *store, struct varve_failure *failure)
{
	int r;

	store->layout.privileged = false;
	r = run_list(store, failure);
	store->layout.privileged = true;
	return r;
}

static int run_remove_user(struct varve_store *store, struct varve_failure *failure)
{
	int r;

	store->layout.privileged = false;
	r = run_remove(store, failure);
	store->layout.privileged = true;
	return r;
}

static int run_info(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	int r = varve_layer_info_wait(store, "victim", &info, failure);

	if (!r)
		ck_assert_str_eq(info.parent, "parent");
	return r;
}

static int run_flush(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_flush_wait(store, "victim", 0, failure);
}

static int run_sync(struct varve_store *store, struct varve_failure *failure)
{
	return varve_sync_wait(store, VARVE_SYNC_CLEAN, failure);
}

static int run_sweep(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;

	return varve_sweep_wait(store, &report, failure);
}

static int run_status(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_status_entry *entries = NULL;
	size_t count = 0;
	int r = varve_status_wait(store, &entries, &count, failure);

	free(entries);
	return r;
}

static int run_check(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_finding *findings = NULL;
	size_t count = 0;
	int r = varve_check_wait(store, &findings, &count, failure);

	free(findings);
	return r;
}

static int run_noop(struct varve_store *store, struct varve_failure *failure)
{
	return varve_noop_wait(store, failure);
}

/* Create the victim with a size, from PARENT. */
static int run_limited(struct varve_store *store, const char *parent, uint64_t flags,
		       struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.parent = parent;
	options.flags = flags;
	options.storage_options = victim_size;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

static int run_limited_base(struct varve_store *store, struct varve_failure *failure)
{
	return run_limited(store, NULL, 0, failure);
}

static int run_limited_snapshot(struct varve_store *store, struct varve_failure *failure)
{
	return run_limited(store, "parent", 0, failure);
}

static int run_limited_read_only(struct varve_store *store, struct varve_failure *failure)
{
	return run_limited(store, "parent", VARVE_CREATE_READ_ONLY, failure);
}

static int run_limit(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_limit_wait(store, "parent", VICTIM_BYTES, failure);
}

/* Create the victim as a member of a group. */
static int run_grouped(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.parent = "parent";
	options.storage_options = victim_group;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

static int run_limit_group(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_limit_group_wait(store, "job", VICTIM_BYTES, failure);
}

static int run_quota_status(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_quota quota = VARVE_QUOTA_INIT;

	return varve_quota_status_wait(store, &quota, failure);
}

static int run_quota_gc(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_gc_wait(store, NULL, failure);
}

static int run_enable(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_enable_wait(store, test_quota_mode(), failure);
}

static int run_disable(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_disable_wait(store, failure);
}

static int run_rescan(struct varve_store *store, struct varve_failure *failure)
{
	return varve_quota_rescan_wait(store, VARVE_QUOTA_WAIT, failure);
}

/* Measure as if all came from a disk, or by a search. */
static int run_usage(struct varve_store *store, uint64_t flags, struct varve_failure *failure)
{
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;

	workers_set_slow(store, 0);
	return varve_layer_usage_wait(store, "victim", flags, &usage, failure);
}

static int run_usage_walk(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_WALK, failure);
}

static int run_usage_search(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_SEARCH, failure);
}

static int run_delta_walk(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_DELTA | VARVE_USAGE_WALK, failure);
}

static int run_delta_search(struct varve_store *store, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_DELTA | VARVE_USAGE_SEARCH, failure);
}

static const struct varve_id_map run_map = { 0, 100000, 65536 };

static int run_chown(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;

	options.uid_to = &run_map;
	options.uid_to_count = 1;
	return varve_layer_chown_wait(store, "victim", &options, failure);
}

static int run_shifted(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	shift.uid_to = &run_map;
	shift.uid_to_count = 1;
	options.parent = "parent";
	options.chown = &shift;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

/* The victim differs from its parent. */
static void prepare_changed(struct varve_store *store)
{
	char *path;

	prepare_layer(store);
	test_error(varve_layer_get_wait(store, "victim", NULL, &path, NULL), 0);
	test_make_tree(path, 1, 3, 10);
	free(path);
}

/* The victim has a file of its parent's that was written over, and others. */
static void prepare_rewritten(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char *path;

	options.parent = "parent";
	test_create(store, "parent", NULL);
	test_error(varve_layer_get_wait(store, "parent", NULL, &path, NULL), 0);
	test_make_tree(path, 1, 3, 10000);
	free(path);
	test_error(varve_layer_create_wait(store, "victim", &options, NULL), 0);
	test_error(varve_layer_get_wait(store, "victim", NULL, &path, NULL), 0);
	test_write(test_path("%s/dir-0/file-0", path), "text");
	test_make_tree(test_path("%s/dir-0", path), 1, 1, 10);
	free(path);
}

static int run_changes(struct varve_store *store, uint64_t flags, struct varve_failure *failure)
{
	struct varve_change *changes = NULL;
	size_t count = 0;
	int r = varve_layer_changes_wait(store, "victim", TEST_CHANGES(NULL, flags), &changes,
					 &count, failure);

	if (!r)
		ck_assert_uint_eq(count, 4);
	free(changes);
	return r;
}

static int run_changes_search(struct varve_store *store, struct varve_failure *failure)
{
	return run_changes(store, 0, failure);
}

static int run_changes_walk(struct varve_store *store, struct varve_failure *failure)
{
	return run_changes(store, VARVE_CHANGES_WALK, failure);
}

static int run_diff_size(struct varve_store *store, struct varve_failure *failure)
{
	uint64_t bytes = 0;
	int r = varve_layer_diff_size_wait(store, "victim", NULL, &bytes, failure);

	if (!r)
		ck_assert_uint_eq(bytes, 30);
	return r;
}

/* Write the victim's archive into a file of its own, which is to be closed. */
static int run_diff_to(struct varve_store *store, struct varve_failure *failure, int *ret_fd)
{
	uint64_t skipped = 0;
	int fd = memfd_create("archive", MFD_CLOEXEC), r;

	ck_assert_int_ge(fd, 0);
	r = varve_layer_diff_wait(store, "victim", NULL, fd, NULL, &skipped, failure);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	*ret_fd = fd;
	return r;
}

static int run_diff(struct varve_store *store, struct varve_failure *failure)
{
	int fd, r = run_diff_to(store, failure, &fd);

	close(fd);
	return r;
}

/* A sink that takes all. */
static int take_all(struct varve_store *store, varve_request request, const void *bytes,
		    size_t size, void *data)
{
	return 0;
}

static int run_diff_sink(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;

	options.flags = VARVE_DIGESTS;
	options.compress = VARVE_COMPRESS_GZIP;
	options.sink = take_all;
	return varve_layer_diff_wait(store, "victim", &options, VARVE_STREAM, NULL, NULL, failure);
}

/* An archive of the victim, which is then removed. */
static int archive_fd = -1;

static void prepare_archive(struct varve_store *store)
{
	struct varve_failure failure;

	close(archive_fd);
	prepare_changed(store);
	test_ok(run_diff_to(store, &failure, &archive_fd), &failure);
	test_remove_layer(store, "victim");
}

/* The same archive, larger than what is decompressed at once, by gzip. */
static void prepare_compressed(struct varve_store *store)
{
	struct varve_failure failure;
	char *tar = test_path("%s.tar", test_home()), *path;
	const char *const gzip[] = { "gzip", tar, NULL };
	int fd = open(tar, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	close(archive_fd);
	prepare_layer(store);
	test_error(varve_layer_get_wait(store, "victim", NULL, &path, NULL), 0);
	test_make_tree(path, 1, 3, STREAM_CHUNK_BYTES);
	free(path);
	test_ok(varve_layer_diff_wait(store, "victim", NULL, fd, NULL, NULL, &failure), &failure);
	close(fd);
	ck_assert_int_eq(test_command(gzip), 0);
	archive_fd = open(test_path("%s.gz", tar), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
	test_remove_layer(store, "victim");
}

static void prepare_apply(struct varve_store *store)
{
	prepare_archive(store);
	test_create(store, "victim", "parent");
}

static int run_apply(struct varve_store *store, struct varve_failure *failure)
{
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	return varve_layer_apply_wait(store, "victim", NULL, archive_fd, NULL, NULL, failure);
}

static int run_create_apply(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;

	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	options.parent = "parent";
	options.apply = &apply;
	options.apply_fd = archive_fd;
	apply.flags = VARVE_DIGESTS;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

/* Write what is left of the archive; a request that has failed wants no more. */
static void write_archive(struct varve_store *store, varve_request request, size_t room, void *data)
{
	char bytes[4096];
	ssize_t length;
	size_t taken;

	while ((length = read(archive_fd, bytes, sizeof(bytes))) > 0)
		if (varve_stream_write(store, request, bytes, (size_t)length, &taken) ||
		    taken != (size_t)length)
			return;
	varve_stream_end(store, request, 0);
}

static int run_create_written(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;

	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	apply.room = write_archive;
	options.parent = "parent";
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	return varve_layer_create_wait(store, "victim", &options, failure);
}

/* ---- what is checked ------------------------------------------------------------------------- */

/* A create leaves the layer or nothing. */
static void check_create(struct varve_store *store, const char *home, int error)
{
	ck_assert(test_layer_exists(home, "victim") == !error);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Of a batch each is there or not; nothing is left besides. */
static void check_batch(struct varve_store *store, const char *home, int error)
{
	if (!error)
		ck_assert_int_eq(test_layers(home), 4);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* A remove of one subvolume leaves the layer, or nothing. */
static void check_remove(struct varve_store *store, const char *home, int error)
{
	if (!error)
		ck_assert(!test_layer_exists(home, "victim"));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Each of two removals in the background ends, and no other waits for one that has failed. */
static void check_remove_background(struct varve_store *store, const char *home, int error)
{
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;

	if (!error)
		ck_assert_int_eq(test_layers(home), 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.background_waiting, 0);
}

/* A remove of several leaves the layer, or a leftover that is out of sight. */
static void check_nested(struct varve_store *store, const char *home, int error)
{
	if (!error)
		check_remove(store, home, 0);
	else
		ck_assert_int_le(test_layer_exists(home, "victim") + (test_leftovers(home) != 0),
				 1);
}

/*
 * A layer with a size has its record and its limit, or is not there; and then its record is not,
 * either.
 */
static void check_limited(struct varve_store *store, const char *home, int error)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;

	check_create(store, home, error);
	ck_assert_int_eq(test_exists(test_path("%s/quotas/victim", home)), !error);
	if (error)
		return;
	test_error(varve_layer_info_wait(store, "victim", &info, NULL), 0);
	ck_assert_uint_eq(info.quota_limit, VICTIM_BYTES);
}

/* A get that succeeds has seen to the limit. */
static void check_get_limited(struct varve_store *store, const char *home, int error)
{
	if (!error)
		check_limited(store, home, 0);
}

/*
 * The directory is a layer, or as it was; only where that failed which removes it is anything left.
 */
static void check_adopt(struct varve_store *store, const char *home, int error)
{
	char *path = test_path("%s/subvolumes/victim", home);
	struct stat stat;

	ck_assert_int_eq(test_entries(path), 2);
	ck_assert_int_eq(test_entries(test_path("%s/dir-1", path)), 3);
	ck_assert_int_eq(lstat(path, &stat), 0);
	if (!error)
		ck_assert_uint_eq(stat.st_ino, BTRFS_FIRST_FREE_OBJECTID);
	ck_assert_int_le(test_layers(home),
			 2 + (error && stat.st_ino == BTRFS_FIRST_FREE_OBJECTID));
}

/* A layer has one of the names, and its record the same. */
static void check_rename(struct varve_store *store, const char *home, int error)
{
	const char *there = error ? "victim" : "renamed", *gone = error ? "renamed" : "victim";

	ck_assert(test_layer_exists(home, there));
	ck_assert(!test_layer_exists(home, gone));
	ck_assert(test_exists(test_path("%s/quotas/%s", home, there)));
	/* A record without a layer means nothing, and goes with the sweep. */
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	ck_assert(!test_exists(test_path("%s/quotas/%s", home, gone)));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* How many labels layer ID has; -1: it is not there. */
static int labels_count(struct varve_store *store, const char *id)
{
	struct varve_layer_record *record;
	int r = varve_layer_record_wait(store, id, &record, NULL), count;

	if (r == -ENOENT)
		return -1;
	test_error(r, 0);
	count = (int)record->labels_count;
	free(record);
	return count;
}

/* A layer is there with its labels, or is not there; no record of another is left by a sweep. */
static void check_labelled(struct varve_store *store, const char *home, int error)
{
	int layers = 0, records;

	for (int i = 0; i < 2; i++) {
		int count = labels_count(store, i ? "renamed" : "victim");

		ck_assert_msg(count == 2 || count < 0, "%d labels", count);
		layers += count > 0;
	}
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	records = test_entries(test_path("%s/.varve/layers", home));
	/* Before the first one there is no such directory. */
	ck_assert_int_eq(records < 0 ? 0 : records, layers);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* The same, and a create that failed has left nothing. */
static void check_create_labelled(struct varve_store *store, const char *home, int error)
{
	check_create(store, home, error);
	check_labelled(store, home, error);
}

/* The others change nothing. */
static void check_same(struct varve_store *store, const char *home, int error)
{
	ck_assert_uint_eq(test_leftovers(home), 0);
}

static const struct victim victims[] = {
	{ "noop", prepare_nothing, run_noop, check_same },
	{ "create", prepare_nothing, run_create, check_create },
	{ "create snapshot", prepare_parent, run_snapshot, check_create },
	{ "create read-only", prepare_nothing, run_read_only, check_create },
	{ "create batch", prepare_parent, run_batch, check_batch },
	{ "remove", prepare_layer, run_remove, check_remove },
	{ "remove in the background", prepare_layer, run_remove_background,
	  check_remove_background },
	{ "remove nested", prepare_nested, run_remove, check_nested },
	{ "remove nested, unprivileged", prepare_nested, run_remove_user, check_nested },
	{ "get", prepare_layer, run_get, check_same },
	{ "exists", prepare_layer, run_exists, check_same },
	{ "list", prepare_layer, run_list, check_same },
	{ "list, unprivileged", prepare_layer, run_list_walk, check_same },
	{ "info", prepare_layer, run_info, check_same },
	{ "sync", prepare_nothing, run_sync, check_same },
	{ "flush", prepare_layer, run_flush, check_same },
	{ "sweep", prepare_nothing, run_sweep, check_same },
	{ "status", prepare_nothing, run_status, check_same },
	{ "check", prepare_nothing, run_check, check_same },
	{ "usage by walk", prepare_files, run_usage_walk, check_same },
	{ "usage by search", prepare_files, run_usage_search, check_same },
	{ "chown", prepare_files, run_chown, check_same },
	{ "adopt", prepare_plain, run_adopt, check_adopt },
	{ "create shifted", prepare_parent, run_shifted, check_create },
};

/* Those that are about labels and records. */
static const struct victim record_victims[] = {
	{ "create labelled", prepare_parent, run_labelled, check_create_labelled },
	{ "label", prepare_record, run_label, check_labelled },
	{ "rename labelled", prepare_record, run_rename, check_labelled },
	{ "remove labelled", prepare_record, run_remove, check_labelled },
	{ "record", prepare_record, run_record, check_labelled },
	{ "find", prepare_record, run_find, check_labelled },
	{ "find, each", prepare_record, run_find_each, check_labelled },
};

/* Those that look into layers. */
static const struct victim content_victims[] = {
	{ "changes", prepare_changed, run_changes_search, check_same },
	{ "delta by walk", prepare_rewritten, run_delta_walk, check_same },
	{ "delta by search", prepare_rewritten, run_delta_search, check_same },
	{ "changes, walked", prepare_changed, run_changes_walk, check_same },
	{ "diff size", prepare_changed, run_diff_size, check_same },
	{ "diff", prepare_changed, run_diff, check_same },
	{ "apply", prepare_apply, run_apply, check_same },
	{ "create from an archive", prepare_archive, run_create_apply, check_create },
	{ "create from a compressed archive", prepare_compressed, run_create_apply, check_create },
	{ "diff to a sink", prepare_changed, run_diff_sink, check_same },
	{ "create from what is written", prepare_archive, run_create_written, check_create },
};

/*
 * A group is there as long as it has a layer, at the latest after what was destroyed is dropped,
 * and gc.
 */
static void check_group(struct varve_store *store, const char *home, int error)
{
	test_error(varve_sync_wait(store, VARVE_SYNC_CLEAN, NULL), 0);
	test_error(varve_quota_gc_wait(store, NULL, NULL), 0);
	/* Before the first one there is no such directory. */
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)) > 0,
			 test_layer_exists(home, "victim"));
}

/* A layer that was to join a group is there or not. */
static void check_grouped(struct varve_store *store, const char *home, int error)
{
	check_create(store, home, error);
	check_group(store, home, error);
}

/* How many of the next are creates. */
#define QUOTA_CREATES 6

/*
 * Those that are about quota: turning it on and off takes commits, so only what is theirs is
 * failed.
 */
static const struct victim quota_victims[] = {
	{ "create limited, quota off", prepare_off, run_limited_base, check_limited },
	{ "create limited, simple", prepare_simple, run_limited_base, check_limited },
	{ "create limited snapshot, simple", prepare_simple, run_limited_snapshot, check_limited },
	{ "create limited snapshot, read-only", prepare_simple, run_limited_read_only,
	  check_limited },
	{ "create limited snapshot, full", prepare_full, run_limited_snapshot, check_limited },
	{ "create in a group, simple", prepare_simple, run_grouped, check_grouped },
	{ "get limited", prepare_unlimited, run_get, check_get_limited },
	{ "rename limited", prepare_unlimited, run_rename, check_rename },
	{ "remove limited", prepare_unlimited, run_remove, check_remove },
	{ "remove from a group", prepare_grouped, run_remove, check_group },
	{ "quota limit of a group", prepare_grouped, run_limit_group, check_group },
	{ "quota limit", prepare_simple, run_limit, check_same },
	{ "quota status", prepare_simple, run_quota_status, check_same },
	{ "quota gc", prepare_simple, run_quota_gc, check_same },
	{ "quota enable", prepare_off, run_enable, check_same },
	{ "quota disable", prepare_simple, run_disable, check_same },
	{ "quota rescan", prepare_full, run_rescan, check_same },
};

/* ---- the loop -------------------------------------------------------------------------------- */

/* Remove all layers of STORE. */
static void clear(struct varve_store *store)
{
	char **ids;
	size_t count;

	test_error(varve_layer_list_wait(store, &ids, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		test_remove_layer(store, ids[i]);
	free(ids);
}

/* Run VICTIM with its NTH pass of POINT failing; tell whether there was one. */
static bool fail_nth(const struct victim *victim, enum fault_point point, long nth, bool persistent)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	long hits;
	int r;

	victim->prepare(store);
	fault_arm(&store->core.io.fault, point, nth, INJECTED, persistent);
	r = victim->run(store, &failure);
	hits = atomic_load(&store->core.io.fault.hits);
	fault_arm(&store->core.io.fault, point, 0, 0, false);
	/* An allocation that fails is no memory; other points answer what was injected. */
	if (r)
		ck_assert_msg(hits && r == (point == FAULT_ALLOCATION ? -ENOMEM : INJECTED),
			      "%s: %s %ld: %s", victim->name, point_names[point], nth,
			      test_errno_name(r));
	if (r && failure.error)
		ck_assert_ptr_nonnull(failure.step);
	if (!persistent)
		victim->check(store, home, r);
	test_close(store);

	/* Whatever it left a new store sweeps away, and then it works. */
	store = test_open(home);
	ck_assert_uint_eq(test_leftovers(home), 0);
	clear(store);
	victim->prepare(store);
	test_error(victim->run(store, &failure), 0);
	test_close(store);
	return hits;
}

/* Fail every pass of POINT in VICTIM, one run each. */
static void fail_each(const struct victim *victim, enum fault_point point)
{
	long nth = 1;

	while (fail_nth(victim, point, nth, false))
		ck_assert_msg(++nth < NTH_MAX, "%s: no end of %ss", victim->name,
			      point_names[point]);
	/* Whatever an operation does, there is a request to allocate. */
	ck_assert_msg(nth > 1 || point != FAULT_ALLOCATION, "%s: no %s to fail", victim->name,
		      point_names[point]);
	for (long first = 1; first < nth; first++)
		fail_nth(victim, point, first, true);
}

/* Count the passes of POINT in a run of VICTIM in which nothing fails. */
static long count_passes(const struct victim *victim, enum fault_point point)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	long passed;

	victim->prepare(store);
	fault_arm(&store->core.io.fault, point, LONG_MAX, INJECTED, false);
	test_ok(victim->run(store, &failure), &failure);
	passed = atomic_load(&store->core.io.fault.passed[point]);
	fault_arm(&store->core.io.fault, point, 0, 0, false);
	test_close(store);
	return passed;
}

/* Fail some passes of POINT in VICTIM: which ones, the seed decides. */
static void fail_some(const struct victim *victim, enum fault_point point)
{
	uint64_t state = test_seed() ^ (uint64_t)point << 56;
	long count = count_passes(victim, point);

	for (const char *letter = victim->name; *letter; letter++)
		state = state * 31 + (unsigned char)*letter;
	ck_assert_msg(count || point != FAULT_ALLOCATION, "%s: no %s to fail", victim->name,
		      point_names[point]);
	for (long i = 0; i < (count + SAMPLED_OF - 1) / SAMPLED_OF; i++)
		fail_nth(victim, point, 1 + (long)(test_random(&state) % (uint64_t)count),
			 test_random(&state) & 1);
}

/* Fail passes of POINT in VICTIM. */
static void fail_all(const struct victim *victim, enum fault_point point)
{
	if (getenv("VARVE_TEST_SOAK"))
		fail_each(victim, point);
	else
		fail_some(victim, point);
}

/* Fail passes of POINT in every operation. */
static void fail_everywhere(enum fault_point point)
{
	for (size_t i = 0; i < TEST_COUNT(victims); i++)
		fail_all(&victims[i], point);
}

/*
 * Fail passes of POINT in every operation that is about quota, from the one at FIRST to that before
 * LAST.
 */
static void fail_quota(enum fault_point point, size_t first, size_t last)
{
	for (size_t i = first; i < last; i++)
		fail_all(&quota_victims[i], point);
}

/* Fail passes of POINT in the operations that look into layers. */
static void fail_content(enum fault_point point)
{
	for (size_t i = 0; i < TEST_COUNT(content_victims); i++)
		fail_all(&content_victims[i], point);
}

START_TEST(test_content_allocations)
{
	fail_content(FAULT_ALLOCATION);
}
END_TEST

START_TEST(test_content_submissions)
{
	fail_content(FAULT_SUBMISSION);
}
END_TEST

START_TEST(test_content_lane_calls)
{
	fail_content(FAULT_LANE);
}
END_TEST

START_TEST(test_allocations)
{
	fail_everywhere(FAULT_ALLOCATION);
}
END_TEST

START_TEST(test_submissions)
{
	fail_everywhere(FAULT_SUBMISSION);
}
END_TEST

START_TEST(test_lane_calls)
{
	fail_everywhere(FAULT_LANE);
}
END_TEST

START_TEST(test_records)
{
	static const enum fault_point points[] = { FAULT_RECORD, FAULT_ALLOCATION, FAULT_SUBMISSION,
						   FAULT_LANE };

	for (size_t i = 0; i < TEST_COUNT(points) * TEST_COUNT(record_victims); i++)
		fail_all(&record_victims[i / TEST_COUNT(points)], points[i % TEST_COUNT(points)]);
}
END_TEST

START_TEST(test_quota_creates)
{
	fail_quota(FAULT_QUOTA, 0, QUOTA_CREATES);
}
END_TEST

START_TEST(test_quota_others)
{
	fail_quota(FAULT_QUOTA, QUOTA_CREATES, TEST_COUNT(quota_victims));
}
END_TEST

START_TEST(test_quota_submissions)
{
	fail_quota(FAULT_SUBMISSION, 0, QUOTA_CREATES);
}
END_TEST

TEST_MAIN("nth", test_allocations, test_content_allocations, test_content_submissions,
	  test_content_lane_calls, test_records, test_submissions, test_lane_calls,
	  test_quota_creates, test_quota_others, test_quota_submissions)
