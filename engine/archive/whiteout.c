/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/whiteout.h"
#include "engine/archive/unpack_metadata.h"
#include "engine/archive/unpack_place.h"
#include "engine/dir/beneath.h"
#include "engine/dir/entries.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* A directory whose older entries are removed. */
struct whiteout {
	struct unpack *unpack;
	int dir_fd;
	struct statx dir;
	/* Its path below the one that the marker is in, ending in '/', or empty. */
	const char *path;
	/*
	 * Such paths of directories that stay because the archive has entries in them, and whose
	 * older entries are still to be removed; each with its NUL.
	 */
	char *paths;
	size_t size, capacity;
};

/* Add the directory NAME to those whose older entries are still to be removed. */
static int whiteout_later(struct whiteout *old, const char *name)
{
	size_t size = strlen(old->path) + strlen(name) + sizeof("/");
	int r = fault_reserve(&old->unpack->store->core.io.fault, &old->paths, old->size, size,
			      &old->capacity, 1);

	if (r)
		return r;
	snprintf(old->paths + old->size, size, "%s%s/", old->path, name);
	old->size += size;
	return 0;
}

/* Remove NAME unless it is an entry of the archive. */
static int whiteout_entry(void *data, const char *name)
{
	struct whiteout *old = data;
	struct unpack *unpack = old->unpack;
	char failed[VARVE_FAILURE_PATH_SIZE];
	_cleanup_free_ char *path = NULL;
	struct statx stat;
	int r = unpack_look(unpack, old->dir_fd, name, &stat);

	snprintf(failed, sizeof(failed), "%s", name);
	if (!r && unpacked_has(&unpack->unpacked, &old->dir, name, &stat))
		return S_ISDIR(stat.stx_mode) && unpacked_older(&unpack->unpacked, &stat)
			       ? whiteout_later(old, name)
			       : 0;
	if (!r)
		r = unpack_remove_at(unpack, old->dir_fd, name, failed);
	if (r != -EBUSY)
		return r == -ENOENT ? 0 : r;
	return asprintf(&path, "%s%s", old->path, failed) < 0 ? -ENOMEM : unpack_busy(unpack, path);
}

/*
 * Remove the older entries of the directory FD, which OLD describes, and reset its metadata where
 * the archive has no entry for it, as if the directory had been missing.
 */
static int whiteout_dir(struct whiteout *old, int fd)
{
	struct unpack *unpack = old->unpack;
	int r = unpack_check(unpack, "statx", unpacked_stat(fd, &old->dir));

	old->dir_fd = fd;
	/* An older directory without an entry of its own gets the metadata of a missing one. */
	if (!r && *old->path && unpacked_kind(&unpack->unpacked, &old->dir) == UNPACKED_ANCESTOR) {
		r = unpack_remove_xattrs(unpack, fd);
		if (!r)
			r = unpack_set_implied(unpack, fd);
	}
	/*
	 * Once is enough: all that is left, or was made since, is the archive's. A second time
	 * would cost as much as the directory has entries.
	 */
	if (r || unpacked_emptied(&unpack->unpacked, &old->dir))
		return r;
	r = entries_each(fd, whiteout_entry, old);
	return r ? r : unpacked_set_emptied(&unpack->unpacked, &old->dir);
}

/*
 * Remove the older entries of the directory DIR_FD, or of NAME in it, and of those directories in
 * it that stay because the archive has entries in them.
 */
static int whiteout_opaque(struct unpack *unpack, int dir_fd, const char *name)
{
	struct whiteout old = { .unpack = unpack, .path = "" };
	int r = name ? whiteout_later(&old, name) : whiteout_dir(&old, dir_fd);

	while (!r && old.size) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int fd = -EBADF;

		/* Take the last path off the list. */
		old.size--;
		while (old.size && old.paths[old.size - 1])
			old.size--;
		old.path = path = strdup(old.paths + old.size);
		fd = path ? beneath_open(dir_fd, path, O_PATH | O_DIRECTORY) : -ENOMEM;
		/* The directory may be gone, or replaced. */
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue;
		r = fd < 0 ? unpack_dir_error(unpack, fd) : whiteout_dir(&old, fd);
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	free(old.paths);
	return r;
}

/* Delete NAME in DIR_FD, unless it is an entry of the archive. */
static int whiteout_delete(struct unpack *unpack, int dir_fd, const char *name)
{
	struct statx dir, stat;
	int r = unpack_look(unpack, dir_fd, name, &stat);

	if (!r)
		r = unpack_check(unpack, "statx", unpacked_stat(dir_fd, &dir));
	if (r)
		return r == -ENOENT ? 0 : r;
	if (!unpacked_has(&unpack->unpacked, &dir, name, &stat))
		r = unpack_remove(unpack, dir_fd, name);
	else if (S_ISDIR(stat.stx_mode) && unpacked_older(&unpack->unpacked, &stat))
		r = whiteout_opaque(unpack, dir_fd, name);
	else
		skipped_add(&unpack->report, -EEXIST, "apply", "UNPACK", NULL, unpack->path,
			    "it deletes an entry of the archive itself, which is kept");
	unpack_leave(unpack);
	return r;
}

int whiteout_apply(struct unpack *unpack, int dir_fd, const char *name)
{
	bool opaque = !strcmp(name, WHITEOUT_OPAQUE);
	int r;

	if (!opaque && !strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)))
		return 0;
	name += strlen(WHITEOUT_PREFIX);
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return unpack_refuse(unpack, -EINVAL, "a whiteout of \".\", \"..\" or nothing");
	r = unpack_lead(unpack, dir_fd);
	if (r)
		return r;
	return opaque ? whiteout_opaque(unpack, dir_fd, NULL)
		      : whiteout_delete(unpack, dir_fd, name);
}
