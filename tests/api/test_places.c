/* SPDX-License-Identifier: Apache-2.0 */
/* A store whose directory is moved while it is open, and one that is a snapshot of another. */
#include "quota.h"

#include <sys/stat.h>
#include <unistd.h>

/* Assert that layer "layer" of STORE is reported to be in HOME. */
static void assert_path(struct varve_store *store, const char *home)
{
	struct varve_failure failure;
	char *path;
	test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
	ck_assert_str_eq(path, test_layer(home, "layer"));
	free(path);
}

START_TEST(test_moved)
{
	char *home = test_home(), *other = test_home(), *link = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	assert_path(store, home);
	ck_assert_int_eq(rename(home, other), 0);
	assert_path(store, other);
	/* Another store in its place is not taken for it. */
	struct varve_store *second = test_open(home);
	test_create(second, "layer", NULL);
	assert_path(store, other);
	assert_path(second, home);
	test_close(second);
	test_error(varve_layer_remove_wait(store, "absent", 0, &failure), -ENOENT);
	ck_assert_str_eq(failure.path, test_layer(other, "absent"));
	test_close(store);
	/* Through a link, which may lead elsewhere tomorrow. */
	ck_assert_int_eq(symlink(other, link), 0);
	store = test_open(link);
	assert_path(store, other);
	test_close(store);
}
END_TEST

/* Names in the directory DIRECTORY of HOME. */
static int names_in(const char *home, const char *directory)
{
	return test_entries(test_path("%s/%s", home, directory));
}

START_TEST(test_snapshot_of_a_store)
{
	char *volume = test_home(), *copy = test_home(), **ids,
	     *home = test_path("%s/store", volume);
	char *copied = test_path("%s/store", copy);
	struct varve_failure failure;
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	size_t count;
	bool exists;
	test_subvolume_create(volume);
	struct varve_store *original = open_in_mode(home, test_quota_mode());
	test_create(original, "base", NULL);
	test_error(create_with(original, "layer", "base", "size=8m", 0), 0);
	test_error(create_with(original, "kept", NULL, "size=8m", 0), 0);
	/* With its open store's own directory in it. */
	test_subvolume_snapshot(volume, copy, false);
	ck_assert_int_eq(names_in(copied, "subvolumes"), 3);
	ck_assert_int_eq(names_in(copied, "quotas"), 2);
	struct varve_store *store = test_open(copied);
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 0);
	free(ids);
	test_ok(varve_layer_exists_wait(store, "base", &exists, &failure), &failure);
	ck_assert(!exists);
	/* The same ids are free in it. */
	test_create(store, "base", NULL);
	test_error(create_with(store, "layer", "base", "size=9m", 0), 0);
	assert_limit(store, copied, "layer", 9 * MIB);
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_int_eq(names_in(copied, "subvolumes"), 2);
	ck_assert_int_eq(names_in(copied, "quotas"), 1);
	ck_assert_int_eq(names_in(copied, ".varve/staging"), 1);
	test_remove_layer(store, "layer");
	test_remove_layer(store, "base");
	test_close(store);
	ck_assert_int_eq(names_in(copied, ".varve/staging"), 0);
	/* Nothing of that was the original's. */
	test_ok(varve_layer_list_wait(original, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 3);
	free(ids);
	assert_limit(original, home, "layer", 8 * MIB);
	test_create(original, "more", "layer");
	test_close(original);
}
END_TEST

TEST_MAIN("places", test_moved, test_snapshot_of_a_store)
