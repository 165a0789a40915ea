/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h: the one loop of the daemon: descriptors, timers, and tasks that run at the end of a turn.
 *
 * A turn waits for events, runs their callbacks, then the timers that are due, then the tasks that
 * were deferred until then. Any callback may add and remove sources, timers and tasks, also its
 * own. All belong to the caller and must be removed before they are freed.
 */
#ifndef VARVE_SERVE_LOOP_H
#define VARVE_SERVE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"

#define LOOP_NS_PER_MS UINT64_C(1000000)

struct loop;

/* A descriptor that is watched. */
struct loop_source {
	/* The descriptor; the caller closes it. */
	int fd;
	/* Run with the EPOLL* bits that are set. */
	void (*ready)(void *data, uint32_t events);
	/* Passed to ready(). */
	void *data;
};

/* A time at which something happens once. Begins zeroed. */
struct loop_timer {
	/* When, by loop_now(). */
	uint64_t at_ns;
	/* Its place among the timers, from 1; 0: not set. */
	size_t slot;
	/* Run once, when it is due. */
	void (*due)(void *data);
	/* Passed to due(). */
	void *data;
};

/* Something to be done at the end of the turn. */
struct loop_task {
	struct link link;
	/* Run once for any number of loop_defer(). */
	void (*run)(void *data);
	/* Passed to run(). */
	void *data;
};

/* Make a loop: 0 or -errno. */
int loop_create(struct loop **ret_loop);

/* Free LOOP (NULL: do nothing). */
void loop_destroy(struct loop *loop);

/* Nanoseconds of a clock that only goes forward. */
uint64_t loop_now(void);

/* Watch SOURCE, whose fields are set, for EVENTS (EPOLL*; level-triggered): 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);

/* Watch SOURCE for EVENTS from now on. */
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);

/* Watch SOURCE no more. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Run TIMER at AT_NS, and not when it was set for before: 0 or -ENOMEM, and it is not set. */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ns);

/* The same MS milliseconds from now. */
int loop_timer_after(struct loop *loop, struct loop_timer *timer, unsigned ms);

/* Do not run TIMER, if it is set. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Prepare TASK. */
void loop_task_init(struct loop_task *task, void (*run)(void *data), void *data);

/* Run TASK at the end of the turn, or of the next one. */
void loop_defer(struct loop *loop, struct loop_task *task);

/* Do not run TASK, if it is deferred. */
void loop_task_stop(struct loop_task *task);

/* One turn; wait for TIMEOUT_MS at most (negative: for ever). Return how much ran, or -errno. */
int loop_turn(struct loop *loop, int timeout_ms);

#endif
