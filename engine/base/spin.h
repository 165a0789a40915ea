/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for another thread without sleeping, where that pays: only when the last sleep was
 * shorter than the longest spin, so that at most one spin is wasted for each such sleep. With a
 * single CPU no thread spins, because the other thread could not run.
 */
#ifndef VARVE_BASE_SPIN_H
#define VARVE_BASE_SPIN_H

#include "engine/base/limits.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Polls between two reads of the clock. */
#define SPIN_LOOKS 32

struct spin {
	/* Is there a CPU for the other thread? */
	bool possible;
	/* Was the last sleep a short one? */
	_Atomic bool pays;
};

/*
 * Prepare SPIN, on the thread that opens the store: the others inherit the CPUs that it may run on.
 */
static inline void spin_init(struct spin *spin)
{
	spin->possible = thread_cpus() > 1;
}

/* Note that the thread has slept from BEGIN_NS until now. */
static inline void spin_slept(struct spin *spin, uint64_t begin_ns)
{
	atomic_store_explicit(&spin->pays, spin->possible && now_ns() - begin_ns < SPIN_NS,
			      memory_order_relaxed);
}

/* One wait; begins as zeros. */
struct spin_wait {
	unsigned looks;
	uint64_t begin_ns;
};

/* After a poll in vain: is another one worth while? */
static inline bool spin_again(struct spin *spin, struct spin_wait *wait)
{
	if (!atomic_load_explicit(&spin->pays, memory_order_relaxed))
		return false;
	cpu_relax();
	if (++wait->looks % SPIN_LOOKS)
		return true;
	if (!wait->begin_ns)
		wait->begin_ns = now_ns();
	return now_ns() - wait->begin_ns < SPIN_NS;
}

#endif
