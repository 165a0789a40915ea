/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: timeout=120 kernel-says=rescan.is.already.in.progress
 *
 * Groups of layers: they share a limit, come with their first layer and go with the last, in both
 * modes of quota.
 */
#include "quota.h"

#include <dirent.h>

/*
 * Assert that full quotas are as consistent as a rescan makes them: the numbers of COUNT layers IDS
 * are what it finds.
 */
static void assert_counts(struct varve_store *store, const char *const *ids, size_t count)
{
	struct varve_layer_info before[8];
	struct varve_failure failure;
	ck_assert_uint_le(count, TEST_COUNT(before));
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	for (size_t i = 0; i < count; i++)
		before[i] = info_of(store, ids[i]);
	test_ok(varve_quota_rescan_wait(store, VARVE_QUOTA_WAIT, &failure), &failure);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(info_of(store, ids[i]).quota_referenced,
				  before[i].quota_referenced);
		ck_assert_uint_eq(info_of(store, ids[i]).quota_exclusive,
				  before[i].quota_exclusive);
	}
}

/* Create ID from PARENT with the two storage options; returns the error. */
static int create_with_two(struct varve_store *store, const char *id, const char *parent,
			   const char *one, const char *two)
{
	const char *const options_list[] = { one, two, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = parent;
	options.storage_options = options_list;
	return varve_layer_create_wait(store, id, &options, NULL);
}

/* Layers of one group share its limit, and the group goes with the last of them. */
START_TEST(test_groups)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	test_create(store, "parent", NULL);
	test_error(create_with_two(store, "a", "parent", "group=job:8m", "group=all"), 0);
	test_error(create_with_two(store, "b", "parent", "group=job", "size=4m"), 0);
	test_error(create_with(store, "c", NULL, "GROUP=job", VARVE_CREATE_READ_ONLY), 0);
	ck_assert_uint_eq(groups_of_level_1(store), 2);
	assert_limit(store, home, "a", 0);
	assert_limit(store, home, "b", 4 * MIB);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "a")), 5 * MIB), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "b")), 5 * MIB), -EDQUOT);
	test_error(write_bytes(test_path("%s/more", test_layer(home, "a")), 5 * MIB), -EDQUOT);
	/* A new size holds for all. */
	test_error(create_with(store, "d", "parent", "group=job:20m", 0), 0);
	test_error(write_bytes(test_path("%s/again", test_layer(home, "a")), 8 * MIB), 0);
	/*
	 * What a layer holds no longer counts when it is removed, and the group of a layer that is
	 * alone goes with it.
	 */
	test_remove_layer(store, "a");
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "d")), 12 * MIB), 0);
	test_remove_layer(store, "b");
	test_remove_layer(store, "d");
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_remove_layer(store, "c");
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_ok(varve_quota_gc_wait(store, NULL, &failure), &failure);
	test_close(store);
}
END_TEST

/*
 * Quota was off for a while, so the group is gone, but not its record: it is made again, with its
 * limit.
 */
START_TEST(test_group_again)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	test_error(create_with(store, "a", NULL, "group=job:8m", 0), 0);
	test_close(store);
	store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	test_error(create_with(store, "b", NULL, "group=job", 0), 0);
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "b")), 12 * MIB), -EDQUOT);
	test_remove_layer(store, "b");
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	test_close(store);
}
END_TEST

/* The name that btrfs gives to the only group of HOME. */
static char *only_group(const char *home)
{
	DIR *directory = opendir(test_path("%s/.varve/groups", home));
	char *name = NULL;
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		if (entry->d_name[0] != '.')
			name = test_path("1/%llu", strtoull(entry->d_name, NULL, 16));
	closedir(directory);
	ck_assert_ptr_nonnull(name);
	return name;
}

/*
 * The limit is not in force: the process that made the group has died before that, or another took
 * it away. A create that joins sets it.
 */
START_TEST(test_group_unlimited)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	test_error(create_with(store, "a", NULL, "group=job:8m", 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		test_command((const char *[]){ "btrfs", "qgroup", "limit", "none", only_group(home),
					       test_mount(), NULL });
		test_error(create_with(store, test_path("%u", i), NULL,
				       i ? "group=job" : "group=job:8m", 0),
			   0);
		test_error(write_bytes(test_path("%s/file", test_layer(home, test_path("%u", i))),
				       12 * MIB),
			   -EDQUOT);
		test_remove_layer(store, test_path("%u", i));
	}
	test_close(store);
}
END_TEST

/* Many layers that come and go at once, in one group. */
START_TEST(test_group_churn)
{
	if (!have_simple())
		return;
	enum { COUNT = 120 };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.storage_options = (const char *const[]){ "group=job:1g", NULL };
	for (int round = 0; round < 3; round++) {
		struct test_record records[COUNT] = { 0 }, removals[COUNT] = { 0 };
		for (int i = 0; i < COUNT; i++) {
			char *id = test_path("layer-%d", i);
			test_error(varve_layer_create(store, id, &options, test_record, &records[i],
						      NULL),
				   0);
			test_error(varve_layer_remove(store, id, VARVE_RELAXED, test_record,
						      &removals[i], NULL),
				   0);
		}
		test_await_all(store, records, COUNT);
		test_await_all(store, removals, COUNT);
		for (int i = 0; i < COUNT; i++) {
			test_error(records[i].error, 0);
			test_error(removals[i].error, 0);
		}
		ck_assert_uint_eq(groups_of_level_1(store), 0);
	}
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_close(store);
}
END_TEST

/* Names that are none, and too many. */
START_TEST(test_groups_refused)
{
	static const char *const bad[] = { "group=",   "group=a/b", "group=.varve",
					   "group=x:", "group=x:y", "group=x:0" };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *nine[10];
	for (size_t i = 0; i < TEST_COUNT(bad); i++)
		test_error(create_with(store, "layer", NULL, bad[i], 0), -EINVAL);
	for (size_t i = 0; i < TEST_COUNT(nine); i++)
		nine[i] = i < 9 ? test_path("group=g%zu", i) : NULL;
	options.storage_options = nine;
	test_error(varve_layer_create_wait(store, "layer", &options, NULL), -EINVAL);
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
}
END_TEST

/*
 * Full quotas: what the kernel cannot count is refused before anything is made, and quota stays
 * consistent.
 */
START_TEST(test_full_refused)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	test_create(store, "image", NULL);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "image")), MIB), 0);
	test_error(create_with(store, "base", NULL, "group=job:4m", 0), 0);
	/*
	 * The parent is in no group, in another one, in one that the snapshot does not join, in one
	 * of two.
	 */
	test_error(create_with(store, "child", "image", "group=job", 0), -ENOTSUP);
	test_error(create_with(store, "child", "base", "group=other", 0), -ENOTSUP);
	test_error(create_with(store, "child", "base", NULL, 0), -ENOTSUP);
	test_error(create_with(store, "child", "base", "size=8m", 0), -ENOTSUP);
	options.parent = "base";
	options.storage_options = (const char *const[]){ "group=job", "group=other", NULL };
	test_error(varve_layer_create_wait(store, "child", &options, &failure), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(failure.detail, "inconsistent"));
	ck_assert_int_eq(test_layers(home), 2);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	assert_counts(store, (const char *const[]){ "image", "base" }, 2);
	/* Data that a layer outside shares: the group does not own it alone any more. */
	test_command((const char *[]){ "cp", "--reflink=always",
				       test_path("%s/file", test_layer(home, "image")),
				       test_path("%s/file", test_layer(home, "base")), NULL });
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	test_error(create_with(store, "child", "base", "group=job", 0), -ENOTSUP);
	ck_assert_int_eq(test_layers(home), 2);
	assert_counts(store, (const char *const[]){ "image", "base" }, 2);
	test_close(store);
}
END_TEST

/*
 * Full quotas: a job's first layer and snapshots of it share one limit, and the counts are those of
 * a rescan.
 */
START_TEST(test_full_group)
{
	if (!test_kernel_since(6, 9)) {
		test_skip("no snapshot joins a group under full quotas before Linux 6.9");
		return;
	}
	enum { BATCH = 5 };
	static const char *const ids[BATCH + 3] = { "one",  "two",  "three", "four",
						    "five", "base", "child", "grandchild" };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	test_error(create_with(store, "base", NULL, "group=job:16m", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_error(create_with(store, "child", "base", "group=job", 0), 0);
	/* What they share counts once: 4 and 8 of 16 MiB. */
	test_error(write_bytes(test_path("%s/own", test_layer(home, "child")), 8 * MIB), 0);
	test_error(create_with(store, "grandchild", "child", "group=job", 0), 0);
	test_error(write_bytes(test_path("%s/own", test_layer(home, "base")), 8 * MIB), -EDQUOT);
	options.parent = "base";
	options.storage_options = (const char *const[]){ "group=job", "size=20m", NULL };
	test_ok(varve_layer_create_batch_wait(store, ids, BATCH, &options, NULL, &failure),
		&failure);
	ck_assert_uint_eq(info_of(store, "one").quota_limit, 20 * MIB);
	test_error(write_bytes(test_path("%s/more", test_layer(home, "grandchild")), 8 * MIB),
		   -EDQUOT);
	assert_counts(store, ids, TEST_COUNT(ids));
	/* Those that are left go on sharing it, and the group goes with the last one. */
	test_remove_layer(store, "base");
	test_remove_layer(store, "child");
	clean(store);
	assert_counts(store, (const char *const[]){ "grandchild", "one" }, 2);
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	for (int i = 0; i < BATCH; i++)
		test_remove_layer(store, ids[i]);
	test_remove_layer(store, "grandchild");
	clean(store);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_close(store);
}
END_TEST

/* The limit of a group, changed. */
static void limit_group(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	struct varve_failure failure;
	test_error(create_with(store, "a", NULL, "group=job", 0), 0);
	test_error(create_with(store, "b", NULL, "group=job", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "a")), 5 * MIB), 0);
	test_ok(varve_quota_limit_group_wait(store, "job", 6 * MIB, &failure), &failure);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "b")), 5 * MIB), -EDQUOT);
	test_ok(varve_quota_limit_group_wait(store, "job", 0, &failure), &failure);
	test_error(write_bytes(test_path("%s/more", test_layer(home, "b")), 5 * MIB), 0);
	test_error(varve_quota_limit_group_wait(store, "nothing", 6 * MIB, &failure), -ENOENT);
	ck_assert_str_ne(failure.detail, "");
	test_error(varve_quota_limit_group_wait(store, "a/b", 6 * MIB, NULL), -EINVAL);
	test_ok(varve_quota_disable_wait(store, &failure), &failure);
	test_error(varve_quota_limit_group_wait(store, "job", 6 * MIB, NULL), -ENOTCONN);
	test_close(store);
}
TEST_BOTH(limit_group)

TEST_MAIN("quota_groups", test_groups, test_group_again, test_group_unlimited, test_group_churn,
	  test_groups_refused, test_full_refused, test_full_group, test_limit_group_simple,
	  test_limit_group_full)
