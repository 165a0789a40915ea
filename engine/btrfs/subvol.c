/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/subvol.h"
#include "engine/base/util.h"

#include <btrfsutil.h>
#include <sys/ioctl.h>

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
