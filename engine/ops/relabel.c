/* SPDX-License-Identifier: Apache-2.0 */
/* relabel: give every file of a layer an SELinux label. The states are those of layer_walk.h. */
#include "engine/base/limits.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"
#include "engine/walk/label.h"
#include "engine/walk/layer_walk.h"

#include <stdio.h>
#include <string.h>

struct relabel {
	struct layer_walk layer;
	/* The label as it is to be. */
	const char *text;
	struct label label;
};

static struct relabel *relabel_of(struct layer_walk *layer)
{
	return container_of(layer, struct relabel, layer);
}

/* Prepare the walk, if there is anything to be done. */
static int relabel_prepare(struct layer_walk *layer, struct walk **ret_walk)
{
	struct relabel *relabel = relabel_of(layer);
	struct request *request = layer->op.request;
	char home[HOME_PATH_MAX + 1], path[HOME_PATH_MAX + sizeof(LAYER_PLACE) + VARVE_ID_MAX + 2];
	int r = *relabel->text ? label_valid(relabel->text) : 1;

	if (r) {
		layer->op.detail = "SELinux does not know this label";
		return MIN(r, 0);
	}
	r = store_home(request_store(request), home);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/%s/%s", home, LAYER_PLACE, layer->op.id);
	if (label_refused(path)) {
		layer->op.detail = "this directory must not be relabelled";
		return -EPERM;
	}
	*ret_walk = &relabel->label.walk;
	return label_init(&relabel->label, request_store(request), layer->fd, layer->op.id,
			  relabel->text, &request->cancelled);
}

static void relabel_release(struct op *op)
{
	walk_free(&relabel_of(layer_walk_of(op))->label.walk);
}

static const struct op_class relabel_class = {
	.operation = VARVE_RELABEL,
	.size = sizeof(struct relabel),
	.holds = 1,
	.progress = true,
	.steps = layer_walk_steps,
	.steps_count = LAYER_WALK_STATES,
	.unwind = LAYER_WALK_LEAVE,
	.cancel_last = LAYER_WALK_WALK,
	.close = layer_walk_close,
	.release = relabel_release,
};

int relabel_submit(struct varve_store *store, const char *id, const char *label, uint64_t flags,
		   const struct submit *submit)
{
	char text[LABEL_BYTES];
	struct request *request;
	int r;

	label_make(label, flags & VARVE_RELABEL_SHARED, text);
	r = request_new(&store->core, &relabel_class, 1, strlen(id) + strlen(text) + 2, flags,
			&request);
	if (r)
		return r;
	relabel_of(layer_walk_of(request->ops))->text = request_string(request, text);
	layer_walk_setup(request->ops, request_string(request, id), relabel_prepare);
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}

int relabel_check(const char *label)
{
	return *label ? label_check(label) : 0;
}
