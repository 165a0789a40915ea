/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control lists have ids of users and groups in them, which are shifted, too.
 *
 * A change of owner clears setuid, setgid and file capabilities, so those are set again. In a
 * published layer each file is held by an O_PATH descriptor, and all calls go to that inode:
 * a user of the layer could exchange names, so that a file of that user gets the owner, the bits or
 * the capability of another one, or is shifted twice. A layer that is not yet published is changed
 * by name, which is cheaper; there only files with such bits are held.
 *
 * Each inode is shifted once: (subvolume, number), as btrfs gives no number twice while it is
 * mounted. A walk misses files that are renamed while directories are read, and files that are made
 * in directories it has read. So after the walk of a published layer the trees are searched for
 * inodes that the walk has not seen, which are opened by their numbers, until there are none.
 */
#include "engine/walk/shift.h"
#include "engine/base/id_map.h"
#include "engine/btrfs/abi.h"
#include "engine/btrfs/file_handle.h"
#include "engine/dir/acl.h"
#include "engine/dir/opath.h"
#include "engine/dir/xattr.h"
#include "engine/store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Bytes of the names of an inode's attributes; where there are more, each attribute is read by
 * name.
 */
#define SHIFT_LIST_BYTES 512

/*
 * Map ID from host to container (or the other way when TO_HOST); false when MAP has entries, and
 * none for it.
 */
static bool shift_id(const struct shift_map *map, bool to_host, uint32_t *id)
{
	return !(to_host ? idrange_to_host : idrange_to_container)(map->entries, map->count, *id,
								   id);
}

/*
 * Map UID and GID, in place: 0; 1 when one of them is the overflow id now; or -EOVERFLOW when a map
 * does not know them.
 */
static int shift_ids(const struct shift_maps *maps, uint32_t *uid, uint32_t *gid)
{
	uint32_t user = *uid, group = *gid;
	bool user_known, group_known;

	if (shift_id(&maps->uid_from, false, &user) && shift_id(&maps->gid_from, false, &group)) {
		*uid = user;
		*gid = group;
	} else if (*uid || *gid)
		/* root:root counts as the container's where the map lacks it. */
		return -EOVERFLOW;
	user = *uid;
	group = *gid;
	user_known = shift_id(&maps->uid_to, true, &user);
	group_known = shift_id(&maps->gid_to, true, &group);
	if (user_known && group_known) {
		*uid = user;
		*gid = group;
		return 0;
	}
	if (!maps->overflow)
		return -EOVERFLOW;
	*uid = user_known ? user : IDRANGE_OVERFLOW_ID;
	*gid = group_known ? group : IDRANGE_OVERFLOW_ID;
	return 1;
}

size_t shift_maps_bytes(const struct varve_chown_options *options)
{
	return sizeof(struct varve_id_map) * (options->uid_from_count + options->gid_from_count +
					      options->uid_to_count + options->gid_to_count);
}

/* Copy COUNT ENTRIES to *AT, and advance that. */
static struct shift_map shift_map_copy(const struct varve_id_map *entries, size_t count, char **at)
{
	struct shift_map map = { (struct varve_id_map *)*at, count };

	/* ENTRIES may be NULL if there are none. */
	if (count)
		memcpy(*at, entries, count * sizeof(*entries));
	*at += count * sizeof(*entries);
	return map;
}

void shift_maps_copy(struct shift_maps *ret_maps, const struct varve_chown_options *options,
		     void *memory)
{
	char *at = memory;

	ret_maps->overflow = options->flags & VARVE_OVERFLOW_IDS;
	ret_maps->uid_from = shift_map_copy(options->uid_from, options->uid_from_count, &at);
	ret_maps->gid_from = shift_map_copy(options->gid_from, options->gid_from_count, &at);
	ret_maps->uid_to = shift_map_copy(options->uid_to, options->uid_to_count, &at);
	ret_maps->gid_to = shift_map_copy(options->gid_to, options->gid_to_count, &at);
}

/* Attributes that a shift removes, or that contain ids: they are set again. */
struct shift_kept {
	const char *name;
	char *value;
	ssize_t size;
};

/*
 * Is one of the names in the LIST of SIZE bytes that of such an attribute? 1, also where the list
 * did not fit, 0, or -errno where it could not be read.
 */
static int shift_holds(const char *list, ssize_t size)
{
	for (ssize_t i = 0; i < size; i += (ssize_t)strlen(list + i) + 1)
		if (!strcmp(list + i, XATTR_CAPABILITY) || acl_is(list + i))
			return 1;
	return size >= 0 || size == -EOPNOTSUPP ? 0 : size == -ERANGE ? 1 : (int)size;
}

/* Those attributes, for the search of the trees. */
static const char *const shift_attributes[] = { XATTR_CAPABILITY, ACL_ACCESS, ACL_DEFAULT, NULL };

/* May the inode of STAT, in SUBVOLUME, have one? Then its attributes have to be read. */
static bool shift_may_hold(struct shift *shift, uint64_t subvolume, const struct statx *stat)
{
	return !S_ISLNK(stat->stx_mode) && (!xattr_search_settled(&shift->xattr_search, stat) ||
					    xattr_search_lookup(&shift->xattr_search, subvolume,
								stat->stx_ino) != XATTR_SEARCH_NO);
}

/* How the ids in an access control list are mapped. */
struct shift_list {
	const struct shift_maps *maps;
	/* One of them is the overflow id now. */
	bool overflowed;
};

/* Map ID, a group's or a user's, by the maps of the list at DATA. */
static int shift_acl_id(void *data, bool group, uint32_t *id)
{
	struct shift_list *list = data;
	const struct shift_maps *maps = list->maps;

	/* As of owners, 0 counts as the container's where the present map lacks it. */
	if (!shift_id(group ? &maps->gid_from : &maps->uid_from, false, id) && *id)
		return -EOVERFLOW;
	if (shift_id(group ? &maps->gid_to : &maps->uid_to, true, id))
		return 0;
	*id = IDRANGE_OVERFLOW_ID;
	list->overflowed = true;
	return maps->overflow ? 0 : -EOVERFLOW;
}

/*
 * Read the attribute that KEPT names of FD, an O_PATH descriptor, and shift its ids. 0; 1 when an
 * id is the overflow id now; or -errno.
 */
static int shift_read(const struct shift *shift, int fd, struct shift_kept *kept)
{
	struct shift_list list = { .maps = shift->maps };
	int r;
	ssize_t size = opath_getxattr(fd, kept->name, NULL, 0);

	if (size == -ENODATA || size == -EOPNOTSUPP)
		return 0;
	if (size < 0)
		return (int)size;
	kept->value = fault_calloc(shift->seen.fault, 1, (size_t)size + 1);
	if (!kept->value)
		return -ENOMEM;
	kept->size = opath_getxattr(fd, kept->name, kept->value, (size_t)size);
	if (kept->size < 0)
		return (int)kept->size;
	r = acl_is(kept->name) ? acl_map(kept->value, (size_t)kept->size, shift_acl_id, &list) : 0;
	return r ? r : list.overflowed;
}

/*
 * Shift FD, an O_PATH descriptor or a directory in SUBVOLUME, with STAT, and set again what the
 * change of owner clears. Access control lists are shifted also where the owner stays. 0; 1 when an
 * id is the overflow id now; or -errno.
 */
static int shift_fd(struct shift *shift, uint64_t subvolume, int fd, const struct statx *stat)
{
	struct shift_kept kept[] = { { .name = XATTR_CAPABILITY },
				     { .name = ACL_ACCESS },
				     { .name = ACL_DEFAULT } };
	uint32_t uid = stat->stx_uid, gid = stat->stx_gid;
	char list[SHIFT_LIST_BYTES];
	int r = shift_ids(shift->maps, &uid, &gid);
	bool owned = uid == stat->stx_uid && gid == stat->stx_gid, overflowed = r > 0;

	if (r < 0)
		return r;
	r = shift_may_hold(shift, subvolume, stat)
		    ? shift_holds(list, opath_listxattr(fd, list, sizeof(list)))
		    : 0;
	if (r > 0)
		for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(kept); i++) {
			r = shift_read(shift, fd, &kept[i]);
			overflowed = overflowed || r > 0;
		}
	r = MIN(r, 0);
	if (!r && !owned)
		r = idrange_chowned(opath_chown(fd, uid, gid));
	/* The kernel clears nothing on a directory. */
	if (!r && !owned && !S_ISLNK(stat->stx_mode) && !S_ISDIR(stat->stx_mode) &&
	    stat->stx_mode & (S_ISUID | S_ISGID))
		r = opath_chmod(fd, stat->stx_mode & 07777);
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
		if (!r && kept[i].size > 0)
			r = opath_setxattr(fd, kept[i].name, kept[i].value, (size_t)kept[i].size);
		free(kept[i].value);
	}
	return r ? r : overflowed;
}

/*
 * Shift NAME in DIR of a tree that is not published, which has special bits, a capability or a
 * list.
 */
static int shift_special(struct shift *shift, const struct walk_dir *dir, const char *name)
{
	struct statx stat;
	_cleanup_close_ int fd = opath_open(dir->fd, name, &stat);

	return fd < 0 ? fd : shift_fd(shift, dir->subvolume, fd, &stat);
}

/* Shift ENTRY, of a tree that is not published, by name. Returns as shift_fd(). */
static int shift_name(struct shift *shift, const struct walk_entry *entry)
{
	const struct statx *stat = entry->stat;
	uint32_t uid = stat->stx_uid, gid = stat->stx_gid;
	char list[SHIFT_LIST_BYTES];
	int overflowed = shift_ids(shift->maps, &uid, &gid), r = 0;

	if (overflowed < 0)
		return overflowed;
	if (!S_ISLNK(stat->stx_mode) && stat->stx_mode & (S_ISUID | S_ISGID))
		r = 1;
	else if (shift_may_hold(shift, entry->dir->subvolume, stat))
		r = shift_holds(list,
				xattr_list(entry->xattr_dir, entry->name, list, sizeof(list)));
	if (r)
		return r < 0 ? r : shift_special(shift, entry->dir, entry->name);
	if (uid == stat->stx_uid && gid == stat->stx_gid)
		return overflowed;
	r = idrange_chowned(
		RET_NERRNO(fchownat(entry->dir->fd, entry->name, uid, gid, AT_SYMLINK_NOFOLLOW)));
	return r ? r : overflowed;
}

/* Report that an id of PATH (which begins with the layer's id) is the overflow id now. */
static void shift_report(struct shift *shift, const char *path)
{
	size_t length = strlen(shift->id);

	if (!strncmp(path, shift->id, length) && path[length] == '/')
		path += length + 1;
	else if (!strcmp(path, shift->id))
		path = "";
	skipped_add_of(shift->report, -EOVERFLOW, shift->operation, "WALK", "fchownat", shift->id,
		       path, IDRANGE_OVERFLOWED);
}

/* The same for NAME (NULL: itself) in DIR. */
static void shift_report_entry(struct shift *shift, const struct walk_dir *dir, const char *name)
{
	char path[VARVE_FAILURE_PATH_SIZE];

	walk_path(dir, name, path);
	shift_report(shift, path);
}

/* Shift an entry that is no directory. */
static int shift_visit(struct walk *walk, struct walk_entry *entry)
{
	struct shift *shift = walk->data;
	int r = inode_set_add(&shift->seen, entry->dir->subvolume, entry->stat->stx_ino);

	if (r <= 0)
		return r;
	atomic_fetch_add_explicit(&shift->count, 1, memory_order_relaxed);
	r = entry->fd < 0 ? shift_name(shift, entry)
			  : shift_fd(shift, entry->dir->subvolume, entry->fd, entry->stat);
	if (r > 0)
		shift_report_entry(shift, entry->dir, entry->name);
	return MIN(r, 0);
}

/* Is an inode still to be shifted? It may have been, under another name. */
static bool shift_wanted(struct walk *walk, uint64_t subvolume, uint64_t inode)
{
	struct shift *shift = walk->data;

	return !inode_set_has(&shift->seen, subvolume, inode);
}

/* Shift a directory; a chown does not clear its mode bits. */
static int shift_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct shift *shift = walk->data;
	int r = inode_set_add(&shift->seen, dir->subvolume, stat->stx_ino);

	if (r > 0)
		atomic_fetch_add_explicit(&shift->count, 1, memory_order_relaxed);
	/* The directory that stands in for a nested subvolume cannot be changed. */
	if (r <= 0 || stat->stx_ino == ABI_STAND_IN_INODE)
		return MIN(r, 0);
	r = shift_fd(shift, dir->subvolume, dir->fd, stat);
	if (r < 0)
		walk_failed(walk, dir, NULL, "fchown", r);
	if (r > 0)
		shift_report_entry(shift, dir, NULL);
	return 0;
}

static const struct walk_class shift_class = {
	.call = "fchownat",
	.slow_factor = 8,
	.stat = true,
	.enter = shift_enter,
	.visit = shift_visit,
	.wanted = shift_wanted,
};

int shift_init(struct shift *shift, struct varve_store *store, int root_fd, const char *id,
	       const struct shift_maps *maps, const char *operation, struct skipped *report,
	       const _Atomic bool *cancelled)
{
	int r = walk_init(&shift->walk, store, &shift_class, root_fd, id, cancelled);

	if (r)
		return r;
	shift->walk.data = shift;
	shift->maps = maps;
	shift->id = id;
	shift->operation = operation;
	shift->report = report;
	inode_set_init(&shift->seen, &store->core.io.fault);
	xattr_search_init(&shift->xattr_search, store, root_fd, shift_attributes, NULL, 0,
			  cancelled);
	return 0;
}

int shift_again(struct shift *shift, struct varve_store *store, int root_fd, const char *id,
		const _Atomic bool *cancelled)
{
	int r = walk_init(&shift->walk, store, &shift_class, root_fd, id, cancelled);

	shift->walk.data = shift;
	shift->walk.hold = true;
	shift->count = 0;
	return r;
}

int shift_stray(struct shift *shift, int fd, uint64_t subvolume, uint64_t inode,
		uint64_t generation, bool look)
{
	_cleanup_close_ int inode_fd = -EBADF;
	struct statx stat;
	int r;

	if (inode_set_has(&shift->seen, subvolume, inode))
		return 0;
	inode_fd = file_handle_open(fd, subvolume, inode, generation, O_PATH);
	/* The inode is gone. */
	if (inode_fd == -ESTALE || inode_fd == -ENOENT)
		return 0;
	if (inode_fd < 0)
		return inode_fd;
	r = RET_NERRNO(
		statx(inode_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, OPATH_STAT_MASK, &stat));
	if (!r && !look)
		r = inode_set_add(&shift->seen, subvolume, inode);
	if (r < 0)
		return r;
	atomic_fetch_add_explicit(&shift->count, 1, memory_order_relaxed);
	r = r ? shift_fd(shift, subvolume, inode_fd, &stat) : 0;
	if (r > 0) {
		char path[64];

		snprintf(path, sizeof(path), "inode %" PRIu64 " of subvolume %" PRIu64, inode,
			 subvolume);
		shift_report(shift, path);
	}
	return MIN(r, 0);
}

void shift_free(struct shift *shift)
{
	walk_free(&shift->walk);
	xattr_search_free(&shift->xattr_search);
	inode_set_free(&shift->seen);
}
