/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: see loop.h. The timers are a binary heap, from slot 1. */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"

struct loop {
	/* Watches the sources. */
	int epoll_fd;
	/* The earliest timer is in slot 1. */
	struct loop_timer **timers;
	/* How many there are, and how many fit. */
	size_t timers_count, timers_size;
	/* What is deferred. */
	struct link tasks;
	/* The events of this turn, of which those from `event` on have not run. */
	struct epoll_event events[LOOP_EVENTS_MAX];
	int event, events_count;
};

int loop_create(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	link_init(&loop->tasks);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		r = -errno;
		free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop->timers);
	free(loop);
}

uint64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	/* An event of this turn may be left. */
	for (int i = loop->event; i < loop->events_count; i++) {
		if (loop->events[i].data.ptr == source)
			loop->events[i].data.ptr = NULL;
	}
}

/* ---- timers ---------------------------------------------------------------------------------- */

/* Put TIMER into SLOT. */
static void loop_timer_put(struct loop *loop, struct loop_timer *timer, size_t slot)
{
	loop->timers[slot] = timer;
	timer->slot = slot;
}

/* Put TIMER where it belongs, at SLOT or above. */
static void loop_timer_rise(struct loop *loop, struct loop_timer *timer, size_t slot)
{
	for (; slot > 1 && loop->timers[slot / 2]->at_ns > timer->at_ns; slot /= 2)
		loop_timer_put(loop, loop->timers[slot / 2], slot);
	loop_timer_put(loop, timer, slot);
}

/* Put TIMER where it belongs, at SLOT or below. */
static void loop_timer_sink(struct loop *loop, struct loop_timer *timer, size_t slot)
{
	size_t child;

	for (; (child = 2 * slot) <= loop->timers_count; slot = child) {
		if (child < loop->timers_count &&
		    loop->timers[child + 1]->at_ns < loop->timers[child]->at_ns)
			child++;
		if (loop->timers[child]->at_ns >= timer->at_ns)
			break;
		loop_timer_put(loop, loop->timers[child], slot);
	}
	loop_timer_put(loop, timer, slot);
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at_ns)
{
	loop_timer_stop(loop, timer);
	if (loop->timers_count + 2 > loop->timers_size) {
		size_t size = loop->timers_size ? 2 * loop->timers_size : LOOP_EVENTS_MAX;
		struct loop_timer **timers = reallocarray(loop->timers, size, sizeof(*timers));

		if (!timers)
			return -ENOMEM;
		loop->timers = timers;
		loop->timers_size = size;
	}
	timer->at_ns = at_ns;
	loop_timer_rise(loop, timer, ++loop->timers_count);
	return 0;
}

int loop_timer_after(struct loop *loop, struct loop_timer *timer, unsigned ms)
{
	return loop_timer_set(loop, timer, loop_now() + ms * LOOP_NS_PER_MS);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	size_t slot = timer->slot;
	struct loop_timer *last;

	if (!slot)
		return;
	timer->slot = 0;
	last = loop->timers[loop->timers_count--];
	if (last == timer)
		return;
	/* The last one takes the place, and goes up or down from there. */
	if (slot > 1 && loop->timers[slot / 2]->at_ns > last->at_ns)
		loop_timer_rise(loop, last, slot);
	else
		loop_timer_sink(loop, last, slot);
}

/* Run the timers that are due. Return how many. */
static int loop_timers_run(struct loop *loop)
{
	uint64_t now_ns = loop_now();
	int count = 0;

	/* What is set meanwhile is for later than NOW_NS, or waits for the next turn. */
	for (size_t left = loop->timers_count;
	     left > 0 && loop->timers_count > 0 && loop->timers[1]->at_ns <= now_ns; left--) {
		struct loop_timer *timer = loop->timers[1];

		loop_timer_stop(loop, timer);
		timer->due(timer->data);
		count++;
	}
	return count;
}

/* How many milliseconds to wait, TIMEOUT_MS at most. */
static int loop_timeout(const struct loop *loop, int timeout_ms)
{
	uint64_t now_ns, wait_ms;

	if (!link_alone(&loop->tasks))
		return 0;
	if (!loop->timers_count)
		return timeout_ms;
	now_ns = loop_now();
	if (loop->timers[1]->at_ns <= now_ns)
		return 0;
	wait_ms = (loop->timers[1]->at_ns - now_ns + LOOP_NS_PER_MS - 1) / LOOP_NS_PER_MS;
	if (timeout_ms >= 0 && wait_ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void loop_task_init(struct loop_task *task, void (*run)(void *data), void *data)
{
	link_init(&task->link);
	task->run = run;
	task->data = data;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (link_alone(&task->link))
		link_append(&loop->tasks, &task->link);
}

void loop_task_stop(struct loop_task *task)
{
	link_remove(&task->link);
}

/* Run what was deferred until now. Return how many. */
static int loop_tasks_run(struct loop *loop)
{
	struct link now;
	int count = 0;

	if (link_alone(&loop->tasks))
		return 0;
	/* Tasks that are deferred meanwhile wait for the next turn. */
	link_append(&loop->tasks, &now);
	link_remove(&loop->tasks);
	while (!link_alone(&now)) {
		struct loop_task *task = link_entry(now.next, struct loop_task, link);

		link_remove(&task->link);
		task->run(task->data);
		count++;
	}
	return count;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	int count, r;

	r = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_MAX,
		       loop_timeout(loop, timeout_ms));
	if (r < 0 && errno != EINTR)
		return -errno;
	count = loop->events_count = r < 0 ? 0 : r;
	for (loop->event = 0; loop->event < loop->events_count;) {
		struct epoll_event *event = &loop->events[loop->event++];
		struct loop_source *source = event->data.ptr;

		if (source)
			source->ready(source->data, event->events);
	}
	loop->events_count = 0;
	count += loop_timers_run(loop);
	return count + loop_tasks_run(loop);
}
