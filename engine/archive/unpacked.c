/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/unpacked.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/dir/opath.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The device of STAT, one for each subvolume. */
static uint64_t unpacked_device(const struct statx *stat)
{
	return makedev(stat->stx_dev_major, stat->stx_dev_minor);
}

int unpacked_stat(int fd, struct statx *ret_stat)
{
	return RET_NERRNO(statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
				OPATH_STAT_MASK, ret_stat));
}

int unpacked_init(struct unpacked *unpacked, struct fault *fault, int root_fd)
{
	struct statx stat;
	int r = unpacked_stat(root_fd, &stat);

	unpacked->firsts.fault = unpacked->directories.fault = unpacked->names.fault = fault;
	unpacked->uid = geteuid();
	unpacked->root_inode = r ? 0 : stat.stx_ino;
	unpacked->root_device = r ? 0 : unpacked_device(&stat);
	return r;
}

bool unpacked_inside(const struct unpacked *unpacked, const struct statx *stat)
{
	return unpacked_device(stat) == unpacked->root_device;
}

int unpacked_begin(struct unpacked *unpacked, int dir_fd, const struct statx *dir)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx probe;
	uint64_t *first;
	int r;

	if (inode_map_find(&unpacked->firsts, unpacked_device(dir), 0))
		return 0;
	/* The number of this inode is at most that of the next one. */
	fd = RET_NERRNO(openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
	/* Where no inode can be made, none is new. */
	if (fd == -EACCES || fd == -EPERM || fd == -EROFS || fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : unpacked_stat(fd, &probe);
	if (r)
		return r;
	first = inode_map_add(&unpacked->firsts, unpacked_device(&probe), 0, NULL);
	if (!first)
		return -ENOMEM;
	*first = probe.stx_ino;
	return 0;
}

bool unpacked_older(const struct unpacked *unpacked, const struct statx *stat)
{
	const uint64_t *first = inode_map_find(&unpacked->firsts, unpacked_device(stat), 0);

	return !first || stat->stx_ino < *first;
}

bool unpacked_made(const struct unpacked *unpacked, const struct statx *stat)
{
	return !unpacked_older(unpacked, stat) && stat->stx_uid == unpacked->uid;
}

/*
 * Hash NAME in a directory of DEVICE. An archive whose names collide keeps an older file, which it
 * could keep by a link as well.
 */
static uint64_t unpacked_hash(uint64_t device, const char *name)
{
	return hash_bytes(HASH_BEGIN ^ device, name, strlen(name));
}

bool unpacked_has(const struct unpacked *unpacked, const struct statx *dir, const char *name,
		  const struct statx *stat)
{
	if (!unpacked_older(unpacked, stat))
		return true;
	if (S_ISDIR(stat->stx_mode))
		return inode_map_find(&unpacked->directories, stat->stx_ino, unpacked_device(stat));
	return inode_map_find(&unpacked->names, dir->stx_ino,
			      unpacked_hash(unpacked_device(dir), name));
}

int unpacked_kind(const struct unpacked *unpacked, const struct statx *stat)
{
	const uint64_t *directory = inode_map_find(&unpacked->directories, stat->stx_ino,
						   unpacked_device(stat));

	return directory ? (int)(*directory % UNPACKED_KINDS) : -ENOENT;
}

/* Note FLAG of the directory of STAT, if it was in the layer before: 0 or -ENOMEM. */
static int unpacked_note(struct unpacked *unpacked, const struct statx *stat, uint64_t flag)
{
	uint64_t *directory;

	/* New ones are recognised by their numbers; so there are no more than the layer had. */
	if (!unpacked_older(unpacked, stat))
		return 0;
	directory = inode_map_add(&unpacked->directories, stat->stx_ino, unpacked_device(stat),
				  NULL);
	if (!directory)
		return -ENOMEM;
	*directory |= flag;
	return 0;
}

int unpacked_add_directory(struct unpacked *unpacked, const struct statx *stat)
{
	return unpacked_note(unpacked, stat, UNPACKED_ENTRY);
}

int unpacked_set_emptied(struct unpacked *unpacked, const struct statx *stat)
{
	return unpacked_note(unpacked, stat, UNPACKED_EMPTIED);
}

bool unpacked_emptied(const struct unpacked *unpacked, const struct statx *stat)
{
	const uint64_t *directory = inode_map_find(&unpacked->directories, stat->stx_ino,
						   unpacked_device(stat));

	return !unpacked_older(unpacked, stat) || (directory && *directory & UNPACKED_EMPTIED);
}

int unpacked_add_name(struct unpacked *unpacked, const struct statx *stat, int dir_fd,
		      const char *name)
{
	struct statx dir;
	int r = unpacked_older(unpacked, stat) ? unpacked_stat(dir_fd, &dir) : 1;

	if (r)
		return MIN(r, 0);
	if (unpacked->names.count >= UNPACKED_NAMES_MAX)
		return -ENOBUFS;
	return inode_map_add(&unpacked->names, dir.stx_ino,
			     unpacked_hash(unpacked_device(&dir), name), NULL)
		       ? 0
		       : -ENOMEM;
}

int unpacked_add_parents(struct unpacked *unpacked, int dir_fd, const struct statx *dir)
{
	_cleanup_close_ int owned = -EBADF;
	struct statx stat = *dir;
	bool added = true;

	for (;;) {
		int fd, r;

		/* The directories above a new one are in the set already. */
		if ((stat.stx_ino == unpacked->root_inode && unpacked_inside(unpacked, &stat)) ||
		    !unpacked_older(unpacked, &stat))
			return 0;
		if (!inode_map_add(&unpacked->directories, stat.stx_ino, unpacked_device(&stat),
				   &added))
			return -ENOMEM;
		if (!added)
			return 0;
		/* If a user of the layer has moved it, at worst too little is removed. */
		fd = RET_NERRNO(openat(dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		fd_close(owned);
		dir_fd = owned = fd;
		r = unpacked_stat(dir_fd, &stat);
		if (r)
			return r;
	}
}

void unpacked_free(struct unpacked *unpacked)
{
	inode_map_free(&unpacked->firsts);
	inode_map_free(&unpacked->directories);
	inode_map_free(&unpacked->names);
}
