/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation that changes a layer by one walk. Such operations share these states; a failure or a
 * crash leaves the layer changed in part, and the same request again changes the rest:
 *
 *	state     what it does
 *	ADMIT     waits until one more walk may be under way
 *	OPEN      opens the layer, and lets the operation prepare its walk
 *	WALK      walks
 *	REST      searches for inodes that the walk has missed or that are new, until there are none; where the operation has this
 *	DURABLE   waits for a commit
 *	LEAVE     after a failure: lets the next walk be admitted
 */
#ifndef VARVE_WALK_LAYER_WALK_H
#define VARVE_WALK_LAYER_WALK_H

#include "engine/walk/usage_search.h"
#include "engine/walk/walk.h"

/* Bytes of the longest detail. */
#define LAYER_WALK_DETAIL_BYTES 160

enum layer_walk_state {
	LAYER_WALK_ADMIT,
	LAYER_WALK_OPEN,
	LAYER_WALK_WALK,
	LAYER_WALK_REST,
	LAYER_WALK_DURABLE,
	LAYER_WALK_LEAVE,
	LAYER_WALK_STATES
};

struct layer_walk {
	struct op op;
	/* The layer's root directory, and the descriptor that keeps its clone (mounts_clone()). */
	int fd, tree_fd;
	/*
	 * The layer is open: begin *RET_WALK with walk_init(), and set its data; NULL: there is
	 * nothing to do. 0 or -errno. Lane thread.
	 */
	int (*prepare)(struct layer_walk *layer, struct walk **ret_walk);
	struct walk *walk;
	/* The round of REST, and its functions; NULL: no such state. */
	unsigned round;
	const struct layer_walk_rest *rest;
	/* The layer's subvolume, and the search for the rest. */
	uint64_t number;
	struct usage_search usage_search;
	/* For the error record. */
	char detail[LAYER_WALK_DETAIL_BYTES];
};

/* What the operation does in REST. */
struct layer_walk_rest {
	/*
	 * INODE of SUBVOLUME was found by a search: handle it if it is new; beyond the last round
	 * count it only. Any thread.
	 */
	int (*inode)(struct layer_walk *layer, uint64_t subvolume, uint64_t inode,
		     uint64_t generation);
	/* Without CAP_SYS_ADMIN, instead: prepare layer->walk for one more walk. Reactor. */
	int (*again)(struct layer_walk *layer);
	/* The number of inodes that were new in the round that has ended; resets it. */
	uint64_t (*take)(struct layer_walk *layer);
};

/* The layer_walk that OP is. */
static inline struct layer_walk *layer_walk_of(struct op *op)
{
	return container_of(op, struct layer_walk, op);
}

extern const struct op_step layer_walk_steps[LAYER_WALK_STATES];

/* Set up OP, of a request just made, for layer ID, which is held exclusively. */
void layer_walk_setup(struct op *op, const char *id,
		      int (*prepare)(struct layer_walk *layer, struct walk **ret_walk));

/* Close what OP has open: class->close. */
void layer_walk_close(struct op *op);

/* Set the call and the path of a failure of WALK in the error record of OP. */
void layer_walk_blame(struct op *op, const struct walk *walk, int result);

#endif
