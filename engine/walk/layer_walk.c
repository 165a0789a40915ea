/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/layer_walk.h"
#include "engine/base/id_map.h"
#include "engine/core/request.h"
#include "engine/dir/mounts.h"
#include "engine/store/group_commit.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"

#include <inttypes.h>
#include <stdio.h>

/* A search is prepared, and has to begin. */
#define LAYER_WALK_MORE 1

void layer_walk_blame(struct op *op, const struct walk *walk, int result)
{
	if (!result || result != walk->error)
		return;
	op->call.name = walk->error_call;
	op->subject = walk->error_path;
	if (result == -EOVERFLOW)
		op->detail = IDRANGE_OUTSIDE;
}

/* Open, prove, prepare. Lane thread. */
static int layer_walk_open_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct layer_walk *layer = layer_walk_of(op);
	struct varve_store *store = op_store(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	int r, cloned = 0;

	/* The step may have begun anew. */
	fd_close(TAKE_FD(layer->fd));
	fd_close(TAKE_FD(layer->tree_fd));
	r = layer->fd = layer_open(store, op->id);
	if (r < 0)
		return r;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, layer->fd, op->id, &info);
	if (r)
		return r;
	layer->number = info.treeid;
	call->name = "open_tree";
	r = cloned = mounts_clone(&layer->fd, &layer->tree_fd);
	if (r < 0)
		return r;
	call->name = NULL;
	r = layer->prepare(layer, &layer->walk);
	/* Other failures are of what was asked for, in no call. */
	if (r < 0 && r != -EINVAL)
		call->name = "fstat";
	if (r || !layer->walk)
		return r;
	layer->walk->mounts = false;
	/* Without a clone a name may lead to what is mounted there. */
	layer->walk->hold |= !cloned;
	return 0;
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

/* Everything is changed: make it durable where the request asks for that. */
static int layer_walk_over(struct op *op)
{
	workers_leave(op);
	return op->request->durable ? LAYER_WALK_DURABLE : OP_END;
}

static int layer_walk_done(struct op *op, int result)
{
	struct layer_walk *layer = layer_walk_of(op);

	if (result < 0) {
		if (!op->detail)
			op->detail = "the walk continued; this is its first failure";
		return result;
	}
	if (!layer->rest)
		return layer_walk_over(op);
	layer->rest->take(layer);
	return LAYER_WALK_REST;
}

static int layer_walk_walk(struct op *op)
{
	struct walk *walk = layer_walk_of(op)->walk;

	if (!walk)
		return layer_walk_done(op, 0);
	walk->owner = op;
	walk->done = layer_walk_walked;
	walk->job.progress = op->request->progress;
	job_start(&walk->job);
	return OP_WAIT;
}

/* The search has come to an inode. */
static int layer_walk_inode(struct usage_search *usage_search, uint64_t subvolume, uint64_t number,
			    uint64_t generation)
{
	struct layer_walk *layer = usage_search->data;

	return layer->rest->inode(layer, subvolume, number, generation);
}

/* The search is over. */
static void layer_walk_searched(struct usage_search *usage_search, int result)
{
	struct layer_walk *layer = usage_search->data;

	op_done(&layer->op, result);
}

/* Prepare a search. Lane thread. */
static int layer_walk_search_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct layer_walk *layer = layer_walk_of(op);
	int r = usage_search_init(&layer->usage_search, op_store(op), layer->fd, layer->number,
				  &op->request->cancelled);

	layer->usage_search.inode = layer_walk_inode;
	layer->usage_search.data = layer;
	layer->usage_search.done = layer_walk_searched;
	return r ? r : LAYER_WALK_MORE;
}

/* Begin a round. */
static int layer_walk_rest(struct op *op)
{
	struct layer_walk *layer = layer_walk_of(op);
	int r;

	layer->round++;
	if (op_store(op)->layout.privileged) {
		call_function(&op->call, LANE_LONG, "BTRFS_IOC_TREE_SEARCH_V2",
			      layer_walk_search_run);
		return op_call(op);
	}
	r = layer->rest->again(layer);
	return r ? r : layer_walk_walk(op);
}

static int layer_walk_rested(struct op *op, int result)
{
	struct layer_walk *layer = layer_walk_of(op);
	uint64_t count;

	if (result == LAYER_WALK_MORE) {
		job_start(&layer->usage_search.job);
		return OP_WAIT;
	}
	usage_search_free(&layer->usage_search);
	if (result < 0)
		return result;
	count = layer->rest->take(layer);
	if (!count)
		return layer_walk_over(op);
	if (layer->round <= SHIFT_ROUNDS_MAX)
		return layer_walk_rest(op);
	snprintf(layer->detail, sizeof(layer->detail),
		 "%" PRIu64 " files came or moved while it ran: stop what runs in the layer",
		 count);
	op->detail = layer->detail;
	return -EBUSY;
}

const struct op_step layer_walk_steps[LAYER_WALK_STATES] = {
	[LAYER_WALK_ADMIT] = { "ADMIT", workers_admit, NULL },
	[LAYER_WALK_OPEN] = { "OPEN", layer_walk_open, layer_walk_opened, true },
	[LAYER_WALK_WALK] = { "WALK", layer_walk_walk, layer_walk_done },
	[LAYER_WALK_REST] = { "REST", layer_walk_rest, layer_walk_rested },
	[LAYER_WALK_DURABLE] = { "DURABLE", commit_metadata, NULL },
	[LAYER_WALK_LEAVE] = { "LEAVE", workers_leave, NULL },
};

void layer_walk_setup(struct op *op, const char *id,
		      int (*prepare)(struct layer_walk *layer, struct walk **ret_walk))
{
	struct layer_walk *layer = layer_walk_of(op);

	layer->fd = layer->tree_fd = -EBADF;
	layer->prepare = prepare;
	op->id = op->subject = id;
	op->place = LAYER_PLACE;
	op_holds(op)[0] = (struct id_lock){ .id = id, .exclusive = true };
}

void layer_walk_close(struct op *op)
{
	fd_close(layer_walk_of(op)->fd);
	fd_close(layer_walk_of(op)->tree_fd);
}
