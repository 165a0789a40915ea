/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btrfs's user interface, with the parts that Debian 12's kernel headers (6.1) lack. All of those
 * are probed at run time.
 */
#ifndef VARVE_BTRFS_ABI_H
#define VARVE_BTRFS_ABI_H

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdint.h>

/* Linux 6.13: the queue of subvolumes that await the cleaner. */
struct abi_subvol_wait {
	uint64_t subvolid;
	uint32_t mode;
	uint32_t count;
};
#define ABI_SUBVOL_SYNC_WAIT _IOW(BTRFS_IOCTL_MAGIC, 65, struct abi_subvol_wait)
#define ABI_SUBVOL_SYNC_COUNT 2

/* Linux 6.7: simple quotas. */
#define ABI_QUOTA_CTL_ENABLE_SIMPLE 4
#define ABI_QGROUP_STATUS_SIMPLE (1ULL << 3)

/* The inode number of every subvolume's root directory. */
#define ABI_SUBVOL_ROOT_INODE BTRFS_FIRST_FREE_OBJECTID

/*
 * Bytes of a node that an attribute's name and value do not get: the header of the node, that of an
 * item, and what precedes a name.
 */
#define ABI_XATTR_REST (101 + 25 + 30)

/*
 * The inode number of the empty directory that a snapshot has where its source has a subvolume;
 * rmdir() works on it.
 */
#define ABI_STAND_IN_INODE BTRFS_EMPTY_SUBVOL_DIR_OBJECTID

#endif
