/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors are few: RLIMIT_NOFILE bounds them, and the program may use most. EMFILE and ENFILE
 * are back-pressure here: fewer operations run at a time, and an error is returned only when a lone
 * operation cannot proceed. Two mechanisms ensure that.
 *
 * The gate. An operation reserves, before its first step, as many descriptors as it has open at
 * once at most (op_class.fds), and waits, with nothing open, while they are not free; it can be
 * cancelled. What is free is counted (fcntl on each number below the limit: that needs no
 * descriptor, and sees the program's own), but only when many are reserved or some were missing,
 * and at most every FDS_COUNT_MS. Only a walk reserves more while it runs, when it is let in
 * (workers.c): the first one gets in at any time, and where its directories do not fit it makes do
 * with FDS_RESERVE, which no operation is given, on one thread; the others wait until they fit.
 *
 * Archives. An operation that writes one waits for its reader, and one that reads one for its
 * writer, for ever: a program may have joined the two, by a pipe or by its callbacks, so that
 * neither ends before the other has begun. All other operations end by themselves. So there are
 * three kinds, each with a queue of its own:
 *
 *	FDS_OTHER   ends by itself       enters when it fits, or none of its kind runs
 *	FDS_WRITES  waits for a reader   enters when it fits, or none runs but the other kind of archive
 *	FDS_READS   waits for a writer   likewise
 *
 * An archive fits only where the other kind's first one, and a small operation, fit as well. When
 * several fit they enter in turn, and one that does not fit is not overtaken for ever: while it
 * waits, the other kinds enter only where none of their kind runs. So joined archives that were
 * submitted in the same order proceed. In any other order all running archives may wait for one
 * that has not begun: when nothing but archives has run for FDS_STALL_MS, and none moved a byte,
 * the next one enters, fits or not. If descriptors are missing then, an operation fails, the
 * operations that it was joined to end as well, and nothing waits for ever.
 *
 * The parking place. The program may take descriptors that were free when they were counted. A step
 * marked `again` closes everything that it opened when it fails for want of descriptors; then the
 * operation is parked until another one has ended, and its step begins anew. The last operation
 * that runs is not parked but fails, so that those parked always wait for another one; an operation
 * that is parked behind stalled archives fails, too. Steps that cannot begin anew use fewer
 * descriptors: a walk closes idle directories, an archive is not read further ahead, and unpacking
 * holds some descriptors in reserve.
 *
 *	start -> fits? --no--> waiting --+
 *	          |yes  <----------------+   some other operation has ended
 *	          v
 *	       step --EMFILE, others run--> parked --+
 *	          ^                                  |
 *	          +----------------------------------+
 *
 * Worker slots keep a directory open each, threads of a walk some: how many there are follows from
 * what was free when the store was opened (open.c). All here is the reactor's, but for `moved`.
 */
#ifndef VARVE_CORE_FDS_H
#define VARVE_CORE_FDS_H

#include "engine/core/core.h"

/* Prepare FDS. */
void fds_init(struct fds *fds);

/* Reserve the descriptors of OP: true, or false and OP is started once it fits. */
bool fds_enter(struct op *op);

/*
 * Reserve COUNT more descriptors for OP; with FORCE also if they are not free. Returns whether it
 * did.
 */
bool fds_extend(struct op *op, unsigned count, bool force);

/* Release the descriptors that OP has reserved by fds_extend(). */
void fds_shrink(struct op *op);

/* OP has ended, and its descriptors are closed: let others proceed. */
void fds_leave(struct op *op);

/*
 * Let one more operation begin where only stalled archives run. Returns the nanoseconds until the
 * next call is due, -1: none.
 */
int64_t fds_unstall(struct core *core);

/*
 * Set whether OP keeps its reservation and is IDLE until another operation ends. An idle operation
 * counts as parked, because an operation that it waits for must not be parked to wait for it.
 */
void fds_idle(struct op *op, bool idle);

/*
 * A step of OP failed with ERROR and can begin anew: park OP, if waiting may help. Returns whether
 * it did.
 */
bool fds_park(struct op *op, int error);

/* Is OP, which is to start, one that was parked? */
bool fds_resume(struct op *op);

/* Is ERROR that of too few descriptors? */
static inline bool fds_missing(int error)
{
	return error == -EMFILE || error == -ENFILE;
}

#endif
