/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/brought.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/dir/opath.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The device of STAT, one for each subvolume. */
static uint64_t brought_device(const struct statx *stat)
{
	return makedev(stat->stx_dev_major, stat->stx_dev_minor);
}

int brought_look(int fd, struct statx *ret_stat)
{
	return RET_NERRNO(statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
				OPATH_STAT_MASK, ret_stat));
}

int brought_init(struct brought *brought, struct fault *fault, int root_fd)
{
	struct statx stat;
	int r = brought_look(root_fd, &stat);

	brought->firsts.fault = brought->kept.fault = brought->names.fault = fault;
	brought->uid = geteuid();
	brought->root_inode = r ? 0 : stat.stx_ino;
	brought->root_device = r ? 0 : brought_device(&stat);
	return r;
}

bool brought_inside(const struct brought *brought, const struct statx *stat)
{
	return brought_device(stat) == brought->root_device;
}

int brought_place(struct brought *brought, int dir_fd, const struct statx *dir)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx probe;
	uint64_t *first;
	int r;

	if (inode_map_find(&brought->firsts, brought_device(dir), 0))
		return 0;
	/* The number that the next inode has, or one a little lower. */
	fd = RET_NERRNO(openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
	/* Where nothing can be made nothing is new. */
	if (fd == -EACCES || fd == -EPERM || fd == -EROFS || fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : brought_look(fd, &probe);
	if (r)
		return r;
	first = inode_map_add(&brought->firsts, brought_device(&probe), 0, NULL);
	if (!first)
		return -ENOMEM;
	*first = probe.stx_ino;
	return 0;
}

bool brought_old(const struct brought *brought, const struct statx *stat)
{
	const uint64_t *first = inode_map_find(&brought->firsts, brought_device(stat), 0);

	return !first || stat->stx_ino < *first;
}

bool brought_made(const struct brought *brought, const struct statx *stat)
{
	return !brought_old(brought, stat) && stat->stx_uid == brought->uid;
}

/*
 * The number that stands for NAME in a directory of DEVICE. An archive whose names collide keeps an
 * older file, which it could keep by a link as well.
 */
static uint64_t brought_hash(uint64_t device, const char *name)
{
	return hash_bytes(HASH_BEGIN ^ device, name, strlen(name));
}

bool brought_has(const struct brought *brought, const struct statx *dir, const char *name,
		 const struct statx *stat)
{
	if (!brought_old(brought, stat))
		return true;
	if (S_ISDIR(stat->stx_mode))
		return inode_map_find(&brought->kept, stat->stx_ino, brought_device(stat));
	return inode_map_find(&brought->names, dir->stx_ino,
			      brought_hash(brought_device(dir), name));
}

int brought_kind(const struct brought *brought, const struct statx *stat)
{
	const uint64_t *kept = inode_map_find(&brought->kept, stat->stx_ino, brought_device(stat));

	return kept ? (int)(*kept % BROUGHT_KINDS) : -ENOENT;
}

int brought_keep(struct brought *brought, const struct statx *stat)
{
	uint64_t *kept;

	/* New ones are known by their number; so this holds no more than the layer had. */
	if (!brought_old(brought, stat))
		return 0;
	kept = inode_map_add(&brought->kept, stat->stx_ino, brought_device(stat), NULL);
	if (!kept)
		return -ENOMEM;
	*kept |= BROUGHT_ENTRY;
	return 0;
}

int brought_empty(struct brought *brought, const struct statx *stat)
{
	uint64_t *kept = brought_old(brought, stat) ? inode_map_add(&brought->kept, stat->stx_ino,
								    brought_device(stat), NULL)
						    : NULL;

	if (kept)
		*kept |= BROUGHT_EMPTIED;
	return kept || !brought_old(brought, stat) ? 0 : -ENOMEM;
}

bool brought_emptied(const struct brought *brought, const struct statx *stat)
{
	const uint64_t *kept = inode_map_find(&brought->kept, stat->stx_ino, brought_device(stat));

	return !brought_old(brought, stat) || (kept && *kept & BROUGHT_EMPTIED);
}

int brought_name(struct brought *brought, const struct statx *stat, int dir_fd, const char *name)
{
	struct statx dir;
	int r = brought_old(brought, stat) ? brought_look(dir_fd, &dir) : 1;

	if (r)
		return MIN(r, 0);
	if (brought->names.count >= BROUGHT_NAMES_MAX)
		return -ENOBUFS;
	return inode_map_add(&brought->names, dir.stx_ino, brought_hash(brought_device(&dir), name),
			     NULL)
		       ? 0
		       : -ENOMEM;
}

int brought_lead(struct brought *brought, int dir_fd, const struct statx *dir)
{
	_cleanup_close_ int owned = -EBADF;
	struct statx stat = *dir;
	bool added = true;

	for (;;) {
		int fd, r;

		/* The directory above one that was made here leads to it already. */
		if ((stat.stx_ino == brought->root_inode && brought_inside(brought, &stat)) ||
		    !brought_old(brought, &stat))
			return 0;
		if (!inode_map_add(&brought->kept, stat.stx_ino, brought_device(&stat), &added))
			return -ENOMEM;
		if (!added)
			return 0;
		/*
		 * A user of the layer may have moved it; at worst too little is removed then.
		 */
		fd = RET_NERRNO(openat(dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		fd_close(owned);
		dir_fd = owned = fd;
		r = brought_look(dir_fd, &stat);
		if (r)
			return r;
	}
}

void brought_free(struct brought *brought)
{
	inode_map_free(&brought->firsts);
	inode_map_free(&brought->kept);
	inode_map_free(&brought->names);
}
