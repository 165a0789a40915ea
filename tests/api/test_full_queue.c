/* SPDX-License-Identifier: Apache-2.0 */
/* requests_max: one more is refused with -EAGAIN, and a dispatch makes room. */
#include "test.h"

#define MAX 4

START_TEST(test_full)
{
	struct varve_config config = test_config(test_home());
	config.requests_max = MAX;
	struct varve_store *store = test_open_config(&config);
	struct test_record records[MAX] = { 0 }, refused = { 0 };
	struct varve_failure failure = { 0 };
	varve_request request = 77;
	for (int round = 0; round < 20; round++) {
		memset(records, 0, sizeof(records));
		for (int i = 0; i < MAX; i++)
			test_error(varve_noop(store, test_record, &records[i], NULL), 0);
		/* They count until their callbacks have returned, ended or not. */
		test_error(varve_noop(store, test_record, &refused, &request), -EAGAIN);
		ck_assert(test_readable(varve_fd(store), TEST_WAIT_MS));
		test_error(varve_layer_create(store, "a", NULL, test_record, &refused, &request),
			   -EAGAIN);
		test_error(varve_layer_list(store, test_record, &refused, NULL), -EAGAIN);
		ck_assert_uint_eq(request, 77);
		test_error(varve_refusal(store, &failure), 0);
		test_error(failure.error, -EAGAIN);
		test_error(varve_noop_wait(store, &failure), -EAGAIN);
		test_error(failure.error, -EAGAIN);
		/* A batch of any size is one. */
		const char *ids[] = { "a", "b" };
		test_error(varve_layer_create_batch(store, ids, 2, NULL, test_record, &refused,
						    NULL),
			   -EAGAIN);
		ck_assert_int_eq(varve_dispatch(store, 1), 1);
		struct test_record more = { 0 };
		test_error(varve_noop(store, test_record, &more, NULL), 0);
		test_error(varve_noop(store, test_record, &refused, NULL), -EAGAIN);
		test_await_all(store, records, MAX);
		test_await(store, &more);
	}
	ck_assert_uint_eq(refused.calls, 0);
	test_close(store);
}
END_TEST

START_TEST(test_one)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.requests_max = 1;
	struct varve_store *store = test_open_config(&config);
	for (int i = 0; i < 10; i++) {
		test_create(store, test_path("%d", i), NULL);
		test_create(store, test_path("child-%d", i), test_path("%d", i));
		test_remove_layer(store, test_path("%d", i));
	}
	ck_assert_int_eq(test_layers(home), 10);
	test_close(store);
}
END_TEST

/* Submit the next as soon as there is room, in the callback. */
struct refill {
	unsigned submitted;
	unsigned ended;
	unsigned refused;
	unsigned target;
};

/* Replace the request that has ended; in its callback it still counts. */
static void refill(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct refill *state = user_data;
	test_error(result->error, 0);
	state->ended++;
	if (state->submitted < state->target) {
		int error = varve_noop(store, refill, state, NULL);
		ck_assert(error == 0 || error == -EAGAIN);
		state->submitted += error == 0;
		state->refused += error != 0;
	}
}

START_TEST(test_keep_full)
{
	struct varve_config config = test_config(test_home());
	config.requests_max = 64;
	struct varve_store *store = test_open_config(&config);
	struct refill state = { .target = 20000 };
	while (state.ended < state.target) {
		int error = 0;
		while (state.submitted < state.target &&
		       (error = varve_noop(store, refill, &state, NULL)) == 0)
			state.submitted++;
		ck_assert(error == 0 || error == -EAGAIN);
		ck_assert_int_ge(varve_wait(store, TEST_WAIT_MS), 1);
	}
	ck_assert_uint_eq(state.ended, state.target);
	test_close(store);
}
END_TEST

START_TEST(test_largest)
{
	struct varve_config config = test_config(test_home());
	config.requests_max = VARVE_REQUESTS_MAX;
	struct varve_store *store = test_open_config(&config);
	struct test_record *records = test_alloc(VARVE_REQUESTS_MAX * sizeof(*records));
	for (unsigned i = 0; i < VARVE_REQUESTS_MAX; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	test_error(varve_noop(store, test_record, &records[0], NULL), -EAGAIN);
	test_await_all(store, records, VARVE_REQUESTS_MAX);
	test_close(store);
}
END_TEST

START_TEST(test_default_is_4096)
{
	struct varve_store *store = test_open(test_home());
	struct test_record *records = test_alloc(4096 * sizeof(*records));
	for (unsigned i = 0; i < 4096; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	test_error(varve_noop(store, test_record, NULL, NULL), -EAGAIN);
	test_await_all(store, records, 4096);
	test_close(store);
}
END_TEST

TEST_MAIN("full_queue", test_full, test_one, test_keep_full, test_largest, test_default_is_4096)
