/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core runs requests: the reactor's thread, the table of requests, and the state that the
 * caller's threads wait for. It knows no file system and no store; a store's work in each turn
 * comes in by hooks. The marks below say which thread may access which fields; there is no state
 * outside of it.
 */
#ifndef VARVE_CORE_CORE_H
#define VARVE_CORE_CORE_H

#include "engine/core/fds.h"
#include "engine/core/id_lock.h"
#include "engine/io/io.h"

/*
 * Counters that the reactor alone writes while it turns; copied under store->counting at the end of
 * each turn.
 */
struct counters {
	uint64_t beats, snapshots, snapshots_direct, syncs, group_max;
	/* Operations that have begun and not ended. */
	unsigned running[OPERATION_COUNT];
};

/* The callback for a request's progress: see varve_progress_watch(). */
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
	/*
	 * The watch of its progress; NULL: none. Made under the lock, and freed with the request's
	 * handle.
	 */
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

/* The functions that the store provides to its core. */
struct core_hooks {
	/* Do the work that is due. Reactor, once a turn. */
	void (*turn)(struct core *core);
	/* Is a call under way that belongs to no operation? Reactor. */
	bool (*busy)(const struct core *core);
	/* Where the home is now, or was, in RET_PATH (HOME_PATH_MAX + 1 bytes). Any thread. */
	void (*home)(const struct core *core, char *ret_path);
	/*
	 * Free the store, with its core; the reactor has ended, or this is a forked child's copy.
	 */
	void (*free)(struct core *core);
};

struct core {
	/* ---- fixed at open ---- */
	const struct core_hooks *hooks;
	/* The store, as callbacks get it. */
	struct varve_store *store;
	/* The group commit of the operations; the core only passes it on. */
	struct group_commit *commits;
	/* Of the store's configuration. */
	const struct io_config *io_config;
	uint32_t requests_max;
	/* Requests without a flag for durability are relaxed. */
	bool relaxed;
	/*
	 * The descriptor of varve_fd(): readable while a callback is due; it may become readable
	 * spuriously.
	 */
	int ready_fd;
	/* A page that reads 0 in a forked child (MADV_WIPEONFORK), 1 here. */
	uint32_t *here;
	pthread_t reactor;

	/* ---- the reactor's ---- */
	struct io io;
	struct id_lock_table holds;
	struct fds fds;
	struct counters counters;
	/* Requests in flight; those done in this turn. */
	struct list in_flight, finished;
	/* Calls under way that belong to no request: the reactor does not end before they do. */
	unsigned background;
	/*
	 * Operations whose step begins anew, when it does, and how long they have waited: see
	 * op_again().
	 */
	struct list later;
	uint64_t later_ns, later_wait_ns;
	/* When turn_at has to run, 0: never. */
	uint64_t timer_ns;
	void (*timer)(struct core *core);

	/* ---- any thread ---- */
	/* A request was cancelled: the reactor looks for it. */
	_Atomic bool cancels;
	/*
	 * Requests that have ended, on their way from the reactor to a thread that runs callbacks.
	 */
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
	/*
	 * Broadcast when a request is ready or its callback has returned, while there are waiters.
	 */
	pthread_cond_t changed;
	struct request_slot *slots;
	uint32_t slots_free;
	/*
	 * Requests accepted whose callback has not returned; events whose callback has not begun.
	 */
	uint32_t requests;
	struct list ready;
	/* Watches whose callback is to run; the request whose progress callback runs now. */
	struct list progressed;
	const struct request *reporting;
	/* Threads that run callbacks now; one of them in varve_dispatch() or varve_wait(). */
	struct list runners;
	bool dispatching;
	/* Refuses new requests; a callback closed the store. */
	bool closing, close_deferred;
	/* Why requests were refused, by thread, the latest last: REFUSALS_MAX at most. */
	struct list refusals;
	unsigned refusals_count;
	/*
	 * Counters of submitted requests; the other counters are guarded by `counting`, which is
	 * taken inside of the lock.
	 */
	struct varve_statistics statistics;
	struct varve_operation_statistics operations[OPERATION_COUNT];
	pthread_mutex_t counting;
	/* Reactor's start: 1 running, negative errno. */
	int started;
};

/*
 * Prepare CORE of STORE, zeroed; 0, or -errno and *RET_CALL, and core_free() frees what was made.
 */
int core_init(struct core *core, struct varve_store *store, const struct core_hooks *hooks,
	      const char **ret_call);

/* Make room for the requests that may be in flight at once, core->requests_max. 0 or -ENOMEM. */
int core_make_slots(struct core *core);

/* Free CORE, whose reactor is stopped, or which is a forked child's copy. */
void core_free(struct core *core);

/* Start the reactor's thread; 0 or -errno. The limits are set. */
int reactor_start(struct core *core);

/* End the reactor's thread; nothing may be in flight. */
void reactor_stop(struct core *core);

/* Is this the process that opened the store? */
static inline bool core_here(const struct core *core)
{
	return __atomic_load_n(core->here, __ATOMIC_RELAXED);
}

#endif
