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

#include "engine/core/core.h"

#include <errno.h>
#include <limits.h>

/* Return values of start() and done(), besides a state or a negative errno. */
#define OP_WAIT (INT_MAX - 1)
#define OP_END INT_MAX

/*
 * The result of a call that needs a lock which another process holds, and has done nothing yet: see
 * op_again().
 */
#define OP_LATER (-EALREADY)

/* Begin OP: the ids it holds are granted. Reactor. */
void op_start(struct op *op);

/* Make op->call, and let the current step's done() have its result. */
int op_call(struct op *op);

/*
 * Replace the detail of OP's recorded failure, for an undoing step that knows more; with PATH also
 * its path, by op->place and op->subject.
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

/* Take OP out of the list that it waits in: op->withdraw where nothing counts those that wait. */
void op_unlink(struct op *op);

/* The name of OPERATION: "create"; NULL: there is none of that number. */
const char *operation_name(enum varve_operation operation);

#endif
