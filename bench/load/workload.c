/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decide what a thread does next.
 *
 * Layers have numbers; a name is the thread's prefix and the number. `live` holds those that may be
 * used and removed, oldest first. The shapes of churn:
 *
 *	set		each slot makes a layer, then removes the oldest, and so on: as many pairs in flight as slots
 *	forkjoin	parent -> w layers -> (all made) -> w - 1 removed -> the one that is left is the next parent
 *	pipeline	parent -> a -> b -> ... -> w-th -> (all made) -> all removed; one such chain per slot
 */
#include "load/workload.h"
#include "load/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kinds that visit all of a tree. */
#define TREES                                                                          \
	(BENCH_BIT(BENCH_USAGE) | BENCH_BIT(BENCH_WALK) | BENCH_BIT(BENCH_CHOWN) |     \
	 BENCH_BIT(BENCH_RELABEL) | BENCH_BIT(BENCH_CHANGES) | BENCH_BIT(BENCH_DIFF) | \
	 BENCH_BIT(BENCH_DIFFSIZE))
/* Kinds that need a live layer, and leave it alive. */
#define READS                                                                            \
	(TREES | BENCH_BIT(BENCH_GET) | BENCH_BIT(BENCH_QUOTA) | BENCH_BIT(BENCH_INFO) | \
	 BENCH_BIT(BENCH_EXISTS) | BENCH_BIT(BENCH_LIST) | BENCH_BIT(BENCH_SYNC) |       \
	 BENCH_BIT(BENCH_SWEEP) | BENCH_BIT(BENCH_FLUSH))
/* Kinds that compare a layer with another one. */
#define COMPARISONS (BENCH_BIT(BENCH_CHANGES) | BENCH_BIT(BENCH_DIFF) | BENCH_BIT(BENCH_DIFFSIZE))
/* Kinds that use up a layer. */
#define TAKERS (BENCH_BIT(BENCH_REMOVE) | BENCH_BIT(BENCH_COMMIT))
/* Kinds that make layers. */
#define MAKERS (BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) | BENCH_BIT(BENCH_APPLY))

/* Add NUMBER as the youngest layer. Returns 0 or -ENOMEM. */
static int live_push(struct live *live, uint64_t number)
{
	if (live->count == live->capacity) {
		uint64_t capacity = live->capacity ? live->capacity * 2 : 64;
		uint64_t *items = malloc(capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		for (uint64_t i = 0; i < live->count; i++)
			items[i] = live->items[(live->head + i) & (live->capacity - 1)];
		free(live->items);
		*live = (struct live){ items, 0, live->count, capacity };
	}
	live->items[(live->head + live->count++) & (live->capacity - 1)] = number;
	return 0;
}

/* Take the oldest layer. */
static uint64_t live_pop(struct live *live)
{
	uint64_t number = live->items[live->head];

	live->head = (live->head + 1) & (live->capacity - 1);
	live->count--;
	return number;
}

uint32_t workload_kinds(const struct options *options)
{
	uint32_t kinds = 0;

	if (options->rw < BENCH_KINDS)
		return BENCH_BIT(options->rw);
	if (options->rw == WORKLOAD_CHURN)
		return BENCH_BIT(BENCH_SNAPSHOT) | BENCH_BIT(BENCH_REMOVE);
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (options->mix[kind])
			kinds |= BENCH_BIT(kind);
	return kinds;
}

/* Does a job of OPTIONS only use up layers? */
static bool takes(const struct options *options)
{
	return options->rw < BENCH_KINDS && (BENCH_BIT(options->rw) & TAKERS);
}

/* Return the layers or calls of one loop of a job that sets no number. */
static uint64_t work_default(const struct options *options)
{
	if (options->rw == BENCH_NOOP)
		return WORKLOAD_NOOPS_DEFAULT;
	return options->rw < BENCH_KINDS &&
			       (BENCH_BIT(options->rw) & (TREES | BENCH_BIT(BENCH_APPLY)))
		       ? WORKLOAD_WALKS_DEFAULT
		       : WORKLOAD_LAYERS_DEFAULT;
}

/* Set the layers to go, and the layers that must be there at the start. */
static void work_init(struct workload *workload)
{
	const struct options *options = workload->options;
	uint64_t work = options->number_ios;

	if (!work)
		work = options->runtime && !takes(options) ? UINT64_MAX : work_default(options);
	if (work != UINT64_MAX && __builtin_mul_overflow(work, options->loops, &work))
		work = UINT64_MAX;
	workload->left = options->time_based ? UINT64_MAX : work;
	workload->prepared = options->live;
	if (takes(options) && workload->prepared < work)
		workload->prepared = work;
	if ((workload->kinds & READS) && !workload->prepared)
		workload->prepared = 1;
	if ((workload->kinds & BENCH_BIT(BENCH_FLUSH)) && workload->prepared < options->batch)
		workload->prepared = options->batch;
}

/* Make the groups of forkjoin and pipeline: enough to fill the depth. */
static int groups_init(struct workload *workload)
{
	const struct options *options = workload->options;
	uint64_t count = options->iodepth;

	if (options->churn == CHURN_FORKJOIN)
		count = count > options->width ? count / options->width : 1;
	workload->groups = calloc(count, sizeof(*workload->groups));
	workload->ready = calloc(count, sizeof(*workload->ready));
	if (!workload->groups || !workload->ready)
		return -ENOMEM;
	workload->groups_count = workload->ready_count = (uint32_t)count;
	for (uint32_t i = 0; i < count; i++) {
		workload->groups[i].first = workload->number;
		workload->number += options->width;
		workload->ready[i] = i;
	}
	return 0;
}

int workload_init(struct workload *workload, const struct options *options, const char *prefix,
		  uint64_t seed)
{
	*workload = (struct workload){ .options = options, .kinds = workload_kinds(options) };
	snprintf(workload->prefix, sizeof(workload->prefix), "%s", prefix);
	fixture_name(options, workload->parent);
	workload->random = random_begin(seed);
	work_init(workload);
	for (; workload->number < workload->prepared; workload->number++)
		if (live_push(&workload->live, workload->number) < 0)
			return -ENOMEM;
	if (options->rw == WORKLOAD_CHURN && options->churn != CHURN_SET)
		return groups_init(workload);
	return 0;
}

/* Return the most layers of one operation. */
static uint64_t batch_max(const struct options *options)
{
	return options->rw == WORKLOAD_MIX && options->remove_batch > options->batch
		       ? options->remove_batch
		       : options->batch;
}

int workload_slot_init(const struct workload *workload, struct slot *slot)
{
	uint64_t count = batch_max(workload->options) + 1;
	char *text;

	if (workload->kinds == BENCH_BIT(BENCH_NOOP))
		return 0;
	/* One piece of memory: the pointers, then what they point to. */
	slot->names = calloc(count, sizeof(*slot->names) + WORKLOAD_NAME_SIZE);
	if (!slot->names)
		return -ENOMEM;
	text = (char *)(slot->names + count);
	for (uint64_t i = 0; i < count; i++)
		slot->names[i] = text + i * WORKLOAD_NAME_SIZE;
	slot->op.ids = (const char *const *)slot->names;
	return 0;
}

/* Write the name of layer NUMBER as the INDEX-th of SLOT. */
static void slot_name(const struct workload *workload, struct slot *slot, uint64_t index,
		      uint64_t number)
{
	snprintf(slot->names[index], WORKLOAD_NAME_SIZE, "%s%llu", workload->prefix,
		 (unsigned long long)number);
}

/* Fill SLOT with an operation of KIND on COUNT new layers. */
static void fill_new(struct workload *workload, struct slot *slot, enum bench_kind kind,
		     uint64_t count)
{
	slot->op.kind = kind;
	slot->op.count = (uint32_t)count;
	slot->op.parent = kind == BENCH_SNAPSHOT ? workload->parent : NULL;
	slot->first = workload->number;
	for (uint64_t i = 0; i < count; i++)
		slot_name(workload, slot, i, workload->number++);
}

/* Fill SLOT with an operation of KIND that uses up the COUNT oldest layers. */
static void fill_take(struct workload *workload, struct slot *slot, enum bench_kind kind,
		      uint64_t count)
{
	slot->op.kind = kind;
	slot->op.count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++)
		slot_name(workload, slot, i, live_pop(&workload->live));
}

/* Fill SLOT with the flush of the next COUNT live layers, all different ones. */
static void fill_flush(struct workload *workload, struct slot *slot, uint64_t count)
{
	const struct live *live = &workload->live;

	if (count > live->count)
		count = live->count;
	slot->op.kind = BENCH_FLUSH;
	slot->op.count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t index = workload->flushed++ % live->count;

		slot_name(workload, slot, i,
			  live->items[(live->head + index) & (live->capacity - 1)]);
	}
}

/* Fill SLOT with an operation of KIND on a live layer drawn at random. */
static void fill_read(struct workload *workload, struct slot *slot, enum bench_kind kind)
{
	const struct live *live = &workload->live;
	uint64_t index = random_next(&workload->random) % live->count;

	slot->op.kind = kind;
	slot->op.count = 1;
	slot->op.parent = NULL;
	if (BENCH_BIT(kind) & COMPARISONS)
		slot->op.parent = workload->options->full ? "" : workload->parent;
	slot_name(workload, slot, 0, live->items[(live->head + index) & (live->capacity - 1)]);
}

/* Fill SLOT with an operation of KIND, if there are layers for it. */
static enum workload_next fill_kind(struct workload *workload, struct slot *slot,
				    enum bench_kind kind, uint64_t batch)
{
	if (batch > workload->left)
		batch = workload->left;
	switch (kind) {
	case BENCH_NOOP:
		slot->op.kind = kind;
		slot->op.count = 1;
		return WORKLOAD_OPERATION;
	case BENCH_CREATE:
	case BENCH_SNAPSHOT:
	case BENCH_APPLY:
		fill_new(workload, slot, kind, batch);
		return WORKLOAD_OPERATION;
	case BENCH_REMOVE:
	case BENCH_COMMIT:
		if (workload->live.count < batch)
			return WORKLOAD_WAIT;
		fill_take(workload, slot, kind, batch);
		return WORKLOAD_OPERATION;
	case BENCH_FLUSH:
		if (!workload->live.count)
			return WORKLOAD_WAIT;
		fill_flush(workload, slot, batch);
		return WORKLOAD_OPERATION;
	default:
		if (!workload->live.count)
			return WORKLOAD_WAIT;
		fill_read(workload, slot, kind);
		return WORKLOAD_OPERATION;
	}
}

/*
 * Fill SLOT with an operation of a kind drawn by the percentages; where that lacks layers, with one
 * that makes layers.
 */
static enum workload_next next_mix(struct workload *workload, struct slot *slot)
{
	const struct options *options = workload->options;
	uint64_t draw = random_next(&workload->random) % 100;
	enum workload_next next;
	uint32_t kind = 0;

	while (draw >= options->mix[kind])
		draw -= options->mix[kind++];
	next = fill_kind(workload, slot, kind,
			 kind == BENCH_REMOVE ? options->remove_batch : options->batch);
	if (next != WORKLOAD_WAIT)
		return next;
	kind = options->mix[BENCH_SNAPSHOT] ? BENCH_SNAPSHOT : BENCH_CREATE;
	return options->mix[kind] ? fill_kind(workload, slot, kind, options->batch) : WORKLOAD_WAIT;
}

/* Return the operations of GROUP's current phase. */
static uint32_t group_total(const struct workload *workload, const struct group *group)
{
	uint32_t width = (uint32_t)workload->options->width;

	if (!group->removing || workload->options->churn == CHURN_PIPELINE)
		return width;
	return width - 1 + group->has_old_base;
}

/* Return whether GROUP has an operation that can begin now. */
static bool group_is_ready(const struct workload *workload, const struct group *group)
{
	if (workload->options->churn == CHURN_PIPELINE && !group->removing)
		return group->issued == group->done && group->issued < workload->options->width;
	return group->issued < group_total(workload, group);
}

/* Fill SLOT with the next operation of GROUP. */
static void group_fill(struct workload *workload, struct slot *slot, struct group *group)
{
	uint64_t parent = batch_max(workload->options);
	bool pipeline = workload->options->churn == CHURN_PIPELINE;
	uint32_t index = group->issued++;

	slot->op.count = 1;
	if (group->removing) {
		uint64_t number = group->first + index + (pipeline ? 0 : 1);

		if (!pipeline && index == workload->options->width - 1)
			number = group->old_base;
		slot->op.kind = BENCH_REMOVE;
		slot_name(workload, slot, 0, number);
		return;
	}
	slot->op.kind = BENCH_SNAPSHOT;
	slot->op.parent = workload->parent;
	slot_name(workload, slot, 0, group->first + index);
	if (pipeline ? index > 0 : group->has_base) {
		slot_name(workload, slot, parent,
			  pipeline ? group->first + index - 1 : group->base);
		slot->op.parent = slot->names[parent];
	}
}

/* Fill SLOT with an operation of a group that has one. */
static enum workload_next next_group(struct workload *workload, struct slot *slot)
{
	uint32_t index;

	if (!workload->ready_count)
		return WORKLOAD_WAIT;
	index = workload->ready[workload->ready_count - 1];
	slot->group = index;
	group_fill(workload, slot, &workload->groups[index]);
	if (!group_is_ready(workload, &workload->groups[index]))
		workload->ready_count--;
	return WORKLOAD_OPERATION;
}

/* Take GROUP to its next phase. */
static void group_turn(struct workload *workload, struct group *group)
{
	bool forkjoin = workload->options->churn == CHURN_FORKJOIN;

	group->issued = group->done = 0;
	group->removing = !group->removing;
	if (group->removing) {
		group->has_old_base = forkjoin && group->has_base;
		group->old_base = group->base;
		group->has_base = forkjoin;
		group->base = group->first;
		if (group_total(workload, group))
			return;
		group->removing = false;
	}
	group->first = workload->number;
	workload->number += workload->options->width;
}

/* Fill SLOT for churn=set. */
static enum workload_next next_set(struct workload *workload, struct slot *slot)
{
	if (slot->remove_next && workload->live.count) {
		slot->remove_next = false;
		fill_take(workload, slot, BENCH_REMOVE, 1);
	} else {
		slot->remove_next = true;
		fill_new(workload, slot, BENCH_SNAPSHOT, 1);
	}
	return WORKLOAD_OPERATION;
}

enum workload_next workload_next(struct workload *workload, struct slot *slot)
{
	const struct options *options = workload->options;
	enum workload_next next;

	if (!workload->left)
		return WORKLOAD_END;
	if (options->rw == WORKLOAD_MIX)
		next = next_mix(workload, slot);
	else if (options->rw == WORKLOAD_CHURN)
		next = options->churn == CHURN_SET ? next_set(workload, slot)
						   : next_group(workload, slot);
	else
		next = fill_kind(workload, slot, options->rw, options->batch);
	if (next == WORKLOAD_WAIT && takes(options))
		return WORKLOAD_END;
	if (next == WORKLOAD_OPERATION && workload->left != UINT64_MAX)
		workload->left -= slot->op.count;
	return next;
}

int workload_ended(struct workload *workload, struct slot *slot)
{
	int r = 0;

	if (workload->groups) {
		struct group *group = &workload->groups[slot->group];
		bool ready = group_is_ready(workload, group);

		if (++group->done == group_total(workload, group))
			group_turn(workload, group);
		if (!ready && group_is_ready(workload, group))
			workload->ready[workload->ready_count++] = slot->group;
		return 0;
	}
	if (slot->op.error || !(BENCH_BIT(slot->op.kind) & MAKERS))
		return 0;
	if (!(workload->kinds & (READS | TAKERS)))
		return 0;
	for (uint32_t i = 0; r == 0 && i < slot->op.count; i++)
		r = live_push(&workload->live, slot->first + i);
	return r;
}

void workload_slot_destroy(struct slot *slot)
{
	free(slot->names);
}

void workload_destroy(struct workload *workload)
{
	free(workload->live.items);
	free(workload->groups);
	free(workload->ready);
}
