/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: by search and by walk the numbers of a plain walk, on every kind of tree, hot and as if
 * all came from a disk.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/workers.h"
#include "random_tree.h"
#include "test.h"

/* What to take as slow: as it is; everything. */
static const uint64_t slow_thresholds[] = { WALK_SLOW_NS, 0 };

/* Measure by FLAGS and compare with SUM. */
static void compare(struct varve_store *store, const char *id, uint64_t flags,
		    const struct random_tree_sum *sum)
{
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_failure failure = { 0 };
	test_ok(varve_layer_usage_wait(store, id, flags, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.inodes, sum->inodes);
	ck_assert_uint_eq(usage.bytes, sum->bytes);
	ck_assert_uint_eq(usage.disk_bytes, sum->disk_bytes);
	if (flags)
		ck_assert_uint_eq(usage.flags & ~VARVE_USAGE_QUOTA, flags);
}

/* Measure in each way. */
static void compare_all(struct varve_store *store, const char *id, const char *path)
{
	struct random_tree_sum sum = random_tree_sum(path);
	for (size_t i = 0; i < TEST_COUNT(slow_thresholds); i++) {
		workers_set_slow(store, slow_thresholds[i]);
		compare(store, id, VARVE_USAGE_WALK, &sum);
	}
	compare(store, id, 0, &sum);
	/*
	 * Sizes are only in the trees once the data is on the disk, and that is when its space is
	 * known.
	 */
	sum = random_tree_sum(path);
	compare(store, id, VARVE_USAGE_SEARCH, &sum);
}

START_TEST(test_random_trees)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	for (unsigned seed = 1; seed <= 6; seed++) {
		char *id = test_path("tree-%u", seed);
		test_create(store, id, NULL);
		random_tree_make(test_layer(home, id), seed, 100 * seed);
		compare_all(store, id, test_layer(home, id));
	}
	/* A snapshot has places for the subvolumes that its source contains. */
	test_create(store, "snapshot", "tree-6");
	compare_all(store, "snapshot", test_layer(home, "snapshot"));
	test_close(store);
}
END_TEST

START_TEST(test_empty)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct random_tree_sum sum = { .inodes = 1 };
	test_create(store, "empty", NULL);
	compare(store, "empty", VARVE_USAGE_WALK, &sum);
	compare(store, "empty", VARVE_USAGE_SEARCH, &sum);
	test_error(varve_layer_usage_wait(store, "none", 0, NULL, NULL), -ENOENT);
	test_error(varve_layer_usage_wait(store, "empty", VARVE_USAGE_WALK | VARVE_USAGE_SEARCH,
					  NULL, NULL),
		   -EINVAL);
	test_close(store);
}
END_TEST

/* A file that is deleted but open is in no directory. */
START_TEST(test_deleted_open_file)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	char *path = test_path("%s/file", test_layer(home, "layer"));
	test_write(path, "text");
	FILE *file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(unlink(path), 0);
	compare_all(store, "layer", test_layer(home, "layer"));
	fclose(file);
	test_close(store);
}
END_TEST

/* Deeper than there may be open files or bytes in a path. */
START_TEST(test_deep_chain)
{
	enum { DEPTH = 10000 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "deep", NULL);
	random_tree_chain(test_layer(home, "deep"), "directory", DEPTH, true);
	struct random_tree_sum sum = { .inodes = 2 * DEPTH + 1 };
	for (size_t i = 0; i < TEST_COUNT(slow_thresholds); i++) {
		workers_set_slow(store, slow_thresholds[i]);
		compare(store, "deep", VARVE_USAGE_WALK, &sum);
	}
	compare(store, "deep", VARVE_USAGE_SEARCH, &sum);
	test_close(store);
}
END_TEST

/*
 * A chain in which each directory has two: what waits lies all along the way down, most of it
 * closed meanwhile.
 */
START_TEST(test_deep_comb)
{
	enum { DEPTH = 1500 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct rlimit limit = { 400, 400 };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	test_create(store, "comb", NULL);
	char *path = test_layer(home, "comb");
	random_tree_chain(path, "b", DEPTH, false);
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < DEPTH; i++) {
		ck_assert_int_eq(mkdirat(at, "a", 0755), 0);
		ck_assert_int_eq(mkdirat(at, "c", 0755), 0);
		int next = openat(at, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	close(at);
	struct random_tree_sum sum = { .inodes = 3 * DEPTH + 1 };
	compare(store, "comb", VARVE_USAGE_WALK, &sum);
	test_close(store);
}
END_TEST

/* More subdirectories than are remembered, more files than fit a buffer. */
START_TEST(test_wide)
{
	enum { WIDE = WALK_PENDING_MAX + WALK_CHILDREN_MAX + 5 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "wide", NULL);
	int at = open(test_layer(home, "wide"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < WIDE; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
	}
	close(at);
	struct random_tree_sum sum = { .inodes = WIDE + 1 };
	compare(store, "wide", VARVE_USAGE_WALK, &sum);
	compare(store, "wide", VARVE_USAGE_SEARCH, &sum);
	test_close(store);
}
END_TEST

/* What is mounted is neither entered nor counted, and what lies beneath is, by both ways. */
START_TEST(test_mounts_inside)
{
	char *home = test_home();
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	/* Before the store has threads, which would stay outside. */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	char *layer = test_layer(home, "layer"), *other = test_layer(home, "other");
	test_make_tree(other, 2, 3, 100);
	test_make_tree(layer, 1, 1, 10);
	char *directory = test_path("%s/mount", layer), *file = test_path("%s/file", layer);
	test_mkdir(directory);
	test_write(file, "below");
	/* That flushes; from then on both ways count the same space. */
	test_error(varve_layer_usage_wait(store, "layer", VARVE_USAGE_SEARCH, &usage, NULL), 0);
	struct random_tree_sum sum = random_tree_sum(layer);
	ck_assert_uint_eq(sum.inodes, 5);
	ck_assert_int_eq(mount(other, directory, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount(test_path("%s/dir-0/file-0", other), file, NULL, MS_BIND, NULL), 0);
	compare(store, "layer", VARVE_USAGE_WALK, &sum);
	workers_set_slow(store, 0);
	compare(store, "layer", VARVE_USAGE_WALK, &sum);
	compare(store, "layer", 0, &sum);
	compare(store, "layer", VARVE_USAGE_SEARCH, &sum);
	ck_assert_int_eq(umount(directory), 0);
	ck_assert_int_eq(umount(file), 0);
	test_close(store);
}
END_TEST

/*
 * A cancel is seen (after how many entries, ops/test_walks counts), and leaves nothing behind;
 * progress counts up until then.
 */
START_TEST(test_cancel)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	struct varve_progress progress = VARVE_PROGRESS_INIT;
	varve_request request;
	test_create(store, "large", NULL);
	test_make_tree(test_layer(home, "large"), 20, 500, 0);
	workers_set_slow(store, 0);
	for (int i = 0; i < 20; i++) {
		test_error(varve_layer_usage(store, "large", VARVE_USAGE_WALK, test_record, &record,
					     &request),
			   0);
		while (!progress.entries && varve_progress(store, request, &progress) == 0 &&
		       !record.calls)
			varve_dispatch(store, 0);
		varve_cancel(store, request);
		int error = test_await(store, &record);
		ck_assert_msg(error == 0 || error == -ECANCELED, "%s", test_errno_name(error));
		test_error(varve_progress(store, request, &progress), -ENOENT);
		progress.entries = 0;
		memset(&record, 0, sizeof(struct test_record));
	}
	test_close(store);
}
END_TEST

/*
 * Many at once, more than may walk together, some cancelled while they wait; then the store closes
 * amid others.
 */
START_TEST(test_many_at_once)
{
	enum { MANY = 40 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[MANY] = { 0 };
	varve_request requests[MANY];
	test_create(store, "layer", NULL);
	random_tree_make(test_layer(home, "layer"), 7, 300);
	for (unsigned i = 0; i < MANY; i++)
		test_error(varve_layer_usage(store, "layer", i % 3 ? VARVE_USAGE_WALK : 0,
					     test_record, &records[i], &requests[i]),
			   0);
	for (unsigned i = 0; i < MANY; i += 5)
		varve_cancel(store, requests[i]);
	test_await_all(store, records, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		if (i % 5)
			test_error(records[i].error, 0);
		memset(&records[i], 0, sizeof(struct test_record));
	}
	for (unsigned i = 0; i < MANY; i++)
		test_error(varve_layer_usage(store, "layer", VARVE_USAGE_WALK, test_record,
					     &records[i], NULL),
			   0);
	test_close(store);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_uint_eq(records[i].calls, 1);
		memset(&records[i], 0, sizeof(struct test_record));
	}
}
END_TEST

TEST_MAIN("usage", test_random_trees, test_empty, test_deleted_open_file, test_deep_chain,
	  test_deep_comb, test_wide, test_mounts_inside, test_cancel, test_many_at_once)
