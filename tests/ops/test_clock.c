/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/store/group_commit on a real file system: groups share commits, one alone needs none of
 * that, durability is what it says.
 */
#include "tar.h"
#include "test.h"

#include "engine/btrfs/fs.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"
#include "engine/store/store.h"

#include <fcntl.h>
#include <linux/btrfs_tree.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Layers at once; well below the worker slots. */
#define GROUP 64

/* Create GROUP layers from "base" at once, named with PREFIX. */
static void create_group(struct varve_store *store, const char *prefix, uint64_t flags)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record *records = test_alloc(GROUP * sizeof(*records));

	options.parent = "base";
	options.flags = flags;
	for (int i = 0; i < GROUP; i++)
		test_error(varve_layer_create(store, test_path("%s%d", prefix, i), &options,
					      test_record, &records[i], NULL),
			   0);
	test_await_all(store, records, GROUP);
	for (int i = 0; i < GROUP; i++)
		test_error(records[i].error, 0);
}

/* Does this kernel let others join a commit whose first member waits (COMMIT_PREP, Linux 6.6)? */
static bool groups_form(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	ck_assert_int_eq(uname(&name), 0);
	ck_assert_int_eq(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 6);
}

START_TEST(test_group)
{
	struct varve_store *store = test_open(test_home());
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;

	test_create(store, "base", NULL);
	create_group(store, "warm", VARVE_RELAXED);
	test_error(varve_statistics(store, &before), 0);
	create_group(store, "group", VARVE_RELAXED);
	test_error(varve_statistics(store, &after), 0);
	ck_assert_uint_eq(after.snapshots - before.snapshots, GROUP);
	/*
	 * Two commits a group is the rule; how many groups they fall into is the scheduler's. One
	 * each would be 64.
	 */
	if (groups_form())
		ck_assert_uint_le(after.commits - before.commits, GROUP / 4);
	ck_assert_uint_ge(after.group_max, GROUP / 4);
	test_close(store);
}
END_TEST

START_TEST(test_alone)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;

	test_create(store, "base", NULL);
	test_error(varve_statistics(store, &before), 0);
	for (int i = 0; i < 5; i++)
		test_create(store, test_path("%d", i), "base");
	test_error(varve_statistics(store, &after), 0);
	/* Straight into place; and durable without another commit. */
	ck_assert_uint_eq(after.snapshots_direct - before.snapshots_direct, 5);
	ck_assert_uint_eq(after.syncs, before.syncs);
	ck_assert_uint_le(after.commits - before.commits, 5);
	test_close(store);
}
END_TEST

START_TEST(test_durable_alone)
{
	/*
	 * A durable create that commits nothing by itself is on the device when its callback runs.
	 */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;

	for (int i = 0; i < 5; i++) {
		test_create(store, test_path("%d", i), NULL);
		test_error(varve_layer_info_wait(store, test_path("%d", i), &info, NULL), 0);
		ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	}
	test_close(store);
}
END_TEST

/* Creates that each begin the next one when they end. */
struct stream {
	struct varve_store *store;
	int begun, ended;
};

static void stream_next(struct stream *stream);

static void stream_ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct stream *stream = data;

	test_error(result->error, 0);
	stream->ended++;
	stream_next(stream);
}

static void stream_next(struct stream *stream)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	if (stream->begun == 16 * GROUP)
		return;
	options.parent = "base";
	test_error(varve_layer_create(stream->store, test_path("%d", stream->begun++), &options,
				      stream_ended, stream, NULL),
		   0);
}

START_TEST(test_durable_stream)
{
	/* Two groups that would take turns become one: commits are made between groups. */
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;
	char *home = test_home(), content[4096] = { [0 ... 4094] = 'x' };
	struct stream stream = { .store = test_open(home) };

	test_create(stream.store, "base", NULL);
	for (int i = 0; i < 10; i++)
		test_write(test_path("%s/subvolumes/base/%d", home, i), content);
	test_error(varve_statistics(stream.store, &before), 0);
	for (int i = 0; i < GROUP / 2; i++)
		stream_next(&stream);
	/* That group is closed once it has made a snapshot: the others are too late for it. */
	for (after = before; after.snapshots == before.snapshots;)
		test_error(varve_statistics(stream.store, &after), 0);
	for (int i = 0; i < GROUP / 2; i++)
		stream_next(&stream);
	while (stream.ended < 16 * GROUP)
		ck_assert_int_ge(varve_wait(stream.store, -1), 0);
	test_error(varve_statistics(stream.store, &after), 0);
	ck_assert_uint_ge(after.syncs - before.syncs, 4);
	test_close(stream.store);
}
END_TEST

START_TEST(test_durable_group)
{
	struct varve_store *store = test_open(test_home());
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;

	test_create(store, "base", NULL);
	create_group(store, "group", VARVE_DURABLE);
	for (int i = 0; i < GROUP; i++) {
		test_error(varve_layer_info_wait(store, test_path("group%d", i), &info, NULL), 0);
		ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	}
	test_close(store);
}
END_TEST

/*
 * What the trace has shown: removals that have ended; how many of them when the create's snapshot
 * was begun.
 */
static _Atomic unsigned removed, removed_before_create;
static _Atomic bool create_waits;

/* Take a line of the trace. */
static void watch_starvation(void *data, const char *line)
{
	if (strstr(line, " remove ") && strstr(line, ": end 0"))
		removed++;
	else if (strstr(line, " create new: STAGE"))
		create_waits = true;
	else if (strstr(line, "commit: a group begins") && create_waits)
		removed_before_create = removed;
}

START_TEST(test_starvation)
{
	/*
	 * Many destroys ahead of a create do not keep it from being begun in between. When it ends
	 * is the kernel's: before Linux 6.6 one commit may take longer than all of them.
	 */
	struct varve_config config = test_config(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	enum { MANY = 4 * DESTROYS_PER_CALL_MAX };
	const char **ids = test_alloc(MANY * sizeof(*ids));
	struct test_record removal = { 0 }, create = { 0 };

	/*
	 * What most processes have. The removals reserve few descriptors, so that the create does
	 * not wait for theirs.
	 */
	struct rlimit limit;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = MIN(limit.rlim_max, 1024);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	config.debug = "op";
	config.log = watch_starvation;
	struct varve_store *store = test_open_config(&config);
	for (int i = 0; i < MANY; i++)
		ids[i] = test_path("%d", i);
	options.flags = VARVE_RELAXED;
	test_error(varve_layer_create_batch_wait(store, ids, MANY, &options, NULL, NULL), 0);
	test_create(store, "base", NULL);
	options.parent = "base";
	removed_before_create = MANY;
	test_error(varve_layer_remove_batch(store, ids, MANY, VARVE_RELAXED, test_record, &removal,
					    NULL),
		   0);
	test_error(varve_layer_create(store, "new", &options, test_record, &create, NULL), 0);
	test_error(test_await(store, &removal), 0);
	test_error(test_await(store, &create), 0);
	ck_assert_uint_eq(removed, MANY);
	ck_assert_uint_lt(removed_before_create, MANY);
	test_close(store);
}
END_TEST

START_TEST(test_more_than_slots)
{
	/* More at once than there are worker slots: some wait for the next group, all are made. */
	struct varve_config config = test_config(test_home());
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	struct varve_store *store;

	config.commit_threads_max = 4;
	store = test_open_config(&config);
	test_create(store, "base", NULL);
	create_group(store, "group", VARVE_RELAXED);
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_le(statistics.commit_threads_peak, 4);
	ck_assert_uint_eq(statistics.snapshots, GROUP);
	test_close(store);
}
END_TEST

START_TEST(test_no_commit_counts_for_others)
{
	/*
	 * The first of a group fails: the durable requests that counted on its commit get another.
	 */
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record first = { 0 }, second = { 0 };
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;

	test_create(store, "base", NULL);
	test_create(store, "taken", NULL);
	options.parent = "base";
	test_error(varve_layer_create(store, "empty", NULL, test_record, &first, NULL), 0);
	test_error(varve_layer_create(store, "taken", &options, test_record, &second, NULL), 0);
	test_error(test_await(store, &first), 0);
	test_error(varve_layer_info_wait(store, "empty", &info, NULL), 0);
	ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	test_error(test_await(store, &second), -EEXIST);
	test_close(store);
}
END_TEST

/* Fail the NTH lane call of a create, or all from there, for want of space; how does it end? */
static int create_without_space(struct varve_store *store, const char *id, long nth,
				bool persistent, long *ret_hits)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int r;

	options.parent = "base";
	fault_arm(&store->core.io.fault, FAULT_LANE, nth, -ENOSPC, persistent);
	r = varve_layer_create_wait(store, id, &options, NULL);
	*ret_hits = atomic_load(&store->core.io.fault.hits);
	fault_arm(&store->core.io.fault, FAULT_LANE, 0, 0, false);
	return r;
}

START_TEST(test_retry_alone)
{
	/* What fails for want of space in a group is tried once more by itself, and once only. */
	struct varve_store *store = test_open(test_home());
	/* Without a ring the source is opened by a lane, too. */
	long stage = strcmp(test_backend(), "threads") ? 1 : 2, hits;

	test_create(store, "base", NULL);
	if (store->core.io.ring_error)
		stage = 2;
	test_error(create_without_space(store, "once", stage, false, &hits), 0);
	ck_assert_int_eq(hits, 1);
	test_error(create_without_space(store, "always", stage, true, &hits), -ENOSPC);
	ck_assert_int_eq(hits, 2);
	test_close(store);
}
END_TEST

/* Commit again and again, from another thread, until *DATA. */
static void *commit_often(void *data)
{
	_Atomic bool *ended = data;
	int fd = open(test_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (!*ended)
		ck_assert_int_eq(syncfs(fd), 0);
	close(fd);
	return NULL;
}

/*
 * Change the owner of the file FD, which no directory tells of, and commit by DIR_FD or by FS_FD:
 * it is on the device.
 */
static void commit_owner(int fd, int dir_fd, int fs_fd)
{
	static uid_t uid;
	uint64_t generation;

	ck_assert_int_eq(fchown(fd, ++uid, 0), 0);
	generation = fs_generation(fd);
	test_error(fs_commit(dir_fd, fs_fd), 0);
	ck_assert_uint_ge(test_committed_generation(), generation);
}

START_TEST(test_commit_metadata)
{
	char *directory = test_path("%s/commit", test_mount()),
	     *file = test_path("%s/file", test_mount());
	_Atomic bool ended = false;
	pthread_t thread;
	int dir_fd, fd, fs_fd;

	test_mkdir(directory);
	test_write(file, "");
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	fs_fd = open(test_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Nothing to fall back on. */
	for (int i = 0; i < 20; i++)
		commit_owner(fd, dir_fd, -EBADF);
	ck_assert_int_eq(test_entries(directory), 0);
	/* Transactions end at every moment in between. */
	ck_assert_int_eq(pthread_create(&thread, NULL, commit_often, &ended), 0);
	for (int i = 0; i < 100; i++)
		commit_owner(fd, dir_fd, -EBADF);
	ended = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(test_entries(directory), 0);
	/* No directory, and one in which the name is taken: everything is flushed. */
	commit_owner(fd, -EBADF, fs_fd);
	test_mkdir(test_path("%s/commit.%d", directory, (int)gettid()));
	test_write(test_path("%s/commit.%d/kept", directory, (int)gettid()), "");
	commit_owner(fd, dir_fd, fs_fd);
	ck_assert(test_exists(test_path("%s/commit.%d/kept", directory, (int)gettid())));
	close(fs_fd);
	close(fd);
	close(dir_fd);
}
END_TEST

/* Bytes of files' data that the tree of the layer at PATH has. */
static uint64_t bytes_in_tree(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct btrfs_file_extent_item extent;
	struct search search;
	uint64_t number, bytes = 0;

	test_error(subvol_number(fd, &number), 0);
	r = search_begin(&search, fd, number, 0, UINT64_MAX, BTRFS_EXTENT_DATA_KEY,
			 BTRFS_EXTENT_DATA_KEY, 0);
	while (!r && (r = search_next(&search)) > 0) {
		memcpy(&extent, search.item, MIN(search.header.len, sizeof(extent)));
		bytes += extent.type == BTRFS_FILE_EXTENT_INLINE ? le64toh(extent.ram_bytes)
								 : le64toh(extent.num_bytes);
		r = 0;
	}
	test_error(r, 0);
	search_end(&search);
	close(fd);
	return bytes;
}

START_TEST(test_unpacked_is_written)
{
	/*
	 * What was unpacked before a layer is seen, or for a durable apply, is in extents when the
	 * callback runs.
	 */
	enum { DIRS = 20, FILES = 40, BYTES = 20480, TINY = 1000 };
	const uint64_t expected = DIRS * FILES * (BYTES + TINY);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	int archive = memfd_create("archive", MFD_CLOEXEC);

	test_create(store, "source", NULL);
	test_make_tree(test_layer(home, "source"), DIRS, FILES, BYTES);
	test_mkdir(test_path("%s/tiny", test_layer(home, "source")));
	test_make_tree(test_path("%s/tiny", test_layer(home, "source")), DIRS, FILES, TINY);
	test_error(varve_layer_diff_wait(store, "source", NULL, archive, NULL, NULL, NULL), 0);
	options.apply = &apply;
	options.apply_fd = archive;
	for (int relaxed = 0; relaxed < 2; relaxed++) {
		ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
		options.flags = relaxed ? VARVE_RELAXED : VARVE_DURABLE;
		test_error(varve_layer_create_wait(store, relaxed ? "relaxed" : "durable", &options,
						   NULL),
			   0);
		ck_assert_uint_eq(bytes_in_tree(test_layer(home, relaxed ? "relaxed" : "durable")),
				  expected);
	}
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	test_create(store, "there", NULL);
	test_error(varve_layer_apply_wait(store, "there", NULL, archive, NULL, NULL, NULL), 0);
	ck_assert_uint_eq(bytes_in_tree(test_layer(home, "there")), expected);
	close(archive);
	test_close(store);
}
END_TEST

/* The library tells that it wants bytes: count in *DATA. */
static void count_room(struct varve_store *store, varve_request request, size_t size, void *data)
{
	++*(unsigned *)data;
}

/*
 * Begin the create "layer" from what is written to it, and write until it is under way: *RET_LEFT
 * bytes of TAR are left.
 */
static varve_request unpack_begin(struct varve_store *store, const struct tar *tar,
				  struct test_record *record, size_t *ret_left)
{
	static unsigned rooms;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	varve_request request;
	size_t taken;

	rooms = 0;
	apply.room = count_room;
	apply.room_data = &rooms;
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	test_error(varve_layer_create(store, "layer", &options, test_record, record, &request), 0);
	test_dispatch_until(store, &rooms, 1);
	test_error(varve_stream_write(store, request, tar->bytes, tar->size, &taken), 0);
	ck_assert_uint_lt(taken, tar->size);
	/* There is room again because it was read. */
	test_dispatch_until(store, &rooms, 2);
	*ret_left = tar->size - taken;
	return request;
}

/* Write the last LEFT bytes of TAR, and its end. */
static void unpack_end(struct varve_store *store, varve_request request, const struct tar *tar,
		       size_t left)
{
	while (left) {
		size_t taken = 0;
		int r = varve_stream_write(store, request, tar->bytes + tar->size - left, left,
					   &taken);

		if (r != -EAGAIN)
			test_error(r, 0);
		left -= taken;
		if (!taken)
			varve_wait_for(store, request, 10);
	}
	test_error(varve_stream_end(store, request, 0), 0);
}

START_TEST(test_lost_in_anothers_flush)
{
	/* The kernel reports lost data once. All that was being written may be what was lost. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	enum { BYTES = 4 << 20 };
	struct tar tar = { 0 };
	size_t left;

	tar_add(&tar,
		&(struct tar_entry){ .name = "file", .content = test_alloc(BYTES), .size = BYTES });
	tar_end(&tar);
	varve_request request = unpack_begin(store, &tar, &record, &left);
	fault_arm(&store->core.io.fault, FAULT_LANE, 1, -EIO, false);
	test_error(varve_sync_wait(store, 0, NULL), -EIO);
	fault_arm(&store->core.io.fault, FAULT_LANE, 0, 0, false);
	unpack_end(store, request, &tar, left);
	test_error(test_await(store, &record), -EIO);
	ck_assert(!test_layer_exists(home, "layer"));
	/* What begins to write afterwards is not concerned. */
	record = (struct test_record){ 0 };
	request = unpack_begin(store, &tar, &record, &left);
	unpack_end(store, request, &tar, left);
	test_error(test_await(store, &record), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("clock", test_group, test_alone, test_durable_alone, test_durable_stream,
	  test_durable_group, test_starvation, test_more_than_slots,
	  test_no_commit_counts_for_others, test_retry_alone, test_commit_metadata,
	  test_unpacked_is_written, test_lost_in_anothers_flush)
