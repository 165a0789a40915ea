/* SPDX-License-Identifier: Apache-2.0 */
/* varve_layer_create_batch(): one callback, an outcome for each id, in order. */
#include "test.h"

#define LAYERS 200

static const struct varve_create_options no_options = VARVE_CREATE_OPTIONS_INIT;

/* COUNT ids PREFIX-0, PREFIX-1, ... */
static const char **make_ids(const char *prefix, size_t count)
{
	const char **ids = test_alloc(count * sizeof(*ids));
	for (size_t i = 0; i < count; i++)
		ids[i] = test_path("%s-%zu", prefix, i);
	return ids;
}

START_TEST(test_all_succeed)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct test_record record = { 0 };
	varve_request request;
	const char **ids = make_ids("layer", LAYERS);
	test_create(store, "base", NULL);
	test_write(test_path("%s/mark", test_layer(home, "base")), "x");
	options.parent = "base";
	test_error(varve_layer_create_batch(store, ids, LAYERS, &options, test_record, &record,
					    &request),
		   0);
	test_error(test_await(store, &record), 0);
	ck_assert_uint_eq(record.request, request);
	ck_assert_int_eq(record.operation, VARVE_CREATE);
	ck_assert(!record.has_failure);
	ck_assert_uint_eq(record.outcomes_count, LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		ck_assert_str_eq(record.outcome_ids[i], ids[i]);
		test_error(record.outcome_errors[i], 0);
		ck_assert(!record.outcome_has_failure[i]);
		ck_assert(test_exists(test_path("%s/mark", test_layer(home, ids[i]))));
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_base_layers)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_ok(varve_layer_create_batch_wait(store, make_ids("base", LAYERS), LAYERS, NULL, NULL,
					      &failure),
		&failure);
	ck_assert_int_eq(test_layers(home), LAYERS);
	test_close(store);
}
END_TEST

START_TEST(test_some_fail)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	const char **ids = make_ids("layer", 50);
	int errors[50];
	struct varve_failure failure = { 0 };
	test_create(store, "base", NULL);
	test_create(store, "layer-7", NULL);
	test_create(store, "layer-33", NULL);
	options.parent = "base";
	for (int i = 0; i < 50; i++)
		errors[i] = 77;
	test_error(varve_layer_create_batch_wait(store, ids, 50, &options, errors, &failure),
		   -EEXIST);
	ck_assert_str_eq(failure.id, "layer-7");
	test_error(failure.error, -EEXIST);
	for (int i = 0; i < 50; i++) {
		test_error(errors[i], i == 7 || i == 33 ? -EEXIST : 0);
		ck_assert(test_layer_exists(home, ids[i]));
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_first_error_in_order)
{
	/* -ENOENT of all: the parent is missing. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct test_record record = { 0 };
	options.parent = "missing";
	test_error(varve_layer_create_batch(store, make_ids("a", 10), 10, &options, test_record,
					    &record, NULL),
		   0);
	test_error(test_await(store, &record), -ENOENT);
	ck_assert_str_eq(record.failure.id, "a-0");
	for (int i = 0; i < 10; i++)
		test_error(record.outcome_errors[i], -ENOENT);
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_duplicates)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	const char *ids[] = { "a", "b", "a", "c", "b" };
	test_error(varve_layer_create_batch(store, ids, 5, NULL, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), -EEXIST);
	static const int errors[] = { 0, 0, -EEXIST, 0, -EEXIST };
	for (int i = 0; i < 5; i++)
		test_error(record.outcome_errors[i], errors[i]);
	ck_assert_int_eq(test_layers(home), 3);
	test_close(store);
}
END_TEST

START_TEST(test_refused)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	struct varve_failure failure = { 0 };
	int errors[3] = { 77, 77, 77 };
	const char *bad[] = { "a", "../b", "c" }, *good[] = { "a", "b", "c" },
		   *null[] = { "a", NULL, "c" };
	test_error(varve_layer_create_batch(store, bad, 3, NULL, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_create_batch_wait(store, bad, 3, NULL, errors, &failure), -EINVAL);
	ck_assert_int_eq(errors[0], 77);
	test_error(varve_layer_create_batch(store, null, 3, NULL, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_create_batch(store, good, 0, NULL, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_create_batch(store, NULL, 3, NULL, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_create_batch(store, good, 3, NULL, NULL, &record, NULL), -EINVAL);
	test_error(varve_layer_create_batch(NULL, good, 3, NULL, test_record, &record, NULL),
		   -EINVAL);
	size_t over = VARVE_BATCH_MAX + 1;
	const char **many = test_alloc(over * sizeof(*many));
	for (size_t i = 0; i < over; i++)
		many[i] = "a";
	test_error(varve_layer_create_batch(store, many, over, NULL, test_record, &record, NULL),
		   -EINVAL);
	ck_assert_int_eq(varve_pending(store), 0);
	ck_assert_uint_eq(record.calls, 0);
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_counts_as_one)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.requests_max = 1;
	struct varve_store *store = test_open_config(&config);
	struct varve_failure failure;
	test_ok(varve_layer_create_batch_wait(store, make_ids("a", 100), 100, NULL, NULL, &failure),
		&failure);
	ck_assert_int_eq(test_layers(home), 100);
	test_close(store);
}
END_TEST

START_TEST(test_largest)
{
	/* The largest that is accepted; of few names, so that most of them fail at once. */
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	const char **ids = test_alloc(VARVE_BATCH_MAX * sizeof(*ids));
	int *errors = test_alloc(VARVE_BATCH_MAX * sizeof(*errors));
	unsigned succeeded = 0;
	for (size_t i = 0; i < VARVE_BATCH_MAX; i++)
		ids[i] = test_path("layer-%zu", i % 64);
	test_error(varve_layer_create_batch_wait(store, ids, VARVE_BATCH_MAX, NULL, errors, NULL),
		   -EEXIST);
	for (size_t i = 0; i < VARVE_BATCH_MAX; i++) {
		ck_assert(errors[i] == 0 || errors[i] == -EEXIST);
		succeeded += errors[i] == 0;
	}
	ck_assert_uint_eq(succeeded, 64);
	test_close(store);
}
END_TEST

TEST_MAIN("create_batch", test_all_succeed, test_base_layers, test_some_fail,
	  test_first_error_in_order, test_duplicates, test_refused, test_counts_as_one,
	  test_largest)
