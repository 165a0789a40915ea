/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's system calls, in its place: each counts, and the Nth of a kind can be made to
 * fail with an errno, instead of being made. Only those of other threads than the test's own count,
 * unless calls_own() says otherwise. For one program: it is all static. What the ring is to do is
 * failed by engine/base/fault.h.
 */
#ifndef FAULTS_CALLS_H
#define FAULTS_CALLS_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * What a call can fail with, beside EIO: it makes a descriptor, it takes room, it may be
 * interrupted; it has nothing to do with a disk.
 */
enum { CALL_OPENS = 1, CALL_TAKES_ROOM = 2, CALL_SLEEPS = 4, CALL_DISKLESS = 8 };

/* clang-format off */
/* NAME, and what it may fail with. */
#define CALLS(each) \
	each(open, CALL_OPENS | CALL_SLEEPS) \
	each(openat, CALL_OPENS | CALL_SLEEPS | CALL_TAKES_ROOM) \
	each(openat2, CALL_OPENS | CALL_SLEEPS) each(open_by_handle_at, CALL_OPENS | CALL_SLEEPS) \
	each(open_tree, CALL_OPENS) each(opendir, CALL_OPENS) each(fopen, CALL_OPENS) \
	each(dup, CALL_OPENS | CALL_DISKLESS) each(eventfd, CALL_OPENS | CALL_DISKLESS) \
	each(pipe2, CALL_OPENS | CALL_DISKLESS) each(readdir, 0) each(getdents64, 0) \
	each(read, CALL_SLEEPS) each(pread, CALL_SLEEPS) \
	each(write, CALL_SLEEPS | CALL_TAKES_ROOM) each(pwrite, CALL_SLEEPS | CALL_TAKES_ROOM) \
	each(ioctl, CALL_TAKES_ROOM | CALL_SLEEPS) each(poll, CALL_SLEEPS | CALL_DISKLESS) \
	each(stat, 0) each(fstat, 0) each(fstatat, 0) each(statx, 0) each(statfs, CALL_SLEEPS) \
	each(fstatfs, CALL_SLEEPS) each(getxattr, 0) each(lgetxattr, 0) each(fgetxattr, 0) \
	each(llistxattr, 0) each(listxattr, 0) each(flistxattr, 0) each(getxattrat, 0) \
	each(listxattrat, 0) each(setxattrat, CALL_TAKES_ROOM) each(setxattr, CALL_TAKES_ROOM) \
	each(lsetxattr, CALL_TAKES_ROOM) each(fsetxattr, CALL_TAKES_ROOM) \
	each(mkdir, CALL_TAKES_ROOM) each(mkdirat, CALL_TAKES_ROOM) \
	each(mknodat, CALL_TAKES_ROOM) each(symlinkat, CALL_TAKES_ROOM) \
	each(linkat, CALL_TAKES_ROOM) each(unlinkat, CALL_TAKES_ROOM) \
	each(renameat, CALL_TAKES_ROOM) each(renameat2, CALL_TAKES_ROOM) \
	each(fchmod, CALL_TAKES_ROOM) each(fchmodat2, CALL_TAKES_ROOM) \
	each(fchown, CALL_TAKES_ROOM) each(fchownat, CALL_TAKES_ROOM) \
	each(futimens, CALL_TAKES_ROOM) each(utimensat, CALL_TAKES_ROOM) \
	each(ftruncate, CALL_TAKES_ROOM | CALL_SLEEPS) each(lseek, 0) \
	each(fsync, CALL_TAKES_ROOM) each(syncfs, CALL_TAKES_ROOM) \
	each(sync_file_range, CALL_TAKES_ROOM) each(readlink, 0) each(readlinkat, 0) \
	each(mount_setattr, 0) each(getrandom, CALL_SLEEPS | CALL_DISKLESS)
/* clang-format on */

#define CALL_KIND(name, flags) CALL_##name,
enum call_name { CALLS(CALL_KIND) CALL_NAMES };
#undef CALL_KIND

#define CALL_NAME(name, flags) #name,
static const char *const call_names[CALL_NAMES] = { CALLS(CALL_NAME) };
#undef CALL_NAME

#define CALL_FLAG(name, flags) flags,
static const int call_flags[CALL_NAMES] = { CALLS(CALL_FLAG) };
#undef CALL_FLAG

/* How often each was called since calls_arm(); how many of them failed. */
static _Atomic long calls_made[CALL_NAMES], calls_failed;

/*
 * What fails: CALL_NAMES, nothing; from which one on, that one alone or all after it, with which
 * errno.
 */
static _Atomic int calls_victim = CALL_NAMES, calls_errno;
static _Atomic long calls_nth;
static _Atomic bool calls_persistent, calls_counting;

/* Is this the test's own thread? */
static _Thread_local bool calls_exempt;

/* Let the calls of this thread count, or not. */
static void calls_own(bool count)
{
	calls_exempt = !count;
}

/*
 * Count anew, and fail the NTH call of NAME with ERROR, those after it likewise if PERSISTENT.
 * CALL_NAMES: count only.
 */
static void calls_arm(enum call_name name, long nth, int error, bool persistent)
{
	for (int i = 0; i < CALL_NAMES; i++)
		calls_made[i] = 0;
	calls_failed = 0;
	calls_victim = (int)name;
	calls_nth = nth;
	calls_errno = error;
	calls_persistent = persistent;
	calls_counting = true;
}

/* Fail and count nothing any more. */
static void calls_disarm(void)
{
	calls_counting = false;
	calls_victim = CALL_NAMES;
}

/* Is this call of NAME to fail? errno is set. */
static bool call_fails(enum call_name name)
{
	if (calls_exempt || !calls_counting)
		return false;
	long made = ++calls_made[name];
	if ((int)name != calls_victim || made < calls_nth ||
	    (made > calls_nth && !calls_persistent))
		return false;
	calls_failed++;
	errno = calls_errno;
	return true;
}

/* Find the C library's function. */
static void *call_real(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);
	if (!function)
		abort();
	return function;
}

/* In place of the C library's, for the libraries that we use, too. */
#define IN_PLACE __attribute__((visibility("default")))

/*
 * Define NAME, which has PARAMETERS and is called with the rest, and FAILED is what it returns when
 * it fails.
 */
#define CALL_IN_PLACE(type, name, failed, parameters, ...)           \
	IN_PLACE type name parameters                                \
	{                                                            \
		static type(*_Atomic real) parameters;               \
		if (call_fails(CALL_##name))                         \
			return failed;                               \
		if (!real)                                           \
			real = (type(*) parameters)call_real(#name); \
		return real(__VA_ARGS__);                            \
	}

CALL_IN_PLACE(int, open_by_handle_at, -1, (int fd, struct file_handle *handle, int flags), fd,
	      handle, flags)
CALL_IN_PLACE(int, open_tree, -1, (int fd, const char *path, unsigned flags), fd, path, flags)
CALL_IN_PLACE(DIR *, opendir, NULL, (const char *path), path)
CALL_IN_PLACE(FILE *, fopen, NULL, (const char *path, const char *mode), path, mode)
CALL_IN_PLACE(int, eventfd, -1, (unsigned count, int flags), count, flags)
CALL_IN_PLACE(int, pipe2, -1, (int fds[2], int flags), fds, flags)
CALL_IN_PLACE(struct dirent *, readdir, NULL, (DIR * directory), directory)
CALL_IN_PLACE(ssize_t, getdents64, -1, (int fd, void *buffer, size_t size), fd, buffer, size)
CALL_IN_PLACE(ssize_t, pread, -1, (int fd, void *buffer, size_t size, off_t at), fd, buffer, size,
	      at)
CALL_IN_PLACE(ssize_t, pwrite, -1, (int fd, const void *buffer, size_t size, off_t at), fd, buffer,
	      size, at)
CALL_IN_PLACE(int, poll, -1, (struct pollfd * fds, nfds_t count, int timeout_ms), fds, count,
	      timeout_ms)
CALL_IN_PLACE(int, stat, -1, (const char *path, struct stat *buffer), path, buffer)
CALL_IN_PLACE(int, fstat, -1, (int fd, struct stat *buffer), fd, buffer)
CALL_IN_PLACE(int, fstatat, -1, (int fd, const char *path, struct stat *buffer, int flags), fd,
	      path, buffer, flags)
CALL_IN_PLACE(int, statx, -1,
	      (int fd, const char *path, int flags, unsigned mask, struct statx *buffer), fd, path,
	      flags, mask, buffer)
CALL_IN_PLACE(int, statfs, -1, (const char *path, struct statfs *buffer), path, buffer)
CALL_IN_PLACE(int, fstatfs, -1, (int fd, struct statfs *buffer), fd, buffer)
CALL_IN_PLACE(ssize_t, getxattr, -1, (const char *path, const char *name, void *value, size_t size),
	      path, name, value, size)
CALL_IN_PLACE(ssize_t, lgetxattr, -1,
	      (const char *path, const char *name, void *value, size_t size), path, name, value,
	      size)
CALL_IN_PLACE(ssize_t, fgetxattr, -1, (int fd, const char *name, void *value, size_t size), fd,
	      name, value, size)
CALL_IN_PLACE(ssize_t, llistxattr, -1, (const char *path, char *names, size_t size), path, names,
	      size)
CALL_IN_PLACE(ssize_t, listxattr, -1, (const char *path, char *names, size_t size), path, names,
	      size)
CALL_IN_PLACE(ssize_t, flistxattr, -1, (int fd, char *names, size_t size), fd, names, size)
CALL_IN_PLACE(int, setxattr, -1,
	      (const char *path, const char *name, const void *value, size_t size, int flags), path,
	      name, value, size, flags)
CALL_IN_PLACE(int, lsetxattr, -1,
	      (const char *path, const char *name, const void *value, size_t size, int flags), path,
	      name, value, size, flags)
CALL_IN_PLACE(int, fsetxattr, -1,
	      (int fd, const char *name, const void *value, size_t size, int flags), fd, name,
	      value, size, flags)
CALL_IN_PLACE(int, mkdir, -1, (const char *path, mode_t mode), path, mode)
CALL_IN_PLACE(int, mkdirat, -1, (int fd, const char *path, mode_t mode), fd, path, mode)
CALL_IN_PLACE(int, mknodat, -1, (int fd, const char *path, mode_t mode, dev_t device), fd, path,
	      mode, device)
CALL_IN_PLACE(int, symlinkat, -1, (const char *target, int fd, const char *path), target, fd, path)
CALL_IN_PLACE(int, linkat, -1,
	      (int old_fd, const char *old_path, int fd, const char *path, int flags), old_fd,
	      old_path, fd, path, flags)
CALL_IN_PLACE(int, unlinkat, -1, (int fd, const char *path, int flags), fd, path, flags)
CALL_IN_PLACE(int, renameat, -1, (int old_fd, const char *old_path, int fd, const char *path),
	      old_fd, old_path, fd, path)
CALL_IN_PLACE(int, renameat2, -1,
	      (int old_fd, const char *old_path, int fd, const char *path, unsigned flags), old_fd,
	      old_path, fd, path, flags)
CALL_IN_PLACE(int, fchmod, -1, (int fd, mode_t mode), fd, mode)
CALL_IN_PLACE(int, fchown, -1, (int fd, uid_t uid, gid_t gid), fd, uid, gid)
CALL_IN_PLACE(int, fchownat, -1, (int fd, const char *path, uid_t uid, gid_t gid, int flags), fd,
	      path, uid, gid, flags)
CALL_IN_PLACE(int, futimens, -1, (int fd, const struct timespec times[2]), fd, times)
CALL_IN_PLACE(int, utimensat, -1,
	      (int fd, const char *path, const struct timespec times[2], int flags), fd, path,
	      times, flags)
CALL_IN_PLACE(int, ftruncate, -1, (int fd, off_t size), fd, size)
CALL_IN_PLACE(off_t, lseek, -1, (int fd, off_t at, int whence), fd, at, whence)
CALL_IN_PLACE(int, fsync, -1, (int fd), fd)
CALL_IN_PLACE(int, syncfs, -1, (int fd), fd)
CALL_IN_PLACE(int, sync_file_range, -1, (int fd, off_t at, off_t size, unsigned flags), fd, at,
	      size, flags)
CALL_IN_PLACE(ssize_t, readlink, -1, (const char *path, char *target, size_t size), path, target,
	      size)
CALL_IN_PLACE(ssize_t, readlinkat, -1, (int fd, const char *path, char *target, size_t size), fd,
	      path, target, size)
CALL_IN_PLACE(int, mount_setattr, -1,
	      (int fd, const char *path, unsigned flags, struct mount_attr *attributes,
	       size_t size),
	      fd, path, flags, attributes, size)
CALL_IN_PLACE(ssize_t, getrandom, -1, (void *buffer, size_t size, unsigned flags), buffer, size,
	      flags)

/* Those whose arguments vary. */

IN_PLACE int open(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return call_fails(CALL_open)
		       ? -1
		       : (int)((long (*)(long, ...))call_real("syscall"))(SYS_openat, AT_FDCWD,
									  path, flags, mode);
}

IN_PLACE int openat(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return call_fails(CALL_openat)
		       ? -1
		       : (int)((long (*)(long, ...))call_real("syscall"))(SYS_openat, fd, path,
									  flags, mode);
}

/* Is FD one that wakes a thread? It fails in no way that these tests are about. */
static bool call_wakes(int fd)
{
	char path[32], target[32] = "";
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	((long (*)(long, ...))call_real("syscall"))(SYS_readlink, path, target, sizeof(target) - 1);
	return !strcmp(target, "anon_inode:[eventfd]");
}

IN_PLACE ssize_t read(int fd, void *buffer, size_t size)
{
	if (size != sizeof(uint64_t) || !call_wakes(fd))
		if (call_fails(CALL_read))
			return -1;
	return ((long (*)(long, ...))call_real("syscall"))(SYS_read, fd, buffer, size);
}

IN_PLACE ssize_t write(int fd, const void *buffer, size_t size)
{
	if (size != sizeof(uint64_t) || !call_wakes(fd))
		if (call_fails(CALL_write))
			return -1;
	return ((long (*)(long, ...))call_real("syscall"))(SYS_write, fd, buffer, size);
}

/* How often something was closed that is not open: its number may be another thread's by then. */
static _Atomic long calls_closed_wrong;

IN_PLACE int close(int fd)
{
	int r = (int)((long (*)(long, ...))call_real("syscall"))(SYS_close, fd);
	calls_closed_wrong += r < 0 && errno == EBADF && fd >= 0;
	return r;
}

IN_PLACE int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	return call_fails(CALL_ioctl)
		       ? -1
		       : (int)((long (*)(long, ...))call_real("syscall"))(SYS_ioctl, fd, request,
									  argument);
}

IN_PLACE int fcntl(int fd, int command, ...)
{
	va_list arguments;
	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	/* The only one of these that may fail. */
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && call_fails(CALL_dup))
		return -1;
	return (int)((long (*)(long, ...))call_real("syscall"))(SYS_fcntl, fd, command, argument);
}

/* The kind of system call NUMBER; CALL_NAMES: none that fails. */
static enum call_name call_numbered(long number)
{
	/* What older headers do not name. */
	enum { FCHMODAT2 = 452, SETXATTRAT = 463, GETXATTRAT = 464, LISTXATTRAT = 465 };
	switch (number) {
	case SYS_openat2:
		return CALL_openat2;
	case FCHMODAT2:
		return CALL_fchmodat2;
	case SETXATTRAT:
		return CALL_setxattrat;
	case GETXATTRAT:
		return CALL_getxattrat;
	case LISTXATTRAT:
		return CALL_listxattrat;
	default:
		return CALL_NAMES;
	}
}

IN_PLACE long syscall(long number, ...)
{
	va_list arguments;
	va_start(arguments, number);
	long a[6];
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	enum call_name name = call_numbered(number);
	if (name != CALL_NAMES && call_fails(name))
		return -1;
	return ((long (*)(long, ...))call_real("syscall"))(number, a[0], a[1], a[2], a[3], a[4],
							   a[5]);
}

#endif
