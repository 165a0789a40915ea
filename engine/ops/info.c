/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info: get the properties of a layer. Changes nothing.
 *
 *	state   what it does
 *	OPEN    opens the layer, through the ring
 *	ASK     asks what btrfs knows of it, and reads its labels; where we may search, finds the name of its
 *	        parent by the uuid tree
 *	PARENT  elsewhere: finds that by asking each layer of the store
 */
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/parent.h"
#include "engine/store/record.h"

#include <string.h>

enum info_state { INFO_OPEN, INFO_ASK, INFO_PARENT, INFO_STATES };

struct info {
	struct op op;
	int fd;
	struct varve_layer_info answer;
	/* Its labels and its record; NULL: none. */
	struct record *record;
};

static struct info *info_of(struct op *op)
{
	return container_of(op, struct info, op);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static int info_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	info_of(op)->fd = result;
	return INFO_ASK;
}

/* Find the name of the parent, on a lane thread. */
static int info_parent_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct varve_layer_info *answer = &info_of(op)->answer;

	return parent_name(op_store(op), answer->parent_uuid, answer->parent);
}

/* Ask btrfs, on a lane thread, where the descriptor is closed, too. */
static int info_ask_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct info *info = info_of(op);
	struct varve_store *store = op_store(op);
	struct varve_layer_info *answer = &info->answer;
	struct btrfs_ioctl_get_subvol_info_args args;
	struct qgroup_numbers numbers;
	int r = layer_prove(store, info->fd, op->id, &args);

	fd_close(TAKE_FD(info->fd));
	if (r)
		return r;
	strcpy(answer->id, op->id);
	answer->subvolume_id = args.treeid;
	memcpy(answer->uuid, args.uuid, sizeof(answer->uuid));
	memcpy(answer->parent_uuid, args.parent_uuid, sizeof(answer->parent_uuid));
	answer->generation = args.generation;
	answer->created_generation = args.otransid;
	answer->created_s = (int64_t)args.otime.sec;
	answer->created_ns = args.otime.nsec;
	answer->changed_s = (int64_t)args.ctime.sec;
	answer->changed_ns = args.ctime.nsec;
	answer->flags = args.flags & BTRFS_ROOT_SUBVOL_RDONLY ? VARVE_LAYER_READ_ONLY : 0;
	call->name = "lgetxattr";
	r = record_find(store, op->id, args.uuid, &info->record);
	/* What is damaged hides nothing else: varve_layer_record() and a check tell of it. */
	if (r && !record_unread(r))
		return r;
	call->name = "openat";
	r = qgroup_numbers(&store->fs, QUOTA_GROUP(0, args.treeid), &numbers);
	if (r && !qgroup_unseen(r))
		return r;
	if (!r) {
		answer->flags |= VARVE_LAYER_QUOTA;
		answer->quota_referenced = numbers.referenced;
		answer->quota_exclusive = numbers.exclusive;
		answer->quota_limit = numbers.limit;
	}
	call->name = "BTRFS_IOC_TREE_SEARCH_V2";
	return store->layout.privileged && subvol_is_snapshot(args.parent_uuid)
		       ? info_parent_run(call)
		       : 0;
}

static int info_ask(struct op *op)
{
	call_function(&op->call, LANE_FS, "BTRFS_IOC_GET_SUBVOL_INFO", info_ask_run);
	return op_call(op);
}

static int info_asked(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (result < 0)
		return result;
	if (op_store(op)->layout.privileged)
		return OP_END;
	return subvol_is_snapshot(info_of(op)->answer.parent_uuid) ? INFO_PARENT : OP_END;
}

static int info_parent(struct op *op)
{
	/* The store may have any number of layers. */
	call_function(&op->call, LANE_LONG, "openat2", info_parent_run);
	return op_call(op);
}

static const struct op_step info_steps[INFO_STATES] = {
	[INFO_OPEN] = { "OPEN", layer_open_start, info_opened, true },
	[INFO_ASK] = { "ASK", info_ask, info_asked },
	[INFO_PARENT] = { "PARENT", info_parent, NULL, true },
};

static void info_result(struct request *request, struct varve_result *result)
{
	struct varve_layer_info *answer = &info_of(request->ops)->answer;

	if (request->ops->error)
		return;
	answer->size = sizeof(*answer);
	result->info = answer;
	if (info_of(request->ops)->record)
		result->record = &info_of(request->ops)->record->shown;
}

static void info_release(struct op *op)
{
	free(info_of(op)->record);
}

static void info_close(struct op *op)
{
	fd_close(info_of(op)->fd);
}

static const struct op_class info_class = {
	.operation = VARVE_INFO,
	.size = sizeof(struct info),
	.holds = 1,
	.steps = info_steps,
	.steps_count = INFO_STATES,
	.unwind = INFO_STATES,
	.cancel_last = INFO_PARENT,
	.result = info_result,
	.close = info_close,
	.release = info_release,
};

int info_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &info_class, id, false, 0, 0, &request);

	if (r)
		return r;
	info_of(request->ops)->fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
