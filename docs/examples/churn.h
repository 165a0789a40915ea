/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work that the embed_*.c examples share: create a base and many layers from it, list them, remove them, list again.
 * It is driven by callbacks alone and knows nothing of the event loop:
 *
 *	CREATE -> LIST -> REMOVE -> LIST_AGAIN -> DONE
 *
 * As many requests are in flight as the store takes; at -EAGAIN it stops submitting and goes on in the next callback.
 */
#ifndef CHURN_H
#define CHURN_H

#include <stdbool.h>
#include <stdint.h>
#include <varve.h>

/* Layers that are made from the base, unless the command line says otherwise. */
#define CHURN_LAYERS 200
/* The most that the command line can ask for. */
#define CHURN_LAYERS_MAX 100000
/* How often the loop's timer is to tick. */
#define CHURN_TICK_MS 1
/* How many callbacks to run before the loop looks at its other sources again. */
#define CHURN_CALLBACKS_MAX 16

/* What is being done. */
enum churn_stage { CHURN_CREATE, CHURN_LIST, CHURN_REMOVE, CHURN_LIST_AGAIN, CHURN_DONE };

/* The state of the work. */
struct churn {
	struct varve_store *store;	/* The store; opened by churn_open(). */
	void (*done)(void *done_data);	/* Called once, in a callback: the loop may end. */
	void *done_data;		/* Handed to done. */
	enum churn_stage stage;		/* What is being done. */
	unsigned layers;		/* Layers to make from the base. */
	unsigned submitted;		/* Layers of this stage whose request was accepted. */
	unsigned in_flight;		/* Requests whose callback has not run. */
	unsigned in_flight_peak;	/* The most of them. */
	unsigned full;			/* How often the queue was full. */
	unsigned created;		/* Layers made. */
	unsigned listed;		/* ... found by the list. */
	unsigned removed;		/* ... removed. */
	unsigned left;			/* ... found by the second list: none, if all went well. */
	unsigned ticks;			/* Ticks of the loop's timer while the work went on. */
	uint64_t tick_ns;		/* When the last one was. */
	uint64_t gap_ns_max;		/* The longest time between two. */
	bool failed;			/* Something went wrong; it was printed. */
};

/* Open the store that the command line `PROGRAM HOME [uring|threads [LAYERS]]` names, or exit. */
void churn_open(struct churn *churn, int argc, char **argv);

/* Start; DONE(DONE_DATA) is called when all has ended, well or not. */
void churn_start(struct churn *churn, void (*done)(void *done_data), void *done_data);

/* Count a tick of the loop's timer. */
void churn_tick(struct churn *churn);

/* Close the store, say on behalf of NAME what was done, and return the program's exit status. */
int churn_finish(struct churn *churn, const char *name);

#endif
