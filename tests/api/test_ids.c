/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an id may be: 1..255 bytes, no '/', not "." or "..", not beginning with ".varve"; any other
 * byte goes.
 */
#include "test.h"

#include <unistd.h>

static const char *const bad[] = {
	"",    ".",      "..",     "/",        "a/b",     "/a",      "a/",       "../a",
	"./a", "a/../b", ".varve", ".varve-1", ".varvex", ".varve.", ".varve/a",
};

static const char *const good[] = {
	"a",     "...",  "..a",         ".a",          ".varv",   ".Varve", "varve", " .varve",
	"-",     "-rf",  "*",           " ",           "\n",      "\t",     "\\",    "\x01",
	"\x7f",  "\x80", "\xff",        "caf\xc3\xa9", "caf\xe9", "a b",    "%s",    "$(x)",
	"..%2f", "~",    "sha256:0123", "subvolumes",  "quotas",
};

/* An id of LENGTH bytes. */
static char *long_id(size_t length)
{
	char *id = test_alloc(length + 1);
	memset(id, 'x', length);
	return id;
}

/* Assert that varve_id_check() refuses ID with ERROR, and says so. */
static void assert_bad(const char *id, int error)
{
	struct varve_failure failure = { 0 };
	test_error(varve_id_check(id, &failure), error);
	test_error(failure.error, error);
	ck_assert_str_eq(failure.step, "CHECK");
	ck_assert_ptr_null(failure.call);
	ck_assert(!strncmp(failure.id, id, VARVE_ID_MAX));
	ck_assert_uint_le(strlen(failure.id), VARVE_ID_MAX);
	ck_assert_uint_gt(strlen(failure.detail), 0);
	test_error(varve_id_check(id, NULL), error);
}

START_TEST(test_check)
{
	for (size_t i = 0; i < TEST_COUNT(bad); i++)
		assert_bad(bad[i], -EINVAL);
	assert_bad(long_id(256), -ENAMETOOLONG);
	assert_bad(long_id(4096), -ENAMETOOLONG);
	assert_bad(long_id(1 << 20), -ENAMETOOLONG);
	test_error(varve_id_check(NULL, NULL), -EINVAL);
	for (size_t i = 0; i < TEST_COUNT(good); i++)
		test_error(varve_id_check(good[i], NULL), 0);
	test_error(varve_id_check(long_id(255), NULL), 0);
}
END_TEST

START_TEST(test_every_byte)
{
	for (int byte = 1; byte < 256; byte++) {
		char id[] = { (char)byte, 0 }, inside[] = { 'a', (char)byte, 'b', 0 };
		test_error(varve_id_check(id, NULL), byte == '/' || byte == '.' ? -EINVAL : 0);
		test_error(varve_id_check(inside, NULL), byte == '/' ? -EINVAL : 0);
	}
}
END_TEST

START_TEST(test_every_call_refuses)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_failure failure;
	bool exists;
	char *path;
	test_create(store, "layer", NULL);
	for (size_t i = 0; i <= TEST_COUNT(bad); i++) {
		const char *id = i < TEST_COUNT(bad) ? bad[i] : long_id(256);
		int error = i < TEST_COUNT(bad) ? -EINVAL : -ENAMETOOLONG;
		struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
		test_error(varve_layer_create(store, id, NULL, test_record, &record, NULL), error);
		test_error(varve_refusal(store, &failure), 0);
		test_error(failure.error, error);
		ck_assert_str_eq(failure.operation, "create");
		ck_assert(!strncmp(failure.id, id, VARVE_ID_MAX));
		test_error(varve_layer_create_batch(store, &id, 1, NULL, test_record, &record,
						    NULL),
			   error);
		test_error(varve_layer_remove(store, id, 0, test_record, &record, NULL), error);
		test_error(varve_layer_remove_batch(store, &id, 1, 0, test_record, &record, NULL),
			   error);
		test_error(varve_layer_get(store, id, NULL, test_record, &record, NULL), error);
		test_error(varve_layer_put(store, id), error);
		test_error(varve_layer_exists(store, id, test_record, &record, NULL), error);
		test_error(varve_layer_info(store, id, test_record, &record, NULL), error);
		test_error(varve_layer_create_wait(store, id, NULL, NULL), error);
		test_error(varve_layer_remove_wait(store, id, 0, NULL), error);
		test_error(varve_layer_get_wait(store, id, NULL, &path, NULL), error);
		test_error(varve_layer_exists_wait(store, id, &exists, NULL), error);
		test_error(varve_layer_info_wait(store, id, &info, NULL), error);
		if (!*id)
			continue;
		options.parent = id;
		test_error(varve_layer_create(store, "new", &options, test_record, &record, NULL),
			   error);
	}
	ck_assert_uint_eq(record.calls, 0);
	ck_assert_int_eq(test_layers(home), 1);
	test_close(store);
}
END_TEST

START_TEST(test_layers_of_such_names)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	char **ids;
	size_t count;
	for (size_t i = 0; i <= TEST_COUNT(good); i++) {
		const char *id = i < TEST_COUNT(good) ? good[i] : long_id(255);
		char *path = NULL;
		bool exists = false;
		test_create(store, id, NULL);
		test_ok(varve_layer_get_wait(store, id, NULL, &path, &failure), &failure);
		ck_assert_str_eq(path, test_layer(home, id));
		free(path);
		ck_assert(test_is_subvolume(test_layer(home, id)));
		test_ok(varve_layer_exists_wait(store, id, &exists, &failure), &failure);
		ck_assert(exists);
	}
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, TEST_COUNT(good) + 1);
	test_ok(varve_layer_remove_batch_wait(store, (const char *const *)ids, count, 0, NULL,
					      &failure),
		&failure);
	free(ids);
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_staged_long_names)
{
	/*
	 * Also when they are made together with others, under whatever name they have until then.
	 */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	const char *ids[40];
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < 40; i++) {
		char *id = long_id(255);
		id[0] = (char)(i + 0x80);
		ids[i] = id;
	}
	test_ok(varve_layer_create_batch_wait(store, ids, 40, &options, NULL, &failure), &failure);
	test_subvolume_create(test_path("%s/inner", test_layer(home, ids[0])));
	test_ok(varve_layer_remove_batch_wait(store, ids, 40, 0, NULL, &failure), &failure);
	ck_assert_int_eq(test_layers(home), 1);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("ids", test_check, test_every_byte, test_every_call_refuses, test_layers_of_such_names,
	  test_staged_long_names)
