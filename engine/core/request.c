/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/request.h"
#include "engine/base/histogram.h"
#include "engine/core/channel.h"
#include "engine/core/completion.h"
#include "engine/core/id_lock.h"

#include <assert.h>
#include <string.h>

/* ---- the caller's side ----------------------------------------------------------------------- */

int request_new(struct core *core, const struct op_class *class, size_t count, size_t strings,
		uint64_t flags, struct request **ret_request)
{
	size_t each = op_class_bytes(class) + class->outcomes * sizeof(struct varve_outcome);
	size_t progress = class->progress * sizeof(struct progress);
	struct request *request = fault_calloc(&core->io.fault, 1,
					       sizeof(*request) + count * each + progress +
						       strings);

	if (!request)
		return -ENOMEM;
	request->core = core;
	request->class = class;
	request->count = request->remaining = (uint32_t)count;
	request->flags = (uint32_t)flags;
	request->durable = flags & VARVE_DURABLE || !(flags & VARVE_RELAXED || core->relaxed);
	request->strings = (char *)request->ops + count * each + progress;
	if (progress) {
		request->progress = (struct progress *)(request->strings - progress);
		request->progress->request = request;
	}
	for (size_t i = 0; i < count; i++) {
		struct op *op = request_op(request, i);

		op->request = request;
		op->id = "";
		list_init(&op->link);
		if (i)
			list_append(&request->ops->link, &op->link);
	}
	*ret_request = request;
	return 0;
}

const char *request_string(struct request *request, const char *text)
{
	char *copy = request->strings;

	if (!text)
		return NULL;
	request->strings = stpcpy(copy, text) + 1;
	return copy;
}

void request_free(struct request *request)
{
	if (!request)
		return;
	for (size_t i = 0; i < request->count; i++) {
		struct op *op = request_op(request, i);

		if (request->class->release)
			request->class->release(op);
		/* The record for want of memory is a constant that is not ours to free. */
		if (op->failure &&
		    op->failure->operation == operation_name(request->class->operation))
			free((void *)op->failure);
	}
	channel_free(request->channel);
	free(request);
}

/* An operation, and by what it is sorted. */
struct ordered {
	uint32_t key;
	struct op *op;
};

/* Compare two: by key, then as they were given. */
static int request_compare(const void *one, const void *other)
{
	const struct ordered *a = one, *b = other;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->op < b->op ? -1 : a->op > b->op;
}

void request_order(struct request *request, uint32_t (*key)(const char *id))
{
	struct ordered *ordered = fault_calloc(&request->core->io.fault, request->count,
					       sizeof(*ordered));

	if (!ordered)
		return;
	for (size_t i = 0; i < request->count; i++) {
		struct op *op = request_op(request, i);

		ordered[i] = (struct ordered){ key(op->id), op };
		list_remove(&op->link);
	}
	qsort(ordered, request->count, sizeof(*ordered), request_compare);
	for (size_t i = 1; i < request->count; i++)
		list_append(&ordered[0].op->link, &ordered[i].op->link);
	free(ordered);
}

/* Find the record of this thread's refusals, NULL for none; with the lock held. */
static struct refusal *request_own_refusal(struct core *core)
{
	list_for_each(link, &core->refusals)
		if (pthread_equal(list_entry(link, struct refusal, link)->thread, pthread_self()))
			return list_entry(link, struct refusal, link);
	return NULL;
}

/*
 * Get a record for this thread: its own, a new one, or the oldest of another thread; NULL without
 * memory. With the lock held.
 */
static struct refusal *request_take_refusal(struct core *core)
{
	struct refusal *refusal = request_own_refusal(core);

	if (!refusal && core->refusals_count < REFUSALS_MAX) {
		refusal = fault_calloc(&core->io.fault, 1, sizeof(*refusal));
		if (refusal) {
			list_init(&refusal->link);
			core->refusals_count++;
		}
	}
	if (!refusal && !list_empty(&core->refusals))
		refusal = list_entry(core->refusals.next, struct refusal, link);
	if (!refusal)
		return NULL;
	refusal->thread = pthread_self();
	list_remove(&refusal->link);
	list_append(&core->refusals, &refusal->link);
	return refusal;
}

int request_refuse(struct core *core, enum varve_operation operation, int error, const char *id,
		   const char *reason)
{
	struct refusal *refusal;

	pthread_mutex_lock(&core->lock);
	refusal = request_take_refusal(core);
	if (refusal) {
		failure_set(&refusal->failure, error, operation_name(operation), "CHECK", NULL, id);
		failure_detail(&refusal->failure, "%s", reason);
	}
	core->submissions[operation].refused++;
	pthread_mutex_unlock(&core->lock);
	return error;
}

int request_refusal(struct core *core, struct varve_failure *ret_failure)
{
	const struct refusal *refusal;

	pthread_mutex_lock(&core->lock);
	refusal = request_own_refusal(core);
	if (refusal)
		*ret_failure = refusal->failure;
	pthread_mutex_unlock(&core->lock);
	return refusal ? 0 : -ENOENT;
}

/* Receive a request on the reactor: queue for its ids, start what has them. */
static void request_received(struct inbox_node *node)
{
	struct request *request = container_of(node, struct request, node);
	struct core *core = request->core;
	struct list *last = request->ops->link.prev, *link;

	list_append(&core->in_flight, &request->link);
	/* Cancelled before: requests_cancel() has looked for it in vain, and has to look again. */
	if (atomic_load(&request->cancelled))
		atomic_store(&core->cancels, true);
	do {
		struct op *op = list_entry(last->next, struct op, link);

		link = &op->link;
		list_remove(link);
		op->start_error = id_lock_queue(&core->holds, op);
		if (op->start_error || !op->holds_waiting)
			list_append(&core->holds.runnable, link);
	} while (link != last);
}

/* Find a slot for REQUEST, with the lock held. */
static int request_register(struct core *core, struct request *request)
{
	struct request_slot *slot;
	uint32_t index;

	if (core->closing)
		return -ESHUTDOWN;
	if (core->requests == core->requests_max)
		return -EAGAIN;
	index = core->slots_free;
	slot = &core->slots[index];
	core->slots_free = slot->next_free;
	slot->request = request;
	request->handle = (uint64_t)slot->generation << 32 | (index + 1);
	core->requests++;
	core->submissions[request->class->operation].accepted++;
	core->requests_peak = MAX(core->requests_peak, core->requests);
	/* It has its handle: announce the room of a source. */
	if (request->channel)
		channel_announce(request->channel);
	return 0;
}

int request_submit(struct request *request, varve_callback *callback, void *user_data,
		   varve_request *ret_request)
{
	struct core *core = request->core;
	int r;

	request->callback = callback;
	request->user_data = user_data;
	request->submitted_ns = now_ns();
	request->node.receive = request_received;
	pthread_mutex_lock(&core->lock);
	r = request_register(core, request);
	pthread_mutex_unlock(&core->lock);
	if (r) {
		request_refuse(core, request->class->operation, r, NULL,
			       r == -EAGAIN ? "too many requests in flight"
					    : "the store is being closed");
		request_free(request);
		return r;
	}
	/* From here on another thread may dispatch, and free the request. */
	if (ret_request)
		*ret_request = request->handle;
	io_post(&core->io, &request->node);
	return 0;
}

/* ---- the reactor's side ---------------------------------------------------------------------- */

void requests_run(struct core *core)
{
	struct list *link;

	while ((link = list_pop(&core->holds.runnable)))
		op_start(list_entry(link, struct op, link));
}

/*
 * The callers' lock is taken only for requests with a channel: if this thread lost its CPU while it
 * held the lock, varve_dispatch() would have to wait.
 */
void requests_flush(struct core *core)
{
	struct varve_statistics *all = &core->statistics;
	struct request *request;
	struct list *link;
	uint64_t now;

	if (list_empty(&core->finished))
		return;
	now = now_ns();
	pthread_mutex_lock(&core->counting);
	all->beats = core->counters.groups;
	all->snapshots = core->counters.snapshots;
	all->snapshots_direct = core->counters.snapshots_direct;
	all->syncs = core->counters.syncs;
	all->group_max = core->counters.group_max;
	all->ring_depth_peak = core->io.ring.in_flight_peak;
	all->ring_calls = core->io.ring_calls;
	all->lane_calls = core->io.lane_calls;
	core->group_sizes = core->counters.group_sizes;
	list_for_each(at, &core->finished) {
		struct varve_operation_statistics *statistics;

		request = list_entry(at, struct request, link);
		statistics = &core->operations[request->class->operation];
		for (size_t i = 0; i < request->count; i++) {
			int error = request_op(request, i)->error;

			statistics->succeeded += !error;
			statistics->cancelled += error == -ECANCELED;
			statistics->failed += error && error != -ECANCELED;
		}
		histogram_record(&statistics->latency, now - request->submitted_ns);
	}
	pthread_mutex_unlock(&core->counting);
	/* Hand them over to the threads that run callbacks. */
	while ((link = list_pop(&core->finished))) {
		request = list_entry(link, struct request, link);
		if (!request->channel) {
			inbox_post(&core->ended, &request->node);
			continue;
		}
		pthread_mutex_lock(&core->lock);
		/* A thread that runs a callback of its channel now will announce the end. */
		if (!channel_end(request->channel))
			completion_announce(core, &request->event);
		pthread_mutex_unlock(&core->lock);
	}
	completion_notify(core);
}

void requests_cancel(struct core *core)
{
	struct list requests = LIST_INIT(requests), *link;

	/* Mostly there is none, and a look leaves the cache line with the other threads. */
	if (!atomic_load(&core->cancels) || !atomic_exchange(&core->cancels, false))
		return;
	/* The end of one may end others, too, the next one of the list among them. */
	list_splice(&requests, &core->in_flight);
	while ((link = list_pop(&requests))) {
		struct request *request = list_entry(link, struct request, link);

		list_append(&core->in_flight, link);
		if (!atomic_load(&request->cancelled))
			continue;
		/* The last one to end takes the request off this list, no other. */
		for (size_t i = 0, count = request->count; i < count; i++)
			op_cancel(request_op(request, i));
	}
}
