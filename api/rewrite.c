/* SPDX-License-Identifier: Apache-2.0 */
/* The requests that change a layer that is there. */
#include "api/check.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <errno.h>
#include <string.h>

/* Is the map of COUNT ENTRIES one? */
static bool rewrite_map(const struct varve_id_map *entries, size_t count)
{
	if (count > VARVE_ID_MAPS_MAX || (count && !entries))
		return false;
	for (size_t i = 0; i < count; i++) {
		uint64_t last = MAX(entries[i].container, entries[i].host) +
				(uint64_t)entries[i].count;

		/* The last id stands for none. */
		if (!entries[i].count || last > UINT32_MAX)
			return false;
	}
	return true;
}

int check_chown(struct varve_store *store, enum varve_operation operation,
		struct varve_chown_options *ours, const struct varve_chown_options *given)
{
	int r = given ? check_options(store, operation, ours, sizeof(*ours), given)
		      : request_refuse(&store->core, operation, -EINVAL, NULL, "no options");

	if (r)
		return r;
	if (!rewrite_map(ours->uid_from, ours->uid_from_count) ||
	    !rewrite_map(ours->gid_from, ours->gid_from_count) ||
	    !rewrite_map(ours->uid_to, ours->uid_to_count) ||
	    !rewrite_map(ours->gid_to, ours->gid_to_count))
		return request_refuse(&store->core, operation, -EINVAL, NULL,
				      "a map of ids is empty, too large or too long");
	return check_flags(store, operation, ours->flags,
			   VARVE_DURABLE | VARVE_RELAXED | VARVE_OVERFLOW_IDS);
}

int varve_layer_chown(struct varve_store *store, const char *id,
		      const struct varve_chown_options *options, varve_callback *callback,
		      void *user_data, varve_request *ret_request)
{
	struct varve_chown_options ours;
	int r = check_layer(store, VARVE_CHOWN, callback, id);

	if (!r)
		r = check_chown(store, VARVE_CHOWN, &ours, options);
	return r ? r
		 : chown_submit(store, id, &ours,
				&(struct submit){ callback, user_data, ret_request });
}

int check_label(struct varve_store *store, enum varve_operation operation, const char *label)
{
	int r = label ? relabel_check(label) : -EINVAL;

	return r ? request_refuse(&store->core, operation, r, NULL,
				  "an SELinux label has at least three ':'")
		 : 0;
}

int varve_layer_relabel(struct varve_store *store, const char *id, const char *label,
			uint64_t flags, varve_callback *callback, void *user_data,
			varve_request *ret_request)
{
	int r = check_layer(store, VARVE_RELABEL, callback, id);

	if (!r)
		r = check_label(store, VARVE_RELABEL, label);
	if (!r)
		r = check_flags(store, VARVE_RELABEL, flags,
				VARVE_DURABLE | VARVE_RELAXED | VARVE_RELABEL_SHARED);
	return r ? r
		 : relabel_submit(store, id, label, flags,
				  &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_flush(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_FLUSH, callback, id);

	if (!r)
		r = check_flags(store, VARVE_FLUSH, flags, 0);
	return r ? r
		 : flush_submit(store, id, &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_freeze(struct varve_store *store, const char *id, uint64_t flags,
		       varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_FREEZE, callback, id);

	if (!r)
		r = check_flags(store, VARVE_FREEZE, flags,
				VARVE_DURABLE | VARVE_RELAXED | VARVE_FREEZE_THAW);
	return r ? r
		 : freeze_submit(store, id, flags,
				 &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_rename(struct varve_store *store, const char *id, const char *new_id,
		       uint64_t flags, varve_callback *callback, void *user_data,
		       varve_request *ret_request)
{
	int r = check_layer(store, VARVE_RENAME, callback, id);

	if (!r)
		r = check_id(store, VARVE_RENAME, new_id);
	if (!r && !strcmp(id, new_id))
		r = request_refuse(&store->core, VARVE_RENAME, -EINVAL, id,
				   "the new name is the old one");
	if (!r)
		r = check_flags(store, VARVE_RENAME, flags, VARVE_DURABLE | VARVE_RELAXED);
	return r ? r
		 : rename_submit(store, id, new_id, flags,
				 &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_adopt(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_ADOPT, callback, id);

	if (!r)
		r = check_flags(store, VARVE_ADOPT, flags, VARVE_DURABLE | VARVE_RELAXED);
	return r ? r
		 : adopt_submit(store, id, flags,
				&(struct submit){ callback, user_data, ret_request });
}
