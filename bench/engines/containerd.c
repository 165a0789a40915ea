/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of containerd with one of several snapshotters, measured as a whole:
 *
 *	apply	import an image by ctr, which ends when it is unpacked
 *	create	a pod by the CRI, with a container that runs
 *
 * A server does the work, as server= says (see server.h): containerd-node. It takes a line
 * "NUMBER KIND ID" on its socket for each operation, and answers, in any order, with "NUMBER ok" or
 * "NUMBER REASON". To "figures" it answers with "NAME VALUE", a figure of what was done until then.
 * It ends when the connection does.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engines.h"
#include "load/clock.h"
#include "server.h"

/* Bytes of a line, either way. */
#define LINE_SIZE 1024
#define NS_PER_MS_ROUND(ns) (((ns) + NS_PER_MS - 1) / NS_PER_MS)

/* A context. */
struct containerd {
	const struct bench_env *env; /* What the harness said. */
	struct server server;        /* The server. */
	int fd;                      /* The connection, or -EBADF. */
	struct bench_op **ops;       /* Those in flight by number; NULL: none. */
	unsigned completed;          /* Ended since wait() began. */
	char line[LINE_SIZE];        /* What has come of the next answers. */
	size_t size;                 /* How much. */
	char figure[64];             /* The name of the figure. */
};

static void containerd_close(void *context)
{
	struct containerd *node = context;

	if (node->fd >= 0)
		close(node->fd);
	server_end(&node->server);
	free(node->ops);
	free(node);
}

/* Connect to the server. */
static int containerd_connect(struct containerd *node)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", node->server.directory);
	node->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (node->fd < 0 || connect(node->fd, (void *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static int containerd_open(const struct bench_env *env, void **ret_context, char *error,
			   size_t size)
{
	struct containerd *node = calloc(1, sizeof(*node));
	const char *server = env->text(env, "server");
	int r;

	if (!node)
		return -ENOMEM;
	node->env = env;
	node->server = (struct server){ .env = env, .error = error, .error_size = size };
	node->fd = -EBADF;
	node->ops = calloc(env->depth, sizeof(struct bench_op *));
	r = node->ops ? server_begin(&node->server) : -ENOMEM;
	if (r == 0 && (!server || env->option(env, "batch") > 1)) {
		snprintf(error, size, "needs server=, and no batch");
		r = -EINVAL;
	}
	if (r == 0)
		r = server_start(&node->server, server);
	if (r == 0)
		r = containerd_connect(node);
	if (r < 0)
		containerd_close(node);
	else
		*ret_context = node;
	return r;
}

/* Send LINE. Returns 0 or -errno. */
static int containerd_send(struct containerd *node, const char *line)
{
	size_t size = strlen(line);

	return send(node->fd, line, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -EPIPE;
}

static int containerd_queue(void *context, struct bench_op *op)
{
	struct containerd *node = context;
	char line[LINE_SIZE];
	uint32_t number = 0;
	int r;

	while (node->ops[number])
		number++;
	snprintf(line, sizeof(line), "%u %s %.255s\n", number, engine_kind_name(op->kind),
		 op->ids[0]);
	r = containerd_send(node, line);
	if (r < 0)
		return r;
	node->ops[number] = op;
	return BENCH_QUEUED;
}

/* Take the LINE of an answer. Returns 0 or -EPROTO. */
static int containerd_answer(struct containerd *node, const char *line)
{
	struct bench_op *op;
	unsigned number;
	int length;

	if (sscanf(line, "%u %n", &number, &length) != 1 || number >= node->env->depth ||
	    !node->ops[number])
		return -EPROTO;
	op = node->ops[number];
	node->ops[number] = NULL;
	op->error = strcmp(line + length, "ok") ? -EREMOTEIO : 0;
	if (op->error)
		node->env->explain(node->env->thread, line + length);
	node->completed++;
	node->env->complete(node->env->thread, op);
	return 0;
}

/* Read what has come. Returns 0 or -errno. */
static int containerd_read(struct containerd *node)
{
	ssize_t n = recv(node->fd, node->line + node->size, LINE_SIZE - 1 - node->size, 0);

	if (n <= 0)
		return n == 0 ? -EPIPE : -errno;
	node->size += (size_t)n;
	node->line[node->size] = '\0';
	return 0;
}

static int containerd_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct containerd *node = context;
	struct pollfd pollfd = { .fd = node->fd, .events = POLLIN };
	uint64_t end = timeout_ns == UINT64_MAX ? 0 : clock_ns() + timeout_ns;
	int r = 0;

	node->completed = 0;
	while (r == 0 && node->completed < min) {
		uint64_t now = end ? clock_ns() : 0;
		char *stop;

		if (end && now >= end)
			break;
		if (poll(&pollfd, 1, end ? (int)NS_PER_MS_ROUND(end - now) : -1) < 0)
			return errno == EINTR ? 0 : -errno;
		if (pollfd.revents)
			r = containerd_read(node);
		while (r == 0 && (stop = memchr(node->line, '\n', node->size))) {
			*stop = '\0';
			r = containerd_answer(node, node->line);
			node->size -= (size_t)(stop + 1 - node->line);
			memmove(node->line, stop + 1, node->size);
		}
	}
	return r;
}

static bool containerd_figure(void *context, unsigned index, struct bench_figure *ret)
{
	struct containerd *node = context;
	double value;

	node->size = 0;
	if (index > 0 || containerd_send(node, "figures\n") < 0)
		return false;
	do {
		if (containerd_read(node) < 0)
			return false;
	} while (!strchr(node->line, '\n'));
	if (sscanf(node->line, "%63s %lf", node->figure, &value) != 2)
		return false;
	*ret = (struct bench_figure){ node->figure, value, true };
	return true;
}

const struct bench_engine engine_containerd = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_APPLY),
	.name = "containerd",
	.description = "a node of containerd: images imported (apply), pods started (create)",
	.open = containerd_open,
	.queue = containerd_queue,
	.wait = containerd_wait,
	.figure = containerd_figure,
	.close = containerd_close,
};
