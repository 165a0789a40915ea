/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root tree has an item (PARENT, ROOT_REF, CHILD) for each subvolume that lies in another. We
 * read them breadth first: the list of what was found is its own queue, and its reverse is an order
 * in which children come before parents.
 */
#include "engine/btrfs/nested.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/chattr.h"
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* ---- with privilege -------------------------------------------------------------------------- */

int nested_add(struct nested *nested, uint64_t id, struct fault *fault)
{
	int r = fault_reserve(fault, &nested->ids, nested->count, 1, &nested->capacity,
			      sizeof(*nested->ids));

	if (!r)
		nested->ids[nested->count++] = id;
	return r;
}

/* Append the subvolumes that lie directly in PARENT. */
static int nested_children(struct nested *nested, int fd, uint64_t parent, struct fault *fault)
{
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, parent, parent,
			     BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY, 0);

	while (!r && nested->count < NESTED_MAX && (r = search_next(&search)) > 0)
		r = nested_add(nested, search.header.offset, fault);
	search_end(&search);
	return MIN(r, 0);
}

int nested_collect(struct nested *nested, int fd, uint64_t root, struct fault *fault)
{
	size_t begin = nested->count;
	int r = nested_children(nested, fd, root, fault);

	for (size_t next = begin; !r && next < nested->count; next++)
		r = nested_children(nested, fd, nested->ids[next], fault);
	if (r)
		nested->count = begin;
	return r;
}

/* Open directory INODE of subvolume ROOT, wherever it is. CAP_DAC_READ_SEARCH. */
static int nested_open_directory(int fd, uint64_t root, uint64_t inode)
{
	struct btrfs_inode_item item = { 0 };
	struct search search;
	int r = search_begin(&search, fd, root, inode, inode, BTRFS_INODE_ITEM_KEY,
			     BTRFS_INODE_ITEM_KEY, 0);

	/* Kernels before Linux 6.2 or so compare the generation. */
	if (!r)
		r = search_next(&search);
	if (r > 0 && search.header.len >= sizeof(item))
		memcpy(&item, search.item, sizeof(item));
	search_end(&search);
	if (r <= 0)
		return r ? r : -ENOENT;
	return file_handle_open(fd, root, inode, (uint32_t)le64toh(item.generation),
				O_RDONLY | O_DIRECTORY);
}

/* Where a subvolume lies: the subvolume and the directory, and its name there. */
struct nested_place {
	uint64_t root, inode;
	char name[VARVE_ID_MAX + 1];
};

/* Find the place of subvolume ID. */
static int nested_find(int fd, uint64_t id, struct nested_place *ret_place)
{
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, id, id, BTRFS_ROOT_BACKREF_KEY,
			     BTRFS_ROOT_BACKREF_KEY, 0);

	if (!r)
		r = search_next(&search);
	if (r > 0) {
		ret_place->root = search.header.offset;
		r = search_reference(&search, &ret_place->inode, ret_place->name);
	} else if (!r)
		r = -ENOENT;
	search_end(&search);
	return r;
}

/*
 * Destroy subvolume ID by the directory and name that it is referred to with: its path is longer
 * than the kernel takes.
 */
static int nested_destroy_far(int fd, uint64_t id)
{
	_cleanup_close_ int dir_fd = -EBADF;
	struct nested_place place;
	int r = nested_find(fd, id, &place);

	if (r)
		return r;
	dir_fd = nested_open_directory(fd, place.root, place.inode);
	return dir_fd < 0 ? dir_fd : subvol_destroy(dir_fd, place.name);
}

/* Make subvolume ROOT writable: 1, 0 when it is, or -errno. */
static int nested_write(int fd, uint64_t root)
{
	_cleanup_close_ int root_fd = nested_open_directory(fd, root, ABI_SUBVOL_ROOT_INODE);
	bool read_only;
	int r = root_fd < 0 ? root_fd : subvol_get_read_only(root_fd, &read_only);

	if (r || !read_only)
		return r;
	r = subvol_set_read_only(root_fd, false);
	return r ? r : 1;
}

/*
 * Clear the flags of directory INODE of subvolume ROOT: 1, 0 when it has none, or -errno; then
 * NESTED has the directory as failed.
 */
static int nested_chattr(struct nested *nested, int fd, uint64_t root, uint64_t inode)
{
	_cleanup_close_ int dir_fd = nested_open_directory(fd, root, inode);
	int r = dir_fd < 0 ? dir_fd : chattr_clear(dir_fd);

	if (r == -EROFS && nested_write(fd, root) > 0)
		r = chattr_clear(dir_fd);
	if (r < 0 && dir_fd >= 0 && chattr_get(dir_fd)) {
		nested->failed_root = root;
		nested->failed_inode = inode;
		nested->failed_flags = chattr_get(dir_fd);
	}
	return r;
}

/*
 * Remove what forbids to destroy subvolume ID, which failed with ERROR: 1, 0 when nothing is known
 * to help, or -errno.
 */
static int nested_loosen(struct nested *nested, int fd, uint64_t id, int error)
{
	struct nested_place place;
	int r, above;

	if (error != -EPERM && error != -EROFS)
		return 0;
	r = nested_find(fd, id, &place);
	if (r)
		return r;
	if (error == -EROFS)
		return nested_write(fd, place.root);
	r = nested_chattr(nested, fd, id, ABI_SUBVOL_ROOT_INODE);
	if (r < 0)
		return r;
	above = nested_chattr(nested, fd, place.root, place.inode);
	return above < 0 ? above : r | above;
}

/* Destroy subvolume ID, in a bounded number of tries: programs in the layer may set flags anew. */
static int nested_destroy_one(struct nested *nested, int fd, uint64_t id)
{
	unsigned tries = 0;
	int r;

	do {
		r = subvol_destroy_id(fd, id);
		if (r == -ENAMETOOLONG)
			r = nested_destroy_far(fd, id);
	} while (r && tries++ < NESTED_LOOSEN_MAX && nested_loosen(nested, fd, id, r) > 0);
	return r;
}

int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed)
{
	int r = 0;

	for (*ret_destroyed = 0; !r && nested->count && *ret_destroyed < max;
	     *ret_destroyed += !r) {
		uint64_t id = nested->ids[--nested->count];

		nested->failed_root = 0;
		r = nested_destroy_one(nested, fd, id);
		if (r == -ENOENT || r == -ENOTEMPTY)
			r = 0;
		if (r && !nested->failed_root) {
			nested->failed_root = id;
			nested->failed_inode = ABI_SUBVOL_ROOT_INODE;
			nested->failed_flags = 0;
		}
	}
	return r;
}

/* Write the path of FD, as far as the kernel reports it, to PATH: its length or -errno. */
static ssize_t nested_path(int fd, char *path, size_t size)
{
	char link[40];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = RET_NERRNO(readlink(link, path, size - 1));
	if (length >= 0)
		path[length] = '\0';
	return length;
}

int nested_failed_path(const struct nested *nested, int fd, int base_fd, char *path, size_t size)
{
	_cleanup_close_ int dir_fd = -EBADF;
	_cleanup_free_ char *base = malloc(PATH_MAX), *full = malloc(PATH_MAX);
	ssize_t length;

	if (!base || !full)
		return -ENOMEM;
	dir_fd = nested_open_directory(fd, nested->failed_root, nested->failed_inode);
	if (dir_fd < 0)
		return dir_fd;
	length = nested_path(base_fd, base, PATH_MAX);
	if (length < 0 || nested_path(dir_fd, full, PATH_MAX) < 0)
		return -ENAMETOOLONG;
	/* It may have been moved elsewhere meanwhile. */
	if (strncmp(full, base, (size_t)length) || full[length] != '/' ||
	    strlen(full + length + 1) >= size)
		return -EXDEV;
	strcpy(path, full + length + 1);
	return 0;
}

/* ---- without privilege ----------------------------------------------------------------------- */

/*
 * Find the first subvolume in that of FD: 1, with its directory below FD's root and its name, 0
 * when there is none.
 */
static int nested_first(int fd, struct btrfs_ioctl_ino_lookup_user_args *lookup)
{
	struct btrfs_ioctl_get_subvol_rootref_args refs = { 0 };
	int r = RET_NERRNO(ioctl(fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, &refs));

	/* -EOVERFLOW: more than fit, of which one is enough. */
	if (r < 0 && r != -EOVERFLOW)
		return r;
	if (!refs.num_items)
		return 0;
	*lookup = (struct btrfs_ioctl_ino_lookup_user_args){ .dirid = refs.rootref[0].dirid,
							     .treeid = refs.rootref[0].treeid };
	r = RET_NERRNO(ioctl(fd, BTRFS_IOC_INO_LOOKUP_USER, lookup));
	return r < 0 ? r : 1;
}

/* Open PATH below FD ("" is FD itself), through no link and no mount. */
static int nested_open_below(int fd, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_XDEV };

	return RET_NERRNO((int)syscall(SYS_openat2, fd, *path ? path : ".", &how, sizeof(how)));
}

/*
 * Destroy one subvolume somewhere in that of FD that has none in itself: 1, 0 when there is none,
 * or -errno.
 */
static int nested_destroy_leaf(int fd)
{
	_cleanup_free_ struct btrfs_ioctl_ino_lookup_user_args *lookup = malloc(sizeof(*lookup));
	_cleanup_close_ int current = nested_open_below(fd, "");

	if (!lookup)
		return -ENOMEM;
	for (int r = current; r >= 0;) {
		_cleanup_close_ int dir_fd = -EBADF;

		r = nested_first(current, lookup);
		if (r <= 0)
			return r;
		dir_fd = nested_open_below(current, lookup->path);
		r = dir_fd < 0 ? dir_fd : subvol_destroy(dir_fd, lookup->name);
		if (r != -ENOTEMPTY)
			return r ? r : 1;
		r = nested_open_below(dir_fd, lookup->name);
		if (r < 0)
			return r;
		fd_close(current);
		current = r;
	}
	return current;
}

/* May ERROR come from a component of the path that was exchanged meanwhile? */
static bool nested_moved(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EINVAL;
}

int nested_destroy_user(int fd, unsigned max, unsigned *ret_destroyed)
{
	unsigned tries = 0;
	int r = 1;

	for (*ret_destroyed = 0; r > 0 && *ret_destroyed < max;) {
		r = nested_destroy_leaf(fd);
		*ret_destroyed += r > 0;
		if (nested_moved(r) && tries++ < NESTED_MOVED_MAX)
			r = 1;
	}
	/*
	 * The path is too long for the kernel, or was exchanged at each try: as if access were
	 * denied.
	 */
	return r == -ENAMETOOLONG || nested_moved(r) ? -EACCES : r;
}

void nested_free(struct nested *nested)
{
	free(nested->ids);
	*nested = (struct nested){ 0 };
}
