/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of a schedule: processes that open the store, and what they do one after another. */
#ifndef SIM_PROGRAMS_H
#define SIM_PROGRAMS_H

#include "requests.h"

/* A layer that all programs make and remove. */
#define CONTENDED "p-all"

struct program {
	unsigned number;
	struct varve_store *store;
	struct layer *layers;
	struct request requests[REQUESTS_MAX];
	/* The one that was made last; how many are still to be made, and are in flight. */
	struct request *last;
	unsigned left, in_flight;
	/*
	 * It cancels requests, writes archives by varve_stream_write(), and closes the store before
	 * its requests have ended.
	 */
	bool hasty;
	/* It has a second thread, which cancels, and which is to end. */
	bool threads, over;
	/* It closes the store now, or has in a callback. */
	bool closing, closed;
};

/* Close the store of PROGRAM in a callback, if it is to be. */
void program_leave(struct program *program);

/* ---- what is run; DATA: as the comment says ---- */

/* What a program (DATA) does: requests, some of them at once, until there are none left. */
void *program_run(void *data);

/* What is done after a crash: open, which sweeps; sweep; and wait for the cleaner. */
void *program_recover(void *data);

/* Make the store that all schedules begin with, in the mode of quota (unsigned, DATA). */
void *program_prepare(void *data);

#endif
