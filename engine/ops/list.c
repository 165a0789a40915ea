/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: the names of all layers, sorted. Where we may search trees, one search of the references
 * from the subvolume that holds `subvolumes`: no layer is touched, so cold ones stay cold.
 * Elsewhere the directory is read, and each entry looked at, LIST_BATCH at a time. Changes nothing;
 * what comes and goes meanwhile may or may not be in it.
 */
#include "engine/base/id.h"
#include "engine/core/request.h"
#include "engine/dir/entries.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"

#include <string.h>

enum list_state { LIST_NAMES, LIST_LOOK, LIST_STATES };

struct list_op;

/* One entry that is being looked at. */
struct look {
	struct call call;
	struct list_op *listing;
	size_t index;
	struct statx statx;
};

struct list_op {
	struct op op;
	/* Names found so far; NULL entries are no layers. */
	char **names;
	size_t count, capacity;
	/* The looks in flight, the next name to look at, the first error. */
	struct look *looks;
	size_t looking, next;
	int error;
};

static struct list_op *list_of(struct op *op)
{
	return container_of(op, struct list_op, op);
}

/* ---- NAMES ----------------------------------------------------------------------------------- */

/* Append a copy of NAME. */
static int list_add(void *data, const char *name)
{
	struct list_op *listing = data;
	struct fault *fault = &listing->op.request->core->io.fault;
	char *copy;
	int r;

	if (!strncmp(name, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX)))
		return 0;
	r = fault_reserve(fault, &listing->names, listing->count, 1, &listing->capacity,
			  sizeof(*listing->names));
	if (r)
		return r;
	copy = fault_calloc(fault, 1, strlen(name) + 1);
	if (!copy)
		return -ENOMEM;
	strcpy(copy, name);
	listing->names[listing->count++] = copy;
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

/* Compare two names bytewise. */
static int list_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Collect the names, and sort them, on a lane thread. */
static int list_names_run(struct call *call)
{
	struct list_op *listing = list_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&listing->op);
	int r = store->layout.privileged
			? list_search(listing)
			: entries_each(store->layout.subvolumes_fd, list_add, listing);

	if (!r && listing->count)
		qsort(listing->names, listing->count, sizeof(*listing->names), list_compare);
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
static int list_finish(struct list_op *listing)
{
	size_t kept = 0;

	for (size_t i = 0; i < listing->count; i++)
		if (listing->names[i])
			listing->names[kept++] = listing->names[i];
	listing->count = kept;
	return listing->error ? listing->error : OP_END;
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
	/*
	 * What vanished is no layer, and neither is what is no subvolume; what is mounted upon is
	 * taken for one.
	 */
	if (judged < 0) {
		free(listing->names[look->index]);
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

static const struct op_step list_steps[LIST_STATES] = {
	[LIST_NAMES] = { "NAMES", list_names, list_named, true },
	[LIST_LOOK] = { "LOOK", list_look, list_look_done },
};

static void list_result(struct request *request, struct varve_result *result)
{
	struct list_op *listing = list_of(request->ops);

	if (listing->op.error)
		return;
	result->ids = (const char *const *)listing->names;
	result->ids_count = listing->count;
}

static void list_release(struct op *op)
{
	struct list_op *listing = list_of(op);

	for (size_t i = 0; i < listing->count; i++)
		free(listing->names[i]);
	free(listing->names);
	free(listing->looks);
}

static const struct op_class list_class = {
	.operation = VARVE_LIST,
	.size = sizeof(struct list_op),
	.steps = list_steps,
	.steps_count = LIST_STATES,
	.unwind = LIST_STATES,
	.cancel_last = LIST_LOOK,
	.result = list_result,
	.release = list_release,
};

int list_submit(struct varve_store *store, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &list_class, 1, 0, 0, &request);

	if (r)
		return r;
	request->ops->place = LAYER_PLACE;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
