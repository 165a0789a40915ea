/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that look, and change nothing. */
#include "engine/base/util.h"
#include "kernel.h"
#include "model.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The first minor device number of a subvolume; the number of the model's mount. */
#define DEVICE_MIN 40
#define MOUNT_NUMBER 1
/* Blocks of the file system: 4 GiB. */
#define BLOCKS (1u << 20)

/* Tell about SLOT. */
static void kernel_stat(int slot, struct stat *ret_stat)
{
	const struct model_inode *inode = model_inode(slot);

	*ret_stat = (struct stat){
		.st_dev = makedev(0, DEVICE_MIN + (unsigned)model_root_of(slot)->id),
		.st_ino = inode->ino,
		.st_mode = inode->mode,
		.st_nlink = S_ISDIR(inode->mode) && inode->links ? 1 : inode->links,
		.st_uid = inode->uid,
		.st_gid = inode->gid,
		.st_size = (off_t)(S_ISDIR(inode->mode) ? model_dir_size(slot) : inode->size),
		.st_blksize = 4096
	};
}

/* fstatat(), without the beginning and the end of a call. */
static int kernel_stat_at(int dir_fd, const char *path, struct stat *ret_stat, int flags)
{
	int slot = kernel_look(dir_fd, path, flags);

	sim_trace("stat(%d, %s)", dir_fd, path);
	if (slot >= 0)
		kernel_stat(slot, ret_stat);
	return MIN(slot, 0);
}

WRAP(int, fstatat, (int dir_fd, const char *path, struct stat *ret_stat, int flags))
{
	int r;

	OUTSIDE(__real_fstatat(dir_fd, path, ret_stat, flags));
	r = kernel_enter("fstatat", ERRORS_LOOK);
	return (int)kernel_answer(r ? r : kernel_stat_at(dir_fd, path, ret_stat, flags));
}

WRAP(int, stat, (const char *path, struct stat *ret_stat))
{
	OUTSIDE(__real_stat(path, ret_stat));
	kernel_enter("stat", ERRORS_NONE);
	if (!strcmp(path, "/proc/self/fd")) {
		*ret_stat = (struct stat){ .st_mode = S_IFDIR | 0500 };
		for (int i = 0; i < KERNEL_FDS; i++)
			ret_stat->st_size += kernel_fds()[i] != 0;
		return (int)kernel_answer(0);
	}
	return (int)kernel_answer(kernel_stat_at(AT_FDCWD, path, ret_stat, 0));
}

WRAP(int, lstat, (const char *path, struct stat *ret_stat))
{
	OUTSIDE(__real_lstat(path, ret_stat));
	kernel_enter("lstat", ERRORS_NONE);
	return (int)kernel_answer(kernel_stat_at(AT_FDCWD, path, ret_stat, 0));
}

WRAP(int, statx, (int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret_statx))
{
	const struct model_inode *inode;
	struct stat stat;
	int slot, r;

	OUTSIDE(__real_statx(dir_fd, path, flags, mask, ret_statx));
	r = kernel_enter("statx", ERRORS_LOOK);
	slot = r ? r : kernel_look(dir_fd, path, flags);
	if (slot < 0)
		return (int)kernel_answer(slot);
	inode = model_inode(slot);
	kernel_stat(slot, &stat);
	*ret_statx = (struct statx){
		.stx_mask = STATX_BASIC_STATS | STATX_MNT_ID,
		.stx_attributes = (inode->flags & 0x10 ? STATX_ATTR_IMMUTABLE : 0) |
				  (inode->flags & 0x20 ? STATX_ATTR_APPEND : 0) |
				  (slot == MODEL_TOP ? STATX_ATTR_MOUNT_ROOT : 0),
		.stx_attributes_mask = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND |
				       STATX_ATTR_MOUNT_ROOT,
		.stx_mode = (uint16_t)inode->mode,
		.stx_nlink = (uint32_t)stat.st_nlink,
		.stx_uid = inode->uid,
		.stx_gid = inode->gid,
		.stx_ino = inode->ino,
		.stx_size = (uint64_t)stat.st_size,
		.stx_blksize = 4096,
		.stx_dev_minor = minor(stat.st_dev),
		.stx_mnt_id = MOUNT_NUMBER,
	};
	return (int)kernel_answer(0);
}

WRAP(int, statfs, (const char *path, struct statfs *ret_statfs))
{
	int slot;

	OUTSIDE(__real_statfs(path, ret_statfs));
	kernel_enter("statfs", ERRORS_NONE);
	slot = kernel_look(AT_FDCWD, path, 0);
	if (slot < 0)
		return (int)kernel_answer(slot);
	*ret_statfs = (struct statfs){ .f_type = BTRFS_SUPER_MAGIC, .f_bsize = 4096 };
	return (int)kernel_answer(0);
}

/*
 * libbtrfsutil calls these, too: a shared library, which the linker's --wrap does not reach. So
 * they are defined here under libc's names.
 */
__attribute__((visibility("default"))) int fstat(int fd, struct stat *ret_stat)
{
	OUTSIDE((int)syscall(SYS_newfstatat, fd, "", ret_stat, AT_EMPTY_PATH));
	kernel_enter("fstat", ERRORS_NONE);
	return (int)kernel_answer(kernel_stat_at(fd, "", ret_stat, AT_EMPTY_PATH));
}

__attribute__((visibility("default"))) int fstatfs(int fd, struct statfs *ret_statfs)
{
	int slot;

	OUTSIDE((int)syscall(SYS_fstatfs, fd, ret_statfs));
	kernel_enter("fstatfs", ERRORS_NONE);
	slot = kernel_inode(fd, true);
	if (slot < 0)
		return (int)kernel_answer(slot);
	*ret_statfs = (struct statfs){ .f_type = BTRFS_SUPER_MAGIC,
				       .f_bsize = 4096,
				       .f_blocks = BLOCKS,
				       .f_bfree = BLOCKS,
				       .f_bavail = kernel_has_room() ? BLOCKS : 0 };
	return (int)kernel_answer(0);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	OUTSIDE((int)syscall(SYS_ioctl, fd, request, argument));
	r = kernel_enter("ioctl", ioctls_errors(request));
	return (int)kernel_answer(r ? r : ioctls_run(fd, request, argument));
}

WRAP(ssize_t, readlink, (const char *path, char *buffer, size_t size))
{
	char link[PATH_MAX];
	size_t length;
	int slot;

	OUTSIDE(__real_readlink(path, buffer, size));
	kernel_enter("readlink", ERRORS_NONE);
	if (strncmp(path, kernel_links, strlen(kernel_links)))
		sim_fail("unknown call: readlink %s", path);
	slot = kernel_look(AT_FDCWD, path, 0);
	if (slot < 0)
		return kernel_answer(slot);
	length = model_path(slot, link, sizeof(link));
	length = MIN(length, size);
	memcpy(buffer, link, length);
	return kernel_answer((long)length);
}

/* The kernel's struct btrfs_fid without a parent, and its type. */
struct kernel_handle {
	uint64_t inode, subvolume;
	uint32_t generation;
} __attribute__((packed));
#define HANDLE_TYPE 0x4d

WRAP(int, name_to_handle_at, (int dir_fd, const char *path, void *to, int *ret_mount, int flags))
{
	struct file_handle *handle = to;
	struct kernel_handle of;
	int slot;

	OUTSIDE(__real_name_to_handle_at(dir_fd, path, to, ret_mount, flags));
	kernel_enter("name_to_handle_at", ERRORS_NONE);
	slot = kernel_look(dir_fd, path, flags);
	if (slot < 0)
		return (int)kernel_answer(slot);
	of = (struct kernel_handle){ .inode = model_inode(slot)->ino,
				     .subvolume = model_root_of(slot)->id,
				     .generation = (uint32_t)model_inode(slot)->generation };
	handle->handle_type = HANDLE_TYPE;
	handle->handle_bytes = sizeof(of);
	memcpy(handle->f_handle, &of, sizeof(of));
	*ret_mount = MOUNT_NUMBER;
	return (int)kernel_answer(0);
}

WRAP(int, open_by_handle_at, (int fd, struct file_handle *handle, int flags))
{
	const struct model_root *root;
	struct kernel_handle of;
	int r;

	OUTSIDE(__real_open_by_handle_at(fd, handle, flags));
	r = kernel_enter("open_by_handle_at", ERRORS_OPEN);
	if (!r && sim.current->process->uid)
		r = -EPERM;
	memcpy(&of, handle->f_handle, sizeof(of));
	root = model_root_by_id(&model.now, of.subvolume);
	for (int i = 0; !r && root && !root->dead && i < model.now.inodes_used; i++) {
		const struct model_inode *inode = model_inode(i);

		if (inode->serial && model_root_of(i) == root && inode->ino == of.inode &&
		    (!of.generation || (uint32_t)inode->generation == of.generation))
			return (int)kernel_answer(kernel_open_inode(i, flags));
	}
	return (int)kernel_answer(r ? r : -ESTALE);
}

/* A clone of the mount shows the same, since nothing is mounted in it. */
WRAP(int, open_tree, (int fd, const char *path, unsigned flags))
{
	int slot, r;

	OUTSIDE(__real_open_tree(fd, path, flags));
	r = kernel_enter("open_tree", ERRORS_OPEN);
	if (!r && sim.current->process->uid)
		r = -EPERM;
	slot = r ? r : kernel_inode(fd, true);
	if (*path || !(flags & OPEN_TREE_CLONE))
		sim_fail("unknown call: open_tree of a path");
	return (int)kernel_answer(slot < 0 ? slot : kernel_open_inode(slot, O_PATH));
}

WRAP(int, mount_setattr, (int fd, const char *path, unsigned flags, void *attributes, size_t size))
{
	OUTSIDE(__real_mount_setattr(fd, path, flags, attributes, size));
	kernel_enter("mount_setattr", ERRORS_NONE);
	return (int)kernel_answer(0);
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
	static char mounts[] = "1 0 0:40 / / rw - btrfs /dev/sim rw\n";

	OUTSIDE(__real_fopen(path, mode));
	if (!strcmp(path, "/proc/self/mountinfo"))
		return fmemopen(mounts, strlen(mounts), "r");
	errno = ENOENT;
	return NULL;
}

WRAP(char *, getcwd, (char *buffer, size_t size))
{
	OUTSIDE(__real_getcwd(buffer, size));
	sim_fail("unknown call: getcwd");
}
