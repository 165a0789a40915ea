/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=both */
/* The descriptor, varve_dispatch(), varve_wait() and varve_wait_for(). */
#include "test.h"

#include <unistd.h>

START_TEST(test_fd_tells)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	int fd = varve_fd(store);
	ck_assert_int_ge(fd, 0);
	ck_assert(!test_readable(fd, 0));
	test_error(varve_dispatch(store, 0), 0);
	for (int i = 0; i < 100; i++) {
		varve_request request = 0;
		test_error(varve_noop(store, test_record, &record, &request), 0);
		ck_assert_uint_ne(request, 0);
		ck_assert(test_readable(fd, TEST_WAIT_MS));
		/* It stays readable until the callback has run. */
		ck_assert(test_readable(fd, 0));
		ck_assert_uint_eq(record.calls, 0);
		ck_assert_int_eq(varve_dispatch(store, 0), 1);
		ck_assert_uint_eq(record.calls, 1);
		ck_assert_uint_eq(record.request, request);
		ck_assert_int_eq(record.operation, VARVE_NOOP);
		ck_assert_ptr_eq(record.store, store);
		test_error(record.error, 0);
		ck_assert(!record.has_failure);
		ck_assert(!test_readable(fd, 0));
		ck_assert_int_eq(varve_fd(store), fd);
		record = (struct test_record){ 0 };
	}
	test_close(store);
}
END_TEST

START_TEST(test_dispatch_max)
{
	enum { REQUESTS = 100, MAX = 7 };
	struct varve_store *store = test_open(test_home());
	struct test_record records[REQUESTS] = { 0 };
	int total = 0;
	for (int i = 0; i < REQUESTS; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	while (total < REQUESTS) {
		ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
		int ran = varve_dispatch(store, MAX);
		ck_assert_int_ge(ran, 1);
		ck_assert_int_le(ran, MAX);
		total += ran;
	}
	ck_assert_int_eq(total, REQUESTS);
	for (int i = 0; i < REQUESTS; i++)
		ck_assert_uint_eq(records[i].calls, 1);
	ck_assert(!test_readable(varve_fd(store), 0));
	test_close(store);
}
END_TEST

/* A callback that always has one more request. */
static void again(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	unsigned *count = user_data;
	if (result->error == 0 && ++*count < 1000000)
		varve_noop(store, again, count, NULL);
}

START_TEST(test_dispatch_is_bounded)
{
	struct varve_store *store = test_open(test_home());
	unsigned count = 0;
	test_error(varve_noop(store, again, &count, NULL), 0);
	for (unsigned turn = 1; turn <= 200; turn++) {
		ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
		ck_assert_int_eq(varve_dispatch(store, 0), 1);
		ck_assert_uint_eq(count, turn);
	}
	test_close(store);
}
END_TEST

/* Do in a callback what is not allowed there. */
static void misbehave(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct varve_failure failure;
	bool exists;
	test_error(varve_dispatch(store, 0), -EBUSY);
	test_error(varve_wait(store, 0), -EBUSY);
	test_error(varve_wait(store, -1), -EBUSY);
	test_error(varve_wait_for(store, result->request, -1), -EBUSY);
	test_error(varve_noop_wait(store, &failure), -EBUSY);
	test_error(failure.error, -EBUSY);
	test_error(varve_layer_exists_wait(store, "a", &exists, NULL), -EBUSY);
	test_error(varve_layer_create_wait(store, "a", NULL, NULL), -EBUSY);
	++*(unsigned *)user_data;
}

START_TEST(test_busy_in_callback)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	unsigned count = 0;
	varve_request request;
	test_error(varve_noop(store, misbehave, &count, NULL), 0);
	test_dispatch_until(store, &count, 1);
	test_error(varve_noop(store, misbehave, &count, NULL), 0);
	ck_assert_int_eq(varve_wait(store, -1), 1);
	test_error(varve_noop(store, misbehave, &count, &request), 0);
	test_error(varve_wait_for(store, request, -1), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
}
END_TEST

/* Submit a create in a callback, and cancel it. */
static void submit_and_cancel(struct varve_store *store, const struct varve_result *result,
			      void *user_data)
{
	struct test_record *records = user_data;
	varve_request request;
	test_error(varve_noop(store, test_record, &records[0], NULL), 0);
	test_error(varve_noop(store, test_record, &records[1], &request), 0);
	test_error(varve_cancel(store, request), 0);
	/* The request whose callback this is has not ended yet: its callback has not returned. */
	test_error(varve_cancel(store, result->request + 1000000), -ENOENT);
}

START_TEST(test_submit_in_callback)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[2] = { 0 };
	test_error(varve_noop(store, submit_and_cancel, records, NULL), 0);
	ck_assert_int_ge(varve_wait(store, -1), 1);
	test_error(test_await(store, &records[0]), 0);
	test_await(store, &records[1]);
	ck_assert(records[1].error == 0 || records[1].error == -ECANCELED);
	test_close(store);
}
END_TEST

START_TEST(test_wait)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[20] = { 0 };
	test_error(varve_wait(store, 0), 0);
	for (size_t i = 0; i < TEST_COUNT(records); i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	for (int ran = 0; ran < (int)TEST_COUNT(records);) {
		int now = varve_wait(store, -1);
		ck_assert_int_ge(now, 1);
		ran += now;
	}
	for (size_t i = 0; i < TEST_COUNT(records); i++)
		ck_assert_uint_eq(records[i].calls, 1);
	ck_assert_int_eq(varve_pending(store), 0);
	test_close(store);
}
END_TEST

/* Submit a request while the other thread waits, or is about to. */
static void *submit_later(void *data)
{
	struct test_record *record = data;
	test_error(varve_noop(record->store, test_record, record, NULL), 0);
	return NULL;
}

/* An idle store waits for its time, and for what another thread submits. */
START_TEST(test_wait_idle)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { .store = store };
	int64_t begin = test_now_ms();
	pthread_t thread;
	test_error(varve_wait(store, 50), 0);
	ck_assert_int_ge(test_now_ms() - begin, 50);
	ck_assert_int_eq(pthread_create(&thread, NULL, submit_later, &record), 0);
	ck_assert_int_eq(varve_wait(store, -1), 1);
	ck_assert_uint_eq(record.calls, 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	test_close(store);
}
END_TEST

START_TEST(test_wait_times_out)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	varve_request request;
	test_freeze();
	test_error(varve_layer_create(store, "a", NULL, test_record, &record, &request), 0);
	/* Nothing can come: one that waits does so for ever. */
	test_error(varve_wait(store, 0), 0);
	int64_t start_ms = test_now_ms();
	test_error(varve_wait(store, 50), 0);
	ck_assert_int_ge(test_now_ms() - start_ms, 49);
	test_error(varve_wait_for(store, request, 0), -ETIME);
	start_ms = test_now_ms();
	test_error(varve_wait_for(store, request, 50), -ETIME);
	ck_assert_int_ge(test_now_ms() - start_ms, 49);
	ck_assert_uint_eq(record.calls, 0);
	test_thaw();
	test_error(varve_wait_for(store, request, -1), 0);
	ck_assert_uint_eq(record.calls, 1);
	test_error(record.error, 0);
	ck_assert(test_layer_exists(home, "a"));
	test_close(store);
}
END_TEST

START_TEST(test_wait_for_one)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[10] = { 0 };
	varve_request requests[10];
	for (size_t i = 0; i < 10; i++)
		test_error(varve_noop(store, test_record, &records[i], &requests[i]), 0);
	test_error(varve_wait_for(store, requests[7], -1), 0);
	for (size_t i = 0; i < 10; i++)
		ck_assert_uint_eq(records[i].calls, i == 7);
	/* It has ended: at once, and no other callback runs. */
	test_error(varve_wait_for(store, requests[7], -1), 0);
	test_error(varve_wait_for(store, requests[7], 0), 0);
	ck_assert_uint_eq(records[0].calls, 0);
	test_error(varve_wait_for(store, requests[2], -1), 0);
	ck_assert_uint_eq(records[2].calls, 1);
	test_await_all(store, records, 10);
	test_error(varve_dispatch(store, 0), 0);
	ck_assert(!test_readable(varve_fd(store), 0));
	test_close(store);
}
END_TEST

START_TEST(test_twin_runs_no_other)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[10] = { 0 };
	for (size_t i = 0; i < 10; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	test_create(store, "a", NULL);
	test_error(varve_noop_wait(store, NULL), 0);
	for (size_t i = 0; i < 10; i++)
		ck_assert_uint_eq(records[i].calls, 0);
	test_await_all(store, records, 10);
	test_close(store);
}
END_TEST

START_TEST(test_null)
{
	struct test_record record = { 0 };
	test_error(varve_noop(NULL, test_record, &record, NULL), -EINVAL);
	struct varve_store *store = test_open(test_home());
	test_error(varve_noop(store, NULL, &record, NULL), -EINVAL);
	test_close(store);
	ck_assert_uint_eq(record.calls, 0);
}
END_TEST

/* Order requests by number. */
static int compare_requests(const void *a, const void *b)
{
	varve_request left = *(const varve_request *)a, right = *(const varve_request *)b;
	return left < right ? -1 : left > right;
}

START_TEST(test_requests_are_unique)
{
	enum { ROUNDS = 100, BURST = 100 };
	struct varve_store *store = test_open(test_home());
	varve_request *seen = test_alloc(ROUNDS * BURST * sizeof(*seen));
	struct test_record record = { 0 };
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BURST; i++)
			test_error(varve_noop(store, test_record, &record,
					      &seen[round * BURST + i]),
				   0);
		while (record.calls < BURST) {
			ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
			ck_assert_int_ge(varve_dispatch(store, 0), 0);
		}
		record = (struct test_record){ 0 };
		/* A handle of an earlier round is refused, whatever has taken its slot. */
		test_error(varve_cancel(store, seen[round * BURST]), -ENOENT);
	}
	qsort(seen, ROUNDS * BURST, sizeof(*seen), compare_requests);
	ck_assert_uint_ne(seen[0], 0);
	for (int i = 1; i < ROUNDS * BURST; i++)
		ck_assert_uint_ne(seen[i - 1], seen[i]);
	test_close(store);
}
END_TEST

START_TEST(test_stale)
{
	/*
	 * With room for one, each request takes the place of the one before: its handle must not be
	 * taken for the new one.
	 */
	struct varve_config config = test_config(test_home());
	config.requests_max = 1;
	struct varve_store *store = test_open_config(&config);
	varve_request before, request;
	test_error(varve_noop(store, test_record, test_alloc(sizeof(struct test_record)), &before),
		   0);
	ck_assert_int_eq(varve_wait(store, -1), 1);
	for (int i = 0; i < 100; i++) {
		struct test_record record = { 0 };
		test_error(varve_noop(store, test_record, &record, &request), 0);
		ck_assert_uint_ne(request, before);
		test_error(varve_cancel(store, before), -ENOENT);
		test_error(varve_wait_for(store, before, -1), 0);
		ck_assert_uint_eq(record.calls, 0);
		test_error(varve_wait_for(store, request, -1), 0);
		ck_assert_uint_eq(record.calls, 1);
		test_error(record.error, 0);
		before = request;
	}
	test_close(store);
}
END_TEST

TEST_MAIN("fd_dispatch", test_fd_tells, test_dispatch_max, test_dispatch_is_bounded,
	  test_busy_in_callback, test_submit_in_callback, test_wait, test_wait_idle,
	  test_wait_times_out, test_wait_for_one, test_twin_runs_no_other, test_null,
	  test_requests_are_unique, test_stale)
