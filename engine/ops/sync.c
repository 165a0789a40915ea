/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync: flush and commit the file system and, where asked, wait until the subvolumes that are dead
 * by then are dropped. Undoes nothing; a crash loses nothing.
 *
 *	COMMIT   flushes and commits
 *	CLEAN    looks which subvolumes are dead; then, each time the cleaner was asked, which of them still are
 *	FREE     commits again: what the cleaner dropped is free space only after that
 *
 * Without the privilege to search trees only the length of the cleaner's queue is known: then CLEAN
 * waits until the queue was empty once, and the subvolume that the cleaner drops at that moment may
 * still be there.
 */
#include "engine/btrfs/fs.h"
#include "engine/core/progress.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/backlog.h"
#include "engine/store/store.h"

enum sync_state { SYNC_COMMIT, SYNC_CLEAN, SYNC_FREE, SYNC_STATES };

struct sync {
	struct op op;
	/* What was dead at the beginning and still is. */
	struct fs_dead dead;
	/* Dead ones left. */
	uint64_t left;
	/* That has been looked at; it waits for the next look. */
	bool begun, waiting;
};

static struct sync *sync_of(struct op *op)
{
	return container_of(op, struct sync, op);
}

static int sync_committed(struct op *op, int result)
{
	if (result < 0)
		return result;
	return op->request->flags & VARVE_SYNC_CLEAN ? SYNC_CLEAN : OP_END;
}

/* Look what is left, on a lane thread. */
static int sync_look_run(struct call *call)
{
	struct sync *sync = sync_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&sync->op);
	struct fs_dead now;
	int r;

	if (!store->layout.privileged)
		return fs_dead_count(store->layout.home_fd, &sync->left);
	r = fs_dead_collect(store->layout.home_fd, &now, &store->core.io.fault);
	if (r)
		return r;
	if (sync->begun) {
		fs_dead_intersect(&sync->dead, &now);
		free(now.ids);
	} else
		sync->dead = now;
	sync->begun = true;
	sync->left = sync->dead.count;
	return 0;
}

static int sync_clean(struct op *op)
{
	sync_of(op)->waiting = false;
	call_function(&op->call, LANE_LONG, "BTRFS_IOC_TREE_SEARCH_V2", sync_look_run);
	return op_call(op);
}

static int sync_cleaned(struct op *op, int result)
{
	struct sync *sync = sync_of(op);

	if (result < 0)
		return result;
	if (op->request->cancelled)
		return -ECANCELED;
	if (sync->waiting)
		return sync_clean(op);
	op->request->progress->left = sync->left;
	progress_made(op->request);
	if (!sync->left)
		return SYNC_FREE;
	sync->waiting = true;
	return backlog_wait_look(op);
}

static const struct op_step sync_steps[SYNC_STATES] = {
	[SYNC_COMMIT] = { "COMMIT", commit_flush, sync_committed },
	[SYNC_CLEAN] = { "CLEAN", sync_clean, sync_cleaned },
	[SYNC_FREE] = { "FREE", commit_flush, NULL },
};

static void sync_release(struct op *op)
{
	free(sync_of(op)->dead.ids);
}

static const struct op_class sync_class = {
	.operation = VARVE_SYNC,
	.size = sizeof(struct sync),
	.progress = true,
	.steps = sync_steps,
	.steps_count = SYNC_STATES,
	.unwind = SYNC_STATES,
	.cancel_last = SYNC_FREE,
	.release = sync_release,
};

int sync_submit(struct varve_store *store, uint64_t flags, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &sync_class, 1, 0, flags, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}
