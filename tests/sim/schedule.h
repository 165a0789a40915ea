/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule: what one seed does. Up to three processes, of root or of a user without privilege,
 * open the same store and make random requests, and make subvolumes in layers, as users of those
 * do. Some cancel requests at any time, also from a second thread; write archives by streams, or
 * give them up; or close the store, also in a callback, before all has ended. Single calls fail,
 * the file system is full for some time, data is lost, or a commit fails. Then the power is cut, or
 * one of the processes is killed, or nothing happens; then another process opens the store, sweeps
 * it, and the result is checked.
 *
 * What is checked (varve_durability(7), engine/README.md):
 *
 *	- always, of what is visible and of what is durable: a layer with a size has that recorded, and
 *	  its limit, from the moment it is visible; one without has no limit; one with labels has them;
 *	  one that was made of an archive has the content of that
 *	- where a commit fails, and the file system is read-only since, no request ends as durable
 *	- at each callback of a durable request: what it made is durable, what it removed is gone; of a
 *	  flush and of a sync: so is what was there before it; of an apply: the content of the archive
 *	- after a cut: each layer is as one of the requests left it that may have been the last
 *	- without a cut: requests end as the state of their layer says
 *	- a layer made in a store with spare copies is a snapshot of what its parent was when it was
 *	  asked for, or later (spares.h), visible, durable and after a cut; and no copy is left behind
 *	- each request ends once, also by a close; one that is cancelled ends although the one that it
 *	  waits for does not; and where it ends as cancelled, it has changed nothing
 *	- after the sweep: nothing is in staging, in the trash, under a reserved name; no size, no
 *	  record and no quota group is without its layer; no subvolume is but a layer, or in one
 *	- no program hangs, and no lock is destroyed while it is held
 */
#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* Bugs that are put into the engine on purpose: seeded.c. */
enum seeded_bug {
	SEEDED_NONE,
	/* a removal forgets size and record before it destroys the layer */
	SEEDED_RECORD_FIRST,
	/* a layer is published before the data of its size is in the tree */
	SEEDED_DATA_LATER,
	/* a layer is published before the data of its files is in the tree */
	SEEDED_FLUSH_LATER,
	/* the limit is set after the layer is published */
	SEEDED_LIMIT_LATER,
	/* the failure of a commit is ignored */
	SEEDED_COMMIT_IGNORED,
	/* that data was lost is ignored */
	SEEDED_LOSS_IGNORED,
	/* a spare copy is taken of a parent that has changed since */
	SEEDED_SPARE_STALE,
	/* a spare copy is taken of a parent of which something is buffered */
	SEEDED_SPARE_BUFFERED,
	/* a spare copy is taken that is another parent's */
	SEEDED_SPARE_FOREIGN,
	/* a spare copy that is dropped is left to the sweep of the next store */
	SEEDED_SPARE_KEPT,
	/* a cancel that comes before its request is received is not looked for again */
	SEEDED_CANCEL_LOST,
	SEEDED_BUGS
};

extern enum seeded_bug seeded_bug;

/* How many schedules did what, for a summary. */
struct schedule_statistics {
	uint64_t schedules, cuts, kills, errors, calls, commits, requests, spares, with_spares,
		overwrites;
};

extern struct schedule_statistics schedule_statistics;

/* The name of a process that makes requests. */
#define SCHEDULE_PROGRAM "program"

/* Requests that each program makes at most. */
#define SCHEDULE_REQUESTS_MAX 24

/* The home of the store. */
#define SCHEDULE_HOME "/home"

/* Of the store and of all programs: 0, root, or a user without privilege. */
extern uint32_t schedule_owner;

/* Has anything failed on purpose? */
bool schedule_failed(void);

/* Run the schedule of SEED: NULL, or what has failed. */
const char *schedule_run(uint64_t seed, bool trace);

#endif
