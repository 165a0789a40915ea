/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/dispatch.h"
#include "engine/core/channel.h"
#include "engine/core/request.h"
#include "engine/core/core.h"

#include <poll.h>

/* ---- events ------------------------------------------------------------------------------------------------------ */

/*
 * The descriptor and core->signalled:
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
static void ready_write(struct core *core)
{
	static const uint64_t one = 1;

	while (write(core->ready_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Make the descriptor readable, unless it is or is about to be. */
static void ready_signal(struct core *core)
{
	if (!atomic_exchange(&core->signalled, true))
		ready_write(core);
}

/* Make the descriptor unreadable; what is there has to be taken after that, or signalled. */
static void ready_drain(struct core *core)
{
	uint64_t count;

	while (read(core->ready_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	atomic_store(&core->signalled, false);
}

void ready_announce(struct core *core, struct event *event)
{
	list_append(&core->ready, &event->link);
	if (!event->channel)
		container_of(event, struct request, event)->ready = true;
	if (core->waiters)
		pthread_cond_broadcast(&core->changed);
	ready_signal(core);
}

void ready_notify(struct core *core)
{
	ready_signal(core);
	/* Who waits has counted itself before it looked into core->ended. */
	if (!core->waiters)
		return;
	pthread_mutex_lock(&core->lock);
	pthread_cond_broadcast(&core->changed);
	pthread_mutex_unlock(&core->lock);
}

/* Take in what the reactor has handed over, with the lock held. */
static void ready_collect(struct core *core)
{
	struct inbox_node *node = inbox_empty(&core->ended) ? NULL : inbox_take(&core->ended);

	while (node) {
		struct request *request = container_of(node, struct request, node);

		node = node->next;
		request->ready = true;
		list_append(&core->ready, &request->event.link);
	}
}

/* Is there nothing to tell? With the lock held. */
static bool ready_empty(struct core *core)
{
	ready_collect(core);
	return list_empty(&core->ready) && list_empty(&core->progressed);
}

/* Make the descriptor readable again, after it was drained, if something is left. With the lock held. */
static void ready_resignal(struct core *core)
{
	if (ready_empty(core))
		return;
	atomic_store(&core->signalled, true);
	ready_write(core);
}

/* Make the descriptor unreadable when there is nothing to tell, with the lock held. */
static void ready_unsignal(struct core *core)
{
	if (!ready_empty(core))
		return;
	ready_drain(core);
	ready_resignal(core);
}

/* The watch of REQUEST, NULL for none. */
static struct watch *ready_watch_of(const struct request *request)
{
	return atomic_load_explicit(&request->core->slots[(uint32_t)request->handle - 1].watch, memory_order_acquire);
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
static void ready_retire(struct core *core, struct request *request)
{
	uint32_t index = (uint32_t)request->handle - 1;
	struct request_slot *slot = &core->slots[index];

	free(atomic_exchange(&slot->watch, NULL));
	slot->request = NULL;
	slot->generation++;
	slot->next_free = core->slots_free;
	core->slots_free = index;
	core->requests--;
	if (core->waiters)
		pthread_cond_broadcast(&core->changed);
}

/* Run the callback of REQUEST, which was taken off the ready list, and free it. Without the lock. */
static void ready_run(struct core *core, struct request *request)
{
	struct varve_result result;

	ready_result(request, &result);
	request->callback(core->store, &result, request->user_data);
	pthread_mutex_lock(&core->lock);
	ready_retire(core, request);
	if (request->channel)
		channel_settle(request->channel);
	pthread_mutex_unlock(&core->lock);
	request_free(request);
}

/* Run the callback of EVENT, which was claimed. Without the lock. */
static void ready_tell(struct core *core, struct event *event)
{
	if (event->channel)
		channel_deliver(event->channel);
	else
		ready_run(core, container_of(event, struct request, event));
}

/* ---- threads that run callbacks ---------------------------------------------------------------------------------- */

/* Does this thread run a callback now? With the lock held. */
static bool ready_inside(const struct core *core)
{
	list_for_each(link, &core->runners)
		if (pthread_equal(list_entry(link, struct runner, link)->thread, pthread_self()))
			return true;
	return false;
}

/* This thread begins to run callbacks, with the lock held. */
static void ready_enter(struct core *core, struct runner *runner)
{
	runner->thread = pthread_self();
	list_append(&core->runners, &runner->link);
}

/* Cancel all there is and refuse more, with the lock held. */
static void ready_shut(struct core *core)
{
	core->closing = true;
	for (uint32_t i = 0; i < core->requests_max; i++)
		if (core->slots[i].request)
			atomic_store(&core->slots[i].request->cancelled, true);
	atomic_store(&core->cancels, true);
	io_interrupt(&core->io);
}

/* Run what is left, end the threads, free. */
static void ready_finish(struct core *core)
{
	for (;;) {
		struct event *event = NULL;

		pthread_mutex_lock(&core->lock);
		core->waiters++;
		for (ready_collect(core); list_empty(&core->ready) && core->requests; ready_collect(core))
			pthread_cond_wait(&core->changed, &core->lock);
		core->waiters--;
		if (!list_empty(&core->ready)) {
			event = list_entry(core->ready.next, struct event, link);
			ready_claim(event);
		}
		pthread_mutex_unlock(&core->lock);
		if (!event)
			break;
		ready_tell(core, event);
	}
	reactor_stop(core);
	core->hooks->free(core);
}

/*
 * This thread has run its callbacks, with the lock held, which is released. Returns COUNT, or -ESHUTDOWN when one of them
 * closed the store.
 */
static int ready_leave(struct core *core, struct runner *runner, int count)
{
	bool last;

	list_remove(&runner->link);
	last = core->close_deferred && list_empty(&core->runners);
	pthread_mutex_unlock(&core->lock);
	if (!last)
		return count;
	ready_finish(core);
	return -ESHUTDOWN;
}

/* ---- dispatch and wait ------------------------------------------------------------------------------------------- */

/* Take up to MAX events off the ready list, with the lock held. */
static int ready_take(struct core *core, struct list *taken, unsigned max)
{
	int n = 0;

	for (; (!max || (unsigned)n < max) && !list_empty(&core->ready); n++) {
		struct event *event = list_entry(core->ready.next, struct event, link);

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
static int ready_tell_progress(struct core *core, unsigned max)
{
	struct list *link;
	int n = 0;

	for (; !core->closing && (!max || (unsigned)n < max) && (link = list_pop(&core->progressed)); n++) {
		struct watch *watch = list_entry(link, struct watch, link);
		varve_progress_callback *callback = watch->callback;
		void *user_data = watch->user_data;
		struct request *request = watch->request;
		struct varve_progress copy = ready_progress_copy(request);

		/* It can end meanwhile, but not be freed. */
		core->telling = request;
		pthread_mutex_unlock(&core->lock);
		callback(core->store, request->handle, &copy, user_data);
		pthread_mutex_lock(&core->lock);
		core->telling = NULL;
		if (core->waiters)
			pthread_cond_broadcast(&core->changed);
	}
	return n;
}

int ready_dispatch(struct core *core, unsigned max)
{
	struct list taken = LIST_INIT(taken), *link;
	struct runner runner;
	int n, told;

	if (!core_here(core))
		return -ECHILD;
	if (core->signalled)
		ready_drain(core);
	pthread_mutex_lock(&core->lock);
	if (core->dispatching || ready_inside(core)) {
		ready_resignal(core);
		pthread_mutex_unlock(&core->lock);
		return -EBUSY;
	}
	if (ready_empty(core)) {
		ready_unsignal(core);
		pthread_mutex_unlock(&core->lock);
		return 0;
	}
	core->dispatching = true;
	ready_enter(core, &runner);
	n = ready_take(core, &taken, max);
	told = max && (unsigned)n == max ? 0 : ready_tell_progress(core, max ? max - (unsigned)n : 0);
	ready_resignal(core);
	pthread_mutex_unlock(&core->lock);
	while ((link = list_pop(&taken)))
		ready_tell(core, list_entry(link, struct event, link));
	pthread_mutex_lock(&core->lock);
	core->dispatching = false;
	return ready_leave(core, &runner, n + told);
}

int ready_pending(struct core *core)
{
	int pending;

	if (!core_here(core))
		return -ECHILD;
	pthread_mutex_lock(&core->lock);
	pending = (int)core->requests;
	pthread_mutex_unlock(&core->lock);
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
static int ready_sleep(struct core *core, int timeout_ms)
{
	struct pollfd pollfd = { .fd = core->ready_fd, .events = POLLIN };
	uint64_t begin = now_ns();
	int r = RET_NERRNO(poll(&pollfd, 1, timeout_ms));

	spin_slept(&core->spin, begin);
	return MIN(r, 0);
}

/* Wait for something to tell without sleeping, if that pays. */
static void ready_spin(struct core *core)
{
	struct spin_wait wait = { 0 };

	while (!atomic_load_explicit(&core->signalled, memory_order_relaxed))
		if (!spin_again(&core->spin, &wait))
			return;
}

int ready_wait(struct core *core, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;

	for (;;) {
		int n, left, r;

		if (timeout_ms)
			ready_spin(core);
		n = ready_dispatch(core, 0);
		left = ready_left_ms(deadline);
		if (n || !left)
			return n;
		r = ready_sleep(core, left);
		if (r)
			return r;
	}
}

/* The request that HANDLE names, NULL when it is stale; with the lock held. */
static struct request *ready_find(struct core *core, varve_request handle)
{
	uint32_t index = (uint32_t)handle - 1;

	if (index >= core->requests_max || core->slots[index].generation != handle >> 32)
		return NULL;
	return core->slots[index].request;
}

/* What there is to tell of REQUEST now, NULL: nothing; with the lock held. */
static struct event *ready_event(struct request *request)
{
	/* Its progress may be told by another thread: that comes before its end. */
	if (request->ready && request->core->telling != request)
		return &request->event;
	return request->channel && request->channel->queued ? &request->channel->event : NULL;
}

/* Wait until HANDLE is stale (NULL, 0) or there is something to tell of it, until DEADLINE_NS; with the lock held. */
static struct event *ready_await(struct core *core, varve_request handle, uint64_t deadline_ns, int *ret_error)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000) };
	struct request *request;
	struct event *event;
	int r = 0;

	core->waiters++;
	for (;;) {
		ready_collect(core);
		request = ready_find(core, handle);
		event = request ? ready_event(request) : NULL;
		if (!request || event || r)
			break;
		r = deadline_ns ? pthread_cond_timedwait(&core->changed, &core->lock, &ts)
				: pthread_cond_wait(&core->changed, &core->lock);
	}
	core->waiters--;
	*ret_error = request && !event ? -ETIME : 0;
	return event;
}

int ready_wait_for(struct core *core, varve_request handle, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;
	struct event *event;
	struct runner runner;
	int r;

	if (!core_here(core))
		return -ECHILD;
	pthread_mutex_lock(&core->lock);
	if (ready_inside(core)) {
		pthread_mutex_unlock(&core->lock);
		return -EBUSY;
	}
	/* The chunks of its archive are part of the request: nobody else may be there to take them. */
	while ((event = ready_await(core, handle, deadline, &r))) {
		bool last = !event->channel;

		ready_claim(event);
		ready_unsignal(core);
		ready_enter(core, &runner);
		pthread_mutex_unlock(&core->lock);
		ready_tell(core, event);
		pthread_mutex_lock(&core->lock);
		if (last || core->close_deferred)
			return ready_leave(core, &runner, 0);
		list_remove(&runner.link);
	}
	pthread_mutex_unlock(&core->lock);
	return r;
}

/* ---- cancel and close -------------------------------------------------------------------------------------------- */

/* Find the request HANDLE for a caller: 0, with the lock taken; or -ECHILD, -ENOENT, without it. */
static int ready_lock_request(struct core *core, varve_request handle, struct request **ret_request)
{
	if (!core_here(core))
		return -ECHILD;
	pthread_mutex_lock(&core->lock);
	*ret_request = ready_find(core, handle);
	if (*ret_request)
		return 0;
	pthread_mutex_unlock(&core->lock);
	return -ENOENT;
}

int ready_cancel(struct core *core, varve_request handle)
{
	struct request *request;
	int r = ready_lock_request(core, handle, &request);

	if (r)
		return r;
	atomic_store(&request->cancelled, true);
	pthread_mutex_unlock(&core->lock);
	atomic_store(&core->cancels, true);
	io_interrupt(&core->io);
	return 0;
}

int ready_progress(struct core *core, varve_request handle, struct varve_progress *ret_progress)
{
	struct request *request;
	int r = ready_lock_request(core, handle, &request);

	if (r)
		return r;
	*ret_progress = ready_progress_copy(request);
	pthread_mutex_unlock(&core->lock);
	return 0;
}

/* Set who watches REQUEST, with the lock held. 0 or -ENOMEM. */
static int ready_set_watch(struct request *request, varve_progress_callback *callback, void *user_data)
{
	struct request_slot *slot = &request->core->slots[(uint32_t)request->handle - 1];
	struct watch *watch = slot->watch, *made = NULL;

	if (!watch) {
		if (!callback)
			return 0;
		watch = made = fault_calloc(&request->core->io.fault, 1, sizeof(*made));
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

int ready_watch(struct core *core, varve_request handle, varve_progress_callback *callback, void *user_data)
{
	struct request *request;
	int r = ready_lock_request(core, handle, &request);

	if (r)
		return r;
	r = ready_set_watch(request, callback, user_data);
	pthread_mutex_unlock(&core->lock);
	return r;
}

void ready_progressed(struct request *request)
{
	struct watch *watch = ready_watch_of(request);
	struct core *core = request->core;
	uint64_t due = watch ? atomic_load_explicit(&watch->due_ns, memory_order_relaxed) : 0, now;

	if (!due || (now = now_ns()) < due)
		return;
	pthread_mutex_lock(&core->lock);
	/* Another thread may have been first, or its owner have lost interest. */
	if (atomic_compare_exchange_strong(&watch->due_ns, &due, now + PROGRESS_INTERVAL_NS)) {
		list_remove(&watch->link);
		list_append(&core->progressed, &watch->link);
		ready_signal(core);
	}
	pthread_mutex_unlock(&core->lock);
}

int ready_close(struct core *core)
{
	bool inside;

	if (!core_here(core)) {
		io_abandon(&core->io);
		core->hooks->free(core);
		return 0;
	}
	pthread_mutex_lock(&core->lock);
	ready_shut(core);
	inside = !list_empty(&core->runners);
	core->close_deferred = inside;
	pthread_mutex_unlock(&core->lock);
	if (!inside)
		ready_finish(core);
	return 0;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* Find the channel of the request HANDLE: 0, with the lock taken; or -ECHILD, -ENOENT, -EINVAL, without it. */
static int ready_lock_channel(struct core *core, varve_request handle, struct channel **ret_channel)
{
	struct request *request;
	int r = ready_lock_request(core, handle, &request);

	if (r)
		return r;
	*ret_channel = request->channel;
	if (request->channel)
		return 0;
	pthread_mutex_unlock(&core->lock);
	return -EINVAL;
}

int ready_stream_write(struct core *core, varve_request handle, const void *bytes, size_t size, size_t *ret_taken)
{
	struct channel *channel;
	int r = ready_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_take(channel, bytes, size, ret_taken);
	pthread_mutex_unlock(&core->lock);
	return r;
}

int ready_stream_end(struct core *core, varve_request handle, int error, const char *detail)
{
	struct channel *channel;
	int r = ready_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_finish(channel, error, detail);
	pthread_mutex_unlock(&core->lock);
	return r;
}

int ready_stream_resume(struct core *core, varve_request handle)
{
	struct channel *channel;
	int r = ready_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_resume(channel);
	pthread_mutex_unlock(&core->lock);
	return r;
}
