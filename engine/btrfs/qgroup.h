/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota groups (qgroups). Group 0/ID belongs to subvolume ID; groups 1/N have several members.
 * Nothing is cached, because another program may turn quota on or off at any moment. All calls
 * block; lane threads.
 *
 * Numbers are read from sysfs where it is mounted (in memory, up to date, unprivileged), else from
 * the quota tree (CAP_SYS_ADMIN; as of the last commit).
 */
#ifndef VARVE_BTRFS_QGROUP_H
#define VARVE_BTRFS_QGROUP_H

#include "engine/btrfs/fs_handle.h"
#include "varve.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* The id of group LEVEL/NUMBER. */
#define QUOTA_GROUP(level, number) ((uint64_t)(level) << 48 | (number))
#define QUOTA_NUMBER_MASK ((1ull << 48) - 1)

/* The numbers of a group. */
struct qgroup_numbers {
	uint64_t referenced, exclusive;
	/* Limit of the referenced bytes; 0: none. */
	uint64_t limit;
};

/* The limit and the groups of a new subvolume. */
struct qgroup_initial {
	/* Limit of the referenced bytes; 0: none. */
	uint64_t limit;
	/* Groups of level 1 that it joins. */
	const uint64_t *groups;
	size_t groups_count;
};

/* The mode of quota: enum varve_quota_mode or -errno. */
int qgroup_mode(const struct fs_handle *fs);

/* Are the groups' counts wrong, so that limits are not enforced? 1, 0 or -errno. Quota is on. */
int qgroup_inconsistent(const struct fs_handle *fs);

/*
 * Is a rescan running? 1 and its position (bytes of the file system's address space), 0, or -errno.
 * CAP_SYS_ADMIN.
 */
int qgroup_rescan_running(const struct fs_handle *fs, uint64_t *ret_position);

/*
 * Turn quota on in MODE; -ENOTSUP where this kernel has no such mode, -EBUSY when it is on in
 * another. CAP_SYS_ADMIN.
 */
int qgroup_enable(const struct fs_handle *fs, enum varve_quota_mode mode);

/*
 * Turn quota on in the mode that is best for churn: simple where the kernel has it, else full.
 * CAP_SYS_ADMIN.
 */
int qgroup_enable_best(const struct fs_handle *fs);

/* Turn quota off: all groups and limits of the file system are lost. CAP_SYS_ADMIN. */
int qgroup_disable(const struct fs_handle *fs);

/* Start a rescan; -EINPROGRESS while one runs. CAP_SYS_ADMIN. */
int qgroup_rescan(const struct fs_handle *fs);

/* Wait until no rescan runs. CAP_SYS_ADMIN. */
int qgroup_rescan_wait(const struct fs_handle *fs);

/* Create an empty subvolume NAME in DIR_FD as BIRTH says. While quota is off a limit is ignored. */
int qgroup_subvol_create(const struct fs_handle *fs, int dir_fd, const char *name,
			 const struct qgroup_initial *initial);

/*
 * Snapshot SOURCE_FD as NAME in DIR_FD as BIRTH says; in full mode the source's limit replaces the
 * one of BIRTH.
 */
int qgroup_subvol_snapshot(const struct fs_handle *fs, int dir_fd, const char *name, int source_fd,
			   bool read_only, const struct qgroup_initial *initial);

/*
 * Limit GROUP to BYTES (0: no limit). -ENOTCONN while quota is off, -ENOENT: no such group.
 * CAP_SYS_ADMIN.
 */
int qgroup_limit(const struct fs_handle *fs, uint64_t group, uint64_t bytes);

/* Get the numbers of GROUP: 0, -ENOENT (no such group, or quota is off). */
int qgroup_numbers(const struct fs_handle *fs, uint64_t group, struct qgroup_numbers *ret_numbers);

/*
 * The same of one moment, from the item of GROUP in the quota tree: qgroup_numbers() reads a file
 * for each number, and a commit may count between two of them. CAP_SYS_ADMIN.
 */
int qgroup_numbers_at_once(const struct fs_handle *fs, uint64_t group,
			   struct qgroup_numbers *ret_numbers);

/*
 * Does ERROR of a read of quota mean that quota is off, that there is no such group, or that
 * privilege is lacking?
 */
static inline bool qgroup_unseen(int error)
{
	return error == -ENOENT || error == -ENOTSUP || error == -EPERM || error == -EACCES;
}

/* Is the limit of GROUP in force BYTES (0: none)? 1, 0 or -errno. */
int qgroup_limited(const struct fs_handle *fs, uint64_t group, uint64_t bytes);

/* Ensure that GROUP has the limit BYTES (0: none), setting it only when another is in force. */
int qgroup_ensure_limit(const struct fs_handle *fs, uint64_t group, uint64_t bytes);

/* Make GROUP; -EEXIST. CAP_SYS_ADMIN. */
int qgroup_create(const struct fs_handle *fs, uint64_t group);

/*
 * Destroy GROUP: 0, also when it is gone; -EBUSY while it has members, belongs to a subvolume, or
 * holds space.
 */
int qgroup_destroy(const struct fs_handle *fs, uint64_t group);

/* Put group MEMBER into GROUP: 0, also when it is in it. Simple quotas. CAP_SYS_ADMIN. */
int qgroup_join(const struct fs_handle *fs, uint64_t member, uint64_t group);

/* Take group MEMBER out of GROUP: 0, also when it is not in it. */
int qgroup_leave(const struct fs_handle *fs, uint64_t member, uint64_t group);

/*
 * Can a snapshot join the one group of its source, if that group owns all its bytes, without making
 * full quotas inconsistent?
 */
bool qgroup_inherits_group(void);

/* Has GROUP any members: 1, 0, or -errno. CAP_SYS_ADMIN. */
int qgroup_has_members(const struct fs_handle *fs, uint64_t group);

/* Get the groups that MEMBER is in, up to MAX: their number, or -errno. CAP_SYS_ADMIN. */
int qgroup_parents(const struct fs_handle *fs, uint64_t member, uint64_t *ret_groups, size_t max);

/* The result of qgroup_collect(). */
struct qgroup_census {
	/* Groups of all levels. */
	uint64_t groups;
	/* Groups of level 0 whose subvolume is gone, to be freed; their number. */
	uint64_t *stale;
	size_t stale_count, stale_capacity;
};

/*
 * Count the groups, and collect those of subvolumes that are gone. CAP_SYS_ADMIN. CENSUS begins
 * zeroed.
 */
int qgroup_collect(const struct fs_handle *fs, struct qgroup_census *census);

/* Free what was collected. */
void qgroup_census_free(struct qgroup_census *census);

#endif
