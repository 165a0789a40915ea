/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io/lane.h"
#include "engine/base/limits.h"
#include "engine/base/thread.h"
#include "engine/base/util.h"

#include <inttypes.h>

/* Compute the time LANE_IDLE_MS from now, on the clock of the condition variable. */
static struct timespec lane_idle_deadline(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += LANE_IDLE_MS / 1000;
	return ts;
}

/* Wait for a call, with the lock held; NULL when this thread is to end. */
static struct call *lane_next(struct lane *lane)
{
	struct timespec deadline = lane_idle_deadline();

	lane->idle++;
	while (list_empty(&lane->queue)) {
		int r = lane->stopping
				? ETIMEDOUT
				: pthread_cond_timedwait(&lane->wake, &lane->lock, &deadline);

		if (!list_empty(&lane->queue))
			break;
		if (r == ETIMEDOUT && (lane->stopping || lane->threads > 1)) {
			lane->idle--;
			return NULL;
		}
		if (r == ETIMEDOUT)
			deadline = lane_idle_deadline();
	}
	lane->idle--;
	lane->queued--;
	return list_entry(list_pop(&lane->queue), struct call, link);
}

/* A lane thread. */
static void *lane_thread(void *data)
{
	struct lane *lane = data;
	struct call *call;
	pthread_t before;
	bool join;

	pthread_mutex_lock(&lane->lock);
	while ((call = lane_next(lane))) {
		uint64_t cpu_ns = lane->trace->mask & TRACE_LANE ? thread_cpu_ns() : 0;

		pthread_mutex_unlock(&lane->lock);
		call->result = fault_hit(lane->fault, FAULT_LANE);
		if (!call->result)
			call->result = call_run(call);
		trace(lane->trace, TRACE_LANE, "lane %s: %s = %d, %" PRIu64 " us", lane->name,
		      call->name ? call->name : "?", call->result,
		      (thread_cpu_ns() - cpu_ns) / 1000);
		lane->finished(lane->finished_data, call);
		pthread_mutex_lock(&lane->lock);
	}
	/*
	 * Each thread that ends joins the one that ended before it, and lane_stop() joins the last:
	 * so none runs our code when the library is unloaded, and no list of them is needed.
	 */
	join = lane->ended;
	before = lane->ended_last;
	lane->ended = true;
	lane->ended_last = pthread_self();
	if (!--lane->threads)
		pthread_cond_signal(&lane->gone);
	pthread_mutex_unlock(&lane->lock);
	if (join)
		pthread_join(before, NULL);
	return NULL;
}

/* Start one more thread, with the lock held. */
static int lane_spawn(struct lane *lane)
{
	pthread_t thread;
	int r = thread_start(lane->name, lane_thread, lane, &thread);

	if (r)
		return r;
	lane->threads++;
	lane->threads_peak = MAX(lane->threads_peak, lane->threads);
	return 0;
}

int lane_start(struct lane *lane, const char *name, unsigned threads_max,
	       void (*finished)(void *, struct call *), void *finished_data, struct fault *fault,
	       const struct trace *trace)
{
	pthread_condattr_t attributes;
	int r;

	*lane = (struct lane){ .name = name,
			       .threads_max = threads_max,
			       .finished = finished,
			       .finished_data = finished_data,
			       .fault = fault,
			       .trace = trace };
	list_init(&lane->queue);
	pthread_mutex_init(&lane->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&lane->wake, &attributes);
	pthread_cond_init(&lane->gone, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_lock(&lane->lock);
	r = lane_spawn(lane);
	pthread_mutex_unlock(&lane->lock);
	if (r)
		lane_stop(lane);
	return r;
}

void lane_submit(struct lane *lane, struct call *call)
{
	pthread_mutex_lock(&lane->lock);
	list_append(&lane->queue, &call->link);
	lane->queued++;
	/* If no thread can be started, the others take the call later. */
	if (lane->queued > lane->idle && lane->threads < lane->threads_max)
		lane_spawn(lane);
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
}

bool lane_withdraw(struct lane *lane, struct call *call)
{
	bool found = false;

	pthread_mutex_lock(&lane->lock);
	list_for_each(link, &lane->queue)
		found |= link == &call->link;
	if (found) {
		list_remove(&call->link);
		lane->queued--;
	}
	pthread_mutex_unlock(&lane->lock);
	return found;
}

unsigned lane_threads_peak(struct lane *lane)
{
	unsigned peak;

	pthread_mutex_lock(&lane->lock);
	peak = lane->threads_peak;
	pthread_mutex_unlock(&lane->lock);
	return peak;
}

void lane_stop(struct lane *lane)
{
	if (!lane->name)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->stopping = true;
	pthread_cond_broadcast(&lane->wake);
	while (lane->threads)
		pthread_cond_wait(&lane->gone, &lane->lock);
	pthread_mutex_unlock(&lane->lock);
	if (lane->ended)
		pthread_join(lane->ended_last, NULL);
	pthread_cond_destroy(&lane->gone);
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
	lane->name = NULL;
}
