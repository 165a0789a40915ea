/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/ready.h"
#include "engine/core/request.h"
#include "engine/core/store.h"

#include <poll.h>

/* ---- one callback ------------------------------------------------------------------------------------------------ */

/* Tell RESULT what REQUEST came to. */
static void ready_result(struct request *request, struct varve_result *result)
{
	*result = (struct varve_result){ .request = request->handle, .operation = request->class->operation };
	for (size_t i = request->count; i-- > 0;) {
		struct op *op = request_op(request, i);

		request->outcomes[i] = (struct varve_outcome){ .id = op->id, .error = op->error, .failure = op->failure };
		if (op->error) {
			result->error = op->error;
			result->failure = op->failure;
		}
	}
	if (request->class->operation == VARVE_CREATE || request->class->operation == VARVE_REMOVE) {
		result->outcomes = request->outcomes;
		result->outcomes_count = request->count;
	}
	if (request->class->result)
		request->class->result(request, result);
}

/* Make the handle of REQUEST stale, with the lock held. */
static void ready_retire(struct varve_store *store, struct request *request)
{
	uint32_t index = (uint32_t)request->handle - 1;
	struct request_slot *slot = &store->slots[index];

	slot->request = NULL;
	slot->generation++;
	slot->next_free = store->slots_free;
	store->slots_free = index;
	store->requests--;
	if (store->waiters)
		pthread_cond_broadcast(&store->changed);
}

/* Run the callback of REQUEST, which was taken off the ready list, and free it. Without the lock. */
static void ready_run(struct varve_store *store, struct request *request)
{
	struct varve_result result;

	ready_result(request, &result);
	request->callback(store, &result, request->user_data);
	pthread_mutex_lock(&store->lock);
	ready_retire(store, request);
	pthread_mutex_unlock(&store->lock);
	request_free(request);
}

/* ---- threads that run callbacks ---------------------------------------------------------------------------------- */

/* Does this thread run a callback now? With the lock held. */
static bool ready_inside(const struct varve_store *store)
{
	list_for_each(link, &store->runners)
		if (pthread_equal(list_entry(link, struct runner, link)->thread, pthread_self()))
			return true;
	return false;
}

/* This thread begins to run callbacks, with the lock held. */
static void ready_enter(struct varve_store *store, struct runner *runner)
{
	runner->thread = pthread_self();
	list_append(&store->runners, &runner->link);
}

/* Cancel all there is and refuse more, with the lock held. */
static void ready_shut(struct varve_store *store)
{
	store->closing = true;
	for (uint32_t i = 0; i < store->settings.requests_max; i++)
		if (store->slots[i].request)
			atomic_store(&store->slots[i].request->cancelled, true);
	atomic_store(&store->cancels, true);
	io_interrupt(&store->io);
}

/* Run what is left, end the threads, free. */
static void ready_finish(struct varve_store *store)
{
	for (;;) {
		struct list *link;

		pthread_mutex_lock(&store->lock);
		while (list_empty(&store->ready) && store->requests) {
			store->waiters++;
			pthread_cond_wait(&store->changed, &store->lock);
			store->waiters--;
		}
		link = list_pop(&store->ready);
		pthread_mutex_unlock(&store->lock);
		if (!link)
			break;
		ready_run(store, list_entry(link, struct request, link));
	}
	reactor_stop(store);
	store_free(store);
}

/*
 * This thread has run its callbacks, with the lock held, which is released. Returns COUNT, or -ESHUTDOWN when one of them
 * closed the store.
 */
static int ready_leave(struct varve_store *store, struct runner *runner, int count)
{
	bool last;

	list_remove(&runner->link);
	last = store->close_deferred && list_empty(&store->runners);
	pthread_mutex_unlock(&store->lock);
	if (!last)
		return count;
	ready_finish(store);
	return -ESHUTDOWN;
}

/* ---- dispatch and wait ------------------------------------------------------------------------------------------- */

/* Make the descriptor unreadable again when nothing is ready, with the lock held. */
static void ready_unsignal(struct varve_store *store)
{
	uint64_t count;

	if (!store->signalled || !list_empty(&store->ready))
		return;
	store->signalled = false;
	while (read(store->ready_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* Take up to MAX requests off the ready list, with the lock held. */
static int ready_take(struct varve_store *store, struct list *taken, unsigned max)
{
	int n = 0;

	for (struct list *link; (!max || (unsigned)n < max) && (link = list_pop(&store->ready)); n++) {
		list_entry(link, struct request, link)->ready = false;
		list_append(taken, link);
	}
	ready_unsignal(store);
	return n;
}

int ready_dispatch(struct varve_store *store, unsigned max)
{
	struct list taken = LIST_INIT(taken), *link;
	struct runner runner;
	int n;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	if (store->dispatching || ready_inside(store)) {
		pthread_mutex_unlock(&store->lock);
		return -EBUSY;
	}
	n = ready_take(store, &taken, max);
	if (!n) {
		pthread_mutex_unlock(&store->lock);
		return 0;
	}
	store->dispatching = true;
	ready_enter(store, &runner);
	pthread_mutex_unlock(&store->lock);
	while ((link = list_pop(&taken)))
		ready_run(store, list_entry(link, struct request, link));
	pthread_mutex_lock(&store->lock);
	store->dispatching = false;
	return ready_leave(store, &runner, n);
}

/* Is anything in flight? */
static bool ready_pending(struct varve_store *store)
{
	bool pending;

	pthread_mutex_lock(&store->lock);
	pending = store->requests;
	pthread_mutex_unlock(&store->lock);
	return pending;
}

/* Milliseconds left until DEADLINE_NS (0: none), rounded up; -1 without one. */
static int ready_left_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	if (!deadline_ns)
		return -1;
	return now < deadline_ns ? (int)((deadline_ns - now + 999999) / 1000000) : 0;
}

int ready_wait(struct varve_store *store, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * 1000000 + 1;
	struct pollfd pollfd = { .fd = store->ready_fd, .events = POLLIN };

	for (;;) {
		int n = ready_dispatch(store, 0), left = ready_left_ms(deadline), r;

		if (n || !left || !ready_pending(store))
			return n;
		r = poll(&pollfd, 1, left);
		if (r < 0)
			return negative_errno();
	}
}

/* The request that HANDLE names, NULL when it is stale; with the lock held. */
static struct request *ready_find(struct varve_store *store, varve_request handle)
{
	uint32_t index = (uint32_t)handle - 1;

	if (index >= store->settings.requests_max || store->slots[index].generation != handle >> 32)
		return NULL;
	return store->slots[index].request;
}

/* Wait until REQUEST's handle is stale or it is ready, until DEADLINE_NS; with the lock held. */
static struct request *ready_await(struct varve_store *store, varve_request handle, uint64_t deadline_ns, int *ret_error)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000) };
	struct request *request;
	int r = 0;

	while ((request = ready_find(store, handle)) && !request->ready && !r) {
		store->waiters++;
		r = deadline_ns ? pthread_cond_timedwait(&store->changed, &store->lock, &ts)
				: pthread_cond_wait(&store->changed, &store->lock);
		store->waiters--;
	}
	*ret_error = request && !request->ready ? -ETIME : 0;
	return *ret_error ? NULL : request;
}

int ready_wait_for(struct varve_store *store, varve_request handle, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * 1000000 + 1;
	struct request *request;
	struct runner runner;
	int r;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	if (ready_inside(store)) {
		pthread_mutex_unlock(&store->lock);
		return -EBUSY;
	}
	request = ready_await(store, handle, deadline, &r);
	if (!request) {
		pthread_mutex_unlock(&store->lock);
		return r;
	}
	list_remove(&request->link);
	request->ready = false;
	ready_unsignal(store);
	ready_enter(store, &runner);
	pthread_mutex_unlock(&store->lock);
	ready_run(store, request);
	pthread_mutex_lock(&store->lock);
	return ready_leave(store, &runner, 0);
}

/* ---- cancel and close -------------------------------------------------------------------------------------------- */

int ready_cancel(struct varve_store *store, varve_request handle)
{
	struct request *request;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	request = ready_find(store, handle);
	if (request)
		atomic_store(&request->cancelled, true);
	pthread_mutex_unlock(&store->lock);
	if (!request)
		return -ENOENT;
	atomic_store(&store->cancels, true);
	io_interrupt(&store->io);
	return 0;
}

int ready_progress(struct varve_store *store, varve_request handle, struct varve_progress *ret_progress)
{
	struct request *request;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	request = ready_find(store, handle);
	if (request)
		*ret_progress = (struct varve_progress){ request->progress.entries, request->progress.bytes };
	pthread_mutex_unlock(&store->lock);
	return request ? 0 : -ENOENT;
}

int ready_close(struct varve_store *store)
{
	bool inside;

	if (!store_here(store)) {
		io_abandon(&store->io);
		store_free(store);
		return 0;
	}
	pthread_mutex_lock(&store->lock);
	ready_shut(store);
	inside = !list_empty(&store->runners);
	store->close_deferred = inside;
	pthread_mutex_unlock(&store->lock);
	if (!inside)
		ready_finish(store);
	return 0;
}
