/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From uuids to subvolumes, and from a subvolume to what it is a snapshot of. Tree search:
 * CAP_SYS_ADMIN.
 */
#ifndef VARVE_BTRFS_ANCESTOR_H
#define VARVE_BTRFS_ANCESTOR_H

#include "engine/btrfs/abi.h"

#include <time.h>

/* The number of the subvolume with UUID: 1, 0 when there is none, or -errno. */
int ancestor_number(int fd, const uint8_t *uuid, uint64_t *ret_number);

/* Up to when two subvolumes were the same. */
struct ancestor_common {
	/*
	 * The transaction of the oldest of the snapshots on the ways to their nearest common
	 * origin.
	 */
	uint64_t generation;
	/* When that was, by the clock of then: what changed later has no earlier time of change. */
	struct timespec time;
};

/*
 * Up to when are subvolumes A and B of FD's file system the same? 1, 0 when that cannot be found,
 * or -errno.
 */
int ancestor_common(int fd, uint64_t a, uint64_t b, struct ancestor_common *ret_common);

#endif
