/* SPDX-License-Identifier: Apache-2.0 */
/* varve_layer_list(): all layers, nothing but layers, sorted bytewise. */
#include "test.h"

#include <unistd.h>

/*
 * Assert that the layers of STORE are the COUNT names EXPECTED, both by callback and by the
 * blocking twin.
 */
static void assert_list(struct varve_store *store, const char *const *expected,
			size_t expected_count)
{
	struct test_record record = { 0 };
	struct varve_failure failure;
	char **ids = NULL;
	size_t count = 77;
	test_error(varve_layer_list(store, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_LIST);
	ck_assert_uint_eq(record.ids_count, expected_count);
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, expected_count);
	for (size_t i = 0; i < expected_count; i++) {
		ck_assert_str_eq(record.ids[i], expected[i]);
		ck_assert_str_eq(ids[i], expected[i]);
	}
	free(ids);
}

START_TEST(test_empty)
{
	struct varve_store *store = test_open(test_home());
	assert_list(store, NULL, 0);
	test_close(store);
}
END_TEST

START_TEST(test_sorted)
{
	static const char *const sorted[] = { "\x01", " ",   "-",  "10",       "9",   "B",
					      "a",    "a b", "aa", "\xc3\xa9", "\xff" };
	static const unsigned order[] = { 5, 0, 10, 3, 8, 1, 9, 2, 7, 4, 6 };
	struct varve_store *store = test_open(test_home());
	for (size_t i = 0; i < TEST_COUNT(sorted); i++)
		test_create(store, sorted[order[i]], NULL);
	assert_list(store, sorted, TEST_COUNT(sorted));
	test_close(store);
}
END_TEST

/* Make a home with two layers and a lot that is none. */
static void make_mixed(const char *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_create(store, "layer", "base");
	test_subvolume_create(test_path("%s/nested", test_layer(home, "layer")));
	test_subvolume_create(test_path("%s/nested/deeper", test_layer(home, "layer")));
	test_mkdir(test_path("%s/d", test_layer(home, "layer")));
	test_subvolume_create(test_path("%s/d/inner", test_layer(home, "layer")));
	test_mkdir(test_layer(home, "directory"));
	test_subvolume_create(test_path("%s/inside", test_layer(home, "directory")));
	test_write(test_layer(home, "file"), "x");
	ck_assert_int_eq(symlink("layer", test_layer(home, "link")), 0);
	test_subvolume_create(test_path("%s/beside", home));
	test_close(store);
}

START_TEST(test_layers_only)
{
	static const char *const layers[] = { "base", "layer" };
	char *home = test_home();
	make_mixed(home);
	test_subvolume_create(test_path("%s-beside", home));
	make_mixed(test_home());
	struct varve_store *store = test_open(home);
	assert_list(store, layers, 2);
	test_close(store);
}
END_TEST

/* List without privilege. */
static int list_unprivileged(void *home)
{
	static const char *const layers[] = { "base", "layer" };
	make_mixed(home);
	struct varve_store *store = test_open(home);
	assert_list(store, layers, 2);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(list_unprivileged, test_home_of_nobody());
}
END_TEST

START_TEST(test_many)
{
	enum { LAYERS = 2000 };
	struct varve_store *store = test_open_relaxed(test_home());
	const char **ids = test_alloc(LAYERS * sizeof(*ids));
	struct varve_failure failure;
	for (int i = 0; i < LAYERS; i++)
		ids[i] = test_path("a-layer-with-a-longer-name-than-most-%06d", i);
	test_ok(varve_layer_create_batch_wait(store, ids, LAYERS, NULL, NULL, &failure), &failure);
	assert_list(store, ids, LAYERS);
	test_close(store);
}
END_TEST

START_TEST(test_follows_changes)
{
	struct varve_store *store = test_open(test_home());
	static const char *const one[] = { "a" }, *const two[] = { "a", "b" },
				 *const other[] = { "b" };
	test_create(store, "a", NULL);
	assert_list(store, one, 1);
	test_create(store, "b", "a");
	assert_list(store, two, 2);
	test_remove_layer(store, "a");
	assert_list(store, other, 1);
	test_close(store);
}
END_TEST

START_TEST(test_while_building)
{
	/*
	 * Whatever is being built or destroyed at that moment, only whole layers of the right names
	 * are listed.
	 */
	enum { LAYERS = 300 };
	struct varve_store *store = test_open_relaxed(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record *creates = test_alloc(LAYERS * sizeof(*creates));
	size_t before = 0;
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < LAYERS; i++)
		test_error(varve_layer_create(store, test_path("layer-%d", i), &options,
					      test_record, &creates[i], NULL),
			   0);
	while (before < LAYERS + 1) {
		struct test_record list = { 0 };
		test_error(varve_layer_list(store, test_record, &list, NULL), 0);
		test_error(test_await(store, &list), 0);
		ck_assert_uint_ge(list.ids_count, before);
		before = list.ids_count;
		for (size_t i = 0; i < list.ids_count; i++)
			ck_assert_msg(!strcmp(list.ids[i], "base") ||
					      !strncmp(list.ids[i], "layer-", 6),
				      "%s", list.ids[i]);
	}
	test_await_all(store, creates, LAYERS);
	test_close(store);
}
END_TEST

TEST_MAIN("list", test_empty, test_sorted, test_layers_only, test_unprivileged, test_many,
	  test_follows_changes, test_while_building)
