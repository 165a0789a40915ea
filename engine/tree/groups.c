/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/groups.h"

int groups_sweep(struct varve_store *store, uint64_t *removed)
{
	struct quota_census census = { 0 };
	int r = store->layout.privileged ? quota_mode(store) : VARVE_QUOTA_OFF;

	if (r <= VARVE_QUOTA_OFF)
		return r;
	r = quota_collect(store, &census);
	for (size_t i = 0; i < census.stale_count; i++) {
		int error = quota_group_destroy(store, census.stale[i]);

		*removed += !error;
		/* Simple quotas: its space is still shared; the time will come. */
		if (error && error != -EBUSY && !r)
			r = error;
	}
	quota_census_free(&census);
	return r;
}

int groups_unlimit(struct varve_store *store, uint64_t number, const struct nested *nested)
{
	int r = quota_limit(store, QUOTA_GROUP(0, number), 0);

	for (size_t i = 0; i < nested->count && (!r || r == -ENOENT); i++)
		r = quota_limit(store, QUOTA_GROUP(0, nested->ids[i]), 0);
	/* Gone already: so much the better. */
	return r == -ENOENT ? 0 : r;
}
