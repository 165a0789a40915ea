/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start for an engine of your own: copy it, fill it in, build it as a shared object, and run it
 * with
 *
 *	cc -shared -fPIC -I.../bench -o my.so skeleton.c
 *	varve-bench --name=t --rw=snapshot --ioengine=external:./my.so --directory=/mnt/btrfs
 *
 * It is asynchronous: queue() starts, wait() reaps. For a synchronous engine let queue() do the
 * work, set op->error and return BENCH_DONE, and leave wait NULL: then the depth is 1, and several
 * at a time take as many threads (numjobs). This one "does" every operation at once; it builds, and
 * a test runs it.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

/*
 * What one thread of a job needs: connections, descriptors, queues. Threads share nothing, so there
 * are no locks.
 */
struct skeleton {
	/* The place of the layers, the depth of the queue, the callback. */
	const struct bench_env *env;
	/* Taken, not ended. */
	struct bench_op **queued;
	/* How many. */
	unsigned count;
};

/*
 * Make a context. The clock does not run yet. On failure write a sentence into ERROR and return
 * -errno.
 */
static int skeleton_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	struct skeleton *skeleton = calloc(1, sizeof(*skeleton));

	if (!skeleton)
		return -ENOMEM;
	skeleton->env = env;
	skeleton->queued = calloc(env->depth, sizeof(*skeleton->queued));
	if (!skeleton->queued) {
		free(skeleton);
		return -ENOMEM;
	}
	*ret_context = skeleton;
	return 0;
}

/*
 * Begin OP: op->kind says what, op->ids the names of its op->count layers in env->subvolumes,
 * op->parent what a snapshot starts from. The time of this call is the submission latency. Keep
 * what you must remember in op->engine_data.
 */
static int skeleton_queue(void *context, struct bench_op *op)
{
	struct skeleton *skeleton = context;

	if (skeleton->count == skeleton->env->depth)
		return BENCH_BUSY;
	skeleton->queued[skeleton->count++] = op;
	return BENCH_QUEUED;
}

/*
 * Wait until MIN operations have ended or TIMEOUT_NS are over; say so of each with complete(), on
 * this thread.
 */
static int skeleton_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct skeleton *skeleton = context;

	for (unsigned i = 0; i < skeleton->count; i++) {
		/*
		 * 0, or the negative errno that it ended with: the job stops at the first failure.
		 */
		skeleton->queued[i]->error = 0;
		skeleton->env->complete(skeleton->env->thread, skeleton->queued[i]);
	}
	skeleton->count = 0;
	return 0;
}

/* Free the context. Nothing is in flight. */
static void skeleton_close(void *context)
{
	struct skeleton *skeleton = context;

	free(skeleton->queued);
	free(skeleton);
}

/* What varve-bench looks for. */
const struct bench_engine bench_engine = {
	.version = BENCH_ENGINE_VERSION,
	/* Say what you can do; a job that asks for more is refused before it begins. */
	.kinds = BENCH_BIT(BENCH_NOOP) | BENCH_BIT(BENCH_SNAPSHOT),
	.name = "skeleton",
	.description = "a start for an engine of your own",
	.open = skeleton_open,
	.queue = skeleton_queue,
	.wait = skeleton_wait,
	.close = skeleton_close,
};
