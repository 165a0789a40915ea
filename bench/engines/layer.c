/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on layers by descriptor, for the engines that make them themselves. */
#include <errno.h>
#include <linux/btrfs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engines.h"

/* Copy NAME into the SIZE bytes at FIELD. Returns 0 or -ENAMETOOLONG. */
static int set_name(char *field, size_t size, const char *name)
{
	if (strlen(name) >= size)
		return -ENAMETOOLONG;
	strcpy(field, name);
	return 0;
}

int layer_create(int fd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int r = set_name(args.name, sizeof(args.name), name);

	if (r < 0)
		return r;
	return ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0 ? -errno : 0;
}

int layer_snapshot(int fd, const char *name, int source)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = source };
	int r = set_name(args.name, sizeof(args.name), name);

	if (r < 0)
		return r;
	return ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? -errno : 0;
}

int layer_destroy(int fd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int r = set_name(args.name, sizeof(args.name), name);

	if (r < 0)
		return r;
	return ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &args) < 0 ? -errno : 0;
}

int layer_commit(int fd)
{
	uint64_t transid = 0;

	if (ioctl(fd, BTRFS_IOC_START_SYNC, &transid) < 0 ||
	    ioctl(fd, BTRFS_IOC_WAIT_SYNC, &transid) < 0)
		return -errno;
	return 0;
}
