/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux 6.13 has setxattrat and getxattrat. Before that, the calls that follow no link take paths
 * only. A thread of ours then gets a working directory of its own (unshare(CLONE_FS), which takes
 * no privilege), goes to each directory once, and gives the bare name. Where that is refused (a
 * seccomp filter, a directory without the right to search), or the thread is the caller's, the way
 * leads through /proc/self/fd/N/NAME, which the kernel resolves from our descriptor, for each file
 * anew.
 */
#include "engine/dir/xattr.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * System calls that Debian 12's headers do not know; the same on all architectures that number
 * calls alike since 5.0.
 */
enum { XATTR_SETXATTRAT = 463, XATTR_GETXATTRAT = 464, XATTR_LISTXATTRAT = 465 };

/* Bytes of such a path. */
#define XATTR_PATH_BYTES (NAME_MAX + 40)

/* The kernel's struct xattr_args. */
struct xattr_args {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

enum xattr_method xattr_probe(void)
{
	struct xattr_args args = { 0 };
	long r = syscall(XATTR_GETXATTRAT, -1, "", AT_EMPTY_PATH, XATTR_LABEL, &args, sizeof(args));

	/* A filter may have refused it in its own way. */
	return r < 0 && errno == EBADF ? XATTR_AT : XATTR_CWD;
}

void xattr_dir_set(struct xattr_dir *dir, int dir_fd)
{
	dir->dir_fd = dir_fd;
	dir->here = dir->refused = false;
}

void xattr_dir_leave(struct xattr_dir *dir)
{
	/* thread_leave_fs() has gone to "/" before. */
	if (dir->own && !chdir("/"))
		dir->own = false;
}

/* See that the thread's working directory is DIR's; false when names have to be paths. */
static bool xattr_here(struct xattr_dir *dir)
{
	if (dir->here || dir->refused || dir->method != XATTR_CWD)
		return dir->here;
	/*
	 * Where the thread has one of its own already this costs next to nothing. It must be able
	 * to leave the directories, too.
	 */
	if (!dir->own)
		dir->own = thread_leave_fs();
	dir->here = dir->own && !fchdir(dir->dir_fd);
	dir->refused = !dir->here;
	return dir->here;
}

/* What leads to NAME in DIR's directory; PATH is room for it. */
static const char *xattr_path(struct xattr_dir *dir, const char *name, char path[XATTR_PATH_BYTES])
{
	if (xattr_here(dir))
		return name;
	snprintf(path, XATTR_PATH_BYTES, "/proc/self/fd/%d/%s", dir->dir_fd, name);
	return path;
}

int xattr_set(struct xattr_dir *dir, const char *name, const char *attribute, const void *value,
	      size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	int r;

	do
		if (dir->method == XATTR_AT)
			r = RET_NERRNO((int)syscall(XATTR_SETXATTRAT, dir->dir_fd, name,
						    AT_SYMLINK_NOFOLLOW, attribute, &args,
						    sizeof(args)));
		else
			r = RET_NERRNO(
				lsetxattr(xattr_path(dir, name, path), attribute, value, size, 0));
	while (r == -EINTR);
	return r;
}

ssize_t xattr_get(struct xattr_dir *dir, const char *name, const char *attribute, void *value,
		  size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	ssize_t r;

	do
		if (dir->method == XATTR_AT)
			r = RET_NERRNO((ssize_t)syscall(XATTR_GETXATTRAT, dir->dir_fd, name,
							AT_SYMLINK_NOFOLLOW, attribute, &args,
							sizeof(args)));
		else
			r = RET_NERRNO(
				lgetxattr(xattr_path(dir, name, path), attribute, value, size));
	while (r == -EINTR);
	return r;
}

ssize_t xattr_list(struct xattr_dir *dir, const char *name, char *list, size_t size)
{
	char path[XATTR_PATH_BYTES];
	ssize_t r;

	do
		if (dir->method == XATTR_AT)
			r = RET_NERRNO((ssize_t)syscall(XATTR_LISTXATTRAT, dir->dir_fd, name,
							AT_SYMLINK_NOFOLLOW, list, size));
		else
			r = RET_NERRNO(llistxattr(xattr_path(dir, name, path), list, size));
	while (r == -EINTR);
	return r;
}
