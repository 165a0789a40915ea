/* SPDX-License-Identifier: Apache-2.0 */
/* An engine that does nothing, at any depth: it measures the harness. */
#include <errno.h>
#include <stdlib.h>

#include "engines.h"

/* A context: the operations that the next wait() ends. */
struct noop {
	const struct bench_env *env; /* What the harness said. */
	uint32_t count;              /* How many there are. */
	struct bench_op *ops[];      /* env->depth places. */
};

static int noop_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	struct noop *noop = calloc(1, sizeof(*noop) + env->depth * sizeof(noop->ops[0]));

	if (!noop)
		return -ENOMEM;
	noop->env = env;
	*ret_context = noop;
	return 0;
}

static int noop_queue(void *context, struct bench_op *op)
{
	struct noop *noop = context;

	noop->ops[noop->count++] = op;
	return BENCH_QUEUED;
}

static int noop_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct noop *noop = context;

	for (uint32_t i = 0; i < noop->count; i++)
		noop->env->complete(noop->env->thread, noop->ops[i]);
	noop->count = 0;
	return 0;
}

static void noop_close(void *context)
{
	free(context);
}

const struct bench_engine engine_noop = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_KINDS) - 1,
	.name = "noop",
	.description = "does nothing, asynchronously: measures the harness",
	.homeless = true,
	.open = noop_open,
	.queue = noop_queue,
	.wait = noop_wait,
	.close = noop_close,
};
