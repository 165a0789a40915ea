/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window of entries that threads read ahead of the taker, which takes them in order:
 *
 *	entries  ... done | ready ready reading ready reading free free | ...
 *	                  ^ at                   ^ next                 ^ at + PREFETCH_ITEMS
 *
 * A thread claims the next few, one thread at a time (the feed lists directories meanwhile), then
 * reads them while others read theirs. The taker reads an entry itself that no thread has claimed
 * when its turn comes, so nothing depends on the others. Where the trees can be searched and
 * entries are many, most are not read but gathered (gather.h).
 *
 * A file is opened by the number that its directory lists for it, where the caller may: whatever
 * gets its name meanwhile, an inode number never becomes another kind of inode, so the type need
 * not be checked first. Other files are opened by name: by O_PATH, then checked, then opened
 * (opath.h).
 */
#ifndef VARVE_ARCHIVE_PREFETCH_H
#define VARVE_ARCHIVE_PREFETCH_H

#include "engine/archive/feed.h"
#include "engine/archive/gather.h"
#include "engine/archive/item.h"
#include "engine/base/limits.h"
#include "engine/base/yield.h"
#include "engine/btrfs/file_handle.h"

#include <pthread.h>

struct prefetch {
	/* ---- set by the caller that starts it ---- */
	/* Search the layer's tree once entries are many. */
	bool search;
	/* Counts wake-ups of short requests, for which the threads that read ahead yield. */
	struct wakes *wakes;
	/* Files that are opened by their numbers. */
	struct file_numbers numbers;

	/* ---- guarded by feed_lock, taken before lock ---- */
	pthread_mutex_t feed_lock;
	/* The coming entries; its root, changes and fault are set by the caller that starts it. */
	struct feed feed;
	/* Entries so far; from some number on they are gathered. */
	size_t fed;
	bool gathering;
	struct gather gather;

	/* ---- guarded by lock ---- */
	pthread_mutex_t lock;
	/* Signalled when an entry is ready; when there is room, or nothing more to do. */
	pthread_cond_t ready, room;
	/* The entry to be claimed next; the one that is taken next. */
	size_t next, at;
	/* No more will be fed, because of ERROR if that is not 0; no more is wanted. */
	bool ended, over;
	int error;
	struct item items[PREFETCH_ITEMS];
	/*
	 * Files that stay open until their turn comes; bytes of attributes that were read ahead.
	 * Any thread.
	 */
	_Atomic unsigned open;
	_Atomic size_t held;
};

/* The directory of a thread's last entry, which is mostly that of the next one, too. */
struct prefetch_place {
	int fd;
	char *path;
	size_t length;
	/* Its last claim can be gathered. */
	bool gathering;
};

/* Prepare; prefetch_free() is due in any case. */
void prefetch_init(struct prefetch *prefetch);

/*
 * Open the directory that holds PATH, unless PLACE is it; *RET_NAME is the name in it. 0 or -errno.
 */
int prefetch_enter(const struct prefetch *prefetch, struct prefetch_place *place, const char *path,
		   const char **ret_name);

/* Close what PLACE holds. */
void prefetch_leave(struct prefetch_place *place);

/* Read ahead until all was taken. Any number of threads. */
void prefetch_work(struct prefetch *prefetch);

/* End the threads that read ahead. Any thread. */
void prefetch_stop(struct prefetch *prefetch);

/*
 * The next entry, read by PLACE if by no other thread; NULL at the end, or after prefetch->error.
 * One thread.
 */
struct item *prefetch_take(struct prefetch *prefetch, struct prefetch_place *place);

/*
 * Read ITEM, which was taken last, again by PLACE. 0 or -errno; -EAGAIN: a process keeps a lease on
 * its file, which the kernel is breaking.
 */
int prefetch_retry(struct prefetch *prefetch, struct item *item, struct prefetch_place *place);

/* Done with the entry taken last. */
void prefetch_release(struct prefetch *prefetch);

/* Free what is held. */
void prefetch_free(struct prefetch *prefetch);

#endif
