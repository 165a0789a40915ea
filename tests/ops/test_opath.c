/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acting on what was opened and looked at: links and mounts in the place of an entry; a file by its
 * number, whatever has its name; a clone of a mount without mounts.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/btrfs/file_handle.h"
#include "engine/dir/mounts.h"
#include "engine/dir/opath.h"
#include "test.h"

/* Open the directory PATH. */
static int open_dir(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	return descriptor;
}

/* Fail the test unless PATH has MODE, OWNER and TIME. */
static void check(const char *path, mode_t mode, uid_t owner, time_t time)
{
	struct stat stat;
	ck_assert_int_eq(lstat(path, &stat), 0);
	ck_assert_int_eq(stat.st_mode & 07777, mode);
	ck_assert_int_eq(stat.st_uid, owner);
	ck_assert_int_eq(stat.st_mtime, time);
}

/* All goes to what was opened, although a link to something outside has taken its name. */
START_TEST(test_exchanged)
{
	const struct timespec times[2] = { { .tv_sec = 7 }, { .tv_sec = 7 } },
			      other[2] = { { .tv_sec = 9 }, { .tv_sec = 9 } };
	char *home = test_home(), *outside = test_path("%s/outside", home),
	     *name = test_path("%s/name", home);
	char *moved = test_path("%s/moved", home), value[8];
	struct statx before, after;
	test_mkdir(home);
	test_write(outside, "out");
	test_write(name, "in");
	ck_assert_int_eq(chmod(outside, 0640), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, outside, other, 0), 0);
	int directory = open_dir(home), descriptor = opath_open(directory, "name", &before);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(rename(name, moved), 0);
	ck_assert_int_eq(symlink("outside", name), 0);
	test_error(opath_chown(descriptor, 5, 6), 0);
	test_error(opath_chmod(descriptor, 04711), 0);
	test_error(opath_setxattr(descriptor, "user.a", "b", 1), 0);
	test_error(opath_times(descriptor, times), 0);
	check(moved, 04711, 5, 7);
	ck_assert_int_eq(getxattr(moved, "user.a", value, sizeof(value)), 1);
	check(outside, 0640, 0, 9);
	ck_assert_int_eq(getxattr(outside, "user.a", value, sizeof(value)), -1);
	int content = opath_reopen(descriptor, O_RDONLY);
	ck_assert_int_eq(read(content, value, sizeof(value)), 2);
	int link = opath_open(directory, "name", &after);
	ck_assert_int_ge(link, 0);
	ck_assert(S_ISLNK(after.stx_mode) && !opath_same(&before, &after));
	test_error(opath_chmod(link, 0777), -EOPNOTSUPP);
	test_error(opath_chown(link, 3, 3), 0);
	test_error(opath_times(link, times), 0);
	check(outside, 0640, 0, 9);
	test_error(opath_open(directory, "none", NULL), -ENOENT);
	close(content);
	close(link);
	close(descriptor);
	close(directory);
}
END_TEST

/* A file is opened by its number, whatever has taken its name, until it is removed and closed. */
START_TEST(test_numbers)
{
	char *home = test_home(), *name = test_path("%s/name", home), text[8] = "";
	struct file_numbers numbers = { 0 };
	struct stat stat_of;
	test_mkdir(home);
	test_write(name, "in");
	ck_assert_int_eq(stat(name, &stat_of), 0);
	int directory = open_dir(home), descriptor;
	test_error(file_numbers_open(&numbers, directory, stat_of.st_ino, O_RDONLY), -ESTALE);
	test_error(file_handle_subvolume(directory, "", &numbers.subvolume), 0);
	test_error(file_numbers_open(&numbers, directory, 0, O_RDONLY), -ESTALE);
	ck_assert(!numbers.refused);
	ck_assert_int_eq(rename(name, test_path("%s/moved", home)), 0);
	ck_assert_int_eq(mkfifo(name, 0600), 0);
	descriptor = file_numbers_open(&numbers, directory, stat_of.st_ino, O_RDONLY);
	ck_assert_int_eq(read(descriptor, text, sizeof(text)), 2);
	ck_assert_str_eq(text, "in");
	ck_assert_int_eq(unlink(test_path("%s/moved", home)), 0);
	int again = file_numbers_open(&numbers, directory, stat_of.st_ino, O_RDONLY);
	ck_assert_int_ge(again, 0);
	close(again);
	close(descriptor);
	test_error(file_numbers_open(&numbers, directory, stat_of.st_ino, O_RDONLY), -ESTALE);
	/* One that is gone does not keep others from being opened. */
	ck_assert(numbers.work && !numbers.refused);
	close(directory);
}
END_TEST

/* Without privilege no more are tried. */
static int numbers_as_nobody(void *home)
{
	struct file_numbers numbers = { 0 };
	struct stat stat_of;
	int directory = open_dir(home);
	ck_assert_int_eq(fstat(directory, &stat_of), 0);
	test_error(file_handle_subvolume(directory, "", &numbers.subvolume), 0);
	test_error(file_numbers_open(&numbers, directory, stat_of.st_ino, O_PATH), -ESTALE);
	ck_assert(numbers.refused);
	return 0;
}

START_TEST(test_numbers_unprivileged)
{
	test_as_nobody(numbers_as_nobody, test_home_of_nobody());
}
END_TEST

/*
 * A clone shows what lies beneath a mount, as long as any descriptor of it is open, and its mount
 * points cannot be removed.
 */
START_TEST(test_clone)
{
	char *home = test_home(), *place = test_path("%s/place", home),
	     *file = test_path("%s/file", home);
	struct statx stat;
	char text[8] = "";
	test_mkdir(home);
	test_mkdir(place);
	test_write(test_path("%s/own", place), "own");
	test_write(file, "file");
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("none", place, "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(mount(test_path("/proc/self/status"), file, NULL, MS_BIND, NULL), 0);
	int directory = open_dir(home), tree = -EBADF;
	test_error(opath_open(directory, "place", NULL), -EXDEV);
	test_error(opath_open(directory, "file", NULL), -EXDEV);
	ck_assert_int_eq(mounts_clone(&directory, &tree), 1);
	int inside = opath_open(directory, "place", &stat), own = openat(inside, "own", O_RDONLY);
	ck_assert_int_eq(read(own, text, sizeof(text)), 3);
	ck_assert_str_eq(text, "own");
	close(tree);
	ck_assert_int_eq(unlinkat(directory, "place/own", 0), 0);
	ck_assert(unlinkat(directory, "place", AT_REMOVEDIR) < 0 && errno == EBUSY);
	ck_assert(unlinkat(directory, "file", 0) < 0 && errno == EBUSY);
	close(own);
	close(inside);
	close(directory);
	ck_assert_int_eq(umount(file), 0);
	ck_assert_int_eq(umount(place), 0);
}
END_TEST

/* Without privilege the directory stays as it is. */
static int clone_as_nobody(void *home)
{
	int directory = open_dir(home), same = directory, tree = -EBADF;
	ck_assert_int_eq(mounts_clone(&directory, &tree), 0);
	ck_assert_int_eq(directory, same);
	ck_assert_int_eq(tree, -EBADF);
	return 0;
}

START_TEST(test_clone_unprivileged)
{
	test_as_nobody(clone_as_nobody, test_home_of_nobody());
}
END_TEST

TEST_MAIN("opath", test_exchanged, test_numbers, test_numbers_unprivileged, test_clone,
	  test_clone_unprivileged)
