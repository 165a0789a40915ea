/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing outside the run's own directory is removed, whatever paths, links and mounts say. */
/* varve-test: backend=any */
#include "place/safety.h"
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static struct safety_root root;
static char *base;

/* Make a root below a fresh directory that holds a file, beside it, which must survive. */
static void setup(void)
{
	base = test_home();
	test_mkdir(base);
	test_write(test_path("%s/keep", base), "keep");
	ck_assert_int_eq(safety_root_make(&root, base, "run."), 0);
}

/* See that the file is there, and remove what is left. */
static void finish(void)
{
	ck_assert_str_eq(test_read(test_path("%s/keep", base)), "keep");
	ck_assert_int_eq(safety_empty(&root, "."), 0);
	ck_assert_int_eq(safety_root_remove(&root), 0);
	ck_assert_int_eq(test_entries(base), 1);
}

START_TEST(test_paths)
{
	setup();
	test_mkdir(test_path("%s/in", root.path));
	ck_assert_int_eq(safety_check(&root, test_path("%s/in", root.path)), 0);
	ck_assert_int_eq(safety_check(&root, test_path("%s//in", root.path)), 0);
	ck_assert_int_eq(safety_check(&root, test_path("%s/none", root.path)), -ENOENT);
	ck_assert_int_eq(safety_check(&root, root.path), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s/", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s/.", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s/../keep", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s/in/../../keep", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s2", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, "/"), -EPERM);
	ck_assert_int_eq(safety_check(&root, ""), -EPERM);
	ck_assert_int_eq(safety_check(&root, "in"), -EPERM);
	finish();
}
END_TEST

START_TEST(test_links)
{
	setup();
	ck_assert_int_eq(symlink(base, test_path("%s/out", root.path)), 0);
	ck_assert_int_eq(symlink("..", test_path("%s/up", root.path)), 0);
	ck_assert_int_eq(safety_check(&root, test_path("%s/out/keep", root.path)), -EPERM);
	ck_assert_int_eq(safety_check(&root, test_path("%s/up/keep", root.path)), -EPERM);
	ck_assert_int_eq(safety_empty(&root, "out"), -ELOOP);
	finish();
}
END_TEST

START_TEST(test_mounts)
{
	char *point;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	setup();
	point = test_path("%s/mount", root.path);
	test_mkdir(point);
	ck_assert_int_eq(mount(base, point, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(safety_check(&root, test_path("%s/keep", point)), -EPERM);
	/* It is left alone, and so is what is in it; that is reported. */
	ck_assert_int_lt(safety_empty(&root, "."), 0);
	ck_assert_str_eq(test_read(test_path("%s/keep", base)), "keep");
	ck_assert_int_eq(umount(point), 0);
	finish();
}
END_TEST

START_TEST(test_replaced_root)
{
	char *path, *moved;

	setup();
	path = test_strdup(root.path);
	moved = test_path("%s.moved", root.path);
	test_mkdir(test_path("%s/in", path));
	ck_assert_int_eq(rename(path, moved), 0);
	test_mkdir(path);
	test_write(test_path("%s/theirs", path), "theirs");
	ck_assert_int_eq(safety_check(&root, test_path("%s/theirs", path)), -EPERM);
	ck_assert_int_eq(safety_empty(&root, "."), -EPERM);
	ck_assert_str_eq(test_read(test_path("%s/theirs", path)), "theirs");
	ck_assert_int_eq(unlink(test_path("%s/theirs", path)), 0);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rename(moved, path), 0);
	finish();
}
END_TEST

START_TEST(test_empty)
{
	setup();
	test_mkdir(test_path("%s/d", root.path));
	test_subvolume_create(test_path("%s/d/s", root.path));
	test_make_tree(test_path("%s/d/s", root.path), 3, 4, 10);
	test_subvolume_create(test_path("%s/d/s/nested", root.path));
	test_write(test_path("%s/d/f", root.path), "f");
	ck_assert_int_eq(symlink("f", test_path("%s/d/l", root.path)), 0);
	ck_assert_int_eq(safety_empty(&root, "d"), 0);
	ck_assert_int_eq(test_entries(test_path("%s/d", root.path)), 0);
	finish();
}
END_TEST

TEST_MAIN("safety", test_paths, test_links, test_mounts, test_replaced_root, test_empty)
