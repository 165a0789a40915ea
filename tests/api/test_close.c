/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_close(): every callback runs, exactly once, on the caller's thread; afterwards nothing is
 * left.
 *
 * varve-test: backend=both
 */
#include "test.h"

#define REQUESTS 100

START_TEST(test_null)
{
	test_error(varve_close(NULL), 0);
}
END_TEST

/* Close STORE, of HOME, with many creates and removes in flight, and check what came of them. */
static void close_busy(struct varve_store *store, const char *home, bool dispatched)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record creates[REQUESTS] = { 0 }, removes[REQUESTS] = { 0 },
			   noops[REQUESTS] = { 0 };
	options.parent = "base";
	for (int i = 0; i < REQUESTS; i++) {
		test_error(varve_layer_create(store, test_path("new-%d", i), &options, test_record,
					      &creates[i], NULL),
			   0);
		test_error(varve_layer_remove(store, test_path("old-%d", i), 0, test_record,
					      &removes[i], NULL),
			   0);
		test_error(varve_noop(store, test_record, &noops[i], NULL), 0);
	}
	if (dispatched)
		varve_wait(store, -1);
	test_error(varve_close(store), 0);
	for (int i = 0; i < REQUESTS; i++) {
		ck_assert_uint_eq(creates[i].calls, 1);
		ck_assert_uint_eq(removes[i].calls, 1);
		ck_assert_uint_eq(noops[i].calls, 1);
		ck_assert(pthread_equal(creates[i].thread, pthread_self()));
		ck_assert(creates[i].error == 0 || creates[i].error == -ECANCELED);
		ck_assert(removes[i].error == 0 || removes[i].error == -ECANCELED);
		ck_assert(noops[i].error == 0 || noops[i].error == -ECANCELED);
		ck_assert_int_eq(test_layer_exists(home, test_path("new-%d", i)),
				 creates[i].error == 0);
		ck_assert_int_eq(test_layer_exists(home, test_path("old-%d", i)),
				 removes[i].error != 0);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
}

START_TEST(test_in_flight)
{
	test_close(test_open(
		test_home())); /* A sanitizer starts a thread of its own with the first. */
	for (int dispatched = 0; dispatched < 2; dispatched++) {
		char *home = test_home();
		int threads = test_threads(), descriptors = test_descriptors();
		struct varve_store *store = test_open_relaxed(home);
		test_create(store, "base", NULL);
		for (int i = 0; i < REQUESTS; i++)
			test_create(store, test_path("old-%d", i), NULL);
		close_busy(store, home, dispatched);
		test_threads_are(threads);
		ck_assert_int_eq(test_descriptors(), descriptors);
		store = test_open(home);
		test_create(store, "works-again", "base");
		test_close(store);
	}
}
END_TEST

/* A callback that finds out that the store is being closed. */
static void submit_late(struct varve_store *store, const struct varve_result *result,
			void *user_data)
{
	varve_request request = 77;
	test_error(varve_noop(store, test_record, NULL, &request), -ESHUTDOWN);
	test_error(varve_layer_create(store, "late", NULL, test_record, NULL, &request),
		   -ESHUTDOWN);
	ck_assert_uint_eq(request, 77);
	++*(unsigned *)user_data;
}

START_TEST(test_submit_while_closing)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	unsigned count = 0;
	for (int i = 0; i < 10; i++)
		test_error(varve_layer_create(store, test_path("%d", i), NULL, submit_late, &count,
					      NULL),
			   0);
	test_close(store);
	ck_assert_uint_eq(count, 10);
	ck_assert(!test_layer_exists(home, "late"));
}
END_TEST

/* A callback that closes the store. */
static void close_now(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	test_error(varve_close(store), 0);
	test_error(varve_noop(store, test_record, NULL, NULL), -ESHUTDOWN);
	++*(unsigned *)user_data;
}

START_TEST(test_in_callback)
{
	enum { BY_DISPATCH, BY_WAIT, BY_WAIT_FOR, WAYS };
	test_close(test_open(test_home()));
	for (int way = 0; way < WAYS; way++) {
		int threads = test_threads(), descriptors = test_descriptors();
		char *home = test_home();
		struct varve_store *store = test_open(home);
		struct test_record records[REQUESTS] = { 0 };
		unsigned count = 0;
		varve_request request;
		test_error(varve_noop(store, close_now, &count, &request), 0);
		for (int i = 0; i < REQUESTS; i++)
			test_error(varve_layer_create(store, test_path("%d", i), NULL, test_record,
						      &records[i], NULL),
				   0);
		int result;
		if (way == BY_DISPATCH) {
			do {
				ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
				result = varve_dispatch(store, 0);
			} while (!result);
		} else if (way == BY_WAIT) {
			result = varve_wait(store, -1);
		} else {
			result = varve_wait_for(store, request, -1);
		}
		test_error(result, -ESHUTDOWN);
		ck_assert_uint_eq(count, 1);
		for (int i = 0; i < REQUESTS; i++) {
			ck_assert_uint_eq(records[i].calls, 1);
			ck_assert_int_eq(test_layer_exists(home, test_path("%d", i)),
					 records[i].error == 0);
		}
		ck_assert_uint_eq(test_leftovers(home), 0);
		test_threads_are(threads);
		ck_assert_int_eq(test_descriptors(), descriptors);
	}
}
END_TEST

START_TEST(test_unfetched)
{
	/* What has ended, but was never dispatched, is called back by close. */
	struct varve_store *store = test_open(test_home());
	struct test_record records[10] = { 0 };
	for (int i = 0; i < 10; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
	test_close(store);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(records[i].calls, 1);
}
END_TEST

TEST_MAIN("close", test_null, test_in_flight, test_submit_while_closing, test_in_callback,
	  test_unfetched)
