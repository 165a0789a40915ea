/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that computes for long hands its CPU over when a thread was woken that a short request
 * waits for. The kernel would let the woken thread wait for a tick, of up to 10 ms, at each of its
 * four or five steps from the caller and back.
 */
#ifndef VARVE_BASE_YIELD_H
#define VARVE_BASE_YIELD_H

#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <sched.h>
#include <stdatomic.h>

/* How often threads were woken that short requests wait for. Any thread. */
struct wakes {
	_Atomic unsigned count;
	/* For tests: how often a CPU was handed over because of that. */
	_Atomic unsigned yields;
};

/* One thread that computes; begins as zeros, and then never yields. */
struct yield {
	/* What it looks at, the count that it saw last, and when it may yield again. */
	struct wakes *wakes;
	unsigned seen;
	uint64_t again_ns;
};

/* Note that a thread has been woken. */
static inline void wakes_add(struct wakes *wakes)
{
	atomic_fetch_add_explicit(&wakes->count, 1, memory_order_relaxed);
}

/*
 * Hand the CPU over, where a thread was woken since the last time. After that the thread works for
 * YIELD_NS, and for as long as it had to wait: so it never waits for more than half of its time.
 * Call this between two entries.
 */
static inline void yield_look(struct yield *yield)
{
	unsigned count = yield->wakes
				 ? atomic_load_explicit(&yield->wakes->count, memory_order_relaxed)
				 : yield->seen;
	uint64_t begin, end;

	if (count == yield->seen)
		return;
	begin = now_ns();
	if (begin < yield->again_ns)
		return;
	yield->seen = count;
	atomic_fetch_add_explicit(&yield->wakes->yields, 1, memory_order_relaxed);
	sched_yield();
	end = now_ns();
	yield->again_ns = end + MAX(YIELD_NS, end - begin);
}

#endif
