/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: measure a layer. Changes nothing.
 *
 *	state   what it does
 *	ADMIT   waits until one more walk may run
 *	OPEN    opens the layer, reads its quota group, chooses the method; for a search, flushes the file system
 *	COUNT   searches the trees of the layer, or walks it
 *	LEAVE   after a failure: lets the next walk in
 *
 * The search is faster, but takes CAP_SYS_ADMIN. With that a walk goes through a clone of the
 * layer's mount, and sees what mounts cover, too; without, what mounts cover is left out, and the
 * answer says so.
 */
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/mounts.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/walk/usage_search.h"
#include "engine/walk/walk.h"

#include <string.h>

enum usage_state { USAGE_ADMIT, USAGE_OPEN, USAGE_COUNT, USAGE_LEAVE, USAGE_STATES };

struct usage {
	struct op op;
	uint64_t flags;
	/* The layer, and what keeps its clone. */
	int fd, tree_fd;
	/* FD is in a clone of its mount, where nothing is mounted. */
	bool cloned;
	struct walk walk;
	/* Inodes with several links that were counted. */
	struct inode_set seen;
	struct usage_search usage_search;
	struct varve_layer_usage answer;
};

static struct usage *usage_of(struct op *op)
{
	return container_of(op, struct usage, op);
}

/* ---- OPEN ------------------------------------------------------------------------------------ */

/* Prepare the search for subvolume NUMBER. */
static int usage_open_search(struct usage *usage, uint64_t number)
{
	struct op *op = &usage->op;
	int r;

	/* Flush: the tree has a file's size only once its data is written. */
	op->call.name = "BTRFS_IOC_SYNC";
	r = usage->flags & VARVE_USAGE_NO_FLUSH ? 0 : fs_flush(usage->fd);
	op->call.name = "BTRFS_IOC_TREE_SEARCH_V2";
	if (!r)
		r = usage_search_init(&usage->usage_search, op_store(op), usage->fd, number,
				      &op->request->cancelled);
	if (!r && !(usage->flags & VARVE_USAGE_SEARCH) &&
	    usage->usage_search.subvolumes.count >= NESTED_MAX)
		usage->answer.flags ^= VARVE_USAGE_SEARCH | VARVE_USAGE_WALK;
	return r;
}

/* Open and prove the layer, and choose the method. Lane thread. */
static int usage_open_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct usage *usage = usage_of(op);
	struct varve_store *store = op_store(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	struct qgroup_numbers numbers;
	int r;

	/* The step may have begun anew. */
	fd_close(TAKE_FD(usage->fd));
	fd_close(TAKE_FD(usage->tree_fd));
	r = usage->fd = layer_open(store, op->id);
	if (r < 0)
		return r;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, usage->fd, op->id, &info);
	if (r)
		return r;
	call->name = "open_tree";
	r = mounts_clone(&usage->fd, &usage->tree_fd);
	if (r < 0)
		return r;
	usage->cloned = r;
	r = 0;
	usage->answer.flags = usage->flags & (VARVE_USAGE_WALK | VARVE_USAGE_SEARCH);
	if (!usage->answer.flags)
		usage->answer.flags = store->layout.privileged ? VARVE_USAGE_SEARCH
							       : VARVE_USAGE_WALK;
	if (usage->answer.flags & VARVE_USAGE_SEARCH)
		r = usage_open_search(usage, info.treeid);
	if (r)
		return r;
	call->name = "read";
	/* After the flush of a search, which the counts then contain. */
	r = qgroup_numbers(&store->fs, QUOTA_GROUP(0, info.treeid), &numbers);
	if (r)
		return qgroup_unseen(r) ? 0 : r;
	usage->answer.flags |= VARVE_USAGE_QUOTA;
	usage->answer.referenced_bytes = numbers.referenced;
	usage->answer.exclusive_bytes = numbers.exclusive;
	usage->answer.limit_bytes = numbers.limit;
	return 0;
}

static int usage_open(struct op *op)
{
	/* A flush sleeps. */
	call_function(&op->call, LANE_COMMIT, "openat2", usage_open_run);
	return op_call(op);
}

static int usage_opened(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (result == -EPERM)
		op->detail = "a search takes CAP_SYS_ADMIN";
	return result < 0 ? result : USAGE_COUNT;
}

/* ---- COUNT ----------------------------------------------------------------------------------- */

/* Count a directory; the stand-ins for nested subvolumes are one inode. */
static int usage_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct usage *usage = walk->data;
	struct sums sums = { .inodes = 1, .disk_bytes = stat->stx_blocks * 512 };
	int r = 1;

	if (stat->stx_ino == BTRFS_EMPTY_SUBVOL_DIR_OBJECTID)
		r = inode_set_add(&usage->seen, dir->subvolume, stat->stx_ino);
	if (r > 0)
		job_add(&walk->job, &sums);
	return MIN(r, 0);
}

/* Count an entry that is no directory, unless its inode was counted under another name. */
static int usage_visit(struct walk *walk, struct walk_entry *entry)
{
	struct usage *usage = walk->data;
	const struct statx *stat = entry->stat;
	int r = stat->stx_nlink > 1
			? inode_set_add(&usage->seen, entry->dir->subvolume, stat->stx_ino)
			: 1;

	if (r > 0) {
		entry->sums->inodes++;
		entry->sums->bytes = bytes_add(entry->sums->bytes, stat->stx_size);
		entry->sums->disk_bytes += stat->stx_blocks * 512;
	}
	return MIN(r, 0);
}

static const struct walk_class usage_walk_class = {
	.call = "statx",
	.stat = true,
	.leaves_mounts = true,
	.enter = usage_enter,
	.visit = usage_visit,
};

/* Take the numbers that JOB has counted. */
static void usage_take(struct usage *usage, const struct job *job)
{
	usage->answer.inodes = job->inodes;
	usage->answer.bytes = job->bytes;
	usage->answer.disk_bytes = job->disk_bytes;
}

/* Continue the operation: the walk is over. */
static void usage_walked(struct walk *walk, int result)
{
	struct usage *usage = walk->data;

	usage_take(usage, &walk->job);
	if (walk->left_out)
		usage->answer.flags |= VARVE_USAGE_MOUNTS;
	if (result && result == walk->error) {
		usage->op.call.name = walk->error_call;
		usage->op.subject = walk->error_path;
	}
	op_done(&usage->op, result);
}

/* Continue the operation: the search is over. */
static void usage_searched(struct usage_search *usage_search, int result)
{
	struct usage *usage = container_of(usage_search, struct usage, usage_search);

	usage_take(usage, &usage_search->job);
	op_done(&usage->op, result);
}

static int usage_count(struct op *op)
{
	struct usage *usage = usage_of(op);
	int r;

	op->call.name = "BTRFS_IOC_TREE_SEARCH_V2";
	if (!(usage->answer.flags & VARVE_USAGE_WALK)) {
		usage->usage_search.done = usage_searched;
		usage->usage_search.job.progress = op->request->progress;
		job_start(&usage->usage_search.job);
		return OP_WAIT;
	}
	r = walk_init(&usage->walk, op_store(op), &usage_walk_class, usage->fd, op->id,
		      &op->request->cancelled);
	if (r)
		return r;
	inode_set_init(&usage->seen, &op->request->core->io.fault);
	usage->walk.data = usage;
	usage->walk.done = usage_walked;
	usage->walk.mounts = !usage->cloned;
	usage->walk.job.progress = op->request->progress;
	job_start(&usage->walk.job);
	return OP_WAIT;
}

static int usage_counted(struct op *op, int result)
{
	return result < 0 ? result : workers_leave(op);
}

static const struct op_step usage_steps[USAGE_STATES] = {
	[USAGE_ADMIT] = { "ADMIT", workers_admit, NULL },
	[USAGE_OPEN] = { "OPEN", usage_open, usage_opened, true },
	[USAGE_COUNT] = { "COUNT", usage_count, usage_counted },
	[USAGE_LEAVE] = { "LEAVE", workers_leave, NULL },
};

static void usage_result(struct request *request, struct varve_result *result)
{
	struct varve_layer_usage *answer = &usage_of(request->ops)->answer;

	if (request->ops->error)
		return;
	answer->size = sizeof(*answer);
	result->usage = answer;
}

static void usage_close(struct op *op)
{
	fd_close(TAKE_FD(usage_of(op)->fd));
	fd_close(TAKE_FD(usage_of(op)->tree_fd));
}

static void usage_release(struct op *op)
{
	struct usage *usage = usage_of(op);

	inode_set_free(&usage->seen);
	usage_search_free(&usage->usage_search);
}

static const struct op_class usage_class = {
	.operation = VARVE_USAGE,
	.size = sizeof(struct usage),
	.holds = 1,
	.progress = true,
	.steps = usage_steps,
	.steps_count = USAGE_STATES,
	.unwind = USAGE_LEAVE,
	.cancel_last = USAGE_COUNT,
	.result = usage_result,
	.close = usage_close,
	.release = usage_release,
};

int usage_submit(struct varve_store *store, const char *id, uint64_t flags,
		 const struct submit *submit)
{
	struct request *request;
	struct usage *usage;
	int r = layer_request(store, &usage_class, id, false, 0, 0, &request);

	if (r)
		return r;
	usage = usage_of(request->ops);
	usage->fd = usage->tree_fd = -EBADF;
	usage->flags = flags;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
