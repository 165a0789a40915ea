/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: its state, turning it on and off, limits, rescans, and the removal of stale groups. Each
 * request does one of these, in one call on a lane thread:
 *
 *	state     what it does                           what a failure or a crash leaves
 *	BEGIN     goes on to the state that is asked for nothing
 *	STATUS    looks                                  nothing
 *	ENABLE    turns it on                            it on or off
 *	DISABLE   turns it off                           it on or off
 *	LIMIT     records the limit, then sets it        the record ahead of the limit: the next get, or for a group the
 *	                                                 next layer that joins it with a size, sets it
 *	RESCAN    starts a rescan, may wait for it       a rescan that runs on
 *	GC        removes what is left over              less to remove
 *	DURABLE   after LIMIT: waits for a commit        the old or the new limit; turning it on or off commits by itself
 */
#include "engine/base/id.h"
#include "engine/btrfs/qgroup.h"
#include "engine/store/quota.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/groups.h"
#include "engine/store/layer.h"
#include "engine/store/layer_file.h"
#include "engine/store/layout.h"
#include "engine/store/size_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum quota_state {
	QUOTA_BEGIN,
	QUOTA_STATUS,
	QUOTA_ENABLE,
	QUOTA_DISABLE,
	QUOTA_LIMIT,
	QUOTA_RESCAN,
	QUOTA_GC,
	QUOTA_DURABLE,
	QUOTA_STATES,
};

struct quota {
	struct op op;
	struct quota_arguments arguments;
	struct varve_quota answer;
	/* gc: the first failure; another process holds the lock. */
	int error;
	bool locked;
};

static struct quota *quota_of(struct op *op)
{
	return container_of(op, struct quota, op);
}

/* Enter the state of what is asked for. */
static int quota_begin(struct op *op)
{
	static const int states[] = {
		[QUOTA_DO_STATUS] = QUOTA_STATUS,   [QUOTA_DO_ENABLE] = QUOTA_ENABLE,
		[QUOTA_DO_DISABLE] = QUOTA_DISABLE, [QUOTA_DO_LIMIT] = QUOTA_LIMIT,
		[QUOTA_DO_RESCAN] = QUOTA_RESCAN,   [QUOTA_DO_GC] = QUOTA_GC,
	};

	return states[quota_of(op)->arguments.action];
}

/* End the request: every state but LIMIT is the last one. */
static int quota_done(struct op *op, int result)
{
	if (result == -EPERM && !op->detail)
		op->detail = "quota takes CAP_SYS_ADMIN";
	return result < 0 ? result : OP_END;
}

/* ---- STATUS ---------------------------------------------------------------------------------- */

/* Count a record. */
static int quota_count_record(void *data, const char *name)
{
	struct varve_quota *answer = data;

	answer->records++;
	return 0;
}

/* Read what exists only while quota is on. */
static int quota_look(struct varve_store *store, struct varve_quota *answer)
{
	struct qgroup_census census = { 0 };
	int r = qgroup_inconsistent(&store->fs);

	if (r < 0)
		return r;
	answer->flags |= r ? VARVE_QUOTA_INCONSISTENT : 0;
	if (!store->layout.privileged)
		return 0;
	r = qgroup_rescan_running(&store->fs, &answer->rescan_position);
	if (r < 0)
		return r;
	answer->flags |= r ? VARVE_QUOTA_RESCAN_RUNNING : 0;
	r = qgroup_collect(&store->fs, &census);
	if (!r) {
		answer->flags |= VARVE_QUOTA_COUNTED;
		answer->groups = census.groups;
		answer->groups_stale = census.stale_count;
	}
	qgroup_census_free(&census);
	return r;
}

static int quota_status_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct varve_store *store = op_store(op);
	struct varve_quota *answer = &quota_of(op)->answer;
	int r = qgroup_mode(&store->fs);

	if (r < 0)
		return r;
	answer->mode = (enum varve_quota_mode)r;
	call->name = "BTRFS_IOC_TREE_SEARCH_V2";
	r = answer->mode == VARVE_QUOTA_OFF ? 0 : quota_look(store, answer);
	call->name = "getdents64";
	return r ? r : layout_each(store, LAYOUT_QUOTAS, quota_count_record, answer);
}

static int quota_status(struct op *op)
{
	call_function(&op->call, LANE_LONG, "read", quota_status_run);
	return op_call(op);
}

/* ---- ENABLE, DISABLE ------------------------------------------------------------------------- */

static int quota_enable_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	int r = qgroup_enable(&op_store(op)->fs, quota_of(op)->arguments.mode);

	if (r == -EBUSY)
		op->detail = "quota runs in the other mode; turn it off first";
	if (r == -ENOTSUP)
		op->detail = "this kernel has no simple quotas";
	return r;
}

static int quota_enable_start(struct op *op)
{
	/* Turning quota on commits, more than once. */
	call_function(&op->call, LANE_COMMIT, "BTRFS_IOC_QUOTA_CTL", quota_enable_run);
	return op_call(op);
}

static int quota_disable_run(struct call *call)
{
	return qgroup_disable(&op_store(container_of(call, struct op, call))->fs);
}

static int quota_disable_start(struct op *op)
{
	call_function(&op->call, LANE_COMMIT, "BTRFS_IOC_QUOTA_CTL", quota_disable_run);
	return op_call(op);
}

/* ---- LIMIT ----------------------------------------------------------------------------------- */

/* Record the new limit of the layer, or that it has none. */
static int quota_record(struct quota *quota)
{
	struct varve_store *store = op_store(&quota->op);
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	char name[sizeof(ID_RESERVED_PREFIX) + 20];
	int owner_fd = -EBADF, r;

	if (quota->arguments.bytes) {
		/* In this store's own directory, where the sweep finds it after a crash. */
		owner_fd = layout_owner(store);
		if (owner_fd < 0)
			return layout_blame(&quota->op, owner_fd);
		snprintf(name, sizeof(name), ID_RESERVED_PREFIX ".%" PRIx64,
			 quota->op.request->handle);
		r = size_record_write(store, owner_fd, name, quota->arguments.bytes);
		if (r)
			return r;
	}
	r = size_record_lock(store, &lock);
	if (quota->arguments.bytes) {
		r = r ? r : layer_file_place(store, LAYOUT_QUOTAS, owner_fd, name, quota->op.id);
		if (r)
			unlinkat(owner_fd, name, 0);
		return r;
	}
	r = r ? r : layer_file_remove(store, LAYOUT_QUOTAS, quota->op.id);
	return MIN(r, 0);
}

/* Set the limit of a group of layers. */
static int quota_limit_group(struct quota *quota)
{
	struct op *op = &quota->op;
	struct varve_store *store = op_store(op);
	int r;

	op->call.name = "BTRFS_IOC_QGROUP_LIMIT";
	if (!store->layout.privileged)
		return -EPERM;
	r = groups_limit(store, quota->arguments.group, quota->arguments.bytes);
	if (r == -ENOENT)
		op->detail = "the store has no such group";
	if (r == -ENOTCONN)
		op->detail = "quota is off";
	return r;
}

static int quota_limit_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct quota *quota = quota_of(op);
	struct varve_store *store = op_store(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	int mode, r;

	if (quota->arguments.group)
		return quota_limit_group(quota);
	fd = layer_open(store, op->id);
	if (fd < 0)
		return fd;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, fd, op->id, &info);
	if (r) {
		op->detail = "not a subvolume of this store";
		return r;
	}
	call->name = "BTRFS_IOC_QUOTA_CTL";
	mode = quota->arguments.bytes ? quota_provide(store, &op->detail) : qgroup_mode(&store->fs);
	if (mode < 0)
		return mode;
	/* Record only a limit that the caller may set. */
	call->name = "BTRFS_IOC_QGROUP_LIMIT";
	if (mode != VARVE_QUOTA_OFF && !store->layout.privileged)
		return -EPERM;
	call->name = "renameat";
	r = quota_record(quota);
	if (r || mode == VARVE_QUOTA_OFF)
		return r;
	call->name = "BTRFS_IOC_QGROUP_LIMIT";
	r = qgroup_ensure_limit(&store->fs, QUOTA_GROUP(0, info.treeid), quota->arguments.bytes);
	/* Turned off meanwhile: without quota there is no limit. */
	return !quota->arguments.bytes && (r == -ENOTCONN || r == -ENOENT) ? 0 : r;
}

static int quota_limit_start(struct op *op)
{
	/* It may turn quota on, and a limit is set in a transaction. */
	call_function(&op->call, LANE_COMMIT, "openat2", quota_limit_run);
	return op_call(op);
}

static int quota_limit_done(struct op *op, int result)
{
	int r = quota_done(op, result);

	return r == OP_END && op->request->durable ? QUOTA_DURABLE : r;
}

/* ---- RESCAN, GC ------------------------------------------------------------------------------ */

static int quota_rescan_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct varve_store *store = op_store(op);
	int mode = qgroup_mode(&store->fs), r;

	if (mode == VARVE_QUOTA_OFF) {
		op->detail = "quota is off";
		return -ENOTCONN;
	}
	if (mode < 0 || mode == VARVE_QUOTA_SIMPLE)
		return MIN(mode, 0);
	r = qgroup_rescan(&store->fs);
	/* A rescan that runs already will do. */
	if (r && r != -EINPROGRESS)
		return r;
	call->name = "BTRFS_IOC_QUOTA_RESCAN_WAIT";
	return quota_of(op)->arguments.flags & VARVE_QUOTA_WAIT ? qgroup_rescan_wait(&store->fs)
								: 0;
}

static int quota_rescan_start(struct op *op)
{
	call_function(&op->call, LANE_COMMIT, "BTRFS_IOC_QUOTA_RESCAN", quota_rescan_run);
	return op_call(op);
}

/* Count a failure, and keep the first. */
static void quota_gc_failed(struct quota *quota, int error)
{
	quota->answer.failures++;
	if (!quota->error)
		quota->error = error;
}

/* Remove a record, if it has no layer. */
static int quota_gc_record(void *data, const char *name)
{
	struct quota *quota = data;
	int r = size_record_drop_left(op_store(&quota->op), name);

	if (r == OP_LATER)
		quota->locked = true;
	else if (r < 0)
		quota_gc_failed(quota, r);
	else
		quota->answer.records_removed += (unsigned)r;
	return 0;
}

static int quota_gc_run(struct call *call)
{
	struct quota *quota = quota_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&quota->op);
	int r;

	/* After a wait for the lock it begins anew: counts go on, failures are counted anew. */
	quota->error = 0;
	quota->answer.failures = 0;
	quota->locked = false;
	r = layout_each(store, LAYOUT_QUOTAS, quota_gc_record, quota);
	if (r)
		quota_gc_failed(quota, r);
	call->name = "BTRFS_IOC_QGROUP_CREATE";
	r = store->layout.privileged ? groups_sweep(store, &quota->answer.groups_removed) : -EPERM;
	if (r && r != OP_LATER)
		quota_gc_failed(quota, r);
	return r == OP_LATER || quota->locked ? OP_LATER : quota->error;
}

static int quota_gc_start(struct op *op)
{
	call_function(&op->call, LANE_LONG, "unlinkat", quota_gc_run);
	return op_call(op);
}

static const struct op_step quota_steps[QUOTA_STATES] = {
	[QUOTA_BEGIN] = { "BEGIN", quota_begin, NULL },
	[QUOTA_STATUS] = { "STATUS", quota_status, quota_done, true },
	[QUOTA_ENABLE] = { "ENABLE", quota_enable_start, quota_done, true },
	[QUOTA_DISABLE] = { "DISABLE", quota_disable_start, quota_done },
	[QUOTA_LIMIT] = { "LIMIT", quota_limit_start, quota_limit_done, true },
	[QUOTA_RESCAN] = { "RESCAN", quota_rescan_start, quota_done },
	[QUOTA_GC] = { "GC", quota_gc_start, quota_done },
	[QUOTA_DURABLE] = { "DURABLE", commit_metadata, quota_done },
};

static void quota_result(struct request *request, struct varve_result *result)
{
	struct quota *quota = quota_of(request->ops);

	if (quota->op.error && quota->arguments.action != QUOTA_DO_GC)
		return;
	quota->answer.size = sizeof(quota->answer);
	result->quota = &quota->answer;
}

static const struct op_class quota_class = {
	.operation = VARVE_QUOTA,
	.size = sizeof(struct quota),
	.holds = 1,
	.steps = quota_steps,
	.steps_count = QUOTA_STATES,
	.unwind = QUOTA_STATES,
	.cancel_last = QUOTA_GC,
	.result = quota_result,
};

int quota_submit(struct varve_store *store, const struct quota_arguments *arguments,
		 const struct submit *submit)
{
	struct request *request;
	struct op *op;
	const char *name = arguments->id ? arguments->id : arguments->group;
	int r = request_new(&store->core, &quota_class, 1, name ? strlen(name) + 1 : 0, 0,
			    &request);

	if (r)
		return r;
	op = request->ops;
	quota_of(op)->arguments = *arguments;
	if (arguments->group) {
		op->subject = quota_of(op)->arguments.group = request_string(request,
									     arguments->group);
		op->place = layout_name(LAYOUT_GROUPS);
	}
	if (arguments->id) {
		op->id = op->subject = request_string(request, arguments->id);
		op->place = LAYER_PLACE;
		op_holds(op)[0] = (struct id_lock){ .id = op->id, .exclusive = true };
	}
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
