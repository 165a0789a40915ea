/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that computes for long yields its CPU when a thread of a short request was woken. The
 * kernel would let the woken thread wait for a tick, of up to 10 ms, at each of the four or five
 * steps of the request.
 */
#ifndef VARVE_BASE_YIELD_H
#define VARVE_BASE_YIELD_H

#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <sched.h>
#include <stdatomic.h>

/* The number of wake-ups of threads that serve short requests. Any thread. */
struct wakes {
	_Atomic unsigned count;
	/* For tests: the number of yields. */
	_Atomic unsigned yields;
};

/* One thread that computes; begins as zeros, and then never yields. */
struct yield {
	/* The counter, its value at the last check, and when the thread may yield again. */
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
 * Yield the CPU, if a thread was woken since the last check. After that the thread works for
 * YIELD_NS, and for as long as it had to wait, so that it waits for at most half of its time. Call
 * this between two entries.
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
