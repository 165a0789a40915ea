/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libbtrfsutil, by path and one at a time on each thread: the calls of a program that writes no
 * ioctls itself.
 */
#include <btrfsutil.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines.h"

static int util_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	*ret_context = (void *)env;
	return 0;
}

/* Turn E into 0 or -errno. */
static int util_error(enum btrfs_util_error e)
{
	return e == BTRFS_UTIL_OK ? 0 : errno ? -errno : -EIO;
}

/* Do KIND to layer ID. */
static int util_one(const struct bench_env *env, enum bench_kind kind, const char *id,
		    const char *parent)
{
	struct btrfs_util_subvolume_info info;
	char path[PATH_MAX], from[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", env->subvolumes, id) >= PATH_MAX)
		return -ENAMETOOLONG;
	switch (kind) {
	case BENCH_CREATE:
		return util_error(btrfs_util_create_subvolume(path, 0, NULL, NULL));
	case BENCH_SNAPSHOT:
		if (snprintf(from, sizeof(from), "%s/%s", env->subvolumes, parent) >= PATH_MAX)
			return -ENAMETOOLONG;
		return util_error(btrfs_util_create_snapshot(from, path, 0, NULL, NULL));
	case BENCH_REMOVE:
		return util_error(
			btrfs_util_delete_subvolume(path, BTRFS_UTIL_DELETE_SUBVOLUME_RECURSIVE));
	case BENCH_GET:
		return util_error(btrfs_util_subvolume_info(path, 0, &info));
	default:
		return -EOPNOTSUPP;
	}
}

static int util_queue(void *context, struct bench_op *op)
{
	const struct bench_env *env = context;

	for (uint32_t i = 0; op->kind != BENCH_NOOP && i < op->count; i++) {
		int r = util_one(env, op->kind, op->ids[i], op->parent);

		if (r < 0 && !op->error)
			op->error = r;
	}
	if ((env->flags & BENCH_DURABLE) && !op->error && op->kind == BENCH_REMOVE)
		op->error = util_error(btrfs_util_sync(env->subvolumes));
	return BENCH_DONE;
}

static void util_close(void *context)
{
}

const struct bench_engine engine_libbtrfsutil = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP) | BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) |
		 BENCH_BIT(BENCH_REMOVE) | BENCH_BIT(BENCH_GET),
	.name = "libbtrfsutil",
	.description = "libbtrfsutil by path, one at a time on each thread",
	.open = util_open,
	.queue = util_queue,
	.close = util_close,
};
