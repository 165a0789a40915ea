/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers are those of a walk, because the same things are counted: an inode with no link left is in no directory; the
 * space of a file is its bytes in whole sectors, as stat() has it; a directory in the place of a subvolume that a snapshot's
 * source contains has inode 2, which is in no tree: it is known by an entry that leads to a subvolume without a reference
 * back, and counted once for each subvolume, as its number is.
 *
 * Inode items are written with the transaction, and sizes with the data: whoever wants the numbers of this moment flushes
 * the file system first.
 */
#include "engine/walk/usage_search.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/search.h"
#include "engine/store/store.h"

#include <endian.h>
#include <string.h>

/* The inode number that those directories have. */
#define TALLY_PLACEHOLDER BTRFS_EMPTY_SUBVOL_DIR_OBJECTID

/* A piece of the key space. */
struct tally_span {
	size_t at;
	uint64_t subvolume, first, last;
};

/* Count the inode that the current item of SEARCH is. */
static void tally_inode(const struct tally *tally, const struct search *search, struct sums *sums)
{
	struct btrfs_inode_item item;

	if (search->header.len < sizeof(item))
		return;
	memcpy(&item, search->item, sizeof(item));
	if (!le32toh(item.nlink))
		return;
	sums->inodes++;
	if (!S_ISDIR(le32toh(item.mode)))
		sums->bytes = bytes_add(sums->bytes, le64toh(item.size));
	sums->disk_bytes += (le64toh(item.nbytes) + tally->sector - 1) / tally->sector * tally->sector;
}

/* Hand the inode that the current item of SEARCH is to whom it may concern. */
static int tally_hand(struct tally *tally, uint64_t subvolume, const struct search *search)
{
	struct btrfs_inode_item item;

	if (search->header.len < sizeof(item))
		return 0;
	memcpy(&item, search->item, sizeof(item));
	return tally->inode(tally, subvolume, search->header.objectid, le64toh(item.generation));
}

/* Does subvolume CHILD lie in PARENT? 1, 0 or -errno. */
static int tally_nested(struct tally *tally, uint64_t parent, uint64_t child)
{
	struct search search;
	int r = search_begin(&search, tally->fd, BTRFS_ROOT_TREE_OBJECTID, parent, parent, BTRFS_ROOT_REF_KEY,
			     BTRFS_ROOT_REF_KEY, 0);

	search.key.min_offset = child;
	if (!r)
		r = search_next(&search);
	if (r > 0)
		r = search.header.offset == child;
	search_end(&search);
	return r;
}

/* Look whether the directory entry that the current item is leads to a subvolume that is not there. */
static int tally_entry(struct tally *tally, uint64_t subvolume, const struct search *search, struct sums *sums)
{
	struct btrfs_dir_item item;
	int r;

	sums->entries++;
	if (search->header.len < sizeof(item))
		return 0;
	memcpy(&item, search->item, sizeof(item));
	if (item.location.type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	r = tally_nested(tally, subvolume, le64toh(item.location.objectid));
	if (r)
		return MIN(r, 0);
	r = inodes_add(&tally->placeholders, subvolume, TALLY_PLACEHOLDER);
	sums->inodes += r > 0;
	return MIN(r, 0);
}

/* Count what is in SPAN. How many items there were, or -errno. */
static int64_t tally_count(struct tally *tally, const struct tally_span *span)
{
	struct sums sums = { 0 };
	struct search search;
	int64_t items = 0;
	int r = search_begin(&search, tally->fd, span->subvolume, span->first, span->last, BTRFS_INODE_ITEM_KEY,
			     tally->inode ? BTRFS_INODE_ITEM_KEY : BTRFS_DIR_INDEX_KEY, 0);

	while (!r && !job_over(&tally->job) && (r = search_next(&search)) > 0) {
		items++;
		r = 0;
		if (tally->inode)
			r = tally_hand(tally, span->subvolume, &search);
		else if (search.header.type == BTRFS_INODE_ITEM_KEY)
			tally_inode(tally, &search, &sums);
		else if (search.header.type == BTRFS_DIR_INDEX_KEY)
			r = tally_entry(tally, span->subvolume, &search, &sums);
	}
	search_end(&search);
	job_add(&tally->job, &sums);
	return r < 0 ? r : items;
}

/* The first inode behind SPAN, 0 for none; or -errno. */
static int tally_behind(struct tally *tally, const struct tally_span *span, uint64_t *ret_inode)
{
	struct search search;
	int r = search_begin(&search, tally->fd, span->subvolume, span->last + 1, BTRFS_LAST_FREE_OBJECTID,
			     BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY, 0);

	*ret_inode = 0;
	if (!r)
		r = search_next(&search);
	if (r > 0)
		*ret_inode = search.header.objectid;
	search_end(&search);
	return MIN(r, 0);
}

/* Take the next span; false when there is none. */
static bool tally_take(struct tally *tally, struct tally_span *ret_span)
{
	bool any;

	pthread_mutex_lock(&tally->lock);
	any = tally->at < tally->subvolumes.count;
	if (any) {
		*ret_span = (struct tally_span){ tally->at, tally->subvolumes.ids[tally->at], tally->next,
						 tally->next + tally->span - 1 };
		tally->next += tally->span;
	}
	pthread_mutex_unlock(&tally->lock);
	return any;
}

/* A span of so many ITEMS took TOOK_NS: choose how large the next ones are. */
static void tally_adapt(struct tally *tally, int64_t items, uint64_t took_ns)
{
	bool slow = took_ns * SEARCH_SLOW_PART >= (uint64_t)items * workers_slow_ns(tally->job.store);

	pthread_mutex_lock(&tally->lock);
	tally->span = slow ? SEARCH_SPAN_SLOW : SEARCH_SPAN;
	pthread_mutex_unlock(&tally->lock);
}

/* SPAN was empty: go on at INODE, or with the next subvolume when that is 0. */
static void tally_skip(struct tally *tally, const struct tally_span *span, uint64_t inode)
{
	pthread_mutex_lock(&tally->lock);
	if (tally->at == span->at && !inode) {
		tally->at++;
		tally->next = BTRFS_FIRST_FREE_OBJECTID;
	} else if (tally->at == span->at)
		tally->next = MAX(tally->next, inode);
	pthread_mutex_unlock(&tally->lock);
}

/* One thread's turn. */
static int tally_slice(struct job *job, struct slice *slice)
{
	struct tally *tally = container_of(job, struct tally, job);
	struct tally_span span;
	int r = 0;

	while (!r && !job_over(job) && now_ns() < slice->until_ns && tally_take(tally, &span)) {
		uint64_t behind = 0, begin = now_ns();
		int64_t items = tally_count(tally, &span);

		if (items > 0)
			tally_adapt(tally, items, now_ns() - begin);
		if (!items)
			r = tally_behind(tally, &span, &behind);
		/* A subvolume that is gone meanwhile has nothing. */
		if (items == -ENOENT || r == -ENOENT)
			items = r = 0;
		if (items <= 0)
			tally_skip(tally, &span, behind);
		if (items < 0)
			r = (int)items;
	}
	return r;
}

/* How many threads would find a span. */
static unsigned tally_wanted(struct job *job)
{
	struct tally *tally = container_of(job, struct tally, job);
	bool any;

	pthread_mutex_lock(&tally->lock);
	any = tally->at < tally->subvolumes.count;
	pthread_mutex_unlock(&tally->lock);
	return any ? WALK_THREADS_MAX : 0;
}

/* The search is over. */
static void tally_done(struct job *job, int result)
{
	struct tally *tally = container_of(job, struct tally, job);

	tally->done(tally, result);
}

static const struct job_class tally_job_class = {
	.name = "BTRFS_IOC_TREE_SEARCH_V2",
	.slice = tally_slice,
	.wanted = tally_wanted,
	.done = tally_done,
};

int tally_init(struct tally *tally, struct varve_store *store, int fd, uint64_t number, const _Atomic bool *cancelled)
{
	struct fault *fault = &store->core.io.fault;
	int r;

	*tally = (struct tally){ .fd = fd, .next = BTRFS_FIRST_FREE_OBJECTID, .span = SEARCH_SPAN_SLOW };
	tally->job = (struct job){ .class = &tally_job_class, .store = store, .cancelled = cancelled };
	pthread_mutex_init(&tally->lock, NULL);
	inodes_init(&tally->placeholders, fault);
	r = fs_sector_bytes(fd, &tally->sector);
	if (!r)
		r = nested_add(&tally->subvolumes, number, fault);
	if (!r)
		r = nested_collect(&tally->subvolumes, fd, number, fault);
	return r;
}

void tally_free(struct tally *tally)
{
	if (!tally->job.class)
		return;
	nested_free(&tally->subvolumes);
	inodes_free(&tally->placeholders);
	pthread_mutex_destroy(&tally->lock);
	tally->job.class = NULL;
}
