/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/dispatch.h"
#include "engine/core/channel.h"
#include "engine/core/completion.h"
#include "engine/core/handle.h"
#include "engine/core/progress.h"
#include "engine/core/reactor.h"
#include "engine/core/request.h"

#include <poll.h>

/* Take EVENT off the ready list, with the lock held; this thread then runs its callback. */
static void dispatch_claim(struct event *event)
{
	list_remove(&event->link);
	if (!event->channel) {
		progress_forget(container_of(event, struct request, event));
		return;
	}
	event->channel->queued = false;
	event->channel->delivering = true;
}

/* ---- one callback ---------------------------------------------------------------------------- */

/* Fill RESULT with the outcome of REQUEST. */
static void dispatch_result(struct request *request, struct varve_result *result)
{
	*result = (struct varve_result){ .size = sizeof(*result),
					 .request = request->handle,
					 .operation = request->class->operation,
					 .descriptor = -EBADF };
	for (size_t i = request->count; i-- > 0;) {
		struct op *op = request_op(request, i);

		if (request->class->outcomes)
			request_outcomes(request)[i] = (struct varve_outcome){ op->id, op->error,
									       op->failure };
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

/* Run the callback of EVENT, which was claimed. Without the lock. */
static void dispatch_deliver(struct core *core, struct event *event)
{
	struct request *request;
	struct varve_result result;

	if (event->channel) {
		channel_deliver(event->channel);
		return;
	}
	request = container_of(event, struct request, event);
	dispatch_result(request, &result);
	request->callback(core->store, &result, request->user_data);
	pthread_mutex_lock(&core->lock);
	handle_retire(core, request);
	if (request->channel)
		channel_settle(request->channel);
	pthread_mutex_unlock(&core->lock);
	request_free(request);
}

/* ---- threads that run callbacks -------------------------------------------------------------- */

/* Does this thread run a callback now? With the lock held. */
static bool dispatch_inside(const struct core *core)
{
	list_for_each(link, &core->runners)
		if (pthread_equal(list_entry(link, struct runner, link)->thread, pthread_self()))
			return true;
	return false;
}

/* Note that this thread begins to run callbacks, with the lock held. */
static void dispatch_enter(struct core *core, struct runner *runner)
{
	runner->thread = pthread_self();
	list_append(&core->runners, &runner->link);
}

/* Run the callbacks that are left, end the reactor, free. */
static void dispatch_finish(struct core *core)
{
	for (;;) {
		struct event *event = NULL;

		pthread_mutex_lock(&core->lock);
		core->waiters++;
		for (completion_collect(core); list_empty(&core->ready) && core->requests;
		     completion_collect(core))
			pthread_cond_wait(&core->changed, &core->lock);
		core->waiters--;
		if (!list_empty(&core->ready)) {
			event = list_entry(core->ready.next, struct event, link);
			dispatch_claim(event);
		}
		pthread_mutex_unlock(&core->lock);
		if (!event)
			break;
		dispatch_deliver(core, event);
	}
	reactor_stop(core);
	core->hooks->free(core);
}

/*
 * Note that this thread has run its callbacks; the lock is held, and released. Returns COUNT, or
 * -ESHUTDOWN when one of them closed the store.
 */
static int dispatch_leave(struct core *core, struct runner *runner, int count)
{
	bool last;

	list_remove(&runner->link);
	last = core->close_deferred && list_empty(&core->runners);
	pthread_mutex_unlock(&core->lock);
	if (!last)
		return count;
	dispatch_finish(core);
	return -ESHUTDOWN;
}

/* ---- dispatch and wait ----------------------------------------------------------------------- */

int dispatch_events(struct core *core, unsigned max)
{
	struct list taken = LIST_INIT(taken), *link;
	struct runner runner;
	int n = 0, reported;

	if (!core_here(core))
		return -ECHILD;
	if (core->signalled)
		completion_drain(core);
	pthread_mutex_lock(&core->lock);
	if (core->dispatching || dispatch_inside(core)) {
		completion_resignal(core);
		pthread_mutex_unlock(&core->lock);
		return -EBUSY;
	}
	if (completion_empty(core)) {
		completion_unsignal(core);
		pthread_mutex_unlock(&core->lock);
		return 0;
	}
	core->dispatching = true;
	dispatch_enter(core, &runner);
	for (; (!max || (unsigned)n < max) && !list_empty(&core->ready); n++) {
		struct event *event = list_entry(core->ready.next, struct event, link);

		dispatch_claim(event);
		list_append(&taken, &event->link);
	}
	reported = max && (unsigned)n == max ? 0
					     : progress_deliver(core, max ? max - (unsigned)n : 0);
	completion_resignal(core);
	pthread_mutex_unlock(&core->lock);
	while ((link = list_pop(&taken)))
		dispatch_deliver(core, list_entry(link, struct event, link));
	pthread_mutex_lock(&core->lock);
	core->dispatching = false;
	return dispatch_leave(core, &runner, n + reported);
}

int dispatch_pending(struct core *core)
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
static int dispatch_left_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	if (!deadline_ns)
		return -1;
	return now < deadline_ns ? (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

int dispatch_wait(struct core *core, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;

	for (;;) {
		struct pollfd pollfd = { .fd = core->ready_fd, .events = POLLIN };
		struct spin_wait wait = { 0 };
		uint64_t begin;
		int n, left, r;

		/* Wait awake first, if that pays. */
		while (timeout_ms &&
		       !atomic_load_explicit(&core->signalled, memory_order_relaxed) &&
		       spin_again(&core->spin, &wait))
			;
		n = dispatch_events(core, 0);
		left = dispatch_left_ms(deadline);
		if (n || !left)
			return n;
		begin = now_ns();
		r = RET_NERRNO(poll(&pollfd, 1, left));
		spin_slept(&core->spin, begin);
		if (r < 0)
			return r;
	}
}

/* Get the due callback of REQUEST, NULL: none; with the lock held. */
static struct event *dispatch_event(struct request *request)
{
	/* While another thread runs its progress callback, its end waits. */
	if (request->ready && request->core->reporting != request)
		return &request->event;
	return request->channel && request->channel->queued ? &request->channel->event : NULL;
}

/*
 * Wait until a callback of HANDLE is due, or HANDLE is stale (NULL and 0), until DEADLINE_NS; with
 * the lock held.
 */
static struct event *dispatch_await(struct core *core, varve_request handle, uint64_t deadline_ns,
				    int *ret_error)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline_ns / 1000000000),
			       .tv_nsec = (long)(deadline_ns % 1000000000) };
	struct request *request;
	struct event *event;
	int r = 0;

	core->waiters++;
	for (;;) {
		completion_collect(core);
		request = handle_find(core, handle);
		event = request ? dispatch_event(request) : NULL;
		if (!request || event || r)
			break;
		r = deadline_ns ? pthread_cond_timedwait(&core->changed, &core->lock, &ts)
				: pthread_cond_wait(&core->changed, &core->lock);
	}
	core->waiters--;
	*ret_error = request && !event ? -ETIME : 0;
	return event;
}

int dispatch_wait_for(struct core *core, varve_request handle, int timeout_ms)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;
	struct event *event;
	struct runner runner;
	int r;

	if (!core_here(core))
		return -ECHILD;
	pthread_mutex_lock(&core->lock);
	if (dispatch_inside(core)) {
		pthread_mutex_unlock(&core->lock);
		return -EBUSY;
	}
	/* Callbacks for its archive run here, too: there may be no other thread to run them. */
	while ((event = dispatch_await(core, handle, deadline, &r))) {
		bool last = !event->channel;

		dispatch_claim(event);
		completion_unsignal(core);
		dispatch_enter(core, &runner);
		pthread_mutex_unlock(&core->lock);
		dispatch_deliver(core, event);
		pthread_mutex_lock(&core->lock);
		if (last || core->close_deferred)
			return dispatch_leave(core, &runner, 0);
		list_remove(&runner.link);
	}
	pthread_mutex_unlock(&core->lock);
	return r;
}

/* ---- closing --------------------------------------------------------------------------------- */

int dispatch_close(struct core *core)
{
	bool inside;

	if (!core_here(core)) {
		io_abandon(&core->io);
		core->hooks->free(core);
		return 0;
	}
	pthread_mutex_lock(&core->lock);
	/* Cancel all requests, and refuse new ones. */
	core->closing = true;
	for (uint32_t i = 0; i < core->requests_max; i++)
		if (core->slots[i].request)
			atomic_store(&core->slots[i].request->cancelled, true);
	atomic_store(&core->cancels, true);
	io_interrupt(&core->io);
	inside = !list_empty(&core->runners);
	core->close_deferred = inside;
	pthread_mutex_unlock(&core->lock);
	if (!inside)
		dispatch_finish(core);
	return 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

/*
 * Find the channel of the request HANDLE: 0, with the lock taken; or -ECHILD, -ENOENT, -EINVAL,
 * without it.
 */
static int dispatch_lock_channel(struct core *core, varve_request handle,
				 struct channel **ret_channel)
{
	struct request *request;
	int r = handle_lock(core, handle, &request);

	if (r)
		return r;
	*ret_channel = request->channel;
	if (request->channel)
		return 0;
	pthread_mutex_unlock(&core->lock);
	return -EINVAL;
}

int dispatch_stream_write(struct core *core, varve_request handle, const void *bytes, size_t size,
			  size_t *ret_taken)
{
	struct channel *channel;
	int r = dispatch_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_take(channel, bytes, size, ret_taken);
	pthread_mutex_unlock(&core->lock);
	return r;
}

int dispatch_stream_end(struct core *core, varve_request handle, int error, const char *detail)
{
	struct channel *channel;
	int r = dispatch_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_finish(channel, error, detail);
	pthread_mutex_unlock(&core->lock);
	return r;
}

int dispatch_stream_resume(struct core *core, varve_request handle)
{
	struct channel *channel;
	int r = dispatch_lock_channel(core, handle, &channel);

	if (r)
		return r;
	r = channel_resume(channel);
	pthread_mutex_unlock(&core->lock);
	return r;
}
