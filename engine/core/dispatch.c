/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/dispatch.h"
#include "engine/core/channel.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <poll.h>

/* ---- events ------------------------------------------------------------------------------------------------------ */

/*
 * The descriptor and store->signalled:
 *
 *	who announces                  who takes
 *	1 puts the event there         1 reads the descriptor empty
 *	2 signalled = true             2 signalled = false
 *	3 writes, if it was false      3 takes what is there
 *
 * An announcement that finds `signalled` true was put there before 2, so that 3 takes it. The reactor does all this without
 * the lock, and its write may come after the event was taken: then the descriptor is readable once in vain. Whoever leaves
 * something there, and has read the descriptor, has to write again.
 */

/* Make the descriptor readable. */
static void ready_write(struct varve_store *store)
{
	static const uint64_t one = 1;

	while (write(store->ready_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Make the descriptor readable, unless it is or is about to be. */
static void ready_signal(struct varve_store *store)
{
	if (!atomic_exchange(&store->signalled, true))
		ready_write(store);
}

/* Make the descriptor unreadable; what is there has to be taken after that, or signalled. */
static void ready_drain(struct varve_store *store)
{
	uint64_t count;

	while (read(store->ready_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	atomic_store(&store->signalled, false);
}

void ready_announce(struct varve_store *store, struct event *event)
{
	list_append(&store->ready, &event->link);
	if (!event->channel)
		container_of(event, struct request, event)->ready = true;
	if (store->waiters)
		pthread_cond_broadcast(&store->changed);
	ready_signal(store);
}

void ready_notify(struct varve_store *store)
{
	ready_signal(store);
	/* Who waits has counted itself before it looked into store->ended. */
	if (!store->waiters)
		return;
	pthread_mutex_lock(&store->lock);
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

/* Take in what the reactor has handed over, with the lock held. */
static void ready_collect(struct varve_store *store)
{
	struct inbox_node *node = inbox_empty(&store->ended) ? NULL : inbox_take(&store->ended);

	while (node) {
		struct request *request = container_of(node, struct request, node);

		node = node->next;
		request->ready = true;
		list_append(&store->ready, &request->event.link);
	}
}

/* Is there nothing to tell? With the lock held. */
static bool ready_empty(struct varve_store *store)
{
	ready_collect(store);
	return list_empty(&store->ready) && list_empty(&store->progressed);
}

/* Make the descriptor readable again, after it was drained, if something is left. With the lock held. */
static void ready_resignal(struct varve_store *store)
{
	if (ready_empty(store))
		return;
	atomic_store(&store->signalled, true);
	ready_write(store);
}

/* Make the descriptor unreadable when there is nothing to tell, with the lock held. */
static void ready_unsignal(struct varve_store *store)
{
	if (!ready_empty(store))
		return;
	ready_drain(store);
	ready_resignal(store);
}

/* The watch of REQUEST, NULL for none. */
static struct watch *ready_watch_of(const struct request *request)
{
	return atomic_load_explicit(&request->store->slots[(uint32_t)request->handle - 1].watch, memory_order_acquire);
}

/* Take REQUEST, which has ended, for its callback, with the lock held: it is the last one. */
static void ready_claim_request(struct request *request)
{
	struct watch *watch = ready_watch_of(request);

	request->ready = false;
	if (!watch)
		return;
	atomic_store(&watch->due_ns, 0);
	list_remove(&watch->link);
}

/* Take EVENT off the ready list, with the lock held: whoever does runs its callback. */
static void ready_claim(struct event *event)
{
	list_remove(&event->link);
	if (!event->channel) {
		ready_claim_request(container_of(event, struct request, event));
		return;
	}
	event->channel->queued = false;
	event->channel->delivering = true;
}

/* ---- one callback ------------------------------------------------------------------------------------------------ */

/* Tell RESULT what REQUEST came to. */
static void ready_result(struct request *request, struct varve_result *result)
{
	*result = (struct varve_result){ .size = sizeof(*result),
					 .request = request->handle,
					 .operation = request->class->operation,
					 .descriptor = -EBADF };
	for (size_t i = request->count; i-- > 0;) {
		struct op *op = request_op(request, i);

		if (request->class->outcomes)
			request_outcomes(request)[i] = (struct varve_outcome){ op->id, op->error, op->failure };
		if (op->error) {
			result->error = op->error;
			result->failure = op->failure;
		}
	}
	if (request->class->outcomes) {
		result->outcomes = request_outcomes(request);
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

	free(atomic_exchange(&slot->watch, NULL));
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
	if (request->channel)
		channel_settle(request->channel);
	pthread_mutex_unlock(&store->lock);
	request_free(request);
}

/* Run the callback of EVENT, which was claimed. Without the lock. */
static void ready_tell(struct varve_store *store, struct event *event)
{
	if (event->channel)
		channel_deliver(event->channel);
	else
		ready_run(store, container_of(event, struct request, event));
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
		struct event *event = NULL;

		pthread_mutex_lock(&store->lock);
		store->waiters++;
		for (ready_collect(store); list_empty(&store->ready) && store->requests; ready_collect(store))
			pthread_cond_wait(&store->changed, &store->lock);
		store->waiters--;
		if (!list_empty(&store->ready)) {
			event = list_entry(store->ready.next, struct event, link);
			ready_claim(event);
		}
		pthread_mutex_unlock(&store->lock);
		if (!event)
			break;
		ready_tell(store, event);
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

/* Take up to MAX events off the ready list, with the lock held. */
static int ready_take(struct varve_store *store, struct list *taken, unsigned max)
{
	int n = 0;

	for (; (!max || (unsigned)n < max) && !list_empty(&store->ready); n++) {
		struct event *event = list_entry(store->ready.next, struct event, link);

		ready_claim(event);
		list_append(taken, &event->link);
	}
	return n;
}

/* How far REQUEST has come. */
static struct varve_progress ready_progress_copy(const struct request *request)
{
	return (struct varve_progress){ sizeof(struct varve_progress), request->progress.entries, request->progress.bytes,
					request->progress.left };
}

/* Run up to MAX callbacks of progress, with the lock held, which is released meanwhile. How many there were. */
static int ready_tell_progress(struct varve_store *store, unsigned max)
{
	struct list *link;
	int n = 0;

	for (; !store->closing && (!max || (unsigned)n < max) && (link = list_pop(&store->progressed)); n++) {
		struct watch *watch = list_entry(link, struct watch, link);
		varve_progress_callback *callback = watch->callback;
		void *user_data = watch->user_data;
		struct request *request = watch->request;
		struct varve_progress copy = ready_progress_copy(request);

		/* It can end meanwhile, but not be freed. */
		store->telling = request;
		pthread_mutex_unlock(&store->lock);
		callback(store, request->handle, &copy, user_data);
		pthread_mutex_lock(&store->lock);
		store->telling = NULL;
		if (store->waiters)
			pthread_cond_broadcast(&store->changed);
	}
	return n;
}

int ready_dispatch(struct varve_store *store, unsigned max)
{
	struct list taken = LIST_INIT(taken), *link;
	struct runner runner;
	int n, told;

	if (!store_here(store))
		return -ECHILD;
	if (store->signalled)
		ready_drain(store);
	pthread_mutex_lock(&store->lock);
	if (store->dispatching || ready_inside(store)) {
		ready_resignal(store);
		pthread_mutex_unlock(&store->lock);
		return -EBUSY;
	}
	if (ready_empty(store)) {
		ready_unsignal(store);
		pthread_mutex_unlock(&store->lock);
		return 0;
	}
	store->dispatching = true;
	ready_enter(store, &runner);
	n = ready_take(store, &taken, max);
	told = max && (unsigned)n == max ? 0 : ready_tell_progress(store, max ? max - (unsigned)n : 0);
	ready_resignal(store);
	pthread_mutex_unlock(&store->lock);
	while ((link = list_pop(&taken)))
		ready_tell(store, list_entry(link, struct event, link));
	pthread_mutex_lock(&store->lock);
	store->dispatching = false;
	return ready_leave(store, &runner, n + told);
}

int ready_pending(struct varve_store *store)
{
	int pending;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	pending = (int)store->requests;
	pthread_mutex_unlock(&store->lock);
	return pending;
}

/* Milliseconds left until DEADLINE_NS (0: none), rounded up; -1 without one. */
static int ready_left_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	if (!deadline_ns)
		return -1;
	return now < deadline_ns ? (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* Sleep until the descriptor is readable, or up to TIMEOUT_MS. 0 or -errno. */
static int ready_sleep(struct varve_store *store, int timeout_ms)
{
	struct pollfd pollfd = { .fd = store->ready_fd, .events = POLLIN };
	uint64_t begin = now_ns();
	int r = RET_NERRNO(poll(&pollfd, 1, timeout_ms));

	spin_slept(&store->spin, begin);
	return MIN(r, 0);
}

/* Wait for something to tell without sleeping, if that pays. */
static void ready_spin(struct varve_store *store)
{
	struct spin_wait wait = { 0 };

	while (!atomic_load_explicit(&store->signalled, memory_order_relaxed))
		if (!spin_again(&store->spin, &wait))
			return;
}

int ready_wait(struct varve_store *store, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;

	for (;;) {
		int n, left, r;

		if (timeout_ms)
			ready_spin(store);
		n = ready_dispatch(store, 0);
		left = ready_left_ms(deadline);
		if (n || !left)
			return n;
		r = ready_sleep(store, left);
		if (r)
			return r;
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

/* What there is to tell of REQUEST now, NULL: nothing; with the lock held. */
static struct event *ready_event(struct request *request)
{
	/* Its progress may be told by another thread: that comes before its end. */
	if (request->ready && request->store->telling != request)
		return &request->event;
	return request->channel && request->channel->queued ? &request->channel->event : NULL;
}

/* Wait until HANDLE is stale (NULL, 0) or there is something to tell of it, until DEADLINE_NS; with the lock held. */
static struct event *ready_await(struct varve_store *store, varve_request handle, uint64_t deadline_ns, int *ret_error)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000) };
	struct request *request;
	struct event *event;
	int r = 0;

	store->waiters++;
	for (;;) {
		ready_collect(store);
		request = ready_find(store, handle);
		event = request ? ready_event(request) : NULL;
		if (!request || event || r)
			break;
		r = deadline_ns ? pthread_cond_timedwait(&store->changed, &store->lock, &ts)
				: pthread_cond_wait(&store->changed, &store->lock);
	}
	store->waiters--;
	*ret_error = request && !event ? -ETIME : 0;
	return event;
}

int ready_wait_for(struct varve_store *store, varve_request handle, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;
	struct event *event;
	struct runner runner;
	int r;

	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	if (ready_inside(store)) {
		pthread_mutex_unlock(&store->lock);
		return -EBUSY;
	}
	/* The chunks of its archive are part of the request: nobody else may be there to take them. */
	while ((event = ready_await(store, handle, deadline, &r))) {
		bool last = !event->channel;

		ready_claim(event);
		ready_unsignal(store);
		ready_enter(store, &runner);
		pthread_mutex_unlock(&store->lock);
		ready_tell(store, event);
		pthread_mutex_lock(&store->lock);
		if (last || store->close_deferred)
			return ready_leave(store, &runner, 0);
		list_remove(&runner.link);
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}

/* ---- cancel and close -------------------------------------------------------------------------------------------- */

/* Find the request HANDLE for a caller: 0, with the lock taken; or -ECHILD, -ENOENT, without it. */
static int ready_lock_request(struct varve_store *store, varve_request handle, struct request **ret_request)
{
	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	*ret_request = ready_find(store, handle);
	if (*ret_request)
		return 0;
	pthread_mutex_unlock(&store->lock);
	return -ENOENT;
}

int ready_cancel(struct varve_store *store, varve_request handle)
{
	struct request *request;
	int r = ready_lock_request(store, handle, &request);

	if (r)
		return r;
	atomic_store(&request->cancelled, true);
	pthread_mutex_unlock(&store->lock);
	atomic_store(&store->cancels, true);
	io_interrupt(&store->io);
	return 0;
}

int ready_progress(struct varve_store *store, varve_request handle, struct varve_progress *ret_progress)
{
	struct request *request;
	int r = ready_lock_request(store, handle, &request);

	if (r)
		return r;
	*ret_progress = ready_progress_copy(request);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

/* Set who watches REQUEST, with the lock held. 0 or -ENOMEM. */
static int ready_set_watch(struct request *request, varve_progress_callback *callback, void *user_data)
{
	struct request_slot *slot = &request->store->slots[(uint32_t)request->handle - 1];
	struct watch *watch = slot->watch, *made = NULL;

	if (!watch) {
		if (!callback)
			return 0;
		watch = made = fault_calloc(&request->store->io.fault, 1, sizeof(*made));
		if (!made)
			return -ENOMEM;
		list_init(&made->link);
		made->request = request;
	}
	watch->callback = callback;
	watch->user_data = user_data;
	atomic_store(&watch->due_ns, callback ? now_ns() + PROGRESS_INTERVAL_NS : 0);
	list_remove(&watch->link);
	if (made)
		atomic_store_explicit(&slot->watch, made, memory_order_release);
	return 0;
}

int ready_watch(struct varve_store *store, varve_request handle, varve_progress_callback *callback, void *user_data)
{
	struct request *request;
	int r = ready_lock_request(store, handle, &request);

	if (r)
		return r;
	r = ready_set_watch(request, callback, user_data);
	pthread_mutex_unlock(&store->lock);
	return r;
}

void ready_progressed(struct request *request)
{
	struct watch *watch = ready_watch_of(request);
	struct varve_store *store = request->store;
	uint64_t due = watch ? atomic_load_explicit(&watch->due_ns, memory_order_relaxed) : 0, now;

	if (!due || (now = now_ns()) < due)
		return;
	pthread_mutex_lock(&store->lock);
	/* Another thread may have been first, or its owner have lost interest. */
	if (atomic_compare_exchange_strong(&watch->due_ns, &due, now + PROGRESS_INTERVAL_NS)) {
		list_remove(&watch->link);
		list_append(&store->progressed, &watch->link);
		ready_signal(store);
	}
	pthread_mutex_unlock(&store->lock);
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

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* Find the channel of the request HANDLE: 0, with the lock taken; or -ECHILD, -ENOENT, -EINVAL, without it. */
static int ready_lock_channel(struct varve_store *store, varve_request handle, struct channel **ret_channel)
{
	struct request *request;
	int r = ready_lock_request(store, handle, &request);

	if (r)
		return r;
	*ret_channel = request->channel;
	if (request->channel)
		return 0;
	pthread_mutex_unlock(&store->lock);
	return -EINVAL;
}

int ready_stream_write(struct varve_store *store, varve_request handle, const void *bytes, size_t size, size_t *ret_taken)
{
	struct channel *channel;
	int r = ready_lock_channel(store, handle, &channel);

	if (r)
		return r;
	r = channel_take(channel, bytes, size, ret_taken);
	pthread_mutex_unlock(&store->lock);
	return r;
}

int ready_stream_end(struct varve_store *store, varve_request handle, int error, const char *detail)
{
	struct channel *channel;
	int r = ready_lock_channel(store, handle, &channel);

	if (r)
		return r;
	r = channel_finish(channel, error, detail);
	pthread_mutex_unlock(&store->lock);
	return r;
}

int ready_stream_resume(struct varve_store *store, varve_request handle)
{
	struct channel *channel;
	int r = ready_lock_channel(store, handle, &channel);

	if (r)
		return r;
	r = channel_resume(channel);
	pthread_mutex_unlock(&store->lock);
	return r;
}
