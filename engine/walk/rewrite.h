/* SPDX-License-Identifier: Apache-2.0 */
/* Rewrites every file of a layer before it is published: a shift of ownership, then a label. */
#ifndef VARVE_WALK_REWRITE_H
#define VARVE_WALK_REWRITE_H

#include "engine/walk/label.h"
#include "engine/walk/shift.h"

/* The changes to make; zeros: none. */
struct rewrite_plan {
	struct shift_maps maps;
	/* NULL: none. */
	const char *label;
};

struct rewrite;

/* Does PLAN have any change? NULL has none. */
bool rewrite_wanted(const struct rewrite_plan *plan);

/*
 * Rewrite the subvolume NAME in DIR_FD by PLAN, which has to live on; OP, which was let in by
 * workers_admit(), goes on with the result of its step. REPORT, which has to live on, gets the
 * entries that get the overflow id. Returns OP_WAIT and sets *RET_REWRITE, or -ENOMEM.
 */
int rewrite_start(struct op *op, const struct rewrite_plan *plan, int dir_fd, const char *name,
		  struct skipped *report, struct rewrite **ret_rewrite);

/* Free what rewrite_start() made; NULL is fine. */
void rewrite_free(struct rewrite *rewrite);

#endif
