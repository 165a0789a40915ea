/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush: the data and the names that a layer has survive a power cut.
 *
 *	state  what it does
 *	OPEN   opens the layer
 *	PROVE  proves that it is one
 *	FLUSH  waits for a flush of the file system that begins from then on; those in flight share it
 *
 * Nothing is changed, so there is nothing to undo, and nothing for a crash to leave.
 */
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"

#include <string.h>

enum flush_state { FLUSH_OPEN, FLUSH_PROVE, FLUSH_FLUSH, FLUSH_STATES };

struct flush {
	struct op op;
	int fd;
};

static struct flush *flush_of(struct op *op)
{
	return container_of(op, struct flush, op);
}

static int flush_open(struct op *op)
{
	/* Data that is lost from now on was the layer's, perhaps. */
	commit_write_begin(op);
	return layer_open_start(op);
}

static int flush_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	flush_of(op)->fd = result;
	return FLUSH_PROVE;
}

/* Prove that it is a layer. Lane thread. */
static int flush_prove_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	int r = layer_prove(op_store(op), flush_of(op)->fd, op->id, NULL);

	/* It is not needed any more, and would keep the space of a layer that is removed. */
	fd_close(TAKE_FD(flush_of(op)->fd));
	if (r == -EINVAL)
		op->detail = "not a subvolume of this store";
	return r;
}

static int flush_prove(struct op *op)
{
	call_function(&op->call, LANE_FS, "BTRFS_IOC_GET_SUBVOL_INFO", flush_prove_run);
	return op_call(op);
}

static const struct op_step flush_steps[FLUSH_STATES] = {
	[FLUSH_OPEN] = { "OPEN", flush_open, flush_opened, true },
	[FLUSH_PROVE] = { "PROVE", flush_prove, NULL },
	[FLUSH_FLUSH] = { "FLUSH", commit_flush, NULL },
};

static void flush_close(struct op *op)
{
	fd_close(TAKE_FD(flush_of(op)->fd));
}

static const struct op_class flush_class = {
	.operation = VARVE_FLUSH,
	.size = sizeof(struct flush),
	.holds = 1,
	.steps = flush_steps,
	.steps_count = FLUSH_STATES,
	.unwind = FLUSH_STATES,
	.cancel_last = FLUSH_FLUSH,
	.close = flush_close,
};

int flush_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &flush_class, id, false, 0, 0, &request);

	if (r)
		return r;
	flush_of(request->ops)->fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
