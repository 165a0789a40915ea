/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open store: its directories, its settings, and what runs its requests. There is no state
 * outside of it.
 */
#ifndef VARVE_STORE_STORE_H
#define VARVE_STORE_STORE_H

#include "engine/btrfs/fs_handle.h"
#include "engine/core/core.h"
#include "engine/core/request.h"
#include "engine/store/group_commit.h"

struct backlog;
struct background;
struct stock;
struct usage_cache;
struct workers;

/* The lock of the records (size_record.h), held. */
struct size_record_lock {
	/* NULL: not held. */
	struct varve_store *store;
	int fd;
};

/* Have any layers a recorded size, labels or a record, or a group? */
struct layout_removing {
	bool sizes, records, groups;
};

/*
 * The directories of a store, open, and what is known of the file system. Fixed at open, but for
 * what is made when needed.
 */
struct layout {
	/*
	 * Absolute path of the home as it was opened, without a '/' at its end; for where it is now
	 * see store_home().
	 */
	char *home;
	/* HOME, HOME/subvolumes. */
	int home_fd, subvolumes_fd;
	/*
	 * HOME/quotas, HOME/.varve, and in that staging, trash, groups, layers; -EBADF until
	 * store/layout.c has found or made them.
	 */
	_Atomic int quotas_fd, own_fd, staging_fd, trash_fd, groups_fd, records_fd;
	/* HOME/.varve/records, with the marks of removals (size_record.h); -EBADF until needed. */
	_Atomic int marks_fd;
	/* How many there are now. */
	_Atomic unsigned marks;
	/* HOME/.varve/staging/OWNER, -EBADF until it is needed, and then the name of OWNER. */
	_Atomic int owner_fd;
	char owner[64];
	/*
	 * Held by a thread that makes the owner's directory; that has, or tries to get, the lock of
	 * the records.
	 */
	pthread_mutex_t making, recording;
	/* One directory of OWNER for each worker slot, opened when first used by that slot. */
	int slot_fds[COMMIT_THREADS_MAX];
	/*
	 * What removals have to look for at the boundary that runs; the lock that its creates
	 * share. The boundary's thread.
	 */
	struct layout_removing removing;
	struct size_record_lock entered;
	/* Where HOME/subvolumes is: the subvolume that holds it, its inode, its mount. */
	uint64_t subvolumes_root, subvolumes_inode, subvolumes_mount;
	/* The file system's id. */
	uint8_t fsid[16];
	/* We mounted the home on itself. */
	bool mounted;
	/* May we search trees (CAP_SYS_ADMIN)? */
	bool privileged;
};

/* How a store uses quota: its option "quota". */
enum quota_policy {
	/* turn it on when a size is asked for, in the mode that suits best */
	QUOTA_ON_DEMAND,
	/* it has to run in full mode; turned on at open */
	QUOTA_WANT_FULL,
	/* it has to run in simple mode; turned on at open */
	QUOTA_WANT_SIMPLE,
	/* use it as it is found, never turn it on */
	QUOTA_KEEP,
	/* no sizes in this store */
	QUOTA_NEVER,
};

/* The options about quota. */
struct quota_settings {
	enum quota_policy policy;
	/* Of "btrfs.min_space" and "btrfs.size"; 0: not given. */
	uint64_t size_min, size_default;
};

/*
 * Bounds of the memory for possible differences between two layers; 0: those of base/limits.h.
 * Tests lower them.
 */
struct delta_limits {
	/* Most changed inodes, and most directories on the paths to them. */
	size_t inodes, directories;
	/* Most bytes of hints; beyond, directories are listed. */
	size_t hints_bytes;
};

/* How the store was opened, defaults filled in. Fixed at open. */
struct settings {
	uint64_t flags;
	uint32_t backlog_max, root_uid, root_gid;
	struct io_config io;
	/* Directories that one walk keeps open beside those in use. */
	unsigned walk_fds_max;
	/*
	 * Blocks up to so many bytes are cut off chunks for libarchive: LIBARCHIVE_SMALL_MAX, or 0
	 * for a block each.
	 */
	size_t archive_small_max;
	struct quota_settings quota;
	struct delta_limits delta;
	/* How long spare copies are held that are not used: STOCK_IDLE_NS. Tests lower it. */
	uint64_t stock_idle_ns;
	/* How long it waits after a failure: STOCK_REST_NS. Tests change it. */
	uint64_t stock_rest_ns;
	/*
	 * One after less than the first time gets more copies, after more than the second fewer.
	 * Tests change them.
	 */
	uint64_t stock_fast_ns, stock_slow_ns;
	/* The kernel's file about waits for the disk: PRESSURE_PATH. Tests name another one. */
	const char *pressure_path;
};

/* What a part of the store that is built on it has to do with the reactor. */
struct store_part {
	/* Do what is due, once a turn. */
	void (*turn)(struct varve_store *store);
	/* Nanoseconds until turn() has something to do by the clock, -1: no time is known. */
	int64_t (*due)(const struct varve_store *store);
	/* Does it keep the store from ending? */
	bool (*busy)(const struct varve_store *store);
	/* Free what it keeps; the reactor has ended, or this is a forked child's copy. */
	void (*free)(struct varve_store *store);
};

struct varve_store {
	/* What runs its requests. */
	struct core core;

	/* ---- fixed at open ---- */
	struct layout layout;
	/* Its file system, by the descriptor of the home. */
	struct fs_handle fs;
	struct settings settings;
	/*
	 * The mode in which the store turned quota on without an option that names it, or
	 * VARVE_QUOTA_OFF; any thread.
	 */
	_Atomic uint64_t quota_turned_on;
	/* Kept and freed by higher layers: the backlog of the kernel's cleaner. */
	struct backlog *backlog;
	/* The same: removals in the background. */
	struct background *background;
	/* The same: spare copies, and what they have to do; NULL: there are none in this store. */
	struct stock *stock;
	const struct store_part *stock_part;
	/* What was measured of layers. */
	struct usage_cache *usages;
	/*
	 * Removes what the drop of a subvolume leaves behind: 0, 1 when some are still being
	 * dropped, or -errno. Lane thread. NULL: there is nothing that we may remove.
	 */
	int (*sweep)(struct varve_store *store);
	/* The threads that walk trees, and what they walk. */
	struct workers *workers;
	/*
	 * varve_open() has returned: a sweep was asked for, and waits for locks of other processes.
	 */
	_Atomic bool opened;
	/* Undoes what opening did on disk; runs in store_free(), but not in a forked child. */
	void (*teardown)(struct varve_store *store);

	/* ---- the reactor's ---- */
	struct group_commit commits;
};

/* The store that OP, or REQUEST, is about. */
static inline struct varve_store *request_store(const struct request *request)
{
	return container_of(request->core, struct varve_store, core);
}

static inline struct varve_store *op_store(const struct op *op)
{
	return request_store(op->request);
}

/*
 * A store without directories and threads, with its locks; NULL without memory or descriptors
 * (errno, and *RET_CALL).
 */
struct varve_store *store_new(const char **ret_call);

/*
 * Where the home is now, in RET_PATH (HOME_PATH_MAX + 1 bytes): it may have been renamed since the
 * store was opened. 0, -ESTALE when the path is not known or the home is gone, or another -errno.
 * Any thread; does not block.
 */
int store_home(const struct varve_store *store, char *ret_path);

/* Free STORE, whose reactor is stopped, or which is a forked child's copy. NULL is fine. */
void store_free(struct varve_store *store);

#endif
