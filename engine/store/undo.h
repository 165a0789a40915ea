/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Destroy again what an operation has made, because it has failed.
 *
 * A name in `subvolumes` may have been given to another layer by another process meanwhile. So
 * btrfs's number is compared, and with privilege the subvolume is destroyed by that number: what
 * takes the name between the two calls stays. Without privilege it is destroyed by its name, and
 * what takes that within the one call goes with it.
 *
 * What cannot be destroyed is renamed into the trash, under the name of an owner that does not
 * exist: any sweep removes it, also one of this store. What cannot be renamed either stays, in
 * staging for the next opening of the store.
 */
#ifndef VARVE_STORE_UNDO_H
#define VARVE_STORE_UNDO_H

#include "engine/core/op.h"

/* What undo_destroy() answers when there is nothing to destroy. */
#define UNDO_ABSENT 1

struct undo {
	/* For its store and request, and for the call and the detail of a failure. */
	struct op *op;
	/* What was made is NAME in DIR_FD; btrfs's number of it, 0: not known. */
	int dir_fd;
	const char *name;
	uint64_t number;
	/* It is in the layer's own place, where another process can have removed it. */
	bool in_sight;
	/* Its place in the batch. */
	size_t index;
	/*
	 * What became of the subvolume when it could not be destroyed, on the heap; NULL: nothing.
	 */
	char *fate;
};

/* Destroy it: 0, UNDO_ABSENT, or -errno. At a boundary. */
int undo_destroy(struct undo *undo);

/*
 * The undoing step of OP has ended with RESULT: count the subvolume that it destroyed, and add FATE
 * (may be NULL) to the recorded failure. Returns what the step returns.
 */
int undo_done(struct op *op, const char *fate, int result);

#endif
