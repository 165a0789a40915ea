/* SPDX-License-Identifier: Apache-2.0 */
/* The store and its event loop. */
#include "api/check.h"
#include "api/options_size.h"
#include "engine/core/dispatch.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <string.h>

#define STORE_HOME_DEFAULT "/var/lib/varve"
#define STORE_FLAGS                                                                                    \
	(VARVE_OPEN_NO_URING | VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP | VARVE_OPEN_PRIVATE_MOUNT | \
	 VARVE_OPEN_EXISTING | VARVE_OPEN_SHARED_HOME)

const char *varve_version(void)
{
	return VARVE_VERSION;
}

/* Refuse to open, for REASON. */
static int store_refuse(struct varve_failure *failure, int error, const char *reason)
{
	failure_set(failure, error, "open", "CHECK", NULL, NULL);
	failure_detail(failure, "%s", reason);
	return error;
}

/* Set *VALUE to DEFAULT where it is 0, and check that it is in its range. */
static int store_number(uint32_t *value, uint32_t value_default, uint32_t min, uint32_t max, const char *name,
			struct varve_failure *failure)
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
	r = store_number(&config->requests_max, REQUESTS_DEFAULT, 1, VARVE_REQUESTS_MAX, "requests_max", failure);
	if (!r)
		r = store_number(&config->ring_entries, RING_ENTRIES_DEFAULT, RING_ENTRIES_MIN, RING_ENTRIES_MAX,
				 "ring_entries", failure);
	if (!r)
		r = store_number(&config->fs_threads_max, (uint32_t)MAX(1, MIN(cpus, FS_THREADS_MAX)), 1, FS_THREADS_MAX,
				 "fs_threads_max", failure);
	if (!r)
		r = store_number(&config->commit_threads_max, COMMIT_THREADS_DEFAULT, 1, COMMIT_THREADS_MAX,
				 "commit_threads_max", failure);
	if (!r)
		r = store_number(&config->backlog_max, BACKLOG_DEFAULT, 1, BACKLOG_LIMIT, "backlog_max", failure);
	return r;
}

/* What to trace: as configured, else as the environment says. A wrong word in the environment traces nothing. */
static int store_debug(const struct varve_config *config, unsigned *ret_mask, struct varve_failure *failure)
{
	const char *list = config->debug ? config->debug : secure_getenv("VARVE_DEBUG");
	int r = list ? trace_parse(list, ret_mask) : 0;

	return r && config->debug ? store_refuse(failure, r, "debug is a list of op, ring, lane, btrfs, all") : 0;
}

int varve_open(const struct varve_config *config, struct varve_store **ret_store, struct varve_failure *ret_failure)
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
		return store_refuse(failure, r,
				    r == -E2BIG ? "a configuration of a later version asks for what this one does not know" :
						  "a configuration without a size");
	r = store_defaults(&full, failure);
	if (!r)
		r = store_debug(&full, &debug, failure);
	if (!r)
		r = options_parse_store(full.options, &quota, failure);
	if (!r)
		r = open_store(&full, &quota, debug, &store, failure);
	if (r)
		return r;
	/* What could not be swept does not keep anyone from working; varve_sweep() tells it again. */
	if (!(full.flags & VARVE_OPEN_NO_SWEEP))
		varve_sweep_wait(store, NULL, NULL);
	store->opened = true;
	*ret_store = store;
	return 0;
}

int varve_close(struct varve_store *store)
{
	return store ? ready_close(store) : 0;
}

int varve_fd(const struct varve_store *store)
{
	return store ? store->ready_fd : -EINVAL;
}

int varve_dispatch(struct varve_store *store, unsigned max)
{
	return store ? ready_dispatch(store, max) : -EINVAL;
}

int varve_wait(struct varve_store *store, int timeout_ms)
{
	return store ? ready_wait(store, timeout_ms) : -EINVAL;
}

int varve_wait_for(struct varve_store *store, varve_request request, int timeout_ms)
{
	return store ? ready_wait_for(store, request, timeout_ms) : -EINVAL;
}

int varve_pending(struct varve_store *store)
{
	return store ? ready_pending(store) : -EINVAL;
}

int varve_cancel(struct varve_store *store, varve_request request)
{
	return store ? ready_cancel(store, request) : -EINVAL;
}

int varve_stream_write(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		       size_t *ret_taken)
{
	if (!store || (!bytes && size) || !ret_taken)
		return -EINVAL;
	return ready_stream_write(store, request, bytes, size, ret_taken);
}

int varve_stream_end(struct varve_store *store, varve_request request, int error)
{
	return store ? ready_stream_end(store, request, error, NULL) : -EINVAL;
}

int varve_stream_fail(struct varve_store *store, varve_request request, int error, const char *detail)
{
	return store && error < 0 ? ready_stream_end(store, request, error, detail) : -EINVAL;
}

int varve_stream_resume(struct varve_store *store, varve_request request)
{
	return store ? ready_stream_resume(store, request) : -EINVAL;
}

int varve_progress(struct varve_store *store, varve_request request, struct varve_progress *ret_progress)
{
	struct varve_progress ours;
	int r = store && ret_progress ? output_check(ret_progress) : -EINVAL;

	if (!r)
		r = ready_progress(store, request, &ours);
	if (!r)
		output_copy(ret_progress, &ours, sizeof(ours));
	return r;
}

int varve_progress_watch(struct varve_store *store, varve_request request, varve_progress_callback *callback,
			 void *user_data)
{
	return store ? ready_watch(store, request, callback, user_data) : -EINVAL;
}

int varve_refusal(struct varve_store *store, struct varve_failure *ret_failure)
{
	if (!store || !ret_failure)
		return -EINVAL;
	return store_here(store) ? request_refusal(store, ret_failure) : -ECHILD;
}

int varve_noop(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_request(store, VARVE_NOOP, callback);

	return r ? r : noop_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_sync(struct varve_store *store, uint64_t flags, varve_callback *callback, void *user_data,
	       varve_request *ret_request)
{
	int r = check_request(store, VARVE_SYNC, callback);

	if (!r)
		r = check_flags(store, VARVE_SYNC, flags, VARVE_SYNC_CLEAN);
	return r ? r : sync_submit(store, flags, &(struct submit){ callback, user_data, ret_request });
}

int varve_sweep(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_request(store, VARVE_SWEEP, callback);

	return r ? r : sweep_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_check(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_request(store, VARVE_CHECK, callback);

	return r ? r : check_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_status(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_request(store, VARVE_STATUS, callback);

	return r ? r : status_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_statistics(struct varve_store *store, struct varve_statistics *ret_statistics)
{
	struct varve_statistics ours;
	int r = store && ret_statistics ? output_check(ret_statistics) : -EINVAL;

	if (r)
		return r;
	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	pthread_mutex_lock(&store->counting);
	ours = store->statistics;
	pthread_mutex_unlock(&store->counting);
	ours.requests = store->requests;
	pthread_mutex_unlock(&store->lock);
	ours.fs_threads_peak = lane_threads_peak(&store->io.lanes[LANE_FS]);
	ours.commit_threads_peak = lane_threads_peak(&store->io.lanes[LANE_COMMIT]);
	output_copy(ret_statistics, &ours, sizeof(ours));
	return 0;
}

const char *varve_operation_name(enum varve_operation operation)
{
	return operation_name(operation);
}

int varve_operation_statistics(struct varve_store *store, enum varve_operation operation,
			       struct varve_operation_statistics *ret_statistics)
{
	struct varve_operation_statistics ours;
	int r = store && ret_statistics && operation_name(operation) ? output_check(ret_statistics) : -EINVAL;

	if (r)
		return r;
	if (!store_here(store))
		return -ECHILD;
	pthread_mutex_lock(&store->lock);
	pthread_mutex_lock(&store->counting);
	ours = store->operations[operation];
	pthread_mutex_unlock(&store->counting);
	pthread_mutex_unlock(&store->lock);
	output_copy(ret_statistics, &ours, sizeof(ours));
	return 0;
}
