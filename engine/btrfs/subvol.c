/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/subvol.h"
#include "engine/base/util.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* Bytes that are written for a probe: more than the leaf of a tree takes in. */
#define SUBVOL_PROBE_BYTES (64 * 1024)

/* The result of a call of libbtrfsutil, which leaves errno as the system call set it. */
static int subvol_result(enum btrfs_util_error error)
{
	if (error == BTRFS_UTIL_OK)
		return 0;
	return error == BTRFS_UTIL_ERROR_NOT_BTRFS ? -ENOTSUP : negative_errno();
}

int subvol_create(int dir_fd, const char *name)
{
	return subvol_result(btrfs_util_create_subvolume_fd(dir_fd, name, 0, NULL, NULL));
}

int subvol_snapshot(int dir_fd, const char *name, int source_fd, bool read_only)
{
	int flags = read_only ? BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY : 0;

	return subvol_result(
		btrfs_util_create_snapshot_fd2(source_fd, dir_fd, name, flags, NULL, NULL));
}

/* Is what was written to the file FD still buffered? 1, 0 or -errno. */
static int subvol_buffered(int fd)
{
	struct {
		struct fiemap head;
		struct fiemap_extent extent;
	} map = { .head = { .fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 1 } };

	if (ioctl(fd, FS_IOC_FIEMAP, &map.head) < 0)
		return negative_errno();
	if (!map.head.fm_mapped_extents)
		return -EAGAIN;
	return !!(map.extent.fe_flags & FIEMAP_EXTENT_DELALLOC);
}

int subvol_probe_flush(int dir_fd, const char *name)
{
	static const char bytes[SUBVOL_PROBE_BYTES] = { 1 };
	_cleanup_close_ int fd = -EBADF, file = -EBADF;
	ssize_t written;
	int r;

	fd = open_directory(dir_fd, name);
	if (fd < 0)
		return fd;
	file = RET_NERRNO(openat(fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
	if (file < 0)
		return file;
	written = write(file, bytes, sizeof(bytes));
	if (written < 0)
		return negative_errno();
	r = subvol_buffered(file);
	/* The kernel may have begun to write it by itself. */
	if (r <= 0 || written < SUBVOL_PROBE_BYTES)
		return r < 0 ? r : -EAGAIN;
	r = subvol_snapshot(dir_fd, name, fd, false);
	if (r != -EEXIST)
		return r < 0 ? r : -EAGAIN;
	r = subvol_buffered(file);
	return r < 0 ? r : !r;
}

int subvol_destroy(int dir_fd, const char *name)
{
	return subvol_result(btrfs_util_delete_subvolume_fd(dir_fd, name, 0));
}

int subvol_destroy_id(int fd, uint64_t id)
{
	struct btrfs_ioctl_vol_args_v2 args = { .flags = BTRFS_SUBVOL_SPEC_BY_ID, .subvolid = id };

	return RET_NERRNO(ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, &args));
}

int subvol_info(int fd, struct btrfs_ioctl_get_subvol_info_args *ret_info)
{
	/* Some kernels answer a success with a positive number. */
	int r = RET_NERRNO(ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, ret_info));

	return MIN(r, 0);
}

int subvol_set_read_only(int fd, bool read_only)
{
	return subvol_result(btrfs_util_set_subvolume_read_only_fd(fd, read_only));
}

int subvol_get_read_only(int fd, bool *ret_read_only)
{
	return subvol_result(btrfs_util_get_subvolume_read_only_fd(fd, ret_read_only));
}

int subvol_number(int fd, uint64_t *ret_id)
{
	return subvol_result(btrfs_util_subvolume_id_fd(fd, ret_id));
}

int subvol_check(int fd)
{
	return subvol_result(btrfs_util_is_subvolume_fd(fd));
}
