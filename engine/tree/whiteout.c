/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/whiteout.h"
#include "engine/tree/beneath.h"
#include "engine/tree/entries.h"
#include "engine/tree/unpack_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* A directory that is emptied of what was there before. */
struct whiteout {
	struct unpack *unpack;
	int dir_fd;
	/* Its path below the one that the marker is in, ending in '/', or empty. */
	const char *path;
	/* Such paths of directories that are yet to be looked at, as the archive has something in them, each with its NUL. */
	char *paths;
	size_t size, capacity;
};

/* Note that the directory NAME is to be looked at, too. */
static int whiteout_later(struct whiteout *old, const char *name)
{
	size_t size = strlen(old->path) + strlen(name) + sizeof("/");
	int r = fault_reserve(&old->unpack->store->io.fault, &old->paths, old->size, size, &old->capacity, 1);

	if (r)
		return r;
	snprintf(old->paths + old->size, size, "%s%s/", old->path, name);
	old->size += size;
	return 0;
}

/* Remove NAME unless the archive brought it. */
static int whiteout_entry(void *data, const char *name)
{
	struct whiteout *old = data;
	struct unpack *unpack = old->unpack;
	char failed[VARVE_FAILURE_PATH_SIZE];
	_cleanup_free_ char *path = NULL;
	struct statx stat;
	int r = unpack_look(unpack, old->dir_fd, name, &stat);

	snprintf(failed, sizeof(failed), "%s", name);
	if (!r && brought_has(&unpack->brought, &stat))
		return S_ISDIR(stat.stx_mode) && brought_old(&unpack->brought, &stat) ? whiteout_later(old, name) : 0;
	if (!r)
		r = unpack_remove_at(unpack, old->dir_fd, name, failed);
	if (r != -EBUSY)
		return r == -ENOENT ? 0 : r;
	return asprintf(&path, "%s%s", old->path, failed) < 0 ? -ENOMEM : unpack_busy(unpack, path);
}

/* Take the last path off the list; it is the caller's. */
static char *whiteout_next(struct whiteout *old)
{
	size_t start = old->size - 1;

	while (start && old->paths[start - 1])
		start--;
	old->size = start;
	return strdup(old->paths + start);
}

/* Empty the directory DIR_FD of what was there before, and those in it that stay as the archive has something in them. */
static int whiteout_opaque(struct unpack *unpack, int dir_fd)
{
	struct whiteout old = { .unpack = unpack, .dir_fd = dir_fd, .path = "" };
	int r = entries_each(dir_fd, whiteout_entry, &old);

	while (!r && old.size) {
		_cleanup_free_ char *path = whiteout_next(&old);
		_cleanup_close_ int fd = path ? beneath_open(dir_fd, path, O_PATH | O_DIRECTORY) : -ENOMEM;

		old.path = path;
		old.dir_fd = fd;
		/* It can have gone, or been replaced. */
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue;
		r = fd < 0 ? unpack_dir_error(unpack, fd) : entries_each(fd, whiteout_entry, &old);
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	free(old.paths);
	return r;
}

int whiteout_apply(struct unpack *unpack, int dir_fd, const char *name)
{
	int r;

	if (!strcmp(name, WHITEOUT_OPAQUE))
		return whiteout_opaque(unpack, dir_fd);
	if (!strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)))
		return 0;
	name += strlen(WHITEOUT_PREFIX);
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return unpack_refuse(unpack, -EINVAL, "a whiteout of \".\", \"..\" or nothing");
	r = unpack_remove(unpack, dir_fd, name);
	unpack_leave(unpack);
	return r;
}
