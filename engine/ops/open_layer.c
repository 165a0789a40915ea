/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_layer: a layer as a directory descriptor, which the callback owns. There is nothing to undo
 * and nothing for a crash to leave.
 */
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"

#include <string.h>

enum open_layer_state { OPEN_LAYER_OPEN, OPEN_LAYER_STATES };

struct open_layer {
	struct op op;
	/* Until the callback has it. */
	int fd;
};

static struct open_layer *open_layer_of(struct op *op)
{
	return container_of(op, struct open_layer, op);
}

/* Open, and prove that it is a layer. Lane thread. */
static int open_layer_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct varve_store *store = op_store(op);
	_cleanup_close_ int fd = layer_open(store, op->id);
	int r;

	if (fd < 0)
		return fd;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, fd, op->id, NULL);
	if (!r)
		open_layer_of(op)->fd = TAKE_FD(fd);
	return r;
}

static int open_layer_start(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", open_layer_run);
	return op_call(op);
}

static int open_layer_opened(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	return result < 0 ? result : OP_END;
}

static const struct op_step open_layer_steps[OPEN_LAYER_STATES] = {
	[OPEN_LAYER_OPEN] = { "OPEN", open_layer_start, open_layer_opened, true },
};

static void open_layer_result(struct request *request, struct varve_result *result)
{
	/* From here on it is the callback's. */
	if (!request->ops->error)
		result->descriptor = TAKE_FD(open_layer_of(request->ops)->fd);
}

/* Close what no callback has had: of a failed or cancelled one. */
static void open_layer_close(struct op *op)
{
	if (op->error)
		fd_close(TAKE_FD(open_layer_of(op)->fd));
}

static const struct op_class open_layer_class = {
	.operation = VARVE_OPEN_LAYER,
	.size = sizeof(struct open_layer),
	.holds = 1,
	.steps = open_layer_steps,
	.steps_count = OPEN_LAYER_STATES,
	.unwind = OPEN_LAYER_STATES,
	.cancel_last = OPEN_LAYER_OPEN,
	.result = open_layer_result,
	.close = open_layer_close,
};

int open_layer_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &open_layer_class, id, false, 0, 0, &request);

	if (r)
		return r;
	open_layer_of(request->ops)->fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
