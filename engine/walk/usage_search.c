/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers are those of a walk, because the same things are counted:
 *
 * - An inode without a link is in no directory, and does not count.
 * - The space of a file is its bytes in whole sectors, as stat() has it.
 * - A directory in the place of a subvolume that the snapshot's source contains has inode 2, which
 *   is in no tree. The search recognises it by an entry that leads to a subvolume without a
 *   reference back. A walk counts that inode once for each subvolume, and so does the search.
 *
 * The kernel writes inode items with the transaction, and sizes with the data: to count recent
 * writes, flush the file system first.
 */
#include "engine/walk/usage_search.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/search.h"
#include "engine/store/store.h"

#include <endian.h>
#include <string.h>

/* A piece of the key space. */
struct usage_search_span {
	size_t at;
	uint64_t subvolume, first, last;
};

int usage_search_add(const struct btrfs_inode_item *item, uint32_t sector, struct sums *sums)
{
	if (!le32toh(item->nlink))
		return 0;
	sums->inodes++;
	if (!S_ISDIR(le32toh(item->mode)))
		sums->bytes = bytes_add(sums->bytes, le64toh(item->size));
	sums->disk_bytes += (le64toh(item->nbytes) + sector - 1) / sector * sector;
	return 1;
}

/* Count the inode of the current item of SEARCH. */
static void usage_search_inode(const struct usage_search *usage_search, const struct search *search,
			       struct sums *sums)
{
	struct btrfs_inode_item item;

	if (search->header.len < sizeof(item))
		return;
	memcpy(&item, search->item, sizeof(item));
	usage_search_add(&item, usage_search->sector, sums);
}

/* Pass the inode of SEARCH's current item to inode(). */
static int usage_search_pass(struct usage_search *usage_search, uint64_t subvolume,
			     const struct search *search)
{
	struct btrfs_inode_item item;

	if (search->header.len < sizeof(item))
		return 0;
	memcpy(&item, search->item, sizeof(item));
	return usage_search->inode(usage_search, subvolume, search->header.objectid,
				   le64toh(item.generation));
}

/* Does subvolume CHILD lie in PARENT? 1, 0 or -errno. */
static int usage_search_nested(struct usage_search *usage_search, uint64_t parent, uint64_t child)
{
	struct search search;
	int r = search_begin(&search, usage_search->fd, BTRFS_ROOT_TREE_OBJECTID, parent, parent,
			     BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY, 0);

	search.key.min_offset = child;
	if (!r)
		r = search_next(&search);
	if (r > 0)
		r = search.header.offset == child;
	search_end(&search);
	return r;
}

/*
 * Check whether the directory entry of the current item leads to a subvolume that is not there.
 */
static int usage_search_entry(struct usage_search *usage_search, uint64_t subvolume,
			      const struct search *search, struct sums *sums)
{
	struct btrfs_dir_item item;
	int r;

	sums->entries++;
	if (search->header.len < sizeof(item))
		return 0;
	memcpy(&item, search->item, sizeof(item));
	if (item.location.type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	r = usage_search_nested(usage_search, subvolume, le64toh(item.location.objectid));
	if (r)
		return MIN(r, 0);
	r = inode_set_add(&usage_search->placeholders, subvolume, ABI_STAND_IN_INODE);
	sums->inodes += r > 0;
	return MIN(r, 0);
}

/* Count what is in SPAN, on the thread of SLICE. How many items there were, or -errno. */
static int64_t usage_search_count(struct usage_search *usage_search, struct slice *slice,
				  const struct usage_search_span *span)
{
	struct sums sums = { 0 };
	struct search search;
	int64_t items = 0;
	int r = search_begin(&search, usage_search->fd, span->subvolume, span->first, span->last,
			     BTRFS_INODE_ITEM_KEY,
			     usage_search->inode ? BTRFS_INODE_ITEM_KEY : BTRFS_DIR_INDEX_KEY, 0);

	while (!r && !job_over(&usage_search->job) && (r = search_next(&search)) > 0) {
		yield_look(&slice->yield);
		items++;
		r = 0;
		if (usage_search->inode)
			r = usage_search_pass(usage_search, span->subvolume, &search);
		else if (search.header.type == BTRFS_INODE_ITEM_KEY)
			usage_search_inode(usage_search, &search, &sums);
		else if (search.header.type == BTRFS_DIR_INDEX_KEY)
			r = usage_search_entry(usage_search, span->subvolume, &search, &sums);
	}
	search_end(&search);
	job_add(&usage_search->job, &sums);
	return r < 0 ? r : items;
}

/* The first inode behind SPAN, 0 for none; or -errno. */
static int usage_search_behind(struct usage_search *usage_search,
			       const struct usage_search_span *span, uint64_t *ret_inode)
{
	struct search search;
	int r = search_begin(&search, usage_search->fd, span->subvolume, span->last + 1,
			     BTRFS_LAST_FREE_OBJECTID, BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY,
			     0);

	*ret_inode = 0;
	if (!r)
		r = search_next(&search);
	if (r > 0)
		*ret_inode = search.header.objectid;
	search_end(&search);
	return MIN(r, 0);
}

/* Take the next span; false when there is none. */
static bool usage_search_take(struct usage_search *usage_search, struct usage_search_span *ret_span)
{
	bool any;

	pthread_mutex_lock(&usage_search->lock);
	any = usage_search->at < usage_search->subvolumes.count;
	if (any) {
		*ret_span = (struct usage_search_span){
			usage_search->at, usage_search->subvolumes.ids[usage_search->at],
			usage_search->next, usage_search->next + usage_search->span - 1
		};
		usage_search->next += usage_search->span;
	}
	pthread_mutex_unlock(&usage_search->lock);
	return any;
}

/* A span with ITEMS took TOOK_NS: choose the size of the next spans. */
static void usage_search_adapt(struct usage_search *usage_search, int64_t items, uint64_t took_ns)
{
	bool slow = took_ns * SEARCH_SLOW_PART >=
		    (uint64_t)items * workers_slow_ns(usage_search->job.store);

	pthread_mutex_lock(&usage_search->lock);
	usage_search->span = slow ? SEARCH_SPAN_SLOW : SEARCH_SPAN;
	pthread_mutex_unlock(&usage_search->lock);
}

/* SPAN was empty: go on at INODE, or with the next subvolume when that is 0. */
static void usage_search_skip(struct usage_search *usage_search,
			      const struct usage_search_span *span, uint64_t inode)
{
	pthread_mutex_lock(&usage_search->lock);
	if (usage_search->at == span->at && !inode) {
		usage_search->at++;
		usage_search->next = BTRFS_FIRST_FREE_OBJECTID;
	} else if (usage_search->at == span->at)
		usage_search->next = MAX(usage_search->next, inode);
	pthread_mutex_unlock(&usage_search->lock);
}

/* One thread's turn. */
static int usage_search_slice(struct job *job, struct slice *slice)
{
	struct usage_search *usage_search = container_of(job, struct usage_search, job);
	struct usage_search_span span;
	int r = 0;

	while (!r && !job_over(job) && now_ns() < slice->until_ns &&
	       usage_search_take(usage_search, &span)) {
		uint64_t behind = 0, begin = now_ns();
		int64_t items = usage_search_count(usage_search, slice, &span);

		if (items > 0)
			usage_search_adapt(usage_search, items, now_ns() - begin);
		if (!items)
			r = usage_search_behind(usage_search, &span, &behind);
		/* A subvolume that is gone meanwhile has nothing. */
		if (items == -ENOENT || r == -ENOENT)
			items = r = 0;
		if (items <= 0)
			usage_search_skip(usage_search, &span, behind);
		if (items < 0)
			r = (int)items;
	}
	return r;
}

/* How many threads would find a span. */
static unsigned usage_search_wanted(struct job *job)
{
	struct usage_search *usage_search = container_of(job, struct usage_search, job);
	bool any;

	pthread_mutex_lock(&usage_search->lock);
	any = usage_search->at < usage_search->subvolumes.count;
	pthread_mutex_unlock(&usage_search->lock);
	return any ? WALK_THREADS_MAX : 0;
}

/* The search is over. */
static void usage_search_done(struct job *job, int result)
{
	struct usage_search *usage_search = container_of(job, struct usage_search, job);

	usage_search->done(usage_search, result);
}

static const struct job_class usage_search_job_class = {
	.name = "BTRFS_IOC_TREE_SEARCH_V2",
	.slice = usage_search_slice,
	.wanted = usage_search_wanted,
	.done = usage_search_done,
};

int usage_search_init(struct usage_search *usage_search, struct varve_store *store, int fd,
		      uint64_t number, const _Atomic bool *cancelled)
{
	struct fault *fault = &store->core.io.fault;
	int r;

	*usage_search = (struct usage_search){ .fd = fd,
					       .next = BTRFS_FIRST_FREE_OBJECTID,
					       .span = SEARCH_SPAN_SLOW };
	usage_search->job = (struct job){ .class = &usage_search_job_class,
					  .store = store,
					  .cancelled = cancelled };
	pthread_mutex_init(&usage_search->lock, NULL);
	inode_set_init(&usage_search->placeholders, fault);
	r = fs_sector_bytes(fd, &usage_search->sector);
	if (!r)
		r = nested_add(&usage_search->subvolumes, number, fault);
	if (!r)
		r = nested_collect(&usage_search->subvolumes, fd, number, fault);
	return r;
}

void usage_search_free(struct usage_search *usage_search)
{
	if (!usage_search->job.class)
		return;
	nested_free(&usage_search->subvolumes);
	inode_set_free(&usage_search->placeholders);
	pthread_mutex_destroy(&usage_search->lock);
	usage_search->job.class = NULL;
}
