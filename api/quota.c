/* SPDX-License-Identifier: Apache-2.0 */
/* Quota: arguments checked, then handed to the engine. */
#include "api/check.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

/* Check what every request about quota has, and submit it. */
static int quota_request(struct varve_store *store, const struct quota_arguments *arguments,
			 varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_request(store, VARVE_QUOTA, callback);

	if (!r && arguments->action == QUOTA_DO_LIMIT && !arguments->group)
		r = check_id(store, VARVE_QUOTA, arguments->id);
	if (!r)
		r = check_flags(store, VARVE_QUOTA, arguments->flags, VARVE_QUOTA_WAIT);
	return r ? r
		 : quota_submit(store, arguments,
				&(struct submit){ callback, user_data, ret_request });
}

int varve_quota_status(struct varve_store *store, varve_callback *callback, void *user_data,
		       varve_request *ret_request)
{
	return quota_request(store, &(struct quota_arguments){ .action = QUOTA_DO_STATUS },
			     callback, user_data, ret_request);
}

int varve_quota_enable(struct varve_store *store, enum varve_quota_mode mode,
		       varve_callback *callback, void *user_data, varve_request *ret_request)
{
	const struct quota_arguments arguments = { .action = QUOTA_DO_ENABLE, .mode = mode };
	int r = check_request(store, VARVE_QUOTA, callback);

	if (!r && mode != VARVE_QUOTA_FULL && mode != VARVE_QUOTA_SIMPLE)
		r = request_refuse(&store->core, VARVE_QUOTA, -EINVAL, NULL,
				   "the mode is neither full nor simple");
	return r ? r : quota_request(store, &arguments, callback, user_data, ret_request);
}

int varve_quota_disable(struct varve_store *store, varve_callback *callback, void *user_data,
			varve_request *ret_request)
{
	return quota_request(store, &(struct quota_arguments){ .action = QUOTA_DO_DISABLE },
			     callback, user_data, ret_request);
}

int varve_quota_limit(struct varve_store *store, const char *id, uint64_t bytes,
		      varve_callback *callback, void *user_data, varve_request *ret_request)
{
	const struct quota_arguments arguments = { .action = QUOTA_DO_LIMIT,
						   .id = id,
						   .bytes = bytes };
	int r = check_request(store, VARVE_QUOTA, callback);

	if (!r && bytes && bytes < store->settings.quota.size_min)
		r = request_refuse(&store->core, VARVE_QUOTA, -EINVAL, id,
				   "the size is less than btrfs.min_space");
	if (!r && bytes && store->settings.quota.policy == QUOTA_NEVER)
		r = request_refuse(&store->core, VARVE_QUOTA, -ENOTSUP, id,
				   "a size, and the store was opened with quota=off");
	return r ? r : quota_request(store, &arguments, callback, user_data, ret_request);
}

int varve_quota_limit_group(struct varve_store *store, const char *name, uint64_t bytes,
			    varve_callback *callback, void *user_data, varve_request *ret_request)
{
	const struct quota_arguments arguments = { .action = QUOTA_DO_LIMIT,
						   .group = name,
						   .bytes = bytes };
	int r = check_request(store, VARVE_QUOTA, callback);

	/* The name is one that an id could be. */
	if (!r)
		r = check_id(store, VARVE_QUOTA, name);
	return r ? r : quota_request(store, &arguments, callback, user_data, ret_request);
}

int varve_quota_rescan(struct varve_store *store, uint64_t flags, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	const struct quota_arguments arguments = { .action = QUOTA_DO_RESCAN, .flags = flags };

	return quota_request(store, &arguments, callback, user_data, ret_request);
}

int varve_quota_gc(struct varve_store *store, varve_callback *callback, void *user_data,
		   varve_request *ret_request)
{
	return quota_request(store, &(struct quota_arguments){ .action = QUOTA_DO_GC }, callback,
			     user_data, ret_request);
}
