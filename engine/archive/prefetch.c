/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/prefetch.h"
#include "engine/base/util.h"
#include "engine/core/fds.h"
#include "engine/dir/beneath.h"
#include "engine/dir/opath.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

/* ---- one entry ------------------------------------------------------------------------------- */

int prefetch_enter(const struct prefetch *prefetch, struct prefetch_place *place, const char *path,
		   const char **ret_name)
{
	const char *name = strrchr(path, '/') + 1;
	size_t length = (size_t)(name - path);
	int fd;

	*ret_name = name;
	if (place->fd >= 0 && place->length == length && !memcmp(place->path, path, length))
		return 0;
	fd_close(TAKE_FD(place->fd));
	free(place->path);
	place->path = fault_hit(prefetch->feed.fault, FAULT_ALLOCATION) ? NULL
									: strndup(path, length);
	place->length = length;
	if (!place->path)
		return -ENOMEM;
	fd = beneath_open(prefetch->feed.root_fd, place->path, O_PATH | O_DIRECTORY);
	place->fd = fd;
	return MIN(fd, 0);
}

void prefetch_leave(struct prefetch_place *place)
{
	fd_close(TAKE_FD(place->fd));
	free(TAKE_PTR(place->path));
}

/*
 * Read the beginning of the open file; when that is all of it, see whether it was changed
 * meanwhile, and close it. AHEAD of its turn -EMFILE: it cannot stay open until then.
 */
static int prefetch_content(struct prefetch *prefetch, struct item *item, bool ahead)
{
	uint64_t size = item->statx.stx_size;
	bool full = ahead && size > PREFETCH_FILE_BYTES &&
		    atomic_load(&prefetch->open) >= PREFETCH_FDS_MAX;
	struct statx after;
	ssize_t length;
	int r = item_reserve(item, MIN(size, (uint64_t)PREFETCH_FILE_BYTES), prefetch->feed.fault);

	if (r)
		return r;
	/* A file that was not opened by its number is read anew. */
	if (full && !atomic_load(&prefetch->numbers.work))
		return -EMFILE;
	item->call = "pread";
	length = opath_pread(item->fd, item->bytes, MIN(size, (uint64_t)PREFETCH_FILE_BYTES), 0);
	if (length < 0)
		return (int)length;
	item->length = (size_t)length;
	if (size > PREFETCH_FILE_BYTES) {
		item->state = ITEM_HEAD;
		if (full)
			return -EMFILE;
		posix_fadvise(item->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		return 0;
	}
	item->call = "statx";
	r = RET_NERRNO(statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after));
	item->changed = !r && item_changed(item, &after);
	item->state = ITEM_WHOLE;
	fd_close(TAKE_FD(item->fd));
	return r;
}

/* Read the attributes and the beginning of the open file. */
static int prefetch_file(struct prefetch *prefetch, struct item *item, bool ahead)
{
	int r = 0;

	if (item->state == ITEM_NEW) {
		item->call = "flistxattr";
		item->xattrs.fault = prefetch->feed.fault;
		r = xattrs_read_fd(&item->xattrs, item->fd, xattrs_kept);
		item->state = ITEM_INODE;
	}
	return r ? r : prefetch_content(prefetch, item, ahead);
}

/*
 * Open the file of ITEM by its number. 0; -ESTALE: it has to be looked for by its name; or -errno.
 */
static int prefetch_number(struct prefetch *prefetch, struct item *item)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (item->type != DT_REG)
		return -ESTALE;
	item->call = "open_by_handle_at";
	fd = file_numbers_open(&prefetch->numbers, prefetch->feed.root_fd, item->inode,
			       O_RDONLY | O_NONBLOCK | O_NOATIME);
	if (fd < 0)
		return fd;
	if (item->state == ITEM_NEW) {
		item->call = "statx";
		r = RET_NERRNO(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, OPATH_STAT_MASK,
				     &item->statx));
		if (r)
			return r;
		/* A process has it open, but its name is gone, or another file's. */
		if (!item->statx.stx_nlink)
			return -ESTALE;
	}
	item->fd = TAKE_FD(fd);
	return 0;
}

/* Open the entry NAME of ITEM to look at it: a descriptor, of O_PATH where *RET_PATH says so. */
static int prefetch_open(const struct item *item, int dir_fd, const char *name,
			 struct statx *ret_statx, bool *ret_path)
{
	/* To open a directory acts on nothing. One that may not be read can be looked at. */
	int fd = item->type == DT_DIR ? opath_open_dir(dir_fd, name, ret_statx) : -ENOTDIR;

	*ret_path = fd < 0 && !fds_missing(fd);
	return *ret_path ? opath_open(dir_fd, name, ret_statx) : fd;
}

/*
 * Read all that the archive needs of ITEM, found by PLACE, and is not known yet. 0 or -errno;
 * -EAGAIN: a process keeps a lease on the file, which the kernel is breaking. AHEAD of its turn
 * -EMFILE: it cannot stay open, because PREFETCH_FDS_MAX others do.
 */
static int prefetch_entry(struct prefetch *prefetch, struct item *item,
			  struct prefetch_place *place, bool ahead)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx statx;
	const char *name;
	ssize_t length;
	bool path;
	int r = prefetch_number(prefetch, item);

	if (r != -ESTALE)
		return r ? r : prefetch_file(prefetch, item, ahead);
	r = prefetch_enter(prefetch, place, item->path, &name);
	item->call = "openat2";
	if (r)
		return r;
	fd = prefetch_open(item, place->fd, name, &statx, &path);
	if (fd < 0)
		return fd;
	/* Nothing is left to do for the inode that the tree search found. */
	if (item->state != ITEM_INODE || !opath_same(&statx, &item->statx)) {
		item->statx = statx;
		item->state = ITEM_NEW;
		item->xattrs.count = 0;
	}
	if (S_ISREG(item->statx.stx_mode)) {
		/*
		 * Where a process keeps a lease on the file, the kernel begins to break it, and
		 * returns -EAGAIN.
		 */
		item->call = "open";
		item->fd = opath_reopen_read(fd);
		return item->fd < 0 ? item->fd : prefetch_file(prefetch, item, ahead);
	}
	if (S_ISSOCK(item->statx.stx_mode))
		return 0;
	if (S_ISLNK(item->statx.stx_mode)) {
		r = item_reserve(item, PATH_MAX + 1, prefetch->feed.fault);
		if (r)
			return r;
		item->call = "readlinkat";
		length = readlinkat(fd, "", item->bytes, PATH_MAX);
		if (length < 0)
			return negative_errno();
		item->bytes[length] = '\0';
	}
	item->call = "listxattr";
	item->xattrs.fault = prefetch->feed.fault;
	return path ? xattrs_read(&item->xattrs, fd, "", xattrs_kept)
		    : xattrs_read_fd(&item->xattrs, fd, xattrs_kept);
}

/* May the attributes of another entry be held until its turn comes? */
static bool prefetch_room(struct prefetch *prefetch)
{
	return atomic_load(&prefetch->held) < PREFETCH_XATTRS_BYTES;
}

/*
 * Open the file of ITEM again, whose beginning was read ahead. 0; -ESTALE: it has to be read anew;
 * or another -errno.
 */
static int prefetch_again(struct prefetch *prefetch, struct item *item)
{
	struct statx after;
	int r = prefetch_number(prefetch, item);

	if (r)
		return r;
	item->call = "statx";
	r = RET_NERRNO(statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after));
	if (!r && item_changed(item, &after))
		r = -ESTALE;
	if (r)
		fd_close(TAKE_FD(item->fd));
	else
		atomic_fetch_add(&prefetch->open, 1);
	return r;
}

/* Close the files that were read ahead, for another one; they are read anew. */
static void prefetch_shed(struct prefetch *prefetch)
{
	pthread_mutex_lock(&prefetch->lock);
	for (size_t i = 1; i < PREFETCH_ITEMS; i++) {
		struct item *item = &prefetch->items[(prefetch->at + i) % PREFETCH_ITEMS];

		if (!item->ready || item->fd < 0)
			continue;
		fd_close(TAKE_FD(item->fd));
		atomic_fetch_sub(&prefetch->open, 1);
		item->error = -EMFILE;
	}
	pthread_mutex_unlock(&prefetch->lock);
}

int prefetch_retry(struct prefetch *prefetch, struct item *item, struct prefetch_place *place)
{
	int r = prefetch_entry(prefetch, item, place, false);

	if (r)
		fd_close(TAKE_FD(item->fd));
	else if (item->fd >= 0)
		atomic_fetch_add(&prefetch->open, 1);
	return r;
}

/* Read ITEM, whose turn it is, if there was no descriptor for it. */
static void prefetch_now(struct prefetch *prefetch, struct item *item, struct prefetch_place *place)
{
	for (int tries = 0; fds_missing(item->error) && tries < 2; tries++) {
		if (tries)
			prefetch_shed(prefetch);
		item->error = item->state == ITEM_HEAD ? prefetch_again(prefetch, item) : -ESTALE;
		if (item->error == -ESTALE) {
			item->length = item->xattrs.count = 0;
			/* Its attributes are read with its inode, and only then. */
			item->state = ITEM_NEW;
			item->error = prefetch_retry(prefetch, item, place);
		}
	}
}

/* ---- claiming -------------------------------------------------------------------------------- */

/* Make ITEM one of ENTRY. */
static int prefetch_set(struct prefetch *prefetch, struct item *item,
			const struct feed_entry *entry)
{
	size_t size = strlen(entry->path) + 1;

	if (size > item->path_capacity) {
		char *path = fault_realloc(prefetch->feed.fault, item->path, size * 2);

		if (!path)
			return -ENOMEM;
		item->path = path;
		item->path_capacity = size * 2;
	}
	memcpy(item->path, entry->path, size);
	item->kind = entry->kind;
	item->inode = entry->inode;
	item->type = entry->type;
	item->state = ITEM_NEW;
	item->error = 0;
	item->call = NULL;
	item->changed = false;
	item->length = item->xattrs.count = 0;
	return 0;
}

/* Feed up to COUNT items from FIRST on, with feed_lock held: how many, or -errno at the first. */
static int prefetch_feed(struct prefetch *prefetch, size_t first, size_t count, bool *ret_ended)
{
	size_t i = 0;
	int r = 1;

	for (; r > 0 && i<count; i += r> 0) {
		struct feed_entry entry;

		r = feed_next(&prefetch->feed, &entry);
		if (r > 0)
			r = prefetch_set(prefetch, &prefetch->items[(first + i) % PREFETCH_ITEMS],
					 &entry)
				    ? -ENOMEM
				    : 1;
	}
	prefetch->fed += i;
	/* Entries are many now: search the tree. Without a search it takes longer, but is done. */
	if (r > 0 && prefetch->search && prefetch->fed >= GATHER_MIN) {
		r = gather_begin(&prefetch->gather, prefetch->feed.root_fd, prefetch->feed.fault);
		prefetch->search = false;
		prefetch->gathering = r > 0;
		r = r == -ENOMEM ? r : 1;
	}
	*ret_ended = r <= 0;
	prefetch->error = MIN(r, 0);
	return (int)i;
}

/* Claim up to COUNT entries, the first one of which is *RET_FIRST: how many. */
static size_t prefetch_claim(struct prefetch *prefetch, struct prefetch_place *place, size_t count,
			     size_t *ret_first)
{
	bool ended = false;

	pthread_mutex_lock(&prefetch->feed_lock);
	pthread_mutex_lock(&prefetch->lock);
	*ret_first = prefetch->next;
	count = prefetch->ended || prefetch->over
			? 0
			: MIN(count, prefetch->at + PREFETCH_ITEMS - prefetch->next);
	pthread_mutex_unlock(&prefetch->lock);
	if (count)
		count = (size_t)prefetch_feed(prefetch, *ret_first, count, &ended);
	place->gathering = prefetch->gathering;
	pthread_mutex_lock(&prefetch->lock);
	prefetch->next += count;
	prefetch->ended |= ended;
	if (ended) {
		pthread_cond_broadcast(&prefetch->ready);
		pthread_cond_broadcast(&prefetch->room);
	}
	pthread_mutex_unlock(&prefetch->lock);
	pthread_mutex_unlock(&prefetch->feed_lock);
	return count;
}

/* Read COUNT items that were claimed, from FIRST on. */
static void prefetch_read(struct prefetch *prefetch, struct prefetch_place *place, size_t first,
			  size_t count)
{
	struct item *items[PREFETCH_CLAIM] = { 0 };

	for (size_t i = 0; i < count; i++)
		items[i] = &prefetch->items[(first + i) % PREFETCH_ITEMS];
	if (place->gathering)
		gather_items(&prefetch->gather, items, count);
	for (size_t i = 0; i < count; i++) {
		struct item *item = items[i];
		bool was_open = item->fd >= 0;

		if (item->kind == VARVE_CHANGE_DELETE || item->state == ITEM_WHOLE)
			continue;
		/*
		 * Without a descriptor or room it is left to the taker, which reads it after those
		 * before it.
		 */
		item->error = prefetch_room(prefetch) ? prefetch_entry(prefetch, item, place, true)
						      : -EMFILE;
		if (item->error)
			fd_close(TAKE_FD(item->fd));
		if (item->fd >= 0 && !was_open)
			atomic_fetch_add(&prefetch->open, 1);
		item->held = xattrs_bytes(&item->xattrs);
		atomic_fetch_add(&prefetch->held, item->held);
	}
	pthread_mutex_lock(&prefetch->lock);
	for (size_t i = 0; i < count; i++)
		items[i]->ready = true;
	/* Only the taker waits for this. */
	if (first <= prefetch->at && prefetch->at < first + count)
		pthread_cond_signal(&prefetch->ready);
	pthread_mutex_unlock(&prefetch->lock);
}

/* ---- the threads ----------------------------------------------------------------------------- */

/* Wait for room; false when there is nothing more to do. */
static bool prefetch_wait(struct prefetch *prefetch)
{
	bool more;

	pthread_mutex_lock(&prefetch->lock);
	while (!prefetch->over && !prefetch->ended &&
	       prefetch->next >= prefetch->at + PREFETCH_ITEMS)
		pthread_cond_wait(&prefetch->room, &prefetch->lock);
	more = !prefetch->over && !prefetch->ended;
	pthread_mutex_unlock(&prefetch->lock);
	return more;
}

void prefetch_work(struct prefetch *prefetch)
{
	struct prefetch_place place = { .fd = -EBADF };
	struct yield yield = { .wakes = prefetch->wakes };

	while (prefetch_wait(prefetch)) {
		size_t first, count = prefetch_claim(prefetch, &place, PREFETCH_CLAIM, &first);

		prefetch_read(prefetch, &place, first, count);
		yield_look(&yield);
	}
	prefetch_leave(&place);
}

void prefetch_stop(struct prefetch *prefetch)
{
	pthread_mutex_lock(&prefetch->lock);
	prefetch->over = true;
	pthread_cond_broadcast(&prefetch->room);
	pthread_mutex_unlock(&prefetch->lock);
}

struct item *prefetch_take(struct prefetch *prefetch, struct prefetch_place *place)
{
	struct item *item = &prefetch->items[prefetch->at % PREFETCH_ITEMS];

	pthread_mutex_lock(&prefetch->lock);
	while (!item->ready && !(prefetch->ended && prefetch->next <= prefetch->at)) {
		size_t first, count;

		if (prefetch->next > prefetch->at) {
			pthread_cond_wait(&prefetch->ready, &prefetch->lock);
			continue;
		}
		pthread_mutex_unlock(&prefetch->lock);
		count = prefetch_claim(prefetch, place, PREFETCH_CLAIM, &first);
		prefetch_read(prefetch, place, first, count);
		pthread_mutex_lock(&prefetch->lock);
	}
	if (!item->ready)
		item = NULL;
	pthread_mutex_unlock(&prefetch->lock);
	if (item)
		prefetch_now(prefetch, item, place);
	return item;
}

void prefetch_release(struct prefetch *prefetch)
{
	struct item *item = &prefetch->items[prefetch->at % PREFETCH_ITEMS];

	if (item->fd >= 0)
		atomic_fetch_sub(&prefetch->open, 1);
	fd_close(TAKE_FD(item->fd));
	atomic_fetch_sub(&prefetch->held, TAKE(item->held, 0));
	/* Many attributes are rare: the next entry at this place has none such. */
	if (xattrs_bytes(&item->xattrs) > GATHER_XATTRS_BYTES)
		xattrs_free(&item->xattrs);
	pthread_mutex_lock(&prefetch->lock);
	item->ready = false;
	prefetch->at++;
	/* Wake one for a few at once, not for each. */
	if (prefetch->at % PREFETCH_CLAIM == 0)
		pthread_cond_signal(&prefetch->room);
	pthread_mutex_unlock(&prefetch->lock);
}

void prefetch_init(struct prefetch *prefetch)
{
	pthread_mutex_init(&prefetch->feed_lock, NULL);
	pthread_mutex_init(&prefetch->lock, NULL);
	pthread_cond_init(&prefetch->ready, NULL);
	pthread_cond_init(&prefetch->room, NULL);
	for (size_t i = 0; i < PREFETCH_ITEMS; i++)
		prefetch->items[i].fd = -EBADF;
}

void prefetch_free(struct prefetch *prefetch)
{
	for (size_t i = 0; i < PREFETCH_ITEMS; i++) {
		fd_close(prefetch->items[i].fd);
		free(prefetch->items[i].path);
		free(prefetch->items[i].bytes);
		xattrs_free(&prefetch->items[i].xattrs);
	}
	feed_free(&prefetch->feed);
	pthread_cond_destroy(&prefetch->room);
	pthread_cond_destroy(&prefetch->ready);
	pthread_mutex_destroy(&prefetch->lock);
	pthread_mutex_destroy(&prefetch->feed_lock);
}
