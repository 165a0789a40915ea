/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/walk_dirs.h"
#include "engine/core/fds.h"
#include "engine/dir/opath.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"

#include <fcntl.h>
#include <string.h>

/* The flags that a directory is opened with. */
#define WALK_OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

/* ---- records --------------------------------------------------------------------------------- */

/* Count the bytes of the record of a directory called NAME. */
static size_t walk_dir_bytes(const char *name)
{
	return sizeof(struct walk_dir) + strlen(name) + 1;
}

int walk_dir_new(struct walk *walk, struct walk_dir *parent, const char *name,
		 struct walk_dir **ret_dir)
{
	size_t bytes = walk_dir_bytes(name);
	struct walk_dir *dir;

	if (walk->records + bytes > WALK_RECORDS_BYTES_MAX)
		return -ENOBUFS;
	dir = fault_calloc(&walk->job.store->core.io.fault, 1, bytes);
	if (!dir)
		return -ENOMEM;
	walk->records += bytes;
	dir->parent = parent;
	dir->fd = -EBADF;
	dir->unfinished = 1;
	list_init(&dir->link);
	list_init(&dir->idle);
	strcpy(dir->name, name);
	if (parent)
		parent->unfinished++;
	*ret_dir = dir;
	return 0;
}

/*
 * Put "/PART" (the first one: "PART") before the text at PATH + AT. Returns the new AT, 0 when
 * there is no room.
 */
static size_t walk_path_part(char *path, size_t at, const char *part)
{
	size_t length = strlen(part);

	if (length + 1 > at)
		return 0;
	if (path[at])
		path[--at] = '/';
	memcpy(path + at - length, part, length);
	return at - length;
}

void walk_path(const struct walk_dir *dir, const char *name, char path[VARVE_FAILURE_PATH_SIZE])
{
	size_t at = VARVE_FAILURE_PATH_SIZE - 1;

	path[at] = '\0';
	if (name)
		at = walk_path_part(path, at, name);
	/* A path that does not fit loses its beginning. */
	for (; dir && at; dir = dir->parent)
		at = walk_path_part(path, at, dir->name);
	memmove(path, path + at, VARVE_FAILURE_PATH_SIZE - at);
}

void walk_failed(struct walk *walk, const struct walk_dir *dir, const char *name, const char *call,
		 int error)
{
	pthread_mutex_lock(&walk->lock);
	if (!walk->error) {
		walk->error = error;
		walk->error_call = call;
		walk_path(dir, name, walk->error_path);
	}
	pthread_mutex_unlock(&walk->lock);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* Keep DIR open, if it is open. Returns its descriptor, or -EBADF. */
static int walk_pin(struct walk *walk, struct walk_dir *dir)
{
	int fd;

	pthread_mutex_lock(&walk->lock);
	fd = dir->fd;
	if (fd >= 0) {
		dir->pins++;
		list_remove(&dir->idle);
	}
	pthread_mutex_unlock(&walk->lock);
	return fd;
}

void walk_put(struct walk *walk, struct walk_dir *dir)
{
	int fd = -EBADF;

	pthread_mutex_lock(&walk->lock);
	if (!--dir->pins && dir->parent) {
		list_append(&walk->idle, &dir->idle);
		if (walk->fds > walk->fds_max) {
			struct walk_dir *oldest = list_entry(list_pop(&walk->idle), struct walk_dir,
							     idle);

			fd = TAKE_FD(oldest->fd);
			walk->fds--;
		}
	}
	pthread_mutex_unlock(&walk->lock);
	fd_close(fd);
}

void walk_attach(struct walk *walk, struct walk_dir *dir, int fd)
{
	pthread_mutex_lock(&walk->lock);
	if (dir->fd < 0) {
		dir->fd = TAKE_FD(fd);
		walk->fds++;
	}
	dir->pins++;
	list_remove(&dir->idle);
	pthread_mutex_unlock(&walk->lock);
	fd_close(fd);
}

bool walk_shed(struct walk *walk, int error)
{
	struct list *link;
	int fd = -EBADF;
	bool shed;

	if (!fds_missing(error))
		return false;
	pthread_mutex_lock(&walk->lock);
	walk->fds_max /= 2;
	link = list_pop(&walk->idle);
	if (link) {
		fd = TAKE_FD(list_entry(link, struct walk_dir, idle)->fd);
		walk->fds--;
	}
	shed = link || spares_use(&walk->spares);
	pthread_mutex_unlock(&walk->lock);
	fd_close(fd);
	return shed;
}

uint64_t walk_device(const struct statx *stat)
{
	return (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor;
}

/* Is FD the directory that DIR was? */
static bool walk_same(const struct walk_dir *dir, int fd)
{
	struct statx stat;

	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) &&
	       stat.stx_ino == dir->inode && walk_device(&stat) == dir->device;
}

int walk_openat(struct walk *walk, int parent_fd, const char *name)
{
	struct call call;
	int r;

	call_openat2(&call, parent_fd, name, WALK_OPEN_FLAGS,
		     BENEATH_RESOLVE_NAME | RESOLVE_NO_SYMLINKS);
	/* EAGAIN: after a rename elsewhere the kernel cannot prove that the path stayed beneath. */
	do
		r = call_run(&call);
	while ((r == -EAGAIN && !job_over(&walk->job)) || walk_shed(walk, r));
	if (r == -EACCES && walk->class->grant_access &&
	    !walk->class->grant_access(walk, parent_fd, name))
		r = call_run(&call);
	return r;
}

/* Open DIR, which was open before, in its parent, which is open now. */
static int walk_open_again(struct walk *walk, struct walk_dir *dir)
{
	int fd = walk_openat(walk, dir->parent->fd, dir->name);

	if (fd < 0)
		return fd;
	if (!walk_same(dir, fd)) {
		fd_close(fd);
		return -ESTALE;
	}
	walk_attach(walk, dir, fd);
	return 0;
}

int walk_get(struct walk *walk, struct walk_dir *dir)
{
	struct walk_dir *at = dir, *down = NULL;
	int r = 0;

	if (walk_pin(walk, dir) >= 0)
		return dir->fd;
	/* Open what is closed from the nearest ancestor that is open. */
	pthread_mutex_lock(&walk->reopen);
	while (walk_pin(walk, at) < 0) {
		at->down = down;
		down = at;
		at = at->parent;
	}
	for (; down; down = down->down) {
		r = walk_open_again(walk, down);
		walk_put(walk, at);
		if (r)
			break;
		at = down;
	}
	pthread_mutex_unlock(&walk->reopen);
	return r ? r : dir->fd;
}

/* Open CHILD's parent by "..", while CHILD is open. */
static int walk_get_parent(struct walk *walk, struct walk_dir *child)
{
	struct walk_dir *parent = child->parent;
	int fd;

	if (walk_pin(walk, parent) >= 0)
		return parent->fd;
	do
		fd = RET_NERRNO(openat(child->fd, "..", WALK_OPEN_FLAGS | O_CLOEXEC));
	while (walk_shed(walk, fd));
	if (fd < 0 || !walk_same(parent, fd)) {
		fd_close(fd);
		return walk_get(walk, parent);
	}
	walk_attach(walk, parent, fd);
	return parent->fd;
}

/* ---- the end of a directory ------------------------------------------------------------------ */

/* Open the parent of DIR: by ".." where DIR is open. */
static int walk_get_above(struct walk *walk, struct walk_dir *dir)
{
	int r;

	if (walk_pin(walk, dir) < 0)
		return walk_get(walk, dir->parent);
	r = walk_get_parent(walk, dir);
	walk_put(walk, dir);
	return r;
}

/* Call the class after all entries of DIR, with the parent of DIR open. */
static void walk_leave(struct walk *walk, struct walk_dir *dir)
{
	int r = 0;

	if (!dir->entered || !walk->class->leave || job_over(&walk->job) ||
	    (walk->class->leave_root && dir->parent))
		return;
	if (dir->parent)
		r = walk_get_above(walk, dir);
	if (r >= 0) {
		r = walk->class->leave(walk, dir);
		if (dir->parent)
			walk_put(walk, dir->parent);
	}
	if (r < 0 && !opath_vanished(r))
		walk_failed(walk, dir, NULL, walk->class->call, r);
}

void walk_finish(struct walk *walk, struct walk_dir *dir)
{
	while (dir) {
		struct walk_dir *parent = dir->parent;
		bool over;
		int fd;

		pthread_mutex_lock(&walk->lock);
		over = !--dir->unfinished;
		pthread_mutex_unlock(&walk->lock);
		if (!over)
			return;
		walk_leave(walk, dir);
		pthread_mutex_lock(&walk->lock);
		fd = parent ? dir->fd : -EBADF;
		walk->fds -= fd >= 0;
		walk->records -= walk_dir_bytes(dir->name);
		list_remove(&dir->idle);
		pthread_mutex_unlock(&walk->lock);
		fd_close(fd);
		free(dir);
		dir = parent;
	}
}
