/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepare, View and Mounts.
 *
 *	step      what it does                          what a failure leaves     what a crash leaves
 *	begin     checks, takes the key and a child     nothing
 *	          of the parent in the index
 *	create    varve_layer_create(), relaxed, with   nothing                   nothing, or the
 *	          the record; another name if taken                               snapshot, whole
 *	undo      the client has gone meanwhile:        the snapshot, visible:    the same
 *	          removes the layer again               the client's clean-up
 *	                                                finds it
 *
 * The checks have containerd's order: the parent, then the key. A key that another call has taken
 * exists or not when that call has ended, so that this one waits for it. A Prepare that names the
 * snapshot that is to come of it (containerd.io/snapshot.ref) is refused where that is there: the
 * client then looks it up, and neither fetches nor unpacks it.
 */
#include "rpc.h"

#include "limits.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL_UIDS "containerd.io/snapshot/uidmapping"
#define LABEL_GIDS "containerd.io/snapshot/gidmapping"

/* A Prepare or View under way. */
struct create {
	struct rpc rpc;
	enum snapshot_kind kind;
	/* Names that were taken. */
	unsigned tried;
	/* Bytes of the limit; 0: none. */
	uint64_t size;
	/* The record of the snapshot. */
	uint8_t *record;
	size_t record_bytes;
};

static struct create *create_of(struct rpc *rpc)
{
	return (struct create *)rpc;
}

/* ---- mounts ---------------------------------------------------------------------------------- */

/* Is TEXT a map of ids, "CONTAINER:HOST:COUNT", or several with commas? */
static bool is_id_map(struct text text)
{
	unsigned colons = 0;
	bool digit = false;

	for (size_t i = 0; i < text.count; i++) {
		char byte = text.bytes[i];

		if (byte >= '0' && byte <= '9') {
			digit = true;
			continue;
		}
		/* Two colons, then a comma; digits before each. */
		if (!digit || byte != (colons < 2 ? ':' : ','))
			return false;
		colons = colons < 2 ? colons + 1 : 0;
		digit = false;
	}
	return digit && colons == 2;
}

/* The mount option NAME=MAP for the label KEY, in new memory; NULL: none. -ENOMEM. */
static int mount_map(const struct snapshot *snapshot, const char *key, const char *name,
		     char **ret_option)
{
	struct text map = labels_value(&snapshot->labels, key);

	*ret_option = NULL;
	if (!is_id_map(map))
		return 0;
	return asprintf(ret_option, "%s=%.*s", name, (int)map.count, map.bytes) < 0 ? -ENOMEM : 0;
}

/* End RPC with the mounts of SNAPSHOT. */
static void mounts_answer(struct rpc *rpc, const struct snapshot *snapshot)
{
	Snapshots__MountsResponse response = SNAPSHOTS__MOUNTS_RESPONSE__INIT;
	Snapshots__Mount mount = SNAPSHOTS__MOUNT__INIT, *mounts = &mount;
	char *options[4] = { snapshot->kind == SNAPSHOT_VIEW ? "ro" : "rw", "rbind" };
	char layer[SNAPSHOT_LAYER_SIZE], *source = NULL, *uids = NULL, *gids = NULL;
	int r = mount_map(snapshot, LABEL_UIDS, "uidmap", &uids);

	if (!r)
		r = mount_map(snapshot, LABEL_GIDS, "gidmap", &gids);
	if (!r && asprintf(&source, "%s/%s", rpc->service->subvolumes,
			   snapshot_layer(snapshot->number, layer)) < 0) {
		source = NULL;
		r = -ENOMEM;
	}
	mount.type = "bind";
	mount.source = source;
	mount.options = options;
	mount.n_options = 2;
	/* An idmapped mount has both. */
	if (uids && gids) {
		options[mount.n_options++] = uids;
		options[mount.n_options++] = gids;
	}
	response.n_mounts = 1;
	response.mounts = &mounts;
	if (r)
		rpc_no_memory(rpc);
	else
		rpc_answer(rpc, &response.base);
	free(source);
	free(uids);
	free(gids);
}

static void mounts_begin(struct rpc *rpc)
{
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct text key = text_of_field(&request->key);
	struct snapshot *snapshot = rpc_find(rpc, key);

	if (!snapshot)
		return;
	if (snapshot->kind == SNAPSHOT_COMMITTED)
		rpc_end_key(rpc, GRPC_FAILED_PRECONDITION, key,
			    "is committed, and only active ones and views have mounts");
	else
		mounts_answer(rpc, snapshot);
}

void mounts_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct rpc), mounts_begin, NULL);
}

/* ---- creates --------------------------------------------------------------------------------- */

static void create_submit(struct create *create);

/* Take the snapshot that was not made out of the index. */
static void create_forget(struct create *create)
{
	struct rpc *rpc = &create->rpc;
	struct snapshot *snapshot = rpc->claimed;

	rpc->claimed = NULL;
	index_remove(&rpc->service->index, snapshot);
	snapshot_free(snapshot);
}

/* The layer whose client has gone was removed; or not, and the snapshot is there then. */
static void create_undone(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct create *create = user_data;

	create->rpc.request = 0;
	if (!result->error || result->error == -ENOENT)
		create_forget(create);
	rpc_end(&create->rpc, GRPC_CANCELLED, "cancelled");
}

/* The layer appeared, and the client has gone: remove it. */
static void create_undo(struct create *create)
{
	struct rpc *rpc = &create->rpc;
	char layer[SNAPSHOT_LAYER_SIZE];
	int r = varve_layer_remove(rpc->service->store, snapshot_layer(rpc->claimed->number, layer),
				   VARVE_RELAXED, create_undone, create, &rpc->request);

	/* rpc_end() makes it visible. */
	if (r)
		rpc_end(rpc, GRPC_CANCELLED, "cancelled");
}

/* The layer was created, or not. */
static void create_created(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct create *create = user_data;
	struct rpc *rpc = &create->rpc;
	struct snapshot *snapshot = rpc->claimed;

	rpc->request = 0;
	if (result->error == -EEXIST && ++create->tried < SNAPSHOT_NAMES_TRIED_MAX &&
	    !grpc_call_cancelled(rpc->call)) {
		snapshot->number = rpc->service->next_number++;
		create_submit(create);
		return;
	}
	if (result->error) {
		create_forget(create);
		rpc_fail(rpc, result->failure, create->size ? RPC_QUOTA_HINT : NULL);
		return;
	}
	if (grpc_call_cancelled(rpc->call)) {
		create_undo(create);
		return;
	}
	rpc_release(rpc);
	mounts_answer(rpc, snapshot);
}

/* Have the layer of the snapshot created. */
static void create_submit(struct create *create)
{
	struct rpc *rpc = &create->rpc;
	struct snapshot *snapshot = rpc->claimed;
	char layer[SNAPSHOT_LAYER_SIZE], parent[SNAPSHOT_LAYER_SIZE], size[32], label[64];
	const char *const storage_options[] = { size, NULL };
	const char *const labels[] = { label, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int r;

	snprintf(size, sizeof(size), "size=%" PRIu64, create->size);
	snprintf(label, sizeof(label), "%s=%s", RECORD_LABEL, snapshot_kind_name(snapshot->kind));
	options.flags = VARVE_RELAXED;
	options.record = create->record;
	options.record_bytes = create->record_bytes;
	options.labels = labels;
	if (snapshot->parent)
		options.parent = snapshot_layer(snapshot->parent->number, parent);
	if (create->size)
		options.storage_options = storage_options;
	r = varve_layer_create(rpc->service->store, snapshot_layer(snapshot->number, layer),
			       &options, create_created, create, &rpc->request);
	if (!r)
		return;
	create_forget(create);
	rpc_refused(rpc, r, create->size ? RPC_QUOTA_HINT : NULL);
}

/* Is there a committed child of PARENT whose label snapshot.ref is REF? */
static bool create_ref_exists(const struct index *index, const struct snapshot *parent,
			      struct text ref)
{
	const struct snapshot *snapshot = NULL;

	while ((snapshot = index_next_ref(index, ref, snapshot)))
		if (snapshot->parent == parent && snapshot->kind == SNAPSHOT_COMMITTED &&
		    snapshot_visible(snapshot) && (parent || !snapshot_parent_key(snapshot).count))
			return true;
	return false;
}

/* Read what the labels of the new snapshot ask for. If they cannot be, the call is ended: false. */
static bool create_wishes(struct create *create, const struct labels *labels)
{
	struct rpc *rpc = &create->rpc;
	struct text uids = labels_value(labels, LABEL_UIDS),
		    gids = labels_value(labels, LABEL_GIDS);
	char quoted[128];

	if ((uids.count && !is_id_map(uids)) || (gids.count && !is_id_map(gids))) {
		rpc_end(rpc, GRPC_INVALID_ARGUMENT,
			"a label for a map of ids is not CONTAINER:HOST:COUNT[,...]: %s",
			text_quote(is_id_map(uids) ? gids : uids, quoted, sizeof(quoted)));
		return false;
	}
	/* A view is read-only. */
	return create->kind == SNAPSHOT_VIEW || rpc_read_size(rpc, labels, &create->size);
}

/* Take KEY for a child of PARENT with LABELS, which are the snapshot's then, and go on. */
static void create_take(struct create *create, struct text key, struct snapshot *parent,
			struct labels *labels)
{
	struct rpc *rpc = &create->rpc;
	struct snapshot *snapshot = snapshot_new(key, text_of_string(""));
	int r;

	if (!snapshot) {
		rpc_no_memory(rpc);
		return;
	}
	snapshot->labels = *labels;
	*labels = (struct labels){ 0 };
	snapshot->kind = (uint8_t)create->kind;
	snapshot->created_ns = snapshot->updated_ns = rpc_now();
	snapshot_set_parent(snapshot, parent);
	index_add(&rpc->service->index, snapshot);
	rpc_claim(rpc, snapshot, SNAPSHOT_MAKING);
	r = record_encode(snapshot, &create->record, &create->record_bytes);
	if (r) {
		create_forget(create);
		rpc_record_failed(rpc, r, create->record_bytes);
		return;
	}
	snapshot->number = rpc->service->next_number++;
	create_submit(create);
}

static void create_begin(struct rpc *rpc)
{
	const Snapshots__CreateRequest *request = (const Snapshots__CreateRequest *)rpc->message;
	struct text key = text_of_field(&request->key);
	struct text parent_key = text_of_field(&request->parent), ref;
	struct index *index = &rpc->service->index;
	struct create *create = create_of(rpc);
	struct snapshot *parent = NULL, *taken;
	struct labels labels = { 0 };

	if (!rpc_check_key(rpc, "key", key) ||
	    (parent_key.count && !rpc_check_key(rpc, "parent", parent_key)))
		return;
	taken = index_find(index, key);
	if (taken && !snapshot_visible(taken)) {
		rpc_wait(rpc, taken);
		return;
	}
	if (!rpc_read_labels(rpc, request->labels, request->n_labels, &labels))
		return;
	ref = labels_value(&labels, LABEL_REF);
	if (parent_key.count)
		parent = index_find(index, parent_key);
	if (parent && parent->state == SNAPSHOT_REMOVING)
		rpc_wait(rpc, parent);
	else if (parent_key.count && !(parent && snapshot_visible(parent)))
		rpc_end_key(rpc, GRPC_NOT_FOUND, parent_key,
			    "does not exist, and was to be a parent");
	else if (parent && parent->kind != SNAPSHOT_COMMITTED)
		rpc_end_key(rpc, GRPC_INVALID_ARGUMENT, parent_key,
			    "is not committed, and cannot be a parent");
	else if (taken)
		rpc_end_key(rpc, GRPC_ALREADY_EXISTS, key, "exists");
	else if (create->kind == SNAPSHOT_ACTIVE && ref.count &&
		 create_ref_exists(index, parent, ref))
		rpc_end_key(rpc, GRPC_ALREADY_EXISTS, ref, "exists, of the same parent");
	else if (create_wishes(create, &labels))
		create_take(create, key, parent, &labels);
	labels_destroy(&labels);
}

static void prepare_begin(struct rpc *rpc)
{
	create_of(rpc)->kind = SNAPSHOT_ACTIVE;
	create_begin(rpc);
}

static void view_begin(struct rpc *rpc)
{
	create_of(rpc)->kind = SNAPSHOT_VIEW;
	create_begin(rpc);
}

static void create_destroy(struct rpc *rpc)
{
	free(create_of(rpc)->record);
}

void prepare_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct create), prepare_begin, create_destroy);
}

void view_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct create), view_begin, create_destroy);
}
