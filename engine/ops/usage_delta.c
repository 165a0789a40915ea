/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage with VARVE_USAGE_DELTA: what a layer has that its parent had not when the layer was made.
 * Changes nothing.
 *
 *	state   what it does
 *	ADMIT   for a walk, waits until one more may run
 *	FLUSH   flushes the file system, unless the caller wants no flush; requests at one time share a flush
 *	OPEN    opens and proves the layer; a search ends here where the answer is remembered
 *	SEARCH  searches the tree, and remembers the answer
 *	WALK    finds and opens the parent, and walks both
 *	LEAVE   after a failure: lets the next walk in
 *
 * An answer is remembered where the layer's last change belongs to a transaction (ctransid) that is
 * closed: each later change has a later ctransid, and makes a new search. The transaction is closed
 * once the commit has written it as the generation of the root of the tree; a new subvolume that is
 * no snapshot has that generation before the commit, so there it does not count. The transaction is
 * also closed once the file system has begun a later one. Nested subvolumes have a ctransid of
 * their own, so a layer with some is searched each time.
 */
#include "engine/btrfs/fs.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/diff/delta_search.h"
#include "engine/diff/delta_walk.h"
#include "engine/dir/mounts.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/parent.h"
#include "engine/store/usage_cache.h"

#include <string.h>

enum usage_delta_state {
	USAGE_DELTA_ADMIT,
	USAGE_DELTA_FLUSH,
	USAGE_DELTA_OPEN,
	USAGE_DELTA_SEARCH,
	USAGE_DELTA_WALK,
	USAGE_DELTA_LEAVE,
	USAGE_DELTA_STATES
};

struct usage_delta {
	struct op op;
	uint64_t flags;
	/* The trees are searched. */
	bool search;
	/* The parent's root directory and the layer's; what keeps their clones. */
	int fds[2], trees[2];
	struct btrfs_ioctl_get_subvol_info_args info;
	char parent[VARVE_ID_MAX + 1];
	struct delta_walk walk;
	struct varve_layer_usage answer;
};

static struct usage_delta *usage_delta_of(struct op *op)
{
	return container_of(op, struct usage_delta, op);
}

/* Close what is open. */
static void usage_delta_close(struct op *op)
{
	struct usage_delta *usage = usage_delta_of(op);

	for (unsigned i = 0; i < 2; i++) {
		fd_close(TAKE_FD(usage->fds[i]));
		fd_close(TAKE_FD(usage->trees[i]));
	}
}

/* ---- ADMIT, FLUSH, OPEN ---------------------------------------------------------------------- */

static int usage_delta_admit(struct op *op)
{
	struct usage_delta *usage = usage_delta_of(op);

	usage->search = !(usage->flags & VARVE_USAGE_WALK) &&
			(usage->flags & VARVE_USAGE_SEARCH || op_store(op)->layout.privileged);
	return usage->search ? USAGE_DELTA_FLUSH : workers_admit(op);
}

static int usage_delta_flush(struct op *op)
{
	if (usage_delta_of(op)->flags & VARVE_USAGE_NO_FLUSH)
		return USAGE_DELTA_OPEN;
	return commit_flush(op);
}

/* Answer with NUMBERS, counted by METHOD. */
static void usage_delta_answer(struct usage_delta *usage, uint64_t method,
			       const struct usage_numbers *numbers)
{
	usage->answer.flags = method;
	usage->answer.inodes = numbers->inodes;
	usage->answer.bytes = numbers->bytes;
	usage->answer.disk_bytes = numbers->disk_bytes;
}

/* Open the layer, and look whether the answer is known. Lane thread. */
static int usage_delta_open_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct usage_delta *usage = usage_delta_of(op);
	struct varve_store *store = op_store(op);
	struct usage_numbers numbers;
	int r;

	/* The step may have begun anew. */
	usage_delta_close(op);
	r = usage->fds[1] = layer_open(store, op->id);
	if (r < 0)
		return r;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, usage->fds[1], op->id, &usage->info);
	if (r || !usage->search)
		return r;
	fd_close(TAKE_FD(usage->fds[1]));
	if (usage_cache_find(store->usages, usage->info.treeid, usage->info.ctransid, &numbers))
		usage_delta_answer(usage, VARVE_USAGE_SEARCH | VARVE_USAGE_REMEMBERED, &numbers);
	return 0;
}

static int usage_delta_open(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", usage_delta_open_run);
	return op_call(op);
}

static int usage_delta_opened(struct op *op, int result)
{
	const struct usage_delta *usage = usage_delta_of(op);

	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (result < 0)
		return result;
	if (usage->answer.flags)
		return OP_END;
	return usage->search ? USAGE_DELTA_SEARCH : USAGE_DELTA_WALK;
}

/* ---- SEARCH ---------------------------------------------------------------------------------- */

/*
 * Does the last change in INFO belong to a closed transaction? The file system was in transaction
 * GENERATION later (0: not known).
 */
static bool usage_delta_lasts(const struct btrfs_ioctl_get_subvol_info_args *info,
			      uint64_t generation)
{
	bool snapshot = subvol_is_snapshot(info->parent_uuid);

	return generation > info->ctransid || (info->generation >= info->ctransid &&
					       (snapshot || info->generation > info->otransid));
}

/* Search, and remember the answer where it lasts. Lane thread. */
static int usage_delta_search_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct usage_delta *usage = usage_delta_of(op);
	struct varve_store *store = op_store(op);
	const struct btrfs_ioctl_get_subvol_info_args *info = &usage->info;
	struct delta_search search = {
		.fd = store->layout.home_fd,
		.tree = info->treeid,
		.generation = info->otransid,
		.made = { .tv_sec = (time_t)info->otime.sec, .tv_nsec = info->otime.nsec },
		.fault = &store->core.io.fault,
		.cancelled = &op->request->cancelled,
		.yield.wakes = &store->core.io.wakes,
	};
	struct usage_numbers numbers;
	/* Changes after this look may be missing from the answer. */
	bool lasts = usage_delta_lasts(info, fs_generation(store->layout.home_fd));
	int r;

	memcpy(search.parent, info->parent_uuid, sizeof(search.parent));
	r = delta_search_run(&search);
	if (r)
		return r;
	numbers = (struct usage_numbers){ .inodes = search.sums.inodes,
					  .bytes = search.sums.bytes,
					  .disk_bytes = search.sums.disk_bytes };
	usage_delta_answer(usage, VARVE_USAGE_SEARCH, &numbers);
	if (lasts && !search.nested)
		usage_cache_keep(store->usages, info->treeid, info->ctransid, &numbers);
	return 0;
}

static int usage_delta_search(struct op *op)
{
	call_function(&op->call, LANE_LONG, "BTRFS_IOC_TREE_SEARCH_V2", usage_delta_search_run);
	return op_call(op);
}

static int usage_delta_searched(struct op *op, int result)
{
	if (result == -EPERM)
		op->detail = "a search takes CAP_SYS_ADMIN";
	if (result == -ENOBUFS)
		op->detail = "more nested subvolumes than a search counts: walk";
	return result < 0 ? result : OP_END;
}

/* ---- WALK ------------------------------------------------------------------------------------ */

/* What it comes to that the parent is gone: no inodes, and all of the layer would be new. */
static int usage_delta_orphan(struct usage_delta *usage)
{
	usage->op.detail =
		"the layer that it is a snapshot of is not in the store any more: a walk cannot tell what is new";
	return -ESTALE;
}

/* Find and open the parent, if the layer is a snapshot. Lane thread. */
static int usage_delta_parent(struct usage_delta *usage)
{
	struct btrfs_ioctl_get_subvol_info_args info;
	struct op *op = &usage->op;
	struct varve_store *store = op_store(op);
	int r;

	if (!subvol_is_snapshot(usage->info.parent_uuid))
		return 0;
	r = parent_name(store, usage->info.parent_uuid, usage->parent);
	if (r)
		return r;
	if (!*usage->parent)
		return usage_delta_orphan(usage);
	fd_close(TAKE_FD(usage->fds[0]));
	fd_close(TAKE_FD(usage->trees[0]));
	r = usage->fds[0] = layer_open(store, usage->parent);
	if (r >= 0)
		r = layer_prove(store, r, usage->parent, &info);
	/* It may have been replaced since. */
	if (r == -ENOENT || (!r && memcmp(info.uuid, usage->info.parent_uuid, BTRFS_UUID_SIZE)))
		return usage_delta_orphan(usage);
	return r;
}

/* Walk both. Lane thread. */
static int usage_delta_walk_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct usage_delta *usage = usage_delta_of(op);
	struct delta_walk *walk = &usage->walk;
	struct usage_numbers numbers;
	int r = usage_delta_parent(usage);

	if (r)
		return r;
	*walk = (struct delta_walk){
		.store = op_store(op),
		.ids = { usage->parent, op->id },
		.made = { .tv_sec = (time_t)usage->info.otime.sec,
			  .tv_nsec = usage->info.otime.nsec },
		.cancelled = &op->request->cancelled,
		.progress = op->request->progress,
	};
	call->name = "open_tree";
	for (unsigned i = 0; i < 2; i++) {
		if (usage->fds[i] >= 0 && usage->trees[i] < 0)
			r = mounts_clone_look(&usage->fds[i], &usage->trees[i]);
		if (r < 0)
			return r;
		walk->fds[i] = usage->fds[i];
		walk->mounts[i] = usage->trees[i] < 0;
	}
	call->name = "statx";
	r = delta_walk_run(walk);
	if (r)
		return r;
	/* A parent that is gone would make all of the layer count as new. */
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	if (*usage->parent) {
		r = layer_prove(op_store(op), usage->fds[0], usage->parent, NULL);
		if (r)
			return r == -ENOENT ? usage_delta_orphan(usage) : r;
	}
	numbers = (struct usage_numbers){ .inodes = walk->sums.inodes,
					  .bytes = walk->sums.bytes,
					  .disk_bytes = walk->sums.disk_bytes };
	usage_delta_answer(usage, VARVE_USAGE_WALK | (walk->left_out ? VARVE_USAGE_MOUNTS : 0),
			   &numbers);
	return 0;
}

static int usage_delta_walk(struct op *op)
{
	call_function(&op->call, LANE_LONG, "openat2", usage_delta_walk_run);
	return op_call(op);
}

static int usage_delta_walked(struct op *op, int result)
{
	struct usage_delta *usage = usage_delta_of(op);

	if (result < 0 && usage->walk.error_call) {
		op->call.name = usage->walk.error_call;
		op->subject = usage->walk.error_path;
	}
	if (result == -EBUSY)
		op->detail = "a process holds a lease on the file";
	return result < 0 ? result : workers_leave(op);
}

static const struct op_step usage_delta_steps[USAGE_DELTA_STATES] = {
	[USAGE_DELTA_ADMIT] = { "ADMIT", usage_delta_admit, NULL },
	[USAGE_DELTA_FLUSH] = { "FLUSH", usage_delta_flush, NULL },
	[USAGE_DELTA_OPEN] = { "OPEN", usage_delta_open, usage_delta_opened, true },
	[USAGE_DELTA_SEARCH] = { "SEARCH", usage_delta_search, usage_delta_searched },
	[USAGE_DELTA_WALK] = { "WALK", usage_delta_walk, usage_delta_walked, true },
	[USAGE_DELTA_LEAVE] = { "LEAVE", workers_leave, NULL },
};

static void usage_delta_result(struct request *request, struct varve_result *result)
{
	struct varve_layer_usage *answer = &usage_delta_of(request->ops)->answer;

	if (request->ops->error)
		return;
	answer->size = sizeof(*answer);
	result->usage = answer;
}

static const struct op_class usage_delta_class = {
	.operation = VARVE_USAGE,
	.size = sizeof(struct usage_delta),
	.holds = 1,
	.progress = true,
	.steps = usage_delta_steps,
	.steps_count = USAGE_DELTA_STATES,
	.unwind = USAGE_DELTA_LEAVE,
	.cancel_last = USAGE_DELTA_WALK,
	.result = usage_delta_result,
	.close = usage_delta_close,
};

int usage_delta_submit(struct varve_store *store, const char *id, uint64_t flags,
		       const struct submit *submit)
{
	struct usage_delta *usage;
	struct request *request;
	int r = layer_request(store, &usage_delta_class, id, false, 0, 0, &request);

	if (r)
		return r;
	usage = usage_delta_of(request->ops);
	usage->fds[0] = usage->fds[1] = usage->trees[0] = usage->trees[1] = -EBADF;
	usage->flags = flags;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
