/* SPDX-License-Identifier: Apache-2.0 */
/* Quota groups at the end of what they were made for. */
#ifndef VARVE_TREE_GROUPS_H
#define VARVE_TREE_GROUPS_H

#include "engine/btrfs/nested.h"
#include "engine/btrfs/quota.h"

/*
 * Remove the groups of subvolumes that are gone, but those that still hold space; count them in *REMOVED. Goes on after a
 * failure, which is returned. Does nothing while quota is off, or without CAP_SYS_ADMIN.
 */
int groups_sweep(struct varve_store *store, uint64_t *removed);

/*
 * Let subvolume NUMBER, which is about to be destroyed, and those in NESTED have no limit any more: to destroy what is
 * nested in a subvolume at its limit takes room in it (EDQUOT). CAP_SYS_ADMIN.
 */
int groups_unlimit(struct varve_store *store, uint64_t number, const struct nested *nested);

#endif
