/* SPDX-License-Identifier: Apache-2.0 */
/* chown: shift the ownership of a layer by maps of ids. The states are those of layer_walk.h. */
#include "engine/core/request.h"
#include "engine/core/store.h"
#include "engine/ops/ops.h"
#include "engine/tree/layer_walk.h"
#include "engine/tree/shift.h"

#include <string.h>

struct chown {
	struct layer_walk layer;
	struct shift_maps maps;
	struct shift shift;
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

	*ret_walk = &chown->shift.walk;
	return shift_init(&chown->shift, request->store, layer->fd, layer->op.id, &chown->maps, &request->cancelled);
}

static void chown_release(struct op *op)
{
	shift_free(&chown_of(layer_walk_of(op))->shift);
}

static const struct op_class chown_class = {
	.operation = VARVE_CHOWN,
	.size = sizeof(struct chown),
	.holds = 1,
	.steps = layer_walk_steps,
	.steps_count = LAYER_WALK_STATES,
	.unwind = LAYER_WALK_LEAVE,
	.cancel_last = LAYER_WALK_WALK,
	.close = layer_walk_close,
	.release = chown_release,
};

int chown_submit(struct varve_store *store, const char *id, const struct varve_chown_options *options,
		 const struct submit *submit)
{
	size_t maps = shift_maps_bytes(options);
	struct request *request;
	struct chown *chown;
	int r = request_new(store, &chown_class, 1, maps + strlen(id) + 1, options->flags, &request);

	if (r)
		return r;
	chown = chown_of(layer_walk_of(request->ops));
	shift_maps_copy(&chown->maps, options, request->strings);
	request->strings += maps;
	layer_walk_setup(request->ops, request_string(request, id), chown_prepare);
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
