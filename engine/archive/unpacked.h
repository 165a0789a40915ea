/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of entries that an archive has unpacked into a layer, as against older entries. New
 * inodes are recognised by their numbers: btrfs assigns these in ascending order in each subvolume,
 * so an inode is new when its number is at least the first free number at the beginning. Of older
 * inodes the set holds the directories that have an entry in the archive or are above one, and the
 * names that the archive has given to older files: other names of these files are not the
 * archive's.
 *
 * A user of the layer may make new inodes, too, but none that belongs to another owner: so a new
 * inode that belongs to the caller was made by the unpacking.
 */
#ifndef VARVE_ARCHIVE_UNPACKED_H
#define VARVE_ARCHIVE_UNPACKED_H

#include "engine/base/inode_map.h"

#include <stdbool.h>
#include <sys/stat.h>

/* What the archive has for an older directory. */
enum unpacked_kind {
	UNPACKED_ANCESTOR, /* something below it */
	UNPACKED_ENTRY,    /* an entry, which has set all of its attributes */
	UNPACKED_KINDS,
};

/* Beside the kind: an opaque marker has removed the older content of the directory. */
#define UNPACKED_EMPTIED UNPACKED_KINDS

struct unpacked {
	/* The number of the first new inode, by the subvolume's device. */
	struct inode_map firsts;
	/*
	 * Older directories that belong to the archive: (inode, device) to enum unpacked_kind,
	 * perhaps with UNPACKED_EMPTIED.
	 */
	struct inode_map directories;
	/*
	 * Names that the archive has given to older files: (inode of the directory, hash of its
	 * device and the name).
	 */
	struct inode_map names;
	/* The owner of new files. */
	uid_t uid;
	/* The root of the layer. */
	uint64_t root_inode, root_device;
};

/* Get the stat of FD, with OPATH_STAT_MASK: 0 or -errno. */
int unpacked_stat(int fd, struct statx *ret_stat);

/* Prepare UNPACKED, of zeros, for the layer whose root is ROOT_FD: 0 or -errno. */
int unpacked_init(struct unpacked *unpacked, struct fault *fault, int root_fd);

/*
 * Record the first new inode number of the subvolume of the directory DIR_FD, of which DIR is the
 * stat, before an entry is made in it. 0 or -errno.
 */
int unpacked_begin(struct unpacked *unpacked, int dir_fd, const struct statx *dir);

/*
 * Add the directory DIR_FD, of which DIR is the stat, in which the archive has an entry, and the
 * directories above it. 0 or -errno.
 */
int unpacked_add_parents(struct unpacked *unpacked, int dir_fd, const struct statx *dir);

/* Add the directory with STAT, for which the archive has an entry. 0 or -ENOMEM. */
int unpacked_add_directory(struct unpacked *unpacked, const struct statx *stat);

/*
 * Add the name NAME in the directory DIR_FD, which the archive has given to the file with STAT. 0,
 * -ENOMEM, -ENOBUFS (too many), or another -errno.
 */
int unpacked_add_name(struct unpacked *unpacked, const struct statx *stat, int dir_fd,
		      const char *name);

/* Does the entry NAME, with STAT, in the directory with stat DIR belong to the archive? */
bool unpacked_has(const struct unpacked *unpacked, const struct statx *dir, const char *name,
		  const struct statx *stat);

/*
 * What the archive has for the directory with STAT: an enum unpacked_kind; -ENOENT where the
 * directory is new.
 */
int unpacked_kind(const struct unpacked *unpacked, const struct statx *stat);

/* Record that all older content of the directory with STAT was removed. 0 or -ENOMEM. */
int unpacked_set_emptied(struct unpacked *unpacked, const struct statx *stat);

/* Was all older content of the directory with STAT removed, or is the directory new? */
bool unpacked_emptied(const struct unpacked *unpacked, const struct statx *stat);

/* Is the inode with STAT older than the unpacking? */
bool unpacked_older(const struct unpacked *unpacked, const struct statx *stat);

/* Is the inode with STAT in the layer's own subvolume, not in a nested one? */
bool unpacked_inside(const struct unpacked *unpacked, const struct statx *stat);

/* Was the inode with STAT made by the unpacking, and by the caller? */
bool unpacked_made(const struct unpacked *unpacked, const struct statx *stat);

/* Free what UNPACKED holds. */
void unpacked_free(struct unpacked *unpacked);

#endif
