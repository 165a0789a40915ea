/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/prefetch.h"
#include "engine/base/util.h"
#include "engine/core/fds.h"
#include "engine/dir/beneath.h"
#include "engine/dir/opath.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

/* ---- one entry --------------------------------------------------------------------------------------------------- */

int window_enter(const struct window *window, struct window_place *place, const char *path, const char **ret_name)
{
	const char *name = strrchr(path, '/') + 1;
	size_t length = (size_t)(name - path);
	int fd;

	*ret_name = name;
	if (place->fd >= 0 && place->length == length && !memcmp(place->path, path, length))
		return 0;
	fd_close(TAKE_FD(place->fd));
	free(place->path);
	place->path = fault_hit(window->feed.fault, FAULT_ALLOCATION) ? NULL : strndup(path, length);
	place->length = length;
	if (!place->path)
		return -ENOMEM;
	fd = beneath_open(window->feed.root_fd, place->path, O_PATH | O_DIRECTORY);
	place->fd = fd;
	return MIN(fd, 0);
}

void window_leave(struct window_place *place)
{
	fd_close(TAKE_FD(place->fd));
	free(TAKE_PTR(place->path));
}

/*
 * Open the file that FD, of O_PATH, is. It does not wait: where a process keeps a lease on it the kernel asks that to let go,
 * and says -EAGAIN.
 */
static int window_open(struct item *item, int fd)
{
	item->call = "open";
	item->fd = opath_reopen_read(fd);
	return MIN(item->fd, 0);
}

/* Read the attributes of the open file. */
static int window_attributes(const struct window *window, struct item *item)
{
	int r;

	item->call = "flistxattr";
	item->xattrs.fault = window->feed.fault;
	r = xattrs_read_fd(&item->xattrs, item->fd, xattrs_kept);
	item->state = ITEM_INODE;
	return r;
}

/* Read the beginning of the open file; when that is all of it, see whether it was changed meanwhile, and close it. */
static int window_content(const struct window *window, struct item *item)
{
	uint64_t size = item->statx.stx_size;
	struct statx after;
	ssize_t length;
	int r = item_reserve(item, MIN(size, (uint64_t)WINDOW_FILE_BYTES), window->feed.fault);

	if (r)
		return r;
	item->call = "pread";
	length = opath_pread(item->fd, item->bytes, MIN(size, (uint64_t)WINDOW_FILE_BYTES), 0);
	if (length < 0)
		return (int)length;
	item->length = (size_t)length;
	if (size > WINDOW_FILE_BYTES) {
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

/* Read the file that FD, of O_PATH, is. */
static int window_file(const struct window *window, struct item *item, int fd)
{
	int r = window_open(item, fd);

	if (!r && item->state == ITEM_NEW)
		r = window_attributes(window, item);
	return r ? r : window_content(window, item);
}

/* Read the target of the link that FD, of O_PATH, is. */
static int window_link(const struct window *window, struct item *item, int fd)
{
	ssize_t length;
	int r = item_reserve(item, PATH_MAX + 1, window->feed.fault);

	if (r)
		return r;
	item->call = "readlinkat";
	length = readlinkat(fd, "", item->bytes, PATH_MAX);
	if (length < 0)
		return negative_errno();
	item->bytes[length] = '\0';
	return 0;
}

/* Open NAME in DIR_FD by O_PATH, and see what it is, unless it is the inode that the tree told of. A descriptor, or -errno. */
static int window_look(struct item *item, int dir_fd, const char *name)
{
	struct statx statx;
	int fd = opath_open(dir_fd, name, &statx);

	if (fd < 0 || (item->state == ITEM_INODE && opath_same(&statx, &item->statx)))
		return fd;
	item->statx = statx;
	item->state = ITEM_NEW;
	item->xattrs.count = 0;
	return fd;
}

int window_entry(const struct window *window, struct item *item, struct window_place *place)
{
	_cleanup_close_ int fd = -EBADF;
	const char *name;
	int r = window_enter(window, place, item->path, &name);

	item->call = "openat2";
	if (r)
		return r;
	fd = window_look(item, place->fd, name);
	if (fd < 0)
		return fd;
	if (S_ISREG(item->statx.stx_mode))
		return window_file(window, item, fd);
	if (S_ISLNK(item->statx.stx_mode))
		r = window_link(window, item, fd);
	if (r || S_ISSOCK(item->statx.stx_mode))
		return r;
	item->call = "listxattr";
	item->xattrs.fault = window->feed.fault;
	return xattrs_read(&item->xattrs, fd, "", xattrs_kept);
}

/* May another file stay open, and its attributes be held, until its turn comes? */
static bool window_room(struct window *window)
{
	return atomic_load(&window->open) < WINDOW_FDS_MAX && atomic_load(&window->held) < WINDOW_XATTRS_BYTES;
}

/* Read ITEM ahead; what there is no descriptor or no room for is left to the one who takes it, when those before it are done. */
static void window_ahead(struct window *window, struct item *item, struct window_place *place)
{
	bool was_open = item->fd >= 0;

	item->error = window_room(window) ? window_entry(window, item, place) : -EMFILE;
	if (item->error)
		fd_close(TAKE_FD(item->fd));
	if (item->fd >= 0 && !was_open)
		atomic_fetch_add(&window->open, 1);
	item->held = xattrs_bytes(&item->xattrs);
	atomic_fetch_add(&window->held, item->held);
}

/* Close the files that were read ahead, for another one; they are read anew. */
static void window_shed(struct window *window)
{
	pthread_mutex_lock(&window->lock);
	for (size_t i = 1; i < WINDOW_ITEMS; i++) {
		struct item *item = &window->items[(window->at + i) % WINDOW_ITEMS];

		if (!item->ready || item->fd < 0)
			continue;
		fd_close(TAKE_FD(item->fd));
		atomic_fetch_sub(&window->open, 1);
		item->error = -EMFILE;
	}
	pthread_mutex_unlock(&window->lock);
}

/* Read ITEM, whose turn it is, if there was no descriptor for it. */
static void window_now(struct window *window, struct item *item, struct window_place *place)
{
	for (int tries = 0; fds_missing(item->error) && tries < 2; tries++) {
		if (tries)
			window_shed(window);
		item->length = item->xattrs.count = 0;
		/* Its attributes are read with its inode, and only then. */
		item->state = ITEM_NEW;
		item->error = window_entry(window, item, place);
		if (item->error)
			fd_close(TAKE_FD(item->fd));
		else if (item->fd >= 0)
			atomic_fetch_add(&window->open, 1);
	}
}

/* ---- claiming ---------------------------------------------------------------------------------------------------- */

/* Make ITEM one of ENTRY. */
static int window_set(struct window *window, struct item *item, const struct feed_entry *entry)
{
	size_t size = strlen(entry->path) + 1;

	if (size > item->path_capacity) {
		char *path = fault_realloc(window->feed.fault, item->path, size * 2);

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

/* Prepare to search the tree, now that entries are many. */
static int window_search(struct window *window)
{
	int r = gather_begin(&window->gather, window->feed.root_fd, window->feed.fault);

	window->search = false;
	window->gathering = r > 0;
	/* Without a search it takes longer, and is done all the same. */
	return r == -ENOMEM ? r : 0;
}

/* Feed up to COUNT items from FIRST on, with feed_lock held: how many, or -errno at the first. */
static int window_feed(struct window *window, size_t first, size_t count, bool *ret_ended)
{
	size_t i = 0;
	int r = 1;

	for (; r > 0 && i < count; i += r > 0) {
		struct feed_entry entry;

		r = feed_next(&window->feed, &entry);
		if (r > 0)
			r = window_set(window, &window->items[(first + i) % WINDOW_ITEMS], &entry) ? -ENOMEM : 1;
	}
	window->fed += i;
	if (r > 0 && window->search && window->fed >= GATHER_MIN)
		r = window_search(window) < 0 ? -ENOMEM : 1;
	*ret_ended = r <= 0;
	window->error = MIN(r, 0);
	return (int)i;
}

/* Claim up to COUNT entries, the first one of which is *RET_FIRST: how many. */
static size_t window_claim(struct window *window, struct window_place *place, size_t count, size_t *ret_first)
{
	bool ended = false;

	pthread_mutex_lock(&window->feed_lock);
	pthread_mutex_lock(&window->lock);
	*ret_first = window->next;
	count = window->ended || window->over ? 0 : MIN(count, window->at + WINDOW_ITEMS - window->next);
	pthread_mutex_unlock(&window->lock);
	if (count)
		count = (size_t)window_feed(window, *ret_first, count, &ended);
	place->gathering = window->gathering;
	pthread_mutex_lock(&window->lock);
	window->next += count;
	window->ended |= ended;
	if (ended) {
		pthread_cond_broadcast(&window->ready);
		pthread_cond_broadcast(&window->room);
	}
	pthread_mutex_unlock(&window->lock);
	pthread_mutex_unlock(&window->feed_lock);
	return count;
}

/* Read COUNT items that were claimed, from FIRST on. */
static void window_read(struct window *window, struct window_place *place, size_t first, size_t count)
{
	struct item *items[WINDOW_CLAIM] = { 0 };

	for (size_t i = 0; i < count; i++)
		items[i] = &window->items[(first + i) % WINDOW_ITEMS];
	if (place->gathering)
		gather_items(&window->gather, items, count);
	for (size_t i = 0; i < count; i++)
		if (items[i]->kind != VARVE_CHANGE_DELETE && items[i]->state != ITEM_WHOLE)
			window_ahead(window, items[i], place);
	pthread_mutex_lock(&window->lock);
	for (size_t i = 0; i < count; i++)
		items[i]->ready = true;
	/* Only the one who takes waits for this. */
	if (first <= window->at && window->at < first + count)
		pthread_cond_signal(&window->ready);
	pthread_mutex_unlock(&window->lock);
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

/* Wait for room; false when there is nothing more to do. */
static bool window_wait(struct window *window)
{
	bool more;

	pthread_mutex_lock(&window->lock);
	while (!window->over && !window->ended && window->next >= window->at + WINDOW_ITEMS)
		pthread_cond_wait(&window->room, &window->lock);
	more = !window->over && !window->ended;
	pthread_mutex_unlock(&window->lock);
	return more;
}

void window_work(struct window *window)
{
	struct window_place place = { .fd = -EBADF };

	while (window_wait(window)) {
		size_t first, count = window_claim(window, &place, WINDOW_CLAIM, &first);

		window_read(window, &place, first, count);
	}
	window_leave(&place);
}

void window_stop(struct window *window)
{
	pthread_mutex_lock(&window->lock);
	window->over = true;
	pthread_cond_broadcast(&window->room);
	pthread_mutex_unlock(&window->lock);
}

struct item *window_take(struct window *window, struct window_place *place)
{
	struct item *item = &window->items[window->at % WINDOW_ITEMS];

	pthread_mutex_lock(&window->lock);
	while (!item->ready && !(window->ended && window->next <= window->at)) {
		size_t first, count;

		if (window->next > window->at) {
			pthread_cond_wait(&window->ready, &window->lock);
			continue;
		}
		pthread_mutex_unlock(&window->lock);
		count = window_claim(window, place, WINDOW_CLAIM, &first);
		window_read(window, place, first, count);
		pthread_mutex_lock(&window->lock);
	}
	if (!item->ready)
		item = NULL;
	pthread_mutex_unlock(&window->lock);
	if (item)
		window_now(window, item, place);
	return item;
}

void window_release(struct window *window)
{
	struct item *item = &window->items[window->at % WINDOW_ITEMS];

	if (item->fd >= 0)
		atomic_fetch_sub(&window->open, 1);
	fd_close(TAKE_FD(item->fd));
	atomic_fetch_sub(&window->held, TAKE(item->held, 0));
	/* Many attributes are rare: the next entry at this place has none such. */
	if (xattrs_bytes(&item->xattrs) > GATHER_XATTRS_BYTES)
		xattrs_free(&item->xattrs);
	pthread_mutex_lock(&window->lock);
	item->ready = false;
	window->at++;
	/* Wake one for a few at once, not for each. */
	if (window->at % WINDOW_CLAIM == 0)
		pthread_cond_signal(&window->room);
	pthread_mutex_unlock(&window->lock);
}

void window_init(struct window *window)
{
	pthread_mutex_init(&window->feed_lock, NULL);
	pthread_mutex_init(&window->lock, NULL);
	pthread_cond_init(&window->ready, NULL);
	pthread_cond_init(&window->room, NULL);
	for (size_t i = 0; i < WINDOW_ITEMS; i++)
		window->items[i].fd = -EBADF;
}

void window_free(struct window *window)
{
	for (size_t i = 0; i < WINDOW_ITEMS; i++) {
		fd_close(window->items[i].fd);
		free(window->items[i].path);
		free(window->items[i].bytes);
		xattrs_free(&window->items[i].xattrs);
	}
	feed_free(&window->feed);
	pthread_cond_destroy(&window->room);
	pthread_cond_destroy(&window->ready);
	pthread_mutex_destroy(&window->lock);
	pthread_mutex_destroy(&window->feed_lock);
}
