/* SPDX-License-Identifier: Apache-2.0 */
/* noop: a request that does nothing. */
#include "engine/core/request.h"
#include "engine/ops/ops.h"

/* 320 bytes in flight, with the allocator's 8: programs keep thousands (docs/measurements.md). */
static_assert(sizeof(struct request) + sizeof(struct op) <= 312, "a request has grown");

/* Nothing. */
static int noop_run(struct op *op)
{
	return OP_END;
}

static const struct op_step noop_steps[] = {
	{ "RUN", noop_run, NULL, false },
};

static const struct op_class noop_class = {
	.operation = VARVE_NOOP,
	.fds = FDS_NOTHING,
	.size = sizeof(struct op),
	.steps = noop_steps,
	.steps_count = 1,
	.unwind = 1,
};

int noop_submit(struct varve_store *store, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &noop_class, 1, 0, 0, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}
