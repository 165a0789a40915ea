/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distinguishes the entries that an archive has made in a layer from older ones, by inode numbers:
 * btrfs assigns them in ascending order in each subvolume, so an inode is new when its number is at
 * least the first free number at the beginning. Of older inodes the set remembers the directories
 * that have an entry in the archive, or lead to one, and the names that the archive gave to older
 * files: their other names are not the archive's.
 *
 * A user of the layer may make new inodes, too, but none that belongs to another owner: so a new
 * inode that belongs to the caller was made by the unpacking.
 */
#ifndef VARVE_ARCHIVE_BROUGHT_H
#define VARVE_ARCHIVE_BROUGHT_H

#include "engine/base/inode_map.h"

#include <stdbool.h>
#include <sys/stat.h>

/* What the archive has for an older directory. */
enum brought_kind {
	BROUGHT_LEADS, /* something below it */
	BROUGHT_ENTRY, /* an entry, which gave it all its attributes */
	BROUGHT_KINDS,
};

/* Beside the kind: an opaque marker has emptied the directory of what was there before. */
#define BROUGHT_EMPTIED BROUGHT_KINDS

struct brought {
	/* The first new inode's number, by the subvolume's device. */
	struct inode_map firsts;
	/*
	 * Older directories that belong to the archive, (inode, device) to enum brought_kind, maybe
	 * with BROUGHT_EMPTIED.
	 */
	struct inode_map kept;
	/*
	 * Names that the archive gave to older files: (inode of the directory, hash of its device
	 * and the name).
	 */
	struct inode_map names;
	/* The owner of new files. */
	uid_t uid;
	/* The root of the layer. */
	uint64_t root_inode, root_device;
};

/* Get the stat of FD, with OPATH_STAT_MASK: 0 or -errno. */
int brought_look(int fd, struct statx *ret_stat);

/* Prepare BROUGHT, of zeros, for the layer whose root is ROOT_FD: 0 or -errno. */
int brought_init(struct brought *brought, struct fault *fault, int root_fd);

/*
 * Note that entries may be made in the directory DIR_FD, of which DIR is a stat, from here on: 0 or
 * -errno.
 */
int brought_place(struct brought *brought, int dir_fd, const struct statx *dir);

/*
 * Keep the directory DIR_FD, of which DIR is a stat, in which the archive has an entry, and those
 * above it. 0 or -errno.
 */
int brought_lead(struct brought *brought, int dir_fd, const struct statx *dir);

/* Keep the directory with STAT, for which the archive has an entry. 0 or -ENOMEM. */
int brought_keep(struct brought *brought, const struct statx *stat);

/*
 * Note that the archive gave the file with STAT the name NAME in the directory DIR_FD. 0, -ENOMEM,
 * -ENOBUFS: too many, or -errno.
 */
int brought_name(struct brought *brought, const struct statx *stat, int dir_fd, const char *name);

/* Does the entry NAME, with STAT, in the directory with stat DIR belong to the archive? */
bool brought_has(const struct brought *brought, const struct statx *dir, const char *name,
		 const struct statx *stat);

/*
 * What the archive has for the directory with STAT: an enum brought_kind; -ENOENT where the
 * directory is new.
 */
int brought_kind(const struct brought *brought, const struct statx *stat);

/* Note that the directory with STAT was emptied of everything older. 0 or -ENOMEM. */
int brought_empty(struct brought *brought, const struct statx *stat);

/* Was the directory emptied, or is it new? */
bool brought_emptied(const struct brought *brought, const struct statx *stat);

/* Is the inode older than the archive's? */
bool brought_old(const struct brought *brought, const struct statx *stat);

/* Is the inode with STAT in the layer's own subvolume, not in a nested one? */
bool brought_inside(const struct brought *brought, const struct statx *stat);

/* Was the inode made here, by the caller? */
bool brought_made(const struct brought *brought, const struct statx *stat);

/* Free what it holds. */
void brought_free(struct brought *brought);

#endif
