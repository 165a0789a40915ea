/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "engine/core/request.h"
#include "engine/core/store.h"

int check_request(struct varve_store *store, enum varve_operation operation, varve_callback *callback)
{
	if (!store)
		return -EINVAL;
	if (!store_here(store))
		return -ECHILD;
	return callback ? 0 : request_refuse(store, operation, -EINVAL, NULL, "no callback");
}

int check_id(struct varve_store *store, enum varve_operation operation, const char *id)
{
	struct varve_failure failure;
	int r = varve_id_check(id, &failure);

	return r ? request_refuse(store, operation, r, id, failure.detail) : 0;
}

int check_ids(struct varve_store *store, enum varve_operation operation, const char *const *ids, size_t count)
{
	if (!ids || !count || count > VARVE_BATCH_MAX)
		return request_refuse(store, operation, -EINVAL, NULL, "a batch has 1 to 65536 ids");
	for (size_t i = 0; i < count; i++) {
		int r = check_id(store, operation, ids[i]);

		if (r)
			return r;
	}
	return 0;
}

int check_flags(struct varve_store *store, enum varve_operation operation, uint32_t flags, uint32_t known)
{
	const uint32_t both = VARVE_DURABLE | VARVE_RELAXED;

	if (flags & ~known)
		return request_refuse(store, operation, -EINVAL, NULL, "unknown flag");
	if ((known & both) == both && (flags & both) == both)
		return request_refuse(store, operation, -EINVAL, NULL, "durable and relaxed at once");
	return 0;
}
