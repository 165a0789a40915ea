/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive has brought into a layer, and what was there before: known by inode numbers,
 * which btrfs hands out upwards in each subvolume. An inode of a number from the first one on that
 * a subvolume had free is new. Of older ones the directories that belong to the archive all the
 * same, or lead to what it brought, are remembered, and names that it gave to files: of these the
 * other names are not the archive's.
 *
 * A user of the layer may make new inodes, too, but none of another owner: what is new and ours was
 * made here.
 */
#ifndef VARVE_ARCHIVE_BROUGHT_H
#define VARVE_ARCHIVE_BROUGHT_H

#include "engine/base/inode_map.h"

#include <stdbool.h>
#include <sys/stat.h>

/* What an archive has of an older directory. */
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

/* Look at FD, with OPATH_STAT_MASK: 0 or -errno. */
int brought_look(int fd, struct statx *ret_stat);

/* Prepare BROUGHT, of zeros, for the layer whose root is ROOT_FD: 0 or -errno. */
int brought_init(struct brought *brought, struct fault *fault, int root_fd);

/* Something may be made in the directory DIR_FD from here on: 0 or -errno. */
int brought_place(struct brought *brought, int dir_fd);

/*
 * The archive has something in the directory DIR_FD: it and all that lead to it are not to be
 * removed for it. 0 or -errno.
 */
int brought_lead(struct brought *brought, int dir_fd);

/* The archive has an entry for the directory that STAT tells of. 0 or -ENOMEM. */
int brought_keep(struct brought *brought, const struct statx *stat);

/*
 * The archive gave the file that STAT tells of the name NAME in the directory DIR_FD. 0, -ENOMEM,
 * -ENOBUFS: too many, or -errno.
 */
int brought_name(struct brought *brought, const struct statx *stat, int dir_fd, const char *name);

/* Has the archive what STAT, of NAME in the directory that DIR tells of, tells of? */
bool brought_has(const struct brought *brought, const struct statx *dir, const char *name,
		 const struct statx *stat);

/*
 * What the archive has of the directory that STAT tells of: an enum brought_kind; -ENOENT where it
 * is no older one.
 */
int brought_kind(const struct brought *brought, const struct statx *stat);

/*
 * Nothing older is in the directory that STAT tells of any more, nor comes into it but by the
 * archive. 0 or -ENOMEM.
 */
int brought_empty(struct brought *brought, const struct statx *stat);

/* Is that so? A directory that is new has had nothing. */
bool brought_emptied(const struct brought *brought, const struct statx *stat);

/* Is it older than what the archive brought? */
bool brought_old(const struct brought *brought, const struct statx *stat);

/* Was it made here, and by us? */
bool brought_made(const struct brought *brought, const struct statx *stat);

/* Free what it holds. */
void brought_free(struct brought *brought);

#endif
