/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds what may differ between two subvolumes of common descent, by a search of their trees
 * instead of a look at their files.
 *
 * Up to some transaction both were the same. Every inode that was changed since, in either, has an
 * inode item that was written since. That item is in a leaf of a later generation, and a tree
 * search visits only those leaves. A directory in which an entry was made or removed is such an
 * inode itself. An inode without a changed item is the same in both, with the same number.
 *
 *	inodes       those that were changed in one of the two, and not only read
 *	directories  unchanged ones on the path to a changed inode: the next name on that path is a hint
 *
 * So a comparison from the roots on looks only at hinted names in unchanged directories, and at the
 * entries of changed ones. Hints have a bound: beyond it a directory is listed. Needs
 * CAP_SYS_ADMIN.
 */
#ifndef VARVE_DIFF_DELTA_H
#define VARVE_DIFF_DELTA_H

#include "engine/base/inode_map.h"
#include "engine/base/yield.h"
#include "engine/btrfs/ancestor.h"
#include "engine/store/store.h"

/* A name in a directory. */
struct delta_hint {
	/* The next one in the same directory, counted from 1; 0: none. */
	uint32_t next;
	/* Where its name begins in delta->names. */
	uint32_t name;
	/* A subvolume is nested here in one of the two: compare, whatever the inode numbers are. */
	bool forced;
};

struct delta {
	struct delta_limits limits;
	/* The numbers of changed inodes, ascending. */
	uint64_t *inodes;
	size_t inodes_count, inodes_capacity;
	/* How many the search found, with those that were only read. */
	size_t inodes_found;
	/* (directory, 0) to its first hint, counted from 1, and DELTA_ bits. */
	struct inode_map directories;
	struct delta_hint *hints;
	size_t hints_count, hints_capacity;
	/* How many of them are forced. */
	size_t forced_count;
	/* Names of hints, each ended by NUL. */
	char *names;
	size_t names_size, names_capacity;
	/* The moment until which both trees were the same. */
	struct ancestor_common common;
	struct fault *fault;
	/* Ends the collection early with -ECANCELED. */
	const _Atomic bool *cancelled;
	/* How the thread yields its CPU to short requests. */
	struct yield yield;
};

/*
 * Collect what may differ between the subvolumes with the root directories FDS: 1; 0 when a search
 * cannot find it (no common origin, no privilege, too many changes); or -errno. The file system has
 * to be flushed before.
 */
int delta_collect(struct delta *delta, const int fds[2]);

/* Was INODE changed? */
bool delta_changed(const struct delta *delta, uint64_t inode);

/* Does DIRECTORY, which is unchanged, lead to a changed inode or to a nested subvolume? */
bool delta_leads(const struct delta *delta, uint64_t directory);

/* Are there entries in DIRECTORY to be looked at that no hint names? */
bool delta_unnamed(const struct delta *delta, uint64_t directory);

/* The first hint in DIRECTORY, NULL when there is none; the one behind HINT. */
const struct delta_hint *delta_first(const struct delta *delta, uint64_t directory);
const struct delta_hint *delta_next(const struct delta *delta, const struct delta_hint *hint);

/* Free what was collected. */
void delta_free(struct delta *delta);

#endif
