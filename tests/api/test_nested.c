/* SPDX-License-Identifier: Apache-2.0 */
/* Removal of layers that hold other subvolumes, made by their users. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Remove LAYER and assert that it, and all that was in it, is gone. */
static void assert_removed(struct varve_store *store, const char *home, const char *layer)
{
	test_remove_layer(store, layer);
	ck_assert(!test_layer_exists(home, layer));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

START_TEST(test_one_level)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "other")));
	for (int i = 0; i < 40; i++) {
		char *path = test_path("%s/inner-%d", test_layer(home, "layer"), i);
		test_subvolume_create(path);
		test_write(test_path("%s/file", path), "x");
	}
	assert_removed(store, home, "layer");
	ck_assert(test_is_subvolume(test_path("%s/inner", test_layer(home, "other"))));
	test_close(store);
}
END_TEST

START_TEST(test_deep)
{
	enum { DEPTH = 60 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	char *path = test_layer(home, "layer");
	for (int i = 0; i < DEPTH; i++) {
		path = test_path("%s/d", path);
		test_mkdir(path);
		path = test_path("%s/s", path);
		test_subvolume_create(path);
		test_write(test_path("%s/file", path), "x");
	}
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_tree)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	for (int a = 0; a < 4; a++) {
		char *one = test_path("%s/%d", test_layer(home, "layer"), a);
		test_subvolume_create(one);
		for (int b = 0; b < 4; b++) {
			char *two = test_path("%s/%d", one, b);
			test_subvolume_create(two);
			for (int c = 0; c < 4; c++)
				test_subvolume_create(test_path("%s/%d", two, c));
		}
	}
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_read_only)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	char *layer = test_layer(home, "layer");
	test_subvolume_create(test_path("%s/a", layer));
	test_subvolume_create(test_path("%s/a/b", layer));
	test_subvolume_snapshot(test_path("%s/a", layer), test_path("%s/snapshot", layer), true);
	test_subvolume_snapshot(layer, test_path("%s/a/of-the-layer", layer), true);
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_read_only_layer)
{
	/* Read-only, with others inside: it cannot be renamed to another directory. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	char *layer = test_layer(home, "layer");
	test_subvolume_create(test_path("%s/a", layer));
	test_subvolume_create(test_path("%s/a/b", layer));
	ck_assert_int_eq(test_command((const char *[]){ "btrfs", "property", "set", layer, "ro",
							"true", NULL }),
			 0);
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_hostile_names)
{
	static const char *const names[] = {
		"with blank", "new\nline",    "\xff\xfe", "-rf", "*",
		"%s%n",       "'\"$(reboot)", "...",      " ",   ".varve",
	};
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	for (size_t i = 0; i < TEST_COUNT(names); i++) {
		char *path = test_path("%s/%s", test_layer(home, "layer"), names[i]);
		test_mkdir(path);
		test_subvolume_create(test_path("%s/%s", path, names[i]));
	}
	char longest[256] = { 0 };
	memset(longest, 'n', 255);
	test_subvolume_create(test_path("%s/%s", test_layer(home, "layer"), longest));
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

/* Move the subvolume MADE so deep into the directory PATH that no path reaches it. */
static void move_deep(const char *path, const char *made)
{
	enum { LEVELS = 24 };
	char name[201] = { 0 };
	memset(name, 'd', 200);
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < LEVELS; i++) {
		ck_assert_int_eq(mkdirat(directory, name, 0755), 0);
		int below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(below, 0);
		close(directory);
		directory = below;
	}
	ck_assert_int_eq(renameat(AT_FDCWD, made, directory, "s"), 0);
	close(directory);
}

START_TEST(test_longer_than_a_path)
{
	char *home = test_home(), *made = test_path("%s/made-elsewhere", test_mount());
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(made);
	move_deep(test_layer(home, "layer"), made);
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_links_out)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_create(store, "victim", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "victim")));
	test_subvolume_create(test_path("%s/inner", test_layer(home, "layer")));
	ck_assert_int_eq(symlink("../victim", test_path("%s/victim", test_layer(home, "layer"))),
			 0);
	ck_assert_int_eq(symlink("../../victim",
				 test_path("%s/inner/victim", test_layer(home, "layer"))),
			 0);
	assert_removed(store, home, "layer");
	ck_assert(test_is_subvolume(test_path("%s/inner", test_layer(home, "victim"))));
	test_close(store);
}
END_TEST

START_TEST(test_many_at_once)
{
	enum { LAYERS = 20 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[LAYERS] = { 0 };
	for (int i = 0; i < LAYERS; i++) {
		char *id = test_path("layer-%d", i);
		test_create(store, id, NULL);
		if (i % 2) {
			test_subvolume_create(test_path("%s/a", test_layer(home, id)));
			test_subvolume_create(test_path("%s/a/b", test_layer(home, id)));
		}
	}
	for (int i = 0; i < LAYERS; i++)
		test_error(varve_layer_remove(store, test_path("layer-%d", i), 0, test_record,
					      &records[i], NULL),
			   0);
	test_await_all(store, records, LAYERS);
	for (int i = 0; i < LAYERS; i++)
		test_error(records[i].error, 0);
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Remove one's own layers with nested subvolumes, where the mount allows it. */
static int remove_unprivileged(void *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/a", test_layer(home, "layer")));
	test_mkdir(test_path("%s/a/directory", test_layer(home, "layer")));
	test_subvolume_create(test_path("%s/a/directory/b", test_layer(home, "layer")));
	test_write(test_path("%s/a/directory/b/file", test_layer(home, "layer")), "x");
	assert_removed(store, home, "layer");
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(remove_unprivileged, test_home_of_nobody());
}
END_TEST

/* Remove one's own layer with a subvolume that the kernel cannot tell the path of. */
static int remove_deep(void *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	char *layer = test_layer(home, "layer"), *made = test_path("%s/made", layer);
	test_subvolume_create(made);
	test_write(test_path("%s/file", made), "x");
	move_deep(layer, made);
	assert_removed(store, home, "layer");
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged_deep)
{
	test_as_nobody(remove_deep, test_home_of_nobody());
}
END_TEST

TEST_MAIN("nested", test_unprivileged_deep, test_one_level, test_deep, test_tree, test_read_only,
	  test_read_only_layer, test_hostile_names, test_longer_than_a_path, test_links_out,
	  test_many_at_once, test_unprivileged)
