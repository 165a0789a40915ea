/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of inodes, (subvolume, inode number), for hard links: each inode is handled once. Bitmaps, because btrfs hands
 * inode numbers out one after the other: a million hard links take some hundred KiB. Pages used of late are found, and their
 * bits set, without a lock.
 */
#ifndef VARVE_WALK_INODE_SET_H
#define VARVE_WALK_INODE_SET_H

#include "engine/base/fault.h"
#include "engine/base/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct inodes_page;

struct inodes {
	/* Guards the rest. */
	pthread_mutex_t lock;
	/* Hash table of pages: slots (a power of two), those in use. */
	struct inodes_page **pages;
	unsigned slots, count;
	struct fault *fault;
	/* Pages that were used last, by the end of their number; a page stays until the set is freed. */
	struct inodes_page *_Atomic recent[INODES_RECENT];
};

/* Prepare an empty set. */
void inodes_init(struct inodes *inodes, struct fault *fault);

/* Add INODE of SUBVOLUME: 1 when it is new, 0 when it was there, -ENOMEM, -ENOBUFS beyond INODE_PAGES_MAX. Any thread. */
int inodes_add(struct inodes *inodes, uint64_t subvolume, uint64_t inode);

/* Is INODE of SUBVOLUME in the set? Any thread. */
bool inodes_has(struct inodes *inodes, uint64_t subvolume, uint64_t inode);

/* Free what the set holds; harmless on zeros. */
void inodes_free(struct inodes *inodes);

#endif
