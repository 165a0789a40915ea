/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pace of removals in the background, as a function of what is seen. They are let go in slices:
 *
 *	  slice      gap        slice      gap
 *	|-------|----------|-------|----------| ...
 *	at most  as long as the slice was, while layers are made;
 *	half of  longer while creates take twice as long as on a quiet store, or tasks of the
 *	a create machine wait for the disk; never longer than PACE_WAIT_MAX_NS
 *
 * While no layer is made there is no gap, and a slice takes DESTROY_SLICE_NS. While room is short
 * there is no pace. While a create waits for the kernel's cleaner, which each removal gives more to
 * do, one goes in PACE_WAIT_MAX_NS.
 */
#ifndef VARVE_STORE_PACE_H
#define VARVE_STORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	/*
	 * What a create takes, moving averages; 0: not known: while no removal waits in the
	 * background, and while one does. The first one slowly follows the second, as a store may
	 * not be quiet for days.
	 */
	uint64_t quiet_ns, loaded_ns;
	/* When a create ended last; when the last slice ended, and how long destroys took in it. */
	uint64_t created_ns, ended_ns, worked_ns;
	/* What one destroy takes, a moving average. */
	uint64_t destroy_ns;
};

/* What the pace depends on, beside what was measured. */
struct pace_view {
	uint64_t now_ns;
	/* Layers are being made. */
	bool busy;
	/* Tasks of the machine wait for the disk. */
	bool pressed;
	/* A create waits until the cleaner has dropped some of what is removed. */
	bool blocked;
	/* Room is short. */
	bool urgent;
};

/* A create has ended at NOW_NS, after LATENCY_NS; LOADED: while removals waited. */
void pace_created(struct pace *pace, uint64_t now_ns, uint64_t latency_ns, bool loaded);

/* A slice of COUNT removals ended at NOW_NS, whose destroys took WORKED_NS. */
void pace_sliced(struct pace *pace, uint64_t now_ns, unsigned count, uint64_t worked_ns);

/* How many removals may go now: UINT_MAX: all; 0: none, and look again at *RET_AT_NS. */
unsigned pace_slice(const struct pace *pace, const struct pace_view *view, uint64_t *ret_at_ns);

#endif
