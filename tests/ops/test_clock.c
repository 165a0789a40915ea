/* SPDX-License-Identifier: Apache-2.0 */
/* engine/core/clock on a real file system: groups share commits, one alone needs none of that, durability is what it says. */
#include "test.h"

#include "engine/core/store.h"

#include <sys/utsname.h>

/* Layers at once; well below the worker slots. */
#define GROUP 64

/* Create GROUP layers from "base" at once, named with PREFIX. */
static void create_group(struct varve_store *store, const char *prefix, uint32_t flags) {
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record *records = test_alloc(GROUP * sizeof(*records));

	options.parent = "base";
	options.flags = flags;
	for (int i = 0; i < GROUP; i++)
		test_error(varve_layer_create(store, test_path("%s%d", prefix, i), &options, test_record, &records[i], NULL), 0);
	test_await_all(store, records, GROUP);
	for (int i = 0; i < GROUP; i++)
		test_error(records[i].error, 0);
}

/* Does this kernel let others join a commit whose first member waits (COMMIT_PREP, Linux 6.6)? */
static bool groups_form(void) {
	struct utsname name;
	int major = 0, minor = 0;

	ck_assert_int_eq(uname(&name), 0);
	ck_assert_int_eq(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 6);
}

START_TEST(test_group) {
	struct varve_store *store = test_open(test_home());
	struct varve_statistics before, after;

	test_create(store, "base", NULL);
	create_group(store, "warm", VARVE_RELAXED);
	test_error(varve_statistics(store, &before), 0);
	create_group(store, "group", VARVE_RELAXED);
	test_error(varve_statistics(store, &after), 0);
	ck_assert_uint_eq(after.snapshots - before.snapshots, GROUP);
	/* Two commits a group is the rule; how many groups they fall into is the scheduler's. One each would be 64. */
	if (groups_form())
		ck_assert_uint_le(after.commits - before.commits, GROUP / 4);
	ck_assert_uint_ge(after.group_max, GROUP / 4);
	test_close(store);
}
END_TEST

START_TEST(test_alone) {
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_statistics before, after;

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

START_TEST(test_durable_alone) {
	/* A durable create that commits nothing by itself is on the device when its callback runs. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_layer_info info;

	for (int i = 0; i < 5; i++) {
		test_create(store, test_path("%d", i), NULL);
		test_error(varve_layer_info_wait(store, test_path("%d", i), &info, NULL), 0);
		ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	}
	test_close(store);
}
END_TEST

START_TEST(test_durable_group) {
	struct varve_store *store = test_open(test_home());
	struct varve_layer_info info;

	test_create(store, "base", NULL);
	create_group(store, "group", VARVE_DURABLE);
	for (int i = 0; i < GROUP; i++) {
		test_error(varve_layer_info_wait(store, test_path("group%d", i), &info, NULL), 0);
		ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	}
	test_close(store);
}
END_TEST

START_TEST(test_starvation) {
	/* Many destroys ahead of a create do not keep it from being made in between. */
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	enum { MANY = 4 * DESTROYS_PER_CALL_MAX };
	const char **ids = test_alloc(MANY * sizeof(*ids));
	struct test_record removal = { 0 }, create = { 0 };

	for (int i = 0; i < MANY; i++)
		ids[i] = test_path("%d", i);
	options.flags = VARVE_RELAXED;
	test_error(varve_layer_create_batch_wait(store, ids, MANY, &options, NULL, NULL), 0);
	test_create(store, "base", NULL);
	options.parent = "base";
	test_error(varve_layer_remove_batch(store, ids, MANY, VARVE_RELAXED, test_record, &removal, NULL), 0);
	test_error(varve_layer_create(store, "new", &options, test_record, &create, NULL), 0);
	test_error(test_await(store, &removal), 0);
	test_error(test_await(store, &create), 0);
	ck_assert_uint_lt(create.turn, removal.turn);
	test_close(store);
}
END_TEST

START_TEST(test_more_than_slots) {
	/* More at once than there are worker slots: some wait for the next beat, all are made. */
	struct varve_config config = test_config(test_home());
	struct varve_statistics statistics;
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

START_TEST(test_no_commit_counts_for_others) {
	/* The first of a group fails: the durable requests that counted on its commit get another. */
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record first = { 0 }, second = { 0 };
	struct varve_layer_info info;

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
static int create_without_space(struct varve_store *store, const char *id, long nth, bool persistent, long *ret_hits) {
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int r;

	options.parent = "base";
	fault_arm(&store->io.fault, FAULT_LANE, nth, -ENOSPC, persistent);
	r = varve_layer_create_wait(store, id, &options, NULL);
	*ret_hits = atomic_load(&store->io.fault.hits);
	fault_arm(&store->io.fault, FAULT_LANE, 0, 0, false);
	return r;
}

START_TEST(test_retry_alone) {
	/* What fails for want of space in a group is tried once more by itself, and once only. */
	struct varve_store *store = test_open(test_home());
	/* Without a ring the source is opened by a lane, too. */
	long stage = strcmp(test_backend(), "threads") ? 1 : 2, hits;

	test_create(store, "base", NULL);
	if (store->io.ring_error)
		stage = 2;
	test_error(create_without_space(store, "once", stage, false, &hits), 0);
	ck_assert_int_eq(hits, 1);
	test_error(create_without_space(store, "always", stage, true, &hits), -ENOSPC);
	ck_assert_int_eq(hits, 2);
	test_close(store);
}
END_TEST

TEST_MAIN("clock", test_group, test_alone, test_durable_alone, test_durable_group, test_starvation, test_more_than_slots,
	  test_no_commit_counts_for_others, test_retry_alone)
