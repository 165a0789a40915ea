/* SPDX-License-Identifier: Apache-2.0 */
/* varve_refusal(): why the most recent request was refused. */
#include "test.h"

START_TEST(test_none)
{
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure;
	test_error(varve_refusal(store, &failure), -ENOENT);
	/* A request that is accepted and fails is no refusal. */
	test_error(varve_layer_remove_wait(store, "missing", 0, NULL), -ENOENT);
	test_error(varve_refusal(store, &failure), -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_latest)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	struct varve_failure failure = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	test_error(varve_layer_create(store, "a/b", NULL, test_record, &record, NULL), -EINVAL);
	test_error(varve_refusal(store, &failure), 0);
	test_error(failure.error, -EINVAL);
	ck_assert_str_eq(failure.operation, "create");
	ck_assert_str_eq(failure.step, "CHECK");
	ck_assert_str_eq(failure.id, "a/b");
	ck_assert_uint_gt(strlen(failure.detail), 0);
	test_error(varve_layer_remove(store, "..", 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_str_eq(failure.operation, "remove");
	ck_assert_str_eq(failure.id, "..");
	test_error(varve_sync(store, 1u << 31, test_record, &record, NULL), -EINVAL);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_str_eq(failure.operation, "sync");
	ck_assert_str_eq(failure.id, "");
	/* The reason names what is wrong. */
	options.storage_options = (const char *const[]){ "colour=red", NULL };
	test_error(varve_layer_create(store, "a", &options, test_record, &record, NULL), -EINVAL);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_msg(strstr(failure.detail, "colour") != NULL, "detail: %s", failure.detail);
	/* What is accepted does not change it, and neither does asking. */
	test_error(varve_noop_wait(store, NULL), 0);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_str_eq(failure.operation, "create");
	test_close(store);
}
END_TEST

/* Be refused on another thread. */
static void *be_refused(void *store)
{
	test_error(varve_layer_exists(store, "", test_record, NULL, NULL), -EINVAL);
	return NULL;
}

START_TEST(test_other_thread)
{
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure = { 0 };
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, be_refused, store), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* What another thread was refused is not this one's. */
	test_error(varve_refusal(store, &failure), -ENOENT);
	test_error(varve_layer_remove(store, "..", 0, test_record, NULL, NULL), -EINVAL);
	ck_assert_int_eq(pthread_create(&thread, NULL, be_refused, store), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_str_eq(failure.operation, "remove");
	test_close(store);
}
END_TEST

/* Be refused, and see one's own refusal. */
static void *be_refused_as(void *data)
{
	struct test_record *record = data;
	struct varve_failure failure = { 0 };
	for (unsigned round = 0; round < 200; round++) {
		test_error(varve_layer_remove(record->store, record->path, 0, test_record, NULL,
					      NULL),
			   -EINVAL);
		test_error(varve_refusal(record->store, &failure), 0);
		ck_assert_str_eq(failure.id, record->path);
	}
	return NULL;
}

/* More threads than are remembered one after the other, of which some are at it at once. */
START_TEST(test_many_threads)
{
	struct varve_store *store = test_open(test_home());
	for (unsigned round = 0; round < 10; round++) {
		struct test_record records[16] = { 0 };
		pthread_t threads[16];
		for (unsigned i = 0; i < 16; i++) {
			records[i] = (struct test_record){ .store = store,
							   .path = test_path("%u/%u", round, i) };
			ck_assert_int_eq(pthread_create(&threads[i], NULL, be_refused_as,
							&records[i]),
					 0);
		}
		for (unsigned i = 0; i < 16; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	}
	test_close(store);
}
END_TEST

START_TEST(test_own_store)
{
	struct varve_store *one = test_open(test_home()), *two = test_open(test_home());
	struct varve_failure failure;
	test_error(varve_layer_remove_wait(one, "", 0, NULL), -EINVAL);
	test_error(varve_refusal(two, &failure), -ENOENT);
	test_close(one);
	test_close(two);
}
END_TEST

TEST_MAIN("refusal", test_none, test_latest, test_other_thread, test_many_threads, test_own_store)
