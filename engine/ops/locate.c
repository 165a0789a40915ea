/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get and exists: is there a layer, and where. One statx answers; only where something is mounted on the layer's place is
 * it opened and proved. Neither changes anything, so there is nothing to undo and nothing for a crash to leave.
 */
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/layer.h"

#include <stdio.h>
#include <string.h>

enum locate_state { LOCATE_LOOK, LOCATE_PROVE, LOCATE_STATES };

struct locate {
	struct op op;
	struct statx statx;
	/* get: the path; NULL until it is found. */
	char *path;
	bool exists;
};

static struct locate *locate_of(struct op *op)
{
	return container_of(op, struct locate, op);
}

/* The layer is there. */
static int locate_found(struct locate *locate)
{
	struct varve_store *store = locate->op.request->store;

	locate->exists = true;
	if (locate->op.class->operation != VARVE_GET)
		return OP_END;
	if (fault_hit(&store->io.fault, FAULT_ALLOCATION) ||
	    asprintf(&locate->path, "%s/" LAYER_PLACE "/%s", store->layout.home, locate->op.id) < 0) {
		locate->path = NULL;
		return -ENOMEM;
	}
	return OP_END;
}

/* What ERROR, which says that there is no layer, means: to exists it is an answer. */
static int locate_missing(struct locate *locate, int error)
{
	bool answer = error == -ENOENT || error == -ENOTDIR || error == -EINVAL;

	if (error == -EINVAL)
		locate->op.detail = "not a subvolume";
	return answer && locate->op.class->operation == VARVE_EXISTS ? OP_END : error;
}

static int locate_look(struct op *op)
{
	layer_stat_call(op->request->store, &op->call, op->id, &locate_of(op)->statx);
	return op_call(op);
}

static int locate_looked(struct op *op, int result)
{
	struct locate *locate = locate_of(op);

	if (result >= 0)
		result = layer_judge(op->request->store, &locate->statx);
	if (result < 0)
		return locate_missing(locate, result);
	return result ? LOCATE_PROVE : locate_found(locate);
}

/* Open what is mounted there, and prove that it is the layer all the same. Lane thread. */
static int locate_prove_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	_cleanup_close_ int fd = layer_open(op->request->store, op->id);

	return fd < 0 ? fd : layer_prove(op->request->store, fd, op->id, NULL);
}

static int locate_prove(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", locate_prove_run);
	return op_call(op);
}

static int locate_proved(struct op *op, int result)
{
	return result < 0 ? locate_missing(locate_of(op), result) : locate_found(locate_of(op));
}

static const struct op_step locate_steps[LOCATE_STATES] = {
	[LOCATE_LOOK] = { "LOOK", locate_look, locate_looked },
	[LOCATE_PROVE] = { "PROVE", locate_prove, locate_proved },
};

static void locate_result(struct request *request, struct varve_result *result)
{
	struct locate *locate = locate_of(request->ops);

	if (request->class->operation == VARVE_GET)
		result->path = locate->path;
	else
		result->exists = locate->exists;
}

static void locate_release(struct op *op)
{
	free(locate_of(op)->path);
}

#define LOCATE_CLASS(kind)                         \
	{                                          \
		.operation = kind,                 \
		.size = sizeof(struct locate),     \
		.steps = locate_steps,             \
		.steps_count = LOCATE_STATES,      \
		.unwind = LOCATE_STATES,           \
		.cancel_last = LOCATE_PROVE,       \
		.result = locate_result,           \
		.release = locate_release,         \
	}

static const struct op_class get_class = LOCATE_CLASS(VARVE_GET);
static const struct op_class exists_class = LOCATE_CLASS(VARVE_EXISTS);

/* Submit one of the two. */
static int locate_submit(struct varve_store *store, const struct op_class *class, const char *id,
			 const struct submit *submit)
{
	struct request *request;
	struct op *op;
	int r = request_new(store, class, 1, strlen(id) + 1, 0, &request);

	if (r)
		return r;
	op = request->ops;
	op->id = op->subject = request_string(request, id);
	op->place = LAYER_PLACE;
	op->holds[0] = (struct hold){ .id = op->id };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}

int get_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	return locate_submit(store, &get_class, id, submit);
}

int exists_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	return locate_submit(store, &exists_class, id, submit);
}
