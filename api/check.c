/* SPDX-License-Identifier: Apache-2.0 */
#include "api/check.h"
#include "api/options_size.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <string.h>

/* All flags that there are: see VARVE_FLAG(). */
#define CHECK_FLAGS                                                                              \
	(VARVE_DURABLE | VARVE_RELAXED | VARVE_CREATE_READ_ONLY | VARVE_CREATE_NOWAIT |          \
	 VARVE_OVERFLOW_IDS | VARVE_APPLY_SKIP_DEVICES | VARVE_APPLY_IGNORE_OWNERS |             \
	 VARVE_FREEZE_THAW | VARVE_CHANGES_WALK | VARVE_USAGE_WALK | VARVE_USAGE_SEARCH |        \
	 VARVE_RELABEL_SHARED | VARVE_SYNC_CLEAN | VARVE_QUOTA_WAIT | VARVE_OPEN_NO_URING |      \
	 VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP | VARVE_OPEN_PRIVATE_MOUNT |                   \
	 VARVE_OPEN_EXISTING | VARVE_LAYER_READ_ONLY | VARVE_LAYER_QUOTA | VARVE_USAGE_QUOTA |   \
	 VARVE_QUOTA_INCONSISTENT | VARVE_QUOTA_RESCAN_RUNNING | VARVE_QUOTA_COUNTED |           \
	 VARVE_OPEN_SHARED_HOME | VARVE_USAGE_MOUNTS | VARVE_DIGESTS | VARVE_LABEL_ONLY |        \
	 VARVE_LABEL_RECORD | VARVE_LABEL_COMPARE | VARVE_FIND_RECORDS | VARVE_APPLY_WRITEBACK | \
	 VARVE_REMOVE_BACKGROUND)

/* No two have a bit in common. */
static_assert(__builtin_popcountll(CHECK_FLAGS) == 34, "each flag has a bit of its own");

int check_request(struct varve_store *store, enum varve_operation operation,
		  varve_callback *callback)
{
	if (!store)
		return -EINVAL;
	if (!core_here(&store->core))
		return -ECHILD;
	return callback ? 0 : request_refuse(&store->core, operation, -EINVAL, NULL, "no callback");
}

int check_id(struct varve_store *store, enum varve_operation operation, const char *id)
{
	struct varve_failure failure;
	int r = varve_id_check(id, &failure);

	return r ? request_refuse(&store->core, operation, r, id, failure.detail) : 0;
}

int check_layer(struct varve_store *store, enum varve_operation operation, varve_callback *callback,
		const char *id)
{
	int r = check_request(store, operation, callback);

	return r ? r : check_id(store, operation, id);
}

int check_ids(struct varve_store *store, enum varve_operation operation, const char *const *ids,
	      size_t count)
{
	if (!ids || !count || count > VARVE_BATCH_MAX)
		return request_refuse(&store->core, operation, -EINVAL, NULL,
				      "a batch has 1 to 65536 ids");
	for (size_t i = 0; i < count; i++) {
		int r = check_id(store, operation, ids[i]);

		if (r)
			return r;
	}
	return 0;
}

int check_options(struct varve_store *store, enum varve_operation operation, void *ours,
		  size_t size, const void *given)
{
	int r = options_copy(ours, size, given);

	if (r)
		request_refuse(
			&store->core, operation, r, NULL,
			r == -E2BIG
				? "a member of the options that this version does not know is not 0"
				: "options without a size");
	return r;
}

int check_flags(struct varve_store *store, enum varve_operation operation, uint64_t flags,
		uint64_t known)
{
	const uint64_t both = VARVE_DURABLE | VARVE_RELAXED;

	if (flags & ~known)
		return request_refuse(&store->core, operation, -EINVAL, NULL,
				      flags & ~(known | CHECK_FLAGS)
					      ? "unknown flag"
					      : "a flag that is for other calls");
	if ((known & both) == both && (flags & both) == both)
		return request_refuse(&store->core, operation, -EINVAL, NULL,
				      "durable and relaxed at once");
	return 0;
}

int check_labels(struct varve_store *store, enum varve_operation operation,
		 const char *const *labels, bool bare, size_t *ret_count)
{
	const char *reason = NULL;
	size_t count = 0, bytes = 0;

	for (; labels && labels[count] && !reason && count <= VARVE_LABELS_MAX; count++) {
		size_t key = record_key_bytes(labels[count]);

		bytes += strlen(labels[count]);
		reason = record_label_check(labels[count], bare);
		for (size_t i = 0; i < count && !reason; i++)
			if (record_key_bytes(labels[i]) == key &&
			    !memcmp(labels[i], labels[count], key))
				reason = "a key is given twice";
	}
	if (reason)
		return request_refuse(&store->core, operation, -EINVAL, NULL, reason);
	if (count > VARVE_LABELS_MAX || bytes > VARVE_LABELS_BYTES_MAX)
		return request_refuse(&store->core, operation, -E2BIG, NULL,
				      "at most 128 labels, of 16384 bytes together");
	*ret_count = count;
	return 0;
}

int check_filters(struct varve_store *store, const char *const *filters, size_t *ret_count)
{
	size_t count = 0;

	for (; filters && filters[count]; count++) {
		const char *reason = record_label_check(filters[count],
							!strchr(filters[count], '='));

		if (!reason && count == VARVE_LABELS_MAX)
			reason = "more labels than a layer can have";
		if (reason)
			return request_refuse(&store->core, VARVE_LIST, -EINVAL, NULL, reason);
	}
	*ret_count = count;
	return 0;
}
