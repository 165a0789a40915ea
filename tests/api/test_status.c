/* SPDX-License-Identifier: Apache-2.0 */
/* varve_status(): keys of one kind, a fixed order, true values. */
#include "test.h"

#include <sys/utsname.h>
#include <unistd.h>

/* The value of KEY; NULL when there is no such line. */
static const char *value_of(const struct varve_status_entry *entries, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].key, key))
			return entries[i].value;
	return NULL;
}

START_TEST(test_form)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	struct varve_status_entry *entries = NULL;
	struct varve_failure failure;
	size_t count = 0;
	test_error(varve_status(store, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_STATUS);
	test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
	ck_assert_uint_gt(count, 5);
	ck_assert_uint_eq(record.status_count, count);
	for (size_t i = 0; i < count; i++) {
		const char *key = entries[i].key;
		ck_assert_str_eq(record.status_keys[i], key);
		ck_assert_uint_gt(strlen(key), 0);
		ck_assert_msg(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(key),
			      "key '%s'", key);
		ck_assert_ptr_nonnull(entries[i].value);
		ck_assert_ptr_null(strchr(entries[i].value, '\n'));
		ck_assert_msg(value_of(entries, count, key) == entries[i].value,
			      "key '%s' is there twice", key);
	}
	free(entries);
	test_close(store);
}
END_TEST

START_TEST(test_truth)
{
	struct varve_store *store = test_open(test_home());
	struct varve_status_entry *entries = NULL;
	struct utsname names;
	size_t count = 0;
	test_error(varve_status_wait(store, &entries, &count, NULL), 0);
	ck_assert_int_eq(uname(&names), 0);
	const char *kernel = value_of(entries, count, "kernel"),
		   *backlog = value_of(entries, count, "cleaner_backlog");
	ck_assert_ptr_nonnull(kernel);
	ck_assert_msg(strstr(kernel, names.release) != NULL, "kernel: %s", kernel);
	ck_assert_ptr_nonnull(backlog);
	bool version = false;
	for (size_t i = 0; i < count; i++)
		version |= strstr(entries[i].value, varve_version()) != NULL;
	ck_assert(version);
	free(entries);
	test_close(store);
}
END_TEST

/* Ask without privilege. */
static int status_unprivileged(void *home)
{
	struct varve_store *store = test_open(home);
	struct varve_status_entry *entries = NULL;
	struct varve_failure failure;
	size_t count = 0;
	test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
	ck_assert_uint_gt(count, 5);
	free(entries);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(status_unprivileged, test_home_of_nobody());
}
END_TEST

TEST_MAIN("status", test_form, test_truth, test_unprivileged)
