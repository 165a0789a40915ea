/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: the names of all layers, or of those that have certain labels, sorted. Changes nothing;
 * layers that are made or removed meanwhile may or may not be listed.
 *
 *	state  what it does
 *	NAMES  with privilege searches the references of the subvolume that holds `subvolumes`, once:
 *	       no layer is read, so cold ones stay cold. Without, reads the directory.
 *	LOOK   without privilege: looks at each entry, LIST_BATCH at a time.
 *	READ   Where labels are asked for: reads each layer's record, by a search of their tree, else by
 *	       its name, drops what does not match, and proves the rest. The search has given the uuids;
 *	       elsewhere those layers that have a record are opened.
 *
 * Where the caller has a function for each layer, records are not kept. The lane thread reads into
 * one batch while the caller's thread takes the other one:
 *
 *	lane thread		channel			dispatching thread
 *	read into batch 0
 *	pass it on -----------> its address ----------> found() for each layer of batch 0
 *	read into batch 1				...
 *	wait: the channel is empty <------------------- the last one has returned
 *	pass it on -----------> its address ----------> found() for each layer of batch 1
 *	read into batch 0				...
 *
 * A read that begins anew (EMFILE) goes on with the names that it has not read.
 */
#include "engine/base/id.h"
#include "engine/core/channel.h"
#include "engine/core/request.h"
#include "engine/dir/entries.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/record_scan.h"

#include <fcntl.h>
#include <string.h>

enum list_state { LIST_NAMES, LIST_LOOK, LIST_READ, LIST_STATES };

struct list_op;

/* One entry that is being looked at. */
struct look {
	struct call call;
	struct list_op *listing;
	size_t index;
	struct statx statx;
};

/* A name that was found. */
struct list_name {
	/* The layer's uuid, where records are read and trees searched; its record, NULL: none. */
	uint8_t uuid[BTRFS_UUID_SIZE];
	struct record *record;
	/* Its record has been looked at. */
	bool read;
	char text[];
};

/* Layers that are passed on together, and their records. */
struct list_batch {
	struct arena arena;
	struct {
		const char *id;
		const struct record *record;
	} layers[LIST_PASS_LAYERS];
	size_t count;
	/* Of the records. */
	size_t bytes;
};

static_assert(CHANNEL_BYTES % sizeof(struct list_batch *) == 0, "an address is not split");

struct list_op {
	struct op op;
	/* Names and records. */
	struct arena arena;
	/* The text of names found so far; NULL entries are no layers. */
	char **names;
	size_t count, capacity;
	/* Labels that a layer has to have; records are read, and returned. */
	const char *const *filters;
	size_t filters_count;
	bool read, give;
	/* Takes each layer, with its argument; NULL: records are kept. */
	varve_found *found;
	void *found_data;
	/* Two batches, where there is `found`; the one that is being filled. */
	struct list_batch *batches;
	unsigned batch;
	/* Reads the records. */
	struct record_reader reader;
	/* The uuid of the subvolume that the search has reached. */
	uint8_t uuid[BTRFS_UUID_SIZE];
	/* The records that are returned. */
	const struct varve_layer_record **records;
	/* The looks in flight, the next name to look at, the first error. */
	struct look *looks;
	size_t looking, next;
	int error;
};

static struct list_op *list_of(struct op *op)
{
	return container_of(op, struct list_op, op);
}

/* Get the struct that holds the name TEXT. */
static struct list_name *list_name_of(char *text)
{
	return container_of(text, struct list_name, text[0]);
}

/* Forget the record of NAME. */
static void list_drop_record(struct list_op *listing, struct list_name *name)
{
	record_free(listing->reader.arena, TAKE_PTR(name->record));
}

/* ---- NAMES ----------------------------------------------------------------------------------- */

/* Append a copy of NAME. */
static int list_add(void *data, const char *name)
{
	struct list_op *listing = data;
	struct fault *fault = &listing->op.request->core->io.fault;
	struct list_name *copy;
	int r;

	if (!strncmp(name, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX)))
		return 0;
	r = fault_reserve(fault, &listing->names, listing->count, 1, &listing->capacity,
			  sizeof(*listing->names));
	if (r)
		return r;
	copy = arena_take(&listing->arena, fault, sizeof(*copy) + strlen(name) + 1);
	if (!copy)
		return -ENOMEM;
	*copy = (struct list_name){ 0 };
	memcpy(copy->uuid, listing->uuid, sizeof(copy->uuid));
	strcpy(copy->text, name);
	listing->names[listing->count++] = copy->text;
	return 0;
}

/* Collect the names of the subvolumes in `subvolumes` by their references. */
static int list_search(struct list_op *listing)
{
	struct varve_store *store = op_store(&listing->op);
	uint64_t root = store->layout.subvolumes_root;
	char name[VARVE_ID_MAX + 1];
	struct search search;
	int r = search_begin(&search, store->layout.home_fd, BTRFS_ROOT_TREE_OBJECTID, root, root,
			     BTRFS_ROOT_REF_KEY, BTRFS_ROOT_REF_KEY, 0);

	while (!r && (r = search_next(&search)) > 0)
		r = layer_ref(store, &search, search.header.objectid, name)
			    ? list_add(listing, name)
			    : 0;
	search_end(&search);
	return r;
}

/* Take the item of a subvolume, which has its uuid, or its reference, which follows that. */
static int list_take_root(struct list_op *listing, const struct search *search)
{
	const struct btrfs_root_item *item = search->item;
	char name[VARVE_ID_MAX + 1];

	if (search->header.type == BTRFS_ROOT_BACKREF_KEY)
		return layer_ref(op_store(&listing->op), search, search->header.offset, name)
			       ? list_add(listing, name)
			       : 0;
	memset(listing->uuid, 0, sizeof(listing->uuid));
	if (search->header.type == BTRFS_ROOT_ITEM_KEY &&
	    search->header.len >= offsetof(struct btrfs_root_item, uuid) + BTRFS_UUID_SIZE)
		memcpy(listing->uuid, item->uuid, BTRFS_UUID_SIZE);
	return 0;
}

/* Collect names and uuids, from the items of all subvolumes of the file system. */
static int list_search_roots(struct list_op *listing)
{
	struct search search;
	int r = search_begin(&search, op_store(&listing->op)->layout.home_fd,
			     BTRFS_ROOT_TREE_OBJECTID, BTRFS_FIRST_FREE_OBJECTID,
			     BTRFS_LAST_FREE_OBJECTID, BTRFS_ROOT_ITEM_KEY, BTRFS_ROOT_BACKREF_KEY,
			     0);

	while (!r && (r = search_next(&search)) > 0)
		r = list_take_root(listing, &search);
	search_end(&search);
	return r;
}

/* Collect the names, and sort them, on a lane thread. */
static int list_names_run(struct call *call)
{
	struct list_op *listing = list_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&listing->op);
	int r = !store->layout.privileged
			? entries_each(store->layout.subvolumes_fd, list_add, listing)
		: listing->read ? list_search_roots(listing)
				: list_search(listing);

	if (!r && listing->count)
		qsort(listing->names, listing->count, sizeof(*listing->names), string_order);
	return r;
}

static int list_names(struct op *op)
{
	bool privileged = op_store(op)->layout.privileged;

	call_function(&op->call, LANE_LONG, privileged ? "BTRFS_IOC_TREE_SEARCH_V2" : "getdents64",
		      list_names_run);
	return op_call(op);
}

/* Close the gaps. */
static void list_compact(struct list_op *listing)
{
	size_t kept = 0;

	for (size_t i = 0; i < listing->count; i++)
		if (listing->names[i])
			listing->names[kept++] = listing->names[i];
	listing->count = kept;
}

/* Remove NULL entries; go on to the records, where those are asked for. */
static int list_finish(struct list_op *listing)
{
	list_compact(listing);
	if (listing->error)
		return listing->error;
	return listing->read && listing->op.state < LIST_READ ? LIST_READ : OP_END;
}

static int list_named(struct op *op, int result)
{
	if (result < 0)
		return result;
	return op_store(op)->layout.privileged ? list_finish(list_of(op)) : LIST_LOOK;
}

/* ---- LOOK ------------------------------------------------------------------------------------ */

/* Look at the next name that no thread has looked at. */
static void list_look_next(struct list_op *listing, struct look *look)
{
	struct varve_store *store = op_store(&listing->op);

	look->index = listing->next++;
	listing->looking++;
	layer_stat_call(store, &look->call, listing->names[look->index], &look->statx);
	io_submit(&store->core.io, &look->call);
}

/* A look is done: keep the name or drop it, and look at another. */
static void list_looked(struct call *call)
{
	struct look *look = container_of(call, struct look, call);
	struct list_op *listing = look->listing;
	int judged = call->result < 0 ? call->result
				      : layer_judge(op_store(&listing->op), &look->statx);

	listing->looking--;
	/* An entry that vanished, or is no subvolume, is no layer; one under a mount counts. */
	if (judged < 0) {
		listing->names[look->index] = NULL;
		if (judged != -ENOENT && judged != -ENOTDIR && judged != -EINVAL && !listing->error)
			listing->error = judged;
	}
	if (listing->next < listing->count && !listing->error && !listing->op.request->cancelled)
		list_look_next(listing, look);
	else if (!listing->looking)
		op_done(&listing->op,
			listing->next < listing->count && !listing->error ? -ECANCELED : 0);
}

static int list_look(struct op *op)
{
	struct list_op *listing = list_of(op);
	size_t looks = MIN(listing->count, LIST_BATCH);

	op->call.name = "statx";
	if (!looks)
		return OP_END;
	listing->looks = fault_calloc(&op->request->core->io.fault, looks, sizeof(*listing->looks));
	if (!listing->looks)
		return -ENOMEM;
	for (size_t i = 0; i < looks; i++) {
		listing->looks[i].listing = listing;
		listing->looks[i].call.done = list_looked;
		list_look_next(listing, &listing->looks[i]);
	}
	return OP_WAIT;
}

static int list_look_done(struct op *op, int result)
{
	return result < 0 ? result : list_finish(list_of(op));
}

/* ---- READ ------------------------------------------------------------------------------------ */

/* Run the caller's function for the layers of a batch, whose address is in BYTES: a sink. */
static int list_take(struct varve_store *store, varve_request handle, const void *bytes,
		     size_t size, void *data)
{
	const struct list_op *listing = data;
	const struct list_batch *batch;
	int r = 0;

	memcpy(&batch, bytes, sizeof(batch));
	for (size_t i = 0; !r && i < batch->count; i++) {
		const struct record *record = batch->layers[i].record;

		if (listing->op.request->cancelled)
			return -ECANCELED;
		r = listing->found(store, handle, batch->layers[i].id,
				   record ? &record->shown : NULL, listing->found_data);
	}
	return r > 0 ? -EINVAL : r;
}

/* Pass the batch on, once the one before was taken: 0 or -errno. */
static int list_pass_batch(struct list_op *listing)
{
	struct channel *channel = listing->op.request->channel;
	struct list_batch *batch = &listing->batches[listing->batch];
	int r = channel_flush(channel);

	if (r || !batch->count)
		return r;
	r = channel_write(channel, &batch, sizeof(batch));
	if (r)
		return r;
	/* Go on with the other batch, which has been taken. */
	batch = &listing->batches[listing->batch ^= 1];
	arena_reset(&batch->arena);
	batch->count = batch->bytes = 0;
	listing->reader.arena = &batch->arena;
	return 0;
}

/* Pass NAME and its record on, with others: 0 or -errno. */
static int list_pass(struct list_op *listing, struct list_name *name)
{
	struct list_batch *batch = &listing->batches[listing->batch];
	const struct record *record = TAKE_PTR(name->record);

	batch->layers[batch->count].id = name->text;
	batch->layers[batch->count++].record = record;
	batch->bytes += record ? record_stored_bytes(record) : 0;
	return batch->count == LIST_PASS_LAYERS || batch->bytes >= LIST_PASS_BYTES
		       ? list_pass_batch(listing)
		       : 0;
}

/* Does the record of the layer NAME belong to it? 1, 0 (also when the layer is gone), or -errno. */
static int list_prove(struct list_op *listing, struct list_name *name)
{
	struct varve_store *store = op_store(&listing->op);
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	const char *detail;
	int r;

	if (!store->layout.privileged) {
		fd = layer_open_owned(store, name->text, &detail);
		r = fd < 0 ? fd : layer_prove(store, fd, name->text, &info);
		if (r)
			return layer_passed_over(r) ? 0 : r;
		memcpy(name->uuid, info.uuid, sizeof(name->uuid));
	}
	return !memcmp(name->uuid, name->record->uuid, sizeof(name->uuid));
}

/* Judge NAME by the record that was found: 1 when the layer is to be in the list, 0 or -errno. */
static int list_judge(struct list_op *listing, struct list_name *name)
{
	name->read = true;
	if (name->record &&
	    record_matches(name->record, listing->filters, listing->filters_count)) {
		int r = list_prove(listing, name);

		/* 20,000 records of 48 KiB would take a gigabyte. */
		if (!listing->give)
			list_drop_record(listing, name);
		if (r)
			return r;
	}
	list_drop_record(listing, name);
	return !listing->filters_count;
}

/* NAME was judged as RESULT: drop it where that is 0, else pass it on. 0 or -errno. */
static int list_judged(struct list_op *listing, char **name, int result)
{
	struct list_name *judged = list_name_of(*name);

	if (!result)
		*name = NULL;
	return result > 0 && listing->found ? list_pass(listing, judged) : MIN(result, 0);
}

/* The search has found RECORD, that of the name at OF. */
static int list_take_record(void *data, void *of, struct record *record)
{
	struct list_op *listing = data;
	char **text = of;
	struct list_name *name = list_name_of(*text);

	name->record = record;
	return listing->op.request->cancelled
		       ? -ECANCELED
		       : list_judged(listing, text, list_judge(listing, name));
}

/* What is to be searched, and for which list. */
struct list_scan {
	struct list_op *listing;
	struct record_scan scan;
};

/* ENTRY is in the directory of the records: let it be searched, if it is of a layer. */
static int list_scan_entry(void *data, const struct dirent64 *entry)
{
	struct list_scan *scan = data;
	struct list_op *listing = scan->listing;
	const char *name = entry->d_name;
	char **found;

	if (entry->d_type != DT_REG || !listing->count)
		return 0;
	found = bsearch(&name, listing->names, listing->count, sizeof(*listing->names),
			string_order);
	/* The step may have begun anew. */
	if (found && list_name_of(*found)->read)
		return 0;
	return found ? record_scan_add(&scan->scan, &listing->op.request->core->io.fault,
				       entry->d_ino, found)
		     : 0;
}

/* Search for all records at once. 0 or -errno. */
static int list_scan_records(struct list_op *listing)
{
	struct record_reader *reader = &listing->reader;
	struct list_scan scan = { .listing = listing };
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (reader->dir.dir_fd < 0 || !op_store(&listing->op)->layout.privileged)
		return 0;
	fd = RET_NERRNO(openat(reader->dir.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return fd;
	r = entries_read(fd, list_scan_entry, &scan);
	if (!r)
		r = record_scan_run(&scan.scan, reader, list_take_record, listing);
	record_scan_end(&scan.scan);
	return r;
}

/*
 * Read the record of NAME: as list_judge(). One that cannot be read counts as none: else it would
 * hide all others.
 */
static int list_read_name(struct list_op *listing, struct list_name *name)
{
	int r;

	name->record = NULL;
	r = record_reader_read(&listing->reader, name->text, &name->record);
	return r && !record_unread(r) ? r : list_judge(listing, name);
}

/* Read all records, on a lane thread. */
static int list_read_run(struct call *call)
{
	struct list_op *listing = list_of(container_of(call, struct op, call));
	int r = record_reader_begin(&listing->reader, op_store(&listing->op));

	listing->reader.arena = listing->found ? &listing->batches[listing->batch].arena
					       : &listing->arena;
	/* The step may have begun anew. */
	list_compact(listing);
	if (!r)
		r = list_scan_records(listing);
	for (size_t i = 0; !r && i < listing->count; i++) {
		char **name = &listing->names[i];

		if (listing->op.request->cancelled)
			r = -ECANCELED;
		/* There is none, it is long, or it was replaced since the directory was listed. */
		else if (*name && !list_name_of(*name)->read)
			r = list_judged(listing, name,
					list_read_name(listing, list_name_of(*name)));
	}
	/* The batch that is not full, and then until that was taken. */
	for (unsigned i = 0; !r && listing->found && i < 2; i++)
		r = list_pass_batch(listing);
	record_reader_end(&listing->reader);
	return r;
}

/* Let go of a lane thread that waits for the caller, or for its turn. */
static void list_interrupt(struct op *op)
{
	channel_interrupt(op->request->channel);
	if (io_withdraw(&op->request->core->io, &op->call))
		op_done(op, -ECANCELED);
}

static int list_read(struct op *op)
{
	if (!list_of(op)->found) {
		call_function(&op->call, LANE_LONG, "fgetxattr", list_read_run);
		return op_call(op);
	}
	op->interrupt = list_interrupt;
	/* The caller may take its layers slowly, or not at all. */
	call_function(&op->call, LANE_STREAM, "fgetxattr", list_read_run);
	return op_call(op);
}

static int list_read_done(struct op *op, int result)
{
	struct list_op *listing = list_of(op);
	int r = result < 0 ? result : list_finish(listing);

	op->interrupt = NULL;
	if (r != OP_END || !listing->give || listing->found || !listing->count)
		return r;
	listing->records = fault_calloc(&op->request->core->io.fault, listing->count,
					sizeof(*listing->records));
	if (!listing->records)
		return -ENOMEM;
	for (size_t i = 0; i < listing->count; i++) {
		struct record *record = list_name_of(listing->names[i])->record;

		listing->records[i] = record ? &record->shown : NULL;
	}
	return r;
}

static const struct op_step list_steps[LIST_STATES] = {
	[LIST_NAMES] = { "NAMES", list_names, list_named, true },
	[LIST_LOOK] = { "LOOK", list_look, list_look_done },
	[LIST_READ] = { "READ", list_read, list_read_done, true },
};

static void list_result(struct request *request, struct varve_result *result)
{
	struct list_op *listing = list_of(request->ops);

	if (listing->op.error)
		return;
	result->ids = (const char *const *)listing->names;
	result->ids_count = listing->count;
	result->records = listing->records;
}

static void list_release(struct op *op)
{
	struct list_op *listing = list_of(op);

	for (unsigned i = 0; listing->batches && i < 2; i++)
		arena_free(&listing->batches[i].arena);
	free(listing->batches);
	arena_free(&listing->arena);
	free(listing->names);
	free(listing->records);
	free(listing->looks);
}

static const struct op_class list_class = {
	.operation = VARVE_LIST,
	.size = sizeof(struct list_op),
	.steps = list_steps,
	.steps_count = LIST_STATES,
	.unwind = LIST_STATES,
	.cancel_last = LIST_READ,
	.result = list_result,
	.release = list_release,
};

/* Let layers be passed to FOUND: 0 or -ENOMEM. */
static int list_begin_batches(struct list_op *listing, varve_found *found, void *data)
{
	const struct channel_ends ends = { .sink = list_take,
					   .data = listing,
					   .chunk_bytes = sizeof(struct list_batch *) };

	listing->found = found;
	listing->found_data = data;
	listing->batches = fault_calloc(&listing->op.request->core->io.fault, 2,
					sizeof(*listing->batches));
	return listing->batches ? channel_new(listing->op.request, &ends) : -ENOMEM;
}

int list_submit(struct varve_store *store, const char *const *filters, size_t count, bool records,
		varve_found *found, void *data, const struct submit *submit)
{
	size_t strings = count * sizeof(*filters);
	struct list_op *listing;
	struct request *request;
	const char **ours;
	int r;

	for (size_t i = 0; i < count; i++)
		strings += strlen(filters[i]) + 1;
	r = request_new(&store->core, &list_class, 1, strings, 0, &request);
	if (r)
		return r;
	/* What is aligned comes first. */
	ours = (const char **)request->strings;
	request->strings += count * sizeof(*ours);
	for (size_t i = 0; i < count; i++)
		ours[i] = request_string(request, filters[i]);
	listing = list_of(request->ops);
	listing->op.place = LAYER_PLACE;
	listing->filters = ours;
	listing->filters_count = count;
	listing->give = records;
	listing->read = records || count;
	r = found ? list_begin_batches(listing, found, data) : 0;
	if (!r)
		return request_submit(request, submit->callback, submit->user_data,
				      submit->ret_request);
	request_free(request);
	return r;
}
