/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the inodes that have one of some extended attributes by a search of the trees, instead of a
 * call for each file: a call costs 2 us, a search half of that for each inode of its span.
 *
 * The inode numbers are cut into spans of XATTR_SEARCH_SPAN. The XATTR_SEARCH_LOOKUPS-th lookup in
 * a span searches it; until then, and during the search, the answer is "unknown", and the caller
 * reads the attribute of the file. So a small tree is never searched, and memory is bounded: a
 * table of spans, in which a new span replaces an old one, and bitmaps of the inodes found.
 *
 * An attribute that is set after the search of its span is not seen. Attributes are in the tree at
 * once, so nothing has to be flushed before. Where a later attribute matters,
 * xattr_search_settled() checks the file's ctime, which no call can set; it also checks that the
 * clock of ctime was not set back.
 */
#ifndef VARVE_WALK_XATTR_SEARCH_H
#define VARVE_WALK_XATTR_SEARCH_H

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/inode_set.h"

#include <sys/stat.h>
#include <sys/types.h>

/* A span of inode numbers. */
struct xattr_search_span {
	/* The span of the last lookup; lookups in it so far; whether a thread searches it. */
	uint64_t key;
	unsigned lookups;
	bool busy;
	/* The span that was searched; 0: none. */
	_Atomic uint64_t searched;
};

struct xattr_search {
	struct varve_store *store;
	/* Any directory of the file system; -EBADF: without the privilege to search. */
	int fd;
	/* The attributes, with NULL behind the last one, and the value that counts; NULL: any. */
	const char *const *attributes;
	const void *value;
	size_t size;
	/* Ends the search early. */
	const _Atomic bool *cancelled;
	/*
	 * When this began, by the coarse clock of files' times, and the difference of that clock
	 * from the monotonic one.
	 */
	int64_t begun_ns, ahead_ns;
	/* The inodes that were found. */
	struct inode_set found;
	/* Guards the spans. */
	pthread_mutex_t lock;
	struct xattr_search_span spans[XATTR_SEARCH_SPANS];
};

enum xattr_search_answer { XATTR_SEARCH_NO, XATTR_SEARCH_YES, XATTR_SEARCH_UNKNOWN };

/*
 * Prepare the search for ATTRIBUTES (NULL ends them) with VALUE (SIZE bytes; NULL: any) on FD's
 * file system; all have to live on.
 */
void xattr_search_init(struct xattr_search *xattr_search, struct varve_store *store, int fd,
		       const char *const *attributes, const void *value, size_t size,
		       const _Atomic bool *cancelled);

/* Does INODE of SUBVOLUME have one of the attributes? Any thread. */
enum xattr_search_answer xattr_search_lookup(struct xattr_search *xattr_search, uint64_t subvolume,
					     uint64_t inode);

/*
 * Is the inode of STAT (with its ctime) unchanged since the search was prepared, so that the
 * answers about it hold?
 */
bool xattr_search_settled(const struct xattr_search *xattr_search, const struct statx *stat);

/* Free XATTR_SEARCH; harmless on zeros. */
void xattr_search_free(struct xattr_search *xattr_search);

#endif
