/* SPDX-License-Identifier: Apache-2.0 */
/* varve_refusal(): why the most recent request was refused. */
#include "test.h"

START_TEST(test_none) {
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure;
	test_error(varve_refusal(store, &failure), -ENOENT);
	/* A request that is accepted and fails is no refusal. */
	test_error(varve_layer_remove_wait(store, "missing", 0, NULL), -ENOENT);
	test_error(varve_refusal(store, &failure), -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_latest) {
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
static void *be_refused(void *store) {
	test_error(varve_layer_exists(store, "", test_record, NULL, NULL), -EINVAL);
	return NULL;
}

START_TEST(test_other_thread) {
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure = { 0 };
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, be_refused, store), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	test_error(varve_refusal(store, &failure), 0);
	ck_assert_str_eq(failure.operation, "exists");
	test_close(store);
}
END_TEST

START_TEST(test_own_store) {
	struct varve_store *one = test_open(test_home()), *two = test_open(test_home());
	struct varve_failure failure;
	test_error(varve_layer_remove_wait(one, "", 0, NULL), -EINVAL);
	test_error(varve_refusal(two, &failure), -ENOENT);
	test_close(one);
	test_close(two);
}
END_TEST

TEST_MAIN("refusal", test_none, test_latest, test_other_thread, test_own_store)
