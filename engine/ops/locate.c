/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get and exists: find a layer. One statx suffices; only where something is mounted on the layer's
 * place is it opened and proved. Where a size is recorded for the layer, get sets it again if
 * another limit is in force. There is nothing to undo and nothing for a crash to leave.
 */
#include "engine/btrfs/qgroup.h"
#include "engine/store/quota.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/size_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum locate_state { LOCATE_LOOK, LOCATE_PROVE, LOCATE_RECORD, LOCATE_LIMIT, LOCATE_STATES };

struct locate {
	struct op op;
	struct statx statx;
	/* get: the path; NULL until it is found. Its record, open, or negative. */
	char *path;
	/* Where its record is, below the home. */
	const char *record;
	int record_fd;
	bool exists;
};

static struct locate *locate_of(struct op *op)
{
	return container_of(op, struct locate, op);
}

/* The layer is there. */
static int locate_found(struct locate *locate)
{
	struct varve_store *store = op_store(&locate->op);
	char home[HOME_PATH_MAX + 1];
	int r;

	locate->exists = true;
	if (locate->op.request->class->operation != VARVE_GET)
		return OP_END;
	locate->op.call.name = "readlink";
	r = store_home(store, home);
	if (r) {
		locate->op.detail = "the store's directory was moved or removed, and has no path";
		return r;
	}
	if (fault_hit(&store->core.io.fault, FAULT_ALLOCATION) ||
	    asprintf(&locate->path, "%s/" LAYER_PLACE "/%s", home, locate->op.id) < 0) {
		locate->path = NULL;
		return -ENOMEM;
	}
	/* A store without quota leaves records alone. */
	return store->settings.quota.policy == QUOTA_NEVER ? OP_END : LOCATE_RECORD;
}

/* What ERROR, which says that there is no layer, means: to exists it is an answer. */
static int locate_missing(struct locate *locate, int error)
{
	bool answer = error == -ENOENT || error == -ENOTDIR || error == -EINVAL;

	if (error == -EINVAL)
		locate->op.detail = "not a subvolume";
	return answer && locate->op.request->class->operation == VARVE_EXISTS ? OP_END : error;
}

static int locate_look(struct op *op)
{
	layer_stat_call(op_store(op), &op->call, op->id, &locate_of(op)->statx);
	return op_call(op);
}

static int locate_looked(struct op *op, int result)
{
	struct locate *locate = locate_of(op);

	if (result >= 0)
		result = layer_judge(op_store(op), &locate->statx);
	if (result < 0)
		return locate_missing(locate, result);
	return result ? LOCATE_PROVE : locate_found(locate);
}

/* Open what is mounted there, and prove that it is the layer all the same. Lane thread. */
static int locate_prove_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	_cleanup_close_ int fd = layer_open(op_store(op), op->id);

	return fd < 0 ? fd : layer_prove(op_store(op), fd, op->id, NULL);
}

static int locate_prove(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", locate_prove_run);
	return op_call(op);
}

static int locate_proved(struct op *op, int result)
{
	return result < 0 ? locate_missing(locate_of(op), result) : locate_found(locate_of(op));
}

/* Open the record. */
static int locate_record(struct op *op)
{
	op->place = RECORD_PLACE;
	/* From the home: there may be no such directory. */
	call_openat2(&op->call, op_store(op)->layout.home_fd, locate_of(op)->record,
		     O_RDONLY | O_NOFOLLOW | O_NONBLOCK, BENEATH_RESOLVE);
	return op_call(op);
}

static int locate_recorded(struct op *op, int result)
{
	/* Without a record, or the permission to read it, no limit is set. */
	if (result == -ENOENT || result == -ELOOP || result == -EACCES)
		return OP_END;
	if (result < 0)
		return result;
	locate_of(op)->record_fd = result;
	return LOCATE_LIMIT;
}

/* See that the recorded limit is in force, on a lane thread. */
static int locate_limit_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct varve_store *store = op_store(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	uint64_t bytes;
	int r = size_record_read(locate_of(op)->record_fd, &bytes);

	/* As the reference driver: what does not parse is passed over. */
	if (r)
		return 0;
	fd = layer_open(store, op->id);
	r = fd < 0 ? fd : layer_prove(store, fd, op->id, &info);
	if (r)
		return r;
	call->name = "BTRFS_IOC_QGROUP_LIMIT";
	return quota_enforce(store, info.treeid, bytes, &op->detail);
}

static int locate_limit(struct op *op)
{
	call_function(&op->call, LANE_FS, "openat2", locate_limit_run);
	return op_call(op);
}

static const struct op_step locate_steps[LOCATE_STATES] = {
	[LOCATE_LOOK] = { "LOOK", locate_look, locate_looked, true },
	[LOCATE_PROVE] = { "PROVE", locate_prove, locate_proved, true },
	[LOCATE_RECORD] = { "RECORD", locate_record, locate_recorded, true },
	[LOCATE_LIMIT] = { "LIMIT", locate_limit, NULL },
};

static void locate_result(struct request *request, struct varve_result *result)
{
	struct locate *locate = locate_of(request->ops);

	/* A layer whose limit could not be set is not handed out. */
	if (request->class->operation == VARVE_GET)
		result->path = locate->op.error ? NULL : locate->path;
	else
		result->exists = locate->exists;
}

static void locate_close(struct op *op)
{
	fd_close(TAKE_FD(locate_of(op)->record_fd));
}

static void locate_release(struct op *op)
{
	free(locate_of(op)->path);
}

#define LOCATE_CLASS(kind)                                                                    \
	{                                                                                     \
		.operation = kind, .size = sizeof(struct locate), .holds = 1,                 \
		.steps = locate_steps, .steps_count = LOCATE_STATES, .unwind = LOCATE_STATES, \
		.cancel_last = LOCATE_LIMIT, .result = locate_result, .close = locate_close,  \
		.release = locate_release,                                                    \
	}

static const struct op_class get_class = LOCATE_CLASS(VARVE_GET);
static const struct op_class exists_class = LOCATE_CLASS(VARVE_EXISTS);

/* Submit one of the two. */
static int locate_submit(struct varve_store *store, const struct op_class *class, const char *id,
			 const struct submit *submit)
{
	char record[sizeof(RECORD_PLACE "/") + VARVE_ID_MAX];
	int length = snprintf(record, sizeof(record), RECORD_PLACE "/%s", id);
	struct request *request;
	struct locate *locate;
	int r = layer_request(store, class, id, false, (size_t)length + 1, 0, &request);

	if (r)
		return r;
	locate = locate_of(request->ops);
	locate->record_fd = -EBADF;
	locate->record = request_string(request, record);
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}

int get_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	return locate_submit(store, &get_class, id, submit);
}

int exists_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	return locate_submit(store, &exists_class, id, submit);
}
