/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt: make a layer of a plain directory that has a layer's place, with the same content.
 *
 *	state    what it does                                   what a failure leaves            what a crash leaves
 *	STAGE    makes a subvolume under a reserved name        the directory                    the directory, and a leftover
 *	COPY     copies the directory into it, sharing content  UNDO destroys the copy           the same
 *	FLUSH    waits until all of it is on disk               UNDO destroys the copy           the same
 *	PUBLISH  exchanges the two                              UNDO destroys the copy           either of them, the other a leftover
 *	DURABLE  waits for a commit                             the layer, and a leftover        the same
 *	CLEAR    removes what was the directory                 the layer, and what is left      the layer, and a leftover
 *	                                                        of the directory, for the sweep
 *	UNDO     destroys the copy, unless it is in its place   a leftover                       a leftover
 *
 * The reserved name is in `subvolumes`, because two things can be exchanged only within one subvolume. What is written into the
 * directory meanwhile may be missing in the layer.
 */
#include "engine/base/id.h"
#include "engine/btrfs/cleaner.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/beneath.h"
#include "engine/tree/copy.h"
#include "engine/tree/empty.h"
#include "engine/tree/layer.h"
#include "engine/tree/layout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum adopt_state { ADOPT_STAGE, ADOPT_COPY, ADOPT_FLUSH, ADOPT_PUBLISH, ADOPT_DURABLE, ADOPT_CLEAR, ADOPT_UNDO, ADOPT_STATES };

struct adopt {
	struct op op;
	/* The name of the copy, then of what was the directory. */
	char name[VARVE_ID_MAX + 1];
	/* The copy is there; it has the layer's place. */
	bool staged, published;
	/* Where it failed: a path below `subvolumes`. */
	char failed[VARVE_FAILURE_PATH_SIZE];
};

static struct adopt *adopt_of(struct op *op)
{
	return container_of(op, struct adopt, op);
}

/* Open the plain directory: a descriptor, or why it cannot be adopted. */
static int adopt_open(struct op *op)
{
	int subvolumes_fd = op->request->store->layout.subvolumes_fd, r;
	_cleanup_close_ int fd = -EBADF;
	struct stat stat;

	op->call.name = "openat2";
	fd = beneath_open(subvolumes_fd, op->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd == -EXDEV) {
		op->detail = "something is mounted on it: unmount it first";
		return -EBUSY;
	}
	if (fd < 0)
		return layer_open_error(fd);
	op->call.name = "fstat";
	r = RET_NERRNO(fstat(fd, &stat));
	if (!r && (stat.st_ino == ABI_SUBVOL_ROOT_INODE || stat.st_ino == ABI_STAND_IN_INODE)) {
		op->detail = stat.st_ino == ABI_SUBVOL_ROOT_INODE ? "it is a subvolume already" : "it stands for a layer of another store";
		r = -EEXIST;
	}
	return r ? r : TAKE_FD(fd);
}

/* Make the subvolume. Lane thread. */
static int adopt_stage_work(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	struct varve_store *store = op->request->store;
	_cleanup_close_ int fd = adopt_open(op);
	int r;

	if (fd < 0)
		return fd;
	op->call.name = "openat";
	r = layout_owner(store);
	if (r < 0)
		return layout_blame(op, r);
	snprintf(adopt->name, sizeof(adopt->name), ID_RESERVED_PREFIX ".%s.%" PRIx64 ".adopted", store->layout.owner,
		 op->request->handle);
	op->call.name = "BTRFS_IOC_SUBVOL_CREATE";
	r = subvol_create(store->layout.subvolumes_fd, adopt->name);
	adopt->staged = !r;
	return r;
}

static int adopt_stage(struct op *op)
{
	op->work = adopt_stage_work;
	return clock_stage(op);
}

static int adopt_staged(struct op *op, int result)
{
	return result < 0 ? result : ADOPT_COPY;
}

/* Copy the directory. Lane thread. */
static int adopt_copy_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct adopt *adopt = adopt_of(op);
	struct varve_store *store = op->request->store;
	struct copy_job job = { .fault = &store->io.fault, .cancelled = &op->request->cancelled, .progress = &op->request->progress };
	_cleanup_close_ int from = adopt_open(op), to = -EBADF;
	int r;

	if (from < 0)
		return from;
	call->name = "openat2";
	to = beneath_open(store->layout.subvolumes_fd, adopt->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (to < 0)
		return to;
	op->begun = true;
	job.from_fd = from;
	job.to_fd = to;
	r = copy_run(&job);
	if (!r)
		return 0;
	snprintf(adopt->failed, sizeof(adopt->failed), "%s%s%.*s", op->id, *job.path ? "/" : "",
		 (int)(sizeof(adopt->failed) - VARVE_ID_MAX - 2), job.path);
	op->subject = adopt->failed;
	call->name = job.call;
	op->detail = job.detail;
	return r;
}

static int adopt_copy(struct op *op)
{
	clock_write_begin(op);
	call_function(&op->call, LANE_STREAM, "openat2", adopt_copy_run);
	return op_call(op);
}

static int adopt_copied(struct op *op, int result)
{
	return result < 0 ? result : ADOPT_FLUSH;
}

static int adopt_flush(struct op *op)
{
	op->subject = op->id;
	op->call.name = "BTRFS_IOC_SYNC";
	return clock_flush(op);
}

/* Exchange the two, at a boundary. */
static int adopt_publish_work(struct op *op)
{
	int subvolumes_fd = op->request->store->layout.subvolumes_fd;

	op->call.name = "renameat2";
	return RET_NERRNO(renameat2(subvolumes_fd, adopt_of(op)->name, subvolumes_fd, op->id, RENAME_EXCHANGE));
}

static int adopt_publish(struct op *op)
{
	op->work = adopt_publish_work;
	return clock_publish(op);
}

static int adopt_published(struct op *op, int result)
{
	if (result < 0)
		return result;
	adopt_of(op)->published = true;
	return op->request->durable ? ADOPT_DURABLE : ADOPT_CLEAR;
}

static int adopt_durable(struct op *op)
{
	op->call.name = "fsync";
	return clock_commit_names(op);
}

/* Remove what was the directory. Lane thread. */
static int adopt_clear_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct adopt *adopt = adopt_of(op);
	struct varve_store *store = op->request->store;
	const char *detail = NULL;
	int r = empty_remove(store, store->layout.subvolumes_fd, adopt->name, &op->request->cancelled, adopt->failed, &detail);

	if (!r)
		return 0;
	op->subject = adopt->failed;
	op->detail = detail ? detail : "the layer is there; what was the directory is a leftover, which the sweep removes";
	return r;
}

static int adopt_clear(struct op *op)
{
	call_function(&op->call, LANE_STREAM, "unlinkat", adopt_clear_run);
	return op_call(op);
}

static int adopt_cleared(struct op *op, int result)
{
	return result < 0 ? result : OP_END;
}

/* Destroy the copy, at a boundary. */
static int adopt_undo_work(struct op *op)
{
	return subvol_destroy(op->request->store->layout.subvolumes_fd, adopt_of(op)->name);
}

static int adopt_undo(struct op *op)
{
	if (!adopt_of(op)->staged || adopt_of(op)->published)
		return OP_END;
	op->work = adopt_undo_work;
	return clock_destroy(op);
}

static int adopt_undone(struct op *op, int result)
{
	if (!result)
		cleaner_destroyed(op->request->store);
	return result < 0 ? result : OP_END;
}

static const struct op_step adopt_steps[ADOPT_STATES] = {
	[ADOPT_STAGE] = { "STAGE", adopt_stage, adopt_staged },
	[ADOPT_COPY] = { "COPY", adopt_copy, adopt_copied, true },
	[ADOPT_FLUSH] = { "FLUSH", adopt_flush, NULL },
	[ADOPT_PUBLISH] = { "PUBLISH", adopt_publish, adopt_published },
	[ADOPT_DURABLE] = { "DURABLE", adopt_durable, NULL },
	[ADOPT_CLEAR] = { "CLEAR", adopt_clear, adopt_cleared, true },
	[ADOPT_UNDO] = { "UNDO", adopt_undo, adopt_undone },
};

static const struct op_class adopt_class = {
	.operation = VARVE_ADOPT,
	.fds = FDS_APPLY,
	.size = sizeof(struct adopt),
	.holds = 1,
	.steps = adopt_steps,
	.steps_count = ADOPT_STATES,
	.unwind = ADOPT_UNDO,
	.cancel_last = ADOPT_PUBLISH,
};

int adopt_submit(struct varve_store *store, const char *id, uint64_t flags, const struct submit *submit)
{
	struct request *request;
	int r = request_new(store, &adopt_class, 1, strlen(id) + 1, flags, &request);

	if (r)
		return r;
	request->ops->id = request->ops->subject = request_string(request, id);
	request->ops->place = LAYER_PLACE;
	request->ops->holds[0] = (struct hold){ .id = request->ops->id, .exclusive = true };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
