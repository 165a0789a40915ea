/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a layer by a search of its trees for all inodes, without a look at any name. The key
 * space is cut into spans of up to SEARCH_SPAN inode numbers, which the workers take one after the
 * other. CAP_SYS_ADMIN.
 */
#ifndef VARVE_WALK_USAGE_SEARCH_H
#define VARVE_WALK_USAGE_SEARCH_H

#include "engine/btrfs/abi.h"
#include "engine/btrfs/nested.h"
#include "engine/walk/inode_set.h"
#include "engine/walk/workers.h"

struct usage_search {
	/* Its counters are the result; entries are those of directories. */
	struct job job;
	/* Any directory of the file system. */
	int fd;
	/*
	 * Called with each inode, instead of counting; -errno ends the search. NULL: count. Any
	 * thread.
	 */
	int (*inode)(struct usage_search *usage_search, uint64_t subvolume, uint64_t number,
		     uint64_t generation);
	void *data;
	/* Called when the search is over. Reactor. */
	void (*done)(struct usage_search *usage_search, int result);
	/* Bytes of a sector. */
	uint32_t sector;
	/*
	 * Directories that stand for subvolumes of a snapshot's source: they share one inode
	 * number.
	 */
	struct inode_set placeholders;

	/* Guards what follows. */
	pthread_mutex_t lock;
	/* The subvolumes, the index of the current one, and its next inode number. */
	struct nested subvolumes;
	size_t at;
	uint64_t next;
	/* How many inode numbers the next span has. */
	uint64_t span;
};

/* Add ITEM, an inode in a file system with such sectors, to SUMS; 1, or 0 where no name is left. */
int usage_search_add(const struct btrfs_inode_item *item, uint32_t sector, struct sums *sums);

/*
 * Prepare the search of subvolume NUMBER and its nested subvolumes; set done, and begin with
 * job_start(). Lane thread.
 */
int usage_search_init(struct usage_search *usage_search, struct varve_store *store, int fd,
		      uint64_t number, const _Atomic bool *cancelled);

/* Free USAGE_SEARCH; harmless on zeros. */
void usage_search_free(struct usage_search *usage_search);

#endif
