/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable and relaxed, judged by the superblock on the device: what a callback has called durable
 * must be in a transaction that is there. (The crash tests look at whole images.)
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const struct varve_create_options no_options = VARVE_CREATE_OPTIONS_INIT;

/*
 * The generation that the directory of layers, whose entries appear and vanish, was last changed
 * in.
 */
static uint64_t directory_generation(const char *home)
{
	struct btrfs_ioctl_get_subvol_info_args args = { 0 };
	int descriptor = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	/*
	 * The home lies in the file system's first tree: its root item tells the last transaction
	 * that changed it.
	 */
	ck_assert_int_ge(ioctl(descriptor, BTRFS_IOC_GET_SUBVOL_INFO, &args), 0);
	close(descriptor);
	return args.generation;
}

/* Commit whatever there is, so that the next transaction is a new one. */
static uint64_t commit(void)
{
	int descriptor = open(test_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(syncfs(descriptor), 0);
	close(descriptor);
	return test_committed_generation();
}

/* Assert that all that was done so far is on the device. */
static void assert_durable(const char *home, uint64_t before)
{
	uint64_t committed = test_committed_generation(), needed = directory_generation(home);
	ck_assert_msg(committed > before, "no transaction was committed: still %llu",
		      (unsigned long long)before);
	ck_assert_msg(committed >= needed,
		      "generation %llu is on the device, the change is in %llu",
		      (unsigned long long)committed, (unsigned long long)needed);
}

START_TEST(test_durable_is_default)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	uint64_t before = commit();
	test_create(store, "base", NULL);
	assert_durable(home, before);
	before = commit();
	test_create(store, "child", "base");
	assert_durable(home, before);
	before = commit();
	test_remove_layer(store, "base");
	assert_durable(home, before);
	test_close(store);
}
END_TEST

START_TEST(test_durable_in_relaxed_store)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = no_options;
	struct varve_failure failure;
	options.flags = VARVE_DURABLE;
	uint64_t before = commit();
	test_ok(varve_layer_create_wait(store, "base", &options, &failure), &failure);
	assert_durable(home, before);
	options.parent = "base";
	before = commit();
	test_ok(varve_layer_create_wait(store, "child", &options, &failure), &failure);
	assert_durable(home, before);
	before = commit();
	test_ok(varve_layer_remove_wait(store, "child", VARVE_DURABLE, &failure), &failure);
	assert_durable(home, before);
	test_close(store);
}
END_TEST

START_TEST(test_durable_with_nested)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/a", test_layer(home, "layer")));
	uint64_t before = commit();
	test_remove_layer(store, "layer");
	assert_durable(home, before);
	test_close(store);
}
END_TEST

START_TEST(test_durable_together)
{
	/*
	 * In a group: at the moment of each callback its layer is on the device, not only at the
	 * end.
	 */
	enum { LAYERS = 60 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[LAYERS] = { 0 };
	test_create(store, "base", NULL);
	test_submit_creates(store, "base", records, LAYERS);
	for (int done = 0; done < LAYERS;) {
		ck_assert_int_ge(varve_wait(store, TEST_WAIT_MS), 1);
		uint64_t committed = test_committed_generation();
		done = 0;
		for (int i = 0; i < LAYERS; i++) {
			struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
			if (!records[i].calls)
				continue;
			done++;
			test_error(records[i].error, 0);
			test_error(varve_layer_info_wait(store, test_path("%d", i), &info, NULL),
				   0);
			ck_assert_uint_le(info.created_generation, committed);
		}
	}
	ck_assert_uint_ge(test_committed_generation(), directory_generation(home));
	test_close(store);
}
END_TEST

START_TEST(test_relaxed_does_not_wait)
{
	/*
	 * Base layers and removals commit nothing of themselves: many relaxed ones need no
	 * transaction on the device.
	 */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct varve_failure failure;
	options.flags = VARVE_RELAXED;
	uint64_t before = commit();
	for (int i = 0; i < 200; i++)
		test_ok(varve_layer_create_wait(store, test_path("%d", i), &options, &failure),
			&failure);
	for (int i = 0; i < 200; i++)
		test_ok(varve_layer_remove_wait(store, test_path("%d", i), VARVE_RELAXED, &failure),
			&failure);
	uint64_t commits = test_committed_generation() - before;
	/* Before Linux 6.6 to make a subvolume is to commit. */
	uint64_t commits_max = test_kernel_since(6, 6) ? 50 : 210;
	ck_assert_msg(commits < commits_max, "400 relaxed requests made %llu commits",
		      (unsigned long long)commits);
	test_close(store);
}
END_TEST

START_TEST(test_commits_are_shared)
{
	/* Durable requests in flight together wait for the same commits. */
	enum { LAYERS = 256 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[LAYERS] = { 0 };
	test_create(store, "base", NULL);
	uint64_t before = commit();
	test_submit_creates(store, "base", records, LAYERS);
	test_await_all(store, records, LAYERS);
	uint64_t commits = test_committed_generation() - before;
	/*
	 * Before Linux 6.6 the first of a commit lets nobody join it: one each, but not one more
	 * for its durability.
	 */
	uint64_t commits_max = test_kernel_since(6, 6) ? LAYERS / 4 : LAYERS;
	ck_assert_msg(commits <= commits_max,
		      "%d durable creates in flight together took %llu commits", LAYERS,
		      (unsigned long long)commits);
	test_close(store);
}
END_TEST

START_TEST(test_contradiction)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = no_options;
	options.flags = VARVE_DURABLE | VARVE_RELAXED;
	test_error(varve_layer_create_wait(store, "a", &options, NULL), -EINVAL);
	test_error(varve_layer_remove_wait(store, "a", VARVE_DURABLE | VARVE_RELAXED, NULL),
		   -EINVAL);
	test_close(store);
}
END_TEST

TEST_MAIN("durability", test_durable_is_default, test_durable_in_relaxed_store,
	  test_durable_with_nested, test_durable_together, test_relaxed_does_not_wait,
	  test_commits_are_shared, test_contradiction)
