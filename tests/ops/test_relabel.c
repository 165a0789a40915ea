/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relabelling: every entry has the attribute afterwards, the root last; with SELinux on or off, because the engine's walk is
 * called itself here, which asks no policy. What depends on a policy is tested where there is one.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/core/store.h"
#include "engine/tree/label.h"
#include "engine/tree/workers.h"
#include "random_tree.h"
#include "test.h"

static const char label_one[] = "system_u:object_r:container_file_t:s0:c1,c2";
static const char label_two[] = "system_u:object_r:container_file_t:s0";

static _Atomic bool never;

/* Is PATH itself labelled with TEXT? What has no label of its own gets one from the kernel where there is a policy. */
static bool has_label(const char *path, const char *text) {
	char value[256];
	ssize_t size = lgetxattr(path, "security.selinux", value, sizeof(value));
	return size == (ssize_t)strlen(text) + 1 && !memcmp(value, text, (size_t)size);
}

/* Relabel the layer ID with TEXT on this thread. */
static int relabel(struct varve_store *store, const char *home, const char *id, const char *text) {
	struct label label;
	int descriptor = open(test_layer(home, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(label_init(&label, store, descriptor, id, text, &never), 0);
	int r = walk_run_here(&label.walk);
	close(descriptor);
	return r;
}

static void expect_label(void *data, int parent, const char *name, const char *path, const struct stat *stat) {
	(void)parent, (void)name;
	if (stat->st_ino != 2)
		ck_assert_msg(has_label(path, data), "%s", path);
}

START_TEST(test_all_entries) {
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	/* Slow entries must not go to the ring from a walk on this thread. */
	workers_set_slow(store, 0);
	random_tree_make(path, 77, 400);
	random_tree_writable(path);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, expect_label, (char *)label_one);
	/* Another one, and the same once more, which finds what differs. */
	test_error(relabel(store, home, "layer", label_two), 0);
	random_tree_each(path, expect_label, (char *)label_two);
	char *directory = test_path("%s/changed", path);
	test_mkdir(directory);
	ck_assert_int_eq(lsetxattr(directory, "security.selinux", label_one, sizeof(label_one), 0), 0);
	test_error(relabel(store, home, "layer", label_two), 0);
	random_tree_each(path, expect_label, (char *)label_two);
	test_close(store);
}
END_TEST

/* The second time nothing is written: no inode changes. */
static void add_ctime(void *data, int parent, const char *name, const char *path, const struct stat *stat) {
	(void)parent, (void)name, (void)path;
	*(uint64_t *)data += (uint64_t)stat->st_ctim.tv_sec * 1000000000 + (uint64_t)stat->st_ctim.tv_nsec;
}

START_TEST(test_fast_mode) {
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	uint64_t before = 0, after = 0;
	test_create(store, "layer", NULL);
	test_make_tree(path, 3, 30, 10);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, add_ctime, &before);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, add_ctime, &after);
	ck_assert_uint_eq(before, after);
	test_close(store);
}
END_TEST

/* What fails below keeps the root from saying that all is done. */
START_TEST(test_root_last) {
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/nested", path));
	test_subvolume_snapshot(test_path("%s/nested", path), test_path("%s/read-only", path), true);
	test_error(relabel(store, home, "layer", label_one), -EROFS);
	ck_assert(!has_label(path, label_one));
	ck_assert(has_label(test_path("%s/nested", path), label_one));
	test_close(store);
}
END_TEST

START_TEST(test_refusals) {
	char *home = test_home(), text[LABEL_BYTES];
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_error(varve_layer_relabel_wait(store, "layer", "a:b:c", 0, NULL), -EINVAL);
	test_error(varve_layer_relabel_wait(store, "layer", "", 0, NULL), 0);
	test_error(varve_layer_relabel_wait(store, "none", label_one, 0, NULL), -ENOENT);
	test_error(varve_layer_relabel_wait(store, "layer", label_one, 1u << 9, NULL), -EINVAL);
	label_make(label_one, true, text);
	ck_assert_str_eq(text, "system_u:object_r:container_file_t:s0");
	ck_assert(label_refused("/usr") && label_refused("/") && !label_refused("/usr/x"));
	setenv("HOME", test_layer(home, "layer"), 1);
	ck_assert(label_refused(test_layer(home, "layer")));
	test_close(store);
}
END_TEST

static void expect_none(void *data, int parent, const char *name, const char *path, const struct stat *stat) {
	(void)parent, (void)name, (void)data, (void)stat;
	ck_assert_msg(!has_label(path, label_one) && !has_label(path, label_two), "%s", path);
}

START_TEST(test_attack) {
	char *home = test_home(), *outside = test_path("%s-outside", home), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_mkdir(outside);
	test_make_tree(outside, 3, 20, 10);
	test_create(store, "layer", NULL);
	test_make_tree(layer, 20, 20, 10);
	test_mkdir(test_path("%s/swap", layer));
	test_make_tree(test_path("%s/swap", layer), 3, 20, 10);
	ck_assert_int_eq(symlink(outside, test_path("%s/link", layer)), 0);
	int child = test_child_start(random_tree_swap, layer);
	for (int i = 0; i < 30; i++)
		test_error(relabel(store, home, "layer", i % 2 ? label_one : label_two), 0);
	kill(child, SIGKILL);
	test_child_end(child);
	random_tree_each(outside, expect_none, NULL);
	test_close(store);
}
END_TEST

TEST_MAIN("relabel", test_all_entries, test_fast_mode, test_root_last, test_refusals, test_attack)
