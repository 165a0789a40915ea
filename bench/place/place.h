/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place on btrfs where a run works: a directory of its own with a store's home in it, and what
 * the kernel reports of the file system around it.
 *
 *	DIRECTORY/varve-bench.XXXXXX/home/subvolumes/	the layers of all engines
 *	DIRECTORY/varve-bench.XXXXXX/staging/		layers being prepared
 *	DIRECTORY/varve-bench.XXXXXX/fixtures/		parent layers; in a pool: POOL/fixtures, which stay
 */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "place/safety.h"

#define PLACE_ERROR_SIZE 512
#define PLACE_STAGING_MAX 32

/* Quota of a file system, as the key quota= counts it. */
enum place_quota { PLACE_QUOTA_OFF, PLACE_QUOTA_FULL, PLACE_QUOTA_SIMPLE };

/* Where a run works. */
struct place {
	/* The run's own directory. */
	struct safety_root root;
	/* A store's home. */
	char home[PATH_MAX];
	/* HOME/subvolumes. */
	char subvolumes[PATH_MAX];
	/* The same, open. */
	int subvolumes_fd;
	/* The staging directory, open. */
	int staging_fd;
	/* Where parent layers lie. */
	char fixtures[PATH_MAX];
	/* The same, open. */
	int fixtures_fd;
	/* The file that counts the commits; "" when the kernel has none. */
	char stats[128];
};

/*
 * Make a place in DIRECTORY, which must be on btrfs. FIXTURES: the directory for parent layers,
 * made when missing and kept; NULL: one that goes with the place. Returns 0 or -errno with an
 * explanation in ERROR (PLACE_ERROR_SIZE bytes).
 */
int place_make(struct place *place, const char *directory, const char *fixtures, char *error);

/* Close all descriptors of PLACE, so that its file system can be unmounted. */
void place_leave(struct place *place);

/*
 * Open them again, on the same file system mounted at the same path; FIXTURES as in place_make().
 * Returns 0 or -errno.
 */
int place_return(struct place *place, const char *fixtures);

/* Remove the place with all that is in it. Returns the first failure, or 0. */
int place_remove(struct place *place);

/*
 * Make COUNT layers PREFIX0, PREFIX1, ... from FROM, a subvolume's descriptor, many at a time.
 * Returns 0 or -errno.
 */
int place_layers_make(const struct place *place, const char *prefix, uint64_t count, int from);

/* Write BYTES to the start of a file in the layer NAME, made when missing. Returns 0 or -errno. */
int place_layer_fill(const struct place *place, const char *name, uint64_t bytes);

/* Remove all layers. */
int place_layers_remove(const struct place *place);

/*
 * Turn quota on or off, for the whole file system; for images of the bench only. Returns 0 or
 * -errno.
 */
int place_set_quota(const struct place *place, enum place_quota quota);

/* Commit the file system and wake its cleaner. */
int place_sync(const struct place *place);

/* Count the removed subvolumes that the cleaner has not dropped yet. */
int place_backlog(const struct place *place, uint64_t *ret);

/*
 * Wait until there are none, *STOP is set, or two minutes are over. *RET_NS is how long it took;
 * *RET_DONE: there are none.
 */
int place_drain(const struct place *place, const volatile int *stop, uint64_t *ret_ns,
		bool *ret_done);

/*
 * Return how many transactions the file system has committed since it was mounted. Returns -ENOTSUP
 * when it does not say.
 */
int place_commits(const struct place *place, uint64_t *ret);

#endif
