/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux 6.13 has setxattrat and getxattrat. Before that, the calls that follow no link take paths only; then the way leads
 * through /proc/self/fd/N/NAME, which the kernel resolves from our descriptor.
 */
#include "engine/tree/xattr.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

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

/* The flags for NAME. */
static unsigned xattr_flags(const char *name)
{
	return AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
}

/* The path of NAME in DIR_FD. */
static const char *xattr_path(char path[XATTR_PATH_BYTES], int dir_fd, const char *name)
{
	snprintf(path, XATTR_PATH_BYTES, "/proc/self/fd/%d/%s", dir_fd, *name ? name : ".");
	return path;
}

int xattr_set(int dir_fd, const char *name, const char *attribute, const void *value, size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	int r;

	do {
		r = RET_NERRNO((int)syscall(XATTR_SETXATTRAT, dir_fd, name, xattr_flags(name), attribute, &args, sizeof(args)));
		if (r == -ENOSYS)
			r = RET_NERRNO(lsetxattr(xattr_path(path, dir_fd, name), attribute, value, size, 0));
	} while (r == -EINTR);
	return r;
}

ssize_t xattr_get(int dir_fd, const char *name, const char *attribute, void *value, size_t size)
{
	struct xattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };
	char path[XATTR_PATH_BYTES];
	ssize_t r;

	do {
		r = RET_NERRNO((ssize_t)syscall(XATTR_GETXATTRAT, dir_fd, name, xattr_flags(name), attribute, &args,
						sizeof(args)));
		if (r == -ENOSYS)
			r = RET_NERRNO(lgetxattr(xattr_path(path, dir_fd, name), attribute, value, size));
	} while (r == -EINTR);
	return r;
}
