/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Nth system call of a kind fails, in each operation: with EIO, and where it can be with
 * EMFILE, ENFILE, ENOSPC or EINTR, alone or with all after it. Either the operation succeeds, and
 * then its result and what is there afterwards are exactly those of a run in which nothing failed;
 * or it tells the error with its step, and then what it undoes is undone. No descriptor is left,
 * and the same store goes on to do the same without a failure. A seed chooses some failures of each
 * operation, others in each run; all of them take far longer, and are for VARVE_TEST_SOAK.
 *
 * varve-test: timeout=300 options=nobarrier
 */
#include "calls.h"
#include "test.h"
#include "tree_text.h"

#include "engine/store/store.h"
#include "engine/walk/workers.h"

#include <limits.h>
#include <selinux/selinux.h>
#include <sys/sysmacros.h>

/*
 * Failures of each operation, without VARVE_TEST_SOAK; and with it at most of each kind of call and
 * errno.
 */
#define SAMPLES 4
#define SOAK_NTHS 40

/* Among the kinds of calls: what is handed to the ring or a lane. */
#define SUBMISSION CALL_NAMES

/* Entries of a directory from which on an archive is taken from the tree. */
#define MANY_ENTRIES 2100

/* What holds of an operation. */
enum {
	KEEPS = 1,   /* it changes nothing */
	ATOMIC = 2,  /* after a failure all is as before */
	REPEATS = 4, /* after a failure it can be done again */
};

struct victim {
	const char *name;
	int holds;
	/* Make what it needs in an empty store. */
	void (*prepare)(struct varve_store *store);
	/* Run it, and write what it tells to FILE. */
	int (*run)(struct varve_store *store, FILE *file, struct varve_failure *failure);
};

/* The archive that is applied; the store's home. */
static int archive_fd = -1;
static char *home;

/* Where SELinux is off: here it is on, and knows every label. */
int is_selinux_enabled(void)
{
	return 1;
}

int security_check_context(const char *context)
{
	return 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* Print the labels and the record of the victim. Returns the error. */
static int print_record(FILE *file, struct varve_store *store, struct varve_failure *failure)
{
	struct varve_layer_record *record = NULL;
	int r = varve_layer_record_wait(store, "victim", &record, failure);
	for (size_t i = 0; !r && i < record->labels_count; i++)
		fprintf(file, "label=%s\n", record->labels[i]);
	if (!r)
		fprintf(file, "record=%.*s\n", (int)record->bytes_count,
			record->bytes ? (const char *)record->bytes : "");
	free(record);
	return r;
}

/*
 * Print what the store has: layers, and the records of the victim and its group. Those of a layer
 * that is gone are left to gc.
 */
static void print_store(FILE *file, struct varve_store *store)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	char *record = test_path("%s/quotas/victim", home),
	     *groups = test_path("%s/.varve/groups", home);
	print_tree(file, test_path("%s/subvolumes", home), "subvolumes");
	if (test_layer_exists(home, "victim") && test_exists(record))
		print_tree(file, record, "record");
	if (test_layer_exists(home, "victim") && test_entries(groups) > 0)
		print_tree(file, groups, "groups");
	print_record(file, store, NULL);
	if (!varve_layer_info_wait(store, "victim", &info, NULL))
		fprintf(file, "parent=%s flags=%llx limit=%llu\n", info.parent,
			(unsigned long long)info.flags, (unsigned long long)info.quota_limit);
}

/* The same as a text, to be freed. */
static char *store_text(struct varve_store *store)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	print_store(file, store);
	fclose(file);
	return text;
}

/* ---- what is prepared ------------------------------------------------------------------------ */

static const char *const size_option[] = { "size=8m", NULL };
static const char *const group_option[] = { "group=job:64m", NULL };
static const char *const labels[] = { "job=17", "role=web", NULL };
static const struct varve_id_map map = { 0, 100000, 65536 };

static void prepare_nothing(struct varve_store *store)
{
}

/* Fill "parent" and change some of it in "victim". */
static void prepare_changed(struct varve_store *store)
{
	static char block[8192] = "content";
	char *path = test_layer(home, "parent");
	test_create(store, "parent", NULL);
	test_make_tree(path, 2, 2, 10);
	test_write(test_path("%s/gone", path), "gone");
	test_write(test_path("%s/changed", path), "old");
	test_mkdir(test_path("%s/dir", path));
	test_write(test_path("%s/dir/below", path), "below");
	test_create(store, "victim", "parent");
	path = test_layer(home, "victim");
	test_remove(test_path("%s/gone", path));
	test_write(test_path("%s/changed", path), "new");
	test_write(test_path("%s/dir/new", path), "");
	ck_assert_int_eq(link(test_path("%s/dir/new", path), test_path("%s/dir/name", path)), 0);
	ck_assert_int_eq(symlink("dir/new", test_path("%s/link", path)), 0);
	ck_assert_int_eq(mkfifo(test_path("%s/fifo", path), 0640), 0);
	ck_assert_int_eq(mknod(test_path("%s/null", path), S_IFCHR | 0600, makedev(1, 3)), 0);
	ck_assert_int_eq(setxattr(test_path("%s/dir/new", path), "user.key", "value", 5, 0), 0);
	ck_assert_int_eq(chmod(test_path("%s/changed", path), 04755), 0);
	ck_assert_int_eq(setxattr(test_path("%s/dir", path), "user.dir", "value", 5, 0), 0);
	int fd = open(test_path("%s/holes", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), 1 << 20), sizeof(block));
	ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
	close(fd);
}

/* A directory that an archive takes from the tree. */
static void prepare_many(struct varve_store *store)
{
	prepare_changed(store);
	char *path = test_path("%s/many", test_layer(home, "victim"));
	test_mkdir(path);
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < MANY_ENTRIES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		ck_assert_int_eq(write(fd, name, strlen(name)), (ssize_t)strlen(name));
		close(fd);
	}
	close(directory);
}

static void prepare_parent(struct varve_store *store)
{
	prepare_changed(store);
	test_remove_layer(store, "victim");
}

static void prepare_nested(struct varve_store *store)
{
	char *path = test_layer(home, "victim");
	test_create(store, "victim", NULL);
	test_subvolume_create(test_path("%s/a", path));
	test_subvolume_create(test_path("%s/a/b", path));
	test_subvolume_create(test_path("%s/c", path));
	test_make_tree(test_path("%s/a/b", path), 1, 2, 10);
}

/* Quota runs. */
static void prepare_quota(struct varve_store *store)
{
	test_error(varve_quota_enable_wait(store, test_quota_mode(), NULL), 0);
	prepare_parent(store);
}

static void prepare_limited(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	prepare_quota(store);
	options.storage_options = size_option;
	test_ok(varve_layer_create_wait(store, "victim", &options, &failure), &failure);
}

static void prepare_grouped(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	prepare_quota(store);
	options.storage_options = group_option;
	test_ok(varve_layer_create_wait(store, "victim", &options, &failure), &failure);
}

/* A layer with labels, and a record of more than one attribute. */
static void prepare_record(struct varve_store *store)
{
	static char bytes[20000] = "record";
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	options.labels = labels;
	options.record = bytes;
	options.record_bytes = sizeof(bytes);
	test_create(store, "parent", NULL);
	test_ok(varve_layer_create_wait(store, "victim", &options, &failure), &failure);
}

/* Make the directory NAME of the store, unless it is there. */
static void make_place(const char *name)
{
	if (!test_exists(test_path("%s/%s", home, name)))
		test_mkdir(test_path("%s/%s", home, name));
}

/* A record of a layer that is not there. */
static void prepare_gc(struct varve_store *store)
{
	prepare_grouped(store);
	test_subvolume_destroy(test_layer(home, "victim"));
	make_place("quotas");
	test_write(test_path("%s/quotas/old", home), "8388608\n");
}

/* What crashed processes leave. */
static void prepare_leftovers(struct varve_store *store)
{
	test_create(store, "parent", NULL);
	make_place(".varve");
	make_place(".varve/staging");
	make_place(".varve/trash");
	make_place(".varve/staging/1-1-1");
	test_subvolume_create(test_path("%s/.varve/staging/1-1-1/x", home));
	test_subvolume_create(test_path("%s/.varve/trash/y", home));
	test_subvolume_create(test_path("%s/.varve/trash/y/z", home));
}

/* ---- what is run ----------------------------------------------------------------------------- */

static int run_noop(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_noop_wait(store, failure);
}

static int run_list(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	char **ids = NULL;
	size_t count = 0;
	int r = varve_layer_list_wait(store, &ids, &count, failure);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%s\n", ids[i]);
	free(ids);
	return r;
}

/* Run RUN without the privilege to search trees. */
static int run_as_user(int (*run)(struct varve_store *, FILE *, struct varve_failure *),
		       struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	store->layout.privileged = false;
	int r = run(store, file, failure);
	store->layout.privileged = true;
	return r;
}

static int run_list_user(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_as_user(run_list, store, file, failure);
}

static int print_found(struct varve_store *store, varve_request request, const char *id,
		       const struct varve_layer_record *record, void *file)
{
	return fprintf(file, "%s %zu\n", id, record ? record->bytes_count : 0) < 0 ? -EIO : 0;
}

static int run_find(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	options.flags = VARVE_FIND_RECORDS;
	options.found = print_found;
	options.found_data = file;
	return varve_layer_find_wait(store, &options, NULL, NULL, NULL, failure);
}

static int run_find_user(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_as_user(run_find, store, file, failure);
}

static int run_record(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return print_record(file, store, failure);
}

static int run_get(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	char *path = NULL;
	int r = varve_layer_get_wait(store, "victim", NULL, &path, failure);
	fprintf(file, "%s\n", path ? path : "");
	free(path);
	return r;
}

static int run_exists(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	bool exists = false, other = true;
	int r = varve_layer_exists_wait(store, "victim", &exists, failure);
	if (!r)
		r = varve_layer_exists_wait(store, "other", &other, failure);
	fprintf(file, "%d %d\n", exists, other);
	return r;
}

static int run_open_layer(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	int fd = -1, r = varve_layer_open_wait(store, "victim", 0, &fd, failure);
	fprintf(file, "%d\n", fd >= 0);
	if (fd >= 0)
		close(fd);
	return r;
}

static int run_info(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	int r = varve_layer_info_wait(store, "victim", &info, failure);
	fprintf(file, "%s %s %llu %llu %llx %llu\n", info.id, info.parent,
		(unsigned long long)info.subvolume_id, (unsigned long long)info.generation,
		(unsigned long long)info.flags, (unsigned long long)info.quota_limit);
	return r;
}

static int run_status(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_status_entry *entries = NULL;
	size_t count = 0;
	int r = varve_status_wait(store, &entries, &count, failure);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%s\n", entries[i].key);
	free(entries);
	return r;
}

static int run_usage(struct varve_store *store, uint64_t flags, FILE *file,
		     struct varve_failure *failure)
{
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	workers_set_slow(store, 0);
	int r = varve_layer_usage_wait(store, "victim", flags, &usage, failure);
	fprintf(file, "%llu %llu %llx\n", (unsigned long long)usage.bytes,
		(unsigned long long)usage.inodes, (unsigned long long)usage.flags);
	return r;
}

static int run_usage_walk(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_WALK, file, failure);
}

static int run_usage_search(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_SEARCH, file, failure);
}

static int run_delta_walk(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_DELTA | VARVE_USAGE_WALK, file, failure);
}

static int run_delta_search(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_usage(store, VARVE_USAGE_DELTA | VARVE_USAGE_SEARCH, file, failure);
}

static int run_changes_with(struct varve_store *store, const char *parent, uint64_t flags,
			    FILE *file, struct varve_failure *failure)
{
	struct varve_change *changes = NULL;
	size_t count = 0;
	int r = varve_layer_changes_wait(store, "victim", TEST_CHANGES(parent, flags), &changes,
					 &count, failure);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%d %s\n", (int)changes[i].kind, changes[i].path);
	free(changes);
	return r;
}

static int run_changes(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_changes_with(store, NULL, 0, file, failure);
}

static int run_changes_walk(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_changes_with(store, NULL, VARVE_CHANGES_WALK, file, failure);
}

static int run_changes_user(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_as_user(run_changes, store, file, failure);
}

static int run_diff_size(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	uint64_t bytes = 0;
	int r = varve_layer_diff_size_wait(store, "victim", NULL, &bytes, failure);
	fprintf(file, "%llu\n", (unsigned long long)bytes);
	return r;
}

/* Write the victim's archive to FD. */
static int diff_to(struct varve_store *store, int fd, const char *parent, uint64_t flags,
		   uint64_t *ret_skipped, struct varve_failure *failure)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	options.parent = parent;
	options.flags = flags;
	return varve_layer_diff_wait(store, "victim", &options, fd, NULL, ret_skipped, failure);
}

static int run_diff_with(struct varve_store *store, const char *parent, uint64_t flags, FILE *file,
			 struct varve_failure *failure)
{
	uint64_t skipped = 0;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	int r = diff_to(store, fd, parent, flags, &skipped, failure);
	fprintf(file, "skipped %llu", (unsigned long long)skipped);
	print_content(file, test_path("/proc/self/fd/%d", fd));
	close(fd);
	return r;
}

static int run_diff(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_diff_with(store, NULL, 0, file, failure);
}

static int run_diff_walk(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_diff_with(store, NULL, VARVE_CHANGES_WALK, file, failure);
}

static int run_diff_whole(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_diff_with(store, "", 0, file, failure);
}

static int run_diff_whole_walk(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_diff_with(store, "", VARVE_CHANGES_WALK, file, failure);
}

static int take(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		void *data)
{
	*(uint64_t *)data = *(uint64_t *)data * 31 + size;
	return 0;
}

static int run_diff_sink(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	uint64_t sum = 0, bytes = 0, skipped = 0;
	options.sink = take;
	options.sink_data = &sum;
	int r = varve_layer_diff_wait(store, "victim", &options, VARVE_STREAM, &bytes, &skipped,
				      failure);
	fprintf(file, "%llu %llu\n", (unsigned long long)bytes, (unsigned long long)skipped);
	return r;
}

static int run_flush(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_layer_flush_wait(store, "victim", 0, failure);
}

static int run_sync(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_sync_wait(store, VARVE_SYNC_CLEAN, failure);
}

static int run_sweep(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	/*
	 * How much is left is not compared: a leftover whose owner cannot be looked at is, so far,
	 * passed over without a word.
	 */
	return varve_sweep_wait(store, &report, failure);
}

static int run_quota_status(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_quota quota = VARVE_QUOTA_INIT;
	int r = varve_quota_status_wait(store, &quota, failure);
	fprintf(file, "%d\n", (int)quota.mode);
	return r;
}

static int run_quota_gc(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_quota_gc_wait(store, NULL, failure);
}

/* Create the victim from PARENT with OPTIONS. */
static int run_create_with(struct varve_store *store, const char *parent,
			   struct varve_create_options *options, struct varve_failure *failure)
{
	options->parent = parent;
	return varve_layer_create_wait(store, "victim", options, failure);
}

static int run_create(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	return run_create_with(store, NULL, &options, failure);
}

static int run_snapshot(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	return run_create_with(store, "parent", &options, failure);
}

static int run_batch(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	const char *const ids[] = { "victim", "victim-2", "victim-3" };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "parent";
	int r = varve_layer_create_batch_wait(store, ids, TEST_COUNT(ids), &options, NULL, failure);
	for (size_t i = 0; r && i < TEST_COUNT(ids); i++)
		if (test_layer_exists(home, ids[i]))
			varve_layer_remove_wait(store, ids[i], 0, NULL);
	return r;
}

static int run_read_only(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.flags = VARVE_CREATE_READ_ONLY;
	return run_create_with(store, NULL, &options, failure);
}

static int run_shifted(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	shift.uid_to = &map;
	shift.uid_to_count = 1;
	options.chown = &shift;
	return run_create_with(store, "parent", &options, failure);
}

static int run_labelled(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.label = "u:r:t:s0";
	return run_create_with(store, "parent", &options, failure);
}

static int run_limited(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.storage_options = size_option;
	return run_create_with(store, "parent", &options, failure);
}

/* Labels and a record that are there from the beginning. */
static int run_recorded(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.labels = labels;
	options.record = "record";
	options.record_bytes = 6;
	return run_create_with(store, "parent", &options, failure);
}

static int run_label(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	options.labels = (const char *const[]){ "job=18", NULL };
	options.deleted = (const char *const[]){ "role", NULL };
	return varve_layer_label_wait(store, "victim", &options, NULL, failure);
}

static int run_grouped(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.storage_options = group_option;
	return run_create_with(store, "parent", &options, failure);
}

/* An archive of the victim, which is then removed. */
static void prepare_archive(struct varve_store *store)
{
	struct varve_failure failure = { 0 };
	uint64_t skipped;
	prepare_changed(store);
	if (archive_fd >= 0)
		close(archive_fd);
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	test_ok(diff_to(store, archive_fd, NULL, 0, &skipped, &failure), &failure);
	test_remove_layer(store, "victim");
}

static void prepare_apply(struct varve_store *store)
{
	prepare_archive(store);
	test_create(store, "victim", "parent");
}

static int run_apply(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	uint64_t bytes = 0, skipped = 0;
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	int r = varve_layer_apply_wait(store, "victim", NULL, archive_fd, &bytes, &skipped,
				       failure);
	fprintf(file, "%llu %llu\n", (unsigned long long)bytes, (unsigned long long)skipped);
	return r;
}

static int run_create_apply(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	options.apply = &apply;
	options.apply_fd = archive_fd;
	return run_create_with(store, "parent", &options, failure);
}

static int run_remove(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_layer_remove_wait(store, "victim", 0, failure);
}

static int run_remove_background(struct varve_store *store, FILE *file,
				 struct varve_failure *failure)
{
	return varve_layer_remove_wait(store, "victim", VARVE_REMOVE_BACKGROUND, failure);
}

static int run_remove_user(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return run_as_user(run_remove, store, file, failure);
}

static int run_chown(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	options.uid_to = &map;
	options.uid_to_count = 1;
	return varve_layer_chown_wait(store, "victim", &options, failure);
}

static int run_relabel(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_layer_relabel_wait(store, "victim", "u:r:t:s0", 0, failure);
}

static int run_limit(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_quota_limit_wait(store, "victim", 16 << 20, failure);
}

static int run_limit_group(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	return varve_quota_limit_group_wait(store, "job", 16 << 20, failure);
}

/* Open a second store there, whose opening and closing is what fails. */
static int run_open(struct varve_store *store, FILE *file, struct varve_failure *failure)
{
	struct varve_config config = test_config(home);
	struct varve_store *other = NULL;
	bool exists = false;
	calls_own(true);
	int r = varve_open(&config, &other, failure);
	if (!r)
		r = varve_layer_exists_wait(other, "victim", &exists, failure);
	if (other)
		test_error(varve_close(other), 0);
	calls_own(false);
	fprintf(file, "%d\n", exists);
	return r;
}

static const struct victim readers[] = {
	{ "noop", KEEPS, prepare_nothing, run_noop },
	{ "list", KEEPS, prepare_changed, run_list },
	{ "list, unprivileged", KEEPS, prepare_changed, run_list_user },
	{ "find", KEEPS, prepare_record, run_find },
	{ "find, unprivileged", KEEPS, prepare_record, run_find_user },
	{ "record", KEEPS, prepare_record, run_record },
	{ "get", KEEPS, prepare_changed, run_get },
	{ "get limited", KEEPS, prepare_limited, run_get },
	{ "exists", KEEPS, prepare_changed, run_exists },
	{ "open layer", KEEPS, prepare_changed, run_open_layer },
	{ "info", KEEPS, prepare_changed, run_info },
	{ "info limited", KEEPS, prepare_limited, run_info },
	{ "status", KEEPS, prepare_changed, run_status },
	{ "usage by walk", KEEPS, prepare_changed, run_usage_walk },
	{ "usage by search", KEEPS, prepare_changed, run_usage_search },
	{ "delta by walk", KEEPS, prepare_changed, run_delta_walk },
	{ "delta by search", KEEPS, prepare_changed, run_delta_search },
	{ "quota status", KEEPS, prepare_limited, run_quota_status },
	{ "sync", KEEPS, prepare_changed, run_sync },
	{ "flush", KEEPS, prepare_changed, run_flush },
	{ "open and close", KEEPS, prepare_changed, run_open },
};

static const struct victim archivers[] = {
	{ "changes", KEEPS, prepare_changed, run_changes },
	{ "changes, walked", KEEPS, prepare_changed, run_changes_walk },
	{ "changes, unprivileged", KEEPS, prepare_changed, run_changes_user },
	{ "diff size", KEEPS, prepare_changed, run_diff_size },
	{ "diff", KEEPS, prepare_changed, run_diff },
	{ "diff, walked", KEEPS, prepare_changed, run_diff_walk },
	{ "diff of all", KEEPS, prepare_many, run_diff_whole },
	{ "diff of all, walked", KEEPS, prepare_changed, run_diff_whole_walk },
	{ "diff to a sink", KEEPS, prepare_changed, run_diff_sink },
};

static const struct victim creators[] = {
	{ "create", ATOMIC, prepare_nothing, run_create },
	{ "create snapshot", ATOMIC, prepare_parent, run_snapshot },
	{ "create batch", ATOMIC, prepare_parent, run_batch },
	{ "create read-only", ATOMIC, prepare_nothing, run_read_only },
	{ "create shifted", ATOMIC, prepare_parent, run_shifted },
	{ "create labelled", ATOMIC, prepare_parent, run_labelled },
	{ "create with a record", ATOMIC, prepare_parent, run_recorded },
	{ "create limited", ATOMIC, prepare_quota, run_limited },
	{ "create in a group", ATOMIC, prepare_quota, run_grouped },
	{ "create from an archive", ATOMIC, prepare_archive, run_create_apply },
};

static const struct victim changers[] = {
	{ "apply", 0, prepare_apply, run_apply },
	{ "remove", 0, prepare_changed, run_remove },
	{ "remove in the background", 0, prepare_changed, run_remove_background },
	{ "remove nested", 0, prepare_nested, run_remove },
	{ "remove nested, unprivileged", 0, prepare_nested, run_remove_user },
	{ "remove limited", 0, prepare_limited, run_remove },
	{ "remove from a group", 0, prepare_grouped, run_remove },
	{ "chown", 0, prepare_changed, run_chown },
	{ "relabel", REPEATS, prepare_changed, run_relabel },
	{ "label", REPEATS, prepare_record, run_label },
	{ "remove with a record", 0, prepare_record, run_remove },
	{ "limit", REPEATS, prepare_limited, run_limit },
	{ "limit of a group", REPEATS, prepare_grouped, run_limit_group },
	{ "gc", REPEATS, prepare_gc, run_quota_gc },
	{ "sweep", REPEATS, prepare_leftovers, run_sweep },
};

/* ---- the loop -------------------------------------------------------------------------------- */

/* Things that were not as they should be. */
static unsigned wrong;

/* Tell what is wrong, unless CONDITION holds, and go on. */
#define expect(condition, ...)                         \
	do {                                           \
		if (!(condition)) {                    \
			wrong++;                       \
			printf("WRONG: " __VA_ARGS__); \
			putchar('\n');                 \
		}                                      \
	} while (0)

/* The first lines of THERE and WANTED that differ. */
static const char *difference(const char *there, const char *wanted)
{
	static char text[1024];
	while (*there && *there == *wanted) {
		size_t length = strcspn(there, "\n"), other = strcspn(wanted, "\n");
		if (length != other || memcmp(there, wanted, length) || !there[length] ||
		    !wanted[length])
			break;
		there += length + 1;
		wanted += length + 1;
	}
	snprintf(text, sizeof(text), "'%.*s' instead of '%.*s'", (int)strcspn(there, "\n"), there,
		 (int)strcspn(wanted, "\n"), wanted);
	return text;
}

/* A failure: which call, which one of them, with what. */
struct fault_case {
	int name, error;
	long nth;
	bool persistent;
};

/* What an operation does where nothing fails. */
struct baseline {
	/* Calls of each kind, and submissions. */
	long made[CALL_NAMES + 1];
	/* What is there before and after, and the result. */
	char *before, *after, *result;
	/* The store's descriptors and the process's. */
	int descriptors;
};

static const int errors[] = { EIO, EMFILE, ENFILE, ENOSPC, EINTR };

/* Can a call of the kind NAME fail with ERROR? */
static bool can_fail(int name, int error)
{
	int flags = name == SUBMISSION ? CALL_OPENS | CALL_TAKES_ROOM : call_flags[name];
	if (error == EIO)
		return !(flags & CALL_DISKLESS);
	return (error == ENOSPC  ? flags & CALL_TAKES_ROOM
		: error == EINTR ? flags & CALL_SLEEPS
				 : flags & CALL_OPENS) != 0;
}

/* Remove all layers of STORE, its records and groups. */
static void clear(struct varve_store *store)
{
	char **ids;
	size_t count;
	test_error(varve_layer_list_wait(store, &ids, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		test_remove_layer(store, ids[i]);
	free(ids);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	struct varve_quota quota = VARVE_QUOTA_INIT;
	test_error(varve_quota_status_wait(store, &quota, NULL), 0);
	if (quota.mode != VARVE_QUOTA_OFF) {
		test_error(varve_sync_wait(store, VARVE_SYNC_CLEAN, NULL), 0);
		test_error(varve_quota_gc_wait(store, NULL, NULL), 0);
	}
}

/* Run VICTIM in STORE with what is armed; what it tells goes to *RET_RESULT, to be freed. */
static int run(const struct victim *victim, struct varve_store *store, char **ret_result,
	       struct varve_failure *failure)
{
	size_t size = 0;
	FILE *file = open_memstream(ret_result, &size);
	int r = victim->run(store, file, failure);
	calls_disarm();
	fclose(file);
	return r;
}

/* Learn what VICTIM does in STORE. */
static void learn(const struct victim *victim, struct varve_store *store, struct baseline *baseline)
{
	struct varve_failure failure = { 0 };
	victim->prepare(store);
	/* What is made when it is first needed, is. */
	if (victim->holds & KEEPS) {
		test_ok(run(victim, store, &baseline->result, &failure), &failure);
		free(baseline->result);
	}
	baseline->before = store_text(store);
	fault_arm(&store->core.io.fault, FAULT_SUBMISSION, LONG_MAX, -EIO, false);
	calls_arm(CALL_NAMES, 0, 0, false);
	test_ok(run(victim, store, &baseline->result, &failure), &failure);
	for (int i = 0; i < CALL_NAMES; i++)
		baseline->made[i] = calls_made[i];
	baseline->made[SUBMISSION] = atomic_load(&store->core.io.fault.passed[FAULT_SUBMISSION]);
	fault_arm(&store->core.io.fault, FAULT_SUBMISSION, 0, 0, false);
	baseline->after = store_text(store);
}

/* Check what FAILURE tells of the error R of VICTIM, where FAULT was armed. */
static void check_failure(const char *what, int r, const struct fault_case *fault,
			  const struct varve_failure *failure)
{
	char text[2048];
	expect(r == -fault->error, "%s: %s: %s", what, test_errno_name(r),
	       varve_strerror(failure, text, sizeof(text)));
	expect(failure->error == r && failure->operation && failure->step, "%s: %s", what,
	       varve_strerror(failure, text, sizeof(text)));
	/* What is handed to a lane need not be a call. */
	expect((failure->call || fault->name == SUBMISSION) && *failure->path,
	       "%s: no call or path: %s", what, varve_strerror(failure, text, sizeof(text)));
}

/*
 * Let VICTIM, which has done BASELINE, meet FAULT in the store of *STORE_OF_TEST, which may be
 * opened anew.
 */
static void meet(const struct victim *victim, struct varve_store **store_of_test,
		 const struct baseline *baseline, const struct fault_case *fault, const char *what)
{
	struct varve_store *store = *store_of_test;
	struct varve_failure failure = { 0 };
	char *result = NULL, *there;
	int descriptors = test_descriptors();
	if (fault->name == SUBMISSION)
		fault_arm(&store->core.io.fault, FAULT_SUBMISSION, fault->nth, -fault->error,
			  fault->persistent);
	else
		calls_arm((enum call_name)fault->name, fault->nth, fault->error, fault->persistent);
	int r = run(victim, store, &result, &failure);
	fault_arm(&store->core.io.fault, FAULT_SUBMISSION, 0, 0, false);
	there = store_text(store);
	if (r)
		check_failure(what, r, fault, &failure);
	else
		expect(!strcmp(result, baseline->result), "%s: told %s", what,
		       difference(result, baseline->result));
	/* Where all fails from then on, so does what undoes; that is left to the sweep. */
	bool atomic = victim->holds & KEEPS || (victim->holds & ATOMIC && !fault->persistent);
	if (!r || atomic) {
		const char *wanted = r ? baseline->before : baseline->after;
		expect(!strcmp(there, wanted), "%s (%s): there is %s", what, test_errno_name(r),
		       difference(there, wanted));
	}
	if (r && atomic)
		expect(!test_leftovers(home), "%s: leftovers", what);
	if (victim->holds & KEEPS)
		expect(test_descriptors() == descriptors, "%s: %d descriptors, %d before", what,
		       test_descriptors(), descriptors);
	free(there);
	free(result);
	/* Leftovers of what could not be undone are swept when the store is opened. */
	if (fault->persistent && !(victim->holds & KEEPS)) {
		test_close(store);
		*store_of_test = store = test_open(home);
	}
	/* The same once more, and nothing fails. */
	if (!(victim->holds & KEEPS) && !(r && (atomic || victim->holds & REPEATS))) {
		clear(store);
		victim->prepare(store);
	}
	result = NULL;
	r = run(victim, store, &result, &failure);
	expect(!r, "%s: fails afterwards with %s at %s", what, test_errno_name(r), failure.step);
	there = store_text(store);
	expect(!strcmp(there, baseline->after), "%s, afterwards: there is %s", what,
	       difference(there, baseline->after));
	free(there);
	free(result);
}

/* Prepare VICTIM anew, if need be, open a store and let it meet FAULT. */
static void fail_one(const struct victim *victim, const struct baseline *baseline,
		     const struct fault_case *fault)
{
	char what[256];
	snprintf(what, sizeof(what), "%s: %s %ld%s of %ld: %s", victim->name,
		 fault->name == SUBMISSION ? "submission" : call_names[fault->name], fault->nth,
		 fault->persistent ? " and all after it" : "", baseline->made[fault->name],
		 test_errno_name(fault->error));
	printf("%s\n", what);
	int descriptors = test_descriptors();
	/* Whatever the one before has left is swept away. */
	struct varve_store *store = test_open(home);
	expect(!test_leftovers(home), "%s: leftovers of the failure before it", what);
	if (!(victim->holds & KEEPS)) {
		clear(store);
		victim->prepare(store);
	}
	meet(victim, &store, baseline, fault, what);
	test_close(store);
	expect(!calls_closed_wrong, "%s: what is not open was closed %ld times", what,
	       calls_closed_wrong);
	calls_closed_wrong = 0;
	expect(test_descriptors() == descriptors, "%s: %d descriptors, %d before", what,
	       test_descriptors(), descriptors);
}

/* Let VICTIM meet what the seed chooses. */
static void fail_some(const struct victim *victim, const struct baseline *baseline)
{
	uint64_t state = digest(test_seed(), victim->name, strlen(victim->name));
	int kinds[CALL_NAMES + 1], count = 0;
	for (int i = 0; i <= SUBMISSION; i++)
		if (baseline->made[i])
			kinds[count++] = i;
	for (int i = 0; count && i < SAMPLES; i++) {
		struct fault_case fault = { .name = kinds[test_random(&state) % (unsigned)count] };
		do
			fault.error = errors[test_random(&state) % TEST_COUNT(errors)];
		while (!can_fail(fault.name, fault.error));
		fault.nth = 1 + (long)(test_random(&state) % (uint64_t)baseline->made[fault.name]);
		fault.persistent = fault.error != EINTR && test_random(&state) & 1;
		fail_one(victim, baseline, &fault);
	}
}

/* Let VICTIM meet everything. */
static void fail_each(const struct victim *victim, const struct baseline *baseline)
{
	for (int name = 0; name <= SUBMISSION; name++) {
		long step = 1 + baseline->made[name] / SOAK_NTHS;
		for (size_t i = 0; i < TEST_COUNT(errors); i++) {
			for (long nth = 1; can_fail(name, errors[i]) && nth <= baseline->made[name];
			     nth += step) {
				struct fault_case fault = { .name = name,
							    .error = errors[i],
							    .nth = nth };
				fail_one(victim, baseline, &fault);
				fault.persistent = true;
				if (errors[i] != EINTR)
					fail_one(victim, baseline, &fault);
			}
		}
	}
}

/* Let the VICTIMS, COUNT of them, fail. */
static void fail_all(const struct victim *victims, size_t count)
{
	const char *only = getenv("VARVE_TEST_VICTIM");
	calls_own(false);
	for (size_t i = 0; i < count; i++) {
		struct baseline baseline = { 0 };
		if (only && strcmp(only, victims[i].name))
			continue;
		home = test_home();
		struct varve_store *store = test_open(home);
		learn(&victims[i], store, &baseline);
		test_close(store);
		if (getenv("VARVE_TEST_SOAK"))
			fail_each(&victims[i], &baseline);
		else
			fail_some(&victims[i], &baseline);
		free(baseline.before);
		free(baseline.after);
		free(baseline.result);
	}
	ck_assert_msg(!wrong, "%u things are wrong: see above", wrong);
}

START_TEST(test_readers)
{
	fail_all(readers, TEST_COUNT(readers));
}
END_TEST

START_TEST(test_archivers)
{
	fail_all(archivers, TEST_COUNT(archivers));
}
END_TEST

START_TEST(test_creators)
{
	fail_all(creators, TEST_COUNT(creators));
}
END_TEST

START_TEST(test_changers)
{
	fail_all(changers, TEST_COUNT(changers));
}
END_TEST

/*
 * Let what VICTIM reads of a layer fail in STORE by FAULT: the result is that without a failure, or
 * the error.
 */
static void fail_reading(const struct victim *victim, struct varve_store *store,
			 const struct baseline *baseline, const struct fault_case *fault)
{
	struct varve_failure failure = { 0 };
	char *result = NULL, what[256];
	snprintf(what, sizeof(what), "%s: %s %ld%s of %ld: %s", victim->name,
		 call_names[fault->name], fault->nth, fault->persistent ? " and all after it" : "",
		 baseline->made[fault->name], test_errno_name(fault->error));
	calls_arm((enum call_name)fault->name, fault->nth, fault->error, fault->persistent);
	int r = run(victim, store, &result, &failure);
	if (r)
		check_failure(what, r, fault, &failure);
	else
		expect(!strcmp(result, baseline->result), "%s: told %s", what,
		       difference(result, baseline->result));
	free(result);
}

/*
 * No failure of the machine leaves a file out of an archive or a list: too few descriptors, no
 * memory, a disk that fails, at the first call of each kind, with all after it, and at another one
 * alone.
 */
START_TEST(test_nothing_left_out)
{
	static const int machine_errors[] = { EIO, ENOMEM, EMFILE, ENFILE };
	uint64_t state = test_seed();
	calls_own(false);
	for (size_t i = 0; i < TEST_COUNT(archivers); i++) {
		const struct victim *victim = &archivers[i];
		struct baseline baseline = { 0 };
		home = test_home();
		struct varve_store *store = test_open(home);
		learn(victim, store, &baseline);
		for (int name = 0; name < CALL_NAMES; name++) {
			for (size_t e = 0; baseline.made[name] && e < TEST_COUNT(machine_errors);
			     e++) {
				const int error = machine_errors[e];
				if (error != ENOMEM && !can_fail(name, error))
					continue;
				struct fault_case fault = {
					.name = name, .error = error, .nth = 1, .persistent = true
				};
				fail_reading(victim, store, &baseline, &fault);
				fault.nth += (long)(test_random(&state) %
						    (uint64_t)baseline.made[name]);
				fault.persistent = false;
				fail_reading(victim, store, &baseline, &fault);
			}
		}
		test_close(store);
		free(baseline.before);
		free(baseline.after);
		free(baseline.result);
	}
	ck_assert_msg(!wrong, "%u things are wrong: see above", wrong);
}
END_TEST

TEST_MAIN("calls", test_readers, test_archivers, test_creators, test_changers,
	  test_nothing_left_out)
