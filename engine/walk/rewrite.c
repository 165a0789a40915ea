/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/rewrite.h"
#include "engine/store/store.h"
#include "engine/walk/layer_walk.h"

#include <fcntl.h>
#include <stdio.h>

struct rewrite {
	struct op *op;
	const struct rewrite_plan *plan;
	struct skipped *report;
	/* The subvolume: where, its name, its root. */
	int dir_fd, fd;
	char name[VARVE_ID_MAX + 1];
	/* Opens and prepares. */
	struct call call;
	struct shift shift;
	struct label label;
	/* SELinux is on. */
	bool labels;
};

/* Does PLAN shift? */
static bool rewrite_shifts(const struct rewrite_plan *plan)
{
	const struct shift_maps *maps = &plan->maps;

	return maps->uid_from.count || maps->gid_from.count || maps->uid_to.count ||
	       maps->gid_to.count;
}

bool rewrite_wanted(const struct rewrite_plan *plan)
{
	return plan && (rewrite_shifts(plan) || plan->label);
}

/* Open the subvolume, prepare the walks. Lane thread. */
static int rewrite_open_run(struct call *call)
{
	struct rewrite *rewrite = container_of(call, struct rewrite, call);
	struct request *request = rewrite->op->request;
	const struct rewrite_plan *plan = rewrite->plan;
	int r = plan->label ? label_valid(plan->label) : 1;

	if (r < 0) {
		rewrite->op->detail = "SELinux does not know this label";
		return r;
	}
	rewrite->labels = !r;
	rewrite->op->call.name = "openat";
	rewrite->fd = open_directory(rewrite->dir_fd, rewrite->name);
	if (rewrite->fd < 0)
		return rewrite->fd;
	r = 0;
	if (rewrite_shifts(plan))
		r = shift_init(&rewrite->shift, request_store(request), rewrite->fd,
			       rewrite->op->id, &plan->maps, "create", rewrite->report,
			       &request->cancelled);
	if (!r && rewrite->labels)
		r = label_init(&rewrite->label, request_store(request), rewrite->fd,
			       rewrite->op->id, plan->label, &request->cancelled);
	return r;
}

static void rewrite_next(struct rewrite *rewrite);

/* One of the walks is over. */
static void rewrite_walked(struct walk *walk, int result)
{
	struct rewrite *rewrite = walk->context;

	layer_walk_blame(rewrite->op, walk, result);
	if (result)
		op_done(rewrite->op, result);
	else
		rewrite_next(rewrite);
}

/* Begin the next walk, or end with success. Reactor. */
static void rewrite_next(struct rewrite *rewrite)
{
	/* A walk that is over has no class any more. */
	struct walk *walk = rewrite->shift.walk.class ? &rewrite->shift.walk : &rewrite->label.walk;

	if (!walk->class) {
		op_done(rewrite->op, 0);
		return;
	}
	walk->context = rewrite;
	walk->done = rewrite_walked;
	walk->job.progress = rewrite->op->request->progress;
	/* The subvolume is not published, so nothing can be mounted in it. */
	walk->mounts = walk->hold = false;
	rewrite->op->begun = true;
	job_start(&walk->job);
}

/* All is prepared. */
static void rewrite_opened(struct call *call)
{
	struct rewrite *rewrite = container_of(call, struct rewrite, call);

	if (call->result < 0)
		op_done(rewrite->op, call->result);
	else
		rewrite_next(rewrite);
}

int rewrite_start(struct op *op, const struct rewrite_plan *plan, int dir_fd, const char *name,
		  struct skipped *report, struct rewrite **ret_rewrite)
{
	struct varve_store *store = op_store(op);
	struct rewrite *rewrite = fault_calloc(&store->core.io.fault, 1, sizeof(*rewrite));

	if (!rewrite)
		return -ENOMEM;
	/* The step may have begun anew. */
	rewrite_free(*ret_rewrite);
	rewrite->op = op;
	rewrite->plan = plan;
	rewrite->report = report;
	rewrite->dir_fd = dir_fd;
	rewrite->fd = -EBADF;
	snprintf(rewrite->name, sizeof(rewrite->name), "%s", name);
	call_function(&rewrite->call, LANE_FS, "openat", rewrite_open_run);
	rewrite->call.done = rewrite_opened;
	*ret_rewrite = rewrite;
	io_submit(&store->core.io, &rewrite->call);
	return OP_WAIT;
}

void rewrite_free(struct rewrite *rewrite)
{
	if (!rewrite)
		return;
	shift_free(&rewrite->shift);
	walk_free(&rewrite->label.walk);
	fd_close(rewrite->fd);
	free(rewrite);
}
