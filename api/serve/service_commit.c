/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit: an active snapshot becomes a committed one, under another key.
 *
 *	step      what it does                          what a failure leaves     what a crash leaves
 *	begin     checks, takes the name in the index   the active snapshot
 *	flush     the layer's data to disk; others      the active snapshot       the active one
 *	          share the flush
 *	usage     what the layer has beyond its parent  usage unknown: the first  the active one
 *	                                                Usage measures it
 *	write     the record replaced, durable          the active one, or        the active or the
 *	                                                see `look`                committed one
 *	look      after a failed write: the record      what is on disk
 *	          says which one it is
 *
 * With --commit=relaxed only `write` is done, relaxed. Until the call ends, the snapshot is active
 * for those that look. The layer itself is not touched: it stays writable, since to make it
 * read-only would wait for a commit of the file system, and nobody mounts it any more.
 */
#include "rpc.h"

#include "record.h"

#include <errno.h>
#include <stdlib.h>

/* A Commit under way. */
struct commit {
	struct rpc rpc;
	/* What the snapshot becomes, in the index under its name; NULL: not taken, or done. */
	struct snapshot *named;
	/* Its record. */
	uint8_t *record;
	size_t record_bytes;
	/* Why it could not be written. */
	struct varve_failure failure;
};

static struct commit *commit_of(struct rpc *rpc)
{
	return (struct commit *)rpc;
}

/* The id of the layer, into BUFFER. */
static const char *commit_layer(const struct commit *commit, char buffer[SNAPSHOT_LAYER_SIZE])
{
	return snapshot_layer(commit->rpc.claimed->number, buffer);
}

static void commit_destroy(struct rpc *rpc)
{
	struct commit *commit = commit_of(rpc);

	free(commit->record);
	if (!commit->named)
		return;
	index_remove(&rpc->service->index, commit->named);
	snapshot_free(commit->named);
}

/* The record on disk is that of the committed snapshot: let the index say so. */
static void commit_swap(struct commit *commit)
{
	struct rpc *rpc = &commit->rpc;
	struct snapshot *active = rpc->claimed;

	rpc->claimed = NULL;
	commit->named->number = active->number;
	commit->named->state = SNAPSHOT_READY;
	commit->named->worker = NULL;
	commit->named = NULL;
	index_remove(&rpc->service->index, active);
	snapshot_free(active);
}

/* The record was read after a write that failed. */
static void commit_looked(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct commit *commit = user_data;
	const struct varve_layer_record *record = result->record;

	commit->rpc.request = 0;
	if (!result->error && record->bytes_count == commit->record_bytes &&
	    !memcmp(record->bytes, commit->record, commit->record_bytes))
		commit_swap(commit);
	rpc_fail(&commit->rpc, &commit->failure, NULL);
}

/* The record was written, or not. */
static void commit_written(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct commit *commit = user_data;
	struct rpc *rpc = &commit->rpc;
	Snapshots__Empty empty = SNAPSHOTS__EMPTY__INIT;
	char layer[SNAPSHOT_LAYER_SIZE];

	rpc->request = 0;
	if (!result->error) {
		commit_swap(commit);
		rpc_answer(rpc, &empty.base);
		return;
	}
	/* Where only the wait for the disk failed, the record is the new one. */
	commit->failure = *result->failure;
	/* A look that is cancelled would leave the index behind the disk. */
	grpc_call_on_cancel(rpc->call, NULL, NULL);
	if (varve_layer_record(store, commit_layer(commit, layer), commit_looked, commit,
			       &rpc->request))
		rpc_fail(rpc, &commit->failure, NULL);
}

/* Write the record. */
static void commit_write(struct commit *commit)
{
	static const char *const labels[] = { RECORD_LABEL "=committed", NULL };
	struct rpc *rpc = &commit->rpc;
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	commit->named->created_ns = commit->named->updated_ns = rpc_now();
	free(commit->record);
	commit->record = NULL;
	r = record_encode(commit->named, &commit->record, &commit->record_bytes);
	if (r) {
		rpc_record_failed(rpc, r, commit->record_bytes);
		return;
	}
	options.flags = VARVE_LABEL_RECORD |
			(rpc->service->commit_relaxed ? VARVE_RELAXED : VARVE_DURABLE);
	options.labels = labels;
	options.record = commit->record;
	options.record_bytes = commit->record_bytes;
	r = varve_layer_label(rpc->service->store, commit_layer(commit, layer), &options,
			      commit_written, commit, &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
}

/* The layer was measured, or not. */
static void commit_measured(struct varve_store *store, const struct varve_result *result,
			    void *user_data)
{
	struct commit *commit = user_data;

	commit->rpc.request = 0;
	if (rpc_gave_up(&commit->rpc))
		return;
	if (result->error == -ENOENT || result->error == -ECANCELED) {
		rpc_fail(&commit->rpc, result->failure, NULL);
		return;
	}
	commit->named->usage_known = !result->error;
	if (!result->error) {
		commit->named->usage_bytes = result->usage->disk_bytes;
		commit->named->usage_inodes = result->usage->inodes;
	}
	commit_write(commit);
}

/* The layer's data is on disk, or not. */
static void commit_flushed(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct commit *commit = user_data;
	struct rpc *rpc = &commit->rpc;
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	rpc->request = 0;
	if (rpc_gave_up(rpc))
		return;
	if (result->error) {
		rpc_fail(rpc, result->failure, NULL);
		return;
	}
	/* All that the layer has is in the trees now. */
	r = varve_layer_usage(store, commit_layer(commit, layer),
			      VARVE_USAGE_DELTA | VARVE_USAGE_NO_FLUSH, commit_measured, commit,
			      &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
}

/* Take the name for SNAPSHOT, whose labels are to be LABELS. If not, the call is ended: false. */
static bool commit_take(struct commit *commit, struct text name, struct snapshot *snapshot,
			struct labels *labels)
{
	struct rpc *rpc = &commit->rpc;
	struct text lost = snapshot->parent ? text_of_string("") : snapshot_parent_key(snapshot);
	struct snapshot *named = snapshot_new(name, lost);
	int r;

	if (!named) {
		rpc_no_memory(rpc);
		return false;
	}
	if (record_keep_unknown(named, snapshot->unknown, snapshot->unknown_bytes)) {
		snapshot_free(named);
		rpc_no_memory(rpc);
		return false;
	}
	named->labels = *labels;
	*labels = (struct labels){ 0 };
	named->kind = SNAPSHOT_COMMITTED;
	named->state = SNAPSHOT_NAMED;
	named->worker = rpc;
	snapshot_set_parent(named, snapshot->parent);
	index_add(&rpc->service->index, named);
	commit->named = named;
	rpc_claim(rpc, snapshot, SNAPSHOT_CHANGING);
	/* Does the record fit, also with numbers for the usage? */
	named->usage_known = true;
	named->usage_bytes = named->usage_inodes = UINT64_MAX;
	r = record_encode(named, &commit->record, &commit->record_bytes);
	named->usage_known = false;
	named->usage_bytes = named->usage_inodes = 0;
	if (r)
		rpc_record_failed(rpc, r, commit->record_bytes);
	return !r;
}

/* Look the snapshots up, and go on. */
static void commit_look_up(struct commit *commit, struct labels *labels)
{
	struct rpc *rpc = &commit->rpc;
	const Snapshots__CommitRequest *request = (const Snapshots__CommitRequest *)rpc->message;
	struct text name = text_of_field(&request->name), key = text_of_field(&request->key);
	struct text parent = text_of_field(&request->parent);
	struct index *index = &rpc->service->index;
	struct snapshot *snapshot = index_find(index, key), *named = index_find(index, name);
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	/*
	 * In the order in which containerd's own snapshotters look. A name that another call has
	 * taken exists or not when that call has ended.
	 */
	if (!snapshot || !snapshot_visible(snapshot)) {
		rpc_end_key(rpc, GRPC_NOT_FOUND, key, "does not exist");
	} else if (named && !snapshot_visible(named)) {
		rpc_wait(rpc, named);
	} else if (named) {
		rpc_end_key(rpc, GRPC_ALREADY_EXISTS, name, "exists");
	} else if (snapshot->worker) {
		rpc_wait(rpc, snapshot);
	} else if (snapshot->kind != SNAPSHOT_ACTIVE) {
		rpc_end_key(rpc, GRPC_FAILED_PRECONDITION, key, "is not active");
	} else if (parent.count && !text_equal(parent, snapshot_parent_key(snapshot))) {
		rpc_end_key(rpc, GRPC_INVALID_ARGUMENT, key,
			    "has another parent than the request says, and cannot be moved");
	} else if (commit_take(commit, name, snapshot, labels)) {
		if (rpc->service->commit_relaxed) {
			commit_write(commit);
			return;
		}
		r = varve_layer_flush(rpc->service->store, commit_layer(commit, layer), 0,
				      commit_flushed, commit, &rpc->request);
		if (r)
			rpc_refused(rpc, r, NULL);
	}
}

static void commit_begin(struct rpc *rpc)
{
	const Snapshots__CommitRequest *request = (const Snapshots__CommitRequest *)rpc->message;
	struct labels labels = { 0 };

	if (!rpc_check_key(rpc, "name", text_of_field(&request->name)) ||
	    !rpc_check_key(rpc, "key", text_of_field(&request->key)) ||
	    !rpc_read_labels(rpc, request->labels, request->n_labels, &labels))
		return;
	commit_look_up(commit_of(rpc), &labels);
	labels_destroy(&labels);
}

void commit_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct commit), commit_begin, commit_destroy);
}
