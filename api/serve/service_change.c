/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remove, Update and Cleanup.
 *
 *	Remove    varve_layer_remove(), relaxed; the key is free when the layer is gone. A failure
 *	          leaves the snapshot, a crash leaves it or nothing.
 *	Update    the record is replaced, relaxed, then the labels in memory. A failure or a crash
 *	          leaves the old or the new labels, all of them. Where the label max-size changes, the
 *	          limit of an active snapshot changes first, and stays so if the rest fails.
 *	Cleanup   varve_sweep(): containerd calls it after each of its garbage collections.
 */
#include "rpc.h"

#include "limits.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Remove ---------------------------------------------------------------------------------- */

/* The layer was removed, or not. */
static void remove_removed(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct rpc *rpc = user_data;
	struct snapshot *snapshot = rpc->claimed;
	Snapshots__Empty empty = SNAPSHOTS__EMPTY__INIT;

	rpc->request = 0;
	/* A layer that somebody else has removed leaves no snapshot either. */
	if (!result->error || result->error == -ENOENT) {
		rpc->claimed = NULL;
		index_remove(&rpc->service->index, snapshot);
		snapshot_free(snapshot);
	}
	if (result->error)
		rpc_fail(rpc, result->failure, NULL);
	else
		rpc_answer(rpc, &empty.base);
}

static void remove_begin(struct rpc *rpc)
{
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct text key = text_of_field(&request->key);
	struct snapshot *snapshot = rpc_find(rpc, key);
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	if (!snapshot)
		return;
	if (snapshot->worker) {
		rpc_wait(rpc, snapshot);
		return;
	}
	if (snapshot->children) {
		rpc_end_key(rpc, GRPC_FAILED_PRECONDITION, key, "has a child: cannot remove it");
		return;
	}
	rpc_claim(rpc, snapshot, SNAPSHOT_REMOVING);
	r = varve_layer_remove(rpc->service->store, snapshot_layer(snapshot->number, layer),
			       VARVE_RELAXED, remove_removed, rpc, &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
}

void remove_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct rpc), remove_begin, NULL);
}

/* ---- Update ---------------------------------------------------------------------------------- */

/* An Update under way. */
struct update {
	struct rpc rpc;
	/* What the labels are to be, and the record. */
	struct labels labels;
	uint8_t *record;
	size_t record_bytes;
	int64_t updated_ns;
};

static struct update *update_of(struct rpc *rpc)
{
	return (struct update *)rpc;
}

static void update_destroy(struct rpc *rpc)
{
	labels_destroy(&update_of(rpc)->labels);
	free(update_of(rpc)->record);
}

/* The record was replaced, or not. */
static void update_written(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct update *update = user_data;
	struct snapshot *snapshot = update->rpc.claimed;

	update->rpc.request = 0;
	if (result->error) {
		rpc_fail(&update->rpc, result->failure, NULL);
		return;
	}
	index_relabel(&update->rpc.service->index, snapshot, &update->labels);
	snapshot->updated_ns = update->updated_ns;
	info_answer(&update->rpc, snapshot);
}

/* Replace the record. */
static void update_write(struct update *update)
{
	struct rpc *rpc = &update->rpc;
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	options.flags = VARVE_LABEL_RECORD | VARVE_RELAXED;
	options.record = update->record;
	options.record_bytes = update->record_bytes;
	r = varve_layer_label(rpc->service->store, snapshot_layer(rpc->claimed->number, layer),
			      &options, update_written, update, &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
}

/* The limit was changed, or not. */
static void update_limited(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct update *update = user_data;

	update->rpc.request = 0;
	if (rpc_gave_up(&update->rpc))
		return;
	if (result->error)
		rpc_fail(&update->rpc, result->failure, RPC_QUOTA_HINT);
	else
		update_write(update);
}

/* Make the record of SNAPSHOT with the new labels, and change what there is to change. */
static void update_apply(struct update *update, struct snapshot *snapshot)
{
	struct rpc *rpc = &update->rpc;
	struct snapshot changed = *snapshot;
	char layer[SNAPSHOT_LAYER_SIZE];
	bool limited = snapshot->kind == SNAPSHOT_ACTIVE;
	uint64_t old, size = 0;
	int r;

	if (limited && !rpc_read_size(rpc, &update->labels, &size))
		return;
	if (labels_size(&snapshot->labels, &old))
		old = 0;
	update->updated_ns = rpc_now();
	changed.labels = update->labels;
	changed.updated_ns = update->updated_ns;
	r = record_encode(&changed, &update->record, &update->record_bytes);
	if (r) {
		rpc_record_failed(rpc, r, update->record_bytes);
		return;
	}
	rpc_claim(rpc, snapshot, SNAPSHOT_CHANGING);
	if (!limited || size == old) {
		update_write(update);
		return;
	}
	r = varve_quota_limit(rpc->service->store, snapshot_layer(snapshot->number, layer), size,
			      update_limited, update, &rpc->request);
	if (r)
		rpc_refused(rpc, r, RPC_QUOTA_HINT);
}

/* The value that LABELS, COUNT of them, have for KEY, or "". */
static struct text update_value(Snapshots__Label *const *labels, size_t count, struct text key)
{
	struct text value = text_of_string("");

	/* The last one counts. */
	for (size_t i = 0; i < count; i++)
		if (text_equal(text_of_field(&labels[i]->key), key))
			value = text_of_field(&labels[i]->value);
	return value;
}

/*
 * Edit LIST, which begins with the labels of the snapshot, *COUNT of them, as the fields of MASK
 * say: the labels are those of INFO, or one of them is. Of two labels with one key the later one
 * counts. If a field cannot be changed, the call is ended, and the result is false.
 */
static bool update_edit(struct rpc *rpc, const Snapshots__Info *info,
			const Snapshots__FieldMask *mask, struct label *list, size_t *count)
{
	static const char all[] = "labels", prefix[] = "labels.";
	size_t last_all = 0;
	char quoted[256];

	for (size_t i = 0; i < mask->n_paths; i++)
		if (text_equal(text_of_field(&mask->paths[i]), text_of_string(all)))
			last_all = i;
	for (size_t i = 0; i < mask->n_paths; i++) {
		struct text path = text_of_field(&mask->paths[i]);

		if (path.count >= sizeof(prefix) - 1 &&
		    !memcmp(path.bytes, prefix, sizeof(prefix) - 1)) {
			struct text key = { path.bytes + sizeof(prefix) - 1,
					    path.count - (sizeof(prefix) - 1) };

			list[(*count)++] = (struct label){
				.key = key,
				.value = update_value(info->labels, info->n_labels, key),
			};
		} else if (text_equal(path, text_of_string(all))) {
			/* The last one undoes what came before: a thousand of them cost as one. */
			if (i < last_all)
				continue;
			*count = 0;
			if (!rpc_take_labels(rpc, info->labels, info->n_labels, list, count))
				return false;
		} else {
			rpc_end(rpc, GRPC_INVALID_ARGUMENT,
				"the field %s cannot be changed, only \"labels\" and \"labels.KEY\"",
				text_quote(path, quoted, sizeof(quoted)));
			return false;
		}
	}
	return true;
}

/* Make the labels that SNAPSHOT is to have. If they cannot be, the call is ended: false. */
static bool update_labels(struct update *update, const struct snapshot *snapshot,
			  const Snapshots__Info *info, const Snapshots__FieldMask *mask)
{
	struct rpc *rpc = &update->rpc;
	/* "labels" again begins anew, so that this is the most. */
	size_t most = snapshot->labels.count + info->n_labels + mask->n_paths, count = 0;
	struct label *list = calloc(most + 1, sizeof(*list)), label = { 0 };
	bool made;

	if (!list) {
		rpc_no_memory(rpc);
		return false;
	}
	while (labels_next(&snapshot->labels, &label))
		list[count++] = label;
	made = update_edit(rpc, info, mask, list, &count);
	if (made && labels_make(list, count, &update->labels)) {
		rpc_no_memory(rpc);
		made = false;
	}
	free(list);
	return made;
}

static void update_begin(struct rpc *rpc)
{
	const Snapshots__UpdateRequest *request = (const Snapshots__UpdateRequest *)rpc->message;
	Snapshots__Info none = SNAPSHOTS__INFO__INIT;
	const Snapshots__Info *info = request->info ? request->info : &none;
	ProtobufCBinaryData path = text_field(text_of_string("labels"));
	Snapshots__FieldMask all = SNAPSHOTS__FIELD_MASK__INIT, *mask = request->update_mask;
	struct snapshot *snapshot;
	struct labels checked = { 0 };

	if (!rpc_check_key(rpc, "name", text_of_field(&info->name)) ||
	    !rpc_read_labels(rpc, info->labels, info->n_labels, &checked))
		return;
	labels_destroy(&checked);
	if (mask && mask->n_paths > SNAPSHOT_PATHS_MAX) {
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "%zu fields, more than %d", mask->n_paths,
			SNAPSHOT_PATHS_MAX);
		return;
	}
	snapshot = rpc_find(rpc, text_of_field(&info->name));
	if (!snapshot)
		return;
	if (snapshot->worker) {
		rpc_wait(rpc, snapshot);
		return;
	}
	if (!mask || !mask->n_paths) {
		all.n_paths = 1;
		all.paths = &path;
		mask = &all;
	}
	if (update_labels(update_of(rpc), snapshot, info, mask))
		update_apply(update_of(rpc), snapshot);
}

void update_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct update), update_begin, update_destroy);
}

/* ---- Cleanup --------------------------------------------------------------------------------- */

/* The home was swept. */
static void cleanup_swept(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct rpc *rpc = user_data;
	Snapshots__Empty empty = SNAPSHOTS__EMPTY__INIT;

	rpc->request = 0;
	if (result->error)
		rpc_fail(rpc, result->failure, NULL);
	else
		rpc_answer(rpc, &empty.base);
}

static void cleanup_begin(struct rpc *rpc)
{
	int r = varve_sweep(rpc->service->store, cleanup_swept, rpc, &rpc->request);

	if (r)
		rpc_refused(rpc, r, NULL);
}

void cleanup_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct rpc), cleanup_begin, NULL);
}
