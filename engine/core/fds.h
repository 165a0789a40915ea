/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors are few: RLIMIT_NOFILE bounds them, and most may be the program's. EMFILE and ENFILE are back-pressure here: fewer
 * operations at a time, and an error only when one alone cannot go on. Two things see to that.
 *
 * The gate. An operation reserves, before its first step, as many descriptors as it has open at once at most (op_class.fds), and
 * waits, with nothing open, while they are not free; it can be cancelled. What is free is counted (fcntl on each number below the
 * limit: that needs no descriptor, and sees the program's own), but only when many are reserved or some were missing, and at
 * most every FDS_COUNT_MS. Whatever runs has its reservation, so none of them waits for the descriptors of another. Only a walk
 * reserves more while it runs, when it is let in (workers.c): the first one gets in at any time, and where its directories do not
 * fit it makes do with FDS_RESERVE, which no operation is given, on one thread; the others wait until they fit.
 *
 * The parking place. The program may take what was free when it was counted. A step marked `again` has closed, when it fails so,
 * all that it opened; then the operation waits until another one has ended, and its step begins anew. The last one that
 * runs is not parked but fails, so that those parked always have somebody to wait for. Steps that cannot begin anew make do with
 * fewer where they are: a walk closes the directories that it does not use, an archive is read ahead no further.
 *
 *	start -> fits? --no--> waiting --+
 *	          |yes  <----------------+   some other operation has ended
 *	          v
 *	       step --EMFILE, others run--> parked --+
 *	          ^                                  |
 *	          +----------------------------------+
 *
 * Worker slots keep a directory open each, threads of a walk some: how many there are follows from what was free when
 * the store was opened (open.c). All here is the reactor's.
 */
#ifndef VARVE_CORE_FDS_H
#define VARVE_CORE_FDS_H

#include "engine/core/op.h"

struct fds {
	/* Descriptors that were free when the store was opened. */
	unsigned free;
	/* Descriptors reserved; by how many operations; how many of these are parked. */
	unsigned taken, running, parked;
	/* So many can be reserved in all, as counted at that time. */
	unsigned room;
	uint64_t counted_ns;
	/* Some were missing of late: count, however few are reserved. */
	bool scarce;
	/* Operations that have not begun; those that are parked. */
	struct list waiting, stopped;
};

/* Prepare FDS. */
void fds_init(struct fds *fds);

/* Reserve what OP needs: true, or false and it is started once it fits. */
bool fds_enter(struct op *op);

/* Reserve COUNT more for OP; with FORCE also if they are not there. Did it? */
bool fds_extend(struct op *op, unsigned count, bool force);

/* Give back what OP has reserved by fds_extend(). */
void fds_shrink(struct op *op);

/* OP is over, and its descriptors are closed: let others go on. */
void fds_leave(struct op *op);

/* A step of OP failed with ERROR and can begin anew: park it, if it may help to wait. Did it? */
bool fds_park(struct op *op, int error);

/* Is OP, which is to start, one that was parked? */
bool fds_resume(struct op *op);

/* Is ERROR that of too few descriptors? */
static inline bool fds_missing(int error)
{
	return error == -EMFILE || error == -ENFILE;
}

#endif
