/* SPDX-License-Identifier: Apache-2.0 */
/* Show on a terminal how far a group has come, how fast it goes and when it will end. */
#ifndef BENCH_ETA_H
#define BENCH_ETA_H

#include "load/worker.h"

/* The display. */
struct eta {
	bool shown;          /* The display is on. */
	uint64_t begin_ns;   /* When the group began. */
	uint64_t last_ns;    /* When the line was last written. */
	uint64_t last_units; /* Layers done by then. */
	uint64_t units;      /* Layers done now. */
	uint32_t threads;    /* Threads there are. */
	double done;         /* Smallest share done of any thread, 0..1. */
	const char *name;    /* A job's name. */
	const char *engine;  /* Its engine. */
};

/* Begin a display; SHOWN: whether it is on. */
void eta_begin(struct eta *eta, bool shown);

/* Begin a new round of eta_add(). */
void eta_clear(struct eta *eta);

/* Add what WORKER has done so far. */
void eta_add(struct eta *eta, struct worker *worker);

/* Write the line to standard error. */
void eta_show(struct eta *eta);

/* Remove the line. */
void eta_end(struct eta *eta);

#endif
