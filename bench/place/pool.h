/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image file that runs work in (--pool): made when it is missing, mounted during the run, and
 * kept.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* A mounted pool. */
struct pool {
	/* Whether it is mounted. */
	bool mounted;
	/* The image. */
	char file[PATH_MAX];
	/* Its mount point, a directory made for it. */
	char mount[PATH_MAX];
	/* The directory in it where parent layers stay from run to run. */
	char fixtures[PATH_MAX];
};

/*
 * Mount the pool that TEXT ("FILE,SIZE") names. Returns 0 or -errno with an explanation in ERROR
 * (SIZE bytes).
 */
int pool_open(struct pool *pool, const char *text, char *error, size_t size);

/*
 * Unmount POOL and mount it again, so that nothing of it is cached. PLAIN: without the mount
 * options that a pool has, as a file system that another program mounts. Returns 0 or -errno with
 * an explanation in ERROR (SIZE bytes).
 */
int pool_remount(struct pool *pool, bool plain, char *error, size_t size);

/*
 * Unmount POOL and remove its mount point. BUSY: it may be in use; it is then unmounted when this
 * process ends. Returns 0 or -errno with an explanation in ERROR (SIZE bytes).
 */
int pool_close(struct pool *pool, bool busy, char *error, size_t size);

#endif
