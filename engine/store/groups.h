/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of layers, and the removal of quota groups.
 *
 * Layers of one job can share a limit: they are members of one quota group 1/N, whose N is a hash
 * of the store and of the group's name. HOME/.varve/groups/N (hexadecimal) holds "LIMIT NAME"; it
 * is written before the group is made and removed after it is, under the lock of the records
 * (size_record.h), so that every group of ours has one. Btrfs itself records the members. A group
 * is made by the first layer that joins it and goes with the last.
 */
#ifndef VARVE_STORE_GROUPS_H
#define VARVE_STORE_GROUPS_H

#include "engine/base/limits.h"
#include "engine/btrfs/nested.h"
#include "engine/btrfs/qgroup.h"

/*
 * Parse VALUE, NAME or NAME:SIZE: copy the name to RET_NAME (VARVE_ID_MAX + 1 bytes); *RET_BYTES is
 * 0 without a size. 0, or -EINVAL when it is not a name that an id could be, or no size.
 */
int groups_parse(const char *value, char *ret_name, uint64_t *ret_bytes);

/*
 * Find the group that VALUE (see groups_parse()) names, with the limit it names, if any. With MAKE
 * it is made in quota, if it is missing; without, it may be gone since it was recorded, and joining
 * it gives ENOENT. -EEXIST: the number belongs to another group.
 */
int groups_find(struct varve_store *store, const char *value, bool make, uint64_t *ret_group);

/*
 * Can a snapshot of subvolume NUMBER join just the COUNT groups at WANTED under full quotas, and
 * leave them consistent? Only where it joins none and its source is in none, or where both are in
 * one and the same group that owns all its bytes alone (Linux 6.9). 0, -ENOTSUP or another -errno.
 * CAP_SYS_ADMIN.
 */
int groups_suit_snapshot(struct varve_store *store, uint64_t number, const uint64_t *wanted,
			 size_t count);

/* The number of the group that VALUE (see groups_parse()) names, existing or not: 0 or -EINVAL. */
int groups_locate(struct varve_store *store, const char *value, uint64_t *ret_group);

/*
 * Limit the group NAME of the store to BYTES (0: none) and record that: 0, -ENOENT (the store has
 * no such group), -EINVAL (no name), -ENOTCONN while quota is off. CAP_SYS_ADMIN.
 */
int groups_limit(struct varve_store *store, const char *name, uint64_t bytes);

/*
 * Remove the groups of subvolumes that are gone, but those that still hold space, and groups of
 * layers without a layer; count them in *REMOVED. Goes on after a failure; the first is returned.
 * Does nothing without CAP_SYS_ADMIN.
 */
int groups_sweep(struct varve_store *store, uint64_t *removed);

/* The sweep of a store that stays open, once what it has removed is dropped: see store->sweep. */
int groups_sweep_dropped(struct varve_store *store);

/* A group that a layer was in. */
struct groups_left {
	uint64_t group, bytes;
	char name[VARVE_ID_MAX + 1];
};

/* What groups_unlimit() took. Begins zeroed. */
struct groups_lifted {
	/* Groups of level 0 and their limits. */
	struct groups_limit {
		uint64_t group, bytes;
	} * limits;
	size_t limits_count, limits_capacity;
	struct groups_left left[LAYER_GROUPS_MAX];
	size_t left_count;
};

/*
 * Remove the limits of subvolume NUMBER, which is about to be destroyed, and of those in NESTED,
 * and its memberships in groups: to destroy what is nested in a subvolume at its limit takes room
 * in it (EDQUOT). LIFTED (NULL: not wanted) gets what was removed, also on failure. CAP_SYS_ADMIN.
 */
int groups_unlimit(struct varve_store *store, uint64_t number, const struct nested *nested,
		   struct groups_lifted *lifted);

/*
 * Subvolume NUMBER, a layer, is or will be destroyed: let it leave the groups of the store that it
 * is in, and remove those that have no member left. LIFTED, unless it is NULL, gets the groups that
 * were left. In full mode the sweep does this, once it is dropped: leaving before makes quota
 * inconsistent.
 */
void groups_leave(struct varve_store *store, uint64_t number, struct groups_lifted *lifted);

/*
 * Restore what LIFTED has to subvolume NUMBER and those nested in it: 0, or the first -errno.
 * CAP_SYS_ADMIN.
 */
int groups_relimit(struct varve_store *store, uint64_t number, const struct groups_lifted *lifted);

/* Free what is held; NULL is fine. */
void groups_lifted_free(struct groups_lifted *lifted);

#endif
