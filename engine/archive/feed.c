/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/feed.h"
#include "engine/archive/tar_name.h"
#include "engine/base/limits.h"
#include "engine/dir/opath.h"
#include "engine/base/util.h"
#include "engine/dir/beneath.h"
#include "engine/dir/listing.h"
#include "engine/walk/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A directory that is expanded. */
struct feed_level {
	struct listing listing;
	/* The next of its entries; bytes of its path. */
	size_t at, length;
	/* It lies in the layer's own tree. */
	bool own;
};

/* Write NAME behind the first LENGTH bytes of the path. */
static int feed_append(struct feed *feed, size_t length, const char *name)
{
	size_t size = strlen(name) + 1;
	int r = fault_reserve(feed->fault, &feed->path, length, size, &feed->path_capacity, 1);

	if (!r)
		memcpy(feed->path + length, name, size);
	return r;
}

/* Remove the deepest level. */
static void feed_pop(struct feed *feed)
{
	listing_free(&feed->levels[--feed->levels_count].listing);
}

/* Enter the directory of feed->path, "DIR/". */
static int feed_enter(struct feed *feed)
{
	_cleanup_close_ int fd = -EBADF;
	struct feed_level *level;
	struct stat stat;
	int r;

	feed->path[strlen(feed->path) - 1] = '\0';
	fd = beneath_open_list(feed->root_fd, feed->path);
	/* It vanished, or is covered by a mount. */
	if (opath_vanished(fd) || fd == -EXDEV)
		return 0;
	if (fd < 0)
		return fd;
	r = fault_reserve(feed->fault, &feed->levels, feed->levels_count, 1, &feed->levels_capacity,
			  sizeof(*level));
	if (r)
		return r;
	if (!feed->device && fstat(feed->root_fd, &stat) == 0)
		feed->device = stat.st_dev;
	if (fstat(fd, &stat) < 0)
		return negative_errno();
	level = &feed->levels[feed->levels_count++];
	*level = (struct feed_level){ .listing.fault = feed->fault,
				      .length = strlen(feed->path),
				      .own = stat.st_dev == feed->device };
	return listing_read_paths(&level->listing, fd);
}

/* Take the next entry of the deepest level; 0 where that gives no entry of the archive. */
static int feed_expand(struct feed *feed, struct feed_entry *ret_entry)
{
	struct feed_level *level = &feed->levels[feed->levels_count - 1];
	const struct listing_entry *entry;
	size_t length = level->length;
	bool inside;
	int r;

	if (level->at == level->listing.count) {
		feed_pop(feed);
		return 0;
	}
	entry = listing_at(&level->listing, level->at++);
	inside = entry->inside;
	r = feed_append(feed, length, "/");
	if (!r)
		r = feed_append(feed, length + 1, entry->name);
	if (r)
		return r;
	*ret_entry = (struct feed_entry){ feed->path, VARVE_CHANGE_ADD,
					  level->own ? entry->inode : 0, entry->type };
	if (!inside)
		return 1;
	/* A chain of directories then holds one listing, not one for each. */
	if (level->at == level->listing.count)
		feed_pop(feed);
	return feed_enter(feed);
}

/* 1 where an archive can have ENTRY, whose path begins with a '/' that is not in it. */
static int feed_fits(const struct feed_entry *entry)
{
	size_t more = entry->kind == VARVE_CHANGE_DELETE ? strlen(WHITEOUT_PREFIX) : 0;

	return strlen(entry->path) - 1 + more > ARCHIVE_PATH_BYTES_MAX ? -ENAMETOOLONG : 1;
}

int feed_next(struct feed *feed, struct feed_entry *ret_entry)
{
	int r = 0;

	while (!r) {
		const struct varve_change *change;

		if (feed->levels_count) {
			r = feed_expand(feed, ret_entry);
			continue;
		}
		if (feed->next == feed->changes->count)
			return 0;
		change = &feed->changes->list[feed->next++];
		r = feed_append(feed, 0, change->path);
		if (!r && change->path[strlen(change->path) - 1] == '/')
			r = feed_enter(feed);
		else if (!r) {
			*ret_entry = (struct feed_entry){ .path = feed->path,
							  .kind = change->kind,
							  .type = DT_UNKNOWN };
			r = 1;
		}
	}
	return r > 0 ? feed_fits(ret_entry) : r;
}

void feed_free(struct feed *feed)
{
	while (feed->levels_count)
		feed_pop(feed);
	free(TAKE_PTR(feed->levels));
	free(TAKE_PTR(feed->path));
}
