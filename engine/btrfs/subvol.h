/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subvolumes by directory descriptor and name. All calls block, and return a negative errno on
 * failure. They use libbtrfsutil where it has a call on descriptors, and raw ioctls where it has
 * none or walks (its info and iterator read trees, its recursive delete opens paths).
 */
#ifndef VARVE_BTRFS_SUBVOL_H
#define VARVE_BTRFS_SUBVOL_H

#include "engine/btrfs/abi.h"

#include <stdbool.h>
#include <string.h>

/* Is a subvolume with PARENT_UUID a snapshot? That of others is all zeros. */
static inline bool subvol_is_snapshot(const uint8_t parent_uuid[BTRFS_UUID_SIZE])
{
	static const uint8_t none[BTRFS_UUID_SIZE];

	return memcmp(parent_uuid, none, sizeof(none));
}

/* Create an empty subvolume NAME in DIR_FD. Commits nothing (Linux >= 6.5). */
int subvol_create(int dir_fd, const char *name);

/* Snapshot SOURCE_FD's subvolume as NAME in DIR_FD. Sleeps until the transaction is committed. */
int subvol_snapshot(int dir_fd, const char *name, int source_fd, bool read_only);

/*
 * Does subvol_snapshot() under a name that is taken put buffered writes to the source into its tree
 * before it fails? 1, 0; -EAGAIN and other errors: not known. Tried with subvolume NAME in DIR_FD,
 * in which a file is made and removed.
 */
int subvol_probe_flush(int dir_fd, const char *name);

/* Destroy subvolume NAME in DIR_FD; -ENOTEMPTY when others are nested in it. Commits nothing. */
int subvol_destroy(int dir_fd, const char *name);

/*
 * Destroy the subvolume with number ID of FD's file system, wherever it is. CAP_SYS_ADMIN; Linux
 * 5.7.
 */
int subvol_destroy_id(int fd, uint64_t id);

/* Get the properties of the subvolume whose root directory is FD. Unprivileged; Linux 4.18. */
int subvol_info(int fd, struct btrfs_ioctl_get_subvol_info_args *ret_info);

/*
 * Clear or set the read-only flag of FD's subvolume. Commits, and stops every other change of
 * subvolumes meanwhile.
 */
int subvol_set_read_only(int fd, bool read_only);

/* Get whether FD's subvolume is read-only; -EINVAL when FD is not the root of one. Unprivileged. */
int subvol_get_read_only(int fd, bool *ret_read_only);

/* The number of the subvolume that FD is in. Unprivileged. */
int subvol_number(int fd, uint64_t *ret_id);

/* Is FD the root directory of a subvolume on btrfs? 0, -ENOTSUP (not btrfs), -ENOTDIR, -EINVAL. */
int subvol_check(int fd);

#endif
