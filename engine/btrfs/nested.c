/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root tree has an item (PARENT, ROOT_REF, CHILD) for each subvolume that lies in another. We read them breadth first:
 * the list of what was found is its own queue, and its reverse is an order in which children come before parents.
 */
#include "engine/btrfs/nested.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* ---- with privilege ---------------------------------------------------------------------------------------------- */

int nested_add(struct nested *nested, uint64_t id, struct fault *fault)
{
	if (nested->count == nested->capacity) {
		size_t capacity = nested->capacity ? nested->capacity * 2 : 64;
		uint64_t *ids = fault_realloc(fault, nested->ids, capacity * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		nested->ids = ids;
		nested->capacity = capacity;
	}
	nested->ids[nested->count++] = id;
	return 0;
}

/* Append the subvolumes that lie directly in PARENT. */
static int nested_children(struct nested *nested, int fd, uint64_t parent, struct fault *fault)
{
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, parent, parent, BTRFS_ROOT_REF_KEY,
			     BTRFS_ROOT_REF_KEY, 0);

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

/* A file handle of btrfs for an inode without its parent; see fs/btrfs/export.h. */
struct nested_handle {
	uint64_t inode, root;
	/* The inode's, which kernels before 6.2 or so insist on. */
	uint32_t generation;
} __attribute__((packed));
#define NESTED_HANDLE_TYPE 0x4d

/* The generation of INODE of subvolume ROOT. */
static int nested_generation(int fd, uint64_t root, uint64_t inode, uint32_t *ret_generation)
{
	struct btrfs_inode_item item;
	struct search search;
	int r = search_begin(&search, fd, root, inode, inode, BTRFS_INODE_ITEM_KEY, BTRFS_INODE_ITEM_KEY, 0);

	if (!r)
		r = search_next(&search);
	if (r > 0 && search.header.len >= sizeof(item)) {
		memcpy(&item, search.item, sizeof(item));
		*ret_generation = (uint32_t)le64toh(item.generation);
		r = 1;
	}
	search_end(&search);
	return r > 0 ? 0 : r ? r : -ENOENT;
}

/* Open directory INODE of subvolume ROOT, wherever it is. CAP_DAC_READ_SEARCH. */
static int nested_open_directory(int fd, uint64_t root, uint64_t inode)
{
	struct nested_handle id = { .inode = inode, .root = root };
	uint32_t generation = 0;
	int r = nested_generation(fd, root, inode, &generation);
	union {
		struct file_handle header;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} handle = { .header = { .handle_bytes = sizeof(id), .handle_type = NESTED_HANDLE_TYPE } };

	if (r)
		return r;
	id.generation = generation;
	memcpy(handle.header.f_handle, &id, sizeof(id));
	return RET_NERRNO(open_by_handle_at(fd, &handle.header, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* Take the reference that the item of SEARCH is, and the name in it (VARVE_ID_MAX + 1 bytes): false where that does not fit. */
static bool nested_name(const struct search *search, struct btrfs_root_ref *ret_ref, char *ret_name)
{
	size_t length;

	if (search->header.len < sizeof(*ret_ref))
		return false;
	memcpy(ret_ref, search->item, sizeof(*ret_ref));
	length = le16toh(ret_ref->name_len);
	if (length > search->header.len - sizeof(*ret_ref) || length > VARVE_ID_MAX)
		return false;
	memcpy(ret_name, (const char *)search->item + sizeof(*ret_ref), length);
	ret_name[length] = '\0';
	return true;
}

/* Destroy subvolume ID by the directory and name that it is referred to with: its path is longer than the kernel takes. */
static int nested_destroy_far(int fd, uint64_t id)
{
	char name[VARVE_ID_MAX + 1];
	struct btrfs_root_ref ref;
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, id, id, BTRFS_ROOT_BACKREF_KEY,
			     BTRFS_ROOT_BACKREF_KEY, 0);

	if (!r)
		r = search_next(&search);
	if (r > 0 && !nested_name(&search, &ref, name))
		r = -EUCLEAN;
	if (r > 0) {
		_cleanup_close_ int dir_fd = -EBADF;

		dir_fd = nested_open_directory(fd, search.header.offset, le64toh(ref.dirid));
		r = dir_fd < 0 ? dir_fd : subvol_destroy(dir_fd, name);
	} else if (!r)
		r = -ENOENT;
	search_end(&search);
	return r;
}

int nested_destroy(struct nested *nested, int fd, unsigned max, unsigned *ret_destroyed)
{
	int r = 0;

	for (*ret_destroyed = 0; !r && nested->count && *ret_destroyed < max; *ret_destroyed += !r) {
		uint64_t id = nested->ids[--nested->count];

		r = subvol_destroy_id(fd, id);
		if (r == -ENAMETOOLONG)
			r = nested_destroy_far(fd, id);
		if (r == -ENOENT || r == -ENOTEMPTY)
			r = 0;
	}
	return r;
}

/* ---- without privilege ------------------------------------------------------------------------------------------- */

/* Find the first subvolume in that of FD: 1, with its directory below FD's root and its name, 0 when there is none. */
static int nested_first(int fd, struct btrfs_ioctl_ino_lookup_user_args *lookup)
{
	struct btrfs_ioctl_get_subvol_rootref_args refs = { 0 };
	int r = RET_NERRNO(ioctl(fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, &refs));

	/* More of them than fit are no failure here. */
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
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };

	return RET_NERRNO((int)syscall(SYS_openat2, fd, *path ? path : ".", &how, sizeof(how)));
}

/* Destroy one subvolume somewhere in that of FD that has none in itself: 1, 0 when there is none, or -errno. */
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

int nested_destroy_user(int fd, unsigned max, unsigned *ret_destroyed)
{
	int r = 1;

	for (*ret_destroyed = 0; r > 0 && *ret_destroyed < max; *ret_destroyed += r > 0)
		r = nested_destroy_leaf(fd);
	return r;
}

void nested_free(struct nested *nested)
{
	free(nested->ids);
	*nested = (struct nested){ 0 };
}
