/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_record: the operation "record": the labels and the record of a layer (store/record.h).
 * Changes nothing.
 *
 *	state  what it does
 *	OPEN   opens the layer, through the ring
 *	READ   proves it, and reads its record, on a lane thread
 */
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/record.h"

#include <string.h>

enum read_record_state { READ_RECORD_OPEN, READ_RECORD_READ, READ_RECORD_STATES };

struct read_record {
	struct op op;
	int fd;
	/* What it has; NULL: nothing. What the result has then. */
	struct record *record;
	struct varve_layer_record none;
};

static struct read_record *read_record_of(struct op *op)
{
	return container_of(op, struct read_record, op);
}

static int read_record_opened(struct op *op, int result)
{
	/* The layer's own mode may keep its owner out. */
	if (result < 0 && result != -EACCES)
		return layer_open_error(result);
	read_record_of(op)->fd = result;
	return READ_RECORD_READ;
}

/* Prove the layer and read its record, on a lane thread, where the descriptor is closed, too. */
static int read_record_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct read_record *reading = read_record_of(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	int r;

	if (reading->fd < 0) {
		call->name = "openat2";
		reading->fd = layer_open_owned(op_store(op), op->id, &op->detail);
		if (reading->fd < 0)
			return reading->fd;
	}
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(op_store(op), reading->fd, op->id, &info);
	fd_close(TAKE_FD(reading->fd));
	if (r == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (r)
		return r;
	call->name = "fgetxattr";
	r = record_find(op_store(op), op->id, info.uuid, &reading->record);
	op->detail = record_detail(r);
	return r;
}

static int read_record_read(struct op *op)
{
	call_function(&op->call, LANE_FS, "BTRFS_IOC_GET_SUBVOL_INFO", read_record_run);
	return op_call(op);
}

static const struct op_step read_record_steps[READ_RECORD_STATES] = {
	[READ_RECORD_OPEN] = { "OPEN", layer_open_start, read_record_opened, true },
	[READ_RECORD_READ] = { "READ", read_record_read, NULL },
};

static void read_record_result(struct request *request, struct varve_result *result)
{
	struct read_record *reading = read_record_of(request->ops);

	if (reading->op.error)
		return;
	reading->none.size = sizeof(reading->none);
	result->record = reading->record ? &reading->record->shown : &reading->none;
}

static void read_record_close(struct op *op)
{
	fd_close(read_record_of(op)->fd);
}

static void read_record_release(struct op *op)
{
	free(read_record_of(op)->record);
}

static const struct op_class read_record_class = {
	.operation = VARVE_RECORD,
	.size = sizeof(struct read_record),
	.holds = 1,
	.steps = read_record_steps,
	.steps_count = READ_RECORD_STATES,
	.unwind = READ_RECORD_STATES,
	.cancel_last = READ_RECORD_READ,
	.result = read_record_result,
	.close = read_record_close,
	.release = read_record_release,
};

int read_record_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &read_record_class, id, false, 0, 0, &request);

	if (r)
		return r;
	read_record_of(request->ops)->fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
