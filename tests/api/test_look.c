/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a store takes nothing: no directory is made before it is needed, a read-only file
 * system, a full one and one of somebody else can be looked at, and a full one be emptied.
 * varve-test: size=128M
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Open HOME as a command that only looks does; the test fails when that fails. */
static struct varve_store *open_to_look(const char *home)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_EXISTING | VARVE_OPEN_NO_SWEEP;
	return test_open_config(&config);
}

/* Look at layer "child" of "base" in all ways. */
static void look(struct varve_store *store, const char *home)
{
	struct varve_failure failure;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_status_entry *entries;
	struct varve_change *changes;
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	char **ids, *path;
	bool exists;
	size_t count;
	uint64_t bytes;
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 2);
	free(ids);
	test_ok(varve_layer_info_wait(store, "child", &info, &failure), &failure);
	ck_assert_str_eq(info.parent, "base");
	test_ok(varve_layer_get_wait(store, "child", NULL, &path, &failure), &failure);
	ck_assert_str_eq(path, test_layer(home, "child"));
	free(path);
	test_ok(varve_layer_exists_wait(store, "child", &exists, &failure), &failure);
	ck_assert(exists);
	test_ok(varve_layer_usage_wait(store, "child", 0, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.inodes, 3);
	test_ok(varve_layer_changes_wait(store, "child", NULL, &changes, &count, &failure),
		&failure);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(changes[0].path, "/changed");
	free(changes);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	test_ok(varve_layer_diff_wait(store, "child", &options, null, &bytes, NULL, &failure),
		&failure);
	close(null);
	test_ok(varve_layer_diff_size_wait(store, "child", NULL, &bytes, &failure), &failure);
	ck_assert_uint_eq(bytes, 1);
	test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
	free(entries);
}

/* Make a store with the two layers. */
static void make_layers(const char *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_write(test_path("%s/kept", test_layer(home, "base")), "y");
	test_create(store, "child", "base");
	test_write(test_path("%s/changed", test_layer(home, "child")), "x");
	test_close(store);
}

/* Assert that HOME has nothing but its subvolumes. */
static void assert_nothing_made(const char *home)
{
	ck_assert_int_eq(test_entries(home), 1);
	ck_assert(test_exists(test_path("%s/subvolumes", home)));
}

START_TEST(test_makes_nothing)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	assert_nothing_made(home);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	test_error(varve_sync_wait(store, 0, NULL), 0);
	test_close(store);
	assert_nothing_made(home);
	test_subvolume_create(test_layer(home, "base"));
	test_write(test_path("%s/kept", test_layer(home, "base")), "y");
	test_subvolume_snapshot(test_layer(home, "base"), test_layer(home, "child"), false);
	test_write(test_path("%s/changed", test_layer(home, "child")), "x");
	store = open_to_look(home);
	look(store, home);
	test_close(store);
	assert_nothing_made(home);
	/* To remove what has nothing nested in it takes no other place either. */
	store = test_open(home);
	test_remove_layer(store, "child");
	test_remove_layer(store, "base");
	test_close(store);
	assert_nothing_made(home);
}
END_TEST

/* Assert that to open HOME, for looking at it, tells that there is none. */
static void assert_no_store(const char *home)
{
	struct varve_config config = test_config(home);
	struct varve_store *store;
	struct varve_failure failure;
	config.flags |= VARVE_OPEN_EXISTING;
	test_error(varve_open(&config, &store, &failure), -ENOENT);
	ck_assert_str_eq(failure.detail, "there is no store here");
}

START_TEST(test_no_store)
{
	char *home = test_home();
	assert_no_store(home);
	ck_assert(!test_exists(home));
	assert_no_store(test_path("%s/below/more", home));
	ck_assert(!test_exists(home));
	test_mkdir(home);
	assert_no_store(home);
	ck_assert_int_eq(test_entries(home), 0);
}
END_TEST

START_TEST(test_read_only_file_system)
{
	char *home = test_home();
	make_layers(home);
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	struct varve_store *store = open_to_look(home);
	look(store, home);
	test_close(store);
	/* Opened by a program that may want more. */
	store = test_open(home);
	look(store, home);
	struct varve_failure failure;
	test_error(varve_layer_remove_wait(store, "child", 0, &failure), -EROFS);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	test_error(varve_layer_create_wait(store, "new", &options, &failure), -EROFS);
	test_close(store);
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT, "user_subvol_rm_allowed"), 0);
}
END_TEST

START_TEST(test_read_only_mount)
{
	char *home = test_home(), *point = test_home();
	make_layers(home);
	test_mkdir(point);
	ck_assert_int_eq(mount(home, point, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	struct varve_store *store = open_to_look(point);
	look(store, point);
	test_close(store);
	ck_assert_int_eq(umount(point), 0);
}
END_TEST

/* Look at HOME, of somebody else. */
static int look_at_others(void *data)
{
	char *home = data;
	struct varve_store *store = open_to_look(home);
	look(store, home);
	test_close(store);
	return 0;
}

START_TEST(test_read_permission)
{
	char *home = test_home();
	make_layers(home);
	ck_assert_int_eq(mkdir(test_path("%s/quotas", home), 0700), 0);
	ck_assert_int_eq(chmod(home, 0755), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0755), 0);
	test_as_nobody(look_at_others, home);
}
END_TEST

START_TEST(test_metadata_full)
{
	char *home = test_home();
	make_layers(home);
	struct varve_store *store = test_open(home);
	test_create(store, "full", "base");
	test_close(store);
	test_remove(test_path("%s/.varve", home));
	test_fill_metadata(test_layer(home, "full"));
	/* Opened, looked at, swept, synced, and emptied. */
	struct varve_failure failure;
	store = test_open(home);
	char **ids;
	size_t count;
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 3);
	free(ids);
	test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
	test_ok(varve_layer_remove_wait(store, "child", 0, &failure), &failure);
	test_ok(varve_layer_remove_wait(store, "full", 0, &failure), &failure);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_create(store, "new", "base");
	test_close(store);
}
END_TEST

TEST_MAIN("look", test_makes_nothing, test_no_store, test_read_only_file_system,
	  test_read_only_mount, test_read_permission, test_metadata_full)
