/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels: the operation "label": change the labels and the record of a layer (store/record.h).
 *
 *	state    what it does                                  what a failure leaves  what a crash leaves
 *	CHANGE   proves the layer, reads what it has, writes   the old state          the old or the new state; or a file
 *	         what it is to have, renames that over it                             in staging, which a sweep removes
 *	DURABLE  waits for a commit                            the new state          the same
 *
 * CHANGE runs at a boundary, where nothing waits for a commit, under the lock of the records: to
 * compare and to replace is one step for all threads and processes. The layer's id is held with
 * others, so that what reads the layer for long does not hold up a change.
 */
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/layer_file.h"
#include "engine/store/layout.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum labels_state { LABELS_CHANGE, LABELS_DURABLE, LABELS_STATES };

struct labels {
	struct op op;
	/* What is to be set, as a record, and deleted, as labels; the rest of the change. */
	struct record *wanted, *unwanted;
	bool only, replace;
	/* Only this revision is to be changed. */
	bool compare;
	uint64_t revision;
	/* What the layer has now. */
	struct record *record;
};

static struct labels *labels_of(struct op *op)
{
	return container_of(op, struct labels, op);
}

/* Prove the layer: its uuid. 0 or -errno. */
static int labels_prove(struct op *op, uint8_t uuid[BTRFS_UUID_SIZE])
{
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	int r;

	op->call.name = "openat2";
	fd = layer_open_owned(op_store(op), op->id, &op->detail);
	if (fd < 0)
		return fd;
	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(op_store(op), fd, op->id, &info);
	if (r == -EINVAL)
		op->detail = "not a subvolume of this store";
	if (!r)
		memcpy(uuid, info.uuid, BTRFS_UUID_SIZE);
	return r;
}

/* Make of OLD (NULL: nothing) what it is to be: labels->record. 0 or -errno. */
static int labels_merge(struct labels *labels, const struct record *old)
{
	struct op *op = &labels->op;
	const struct varve_layer_record *wanted = &labels->wanted->shown;
	struct record_change change = {
		.set = wanted->labels,
		.set_count = wanted->labels_count,
		.deleted = labels->unwanted->shown.labels,
		.deleted_count = labels->unwanted->shown.labels_count,
		.only = labels->only,
		.replace = labels->replace,
		.bytes = wanted->bytes,
		.bytes_count = wanted->bytes_count,
	};
	uint64_t revision = old ? old->shown.revision : 0;
	int r;

	op->call.name = NULL;
	if (labels->compare && labels->revision != revision) {
		op->detail = "the labels or the record were changed meanwhile: read them again";
		return -ESTALE;
	}
	free(TAKE_PTR(labels->record));
	r = record_apply(&op_store(op)->core.io.fault, old, &change, &labels->record);
	if (r == -E2BIG)
		op->detail = "the layer would have more labels than it can have";
	return r;
}

/* Put labels->record in the place of the layer's, whose uuid is UUID. The lock is held. */
static int labels_replace(struct labels *labels, const uint8_t uuid[BTRFS_UUID_SIZE])
{
	struct op *op = &labels->op;
	struct varve_store *store = op_store(op);
	uint64_t *revision = &labels->record->shown.revision;
	char name[64];
	int owner_fd = layout_owner(store), r;

	if (owner_fd < 0)
		return layout_blame(op, owner_fd);
	*revision = *revision ? *revision + 1 : record_revision_first(uuid);
	snprintf(name, sizeof(name), "labels.%" PRIx64, op->request->handle);
	op->call.name = "fsetxattr";
	r = record_write(store, owner_fd, name, labels->record, uuid);
	if (r)
		return r;
	op->call.name = "renameat";
	r = layer_file_place(store, LAYOUT_RECORDS, owner_fd, name, op->id);
	if (r)
		unlinkat(owner_fd, name, 0);
	return r;
}

/* Read, compare and replace, at a boundary. */
static int labels_work(struct op *op)
{
	struct labels *labels = labels_of(op);
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	_cleanup_free_ struct record *old = NULL;
	uint8_t uuid[BTRFS_UUID_SIZE];
	/* What is no layer waits for no lock. */
	int r = labels_prove(op, uuid);

	if (r)
		return r;
	op->call.name = "flock";
	r = size_record_lock(op_store(op), &lock);
	if (!r)
		r = labels_prove(op, uuid);
	if (r)
		return r;
	op->call.name = "fgetxattr";
	r = record_find(op_store(op), op->id, uuid, &old);
	op->detail = record_detail(r);
	if (!r)
		r = labels_merge(labels, old);
	return r ? r : labels_replace(labels, uuid);
}

static int labels_change(struct op *op)
{
	op->work = labels_work;
	return commit_publish(op);
}

static int labels_changed(struct op *op, int result)
{
	if (result < 0)
		return result;
	return op->request->durable ? LABELS_DURABLE : OP_END;
}

static int labels_durable_done(struct op *op, int result)
{
	if (result < 0)
		op->detail = "the change was made, and may be lost by a power cut";
	return result < 0 ? result : OP_END;
}

static const struct op_step labels_steps[LABELS_STATES] = {
	[LABELS_CHANGE] = { "CHANGE", labels_change, labels_changed, true },
	/* The record is not in `subvolumes`. */
	[LABELS_DURABLE] = { "DURABLE", commit_metadata, labels_durable_done },
};

static void labels_result(struct request *request, struct varve_result *result)
{
	struct labels *labels = labels_of(request->ops);

	if (!labels->op.error)
		result->record = &labels->record->shown;
}

static void labels_release(struct op *op)
{
	struct labels *labels = labels_of(op);

	free(labels->wanted);
	free(labels->unwanted);
	free(labels->record);
}

static const struct op_class labels_class = {
	.operation = VARVE_LABEL,
	.size = sizeof(struct labels),
	.holds = 1,
	.steps = labels_steps,
	.steps_count = LABELS_STATES,
	.unwind = LABELS_STATES,
	.cancel_last = LABELS_CHANGE,
	.result = labels_result,
	.release = labels_release,
};

int labels_submit(struct varve_store *store, const char *id, const struct record_change *change,
		  bool compare, uint64_t revision, uint64_t flags, const struct submit *submit)
{
	const struct record_change deleted = { .set = change->deleted,
					       .set_count = change->deleted_count };
	struct request *request;
	struct labels *labels;
	int r = layer_request(store, &labels_class, id, false, 0, flags, &request);

	if (r)
		return r;
	labels = labels_of(request->ops);
	labels->only = change->only;
	labels->replace = change->replace;
	labels->compare = compare;
	labels->revision = revision;
	/* Copies of the arguments. */
	r = record_apply(&store->core.io.fault, NULL, change, &labels->wanted);
	if (!r)
		r = record_apply(&store->core.io.fault, NULL, &deleted, &labels->unwanted);
	if (r) {
		request_free(request);
		return r;
	}
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
