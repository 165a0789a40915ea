/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/opath.h"
#include "engine/base/util.h"
#include "engine/dir/beneath.h"
#include "engine/io/call.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/*
 * fchmodat2() came with Linux 6.6; older headers do not have its number, which is the same
 * everywhere.
 */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* Bytes of "/proc/self/fd/N". */
#define OPATH_LINK_BYTES 40

/* Write the kernel's own link to FD, which leads to that very inode, to LINK. */
static const char *opath_link(int fd, char link[OPATH_LINK_BYTES])
{
	snprintf(link, OPATH_LINK_BYTES, "/proc/self/fd/%d", fd);
	return link;
}

/* opath_open() with FLAGS. */
static int opath_open_as(int dir_fd, const char *name, uint64_t flags, struct statx *ret_stat)
{
	struct call call;
	int fd, r;

	call_openat2(&call, dir_fd, name, flags | O_NOFOLLOW, BENEATH_RESOLVE_NAME);
	fd = call_run(&call);
	if (fd < 0 || !ret_stat)
		return fd;
	r = RET_NERRNO(statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
			     OPATH_STAT_MASK, ret_stat));
	if (!r)
		return fd;
	fd_close(fd);
	return r;
}

int opath_open(int dir_fd, const char *name, struct statx *ret_stat)
{
	return opath_open_as(dir_fd, name, O_PATH, ret_stat);
}

int opath_open_dir(int dir_fd, const char *name, struct statx *ret_stat)
{
	return opath_open_as(dir_fd, name, O_RDONLY | O_DIRECTORY, ret_stat);
}

bool opath_same(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor &&
	       (a->stx_mode & S_IFMT) == (b->stx_mode & S_IFMT);
}

int opath_reopen(int fd, int flags)
{
	char link[OPATH_LINK_BYTES];

	flags |= O_CLOEXEC | O_NONBLOCK;
	if (flags & O_DIRECTORY)
		return RET_NERRNO(openat(fd, ".", flags | O_NOFOLLOW));
	return RET_NERRNO(open(opath_link(fd, link), flags));
}

int opath_reopen_read(int fd)
{
	int r = opath_reopen(fd, O_RDONLY | O_NOATIME);

	/* Only the owner may ask for that. */
	return r == -EPERM ? opath_reopen(fd, O_RDONLY) : r;
}

int opath_chmod(int fd, mode_t mode)
{
	char link[OPATH_LINK_BYTES];
	int r = RET_NERRNO((int)syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH));

	/* A filter that does not know the call may return EPERM; the kernel's own comes again. */
	if (r == -ENOSYS || r == -EPERM)
		r = RET_NERRNO(chmod(opath_link(fd, link), mode));
	return r;
}

int opath_chown(int fd, uid_t uid, gid_t gid)
{
	return RET_NERRNO(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

int opath_times(int fd, const struct timespec times[2])
{
	return RET_NERRNO(utimensat(fd, "", times, AT_EMPTY_PATH));
}

int opath_setxattr(int fd, const char *name, const void *value, size_t size)
{
	char link[OPATH_LINK_BYTES];

	return RET_NERRNO(setxattr(opath_link(fd, link), name, value, size, 0));
}

ssize_t opath_listxattr(int fd, char *list, size_t size)
{
	char link[OPATH_LINK_BYTES];

	return RET_NERRNO(listxattr(opath_link(fd, link), list, size));
}

int opath_removexattr(int fd, const char *name)
{
	char link[OPATH_LINK_BYTES];
	int r = RET_NERRNO(removexattr(opath_link(fd, link), name));

	return r == -ENODATA ? 0 : r;
}

ssize_t opath_getxattr(int fd, const char *name, void *value, size_t size)
{
	char link[OPATH_LINK_BYTES];

	return RET_NERRNO(getxattr(opath_link(fd, link), name, value, size));
}

ssize_t opath_pread(int fd, void *buffer, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t length = pread(fd, (char *)buffer + done, size - done,
				       offset + (off_t)done);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return negative_errno();
		if (!length)
			break;
		done += (size_t)length;
	}
	return (ssize_t)done;
}
