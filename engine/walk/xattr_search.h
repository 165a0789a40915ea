/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which inodes hold one of some extended attributes, by searching the trees instead of asking each
 * file: a question costs 2 us, and a search half of that for each inode of its span.
 *
 * The inode numbers are cut into spans of HOLDERS_SPAN. The HOLDERS_ASKS-th question about a span
 * searches it; before, meanwhile, and to that question itself, the answer is "ask the file". So a
 * small tree is never searched, and memory is bounded: a table of spans, in which a new one takes
 * the place of an old one, and bitmaps of the holders.
 *
 * An attribute that is given to a file after its span was searched is not seen. Attributes are in
 * the tree at once, so nothing has to be flushed before. Where that matters, xattr_search_settled()
 * tells by the file's time of change, which no call can set, that it was given none since the
 * beginning; the clock that this time is from must not have been set back, so that is looked at,
 * too.
 */
#ifndef VARVE_WALK_XATTR_SEARCH_H
#define VARVE_WALK_XATTR_SEARCH_H

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/inode_set.h"

#include <sys/stat.h>
#include <sys/types.h>

/* What is known of a span. */
struct xattr_search_span {
	/* Which one, while it is being asked about; questions so far; a thread searches it. */
	uint64_t asked;
	unsigned asks;
	bool busy;
	/* Which one was searched; 0: none. */
	_Atomic uint64_t searched;
};

struct xattr_search {
	struct varve_store *store;
	/* Any directory of the file system; -EBADF: searching is not for us. */
	int fd;
	/* The attributes, with NULL behind the last one, and the value that counts; NULL: any. */
	const char *const *attributes;
	const void *value;
	size_t size;
	/* Somebody wants it to end early. */
	const _Atomic bool *cancelled;
	/*
	 * When this began, as files are given it (coarse), and how far that clock was before the
	 * monotonic one.
	 */
	int64_t begun_ns, ahead_ns;
	/* Those that were found. */
	struct inode_set found;
	/* Guards the spans. */
	pthread_mutex_t lock;
	struct xattr_search_span spans[XATTR_SEARCH_SPANS];
};

enum xattr_search_answer { XATTR_SEARCH_NO, XATTR_SEARCH_YES, XATTR_SEARCH_ASK };

/*
 * Prepare HOLDERS of ATTRIBUTES (NULL ends them) with VALUE (SIZE bytes; NULL: any) on FD's file
 * system; all have to live on.
 */
void xattr_search_init(struct xattr_search *xattr_search, struct varve_store *store, int fd,
		       const char *const *attributes, const void *value, size_t size,
		       const _Atomic bool *cancelled);

/* Does INODE of SUBVOLUME hold it, or has the file to be asked? Any thread. */
enum xattr_search_answer xattr_search_ask(struct xattr_search *xattr_search, uint64_t subvolume,
					  uint64_t inode);

/*
 * Is what STAT tells of (with its time of change) as it was when HOLDERS began, so that what was
 * found since is true of it?
 */
bool xattr_search_settled(const struct xattr_search *xattr_search, const struct statx *stat);

/* Free what HOLDERS holds; harmless on zeros. */
void xattr_search_free(struct xattr_search *xattr_search);

#endif
