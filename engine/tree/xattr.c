/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux 6.13 has setxattrat and getxattrat. Before that, the calls that follow no link take paths only. A thread of ours then
 * gets a working directory of its own (unshare(CLONE_FS), which takes no privilege), goes to each directory once, and gives the
 * bare name. Where that is refused (a seccomp filter, a directory without the right to search), or the thread is the
 * caller's, the way leads through /proc/self/fd/N/NAME, which the kernel resolves from our descriptor, for each file anew.
 */
#include "engine/tree/xattr.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* System calls that Debian 12's headers do not know; the same on all architectures that number calls alike since 5.0. */
enum { XATTR_SETXATTRAT = 463, XATTR_GETXATTRAT = 464 };

/* Bytes of such a path. */
#define XATTR_PATH_BYTES (NAME_MAX + 40)

/* The kernel's struct xattr_args. */
struct xattr_args {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

enum xattr_way xattr_probe(void)
{
	struct xattr_args args = { 0 };
	long r = syscall(XATTR_GETXATTRAT, -1, "", AT_EMPTY_PATH, XATTR_LABEL, &args, sizeof(args));

	/* A filter may have refused it in its own way. */
	return r < 0 && errno == EBADF ? XATTR_AT : XATTR_NAME;
}

void xattr_move(struct xattr_seat *seat, int dir_fd)
{
	seat->dir_fd = dir_fd;
	seat->here = seat->refused = false;
}

void xattr_leave(struct xattr_seat *seat)
{
	/* It has been gone to before. */
	if (seat->own && !chdir("/"))
		seat->own = false;
}

/* See that the thread's working directory is SEAT's; false when names have to be paths. */
static bool xattr_here(struct xattr_seat *seat)
{
	if (seat->here || seat->refused || seat->way != XATTR_NAME)
		return seat->here;
	/* It costs next to nothing when it is so already. There must be a way out of the directories, too. */
	if (!seat->own)
		seat->own = !unshare(CLONE_FS) && !chdir("/");
	seat->here = seat->own && !fchdir(seat->dir_fd);
	seat->refused = !seat->here;
	return seat->here;
}

/* What leads to NAME in SEAT's directory; PATH is room for it. */
static const char *xattr_path(struct xattr_seat *seat, const char *name, char path[XATTR_PATH_BYTES])
{
	if (xattr_here(seat))
		return name;
	snprintf(path, XATTR_PATH_BYTES, "/proc/self/fd/%d/%s", seat->dir_fd, name);
	return path;
}

int xattr_set(struct xattr_seat *seat, const char *name, const char *attribute, const void *value, size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	int r;

	do
		if (seat->way == XATTR_AT)
			r = RET_NERRNO((int)syscall(XATTR_SETXATTRAT, seat->dir_fd, name, AT_SYMLINK_NOFOLLOW, attribute, &args,
						    sizeof(args)));
		else
			r = RET_NERRNO(lsetxattr(xattr_path(seat, name, path), attribute, value, size, 0));
	while (r == -EINTR);
	return r;
}

ssize_t xattr_get(struct xattr_seat *seat, const char *name, const char *attribute, void *value, size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	ssize_t r;

	do
		if (seat->way == XATTR_AT)
			r = RET_NERRNO((ssize_t)syscall(XATTR_GETXATTRAT, seat->dir_fd, name, AT_SYMLINK_NOFOLLOW, attribute, &args,
							sizeof(args)));
		else
			r = RET_NERRNO(lgetxattr(xattr_path(seat, name, path), attribute, value, size));
	while (r == -EINTR);
	return r;
}
