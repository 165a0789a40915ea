/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/layer_walk.h"
#include "engine/core/clock.h"
#include "engine/core/request.h"
#include "engine/core/store.h"
#include "engine/tree/layer.h"
#include "engine/tree/mounts.h"

void layer_walk_blame(struct op *op, const struct walk *walk, int result)
{
	if (!result || result != walk->error)
		return;
	op->call.name = walk->error_call;
	op->subject = walk->error_path;
}

/* Let the next one in. */
static void layer_walk_leave(struct layer_walk *layer)
{
	if (layer->admitted)
		workers_leave(layer->op.request->store);
	layer->admitted = false;
}

static int layer_walk_admitted(struct op *op, int result)
{
	layer_walk_of(op)->admitted = true;
	return LAYER_WALK_OPEN;
}

static int layer_walk_admit(struct op *op)
{
	int r = workers_admit(op);

	return r ? r : layer_walk_admitted(op, 0);
}

/* Open, prove, prepare. Lane thread. */
static int layer_walk_open_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct layer_walk *layer = layer_walk_of(op);
	struct varve_store *store = op->request->store;
	int r = layer->fd = layer_open(store, op->id);

	if (r < 0)
		return r;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, layer->fd, op->id, NULL);
	call->name = NULL;
	if (!r)
		r = layer->prepare(layer, &layer->walk);
	if (!r && layer->walk)
		layer->walk->mounts = mounts_below(layer->fd, op->id);
	return r;
}

static int layer_walk_open(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", layer_walk_open_run);
	return op_call(op);
}

static int layer_walk_opened(struct op *op, int result)
{
	if (result == -EINVAL && op->call.name)
		op->detail = "not a subvolume of this store";
	return result < 0 ? result : LAYER_WALK_WALK;
}

/* The walk is over. */
static void layer_walk_walked(struct walk *walk, int result)
{
	struct op *op = walk->owner;

	layer_walk_blame(op, walk, result);
	op_done(op, result);
}

static int layer_walk_done(struct op *op, int result)
{
	if (result < 0) {
		op->detail = "the walk went on; this is the first of its failures";
		return result;
	}
	layer_walk_leave(layer_walk_of(op));
	return op->request->durable ? LAYER_WALK_DURABLE : OP_END;
}

static int layer_walk_walk(struct op *op)
{
	struct walk *walk = layer_walk_of(op)->walk;

	if (!walk)
		return layer_walk_done(op, 0);
	walk->owner = op;
	walk->done = layer_walk_walked;
	walk->job.progress = &op->request->progress;
	job_start(&walk->job);
	return OP_WAIT;
}

static int layer_walk_durable(struct op *op)
{
	op->call.name = "fsync";
	return clock_commit_metadata(op);
}

static int layer_walk_durable_done(struct op *op, int result)
{
	return result < 0 ? result : OP_END;
}

static int layer_walk_leave_step(struct op *op)
{
	layer_walk_leave(layer_walk_of(op));
	return OP_END;
}

const struct op_step layer_walk_steps[LAYER_WALK_STATES] = {
	[LAYER_WALK_ADMIT] = { "ADMIT", layer_walk_admit, layer_walk_admitted },
	[LAYER_WALK_OPEN] = { "OPEN", layer_walk_open, layer_walk_opened },
	[LAYER_WALK_WALK] = { "WALK", layer_walk_walk, layer_walk_done },
	[LAYER_WALK_DURABLE] = { "DURABLE", layer_walk_durable, layer_walk_durable_done },
	[LAYER_WALK_LEAVE] = { "LEAVE", layer_walk_leave_step, NULL },
};

void layer_walk_setup(struct op *op, const char *id, int (*prepare)(struct layer_walk *layer, struct walk **ret_walk))
{
	struct layer_walk *layer = layer_walk_of(op);

	layer->fd = -EBADF;
	layer->prepare = prepare;
	op->id = op->subject = id;
	op->place = LAYER_PLACE;
	op->holds[0] = (struct hold){ .id = id, .exclusive = true };
}

void layer_walk_close(struct op *op)
{
	fd_close(layer_walk_of(op)->fd);
}
