/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding subvolumes by uuid, and the common origin of two snapshots. Tree search: CAP_SYS_ADMIN.
 */
#ifndef VARVE_BTRFS_ANCESTOR_H
#define VARVE_BTRFS_ANCESTOR_H

#include "engine/btrfs/abi.h"

#include <time.h>

/* The number of the subvolume with UUID: 1, 0 when there is none, or -errno. */
int ancestor_number(int fd, const uint8_t *uuid, uint64_t *ret_number);

/* The moment until which two subvolumes were the same. */
struct ancestor_common {
	/* The transaction of the oldest snapshot between them and their nearest common origin. */
	uint64_t generation;
	/* The time of that snapshot: later changes have no earlier time of change. */
	struct timespec time;
};

/*
 * Find the moment until which subvolumes A and B of FD's file system were the same: 1, 0 when it
 * cannot be found, or -errno.
 */
int ancestor_common(int fd, uint64_t a, uint64_t b, struct ancestor_common *ret_common);

#endif
