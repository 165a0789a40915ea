/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/xattr_search.h"
#include "engine/btrfs/search.h"

#include <string.h>
#include <time.h>

/* The time of CLOCK, in nanoseconds. */
static int64_t xattr_search_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* How far the clock of the times of files is ahead of the monotonic one. */
static int64_t xattr_search_ahead(void)
{
	return xattr_search_clock(CLOCK_REALTIME_COARSE) -
	       xattr_search_clock(CLOCK_MONOTONIC_COARSE);
}

void xattr_search_init(struct xattr_search *xattr_search, struct varve_store *store, int fd,
		       const char *const *attributes, const void *value, size_t size,
		       const _Atomic bool *cancelled)
{
	memset(xattr_search, 0, sizeof(*xattr_search));
	xattr_search->store = store;
	xattr_search->fd = store->layout.privileged ? fd : -EBADF;
	xattr_search->attributes = attributes;
	xattr_search->value = value;
	xattr_search->size = size;
	xattr_search->cancelled = cancelled;
	xattr_search->ahead_ns = xattr_search_ahead();
	xattr_search->begun_ns = xattr_search_clock(CLOCK_REALTIME_COARSE);
	pthread_mutex_init(&xattr_search->lock, NULL);
	inode_set_init(&xattr_search->found, &store->core.io.fault);
}

/* Is NAME, of BYTES, one of the attributes? */
static bool xattr_search_named(const struct xattr_search *xattr_search, const char *name,
			       size_t bytes)
{
	for (const char *const *at = xattr_search->attributes; *at; at++)
		if (strlen(*at) == bytes && !memcmp(*at, name, bytes))
			return true;
	return false;
}

/* Is one of the attributes in the current item one that is looked for? */
static bool xattr_search_item(const struct xattr_search *xattr_search, const struct search *search)
{
	struct search_attribute at = { 0 };

	while (search_attribute(search, &at))
		if (xattr_search_named(xattr_search, at.name, at.name_bytes))
			return !xattr_search->value ||
			       (at.value_bytes == xattr_search->size &&
				!memcmp(at.value, xattr_search->value, at.value_bytes));
	return false;
}

/* Add the inodes of the span from FIRST on that have an attribute to the set. 0 or -errno. */
static int xattr_search_search(struct xattr_search *xattr_search, uint64_t subvolume,
			       uint64_t first)
{
	struct search search;
	int r = search_begin(&search, xattr_search->fd, subvolume, first,
			     first + XATTR_SEARCH_SPAN - 1, BTRFS_XATTR_ITEM_KEY,
			     BTRFS_XATTR_ITEM_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		r = atomic_load_explicit(xattr_search->cancelled, memory_order_relaxed) ? -ECANCELED
											: 0;
		if (!r && xattr_search_item(xattr_search, &search)) {
			r = inode_set_add(&xattr_search->found, subvolume, search.header.objectid);
			r = MIN(r, 0);
		}
	}
	search_end(&search);
	return r;
}

/* Count a lookup of KEY in SPAN; true when the caller is to search it. */
static bool xattr_search_count(struct xattr_search *xattr_search, struct xattr_search_span *span,
			       uint64_t key)
{
	bool search;

	pthread_mutex_lock(&xattr_search->lock);
	if (!span->busy && span->key != key) {
		span->key = key;
		span->lookups = 0;
	}
	search = !span->busy && ++span->lookups == XATTR_SEARCH_LOOKUPS;
	span->busy |= search;
	pthread_mutex_unlock(&xattr_search->lock);
	return search;
}

enum xattr_search_answer xattr_search_lookup(struct xattr_search *xattr_search, uint64_t subvolume,
					     uint64_t inode)
{
	uint64_t number = inode / XATTR_SEARCH_SPAN, key = subvolume << 32 | number;
	struct xattr_search_span *span =
		&xattr_search->spans[(number + subvolume) % XATTR_SEARCH_SPANS];
	int r;

	if (xattr_search->fd < 0 || subvolume > UINT32_MAX || number > UINT32_MAX)
		return XATTR_SEARCH_UNKNOWN;
	if (atomic_load_explicit(&span->searched, memory_order_acquire) != key) {
		/* Also after a search: the caller's stat of the inode is older. */
		if (!xattr_search_count(xattr_search, span, key))
			return XATTR_SEARCH_UNKNOWN;
		r = xattr_search_search(xattr_search, subvolume, number * XATTR_SEARCH_SPAN);
		pthread_mutex_lock(&xattr_search->lock);
		span->busy = false;
		if (!r)
			atomic_store_explicit(&span->searched, key, memory_order_release);
		pthread_mutex_unlock(&xattr_search->lock);
		return XATTR_SEARCH_UNKNOWN;
	}
	return inode_set_has(&xattr_search->found, subvolume, inode) ? XATTR_SEARCH_YES
								     : XATTR_SEARCH_NO;
}

bool xattr_search_settled(const struct xattr_search *xattr_search, const struct statx *stat)
{
	int64_t changed_ns = stat->stx_ctime.tv_sec * 1000000000ll + stat->stx_ctime.tv_nsec;

	return changed_ns < xattr_search->begun_ns &&
	       xattr_search_ahead() > xattr_search->ahead_ns - XATTR_SEARCH_TICK_NS;
}

void xattr_search_free(struct xattr_search *xattr_search)
{
	if (!xattr_search->store)
		return;
	inode_set_free(&xattr_search->found);
	pthread_mutex_destroy(&xattr_search->lock);
	xattr_search->store = NULL;
}
