/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stat, List and Usage. The first two need the index alone. List sends a block when the client has
 * room for it; what comes and goes meanwhile may be in the list or not, and all else is in it.
 *
 * Lists with costly filters do not hold up other calls: one List has work in a turn of the loop,
 * SNAPSHOT_WORK_MAX of it, and the others wait for theirs:
 *
 *	list_room()	the client has room: the List joins the others that wait
 *	list_turn()	it is the first of them, in the next turn: it works, and asks for room again
 */
#include "rpc.h"

#include "filter.h"
#include "limits.h"

#include <errno.h>
#include <stdlib.h>

/* ---- messages -------------------------------------------------------------------------------- */

/* A message Info, with what it points to. */
struct info {
	Snapshots__Info info;
	Snapshots__Timestamp created, updated;
	Snapshots__Label *labels;
	Snapshots__Label **label_pointers;
};

/* TIME_NS as a timestamp. */
static void timestamp_fill(Snapshots__Timestamp *timestamp, int64_t time_ns)
{
	snapshots__timestamp__init(timestamp);
	timestamp->seconds = time_ns / NS_PER_S;
	timestamp->nanos = (int32_t)(time_ns % NS_PER_S);
	/* Before the epoch. */
	if (timestamp->nanos < 0) {
		timestamp->nanos += NS_PER_S;
		timestamp->seconds--;
	}
}

/* Fill INFO, which points into SNAPSHOT then: 0 or -ENOMEM. */
static int info_fill(struct info *info, const struct snapshot *snapshot)
{
	size_t count = snapshot->labels.count, i = 0;
	struct label label = { 0 };

	info->labels = calloc(count + 1, sizeof(*info->labels));
	info->label_pointers = calloc(count + 1, sizeof(*info->label_pointers));
	if (!info->labels || !info->label_pointers)
		return -ENOMEM;
	while (labels_next(&snapshot->labels, &label)) {
		snapshots__label__init(&info->labels[i]);
		info->labels[i].key = text_field(label.key);
		info->labels[i].value = text_field(label.value);
		info->label_pointers[i] = &info->labels[i];
		i++;
	}
	timestamp_fill(&info->created, snapshot->created_ns);
	timestamp_fill(&info->updated, snapshot->updated_ns);
	snapshots__info__init(&info->info);
	info->info.name = text_field(snapshot_key(snapshot));
	info->info.parent = text_field(snapshot_parent_seen(snapshot));
	info->info.kind = (Snapshots__Kind)snapshot->kind;
	info->info.created_at = &info->created;
	info->info.updated_at = &info->updated;
	info->info.n_labels = count;
	info->info.labels = info->label_pointers;
	return 0;
}

/* Free what INFO has. */
static void info_destroy(struct info *info)
{
	free(info->labels);
	free(info->label_pointers);
}

void info_answer(struct rpc *rpc, const struct snapshot *snapshot)
{
	Snapshots__InfoResponse response = SNAPSHOTS__INFO_RESPONSE__INIT;
	struct info info = { 0 };

	response.info = &info.info;
	if (info_fill(&info, snapshot))
		rpc_no_memory(rpc);
	else
		rpc_answer(rpc, &response.base);
	info_destroy(&info);
}

/* ---- Stat ------------------------------------------------------------------------------------ */

static void stat_begin(struct rpc *rpc)
{
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct snapshot *snapshot = rpc_find(rpc, text_of_field(&request->key));

	if (snapshot)
		info_answer(rpc, snapshot);
}

void stat_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct rpc), stat_begin, NULL);
}

/* ---- List ------------------------------------------------------------------------------------ */

/* A List under way. */
struct list {
	struct rpc rpc;
	/* Among those that wait for their turn; else alone. */
	struct link turn;
	struct filter_set *filters;
	struct index_cursor cursor;
	/* How far the filters are with a snapshot, and which one in which state that is. */
	struct filter_place place;
	uint64_t number;
	int64_t updated_ns;
};

/* A block of its answer. */
struct block {
	struct info infos[SNAPSHOT_BLOCK_MAX];
	Snapshots__Info *pointers[SNAPSHOT_BLOCK_MAX];
	size_t count, bytes;
};

static struct list *list_of(struct rpc *rpc)
{
	return (struct list *)rpc;
}

/* Do the filters of LIST take SNAPSHOT? As filter_set_match(), which goes on where it stopped. */
static int list_match(struct list *list, const struct snapshot *snapshot, unsigned *work,
		      char reason[FILTER_REASON_SIZE])
{
	int r;

	/* What was looked at may have changed, or have gone, since. */
	if (list->number != snapshot->number || list->updated_ns != snapshot->updated_ns)
		list->place = (struct filter_place){ 0 };
	r = filter_set_match(list->filters, snapshot, &list->place, work, reason);
	list->number = snapshot->number;
	list->updated_ns = snapshot->updated_ns;
	if (r != -EAGAIN)
		list->place = (struct filter_place){ 0 };
	return r;
}

/*
 * Fill BLOCK from the cursor on. 1: there may be more; 0: the end; -EINVAL, and *REASON says why;
 * -ENOMEM.
 */
static int list_fill(struct list *list, struct block *block, char reason[FILTER_REASON_SIZE])
{
	struct index *index = &list->rpc.service->index;
	unsigned work = SNAPSHOT_WORK_MAX;

	while (work && block->count < SNAPSHOT_BLOCK_MAX && block->bytes < SNAPSHOT_BLOCK_BYTES) {
		struct snapshot *snapshot = index_cursor_peek(index, &list->cursor);
		int r;

		if (!snapshot)
			return 0;
		work -= SNAPSHOT_WORK_LOOK < work ? SNAPSHOT_WORK_LOOK : work;
		r = list_match(list, snapshot, &work, reason);
		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		index_cursor_next(index, &list->cursor);
		if (!r)
			continue;
		block->pointers[block->count] = &block->infos[block->count].info;
		if (info_fill(&block->infos[block->count++], snapshot))
			return -ENOMEM;
		block->bytes += snapshot->key_bytes + snapshot->labels.bytes;
	}
	return 1;
}

static void list_room(struct grpc_call *call, void *data);

/* Send the next block of RPC, and go on or end. */
static void list_send(struct rpc *rpc)
{
	Snapshots__ListResponse response = SNAPSHOTS__LIST_RESPONSE__INIT;
	char reason[FILTER_REASON_SIZE];
	struct block *block = calloc(1, sizeof(*block));
	int r = block ? list_fill(list_of(rpc), block, reason) : -ENOMEM;

	if (r >= 0 && block->count) {
		response.n_info = block->count;
		response.info = block->pointers;
		if (grpc_call_send(rpc->call, &response.base))
			r = -ENOMEM;
	}
	for (size_t i = 0; block && i < block->count; i++)
		info_destroy(&block->infos[i]);
	free(block);
	if (r == -EINVAL)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "%s", reason);
	else if (r < 0)
		rpc_no_memory(rpc);
	else if (r)
		grpc_call_on_room(rpc->call, list_room, rpc);
	else
		rpc_end(rpc, GRPC_OK, NULL);
}

static void list_turn(struct grpc_call *call, void *data);

/* Give the next turn of the loop to the first List that waits for one. */
static void list_next(struct snapshots *snapshots)
{
	struct list *list = link_entry(snapshots->lists.next, struct list, turn);

	/* It has room, so that it does not wait for its client. */
	if (!link_alone(&snapshots->lists))
		grpc_call_on_room(list->rpc.call, list_turn, list);
}

/* It is the turn of this List, as it is of no other. */
static void list_turn(struct grpc_call *call, void *data)
{
	struct list *list = data;
	struct snapshots *snapshots = list->rpc.service;

	link_remove(&list->turn);
	list_send(&list->rpc);
	list_next(snapshots);
}

/* The client has room for a block: wait for the turn. */
static void list_room(struct grpc_call *call, void *data)
{
	struct list *list = data;
	struct snapshots *snapshots = list->rpc.service;
	bool first = link_alone(&snapshots->lists);

	link_append(&snapshots->lists, &list->turn);
	if (first)
		list_next(snapshots);
}

static void list_destroy(struct rpc *rpc)
{
	struct list *list = list_of(rpc);
	bool first = rpc->service->lists.next == &list->turn;

	link_remove(&list->turn);
	if (first)
		list_next(rpc->service);
	filter_set_free(list->filters);
	if (list->cursor.at)
		index_cursor_close(&list->cursor);
}

static void list_begin(struct rpc *rpc)
{
	const Snapshots__ListRequest *request = (const Snapshots__ListRequest *)rpc->message;
	char reason[FILTER_REASON_SIZE];
	struct text *texts = calloc(request->n_filters + 1, sizeof(*texts));
	int r = texts ? 0 : -ENOMEM;

	link_init(&list_of(rpc)->turn);
	for (size_t i = 0; texts && i < request->n_filters; i++)
		texts[i] = text_of_field(&request->filters[i]);
	if (!r)
		r = filter_set_read(texts, request->n_filters, &list_of(rpc)->filters, reason);
	free(texts);
	if (r == -EINVAL) {
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "%s", reason);
	} else if (r) {
		rpc_no_memory(rpc);
	} else {
		index_cursor_open(&rpc->service->index, &list_of(rpc)->cursor);
		grpc_call_on_room(rpc->call, list_room, rpc);
	}
}

void list_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct list), list_begin, list_destroy);
}

/* ---- Usage ----------------------------------------------------------------------------------- */

/* A Usage under way. */
struct usage {
	struct rpc rpc;
	/* The layer that is measured. */
	uint64_t number;
};

/* End RPC with BYTES and INODES. */
static void usage_answer(struct rpc *rpc, uint64_t bytes, uint64_t inodes)
{
	Snapshots__UsageResponse response = SNAPSHOTS__USAGE_RESPONSE__INIT;

	response.size = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
	response.inodes = inodes > INT64_MAX ? INT64_MAX : (int64_t)inodes;
	rpc_answer(rpc, &response.base);
}

/* The layer was measured, or not. */
static void usage_measured(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct usage *usage = user_data;
	struct rpc *rpc = &usage->rpc;
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct snapshot *snapshot;

	rpc->request = 0;
	if (result->error) {
		rpc_fail(rpc, result->failure, NULL);
		return;
	}
	/* A committed one does not change any more; meanwhile it may have been removed. */
	snapshot = index_find(&rpc->service->index, text_of_field(&request->key));
	if (snapshot && snapshot->kind == SNAPSHOT_COMMITTED && snapshot->number == usage->number) {
		snapshot->usage_known = true;
		snapshot->usage_bytes = result->usage->disk_bytes;
		snapshot->usage_inodes = result->usage->inodes;
	}
	usage_answer(rpc, result->usage->disk_bytes, result->usage->inodes);
}

static void usage_begin(struct rpc *rpc)
{
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct snapshot *snapshot = rpc_find(rpc, text_of_field(&request->key));
	struct usage *usage = (struct usage *)rpc;
	uint64_t flags = VARVE_USAGE_DELTA;
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	if (!snapshot)
		return;
	/* What is measured of a committed one is kept, and has to be exact. */
	if (snapshot->kind == SNAPSHOT_ACTIVE && !rpc->service->usage_exact)
		flags |= VARVE_USAGE_NO_FLUSH;
	if (snapshot->kind == SNAPSHOT_VIEW || snapshot->usage_known) {
		usage_answer(rpc, snapshot->usage_bytes, snapshot->usage_inodes);
		return;
	}
	usage->number = snapshot->number;
	r = varve_layer_usage(rpc->service->store, snapshot_layer(snapshot->number, layer), flags,
			      usage_measured, usage, &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
}

void usage_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct usage), usage_begin, NULL);
}
