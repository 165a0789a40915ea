/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of a store, and what it counts. */
#include "api/check.h"
#include "api/options_size.h"
#include "engine/core/dispatch.h"
#include "engine/base/histogram.h"
#include "engine/core/handle.h"
#include "engine/core/progress.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <string.h>

int varve_fd(const struct varve_store *store)
{
	return store ? store->core.ready_fd : -EINVAL;
}

int varve_dispatch(struct varve_store *store, unsigned max)
{
	return store ? dispatch_events(&store->core, max) : -EINVAL;
}

int varve_wait(struct varve_store *store, int timeout_ms)
{
	return store ? dispatch_wait(&store->core, timeout_ms) : -EINVAL;
}

int varve_wait_for(struct varve_store *store, varve_request request, int timeout_ms)
{
	return store ? dispatch_wait_for(&store->core, request, timeout_ms) : -EINVAL;
}

int varve_pending(struct varve_store *store)
{
	return store ? dispatch_pending(&store->core) : -EINVAL;
}

int varve_cancel(struct varve_store *store, varve_request request)
{
	return store ? handle_cancel(&store->core, request) : -EINVAL;
}

int varve_stream_write(struct varve_store *store, varve_request request, const void *bytes,
		       size_t size, size_t *ret_taken)
{
	if (!store || (!bytes && size) || !ret_taken)
		return -EINVAL;
	return dispatch_stream_write(&store->core, request, bytes, size, ret_taken);
}

int varve_stream_end(struct varve_store *store, varve_request request, int error)
{
	return store ? dispatch_stream_end(&store->core, request, error, NULL) : -EINVAL;
}

int varve_stream_fail(struct varve_store *store, varve_request request, int error,
		      const char *detail)
{
	return store && error < 0 ? dispatch_stream_end(&store->core, request, error, detail)
				  : -EINVAL;
}

int varve_stream_resume(struct varve_store *store, varve_request request)
{
	return store ? dispatch_stream_resume(&store->core, request) : -EINVAL;
}

int varve_progress(struct varve_store *store, varve_request request,
		   struct varve_progress *ret_progress)
{
	struct varve_progress ours;
	int r = store && ret_progress ? output_check(ret_progress) : -EINVAL;

	if (!r)
		r = progress_get(&store->core, request, &ours);
	if (!r)
		output_copy(ret_progress, &ours, sizeof(ours));
	return r;
}

int varve_progress_watch(struct varve_store *store, varve_request request,
			 varve_progress_callback *callback, void *user_data)
{
	return store ? progress_watch(&store->core, request, callback, user_data) : -EINVAL;
}

int varve_refusal(struct varve_store *store, struct varve_failure *ret_failure)
{
	if (!store || !ret_failure)
		return -EINVAL;
	return core_here(&store->core) ? request_refusal(&store->core, ret_failure) : -ECHILD;
}

int varve_noop(struct varve_store *store, varve_callback *callback, void *user_data,
	       varve_request *ret_request)
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
	return r ? r
		 : sync_submit(store, flags, &(struct submit){ callback, user_data, ret_request });
}

int varve_sweep(struct varve_store *store, varve_callback *callback, void *user_data,
		varve_request *ret_request)
{
	int r = check_request(store, VARVE_SWEEP, callback);

	return r ? r : sweep_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_check(struct varve_store *store, varve_callback *callback, void *user_data,
		varve_request *ret_request)
{
	int r = check_request(store, VARVE_CHECK, callback);

	return r ? r : check_submit(store, &(struct submit){ callback, user_data, ret_request });
}

int varve_status(struct varve_store *store, varve_callback *callback, void *user_data,
		 varve_request *ret_request)
{
	int r = check_request(store, VARVE_STATUS, callback);

	return r ? r : status_submit(store, &(struct submit){ callback, user_data, ret_request });
}

uint64_t varve_histogram_percentile(const struct varve_histogram *histogram, double percent)
{
	return histogram_percentile(histogram, percent);
}

int varve_statistics(struct varve_store *store, struct varve_statistics *ret_statistics)
{
	struct varve_statistics ours;
	int r = store && ret_statistics ? output_check(ret_statistics) : -EINVAL;

	if (r)
		return r;
	if (!core_here(&store->core))
		return -ECHILD;
	pthread_mutex_lock(&store->core.lock);
	pthread_mutex_lock(&store->core.counting);
	ours = store->core.statistics;
	pthread_mutex_unlock(&store->core.counting);
	ours.quota_turned_on = store->quota_turned_on;
	ours.requests = store->core.requests;
	ours.requests_peak = store->core.requests_peak;
	pthread_mutex_unlock(&store->core.lock);
	ours.fs_threads_peak = lane_threads_peak(&store->core.io.lanes[LANE_FS]);
	ours.commit_threads_peak = lane_threads_peak(&store->core.io.lanes[LANE_COMMIT]);
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
	int r = store && ret_statistics && operation_name(operation) ? output_check(ret_statistics)
								     : -EINVAL;

	if (r)
		return r;
	if (!core_here(&store->core))
		return -ECHILD;
	pthread_mutex_lock(&store->core.lock);
	pthread_mutex_lock(&store->core.counting);
	ours = store->core.operations[operation];
	pthread_mutex_unlock(&store->core.counting);
	ours.submitted = store->core.submissions[operation].accepted;
	ours.refused = store->core.submissions[operation].refused;
	pthread_mutex_unlock(&store->core.lock);
	output_copy(ret_statistics, &ours, sizeof(ours));
	return 0;
}
