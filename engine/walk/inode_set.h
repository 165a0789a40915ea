/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of inodes, (subvolume, inode number), so that an inode with several names is handled once.
 * The set consists of bitmaps, because btrfs assigns inode numbers in sequence: a million hard
 * links take some hundred KiB. Recently used pages are found, and their bits set, without a lock.
 */
#ifndef VARVE_WALK_INODE_SET_H
#define VARVE_WALK_INODE_SET_H

#include "engine/base/fault.h"
#include "engine/base/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct inode_set_page;

struct inode_set {
	/* Guards the rest. */
	pthread_mutex_t lock;
	/* A hash table of pages: its slots (a power of two), the number in use. */
	struct inode_set_page **pages;
	unsigned slots, count;
	struct fault *fault;
	/*
	 * Recently used pages, by their number modulo INODE_SET_RECENT; a page stays until the set
	 * is freed.
	 */
	struct inode_set_page *_Atomic recent[INODE_SET_RECENT];
};

/* Prepare an empty set. */
void inode_set_init(struct inode_set *inodes, struct fault *fault);

/*
 * Add INODE of SUBVOLUME: 1 when it is new, 0 when it was there, -ENOMEM, -ENOBUFS beyond
 * INODE_PAGES_MAX. Any thread.
 */
int inode_set_add(struct inode_set *inodes, uint64_t subvolume, uint64_t inode);

/* Is INODE of SUBVOLUME in the set? Any thread. */
bool inode_set_has(struct inode_set *inodes, uint64_t subvolume, uint64_t inode);

/* Free what the set holds; harmless on zeros. */
void inode_set_free(struct inode_set *inodes);

#endif
