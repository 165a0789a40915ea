/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename: give a layer another name. What is known by the name goes with it: the record of its
 * size, and that of its labels. Its number stays, and with that its limit, its quota groups, and
 * what are snapshots of it.
 *
 *	state    what it does                                 what a failure leaves       what a crash leaves
 *	RENAME   proves the layer, gives the new name a copy  the layer, the old name     the layer under one name, whole, with
 *	         of the record, renames, forgets the old                                  its record; or a record of no layer
 *	DURABLE  waits for a commit                           UNDO gives the old back     the layer under one of the names
 *	UNDO     renames it back                              the layer, the new name     as DURABLE
 *
 * Another process may remove the layer and make one of the same name at any moment; those that keep
 * no record do not lock. So the layer is known by btrfs's number of it: what was renamed is looked
 * at, and goes back where it is another.
 */
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/name_hash.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/beneath.h"
#include "engine/dir/loosen.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/layer_file.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"
#include "engine/store/stock.h"

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
	/* btrfs's number of the layer; 0: not known yet. */
	uint64_t number;
};

static struct rename *rename_of(struct op *op)
{
	return container_of(op, struct rename, op);
}

/* Another layer has the name. */
static int rename_replaced(struct op *op)
{
	op->detail = "another process has made a layer of this name meanwhile, which stays";
	return -ESTALE;
}

/* Is ID the layer that is renamed, a layer of the store with nothing mounted on it? 0 or -errno. */
static int rename_prove(struct op *op, const char *id)
{
	struct rename *rename = rename_of(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	int r;

	op->subject = id;
	op->call.name = "openat2";
	fd = beneath_open(op_store(op)->layout.subvolumes_fd, id,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd == -EXDEV) {
		op->detail = "something is mounted on it: unmount it first";
		return -EBUSY;
	}
	if (fd < 0)
		return layer_open_error(fd);
	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(op_store(op), fd, id, &info);
	if (r == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (r)
		return r;
	if (rename->number && rename->number != info.treeid)
		return rename_replaced(op);
	rename->number = info.treeid;
	return 0;
}

/* FROM was renamed to TO: is that the layer? If not, give it its name back. 0 or -errno. */
static int rename_look(struct op *op, const char *from, const char *to)
{
	int subvolumes_fd = op_store(op)->layout.subvolumes_fd;
	uint64_t number;

	/* A layer that cannot be looked at was renamed again, or removed, by its new name. */
	if (file_handle_subvolume(subvolumes_fd, to, &number) || number == rename_of(op)->number)
		return 0;
	op->subject = from;
	rename_replaced(op);
	if (renameat2(subvolumes_fd, to, subvolumes_fd, from, RENAME_NOREPLACE) < 0)
		op->detail =
			"another process has made a layer of this name meanwhile; that has the new name, "
			"and could not be given its own back";
	return -ESTALE;
}

/*
 * Rename layer FROM to TO, with its record. The record is there under both names while the layer is
 * renamed: so it has its record whenever a crash comes, and what a crash leaves under the other
 * name means nothing (store/size_record.h). At a boundary.
 */
static int rename_move(struct op *op, const char *from, const char *to)
{
	struct varve_store *store = op_store(op);
	int subvolumes_fd = store->layout.subvolumes_fd, r;
	_cleanup_unlock_ struct size_record_lock lock = { 0 };

	/* Where the layer cannot be renamed, do not wait for the lock. */
	r = rename_prove(op, from);
	if (r)
		return r;
	op->call.name = "flock";
	r = size_record_lock(store, &lock);
	if (!r)
		r = rename_prove(op, from);
	if (r)
		return r;
	r = size_record_await(&lock, to);
	if (r)
		return r;
	op->call.name = "fstatat";
	op->subject = to;
	r = layer_vacate(store, to);
	if (r)
		return r;
	op->call.name = "linkat";
	r = size_record_copy(store, from, to);
	if (!r)
		r = record_copy(store, from, to);
	if (r) {
		op->detail = record_detail(r);
		layer_file_remove(store, LAYOUT_QUOTAS, to);
		return r;
	}
	op->call.name = "renameat2";
	r = RET_NERRNO(renameat2(subvolumes_fd, from, subvolumes_fd, to, RENAME_NOREPLACE));
	if (r) {
		op->subject = r == -EEXIST ? to : from;
		op->detail = r == -EPERM       ? loosen_detail(subvolumes_fd, from)
			     : r == -EBUSY     ? "something is mounted on it"
			     : r == -EOVERFLOW ? NAME_HASH_FULL
					       : NULL;
	} else
		r = rename_look(op, from, to);
	/* One that stays is forgotten by the next create of that name, or by gc. */
	layer_file_remove(store, LAYOUT_QUOTAS, r ? to : from);
	layer_file_remove(store, LAYOUT_RECORDS, r ? to : from);
	return r;
}

/* Rename the layer, at a boundary. */
static int rename_work(struct op *op)
{
	rename_of(op)->number = 0;
	return rename_move(op, op->id, rename_of(op)->new_id);
}

static int rename_start(struct op *op)
{
	op->work = rename_work;
	return commit_publish(op);
}

static int rename_done(struct op *op, int result)
{
	if (result < 0)
		return result;
	rename_of(op)->renamed = true;
	/* Nothing would find the copies when the layer is removed by its new name. */
	stock_forget(op_store(op), op->id);
	return op->request->durable ? RENAME_DURABLE : OP_END;
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
	return commit_publish(op);
}

static int rename_undone(struct op *op, int result)
{
	op_amend(op, false, "%s",
		 result == -ESTALE ? op->detail
		 : result < 0      ? "the layer has the new name"
				   : "the layer has its old name");
	return result < 0 ? result : OP_END;
}

static const struct op_step rename_steps[RENAME_STATES] = {
	[RENAME_RENAME] = { "RENAME", rename_start, rename_done, true },
	[RENAME_DURABLE] = { "DURABLE", commit_names, NULL },
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

int rename_submit(struct varve_store *store, const char *id, const char *new_id, uint64_t flags,
		  const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &rename_class, id, true, strlen(new_id) + 1, flags, &request);

	if (r)
		return r;
	rename_of(request->ops)->new_id = request_string(request, new_id);
	op_holds(request->ops)[1] = (struct id_lock){ .id = rename_of(request->ops)->new_id,
						      .exclusive = true };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
