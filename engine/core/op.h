/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations. A request (request.h) consists of one for each id; a batch has many. An operation is
 * a state machine: an ordered list of steps, which the reactor's thread runs.
 *
 *	            start()         done()
 *	enter(s) --+-> OP_WAIT ... result -+-> state t > s: enter(t)
 *	           |                       +-> OP_WAIT: the step goes on
 *	           +-> state t: enter(t)   +-> -errno: the failure is recorded, enter(class->unwind)
 *	           +-> -errno: likewise    +-> OP_END: the operation is over
 *
 * The steps before class->unwind do the work; reaching class->unwind from there ends the operation.
 * The steps from class->unwind on undo the work, in order; each checks whether there is anything to
 * undo. Their own failures are traced and otherwise ignored (the sweep removes the leftovers). Only
 * op.c sets a state.
 */
#ifndef VARVE_CORE_OP_H
#define VARVE_CORE_OP_H

#include "engine/base/failure.h"
#include "engine/io/call.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>

/* How many operations there are. */
#define OPERATION_COUNT (VARVE_RECORD + 1)

struct op;
struct request;
struct core;

/* Return values of start() and done() beside a state or a negative errno. */
#define OP_WAIT (INT_MAX - 1)
#define OP_END INT_MAX

/*
 * The result of a call that needs a lock which another process holds, and has done nothing yet: see
 * op_again().
 */
#define OP_LATER (-EALREADY)

/* One step of an operation. */
struct op_step {
	/* For traces and error records: "SNAPSHOT". */
	const char *name;
	/* Begin the step. */
	int (*start)(struct op *op);
	/*
	 * Continue with the result of the call that start() made; NULL: on success enter the next
	 * state.
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
	/* Does the caller get an outcome for each one, beside the request's result? */
	bool outcomes;
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

struct ident;

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
	/* In a queue of the group commit or of the backlog, or in the runnable list. */
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
	 * Worker slot of the group; whether it may, and does, work straight in place; whether its
	 * work commits.
	 */
	uint16_t slot;
	bool direct_allowed, direct, commits;
	/* Be a group of its own. */
	bool alone;
	/*
	 * Its work ran at a boundary; it wrote data that a flush is to answer for: see
	 * commit_write_begin().
	 */
	bool renamed, writes;
	/*
	 * Flushes that had failed before it wrote; what the commit that it waits for covers (enum
	 * commit_cover).
	 */
	unsigned flushes_failed;
	uint8_t cover;
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
	/* Began; ended (kept to assert that it ends once). */
	bool started, ended;
	/* Locks of ids that are not granted yet. */
	unsigned holds_waiting;
	/* Why the locks could not be queued; 0: they were. */
	int start_error;
	/* The ids it holds, request->class->holds of them. */
	struct id_lock *holds;
};

/* Begin OP: the ids it holds are granted. Reactor. */
void op_start(struct op *op);

/* Make op->call, and let the current step's done() have its result. */
int op_call(struct op *op);

/*
 * Replace the detail of OP's recorded failure, which an undoing step knows more about; with PATH
 * also its path, by op->place and op->subject.
 */
void op_amend(struct op *op, bool path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Continue the current step: its call has ended with RESULT. Reactor. */
void op_done(struct op *op, int result);

/*
 * Begin anew the steps whose call resulted in OP_LATER, and that have waited long enough. Returns
 * the nanoseconds until the next is due, -1: none waits. Reactor.
 */
int64_t op_again(struct core *core);

/* End OP early where it can. Reactor. */
void op_cancel(struct op *op);

/* The name of OPERATION: "create"; NULL: there is none of that number. */
const char *operation_name(enum varve_operation operation);

/* The name of the current step. */
const char *op_step_name(const struct op *op);

#endif
