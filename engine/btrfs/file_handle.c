/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/file_handle.h"
#include "engine/base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

/* The kernel's FILEID_BTRFS_WITHOUT_PARENT. */
#define HANDLE_TYPE 0x4d

/* The kernel's struct btrfs_fid as far as it goes without a parent. */
struct file_handle_btrfs {
	uint64_t inode, subvolume;
	uint32_t generation;
} __attribute__((packed));

/* A handle with room for that. */
union handle {
	struct file_handle handle;
	char bytes[sizeof(struct file_handle) + sizeof(struct file_handle_btrfs)];
};

int file_handle_subvolume(int dir_fd, const char *name, uint64_t *ret_subvolume)
{
	union handle u = { .handle = { .handle_bytes = sizeof(struct file_handle_btrfs) } };
	struct file_handle_btrfs of;
	int mount;

	if (name_to_handle_at(dir_fd, name, &u.handle, &mount, *name ? 0 : AT_EMPTY_PATH) < 0)
		return negative_errno();
	if (u.handle.handle_type != HANDLE_TYPE || u.handle.handle_bytes != sizeof(of))
		return -EINVAL;
	memcpy(&of, u.handle.f_handle, sizeof(of));
	*ret_subvolume = of.subvolume;
	return 0;
}

int file_handle_open(int fd, uint64_t subvolume, uint64_t inode, uint64_t generation, int flags)
{
	const struct file_handle_btrfs of = { .inode = inode,
					      .subvolume = subvolume,
					      .generation = (uint32_t)generation };
	union handle u;

	u.handle.handle_bytes = sizeof(of);
	u.handle.handle_type = HANDLE_TYPE;
	memcpy(u.handle.f_handle, &of, sizeof(of));
	return RET_NERRNO(open_by_handle_at(fd, &u.handle, flags | O_NOFOLLOW | O_CLOEXEC));
}

/*
 * Does ERROR say that this inode, or any, cannot be opened by its number, where by its name it may
 * be? A security module (AppArmor, Landlock) knows an inode by its path, and one that was opened by
 * its number may have none: -EACCES. In a user namespace only directories may be opened: -ENOTDIR.
 */
static bool file_numbers_refuse(int error)
{
	return error == -ESTALE || error == -ENOENT || error == -EPERM || error == -EACCES ||
	       error == -ENOTDIR || error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP;
}

int file_numbers_open(struct file_numbers *numbers, int fd, uint64_t inode, int flags)
{
	int opened;

	if (!numbers->subvolume || !inode || atomic_load(&numbers->refused))
		return -ESTALE;
	opened = file_handle_open(fd, numbers->subvolume, inode, 0, flags);
	if (opened >= 0)
		atomic_store(&numbers->work, true);
	if (!file_numbers_refuse(opened))
		return opened;
	/* An older kernel wants a generation: to it each of them is stale. */
	if (!atomic_load(&numbers->work))
		atomic_store(&numbers->refused, true);
	return -ESTALE;
}
