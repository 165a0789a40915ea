/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: a queue of calls and the threads that make them. Threads are started when a call finds
 * none idle, up to a bound, and end when they have been idle for LANE_IDLE_MS; one always stays, so
 * that a queued call is always made.
 */
#ifndef VARVE_IO_LANE_H
#define VARVE_IO_LANE_H

#include "engine/base/fault.h"
#include "engine/base/trace.h"
#include "engine/io/call.h"

#include <pthread.h>

struct lane {
	/* For the trace and the threads' names: "fs", "commit". */
	const char *name;
	/* Guards all below. */
	pthread_mutex_t lock;
	/* Signalled for each call queued, and at the end. */
	pthread_cond_t wake;
	/* Signalled when the last thread has gone. */
	pthread_cond_t gone;
	/* Calls that no thread has taken yet. */
	struct list queue;
	/* Threads: now, idle, the maximum, and the peak. */
	unsigned threads, idle, threads_max, threads_peak;
	/* Calls queued but not taken: as many idle threads are about to take them. */
	unsigned queued;
	/* Has a thread ended; the last one that did, which is still to be joined. */
	bool ended;
	pthread_t ended_last;
	/* No more calls come; threads end when the queue is empty. */
	bool stopping;
	/* Takes a finished call; any thread. */
	void (*finished)(void *data, struct call *call);
	/* Passed to finished. */
	void *finished_data;
	/* Injected faults. */
	struct fault *fault;
	/* Where lane traces go. */
	const struct trace *trace;
};

/* Start LANE with its first thread. On failure nothing is left. */
int lane_start(struct lane *lane, const char *name, unsigned threads_max,
	       void (*finished)(void *, struct call *), void *finished_data, struct fault *fault,
	       const struct trace *trace);

/* Queue CALL. */
void lane_submit(struct lane *lane, struct call *call);

/* Take CALL off the queue; false when a thread has it. */
bool lane_withdraw(struct lane *lane, struct call *call);

/* The most threads LANE ever had. Any thread. */
unsigned lane_threads_peak(struct lane *lane);

/*
 * Make the queued calls, end the threads and wait until they have ended. Harmless on a lane that
 * never started.
 */
void lane_stop(struct lane *lane);

#endif
