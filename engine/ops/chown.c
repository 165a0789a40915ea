/* SPDX-License-Identifier: Apache-2.0 */
/* chown: shift the ownership of a layer by maps of ids. The states are those of layer_walk.h. */
#include "engine/base/limits.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/store.h"
#include "engine/walk/layer_walk.h"
#include "engine/walk/shift.h"

#include <string.h>

struct chown {
	struct layer_walk layer;
	struct shift_maps maps;
	struct shift shift;
	/* What has an owner now that stands for all others. */
	struct skipped report;
};

static struct chown *chown_of(struct layer_walk *layer)
{
	return container_of(layer, struct chown, layer);
}

/* Prepare the walk. */
static int chown_prepare(struct layer_walk *layer, struct walk **ret_walk)
{
	struct chown *chown = chown_of(layer);
	struct request *request = layer->op.request;
	int r = shift_init(&chown->shift, request_store(request), layer->fd, layer->op.id,
			   &chown->maps, "chown", &chown->report, &request->cancelled);

	chown->shift.walk.hold = true;
	*ret_walk = &chown->shift.walk;
	return r;
}

/* Shift what the walk has missed. */
static int chown_inode(struct layer_walk *layer, uint64_t subvolume, uint64_t inode,
		       uint64_t generation)
{
	return shift_stray(&chown_of(layer)->shift, layer->fd, subvolume, inode, generation,
			   layer->round > SHIFT_ROUNDS_MAX);
}

/* Prepare one more walk. */
static int chown_again(struct layer_walk *layer)
{
	struct request *request = layer->op.request;

	return shift_again(&chown_of(layer)->shift, request_store(request), layer->fd, layer->op.id,
			   &request->cancelled);
}

/* How many files were handled since this was asked. */
static uint64_t chown_take(struct layer_walk *layer)
{
	return atomic_exchange(&chown_of(layer)->shift.count, 0);
}

static const struct layer_walk_rest chown_rest = { .inode = chown_inode,
						   .again = chown_again,
						   .take = chown_take };

static void chown_result(struct request *request, struct varve_result *result)
{
	skipped_report(&chown_of(layer_walk_of(request->ops))->report, result);
}

static void chown_release(struct op *op)
{
	skipped_free(&chown_of(layer_walk_of(op))->report);
	usage_search_free(&layer_walk_of(op)->usage_search);
	shift_free(&chown_of(layer_walk_of(op))->shift);
}

static const struct op_class chown_class = {
	.operation = VARVE_CHOWN,
	.size = sizeof(struct chown),
	.holds = 1,
	.progress = true,
	.steps = layer_walk_steps,
	.steps_count = LAYER_WALK_STATES,
	.unwind = LAYER_WALK_LEAVE,
	.cancel_last = LAYER_WALK_REST,
	.close = layer_walk_close,
	.result = chown_result,
	.release = chown_release,
};

int chown_submit(struct varve_store *store, const char *id,
		 const struct varve_chown_options *options, const struct submit *submit)
{
	size_t maps = shift_maps_bytes(options);
	struct request *request;
	struct chown *chown;
	int r = request_new(&store->core, &chown_class, 1, maps + strlen(id) + 1, options->flags,
			    &request);

	if (r)
		return r;
	chown = chown_of(layer_walk_of(request->ops));
	chown->report.fault = &store->core.io.fault;
	shift_maps_copy(&chown->maps, options, request->strings);
	request->strings += maps;
	layer_walk_setup(request->ops, request_string(request, id), chown_prepare);
	chown->layer.rest = &chown_rest;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
