/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=both */
/* A forked child may not use the store, and does the parent no harm by closing it. */
#include "test.h"

#include <unistd.h>

/* In the child: everything is refused. */
static int use_in_child(void *data)
{
	struct varve_store *store = data;
	struct test_record record = { 0 };
	struct varve_failure failure = { 0 };
	bool exists;
	test_error(varve_noop(store, test_record, &record, NULL), -ECHILD);
	test_error(varve_layer_create(store, "child", NULL, test_record, &record, NULL), -ECHILD);
	test_error(varve_layer_remove(store, "base", 0, test_record, &record, NULL), -ECHILD);
	test_error(varve_layer_list(store, test_record, &record, NULL), -ECHILD);
	test_error(varve_sync(store, 0, test_record, &record, NULL), -ECHILD);
	test_error(varve_dispatch(store, 0), -ECHILD);
	test_error(varve_wait(store, 0), -ECHILD);
	test_error(varve_wait(store, -1), -ECHILD);
	test_error(varve_wait_for(store, 1, -1), -ECHILD);
	test_error(varve_noop_wait(store, &failure), -ECHILD);
	test_error(failure.error, -ECHILD);
	test_error(varve_layer_exists_wait(store, "base", &exists, NULL), -ECHILD);
	test_error(varve_layer_create_wait(store, "child", NULL, NULL), -ECHILD);
	ck_assert_uint_eq(record.calls, 0);
	return 0;
}

/* In the child: close, and look for threads and descriptors. */
static int close_in_child(void *data)
{
	int descriptors = test_descriptors();
	test_error(varve_close(data), 0);
	ck_assert_int_lt(test_descriptors(), descriptors);
	return 0;
}

START_TEST(test_refused)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_in_child(use_in_child, store);
	ck_assert_int_eq(test_layers(home), 1);
	test_create(store, "after", "base");
	test_close(store);
}
END_TEST

START_TEST(test_close_in_child)
{
	if (!test_child_may_allocate())
		return;
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[200] = { 0 };
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < 200; i++) {
		test_error(varve_layer_create(store, test_path("%d", i), &options, test_record,
					      &records[i], NULL),
			   0);
		if (i % 50 == 25)
			test_in_child(close_in_child, store);
	}
	test_await_all(store, records, 200);
	for (int i = 0; i < 200; i++)
		test_error(records[i].error, 0);
	ck_assert_int_eq(test_layers(home), 201);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* In the child of one store: open another, on the same home, and use it. */
static int open_in_child(void *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "child", "base");
	test_close(store);
	return 0;
}

START_TEST(test_open_in_child)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_in_child(open_in_child, home);
	ck_assert(test_layer_exists(home, "child"));
	test_create(store, "parent", "child");
	test_close(store);
}
END_TEST

/* In the child: close the inherited store, open the home anew, and sweep. */
static int close_and_sweep(void *data)
{
	struct varve_store *store = *(struct varve_store **)data;
	test_error(varve_close(store), 0);
	char *home = ((char **)data)[1];
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure;
	store = test_open(home);
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.staging_removed, 0);
	test_close(store);
	return 0;
}

START_TEST(test_lock_survives)
{
	if (!test_child_may_allocate())
		return;
	/* What marks the parent's staging as in use is not given up by the child's close. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[300] = { 0 };
	void *data[] = { store, home };
	test_create(store, "base", NULL);
	test_submit_creates(store, "base", records, 300);
	int pids[4];
	for (int i = 0; i < 4; i++)
		pids[i] = test_child_start(close_and_sweep, data);
	test_await_all(store, records, 300);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(test_child_end(pids[i]), 0);
	for (int i = 0; i < 300; i++)
		ck_assert_msg(records[i].error == 0, "%d: %s at %s", i,
			      test_errno_name(records[i].error), records[i].failure.step);
	test_close(store);
}
END_TEST

TEST_MAIN("fork", test_refused, test_close_in_child, test_open_in_child, test_lock_survives)
