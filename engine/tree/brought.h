/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive has brought into a layer, and what was there before: known by inode numbers, which btrfs hands out upwards
 * in each subvolume. An inode of a number from the first one on that a subvolume had free is new; older ones that belong to
 * the archive all the same, and the directories that lead to what it brought, are remembered.
 *
 * A user of the layer may make new inodes, too, but none of another owner: what is new and ours was made here.
 */
#ifndef VARVE_TREE_BROUGHT_H
#define VARVE_TREE_BROUGHT_H

#include "engine/base/idmap.h"

#include <stdbool.h>
#include <sys/stat.h>

struct brought {
	/* The first new inode's number, by the subvolume's device. */
	struct idmap firsts;
	/* Older inodes that belong to the archive, (inode, device). */
	struct idmap kept;
	/* Who makes files. */
	uid_t uid;
	/* The root of the layer. */
	uint64_t root_inode, root_device;
};

/* Look at FD, with OPATH_STAT_MASK: 0 or -errno. */
int brought_look(int fd, struct statx *ret_stat);

/* Prepare BROUGHT, of zeros, for the layer whose root is ROOT_FD: 0 or -errno. */
int brought_init(struct brought *brought, struct fault *fault, int root_fd);

/* Something may be made in the directory DIR_FD from here on: 0 or -errno. */
int brought_place(struct brought *brought, int dir_fd);

/* The archive has something in the directory DIR_FD: it and all that lead to it are not to be removed for it. 0 or -errno. */
int brought_lead(struct brought *brought, int dir_fd);

/* The archive has what STAT tells of. 0 or -ENOMEM. */
int brought_keep(struct brought *brought, const struct statx *stat);

/* Has the archive what STAT tells of? */
bool brought_has(const struct brought *brought, const struct statx *stat);

/* Is it older than what the archive brought? */
bool brought_old(const struct brought *brought, const struct statx *stat);

/* Was it made here, and by us? */
bool brought_made(const struct brought *brought, const struct statx *stat);

/* Free what it holds. */
void brought_free(struct brought *brought);

#endif
