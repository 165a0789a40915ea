/* SPDX-License-Identifier: Apache-2.0 */
/* sync: flush and commit the file system and, where asked, wait for the cleaner. Undoes nothing; a crash loses nothing. */
#include "engine/btrfs/cleaner.h"
#include "engine/core/request.h"
#include "engine/core/store.h"
#include "engine/ops/ops.h"

enum sync_state { SYNC_COMMIT, SYNC_CLEAN, SYNC_STATES };

static int sync_commit(struct op *op)
{
	op->call.name = "BTRFS_IOC_SYNC";
	return clock_flush(op);
}

static int sync_committed(struct op *op, int result)
{
	if (result < 0)
		return result;
	return op->request->flags & VARVE_SYNC_CLEAN ? SYNC_CLEAN : OP_END;
}

static int sync_clean(struct op *op)
{
	op->call.name = "BTRFS_IOC_SUBVOL_SYNC_WAIT";
	return cleaner_drain(op);
}

static const struct op_step sync_steps[SYNC_STATES] = {
	[SYNC_COMMIT] = { "COMMIT", sync_commit, sync_committed },
	[SYNC_CLEAN] = { "CLEAN", sync_clean, NULL },
};

static const struct op_class sync_class = {
	.operation = VARVE_SYNC,
	.size = sizeof(struct op),
	.steps = sync_steps,
	.steps_count = SYNC_STATES,
	.unwind = SYNC_STATES,
	.cancel_last = SYNC_CLEAN,
};

int sync_submit(struct varve_store *store, uint32_t flags, const struct submit *submit)
{
	struct request *request;
	int r = request_new(store, &sync_class, 1, 0, flags, &request);

	return r ? r : request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
