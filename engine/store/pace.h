/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pace of removals in the background, as a function of what is observed. They run in slices:
 *
 *	  slice      gap        slice      gap
 *	|-------|----------|-------|----------| ...
 *	at most  a quarter of the slice, while layers are made; as long as the slice while
 *	half of  creates take twice as long as on a quiet store; never longer than
 *	a create PACE_WAIT_MAX_NS
 *
 * While no layer is made a slice takes DESTROY_SLICE_NS, and there is no gap unless tasks of the
 * machine wait for the disk. What a destroy takes is processor time, which other programs do not
 * lengthen: a slice that takes longer than it should, because the thread does not run, is cut short
 * where creates wait for it (store/group_commit.h). While room is short there is no pace. While a
 * create waits for the kernel's cleaner, which has more to do after each removal, one removal goes
 * each PACE_WAIT_MAX_NS.
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
	/* When the last slice ended, and how long destroys took in it. */
	uint64_t ended_ns, worked_ns;
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

/* A create has ended after LATENCY_NS; LOADED: while removals waited. */
void pace_created(struct pace *pace, uint64_t latency_ns, bool loaded);

/* A slice of COUNT removals ended at NOW_NS, whose destroys took WORKED_NS. */
void pace_sliced(struct pace *pace, uint64_t now_ns, unsigned count, uint64_t worked_ns);

/* How many removals may go now: UINT_MAX: all; 0: none, and look again at *RET_AT_NS. */
unsigned pace_slice(const struct pace *pace, const struct pace_view *view, uint64_t *ret_at_ns);

#endif
