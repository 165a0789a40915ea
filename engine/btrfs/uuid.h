/* SPDX-License-Identifier: Apache-2.0 */
/* From uuids to subvolumes, and from a subvolume to what it is a snapshot of. Tree search: CAP_SYS_ADMIN. */
#ifndef VARVE_BTRFS_UUID_H
#define VARVE_BTRFS_UUID_H

#include "engine/btrfs/abi.h"

/* The number of the subvolume with UUID: 1, 0 when there is none, or -errno. */
int uuid_number(int fd, const uint8_t *uuid, uint64_t *ret_number);

/*
 * The transaction up to which subvolumes A and B of FD's file system are the same by descent: the oldest of the snapshots
 * on the ways to their nearest common origin. 1 and *RET_GENERATION, 0 when they have none that can be found, or -errno.
 */
int uuid_common_generation(int fd, uint64_t a, uint64_t b, uint64_t *ret_generation);

#endif
