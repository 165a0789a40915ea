/* SPDX-License-Identifier: Apache-2.0 */
/* varve in a libuv loop. The work itself is in churn.c. */
#include "churn.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* What libuv's callbacks reach through handle->data. */
struct loop {
	uv_loop_t uv;		/* The loop. */
	uv_poll_t poll;		/* Watches varve_fd(). */
	uv_timer_t timer;	/* Ticks. */
	struct churn churn;	/* The work. */
};

/* Exit when RET, of WHAT, is an error. */
static void check(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, uv_strerror(ret));
		exit(1);
	}
}

/* Take a tick. */
static void on_tick(uv_timer_t *timer)
{
	struct loop *loop = timer->data;

	churn_tick(&loop->churn);
}

/* example: begin */
/* Run callbacks: the store's descriptor is readable. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct varve_store *store = poll->data;

	check(status, "uv_poll");
	check(varve_dispatch(store, CHURN_CALLBACKS_MAX), "varve_dispatch");
}

/* Watch the store. */
static void watch(struct loop *loop)
{
	uv_poll_t *poll = &loop->poll;
	int fd = varve_fd(loop->churn.store);

	poll->data = loop->churn.store;
	check(uv_poll_init(&loop->uv, poll, fd), "uv_poll_init");
	check(uv_poll_start(poll, UV_READABLE, on_readable), "uv_poll_start");
}

/* Stop watching: uv_run() returns once both handles are closed. */
static void stop(void *data)
{
	struct loop *loop = data;

	uv_close((uv_handle_t *)&loop->poll, NULL);
	uv_close((uv_handle_t *)&loop->timer, NULL);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct loop loop;

	check(uv_loop_init(&loop.uv), "uv_loop_init");
	churn_open(&loop.churn, argc, argv);
	watch(&loop);
	loop.timer.data = &loop;
	check(uv_timer_init(&loop.uv, &loop.timer), "uv_timer_init");
	check(uv_timer_start(&loop.timer, on_tick, CHURN_TICK_MS, CHURN_TICK_MS), "uv_timer_start");
	churn_start(&loop.churn, stop, &loop);
	check(uv_run(&loop.uv, UV_RUN_DEFAULT), "uv_run");
	check(uv_loop_close(&loop.uv), "uv_loop_close");
	return churn_finish(&loop.churn, "libuv");
}
