/* SPDX-License-Identifier: Apache-2.0 */
/* Quota as the options of a store require it. */
#ifndef VARVE_STORE_QUOTA_H
#define VARVE_STORE_QUOTA_H

#include "engine/btrfs/qgroup.h"
#include "engine/store/store.h"

/*
 * Ensure that quota runs as the store's options require, turning it on where they say so: its mode
 * or, on failure, -errno and *RET_DETAIL (else unchanged) in words.
 */
int quota_provide(struct varve_store *store, const char **ret_detail);

/*
 * Put the size BYTES that is recorded for subvolume NUMBER in force, as the reference driver's Get
 * does: not where it is less than btrfs.min_space, nor where quota is off and the store is not to
 * turn it on. 0, or -errno and *RET_DETAIL as for quota_provide().
 */
int quota_enforce(struct varve_store *store, uint64_t number, uint64_t bytes,
		  const char **ret_detail);

#endif
