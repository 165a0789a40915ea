/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open store: what is fixed at open, what belongs to the reactor's thread, and what is shared with the caller's
 * threads under store->lock. See the marks below; there is no state outside of it.
 */
#ifndef VARVE_STORE_STORE_H
#define VARVE_STORE_STORE_H

#include "engine/core/fds.h"
#include "engine/core/id_lock.h"
#include "engine/io/io.h"
#include "engine/store/group_commit.h"

struct cleaner;
struct workers;

/* The directories of a store, open, and what is known of the file system. Fixed at open, but for what is made when needed. */
struct layout {
	/* Absolute path of the home as it was opened, without a '/' at its end; for where it is now see store_home(). */
	char *home;
	/* HOME, HOME/subvolumes. */
	int home_fd, subvolumes_fd;
	/* HOME/quotas, HOME/.varve, and in that staging, trash, groups; -EBADF until store/layout.c has found or made them. */
	_Atomic int quotas_fd, own_fd, staging_fd, trash_fd, groups_fd;
	/* HOME/.varve/staging/OWNER, -EBADF until it is needed, and then the name of OWNER. */
	_Atomic int owner_fd;
	char owner[64];
	/* Held by a thread that makes the owner's directory; that has, or tries to get, the lock of the records. */
	pthread_mutex_t making, recording;
	/* One directory of OWNER for each worker slot, opened when first used by that slot. */
	int slot_fds[COMMIT_THREADS_MAX];
	/* Where HOME/subvolumes is: the subvolume that holds it, its inode, its mount. */
	uint64_t subvolumes_root, subvolumes_inode, subvolumes_mount;
	/* The file system's id. */
	uint8_t fsid[16];
	/* /sys/fs/btrfs/FSID; negative where there is no sysfs. */
	int sysfs_fd;
	/* We mounted the home on itself. */
	bool mounted;
	/* May we search trees (CAP_SYS_ADMIN)? */
	bool privileged;
};

/* What a store does about quota: its option "quota". */
enum quota_policy {
	QUOTA_ON_DEMAND,	/* turn it on when a size is asked for, in the mode that suits best */
	QUOTA_WANT_FULL,	/* it has to run in full mode; turned on at open */
	QUOTA_WANT_SIMPLE,	/* it has to run in simple mode; turned on at open */
	QUOTA_KEEP,		/* use it as it is found, never turn it on */
	QUOTA_NEVER,		/* no sizes in this store */
};

/* The options about quota. */
struct quota_settings {
	enum quota_policy policy;
	/* Of "btrfs.min_space" and "btrfs.size"; 0: not given. */
	uint64_t size_min, size_default;
};

/* Bounds of what is kept of what may differ between two layers; 0: those of base/limits.h. Tests lower them. */
struct delta_limits {
	/* So many changed inodes, or directories on ways to them, are too many. */
	size_t inodes, directories;
	/* Bytes of hints; the directories of others are to be listed. */
	size_t hints_bytes;
};

/* How the store was opened, defaults filled in. Fixed at open. */
struct settings {
	uint64_t flags;
	uint32_t requests_max, backlog_max, root_uid, root_gid;
	struct io_config io;
	/* Directories that one walk keeps open beside those in use. */
	unsigned walk_fds_max;
	/* Blocks up to so many bytes are cut off chunks for libarchive: LIBARCHIVE_SMALL_MAX, or 0 for a block each. */
	size_t archive_small_max;
	struct quota_settings quota;
	struct delta_limits delta;
};

/* Counters that the reactor alone writes while it turns; copied under store->counting at the end of each turn. */
struct counters {
	uint64_t beats, snapshots, snapshots_direct, syncs, group_max;
	/* Operations that have begun and not ended. */
	unsigned running[OPERATION_COUNT];
};

/* Who is told how far a request has come: see varve_progress_watch(). */
struct watch {
	/* When the callback may run next; 0: not at all. Any thread. */
	_Atomic uint64_t due_ns;
	/* In store->progressed; the rest is guarded by the lock, too. */
	struct list link;
	struct request *request;
	varve_progress_callback *callback;
	void *user_data;
};

/* A slot of the table of requests. */
struct request_slot {
	/* NULL: free. */
	struct request *request;
	/* Who watches how far it comes; NULL: nobody. Made under the lock, and freed with the request's handle. */
	struct watch *_Atomic watch;
	/* Counts up each time the slot is freed. */
	uint32_t generation;
	/* Free slots: the next one. */
	uint32_t next_free;
};

/* Why the latest request of a thread was refused. */
struct refusal {
	/* In store->refusals. */
	struct list link;
	pthread_t thread;
	struct varve_failure failure;
};

/* A thread that runs callbacks; lives on its stack. */
struct runner {
	struct list link;
	pthread_t thread;
};

struct varve_store {
	/* ---- fixed at open ---- */
	struct layout layout;
	struct settings settings;
	/* What varve_fd() gives: readable while there is something to tell, and sometimes once after. */
	int ready_fd;
	/* A page that reads 0 in a forked child (MADV_WIPEONFORK), 1 here. */
	uint32_t *here;
	pthread_t reactor;
	/* The mode that quota was turned on in without having been told to by name, or VARVE_QUOTA_OFF; any thread. */
	_Atomic uint64_t quota_turned_on;
	/* What higher layers keep for the store, and free: the cleaner's backlog. */
	struct cleaner *cleaner;
	/*
	 * Removes what the drop of a subvolume leaves behind: 0, 1 when some are still being dropped, or -errno. Lane thread.
	 * NULL: there is nothing that we may remove.
	 */
	int (*sweep)(struct varve_store *store);
	/* The threads that walk trees, and what they walk. */
	struct workers *workers;
	/* varve_open() has returned: a sweep was asked for, and waits for locks of other processes. */
	_Atomic bool opened;
	/* Undoes what opening did on disk; runs in store_free(), but not in a forked child. */
	void (*teardown)(struct varve_store *store);

	/* ---- the reactor's ---- */
	struct io io;
	struct clock clock;
	struct hold_table holds;
	struct fds fds;
	struct counters counters;
	/* Requests in flight; those done in this turn. */
	struct list in_flight, finished;
	/* Calls under way that belong to no request: the reactor does not end before they do. */
	unsigned background;
	/* Operations that begin their step once more, when they do, and how long they have waited for that: see op_again(). */
	struct list later;
	uint64_t later_ns, later_wait_ns;
	/* When turn_at has to run, 0: never. */
	uint64_t timer_ns;
	void (*timer)(struct varve_store *store);

	/* ---- any thread ---- */
	/* A request was cancelled: the reactor looks which. */
	_Atomic bool cancels;
	/* Requests that have ended, on their way from the reactor to a thread that runs callbacks. */
	struct inbox ended;
	/* Has ready_fd been written, or is it about to be, and not been read? */
	_Atomic bool signalled;
	/* Threads that wait for `changed`. */
	_Atomic unsigned waiters;
	/* How varve_wait() waits. */
	struct spin spin;
	/* The reactor ends once nothing is in flight. */
	_Atomic bool stopping;

	/* ---- guarded by lock ---- */
	pthread_mutex_t lock;
	/* Broadcast when a request is ready or its callback has returned, while there are waiters. */
	pthread_cond_t changed;
	struct request_slot *slots;
	uint32_t slots_free;
	/* Requests accepted whose callback has not returned; events whose callback has not begun. */
	uint32_t requests;
	struct list ready;
	/* Watches whose callback is to run; the request whose progress callback runs now. */
	struct list progressed;
	const struct request *telling;
	/* Threads that run callbacks now; one of them in varve_dispatch() or varve_wait(). */
	struct list runners;
	bool dispatching;
	/* Refuses new requests; a callback closed the store. */
	bool closing, close_deferred;
	/* Why requests were refused, by thread, the latest last: REFUSALS_MAX at most. */
	struct list refusals;
	unsigned refusals_count;
	/* Of requests as they come; the rest of it is guarded by `counting`, which is taken inside of the lock. */
	struct varve_statistics statistics;
	struct varve_operation_statistics operations[OPERATION_COUNT];
	pthread_mutex_t counting;
	/* Reactor's start: 1 running, negative errno. */
	int started;
};

/* Start the reactor's thread; 0 or -errno. The hooks and limits are set. */
int reactor_start(struct varve_store *store);

/* End the reactor's thread; nothing may be in flight. */
void reactor_stop(struct varve_store *store);

/* A store without directories and threads, with its locks; NULL without memory or descriptors (errno, and *RET_CALL). */
struct varve_store *store_new(const char **ret_call);

/*
 * Where the home is now, in RET_PATH (HOME_PATH_MAX + 1 bytes): it may have been renamed since the store was opened. 0,
 * -ESTALE when the path cannot be told or the home is gone, or another -errno. Any thread; does not block.
 */
int store_home(const struct varve_store *store, char *ret_path);

/* Free STORE, whose reactor is stopped, or which is a forked child's copy. NULL is fine. */
void store_free(struct varve_store *store);

/* Is this the process that opened STORE? */
static inline bool store_here(const struct varve_store *store)
{
	return __atomic_load_n(store->here, __ATOMIC_RELAXED);
}

#endif
