/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota groups (qgroups). Group 0/ID is that of subvolume ID; groups 1/N hold several. Nothing is cached: somebody else may
 * turn quota on or off at any moment. All of it blocks; lane threads.
 *
 * Read from sysfs where there is one (in memory, up to date, unprivileged), else from the quota tree (CAP_SYS_ADMIN; its
 * numbers are those of the last commit).
 */
#ifndef VARVE_BTRFS_QGROUP_H
#define VARVE_BTRFS_QGROUP_H

#include "engine/store/store.h"

/* The id of group LEVEL/NUMBER. */
#define QUOTA_GROUP(level, number) ((uint64_t)(level) << 48 | (number))
#define QUOTA_NUMBER_MASK ((1ull << 48) - 1)

/* What is known of a group. */
struct quota_numbers {
	uint64_t referenced, exclusive;
	/* Limit of the referenced bytes; 0: none. */
	uint64_t limit;
};

/* What a new subvolume is to be born with. */
struct quota_birth {
	/* Limit of the referenced bytes; 0: none. */
	uint64_t limit;
	/* Groups of level 1 that it joins. */
	const uint64_t *groups;
	size_t groups_count;
};

/* How quota runs: enum varve_quota_mode or -errno. */
int quota_mode(struct varve_store *store);

/* Is what the groups count unreliable, so that limits are not enforced? 1, 0 or -errno. Quota is on. */
int quota_inconsistent(struct varve_store *store);

/* Is a rescan running? 1 and how far it is (bytes of the file system's address space), 0, or -errno. CAP_SYS_ADMIN. */
int quota_rescan_running(struct varve_store *store, uint64_t *ret_position);

/* Turn quota on in MODE; -ENOTSUP where this kernel has no such mode, -EBUSY when it is on in another. CAP_SYS_ADMIN. */
int quota_enable(struct varve_store *store, enum varve_quota_mode mode);

/* Turn it on in the mode that suits churn best: simple where the kernel has it, else full. CAP_SYS_ADMIN. */
int quota_enable_best(struct varve_store *store);

/*
 * See that quota runs as the store's options want it, turning it on where they say so: its mode or, when it cannot be had,
 * -errno and *RET_DETAIL (untouched otherwise) in words.
 */
int quota_provide(struct varve_store *store, const char **ret_detail);

/* Turn it off: all groups and limits of the file system are gone. CAP_SYS_ADMIN. */
int quota_disable(struct varve_store *store);

/* Set off a rescan; -EINPROGRESS while one runs. CAP_SYS_ADMIN. */
int quota_rescan(struct varve_store *store);

/* Wait until no rescan runs. CAP_SYS_ADMIN. */
int quota_rescan_wait(struct varve_store *store);

/* Create an empty subvolume NAME in DIR_FD as BIRTH says. While quota is off a limit is ignored. */
int quota_subvol_create(struct varve_store *store, int dir_fd, const char *name, const struct quota_birth *birth);

/* Snapshot SOURCE_FD as NAME in DIR_FD as BIRTH says; in full mode the source's limit replaces the one of BIRTH. */
int quota_subvol_snapshot(struct varve_store *store, int dir_fd, const char *name, int source_fd, bool read_only,
			  const struct quota_birth *birth);

/* Limit GROUP to BYTES (0: no limit). -ENOTCONN while quota is off, -ENOENT: no such group. CAP_SYS_ADMIN. */
int quota_limit(struct varve_store *store, uint64_t group, uint64_t bytes);

/* Look at GROUP: 0, -ENOENT (no such group, or quota is off). */
int quota_numbers(struct varve_store *store, uint64_t group, struct quota_numbers *ret_numbers);

/* Does ERROR of a look at quota mean that there is nothing to be seen: it is off, there is no such group, or no privilege? */
static inline bool quota_unseen(int error)
{
	return error == -ENOENT || error == -ENOTSUP || error == -EPERM || error == -EACCES;
}

/* Is the limit of GROUP in force BYTES (0: none)? 1, 0 or -errno. */
int quota_limited(struct varve_store *store, uint64_t group, uint64_t bytes);

/* See that GROUP has the limit BYTES (0: none), setting it only when another is in force. */
int quota_ensure_limit(struct varve_store *store, uint64_t group, uint64_t bytes);

/*
 * Put the size BYTES that is recorded for subvolume NUMBER in force, as the reference driver's Get does: not where it is less than
 * btrfs.min_space, nor where quota is off and the store is not to turn it on. 0, or -errno and *RET_DETAIL as for quota_provide().
 */
int quota_enforce(struct varve_store *store, uint64_t number, uint64_t bytes, const char **ret_detail);

/* Make GROUP; -EEXIST. CAP_SYS_ADMIN. */
int quota_group_create(struct varve_store *store, uint64_t group);

/* Destroy GROUP: 0, also when it is gone; -EBUSY while it has members, is that of a subvolume, or holds space. */
int quota_group_destroy(struct varve_store *store, uint64_t group);

/* Put group MEMBER into GROUP: 0, also when it is in it. Simple quotas. CAP_SYS_ADMIN. */
int quota_group_join(struct varve_store *store, uint64_t member, uint64_t group);

/* Take group MEMBER out of GROUP: 0, also when it is not in it. */
int quota_group_leave(struct varve_store *store, uint64_t member, uint64_t group);

/* Does a snapshot join the one group of its source without making full quotas inconsistent, if that owns all its bytes? */
bool quota_inherits_group(void);

/* Has GROUP any members: 1, 0, or -errno. CAP_SYS_ADMIN. */
int quota_group_has_members(struct varve_store *store, uint64_t group);

/* The groups that MEMBER is in, up to MAX: how many, or -errno. CAP_SYS_ADMIN. */
int quota_group_parents(struct varve_store *store, uint64_t member, uint64_t *ret_groups, size_t max);

/* What quota_collect() found. */
struct quota_census {
	/* Groups of all levels. */
	uint64_t groups;
	/* Groups of level 0 whose subvolume is gone, to be freed; how many. */
	uint64_t *stale;
	size_t stale_count, stale_capacity;
};

/* Count the groups, and collect those of subvolumes that are gone. CAP_SYS_ADMIN. CENSUS begins zeroed. */
int quota_collect(struct varve_store *store, struct quota_census *census);

/* Free what was collected. */
void quota_census_free(struct quota_census *census);

#endif
