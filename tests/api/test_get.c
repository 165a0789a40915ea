/* SPDX-License-Identifier: Apache-2.0 */
/* varve_layer_get(), varve_layer_put() and varve_layer_exists(). */
#include "test.h"

#include <unistd.h>

/* Assert that get of ID is accepted and fails with ERROR. */
static void assert_get_fails(struct varve_store *store, const char *id, int error)
{
	struct test_record record = { 0 };
	char *path = (char *)"untouched";
	struct varve_failure failure = { 0 };
	test_error(varve_layer_get(store, id, NULL, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), error);
	ck_assert_ptr_null(record.path);
	ck_assert_str_eq(record.failure.operation, "get");
	ck_assert_str_eq(record.failure.id, id);
	test_error(varve_layer_get_wait(store, id, NULL, &path, &failure), error);
	ck_assert_str_eq(path, "untouched");
	test_error(failure.error, error);
}

/* Make HOME hold a layer "layer" and all that is none. */
static struct varve_store *open_mixed(const char *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_mkdir(test_layer(home, "directory"));
	test_write(test_layer(home, "file"), "x");
	ck_assert_int_eq(symlink("layer", test_layer(home, "link")), 0);
	ck_assert_int_eq(symlink("nowhere", test_layer(home, "dangling")), 0);
	return store;
}

START_TEST(test_get)
{
	char *home = test_home(), *path = NULL;
	struct varve_store *store = open_mixed(home);
	struct test_record record = { 0 };
	struct varve_failure failure;
	test_error(varve_layer_get(store, "layer", NULL, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_GET);
	ck_assert_str_eq(record.path, test_layer(home, "layer"));
	test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
	ck_assert_str_eq(path, test_layer(home, "layer"));
	free(path);
	test_error(varve_layer_put(store, "layer"), 0);
	/*
	 * No mount, and it counts nothing: put does as often as one likes, and removal does not
	 * wait for it.
	 */
	test_error(varve_layer_put(store, "layer"), 0);
	test_error(varve_layer_put(store, "missing"), 0);
	test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
	free(path);
	test_remove_layer(store, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_get_errors)
{
	struct varve_store *store = open_mixed(test_home());
	assert_get_fails(store, "missing", -ENOENT);
	assert_get_fails(store, "file", -ENOTDIR);
	assert_get_fails(store, "directory", -EINVAL);
	assert_get_fails(store, "link", -ENOTDIR);
	assert_get_fails(store, "dangling", -ENOTDIR);
	test_close(store);
}
END_TEST

START_TEST(test_get_options)
{
	char *home = test_home(), *path = NULL;
	struct varve_store *store = open_mixed(home);
	struct varve_failure failure = { 0 };
	static const char *const none[] = { NULL }, *const once[] = { "ro", NULL },
				 *const twice[] = { "ro", "ro", NULL };
	static const char *const *const good[] = { none, once, twice };
	static const char *const bad[] = { "rw", "RO", "", "ro,ro", "nodev", "ro=1", "rox", "r" };
	for (size_t i = 0; i < TEST_COUNT(good); i++) {
		test_ok(varve_layer_get_wait(store, "layer", good[i], &path, &failure), &failure);
		ck_assert_str_eq(path, test_layer(home, "layer"));
		free(path);
	}
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		struct test_record record = { 0 };
		const char *const options[] = { "ro", bad[i], NULL };
		test_error(varve_layer_get(store, "layer", options, test_record, &record, NULL),
			   -EINVAL);
		test_error(varve_layer_get_wait(store, "layer", options, &path, &failure), -EINVAL);
		ck_assert_uint_eq(record.calls, 0);
	}
	test_close(store);
}
END_TEST

START_TEST(test_relative_home)
{
	char *home = test_home(), *path = NULL;
	test_mkdir(home);
	ck_assert_int_eq(chdir(home), 0);
	struct varve_store *store = test_open("store");
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	/* Where the process goes afterwards is all the same. */
	ck_assert_int_eq(chdir("/"), 0);
	test_create(store, "child", "layer");
	test_ok(varve_layer_get_wait(store, "child", NULL, &path, &failure), &failure);
	ck_assert_str_eq(path, test_path("%s/store/subvolumes/child", home));
	free(path);
	test_remove_layer(store, "layer");
	test_close(store);
	ck_assert_int_eq(test_entries(test_path("%s/store/subvolumes", home)), 1);
}
END_TEST

/* Assert what exists says of ID. */
static void assert_exists(struct varve_store *store, const char *id, bool expected)
{
	struct test_record record = { 0 };
	struct varve_failure failure;
	bool exists = !expected;
	test_error(varve_layer_exists(store, id, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_EXISTS);
	ck_assert_msg(record.exists == expected, "exists of %s: %d", id, record.exists);
	test_ok(varve_layer_exists_wait(store, id, &exists, &failure), &failure);
	ck_assert_int_eq(exists, expected);
}

START_TEST(test_exists_)
{
	struct varve_store *store = open_mixed(test_home());
	assert_exists(store, "layer", true);
	assert_exists(store, "missing", false);
	assert_exists(store, "directory", false);
	assert_exists(store, "file", false);
	assert_exists(store, "link", false);
	assert_exists(store, "dangling", false);
	test_remove_layer(store, "layer");
	assert_exists(store, "layer", false);
	test_close(store);
}
END_TEST

START_TEST(test_reading_goes_on)
{
	/* What only reads does not wait for what writes. */
	char *home = test_home();
	struct varve_store *store = open_mixed(home);
	struct test_record create = { 0 }, get = { 0 }, list = { 0 }, info = { 0 }, noop = { 0 };
	test_freeze();
	test_error(varve_layer_create(store, "new", NULL, test_record, &create, NULL), 0);
	test_error(varve_layer_get(store, "layer", NULL, test_record, &get, NULL), 0);
	test_error(varve_layer_info(store, "layer", test_record, &info, NULL), 0);
	test_error(varve_layer_list(store, test_record, &list, NULL), 0);
	test_error(varve_noop(store, test_record, &noop, NULL), 0);
	test_error(test_await(store, &noop), 0);
	test_error(test_await(store, &get), 0);
	test_error(test_await(store, &info), 0);
	test_error(test_await(store, &list), 0);
	ck_assert_uint_eq(list.ids_count, 1);
	ck_assert_uint_eq(create.calls, 0);
	test_thaw();
	test_error(test_await(store, &create), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("get", test_get, test_get_errors, test_get_options, test_relative_home, test_exists_,
	  test_reading_goes_on)
