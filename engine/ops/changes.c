/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes: which paths of a layer differ from those of its parent.
 *
 *	state     what it does
 *	OPEN      opens the layer, through the ring
 *	PREPARE   proves it, finds and opens the parent; where the trees can be searched: writes out what is in memory alone,
 *	          and asks them what may differ
 *	COMPARE   compares what may differ, or everything, on some threads
 *	SORT      puts the result in order
 *
 * Nothing is changed, so there is nothing to undo, and nothing for a crash to leave.
 */
#include "engine/base/limits.h"
#include "engine/btrfs/delta.h"
#include "engine/btrfs/fs.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/compare.h"
#include "engine/tree/layer.h"
#include "engine/tree/parent.h"

#include <stdio.h>
#include <string.h>

enum changes_state { CHANGES_OPEN, CHANGES_PREPARE, CHANGES_COMPARE, CHANGES_SORT, CHANGES_STATES };

/* One thread's part of the comparison. */
struct changes_part {
	struct call call;
	struct changes_op *op;
};

struct changes_op {
	struct op op;
	/* The layer to compare with: "" none, NULL the one that btrfs says. */
	const char *parent;
	char found[VARVE_ID_MAX + 1];
	/* The parent's root directory and the layer's. */
	int fds[2];
	uint32_t flags;
	struct delta delta;
	/* The delta tells what may differ. */
	bool searched;
	struct compare compare;
	/* It has begun, so that it has to be ended. */
	bool comparing;
	/* The parts, how many are at work, the first error of one. */
	struct changes_part parts[COMPARE_THREADS_MAX];
	unsigned working;
	int error;
	/* What an error is about. */
	char *subject;
};

static struct changes_op *changes_of(struct op *op)
{
	return container_of(op, struct changes_op, op);
}

/* ---- OPEN, PREPARE ----------------------------------------------------------------------------------------------- */

static int changes_open(struct op *op)
{
	layer_open_call(op->request->store, &op->call, op->id);
	return op_call(op);
}

static int changes_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	changes_of(op)->fds[1] = result;
	return CHANGES_PREPARE;
}

/* Open and prove the parent, if there is one. Lane thread. */
static int changes_open_parent(struct changes_op *changes, const uint8_t *uuid)
{
	static const uint8_t none[BTRFS_UUID_SIZE];
	struct op *op = &changes->op;
	struct varve_store *store = op->request->store;
	int r;

	if (!changes->parent) {
		r = memcmp(uuid, none, sizeof(none)) ? parent_name(store, uuid, changes->found) : 0;
		if (r)
			return r;
		changes->parent = changes->found;
	}
	if (!*changes->parent)
		return 0;
	op->call.name = "openat2";
	op->subject = changes->parent;
	r = layer_open(store, changes->parent);
	if (r < 0)
		return r;
	changes->fds[0] = r;
	r = layer_prove(store, r, changes->parent, NULL);
	op->subject = op->id;
	return r;
}

/* Ask the trees what may differ, where we may. Lane thread. */
static int changes_search(struct changes_op *changes)
{
	struct op *op = &changes->op;
	struct varve_store *store = op->request->store;
	int r;

	if (!store->layout.privileged || changes->fds[0] < 0 || changes->flags & VARVE_CHANGES_WALK)
		return 0;
	/* Written data that no extent has been allocated for yet has not touched its inode item either. */
	op->call.name = "BTRFS_IOC_SYNC";
	r = fs_flush(changes->fds[1]);
	if (r)
		return r;
	op->call.name = "BTRFS_IOC_TREE_SEARCH_V2";
	changes->delta.fault = &store->io.fault;
	changes->delta.cancelled = &op->request->cancelled;
	r = delta_collect(&changes->delta, changes->fds);
	changes->searched = r > 0;
	trace(&store->io.trace, TRACE_OP, "changes %s: %s, %zu inodes", op->id, r > 0 ? "search" : "walk",
	      changes->delta.changed.count);
	return MIN(r, 0);
}

/* Do all that has to be done before the comparison. Lane thread. */
static int changes_prepare_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct changes_op *changes = changes_of(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	int r = layer_prove(op->request->store, changes->fds[1], op->id, &info);

	if (!r)
		r = changes_open_parent(changes, info.parent_uuid);
	return r ? r : changes_search(changes);
}

static int changes_prepare(struct op *op)
{
	call_function(&op->call, LANE_FS, "BTRFS_IOC_GET_SUBVOL_INFO", changes_prepare_run);
	return op_call(op);
}

static int changes_prepared(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	return result < 0 ? result : CHANGES_COMPARE;
}

/* ---- COMPARE, SORT ----------------------------------------------------------------------------------------------- */

/* One part. Lane thread. */
static int changes_part_run(struct call *call)
{
	return compare_work(&container_of(call, struct changes_part, call)->op->compare);
}

/* A part is done. */
static void changes_part_done(struct call *call)
{
	struct changes_op *changes = container_of(call, struct changes_part, call)->op;

	if (call->result < 0 && !changes->error)
		changes->error = call->result;
	if (!--changes->working)
		op_done(&changes->op, changes->error);
}

static int changes_compare(struct op *op)
{
	struct changes_op *changes = changes_of(op);
	struct io *io = &op->request->store->io;
	struct compare *compare = &changes->compare;
	unsigned threads_max = op->request->store->settings.io.threads_max[LANE_FS];
	int r;

	memcpy(compare->fds, changes->fds, sizeof(compare->fds));
	compare->delta = changes->searched ? &changes->delta : NULL;
	compare->fault = &io->fault;
	compare->cancelled = &op->request->cancelled;
	changes->comparing = true;
	r = compare_begin(compare);
	if (r)
		return r;
	/* What the delta leaves to be looked at is little. */
	changes->working = changes->searched ? 1 : MIN(threads_max, (unsigned)COMPARE_THREADS_MAX);
	for (unsigned i = 0, count = changes->working; i < count; i++) {
		struct changes_part *part = &changes->parts[i];

		part->op = changes;
		part->call.done = changes_part_done;
		call_function(&part->call, LANE_FS, "compare", changes_part_run);
		io_submit(io, &part->call);
	}
	op->call.name = "statx";
	return OP_WAIT;
}

static int changes_compared(struct op *op, int result)
{
	struct changes_op *changes = changes_of(op);

	if (result >= 0)
		return CHANGES_SORT;
	if (changes->compare.failed && asprintf(&changes->subject, "%s%s", op->id, changes->compare.failed) >= 0)
		op->subject = changes->subject;
	else
		changes->subject = NULL;
	return result;
}

/* Sort; a million paths take a while. Lane thread. */
static int changes_sort_run(struct call *call)
{
	changes_sort(&changes_of(container_of(call, struct op, call))->compare.changes);
	return 0;
}

static int changes_order(struct op *op)
{
	call_function(&op->call, LANE_FS, "sort", changes_sort_run);
	return op_call(op);
}

static int changes_ordered(struct op *op, int result)
{
	return result < 0 ? result : OP_END;
}

static const struct op_step changes_steps[CHANGES_STATES] = {
	[CHANGES_OPEN] = { "OPEN", changes_open, changes_opened },
	[CHANGES_PREPARE] = { "PREPARE", changes_prepare, changes_prepared },
	[CHANGES_COMPARE] = { "COMPARE", changes_compare, changes_compared },
	[CHANGES_SORT] = { "SORT", changes_order, changes_ordered },
};

static void changes_result(struct request *request, struct varve_result *result)
{
	const struct changes *found = &changes_of(request->ops)->compare.changes;

	if (request->ops->error)
		return;
	result->changes = found->list;
	result->changes_count = found->count;
}

static void changes_close(struct op *op)
{
	struct changes_op *changes = changes_of(op);

	fd_close(TAKE_FD(changes->fds[0]));
	fd_close(TAKE_FD(changes->fds[1]));
}

static void changes_release(struct op *op)
{
	struct changes_op *changes = changes_of(op);

	delta_free(&changes->delta);
	if (changes->comparing)
		compare_end(&changes->compare);
	free(changes->subject);
}

static const struct op_class changes_class = {
	.operation = VARVE_CHANGES,
	.size = sizeof(struct changes_op),
	.steps = changes_steps,
	.steps_count = CHANGES_STATES,
	.unwind = CHANGES_STATES,
	.cancel_last = CHANGES_SORT,
	.result = changes_result,
	.close = changes_close,
	.release = changes_release,
};

int changes_submit(struct varve_store *store, const char *id, const char *parent, uint32_t flags,
		   const struct submit *submit)
{
	size_t strings = strlen(id) + 1 + (parent ? strlen(parent) + 1 : 0);
	struct changes_op *changes;
	struct request *request;
	int r = request_new(store, &changes_class, 1, strings, flags, &request);

	if (r)
		return r;
	changes = changes_of(request->ops);
	changes->fds[0] = changes->fds[1] = -EBADF;
	changes->flags = flags;
	changes->op.id = changes->op.subject = request_string(request, id);
	changes->op.place = LAYER_PLACE;
	changes->op.holds[0] = (struct hold){ .id = changes->op.id };
	changes->parent = request_string(request, parent);
	if (parent && *parent && strcmp(parent, id))
		changes->op.holds[1] = (struct hold){ .id = changes->parent };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
