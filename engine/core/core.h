/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core runs requests: the reactor's thread, the table of requests, and the state that the
 * caller's threads wait for. It depends on no file system and no store: a store adds its work to
 * each turn by hooks.
 *
 * The structs of operations, of requests and of the core point to each other, and are defined here
 * together. Their functions are declared in the headers that the marks name; each of these includes
 * this one. The marks in struct core say which thread may access which fields; there is no state
 * outside of it.
 */
#ifndef VARVE_CORE_CORE_H
#define VARVE_CORE_CORE_H

#include "engine/base/failure.h"
#include "engine/io/io.h"

#include <assert.h>
#include <stddef.h>

/* How many operations there are. */
#define OPERATION_COUNT (VARVE_FLUSH + 1)

struct channel;
struct core;
struct group_commit;
struct ident;
struct op;
struct request;

/* ---- operations: op.h, id_lock.h ------------------------------------------------------------- */

/* One step of an operation. */
struct op_step {
	/* For traces and error records: "SNAPSHOT". */
	const char *name;
	/* Begin the step. */
	int (*start)(struct op *op);
	/*
	 * Continue with the result of the call that start() made; NULL: on success enter the next
	 * state, or end where that is the first one that undoes.
	 */
	int (*done)(struct op *op, int result);
	/*
	 * When the step fails for lack of descriptors it has closed its own, and can begin anew:
	 * see fds.h.
	 */
	bool again;
};

/* A kind of operation. */
struct op_class {
	enum varve_operation operation;
	/* Bytes of its struct, which begins with a struct op. */
	size_t size;
	/* The most ids that one operation locks. */
	unsigned holds;
	/*
	 * Descriptors that an operation has open at once, without those of a walk: a number, or
	 * FDS_NOTHING. 0: FDS_OPERATION.
	 */
	unsigned fds;
	/* Does the caller get an outcome for each operation, besides the request's result? */
	bool outcomes;
	/* Is progress counted? */
	bool progress;
	/* Its steps, by state; how many; the first one that undoes. */
	const struct op_step *steps;
	unsigned steps_count, unwind;
	/*
	 * The last state whose beginning a cancel prevents: past it the operation cannot be undone.
	 */
	unsigned cancel_last;
	/* Fill in what the operation found; NULL: nothing. Dispatching thread. */
	void (*result)(struct request *request, struct varve_result *result);
	/*
	 * Close the descriptors that the operation has left open; NULL: none. Reactor, when it
	 * ends.
	 */
	void (*close)(struct op *op);
	/* Free its memory; NULL: none. Dispatching thread, where no file-system call is made. */
	void (*release)(struct op *op);
};

/* A place in the queue of an id: see id_lock.c. */
struct id_lock {
	/* In ident->waiting, until it is granted. */
	struct list link;
	struct op *op;
	/* What is to be held; NULL: nothing. */
	const char *id;
	/* NULL: neither held nor waited for. */
	struct ident *ident;
	bool exclusive, granted;
};

struct op {
	struct request *request;
	/* The layer; "" where there is none. */
	const char *id;
	/* The current state; set by op.c alone. */
	unsigned state;
	/* 0, or the first error. */
	int error;
	/*
	 * The failure; NULL while error is 0. Shared and constant when there was no memory for one.
	 */
	const struct varve_failure *failure;
	/*
	 * What the current step is about, for the error record: a directory below the home, a name
	 * in it.
	 */
	const char *place, *subject;
	/* An explanation to go with the next failure; a constant. */
	const char *detail;
	/* The call that the current step waits for. */
	struct call call;
	/*
	 * To the other operations of the request, in the order in which they begin; then in the
	 * queue that it waits in, or in the list of those that can be run.
	 */
	struct list link;
	/* Takes the operation out of the queue that it waits in; NULL: it cannot leave. */
	void (*withdraw)(struct op *op);
	/*
	 * Lets a call that waits for a peer end early; it stays queued or under way. NULL: none
	 * does.
	 */
	void (*interrupt)(struct op *op);
	/* The operation's work in a group commit, on a lane thread. */
	int (*work)(struct op *op);
	/*
	 * Its worker slot in the group; whether it may, and does, make the layer directly in its
	 * place; whether its work commits.
	 */
	uint16_t slot;
	bool direct_allowed, direct, commits;
	/* It is published with records, under their lock, which those of one boundary share. */
	bool recorded;
	/*
	 * It waits, before it begins, until it does not delay others; it began after such a wait,
	 * and has not passed: see store/background.h.
	 */
	bool background, paced;
	/* It is to be a group of its own. */
	bool alone;
	/*
	 * Its work ran at a boundary; it wrote data that a flush is to answer for: see
	 * commit_write_begin().
	 */
	bool renamed, writes;
	/*
	 * What the commit that it waits for covers (enum commit_cover); flushes that had failed
	 * before it wrote.
	 */
	uint8_t cover;
	unsigned flushes_failed;
	/* Why the locks could not be queued; 0: they were. */
	int start_error;
	/*
	 * Descriptors reserved; the queue in which it waits for them (enum fds_kind); whether it
	 * waits to begin its step anew.
	 */
	unsigned fds;
	uint8_t fds_kind;
	bool parked;
	/* Keeps its reservation while it waits for another operation: see fds_idle(). */
	bool idle;
	/*
	 * The step has done work that cannot be repeated, and does not begin anew; a lane thread
	 * sets this.
	 */
	bool begun;
	/* workers_admit() has let it walk; workers_leave() is due. */
	bool admitted;
	/* Began; ended (kept to assert that it ends once). */
	bool started, ended;
	/* Locks of ids that are not granted yet. */
	uint8_t holds_waiting;
};

/* ---- requests: request.h, progress.h --------------------------------------------------------- */

/* The progress of REQUEST; any thread counts. */
struct progress {
	struct request *request;
	_Atomic uint64_t entries, bytes, left;
};

/* A callback that is due: a dispatching thread runs it. */
struct event {
	/* In core->ready: guarded by core->lock. */
	struct list link;
	/*
	 * The channel that has bytes or room; NULL: the request that contains the event has ended.
	 */
	struct channel *channel;
};

/* A request, with its handle and its callback. */
struct request {
	union {
		/* To the reactor. */
		struct inbox_node node;
		/* Then among those in flight, then among those finished in this turn (reactor). */
		struct list link;
		/*
		 * Then, after it came back by its node, that it has ended (core->lock). The other
		 * two do not overlap its `channel`, which stays NULL.
		 */
		struct event event;
	};
	/* The channel of its archive; NULL: none. */
	struct channel *channel;
	struct core *core;
	const struct op_class *class;
	varve_request handle;
	varve_callback *callback;
	void *user_data;
	union {
		/* Where request_string() puts the next string of the arguments. */
		char *strings;
		/* Then when it was submitted. */
		uint64_t submitted_ns;
	};
	/* Ends early where it can; any thread sets it. */
	_Atomic bool cancelled;
	/* Done, and in core->ready: guarded by core->lock. */
	bool ready;
	/* The callback has to survive a power cut. */
	bool durable;
	/* VARVE_* flags of requests, which are the lower 32 bits. */
	uint32_t flags;
	/* Operations, and how many have not ended. */
	uint32_t count, remaining;
	/* See varve_progress(); NULL: none is counted. */
	struct progress *progress;
	/*
	 * The first of `count` operations of class->size bytes each, and behind each the ids that
	 * it holds, class->holds of them; then all their outcomes, the progress, the strings.
	 */
	struct op ops[];
};

static_assert(sizeof(struct inbox_node) <= offsetof(struct event, channel),
	      "a request's event is no channel's");

/* Bytes of an operation of CLASS, with the ids that it holds. */
static inline size_t op_class_bytes(const struct op_class *class)
{
	return class->size + class->holds * sizeof(struct id_lock);
}

/* The ids that OP holds. */
static inline struct id_lock *op_holds(struct op *op)
{
	return (struct id_lock *)((char *)op + op->request->class->size);
}

/* The operation of REQUEST at INDEX. */
static inline struct op *request_op(struct request *request, size_t index)
{
	return (struct op *)((char *)request->ops + index * op_class_bytes(request->class));
}

/* The outcome of each operation of REQUEST, filled when it is done; only with class->outcomes. */
static inline struct varve_outcome *request_outcomes(struct request *request)
{
	return (struct varve_outcome *)request_op(request, request->count);
}

/* The callback for a request's progress: see varve_progress_watch(). */
struct watch {
	/* When the callback may run next; 0: not at all. Any thread. */
	_Atomic uint64_t due_ns;
	/* In core->progressed; the rest is guarded by core->lock, too. */
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
	/* In core->refusals. */
	struct list link;
	pthread_t thread;
	struct varve_failure failure;
};

/* A thread that runs callbacks; lives on its stack. */
struct runner {
	struct list link;
	pthread_t thread;
};

/* ---- ids and descriptors: id_lock.h, fds.h --------------------------------------------------- */

/* Buckets of the table of ids; a power of two. */
#define HOLD_BUCKETS 4096

struct id_lock_table {
	/* The ids that are held or waited for. */
	struct ident *buckets[HOLD_BUCKETS];
	/*
	 * Operations whose last hold was granted, to be started: a list, not a call, so that
	 * releases do not recurse.
	 */
	struct list runnable;
	/* For tests: the number of ids and holds that were looked at. */
	uint64_t looks;
	struct fault *fault;
};

/* Operations by the peer that they wait for: see fds.h. */
enum fds_kind {
	FDS_OTHER,  /* none */
	FDS_WRITES, /* the reader of an archive */
	FDS_READS,  /* the writer of an archive */
	FDS_KINDS
};

/* The operations of a kind. */
struct fds_queue {
	/* Those that run and are not parked. */
	unsigned running;
	/* Those that have not begun, in the order they came. */
	struct list waiting;
};

struct fds {
	/* Descriptors that were free when the store was opened. */
	unsigned free;
	/* Descriptors reserved; by how many operations; how many of these are parked. */
	unsigned taken, running, parked;
	/* Descriptors that can be reserved in all, as counted at that time. */
	unsigned room;
	uint64_t counted_ns;
	/* How old that count may become. */
	uint64_t count_after_ns;
	/* Descriptors were missing recently: count, however few are reserved. */
	bool scarce;
	/* By enum fds_kind; the kind whose turn it is to enter. */
	struct fds_queue queues[FDS_KINDS];
	unsigned turn;
	/* Parked operations; one that was parked, and is not parked again. */
	struct list stopped;
	const struct op *last;
	/*
	 * Counts what archives have moved; any thread. Its value when that was last seen to change.
	 */
	_Atomic uint64_t moved;
	uint64_t moved_seen;
	/*
	 * When archives that have not moved do not keep others from beginning, 0: nothing waits for
	 * them; how long that takes.
	 */
	uint64_t stall_ns, stall_after_ns;
};

/* ---- the core: reactor.h --------------------------------------------------------------------- */

/* Requests of an operation, as they were submitted. */
struct submissions {
	uint64_t accepted, refused;
};

/* Groups of snapshots, by how many were made in each. */
struct group_sizes {
	/* Groups of at most 2^I snapshots, and of more than in the bucket before. */
	uint64_t buckets[GROUP_SIZE_BUCKETS];
	/* The snapshots of all of them. */
	uint64_t snapshots;
};

/*
 * Counters that the reactor alone writes while it turns; copied under core->counting at the end of
 * each turn.
 */
struct counters {
	uint64_t groups, snapshots, snapshots_direct, syncs, group_max;
	struct group_sizes group_sizes;
	/* Operations that have begun and not ended. */
	unsigned running[OPERATION_COUNT];
};

/* The functions that the store provides to its core. */
struct core_hooks {
	/* Do the work that is due. Reactor, once a turn. */
	void (*turn)(struct core *core);
	/* Nanoseconds until turn() has to run by the clock, -1: no time is known. Reactor. */
	int64_t (*due)(const struct core *core);
	/* Is a call under way that belongs to no operation? Reactor. */
	bool (*busy)(const struct core *core);
	/* Where the home is now, or was, in RET_PATH (HOME_PATH_MAX + 1 bytes). Any thread. */
	void (*home)(const struct core *core, char *ret_path);
	/*
	 * Free the store, with its core; the reactor has ended, or this is a forked child's copy.
	 */
	void (*free)(struct core *core);
};

/* How operations wait in the background. Reactor, except free(). */
struct wait_hooks {
	/* Begin the operations that are due. Once a turn. */
	void (*turn)(struct core *core);
	/* Nanoseconds until the next turn is needed, -1: none is. */
	int64_t (*due)(const struct core *core);
	/* OP could begin: let it wait for its time. */
	void (*wait)(struct op *op);
	/* Another operation waits for OP: let it begin. */
	void (*hasten)(struct op *op);
	/* Free its state; the reactor has ended, or this is a forked child's copy. */
	void (*free)(struct core *core);
};

struct core {
	/* ---- fixed at open ---- */
	/* NULL: nothing was opened. */
	const struct wait_hooks *waits;
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

	/* ---- the reactor's, but for the inbox of its io ---- */
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
	/* When `timer` has to run; 0: never. */
	uint64_t timer_ns;
	void (*timer)(struct core *core);

	/* ---- any thread; the reactor reads these in each turn, and they seldom change ---- */
	/* A request was cancelled: the reactor looks for it. */
	_Atomic bool cancels;
	/* The reactor ends once nothing is in flight. */
	_Atomic bool stopping;
	/* Threads that wait for `changed`. */
	_Atomic unsigned waiters;
	struct apart apart_ended;

	/* ---- any thread; from the reactor to the callers, with each request ---- */
	/*
	 * Requests that have ended, on their way from the reactor to a thread that runs callbacks.
	 */
	struct inbox ended;
	/* Has ready_fd been written, or is it about to be, and not been read? */
	_Atomic bool signalled;
	struct apart apart_lock;

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
	/* How the start of the reactor went: 0 not known yet, 1 it runs, or -errno. */
	int started;
	/* The most requests that there were at once; the requests of each operation. */
	uint32_t requests_peak;
	struct submissions submissions[OPERATION_COUNT];
	/* How varve_wait() waits; any thread. */
	struct spin spin;
	struct apart apart_counting;

	/* ---- guarded by counting, which is taken inside of the lock ---- */
	pthread_mutex_t counting;
	/* Without what is counted under the lock. */
	struct varve_statistics statistics;
	struct varve_operation_statistics operations[OPERATION_COUNT];
	struct group_sizes group_sizes;
};

/* What callers write with each request, and what the reactor does, share no cache line. */
static_assert(offsetof(struct core, io.spin) - offsetof(struct core, io.inbox) >
			      sizeof(struct apart) &&
		      offsetof(struct core, ended) - offsetof(struct core, finished) >
			      sizeof(struct apart) &&
		      offsetof(struct core, lock) - offsetof(struct core, ended) >
			      sizeof(struct apart) &&
		      offsetof(struct core, counting) - offsetof(struct core, submissions) >
			      sizeof(struct apart),
	      "cache lines of the core");

/* Is this the process that opened the store? */
static inline bool core_here(const struct core *core)
{
	return __atomic_load_n(core->here, __ATOMIC_RELAXED);
}

#endif
