/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply: unpack an archive into a layer that is there.
 *
 *	state     what it does                      what a failure leaves      what a crash leaves
 *	OPEN      opens the layer                   nothing                    nothing
 *	UNPACK    proves it, and unpacks            the archive in part        the archive in part
 *	DURABLE   waits for a flush                 the archive, perhaps not   the archive in part, or whole
 *	                                            durable
 *
 * Nothing is undone: a layer that is to be whole or absent is made by create, which unpacks out of
 * sight.
 */
#include "engine/archive/unpack.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"

#include <stdio.h>
#include <string.h>

enum apply_state { APPLY_OPEN, APPLY_UNPACK, APPLY_DURABLE, APPLY_STATES };

struct apply {
	struct op op;
	int fd;
	struct unpack *unpack;
};

static struct apply *apply_of(struct op *op)
{
	return container_of(op, struct apply, op);
}

static int apply_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	apply_of(op)->fd = result;
	return APPLY_UNPACK;
}

/* Prove the layer and unpack. Lane thread. */
static int apply_unpack_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct apply *apply = apply_of(op);
	int r = layer_prove(op_store(op), apply->fd, op->id, NULL);

	return r ? r : unpack_run(apply->unpack, op, apply->fd);
}

/* Let go of a writer that does not write. */
static void apply_interrupt(struct op *op)
{
	unpack_interrupt(apply_of(op)->unpack, op);
}

static int apply_unpack(struct op *op)
{
	op->interrupt = apply_interrupt;
	apply_of(op)->unpack->writeback = op->request->durable ||
					  op->request->flags & VARVE_APPLY_WRITEBACK;
	commit_write_begin(op);
	call_function(&op->call, LANE_STREAM, "BTRFS_IOC_GET_SUBVOL_INFO", apply_unpack_run);
	return op_call(op);
}

static int apply_unpacked(struct op *op, int result)
{
	op->interrupt = NULL;
	if (result < 0)
		return result;
	return op->request->durable ? APPLY_DURABLE : OP_END;
}

static const struct op_step apply_steps[APPLY_STATES] = {
	[APPLY_OPEN] = { "OPEN", layer_open_start, apply_opened, true },
	[APPLY_UNPACK] = { "UNPACK", apply_unpack, apply_unpacked, true },
	[APPLY_DURABLE] = { "DURABLE", commit_flush, NULL },
};

static void apply_result(struct request *request, struct varve_result *result)
{
	const struct unpack *unpack = apply_of(request->ops)->unpack;

	result->bytes = unpack->size;
	result->digests = digests_result(&unpack->digests);
	skipped_report(&unpack->report, result);
}

static void apply_close(struct op *op)
{
	fd_close(TAKE_FD(apply_of(op)->fd));
	unpack_close(apply_of(op)->unpack);
}

static void apply_release(struct op *op)
{
	unpack_free(apply_of(op)->unpack);
}

static const struct op_class apply_class = {
	.operation = VARVE_APPLY,
	.fds = FDS_APPLY,
	.size = sizeof(struct apply),
	.holds = 1,
	.steps = apply_steps,
	.steps_count = APPLY_STATES,
	.unwind = APPLY_STATES,
	.cancel_last = APPLY_UNPACK,
	.result = apply_result,
	.close = apply_close,
	.release = apply_release,
};

int apply_submit(struct varve_store *store, const char *id,
		 const struct varve_apply_options *options, int fd, const struct submit *submit)
{
	struct request *request;
	struct apply *apply;
	int r = layer_request(store, &apply_class, id, true, 0, options->flags, &request);

	if (r)
		return r;
	apply = apply_of(request->ops);
	apply->fd = -EBADF;
	apply->op.fds_kind = FDS_READS;
	r = unpack_new(request, options, fd, &apply->unpack);
	if (!r)
		return request_submit(request, submit->callback, submit->user_data,
				      submit->ret_request);
	request_free(request);
	return r;
}
