/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freeze: make a layer read-only, or writable again. The kernel sets the flag in a transaction of
 * its own and commits that, so a request that succeeded is durable.
 *
 *	state  what it does                        what a failure or a crash leaves
 *	OPEN   opens the layer and proves it       nothing
 *	SET    sets the flag, where it is another  the layer read-only or writable, as before or as asked
 */
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"

#include <string.h>

enum freeze_state { FREEZE_OPEN, FREEZE_SET, FREEZE_STATES };

struct freeze {
	struct op op;
	int fd;
};

static struct freeze *freeze_of(struct op *op)
{
	return container_of(op, struct freeze, op);
}

static int freeze_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	freeze_of(op)->fd = result;
	return FREEZE_SET;
}

/* Prove that it is a layer, and set the flag. Lane thread. */
static int freeze_set_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	bool wanted = !(op->request->flags & VARVE_FREEZE_THAW), now;
	int r = layer_prove(op_store(op), freeze_of(op)->fd, op->id, NULL);

	if (r) {
		op->detail = r == -EINVAL ? "not a subvolume of this store" : NULL;
		return r;
	}
	call->name = "BTRFS_IOC_SUBVOL_GETFLAGS";
	r = subvol_get_read_only(freeze_of(op)->fd, &now);
	if (r || now == wanted)
		return r;
	call->name = "BTRFS_IOC_SUBVOL_SETFLAGS";
	return subvol_set_read_only(freeze_of(op)->fd, wanted);
}

static int freeze_set(struct op *op)
{
	call_function(&op->call, LANE_COMMIT, "BTRFS_IOC_GET_SUBVOL_INFO", freeze_set_run);
	return op_call(op);
}

static int freeze_was_set(struct op *op, int result)
{
	if (result == -EPERM && op->request->flags & VARVE_FREEZE_THAW)
		op->detail = "not the owner, or the layer is being sent";
	return result < 0 ? result : OP_END;
}

static const struct op_step freeze_steps[FREEZE_STATES] = {
	[FREEZE_OPEN] = { "OPEN", layer_open_start, freeze_opened, true },
	[FREEZE_SET] = { "SET", freeze_set, freeze_was_set },
};

static void freeze_close(struct op *op)
{
	fd_close(TAKE_FD(freeze_of(op)->fd));
}

static const struct op_class freeze_class = {
	.operation = VARVE_FREEZE,
	.size = sizeof(struct freeze),
	.holds = 1,
	.steps = freeze_steps,
	.steps_count = FREEZE_STATES,
	.unwind = FREEZE_STATES,
	.cancel_last = FREEZE_SET,
	.close = freeze_close,
};

int freeze_submit(struct varve_store *store, const char *id, uint64_t flags,
		  const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &freeze_class, id, true, 0, flags, &request);

	if (r)
		return r;
	freeze_of(request->ops)->fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
