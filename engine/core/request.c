/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/request.h"
#include "engine/base/histogram.h"
#include "engine/core/channel.h"
#include "engine/core/dispatch.h"
#include "engine/core/id_lock.h"
#include "engine/store/store.h"

#include <assert.h>
#include <string.h>

/* ---- the caller's side ------------------------------------------------------------------------------------------- */

int request_new(struct varve_store *store, const struct op_class *class, size_t count, size_t strings, uint64_t flags,
		struct request **ret_request)
{
	size_t each = class->size + class->holds * sizeof(struct hold) + class->outcomes * sizeof(struct varve_outcome);
	struct request *request = fault_calloc(&store->io.fault, 1, sizeof(*request) + count * each + strings);

	if (!request)
		return -ENOMEM;
	request->store = store;
	request->class = class;
	request->count = request->remaining = (uint32_t)count;
	request->flags = flags;
	request->durable = flags & VARVE_DURABLE || !(flags & VARVE_RELAXED || store->settings.flags & VARVE_OPEN_RELAXED);
	request->strings = (char *)request->ops + count * each;
	for (size_t i = 0; i < count; i++) {
		struct op *op = request_op(request, i);

		op->request = request;
		op->id = "";
		op->holds = request_holds(request) + i * class->holds;
		list_init(&op->link);
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
		/* The record for want of memory is a constant, and has no operation of ours. */
		if (op->failure && op->failure->operation == operation_name(request->class->operation))
			free((void *)op->failure);
	}
	channel_free(request->channel);
	free(request);
}

/* The record of this thread's refusals, NULL for none; with the lock held. */
static struct refusal *request_own_refusal(struct varve_store *store)
{
	list_for_each(link, &store->refusals)
		if (pthread_equal(list_entry(link, struct refusal, link)->thread, pthread_self()))
			return list_entry(link, struct refusal, link);
	return NULL;
}

/* A record for this thread: its own, a new one, or the oldest of another's; NULL without memory. With the lock held. */
static struct refusal *request_take_refusal(struct varve_store *store)
{
	struct refusal *refusal = request_own_refusal(store);

	if (!refusal && store->refusals_count < REFUSALS_MAX) {
		refusal = fault_calloc(&store->io.fault, 1, sizeof(*refusal));
		if (refusal) {
			list_init(&refusal->link);
			store->refusals_count++;
		}
	}
	if (!refusal && !list_empty(&store->refusals))
		refusal = list_entry(store->refusals.next, struct refusal, link);
	if (!refusal)
		return NULL;
	refusal->thread = pthread_self();
	list_remove(&refusal->link);
	list_append(&store->refusals, &refusal->link);
	return refusal;
}

int request_refuse(struct varve_store *store, enum varve_operation operation, int error, const char *id,
		   const char *reason)
{
	struct refusal *refusal;

	pthread_mutex_lock(&store->lock);
	refusal = request_take_refusal(store);
	if (refusal) {
		failure_set(&refusal->failure, error, operation_name(operation), "CHECK", NULL, id);
		failure_detail(&refusal->failure, "%s", reason);
	}
	store->operations[operation].refused++;
	pthread_mutex_unlock(&store->lock);
	return error;
}

int request_refusal(struct varve_store *store, struct varve_failure *ret_failure)
{
	const struct refusal *refusal;

	pthread_mutex_lock(&store->lock);
	refusal = request_own_refusal(store);
	if (refusal)
		*ret_failure = refusal->failure;
	pthread_mutex_unlock(&store->lock);
	return refusal ? 0 : -ENOENT;
}

/* Receive a request on the reactor: queue for its ids, start what has them. */
static void request_received(struct inbox_node *node)
{
	struct request *request = container_of(node, struct request, node);
	struct varve_store *store = request->store;

	list_append(&store->in_flight, &request->link);
	for (size_t i = 0; i < request->count; i++) {
		struct op *op = request_op(request, i);

		op->start_error = hold_queue(&store->holds, op);
		if (op->start_error || !op->holds_waiting)
			list_append(&store->holds.runnable, &op->link);
	}
}

/* Find a slot for REQUEST, with the lock held. */
static int request_register(struct varve_store *store, struct request *request)
{
	struct request_slot *slot;
	uint32_t index;

	if (store->closing)
		return -ESHUTDOWN;
	if (store->requests == store->settings.requests_max)
		return -EAGAIN;
	index = store->slots_free;
	slot = &store->slots[index];
	store->slots_free = slot->next_free;
	slot->request = request;
	request->handle = (uint64_t)slot->generation << 32 | (index + 1);
	store->requests++;
	store->operations[request->class->operation].submitted++;
	if (store->requests > store->statistics.requests_peak)
		store->statistics.requests_peak = store->requests;
	if (request->channel)
		channel_begin(request->channel);
	return 0;
}

int request_submit(struct request *request, varve_callback *callback, void *user_data, varve_request *ret_request)
{
	struct varve_store *store = request->store;
	int r;

	request->callback = callback;
	request->user_data = user_data;
	request->submitted_ns = now_ns();
	request->node.receive = request_received;
	pthread_mutex_lock(&store->lock);
	r = request_register(store, request);
	pthread_mutex_unlock(&store->lock);
	if (r) {
		request_refuse(store, request->class->operation, r, NULL,
			       r == -EAGAIN ? "too many requests in flight" : "the store is being closed");
		request_free(request);
		return r;
	}
	/* From here on it may be gone at any moment: another thread may dispatch. */
	if (ret_request)
		*ret_request = request->handle;
	io_post(&store->io, &request->node);
	return 0;
}

/* ---- the reactor's side ------------------------------------------------------------------------------------------ */

void requests_run(struct varve_store *store)
{
	struct list *link;

	while ((link = list_pop(&store->holds.runnable)))
		op_start(list_entry(link, struct op, link));
}

void request_op_ended(struct request *request, struct op *op)
{
	struct varve_store *store = request->store;

	assert(request->remaining);
	if (--request->remaining)
		return;
	list_remove(&request->link);
	list_append(&store->finished, &request->link);
}

/* Count how the operations of REQUEST ended, with store->counting held. */
static void request_count(struct varve_store *store, struct request *request, uint64_t now)
{
	struct varve_operation_statistics *statistics = &store->operations[request->class->operation];

	for (size_t i = 0; i < request->count; i++) {
		int error = request_op(request, i)->error;

		statistics->succeeded += !error;
		statistics->cancelled += error == -ECANCELED;
		statistics->failed += error && error != -ECANCELED;
	}
	histogram_record(&statistics->latency, now - request->submitted_ns);
}

/* Copy what the reactor counts to where others may read it, with store->counting held. */
static void requests_publish_counters(struct varve_store *store)
{
	struct varve_statistics *statistics = &store->statistics;
	struct io *io = &store->io;

	statistics->beats = store->counters.beats;
	statistics->snapshots = store->counters.snapshots;
	statistics->quota_turned_on = store->quota_turned_on;
	statistics->snapshots_direct = store->counters.snapshots_direct;
	statistics->syncs = store->counters.syncs;
	statistics->group_max = store->counters.group_max;
	statistics->ring_depth_peak = io->ring.in_flight_peak;
	statistics->ring_calls = io->ring_calls;
	statistics->lane_calls = io->lane_calls;
}

/* Hand REQUEST, which has ended, to those that run callbacks. */
static void request_hand_over(struct request *request)
{
	struct varve_store *store = request->store;

	if (!request->channel) {
		inbox_post(&store->ended, &request->node);
		return;
	}
	pthread_mutex_lock(&store->lock);
	/* Who runs a callback of its channel tells the end, too. */
	if (!channel_end(request->channel))
		ready_announce(store, &request->event);
	pthread_mutex_unlock(&store->lock);
}

/*
 * The callers' lock is not taken for requests that have no channel: were this thread to lose its processor while it held it,
 * varve_dispatch() would wait for as long.
 */
void requests_flush(struct varve_store *store)
{
	struct list *link;
	uint64_t now;

	if (list_empty(&store->finished))
		return;
	now = now_ns();
	pthread_mutex_lock(&store->counting);
	requests_publish_counters(store);
	list_for_each(at, &store->finished)
		request_count(store, list_entry(at, struct request, link), now);
	pthread_mutex_unlock(&store->counting);
	while ((link = list_pop(&store->finished)))
		request_hand_over(list_entry(link, struct request, link));
	ready_notify(store);
}

void requests_cancel(struct varve_store *store)
{
	if (!atomic_exchange(&store->cancels, false))
		return;
	list_for_each_safe(link, &store->in_flight) {
		struct request *request = list_entry(link, struct request, link);

		if (!atomic_load(&request->cancelled))
			continue;
		/* The last one to end takes the request off this list, no other. */
		for (size_t i = 0, count = request->count; i < count; i++)
			op_cancel(request_op(request, i));
	}
}
