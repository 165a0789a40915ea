/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename: give a layer another name. What is known by the name goes with it: the record of its size. Its number stays, and with
 * that its limit, its quota groups, and what are snapshots of it.
 *
 *	state    what it does                                 what a failure leaves       what a crash leaves
 *	RENAME   proves the layer, gives the new name a copy  the layer, the old name     the layer under one name, whole, with
 *	         of the record, renames, forgets the old                                  its record; or a record of no layer
 *	DURABLE  waits for a commit                           UNDO gives the old back     the layer under one of the names
 *	UNDO     renames it back                              the layer, the new name     as DURABLE
 */
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/beneath.h"
#include "engine/tree/layer.h"
#include "engine/tree/loosen.h"
#include "engine/tree/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum rename_state { RENAME_RENAME, RENAME_DURABLE, RENAME_UNDO, RENAME_STATES };

struct rename {
	struct op op;
	/* The name that the layer is to have. */
	const char *new_id;
	/* It has that name. */
	bool renamed;
};

static struct rename *rename_of(struct op *op)
{
	return container_of(op, struct rename, op);
}

/* Is there a layer ID of the store, with nothing mounted on it? 0 or -errno. */
static int rename_prove(struct op *op, const char *id)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	op->subject = id;
	op->call.name = "openat2";
	fd = beneath_open(op->request->store->layout.subvolumes_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd == -EXDEV) {
		op->detail = "something is mounted on it: unmount it first";
		return -EBUSY;
	}
	if (fd < 0)
		return layer_open_error(fd);
	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(op->request->store, fd, id, NULL);
	if (r == -EINVAL)
		op->detail = "not a subvolume of this store";
	return r;
}

/*
 * Rename layer FROM to TO, with its record. The record is there under both names while the layer is renamed: so it has its record
 * whenever a crash comes, and what a crash leaves under the other name means nothing (tree/record.h). At a boundary.
 */
static int rename_move(struct op *op, const char *from, const char *to)
{
	struct varve_store *store = op->request->store;
	int subvolumes_fd = store->layout.subvolumes_fd, r;
	_cleanup_unlock_ struct record_lock lock = { 0 };

	r = rename_prove(op, from);
	if (r)
		return r;
	op->call.name = "flock";
	r = record_lock(store, &lock);
	if (r)
		return r;
	op->call.name = "fstatat";
	op->subject = to;
	r = layer_vacate(store, to);
	if (r)
		return r;
	op->call.name = "linkat";
	r = record_copy(store, from, to);
	if (r)
		return r;
	op->call.name = "renameat2";
	r = RET_NERRNO(renameat2(subvolumes_fd, from, subvolumes_fd, to, RENAME_NOREPLACE));
	if (r) {
		record_remove(store, to);
		op->subject = r == -EEXIST ? to : from;
		op->detail = r == -EPERM ? loosen_detail(subvolumes_fd, from) : r == -EBUSY ? "something is mounted on it" : NULL;
		return r;
	}
	/* One that stays is forgotten by the next create of that name, or by gc. */
	record_remove(store, from);
	return 0;
}

/* Rename the layer, at a boundary. */
static int rename_work(struct op *op)
{
	return rename_move(op, op->id, rename_of(op)->new_id);
}

static int rename_start(struct op *op)
{
	op->work = rename_work;
	return clock_publish(op);
}

static int rename_done(struct op *op, int result)
{
	if (result < 0)
		return result;
	rename_of(op)->renamed = true;
	return op->request->durable ? RENAME_DURABLE : OP_END;
}

static int rename_durable(struct op *op)
{
	op->call.name = "fsync";
	return clock_commit_names(op);
}

static int rename_durable_done(struct op *op, int result)
{
	return result < 0 ? result : OP_END;
}

/* Give the layer its old name back, at a boundary. */
static int rename_undo_work(struct op *op)
{
	return rename_move(op, rename_of(op)->new_id, op->id);
}

static int rename_undo(struct op *op)
{
	if (!rename_of(op)->renamed)
		return OP_END;
	op->work = rename_undo_work;
	return clock_publish(op);
}

static int rename_undone(struct op *op, int result)
{
	op_amend(op, false, "%s", result < 0 ? "the layer has the new name" : "the layer has its old name");
	return result < 0 ? result : OP_END;
}

static const struct op_step rename_steps[RENAME_STATES] = {
	[RENAME_RENAME] = { "RENAME", rename_start, rename_done, true },
	[RENAME_DURABLE] = { "DURABLE", rename_durable, rename_durable_done },
	[RENAME_UNDO] = { "UNDO", rename_undo, rename_undone },
};

static const struct op_class rename_class = {
	.operation = VARVE_RENAME,
	.size = sizeof(struct rename),
	.holds = 2,
	.steps = rename_steps,
	.steps_count = RENAME_STATES,
	.unwind = RENAME_UNDO,
	.cancel_last = RENAME_RENAME,
};

int rename_submit(struct varve_store *store, const char *id, const char *new_id, uint64_t flags, const struct submit *submit)
{
	struct request *request;
	int r = request_new(store, &rename_class, 1, strlen(id) + strlen(new_id) + 2, flags, &request);

	if (r)
		return r;
	request->ops->id = request->ops->subject = request_string(request, id);
	rename_of(request->ops)->new_id = request_string(request, new_id);
	request->ops->place = LAYER_PLACE;
	request->ops->holds[0] = (struct hold){ .id = request->ops->id, .exclusive = true };
	request->ops->holds[1] = (struct hold){ .id = rename_of(request->ops)->new_id, .exclusive = true };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
