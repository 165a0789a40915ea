/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h: the service containerd.services.snapshots.v1 on a store of varve.
 *
 * A snapshot is a layer, "s" and a number, with a record (record.proto): its key, kind, parent and
 * labels. All records are read at the start and kept in memory. What only looks (Stat, List,
 * Mounts) is answered from there at once. What changes a snapshot is one or more requests to the
 * store, whose callbacks go on; the record on disk changes first, then the index, then the answer
 * goes out. So the index is never ahead of the disk.
 */
#ifndef VARVE_SERVE_SERVICE_H
#define VARVE_SERVE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include <varve.h>

#include "grpc.h"

struct snapshots;

/* How to serve snapshots. Zeros stand for the defaults. */
struct snapshots_options {
	/* The home of the store, as varve_open() has it. */
	const char *home;
	/* Commit answers before the data and the record are on disk. */
	bool commit_relaxed;
	/* Usage of an active snapshot counts what is not written to disk yet: it flushes first. */
	bool usage_exact;
	/* Take a line about what was found at the start. NULL: it goes to standard error. */
	void (*say)(void *say_data, const char *line);
	/* Passed to say(). */
	void *say_data;
};

/* The methods; their service is a struct snapshots. */
extern const struct grpc_method snapshots_methods[];

/*
 * Read the snapshots of STORE, whose callbacks run meanwhile: *RET_SNAPSHOTS. 0 or -errno, and
 * *RET_FAILURE has the reason.
 */
int snapshots_open(struct varve_store *store, const struct snapshots_options *options,
		   struct snapshots **ret_snapshots, struct varve_failure *ret_failure);

/* Is a call under way? */
bool snapshots_busy(const struct snapshots *snapshots);

/* The number of snapshots. */
size_t snapshots_count(const struct snapshots *snapshots);

/* Free SNAPSHOTS (NULL: do nothing), when the store is closed and all calls have ended. */
void snapshots_close(struct snapshots *snapshots);

#endif
