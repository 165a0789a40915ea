/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any */
/* Pools: a btrfs in an image file, made, mounted, used, unmounted, and nothing left of it. */
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define POOL_MIN 114294784ull
#define POOL_SIZE (256ull << 20)

/*
 * A directory for images, outside the test's mount: an image there would be a file system in a file
 * system.
 */
static char *directory;

/* Make it. */
static void set_up(void)
{
	const char *temporary = getenv("TMPDIR");
	directory = test_path("%s/varve-pool-XXXXXX", temporary ? temporary : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chmod(directory, 0755), 0);
}

/* Is the directory PATH a mount point? */
static bool is_mounted(const char *path)
{
	char *mounts = test_read("/proc/self/mounts");
	return strstr(mounts, test_path(" %s ", path)) != NULL;
}

/* Does a loop device hold the file PATH? */
static bool is_attached(const char *path)
{
	for (int i = 0; i < 256; i++) {
		char *backing = test_read(test_path("/sys/block/loop%d/loop/backing_file", i));
		if (backing && !strncmp(backing, path, strlen(path)))
			return true;
	}
	return false;
}

/* Detach the loop devices that hold the file PATH, which may be deleted. */
static void detach(const char *path)
{
	for (int i = 0; i < 256; i++) {
		char *backing = test_read(test_path("/sys/block/loop%d/loop/backing_file", i));
		const char *const losetup[] = { "losetup", "--detach", test_path("/dev/loop%d", i),
						NULL };
		if (backing && !strncmp(backing, path, strlen(path)))
			ck_assert_int_eq(test_command(losetup), 0);
	}
}

/*
 * Wait until no loop device holds PATH: the kernel detaches it after the last close, in its own
 * time.
 */
static void assert_detached(const char *path)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	while (is_attached(path))
		ck_assert_msg(test_now_ms() < end_ms, "a loop device still holds %s", path);
}

/* Remove the directory and the names given in it. */
static void tear_down(const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *path = test_path("%s/%s", directory, names[i]);
		if (unlink(path) < 0)
			rmdir(path);
	}
	ck_assert_msg(rmdir(directory) == 0, "%s: %s", directory, strerror(errno));
}

START_TEST(test_whole_life)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure;
	struct stat stat_;
	struct statfs statfs_;
	test_ok(varve_pool_create(file, POOL_SIZE, point, &failure), &failure);
	ck_assert_int_eq(stat(file, &stat_), 0);
	ck_assert_int_eq(stat_.st_size, POOL_SIZE);
	ck_assert_msg((uint64_t)stat_.st_blocks * 512 < POOL_SIZE / 4, "the image is not sparse");
	ck_assert_int_eq(statfs(point, &statfs_), 0);
	ck_assert_uint_eq((uint32_t)statfs_.f_type, 0x9123683E);
	ck_assert(is_mounted(point));
	ck_assert_ptr_nonnull(strstr(test_read("/proc/self/mounts"), "user_subvol_rm_allowed"));
	char *home = test_path("%s/home", point);
	struct varve_store *store = test_open(home);
	test_create(store, "a", NULL);
	test_create(store, "b", "a");
	/* In use: not unmounted. */
	test_error(varve_pool_umount(point, &failure), -EBUSY);
	test_error(failure.error, -EBUSY);
	ck_assert(is_mounted(point));
	test_close(store);
	test_ok(varve_pool_umount(point, &failure), &failure);
	ck_assert(!is_mounted(point));
	assert_detached(file);
	/* Again: what was there is there. */
	test_ok(varve_pool_mount(file, point, &failure), &failure);
	ck_assert(test_is_subvolume(test_layer(home, "b")));
	ck_assert_ptr_nonnull(strstr(test_read("/proc/self/mounts"), "user_subvol_rm_allowed"));
	test_ok(varve_pool_umount(point, &failure), &failure);
	assert_detached(file);
	tear_down((const char *[]){ "image", "mnt" }, 2);
}
END_TEST

START_TEST(test_smallest)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure = { 0 };
	test_error(varve_pool_create(file, POOL_MIN - 1, point, &failure), -EINVAL);
	test_error(varve_pool_create(file, 0, point, &failure), -EINVAL);
	ck_assert(!test_exists(file));
	test_ok(varve_pool_create(file, POOL_MIN, point, &failure), &failure);
	test_ok(varve_pool_umount(point, &failure), &failure);
	tear_down((const char *[]){ "image", "mnt" }, 2);
}
END_TEST

START_TEST(test_exists_already)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure = { 0 };
	int descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(descriptor, "precious", 8), 8);
	close(descriptor);
	test_error(varve_pool_create(file, POOL_SIZE, point, &failure), -EEXIST);
	test_error(failure.error, -EEXIST);
	ck_assert_str_eq(test_read(file), "precious");
	ck_assert(!is_mounted(point));
	tear_down((const char *[]){ "image", "mnt" }, 2);
}
END_TEST

START_TEST(test_failures_leave_nothing)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure = { 0 };
	/* The mount point is a file. */
	close(open(point, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	ck_assert_int_lt(varve_pool_create(file, POOL_SIZE, point, &failure), 0);
	ck_assert(!test_exists(file));
	assert_detached(file);
	ck_assert_int_eq(unlink(point), 0);
	/* There is no mkfs.btrfs. */
	char *path = test_strdup(getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	int error = varve_pool_create(file, POOL_SIZE, point, &failure);
	setenv("PATH", path, 1);
	test_error(error, -ENOENT);
	ck_assert(!test_exists(file));
	/* mkfs.btrfs fails. */
	char *script = test_path("%s/mkfs.btrfs", directory);
	FILE *stream = fopen(script, "we");
	fputs("#!/bin/sh\necho it is broken >&2\nexit 1\n", stream);
	fclose(stream);
	ck_assert_int_eq(chmod(script, 0755), 0);
	setenv("PATH", test_path("%s:%s", directory, path), 1);
	error = varve_pool_create(file, POOL_SIZE, point, &failure);
	setenv("PATH", path, 1);
	test_error(error, -EIO);
	ck_assert_uint_gt(strlen(failure.detail), 0);
	ck_assert(!test_exists(file));
	assert_detached(file);
	/* ... and another file has the name meanwhile: that one stays. */
	stream = fopen(script, "we");
	fprintf(stream, "#!/bin/sh\nrm '%s'\necho another >'%s'\nexit 1\n", file, file);
	fclose(stream);
	setenv("PATH", test_path("%s:%s", directory, path), 1);
	error = varve_pool_create(file, POOL_SIZE, point, &failure);
	setenv("PATH", path, 1);
	test_error(error, -EIO);
	ck_assert_str_eq(test_read(file), "another\n");
	ck_assert_int_eq(unlink(file), 0);
	/* No such directory for the file. */
	test_error(varve_pool_create(test_path("%s/none/image", directory), POOL_SIZE, point,
				     &failure),
		   -ENOENT);
	ck_assert(!is_mounted(point));
	tear_down((const char *[]){ "mkfs.btrfs", "mnt" }, 2);
}
END_TEST

START_TEST(test_mount_errors)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure = { 0 };
	test_error(varve_pool_mount(file, point, &failure), -ENOENT);
	/* No file system in it. */
	int descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(descriptor, POOL_SIZE), 0);
	close(descriptor);
	ck_assert_int_lt(varve_pool_mount(file, point, &failure), 0);
	assert_detached(file);
	tear_down((const char *[]){ "image", "mnt" }, 2);
}
END_TEST

START_TEST(test_umount_errors)
{
	set_up();
	char *point = test_path("%s/mnt", directory);
	struct varve_failure failure = { 0 };
	ck_assert_int_eq(mkdir(point, 0755), 0);
	/* Not a mount point; a mount that is no pool; what does not exist. */
	test_error(varve_pool_umount(point, &failure), -EINVAL);
	ck_assert_int_eq(mount("none", point, "tmpfs", 0, NULL), 0);
	test_error(varve_pool_umount(point, &failure), -EINVAL);
	ck_assert(is_mounted(point));
	ck_assert_int_eq(umount(point), 0);
	ck_assert_int_lt(varve_pool_umount(test_path("%s/none", directory), &failure), 0);
	tear_down((const char *[]){ "mnt" }, 1);
}
END_TEST

/* Try without privilege. */
static int create_unprivileged(void *data)
{
	struct varve_failure failure = { 0 };
	char *file = test_path("%s/image", (char *)data),
	     *point = test_path("%s/mnt", (char *)data);
	test_error(varve_pool_create(file, POOL_SIZE, point, &failure), -EPERM);
	ck_assert(!test_exists(file));
	return 0;
}

START_TEST(test_unprivileged)
{
	set_up();
	ck_assert_int_eq(chown(directory, TEST_NOBODY, TEST_NOBODY), 0);
	test_as_nobody(create_unprivileged, directory);
	tear_down((const char *[]){ "mnt" }, 1);
}
END_TEST

/* A program that ignores SIGCHLD gets no status of mkfs.btrfs. */
START_TEST(test_children_ignored)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory);
	struct varve_failure failure;
	signal(SIGCHLD, SIG_IGN);
	test_ok(varve_pool_create(file, POOL_SIZE, point, &failure), &failure);
	signal(SIGCHLD, SIG_DFL);
	ck_assert_int_eq(varve_pool_umount(point, NULL), 0);
	assert_detached(file);
	tear_down((const char *[]){ "image", "mnt" }, 2);
}
END_TEST

/*
 * Write a program PATH, in a directory of ours, that exchanges FILE for a link to VICTIM, and then
 * is the mkfs.btrfs of PROGRAMS.
 */
static void write_exchange(const char *path, const char *file, const char *moved,
			   const char *victim, const char *programs)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(
		dprintf(fd,
			"#!/bin/sh\nset -eu\nmv '%s' '%s'\nln -s '%s' '%s'\nPATH='%s'\nexec mkfs.btrfs \"$@\"\n",
			file, moved, victim, file, programs),
		0);
	close(fd);
}

/*
 * Another user that may write the directory exchanges the new image for a link: the file system is
 * made in the image all the same.
 */
START_TEST(test_image_exchanged)
{
	set_up();
	char *file = test_path("%s/image", directory), *point = test_path("%s/mnt", directory),
	     *path = getenv("PATH");
	char *victim = test_path("%s/victim", directory), *moved = test_path("%s/moved", directory);
	int fd = open(victim, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct varve_failure failure;
	struct stat stat_;
	ck_assert_int_eq(ftruncate(fd, (off_t)POOL_SIZE), 0);
	write_exchange(test_path("%s/mkfs.btrfs", directory), file, moved, victim, path);
	ck_assert_int_eq(setenv("PATH", test_path("%s:%s", directory, path), 1), 0);
	test_ok(varve_pool_create(file, POOL_SIZE, point, &failure), &failure);
	ck_assert_int_eq(fstat(fd, &stat_), 0);
	close(fd);
	ck_assert_int_eq(stat_.st_blocks, 0);
	ck_assert_int_eq(varve_pool_umount(point, NULL), 0);
	assert_detached(moved);
	tear_down((const char *[]){ "image", "moved", "victim", "mkfs.btrfs", "mnt" }, 5);
}
END_TEST

/* No file system of the kernel can be opened that has its devices. */
static bool devices_hidden;

/* Stands for the C library's. */
__attribute__((visibility("default"))) int fsopen(const char *name, unsigned flags)
{
	if (!devices_hidden)
		return (int)syscall(SYS_fsopen, name, flags);
	errno = EPERM;
	return -1;
}

/* Make an image PATH, outside of the test's mount. */
static void write_image(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)POOL_SIZE), 0);
	close(fd);
}

/*
 * Another program has attached the image, by a device that this /dev does not have, as in a
 * container.
 */
START_TEST(test_device_unseen)
{
	struct varve_failure failure;
	set_up();
	char *image = test_path("%s/image", directory), *link_ = test_path("%s/link", directory),
	     *point = test_path("%s/point", directory);
	write_image(image);
	const char *const attach[] = { "losetup", "--find", image, NULL };
	ck_assert_int_eq(test_command(attach), 0);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("dev", "/dev", "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(mknod("/dev/loop-control", S_IFCHR | 0600, makedev(10, 237)), 0);
	int errors[3];
	char *details[3];
	errors[0] = varve_pool_mount(image, point, &failure);
	details[0] = test_strdup(failure.detail);
	devices_hidden = true;
	errors[1] = varve_pool_mount(image, point, &failure);
	details[1] = test_strdup(failure.detail);
	/* The kernel tells the name by which it was attached. */
	ck_assert_int_eq(link(image, link_), 0);
	ck_assert_int_eq(unlink(image), 0);
	errors[2] = varve_pool_mount(link_, point, &failure);
	details[2] = test_strdup(failure.detail);
	devices_hidden = false;
	ck_assert_int_eq(umount("/dev"), 0);
	detach(image);
	for (int i = 0; i < 3; i++)
		test_error(errors[i], -EBUSY);
	ck_assert_msg(strstr(details[0], "attached to /dev/loop"), "%s", details[0]);
	ck_assert_msg(strstr(details[1], "attached to /dev/loop"), "%s", details[1]);
	ck_assert_msg(strstr(details[2], "is not known"), "%s", details[2]);
	assert_detached(image);
	tear_down((const char *const[]){ "image", "link", "point" }, 3);
}
END_TEST

/* The same, and the path by which it was attached is another file's in this mount namespace. */
START_TEST(test_device_elsewhere)
{
	struct varve_failure failure;
	set_up();
	char *images = test_path("%s/images", directory), *bound = test_path("%s/bound", directory);
	char *image = test_path("%s/image", images), *point = test_path("%s/point", directory);
	ck_assert_int_eq(mkdir(images, 0755), 0);
	ck_assert_int_eq(mkdir(bound, 0755), 0);
	write_image(image);
	const char *const attach[] = { "losetup", "--find", image, NULL };
	ck_assert_int_eq(test_command(attach), 0);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount(images, bound, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount("other", images, "tmpfs", 0, NULL), 0);
	write_image(image);
	ck_assert_int_eq(mount("dev", "/dev", "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(mknod("/dev/loop-control", S_IFCHR | 0600, makedev(10, 237)), 0);
	devices_hidden = true;
	int r = varve_pool_mount(test_path("%s/image", bound), point, &failure);
	devices_hidden = false;
	ck_assert_int_eq(umount("/dev"), 0);
	ck_assert_int_eq(umount(images), 0);
	ck_assert_int_eq(umount(bound), 0);
	detach(image);
	test_error(r, -EBUSY);
	ck_assert_msg(strstr(failure.detail, "is not known"), "%s", failure.detail);
	assert_detached(image);
	ck_assert_int_eq(unlink(image), 0);
	tear_down((const char *const[]){ "images", "bound", "point" }, 3);
}
END_TEST

START_TEST(test_null)
{
	ck_assert_int_eq(varve_pool_create(NULL, POOL_SIZE, "/nonexistent", NULL), -EINVAL);
	ck_assert_int_eq(varve_pool_mount("/nonexistent", NULL, NULL), -EINVAL);
	ck_assert_int_eq(varve_pool_umount(NULL, NULL), -EINVAL);
}
END_TEST

TEST_MAIN("pool", test_whole_life, test_smallest, test_exists_already, test_failures_leave_nothing,
	  test_mount_errors, test_umount_errors, test_children_ignored, test_image_exchanged,
	  test_device_unseen, test_device_elsewhere, test_unprivileged, test_null)
