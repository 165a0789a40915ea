/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store and closing it. */
#include "api/options_size.h"
#include "engine/core/dispatch.h"
#include "engine/store/open.h"
#include "engine/store/options.h"
#include "engine/walk/workers.h"

#include <string.h>
#include <unistd.h>

#define STORE_HOME_DEFAULT "/var/lib/varve"
#define STORE_FLAGS                                                                \
	(VARVE_OPEN_NO_URING | VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP |          \
	 VARVE_OPEN_PRIVATE_MOUNT | VARVE_OPEN_EXISTING | VARVE_OPEN_SHARED_HOME | \
	 VARVE_OPEN_SPARES)

/* Refuse to open, for REASON. */
static int store_refuse(struct varve_failure *failure, int error, const char *reason)
{
	failure_set(failure, error, "open", "CHECK", NULL, NULL);
	failure_detail(failure, "%s", reason);
	return error;
}

/* Set *VALUE to DEFAULT where it is 0, and check that it is in its range. */
static int store_number(uint32_t *value, uint32_t value_default, uint32_t min, uint32_t max,
			const char *name, struct varve_failure *failure)
{
	if (!*value)
		*value = value_default;
	if (*value >= min && *value <= max)
		return 0;
	store_refuse(failure, -EINVAL, "");
	failure_detail(failure, "%s is not in %u..%u", name, min, max);
	return -EINVAL;
}

/* Fill in the defaults of CONFIG and check its numbers. */
static int store_defaults(struct varve_config *config, struct varve_failure *failure)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	if (!config->home || !*config->home)
		config->home = STORE_HOME_DEFAULT;
	if (strlen(config->home) > HOME_PATH_MAX)
		return store_refuse(failure, -ENAMETOOLONG, "the home's path is too long");
	if (config->flags & ~STORE_FLAGS)
		return store_refuse(failure, -EINVAL, "unknown flag");
	r = store_number(&config->requests_max, REQUESTS_DEFAULT, 1, VARVE_REQUESTS_MAX,
			 "requests_max", failure);
	if (!r)
		r = store_number(&config->ring_entries, RING_ENTRIES_DEFAULT, RING_ENTRIES_MIN,
				 RING_ENTRIES_MAX, "ring_entries", failure);
	if (!r)
		r = store_number(&config->fs_threads_max,
				 (uint32_t)MAX(1, MIN(cpus, FS_THREADS_MAX)), 1, FS_THREADS_MAX,
				 "fs_threads_max", failure);
	if (!r)
		r = store_number(&config->commit_threads_max,
				 config->flags & VARVE_OPEN_SPARES ? COMMIT_THREADS_SPARES
								   : COMMIT_THREADS_DEFAULT,
				 1, COMMIT_THREADS_MAX, "commit_threads_max", failure);
	if (!r)
		r = store_number(&config->backlog_max, BACKLOG_DEFAULT, 1, BACKLOG_LIMIT,
				 "backlog_max", failure);
	return r;
}

/*
 * What to trace: as configured, else as the environment says. A wrong word in the environment
 * traces nothing.
 */
static int store_debug(const struct varve_config *config, unsigned *ret_mask,
		       struct varve_failure *failure)
{
	const char *list = config->debug ? config->debug : secure_getenv("VARVE_DEBUG");
	int r = list ? trace_parse(list, ret_mask) : 0;

	return r && config->debug
		       ? store_refuse(failure, r, "debug is a list of op, ring, lane, btrfs, all")
		       : 0;
}

int varve_open(const struct varve_config *config, struct varve_store **ret_store,
	       struct varve_failure *ret_failure)
{
	struct varve_failure local, *failure = ret_failure ? ret_failure : &local;
	struct varve_config full;
	struct varve_store *store;
	struct quota_settings quota;
	unsigned debug = 0;
	int r;

	if (!config || !ret_store)
		return store_refuse(failure, -EINVAL, "no configuration");
	r = options_copy(&full, sizeof(full), config);
	if (r)
		return store_refuse(
			failure, r,
			r == -E2BIG
				? "a member of the configuration that this version does not know is not 0"
				: "a configuration without a size");
	r = store_defaults(&full, failure);
	if (!r)
		r = store_debug(&full, &debug, failure);
	if (!r)
		r = options_parse_store(full.options, &quota, failure);
	if (!r)
		r = open_store(&full, &quota, debug, &store, failure);
	if (r)
		return r;
	r = workers_init(store);
	if (r) {
		dispatch_close(&store->core);
		failure_set(failure, r, "open", "WORKERS", "malloc", NULL);
		return r;
	}
	/* A failed sweep does not fail the open; varve_sweep() reports the failure. */
	if (!(full.flags & VARVE_OPEN_NO_SWEEP))
		varve_sweep_wait(store, NULL, NULL);
	store->opened = true;
	*ret_store = store;
	return 0;
}

int varve_close(struct varve_store *store)
{
	return store ? dispatch_close(&store->core) : 0;
}
