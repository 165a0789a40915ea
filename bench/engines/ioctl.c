/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare ioctl: one system call for each layer, on directories that are already open. No program
 * can do less, so varve is measured against it. Synchronous; several at a time take as many threads
 * (numjobs).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/btrfs.h>
#include <pthread.h>
#include <unistd.h>

#include "engines.h"

#define PARENT_SIZE 256

/* A context. */
struct bare {
	const struct bench_env *env; /* What the harness said. */
	int fd;                      /* The directory of the layers. */
	int parent_fd;               /* The parent that was used last. */
	char parent[PARENT_SIZE];    /* Its name. */
};

static int bare_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	struct bare *bare = calloc(1, sizeof(*bare));

	if (!bare)
		return -ENOMEM;
	bare->env = env;
	bare->parent_fd = -EBADF;
	bare->fd = open(env->subvolumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bare->fd < 0) {
		int r = -errno;

		snprintf(error, size, "%s: %s", env->subvolumes, strerror(-r));
		free(bare);
		return r;
	}
	*ret_context = bare;
	return 0;
}

/* Make NAME from PARENT, which stays open for the next one. */
static int bare_snapshot(struct bare *bare, const char *name, const char *parent)
{
	if (bare->parent_fd < 0 || strcmp(bare->parent, parent)) {
		if (bare->parent_fd >= 0)
			close(bare->parent_fd);
		bare->parent_fd = openat(bare->fd, parent,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (bare->parent_fd < 0)
			return -errno;
		snprintf(bare->parent, sizeof(bare->parent), "%s", parent);
	}
	return layer_snapshot(bare->fd, name, bare->parent_fd);
}

/* Do KIND to NAME. */
static int bare_one(struct bare *bare, enum bench_kind kind, const char *name, const char *parent)
{
	struct stat st;

	switch (kind) {
	case BENCH_CREATE:
		return layer_create(bare->fd, name);
	case BENCH_SNAPSHOT:
		return bare_snapshot(bare, name, parent);
	case BENCH_REMOVE:
		return layer_destroy(bare->fd, name);
	case BENCH_GET:
		return fstatat(bare->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* Flush the file system of the directory whose descriptor ARGUMENT points to: 0 or -errno. */
static void *flush_thread(void *argument)
{
	intptr_t r = ioctl(*(int *)argument, BTRFS_IOC_SYNC) < 0 ? -errno : 0;

	return (void *)r;
}

/* Flush for COUNT layers at once: each by a call of its own, on a thread. Returns 0 or -errno. */
static int bare_flush(struct bare *bare, uint32_t count)
{
	pthread_t *threads = calloc(count, sizeof(*threads));
	uint32_t started = 0;
	int r = 0;

	if (!threads)
		return -ENOMEM;
	while (r == 0 && started < count) {
		r = -pthread_create(&threads[started], NULL, flush_thread, &bare->fd);
		started += r == 0;
	}
	for (uint32_t i = 0; i < started; i++) {
		void *result;

		pthread_join(threads[i], &result);
		r = r ? r : (int)(intptr_t)result;
	}
	free(threads);
	return r;
}

static int bare_queue(void *context, struct bench_op *op)
{
	struct bare *bare = context;
	/*
	 * A snapshot is durable when its ioctl returns: it has committed. The other kinds become
	 * durable with the next commit.
	 */
	bool commit = (bare->env->flags & BENCH_DURABLE) &&
		      (op->kind == BENCH_CREATE || op->kind == BENCH_REMOVE);

	if (op->kind == BENCH_NOOP)
		return BENCH_DONE;
	if (op->kind == BENCH_FLUSH) {
		op->error = bare_flush(bare, op->count);
		return BENCH_DONE;
	}
	for (uint32_t i = 0; i < op->count; i++) {
		int r = bare_one(bare, op->kind, op->ids[i], op->parent);

		if (r < 0 && !op->error)
			op->error = r;
	}
	if (commit && !op->error)
		op->error = layer_commit(bare->fd);
	return BENCH_DONE;
}

static void bare_close(void *context)
{
	struct bare *bare = context;

	if (bare->parent_fd >= 0)
		close(bare->parent_fd);
	close(bare->fd);
	free(bare);
}

const struct bench_engine engine_ioctl = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP) | BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) |
		 BENCH_BIT(BENCH_REMOVE) | BENCH_BIT(BENCH_GET) | BENCH_BIT(BENCH_FLUSH),
	.name = "ioctl",
	.description = "the bare ioctls on open directories, one at a time on each thread",
	.open = bare_open,
	.queue = bare_queue,
	.close = bare_close,
};
