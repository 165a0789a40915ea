/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of owner takes setuid, setgid and file capabilities away, so those are given back; for that the file is held by
 * an O_PATH descriptor, and all calls go to that very inode. Files without them are changed by name: whatever takes the
 * name's place meanwhile is in the tree, too, because no link is followed.
 */
#include "engine/tree/shift.h"
#include "engine/btrfs/abi.h"
#include "engine/core/store.h"
#include "engine/tree/xattr.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* Bytes of the largest file capability (version 3: 24) and some. */
#define SHIFT_CAPABILITY_BYTES 64

/* Map ID from host to container (or the other way when TO_HOST); false when MAP has entries, and none for it. */
static bool shift_id(const struct shift_map *map, bool to_host, uint32_t *id)
{
	if (!map->count)
		return true;
	for (size_t i = 0; i < map->count; i++) {
		const struct varve_id_map *entry = &map->entries[i];
		uint32_t from = to_host ? entry->container : entry->host;

		if (*id >= from && *id - from < entry->count) {
			*id = (to_host ? entry->host : entry->container) + (*id - from);
			return true;
		}
	}
	return false;
}

int shift_ids(const struct shift_maps *maps, uint32_t *uid, uint32_t *gid)
{
	uint32_t user = *uid, group = *gid;

	if (shift_id(&maps->uid_from, false, &user) && shift_id(&maps->gid_from, false, &group)) {
		*uid = user;
		*gid = group;
	} else if (*uid || *gid)
		/* root:root is taken for the container's own where the map does not know it. */
		return -ERANGE;
	if (!shift_id(&maps->uid_to, true, uid))
		*uid = SHIFT_OVERFLOW_ID;
	if (!shift_id(&maps->gid_to, true, gid))
		*gid = SHIFT_OVERFLOW_ID;
	return 0;
}

size_t shift_maps_bytes(const struct varve_chown_options *options)
{
	return sizeof(struct varve_id_map) * (options->uid_from_count + options->gid_from_count + options->uid_to_count +
					      options->gid_to_count);
}

/* Copy COUNT ENTRIES to *AT, which moves on. */
static struct shift_map shift_map_copy(const struct varve_id_map *entries, size_t count, char **at)
{
	struct shift_map map = { (struct varve_id_map *)*at, count };

	/* None may be NULL. */
	if (count)
		memcpy(*at, entries, count * sizeof(*entries));
	*at += count * sizeof(*entries);
	return map;
}

void shift_maps_copy(struct shift_maps *ret_maps, const struct varve_chown_options *options, void *memory)
{
	char *at = memory;

	ret_maps->uid_from = shift_map_copy(options->uid_from, options->uid_from_count, &at);
	ret_maps->gid_from = shift_map_copy(options->gid_from, options->gid_from_count, &at);
	ret_maps->uid_to = shift_map_copy(options->uid_to, options->uid_to_count, &at);
	ret_maps->gid_to = shift_map_copy(options->gid_to, options->gid_to_count, &at);
}

/* Give FD, an O_PATH descriptor, to UID and GID, and what that takes away back. */
static int shift_fd(int fd, uint32_t uid, uint32_t gid, mode_t mode, const void *capability, ssize_t size)
{
	char path[40];
	int r = RET_NERRNO(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!r && mode & (S_ISUID | S_ISGID))
		r = RET_NERRNO(chmod(path, mode & 07777));
	if (!r && size > 0)
		r = RET_NERRNO(setxattr(path, XATTR_CAPABILITY, capability, (size_t)size, 0));
	return r;
}

/* Shift NAME in DIR_FD, which has special bits or a capability of SIZE bytes. */
static int shift_special(int dir_fd, const char *name, const struct statx *stat, uint32_t uid, uint32_t gid,
			 const void *capability, ssize_t size)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) < 0)
		return negative_errno();
	if (now.st_ino != stat->stx_ino)
		return -ESTALE;
	return shift_fd(fd, uid, gid, now.st_mode, capability, size);
}

/* Shift what is no directory. */
static int shift_visit(struct walk *walk, struct walk_entry *entry)
{
	struct shift *shift = walk->data;
	const struct statx *stat = entry->stat;
	uint32_t uid = stat->stx_uid, gid = stat->stx_gid;
	char capability[SHIFT_CAPABILITY_BYTES];
	ssize_t size = 0;
	int r = inodes_add(&shift->seen, entry->dir->subvolume, stat->stx_ino);

	if (r <= 0)
		return r;
	r = shift_ids(shift->maps, &uid, &gid);
	if (r || (uid == stat->stx_uid && gid == stat->stx_gid))
		return r;
	if (S_ISREG(stat->stx_mode))
		size = xattr_get(entry->xattr_dir, entry->name, XATTR_CAPABILITY, capability, sizeof(capability));
	if (size < 0 && size != -ENODATA && size != -EOPNOTSUPP)
		return (int)size;
	if (size > 0 || (!S_ISLNK(stat->stx_mode) && stat->stx_mode & (S_ISUID | S_ISGID)))
		return shift_special(entry->dir->fd, entry->name, stat, uid, gid, capability, size);
	return RET_NERRNO(fchownat(entry->dir->fd, entry->name, uid, gid, AT_SYMLINK_NOFOLLOW));
}

/* Shift a directory; its bits stay. */
static int shift_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct shift *shift = walk->data;
	uint32_t uid = stat->stx_uid, gid = stat->stx_gid;
	int r = inodes_add(&shift->seen, dir->subvolume, stat->stx_ino);

	/* One that stands for a nested subvolume cannot be changed. */
	if (r <= 0 || stat->stx_ino == BTRFS_EMPTY_SUBVOL_DIR_OBJECTID)
		return MIN(r, 0);
	r = shift_ids(shift->maps, &uid, &gid);
	if (!r && (uid != stat->stx_uid || gid != stat->stx_gid))
		r = RET_NERRNO(fchown(dir->fd, uid, gid));
	if (r)
		walk_failed(walk, dir, NULL, "fchown", r);
	return 0;
}

static const struct walk_class shift_class = {
	.call = "fchownat",
	.slow_factor = 8,
	.stat = true,
	.enter = shift_enter,
	.visit = shift_visit,
};

int shift_init(struct shift *shift, struct varve_store *store, int root_fd, const char *id, const struct shift_maps *maps,
	       const _Atomic bool *cancelled)
{
	int r = walk_init(&shift->walk, store, &shift_class, root_fd, id, cancelled);

	if (r)
		return r;
	shift->walk.data = shift;
	shift->maps = maps;
	inodes_init(&shift->seen, &store->io.fault);
	return 0;
}

void shift_free(struct shift *shift)
{
	walk_free(&shift->walk);
	inodes_free(&shift->seen);
}
