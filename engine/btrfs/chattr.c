/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/chattr.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

unsigned chattr_of(const struct statx *stat)
{
	return (stat->stx_attributes & STATX_ATTR_IMMUTABLE ? FS_IMMUTABLE_FL : 0) |
	       (stat->stx_attributes & STATX_ATTR_APPEND ? FS_APPEND_FL : 0);
}

unsigned chattr_get(int fd)
{
	struct statx stat;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stat)
		       ? 0
		       : chattr_of(&stat);
}

int chattr_clear(int fd)
{
	unsigned flags;
	int r = RET_NERRNO(ioctl(fd, FS_IOC_GETFLAGS, &flags));

	if (r < 0)
		return r;
	if (!(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return 0;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	r = RET_NERRNO(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	return r < 0 ? r : 1;
}

int chattr_add(int fd, unsigned flags)
{
	unsigned now;
	int r = RET_NERRNO(ioctl(fd, FS_IOC_GETFLAGS, &now));

	if (r < 0)
		return r;
	now |= flags;
	return RET_NERRNO(ioctl(fd, FS_IOC_SETFLAGS, &now));
}

const char *chattr_detail(unsigned flags)
{
	if (flags & FS_IMMUTABLE_FL)
		return "it is immutable (chattr +i), which takes CAP_LINUX_IMMUTABLE to clear";
	return flags ? "it is append-only (chattr +a), which takes CAP_LINUX_IMMUTABLE to clear"
		     : NULL;
}

const char *chattr_detail_above(unsigned flags)
{
	if (flags & FS_IMMUTABLE_FL)
		return "the directory that it lies in is immutable (chattr +i)";
	return flags ? "the directory that it lies in is append-only (chattr +a)" : NULL;
}
