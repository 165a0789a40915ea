/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for another thread without sleeping, where that pays: only when the last sleep was shorter than a spin is allowed
 * to be, so that a spin in vain follows each such sleep at most once. On a single CPU the other thread could not run, and
 * nobody spins.
 */
#ifndef VARVE_BASE_SPIN_H
#define VARVE_BASE_SPIN_H

#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

struct spin {
	/* Is there a CPU for the other thread? */
	bool possible;
	/* Was the last sleep a short one? */
	_Atomic bool pays;
};

/* Prepare SPIN. */
static inline void spin_init(struct spin *spin)
{
	cpu_set_t cpus;

	spin->possible = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) > 1;
}

/* Note that the thread has slept from BEGIN_NS until now. */
static inline void spin_slept(struct spin *spin, uint64_t begin_ns)
{
	atomic_store_explicit(&spin->pays, spin->possible && now_ns() - begin_ns < SPIN_NS, memory_order_relaxed);
}

/* Wait for CONDITION as long as it pays, and tell whether it has come true. */
#define spin_until(spin, condition)                                                          \
	({                                                                                   \
		uint64_t begin_ = 0, rounds_ = 0;                                            \
		bool spin_ = atomic_load_explicit(&(spin)->pays, memory_order_relaxed), true_; \
		                                                                             \
		while (!(true_ = (condition)) && spin_) {                                    \
			cpu_relax();                                                         \
			if (++rounds_ % 32)                                                  \
				continue;                                                    \
			begin_ = begin_ ? begin_ : now_ns();                                 \
			spin_ = now_ns() - begin_ < SPIN_NS;                                 \
		}                                                                            \
		true_;                                                                       \
	})

#endif
