/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operation that is one walk of a layer which changes it. Its states, which the operations that are such walks have as
 * they are; what a failure or a crash leaves is changed in part, and the same request again changes the rest:
 *
 *	state     what it does
 *	ADMIT     waits until a walk more may be under way
 *	OPEN      opens the layer, and lets the operation prepare its walk
 *	WALK      walks
 *	DURABLE   waits for a commit
 *	LEAVE     after a failure: lets the next one in
 */
#ifndef VARVE_TREE_LAYER_WALK_H
#define VARVE_TREE_LAYER_WALK_H

#include "engine/tree/walk.h"

enum layer_walk_state {
	LAYER_WALK_ADMIT,
	LAYER_WALK_OPEN,
	LAYER_WALK_WALK,
	LAYER_WALK_DURABLE,
	LAYER_WALK_LEAVE,
	LAYER_WALK_STATES
};

struct layer_walk {
	struct op op;
	/* Let in by workers_admit(). */
	bool admitted;
	/* The layer's root directory. */
	int fd;
	/*
	 * The layer is open: begin *RET_WALK with walk_init(), and set its data; NULL: there is nothing to do. 0 or -errno. Lane
	 * thread.
	 */
	int (*prepare)(struct layer_walk *layer, struct walk **ret_walk);
	struct walk *walk;
};

/* The layer_walk that OP is. */
static inline struct layer_walk *layer_walk_of(struct op *op)
{
	return container_of(op, struct layer_walk, op);
}

extern const struct op_step layer_walk_steps[LAYER_WALK_STATES];

/* Set up OP, of a request just made, for layer ID, which is held exclusively. */
void layer_walk_setup(struct op *op, const char *id, int (*prepare)(struct layer_walk *layer, struct walk **ret_walk));

/* Close what OP has open: class->close. */
void layer_walk_close(struct op *op);

/* What a failure of WALK is about, for the error record of OP. */
void layer_walk_blame(struct op *op, const struct walk *walk, int result);

#endif
