/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of libuv to do blocking work beside a loop: uv_queue_work() with an empty job. noop is
 * compared with it: the overhead of varve against the overhead that programs have today.
 */
#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "load/clock.h"
#include "engines.h"

/* A context. */
struct uv_context {
	const struct bench_env *env; /* What the harness said. */
	uv_loop_t loop;              /* The thread's loop. */
	uv_timer_t timer;            /* Ends a wait. */
	unsigned completed;          /* Ended since wait() began. */
	bool timed_out;              /* The timer has fired. */
};

/* The empty job, on a thread of libuv's pool. */
static void uv_work(uv_work_t *work)
{
}

/* Report the end of a job, on the loop's thread. */
static void uv_worked(uv_work_t *work, int status)
{
	struct bench_op *op = work->data;
	struct uv_context *uv = work->loop->data;

	op->error = status;
	uv->completed++;
	uv->env->complete(uv->env->thread, op);
}

/* End the wait. */
static void uv_timed_out(uv_timer_t *timer)
{
	struct uv_context *uv = timer->data;

	uv->timed_out = true;
}

static int uv_context_open(const struct bench_env *env, void **ret_context, char *error,
			   size_t size)
{
	struct uv_context *uv = calloc(1, sizeof(*uv));
	int r;

	if (!uv)
		return -ENOMEM;
	uv->env = env;
	r = uv_loop_init(&uv->loop);
	if (r < 0) {
		free(uv);
		return r;
	}
	uv->loop.data = uv;
	uv_timer_init(&uv->loop, &uv->timer);
	uv->timer.data = uv;
	*ret_context = uv;
	return 0;
}

static int uv_context_queue(void *context, struct bench_op *op)
{
	struct uv_context *uv = context;
	uv_work_t *work = op->engine_data;
	int r;

	if (!work) {
		work = op->engine_data = calloc(1, sizeof(*work));
		if (!work)
			return -ENOMEM;
	}
	work->data = op;
	r = uv_queue_work(&uv->loop, work, uv_work, uv_worked);
	return r < 0 ? r : BENCH_QUEUED;
}

static int uv_context_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct uv_context *uv = context;

	uv->completed = 0;
	uv->timed_out = false;
	if (timeout_ns != UINT64_MAX)
		uv_timer_start(&uv->timer, uv_timed_out, (timeout_ns + NS_PER_MS - 1) / NS_PER_MS,
			       0);
	while (uv->completed < min && !uv->timed_out)
		uv_run(&uv->loop, UV_RUN_ONCE);
	uv_timer_stop(&uv->timer);
	return 0;
}

static void uv_context_forget(void *context, struct bench_op *op)
{
	free(op->engine_data);
	op->engine_data = NULL;
}

static void uv_context_close(void *context)
{
	struct uv_context *uv = context;

	uv_close((uv_handle_t *)&uv->timer, NULL);
	uv_run(&uv->loop, UV_RUN_DEFAULT);
	uv_loop_close(&uv->loop);
	free(uv);
}

const struct bench_engine engine_libuv = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP),
	.name = "libuv",
	.description = "uv_queue_work() with an empty job, to compare noop with",
	.homeless = true,
	.open = uv_context_open,
	.queue = uv_context_queue,
	.wait = uv_context_wait,
	.forget = uv_context_forget,
	.close = uv_context_close,
};
