/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Injected faults: fail the Nth allocation, submission or lane call. Each store has a struct fault;
 * only tests arm it, and an unarmed point costs one load. strace and LD_PRELOAD cannot reach the
 * ring and the calls between threads, hence these points.
 */
#ifndef VARVE_BASE_FAULT_H
#define VARVE_BASE_FAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum fault_point {
	/* memory for requests, ids, buffers */
	FAULT_ALLOCATION,
	/* a call on its way to the ring or a lane */
	FAULT_SUBMISSION,
	/* a call that a lane thread is about to make */
	FAULT_LANE,
	/* a look at quota, a change of it, or a step with a quotas/ID file */
	FAULT_QUOTA,
	/* a step with a record of a layer */
	FAULT_RECORD,
	FAULT_POINTS,
};

struct fault {
	/* The pass that fails, counted from now: 1 is the next; 0: none. */
	_Atomic long countdown[FAULT_POINTS];
	/* The number of passes since the last fault_arm(). */
	_Atomic long passed[FAULT_POINTS];
	/* The number of failures since then. */
	_Atomic long hits;
	/* The negative errno of a failure. */
	_Atomic int error;
	/* Each pass from the Nth on fails, instead of the Nth alone. */
	_Atomic bool persistent;
	/* Is any point armed? An unarmed fault_hit() only loads this. */
	_Atomic bool armed;
};

/*
 * Let the NTH pass of POINT from now fail with ERROR (0 disarms all); with PERSISTENT all later
 * ones, too.
 */
void fault_arm(struct fault *fault, enum fault_point point, long nth, int error, bool persistent);

/* Slow path of fault_hit(). */
int fault_pass(struct fault *fault, enum fault_point point);

/* Pass POINT: 0, or the negative errno to fail with. Without a FAULT nothing fails. */
static inline int fault_hit(struct fault *fault, enum fault_point point)
{
	if (!fault ||
	    __builtin_expect(!atomic_load_explicit(&fault->armed, memory_order_relaxed), 1))
		return 0;
	return fault_pass(fault, point);
}

/* calloc() that can be made to fail. */
static inline void *fault_calloc(struct fault *fault, size_t count, size_t size)
{
	return fault_hit(fault, FAULT_ALLOCATION) ? NULL : calloc(count, size);
}

/* realloc() that can be made to fail. */
static inline void *fault_realloc(struct fault *fault, void *old, size_t size)
{
	return fault_hit(fault, FAULT_ALLOCATION) ? NULL : realloc(old, size);
}

/*
 * Make room for COUNT more elements of SIZE bytes in the array at *ARRAY, which has USED elements
 * and room for *CAPACITY. 0, or -ENOMEM and nothing changes.
 */
int fault_reserve(struct fault *fault, void *array, size_t used, size_t count, size_t *capacity,
		  size_t size);

#endif
