/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/xattr_search.h"
#include "engine/btrfs/search.h"

#include <endian.h>
#include <string.h>
#include <time.h>

/* What CLOCK tells, in nanoseconds. */
static int64_t holders_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* How far the clock that files get their times from is ahead of the one that nobody sets. */
static int64_t holders_ahead(void)
{
	return holders_clock(CLOCK_REALTIME_COARSE) - holders_clock(CLOCK_MONOTONIC_COARSE);
}

void holders_init(struct holders *holders, struct varve_store *store, int fd, const char *const *attributes, const void *value,
		  size_t size, const _Atomic bool *cancelled)
{
	memset(holders, 0, sizeof(*holders));
	holders->store = store;
	holders->fd = store->layout.privileged ? fd : -EBADF;
	holders->attributes = attributes;
	holders->value = value;
	holders->size = size;
	holders->cancelled = cancelled;
	holders->ahead_ns = holders_ahead();
	holders->begun_ns = holders_clock(CLOCK_REALTIME_COARSE);
	pthread_mutex_init(&holders->lock, NULL);
	inodes_init(&holders->found, &store->core.io.fault);
}

/* Is NAME, of BYTES, one of the attributes? */
static bool holders_named(const struct holders *holders, const char *name, size_t bytes)
{
	for (const char *const *at = holders->attributes; *at; at++)
		if (strlen(*at) == bytes && !memcmp(*at, name, bytes))
			return true;
	return false;
}

/* Is one of the attributes in the current item one that is looked for? Names with the same hash share an item. */
static bool holders_item(const struct holders *holders, const struct search *search)
{
	const char *at = search->item, *end = at + search->header.len;
	struct btrfs_dir_item item;

	while ((size_t)(end - at) >= sizeof(item)) {
		size_t name, data;

		memcpy(&item, at, sizeof(item));
		at += sizeof(item);
		name = le16toh(item.name_len);
		data = le16toh(item.data_len);
		if (name + data > (size_t)(end - at))
			return false;
		if (holders_named(holders, at, name))
			return !holders->value || (data == holders->size && !memcmp(at + name, holders->value, data));
		at += name + data;
	}
	return false;
}

/* Note the holders among the inodes from FIRST on. 0 or -errno. */
static int holders_search(struct holders *holders, uint64_t subvolume, uint64_t first)
{
	struct search search;
	int r = search_begin(&search, holders->fd, subvolume, first, first + HOLDERS_SPAN - 1, BTRFS_XATTR_ITEM_KEY,
			     BTRFS_XATTR_ITEM_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		r = atomic_load_explicit(holders->cancelled, memory_order_relaxed) ? -ECANCELED : 0;
		if (!r && holders_item(holders, &search)) {
			r = inodes_add(&holders->found, subvolume, search.header.objectid);
			r = MIN(r, 0);
		}
	}
	search_end(&search);
	return r;
}

/* Count a question about KEY in SPAN; true when the caller is to search it. */
static bool holders_count(struct holders *holders, struct holders_span *span, uint64_t key)
{
	bool search;

	pthread_mutex_lock(&holders->lock);
	if (!span->busy && span->asked != key) {
		span->asked = key;
		span->asks = 0;
	}
	search = !span->busy && ++span->asks == HOLDERS_ASKS;
	span->busy |= search;
	pthread_mutex_unlock(&holders->lock);
	return search;
}

/* Search SPAN, which is KEY's now. */
static void holders_learn(struct holders *holders, struct holders_span *span, uint64_t key, uint64_t subvolume,
			  uint64_t inode)
{
	int r = holders_search(holders, subvolume, inode / HOLDERS_SPAN * HOLDERS_SPAN);

	pthread_mutex_lock(&holders->lock);
	span->busy = false;
	if (!r)
		atomic_store_explicit(&span->searched, key, memory_order_release);
	pthread_mutex_unlock(&holders->lock);
}

enum holders_answer holders_ask(struct holders *holders, uint64_t subvolume, uint64_t inode)
{
	uint64_t number = inode / HOLDERS_SPAN, key = subvolume << 32 | number;
	struct holders_span *span = &holders->spans[(number + subvolume) % HOLDERS_SPANS];

	if (holders->fd < 0 || subvolume > UINT32_MAX || number > UINT32_MAX)
		return HOLDERS_ASK;
	if (atomic_load_explicit(&span->searched, memory_order_acquire) != key) {
		/* What the caller knows of this one is older than the search, which takes its time. */
		if (holders_count(holders, span, key))
			holders_learn(holders, span, key, subvolume, inode);
		return HOLDERS_ASK;
	}
	return inodes_has(&holders->found, subvolume, inode) ? HOLDERS_YES : HOLDERS_NO;
}

bool holders_settled(const struct holders *holders, const struct statx *stat)
{
	int64_t changed_ns = stat->stx_ctime.tv_sec * 1000000000ll + stat->stx_ctime.tv_nsec;

	return changed_ns < holders->begun_ns && holders_ahead() > holders->ahead_ns - HOLDERS_TICK_NS;
}

void holders_free(struct holders *holders)
{
	if (!holders->store)
		return;
	inodes_free(&holders->found);
	pthread_mutex_destroy(&holders->lock);
	holders->store = NULL;
}
