/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: backend=any
 *
 * The guard over what tests remove: each of these paths leads outside, and a child that tries is
 * aborted before anything has happened to what lies there.
 */
#include "test.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Call the guard's users on a path. */
static int try_remove(void *path)
{
	test_remove(path);
	return 0;
}

static int try_write(void *path)
{
	test_write(path, "overwritten");
	return 0;
}

static int try_destroy(void *path)
{
	test_subvolume_destroy(path);
	return 0;
}

/* Assert that all of them abort on PATH. */
static void assert_refused(const char *path)
{
	int (*const functions[])(void *) = { try_remove, try_write, try_destroy };
	for (size_t i = 0; i < TEST_COUNT(functions); i++) {
		int status = test_child_end(test_child_start(functions[i], (void *)path));
		ck_assert_msg(status == 128 + SIGABRT, "function %zu on %s: status %d", i, path,
			      status);
	}
}

/* Make a file outside the mount, in the directory for temporary files. */
static char *make_outside(void)
{
	const char *temporary = getenv("TMPDIR");
	char *path = test_path("%s/varve-outside-XXXXXX", temporary ? temporary : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(path));
	char *file = test_path("%s/precious", path);
	FILE *stream = fopen(file, "we");
	ck_assert_ptr_nonnull(stream);
	fputs("precious", stream);
	fclose(stream);
	return path;
}

/* Assert that the file outside is what it was, and remove it. */
static void assert_untouched(char *outside)
{
	char *file = test_path("%s/precious", outside);
	ck_assert_str_eq(test_read(file), "precious");
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(rmdir(outside), 0);
}

START_TEST(test_outside)
{
	char *outside = make_outside();
	assert_refused(test_path("%s/precious", outside));
	assert_refused("/");
	assert_refused("/tmp/varve-no-such-thing");
	assert_refused("relative");
	assert_refused("");
	assert_untouched(outside);
}
END_TEST

START_TEST(test_mount_itself)
{
	assert_refused(test_mount());
	assert_refused(test_path("%s/", test_mount()));
	assert_refused(test_path("%s/.", test_mount()));
	assert_refused(test_path("%s/..", test_mount()));
	assert_refused(test_path("%s-neighbour/x", test_mount()));
}
END_TEST

START_TEST(test_dots)
{
	char *outside = make_outside();
	char *inside = test_home();
	test_mkdir(inside);
	assert_refused(test_path("%s/../../precious", inside));
	assert_refused(test_path("%s/../../../../../..%s/precious", inside, outside));
	assert_untouched(outside);
}
END_TEST

START_TEST(test_symlink)
{
	char *outside = make_outside();
	char *link = test_home();
	ck_assert_int_eq(symlink(outside, link), 0);
	assert_refused(test_path("%s/precious", link));
	assert_untouched(outside);
	test_remove(link);
	ck_assert(!test_exists(link));
}
END_TEST

START_TEST(test_bind_mount)
{
	char *outside = make_outside();
	char *point = test_home();
	test_mkdir(point);
	ck_assert_int_eq(mount(outside, point, NULL, MS_BIND, NULL), 0);
	assert_refused(test_path("%s/precious", point));
	ck_assert_int_eq(umount(point), 0);
	assert_untouched(outside);
}
END_TEST

START_TEST(test_inside)
{
	char *path = test_home();
	test_mkdir(path);
	test_make_tree(path, 2, 3, 100);
	test_subvolume_create(test_path("%s/subvolume", path));
	test_write(test_path("%s/subvolume/file", path), "x");
	test_subvolume_snapshot(test_path("%s/subvolume", path), test_path("%s/snapshot", path),
				true);
	ck_assert_uint_eq(test_subvolumes_below(path), 2);
	test_subvolume_destroy(test_path("%s/snapshot", path));
	test_remove(path);
	ck_assert(!test_exists(path));
}
END_TEST

TEST_MAIN("guard", test_outside, test_mount_itself, test_dots, test_symlink, test_bind_mount,
	  test_inside)
