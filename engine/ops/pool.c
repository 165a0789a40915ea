/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: a btrfs file system in an image file, on a loop device. The loop device is asked to detach itself (AUTOCLEAR) as soon
 * as it is attached, so neither a crash nor an unmount leaves it behind. mkfs.btrfs is the one program that the library
 * starts, directly and without a shell.
 */
#include "engine/base/failure.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/ops/ops.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* Another process may take the loop device that we were told is free: how often to ask again. */
#define POOL_LOOP_TRIES 64

/* Fill FAILURE (may be NULL) and return ERROR. */
static int pool_fail(struct varve_failure *failure, int error, const char *step, const char *call, const char *path)
{
	if (failure) {
		failure_set(failure, error, "pool", step, call, NULL);
		failure_path(failure, path, NULL);
	}
	return error;
}

/* Read up to SIZE - 1 bytes of what comes out of FD, to its end; keep the beginning. */
static void pool_drain(int fd, char *text, size_t size)
{
	size_t used = 0;
	char rest[512];

	for (;;) {
		bool full = used + 1 >= size;
		ssize_t n = read(fd, full ? rest : text + used, full ? sizeof(rest) : size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += full ? 0 : (size_t)n;
	}
	text[used] = '\0';
}

/* Start mkfs.btrfs on FILE with its messages going to OUT_FD. */
static int pool_mkfs_spawn(const char *file, int out_fd, pid_t *ret_pid)
{
	char *const arguments[] = { (char *)"mkfs.btrfs", (char *)"--quiet", (char *)"--", (char *)file, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int r;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
	r = posix_spawnp(ret_pid, arguments[0], &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

/* Make a file system in FILE. */
static int pool_mkfs(const char *file, struct varve_failure *failure)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	char text[VARVE_FAILURE_DETAIL_SIZE];
	int pipe_fds[2], status, r;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return pool_fail(failure, negative_errno(), "MKFS", "pipe2", file);
	in = pipe_fds[0];
	out = pipe_fds[1];
	r = pool_mkfs_spawn(file, out, &pid);
	if (r)
		return pool_fail(failure, r, "MKFS", "mkfs.btrfs", file);
	fd_close(TAKE_FD(out));
	pool_drain(in, text, sizeof(text));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return pool_fail(failure, negative_errno(), "MKFS", "waitpid", file);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	pool_fail(failure, -EIO, "MKFS", "mkfs.btrfs", file);
	if (failure)
		failure_detail(failure, "%s", text);
	return -EIO;
}

/* Open what hands out loop devices; who may not is told that the privilege is missing. */
static int pool_control(struct varve_failure *failure)
{
	int fd = RET_NERRNO(open("/dev/loop-control", O_RDWR | O_CLOEXEC));

	return fd < 0 ? pool_fail(failure, fd == -EACCES ? -EPERM : fd, "ATTACH", "open", "/dev/loop-control") : fd;
}

/* Attach FILE_FD to a free loop device: its descriptor, and its path in PATH. */
static int pool_attach(int file_fd, const char *file, char *path, size_t size, struct varve_failure *failure)
{
	_cleanup_close_ int control = pool_control(failure);
	struct loop_config config = { .fd = (uint32_t)file_fd, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
	int r = -EBUSY;

	if (control < 0)
		return control;
	for (int i = 0; r == -EBUSY && i < POOL_LOOP_TRIES; i++) {
		_cleanup_close_ int device = -EBADF;
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return pool_fail(failure, negative_errno(), "ATTACH", "LOOP_CTL_GET_FREE", file);
		snprintf(path, size, "/dev/loop%d", number);
		device = open(path, O_RDWR | O_CLOEXEC);
		if (device < 0)
			return pool_fail(failure, negative_errno(), "ATTACH", "open", path);
		r = RET_NERRNO(ioctl(device, LOOP_CONFIGURE, &config));
		if (!r)
			return TAKE_FD(device);
	}
	return pool_fail(failure, r, "ATTACH", "LOOP_CONFIGURE", file);
}

int varve_pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure)
{
	_cleanup_close_ int file_fd = -EBADF, device = -EBADF;
	char path[32];

	if (!file || !mount_dir)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file ? file : "");
	file_fd = open(file, O_RDWR | O_CLOEXEC);
	if (file_fd < 0)
		return pool_fail(ret_failure, negative_errno(), "OPEN", "open", file);
	if (mkdir(mount_dir, 0755) < 0 && errno != EEXIST)
		return pool_fail(ret_failure, negative_errno(), "MOUNT", "mkdir", mount_dir);
	device = pool_attach(file_fd, file, path, sizeof(path), ret_failure);
	if (device < 0)
		return device;
	if (mount(path, mount_dir, "btrfs", MS_NOATIME, "user_subvol_rm_allowed") < 0)
		return pool_fail(ret_failure, negative_errno(), "MOUNT", "mount", mount_dir);
	return 0;
}

int varve_pool_create(const char *file, uint64_t size_bytes, const char *mount_dir, struct varve_failure *ret_failure)
{
	_cleanup_close_ int fd = -EBADF, control = -EBADF;
	int r;

	if (!file || !mount_dir || size_bytes > INT64_MAX)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file ? file : "");
	if (size_bytes < POOL_BYTES_MIN) {
		pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file);
		if (ret_failure)
			failure_detail(ret_failure, "a btrfs file system has at least %d bytes", POOL_BYTES_MIN);
		return -EINVAL;
	}
	/* Before anything is made. */
	control = pool_control(ret_failure);
	if (control < 0)
		return control;
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return pool_fail(ret_failure, negative_errno(), "CREATE", "open", file);
	r = ftruncate(fd, (off_t)size_bytes) < 0 ? pool_fail(ret_failure, negative_errno(), "CREATE", "ftruncate", file)
						 : pool_mkfs(file, ret_failure);
	if (!r)
		r = varve_pool_mount(file, mount_dir, ret_failure);
	if (r)
		unlink(file);
	return r;
}

int varve_pool_umount(const char *mount_dir, struct varve_failure *ret_failure)
{
	struct statfs statfs_;
	struct statx statx_;

	if (!mount_dir)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, "");
	if (statfs(mount_dir, &statfs_) < 0 || statx(AT_FDCWD, mount_dir, AT_SYMLINK_NOFOLLOW, 0, &statx_) < 0)
		return pool_fail(ret_failure, negative_errno(), "UMOUNT", "statfs", mount_dir);
	if ((unsigned long)statfs_.f_type != BTRFS_SUPER_MAGIC || !(statx_.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
		pool_fail(ret_failure, -EINVAL, "UMOUNT", NULL, mount_dir);
		if (ret_failure)
			failure_detail(ret_failure, "no btrfs file system is mounted there");
		return -EINVAL;
	}
	if (umount2(mount_dir, UMOUNT_NOFOLLOW) < 0)
		return pool_fail(ret_failure, negative_errno(), "UMOUNT", "umount2", mount_dir);
	return 0;
}
