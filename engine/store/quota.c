/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/quota.h"

/* Turn quota on, from being off, as the store's options say: 0, or -errno. */
static int quota_provide_on(struct varve_store *store)
{
	switch (store->settings.quota.policy) {
	case QUOTA_ON_DEMAND:
		return qgroup_enable_best(&store->fs);
	case QUOTA_WANT_FULL:
		return qgroup_enable(&store->fs, VARVE_QUOTA_FULL);
	case QUOTA_WANT_SIMPLE:
		return qgroup_enable(&store->fs, VARVE_QUOTA_SIMPLE);
	default:
		return -ENOTCONN;
	}
}

/* Does the mode NOW suit the store's options? */
static bool quota_suits(const struct varve_store *store, int now)
{
	switch (store->settings.quota.policy) {
	case QUOTA_WANT_FULL:
		return now == VARVE_QUOTA_FULL;
	case QUOTA_WANT_SIMPLE:
		return now == VARVE_QUOTA_SIMPLE;
	default:
		return now != VARVE_QUOTA_OFF;
	}
}

/* What ERROR of quota_provide() means. */
static const char *quota_provide_detail(int error)
{
	switch (error) {
	case -ENOTCONN:
		return "quota is off, and the store is not to turn it on";
	case -EBUSY:
		return "quota runs in another mode than the store wants; turn it off first";
	case -EPERM:
		return "quota is off or cannot be looked at, and turning it on takes CAP_SYS_ADMIN";
	case -ENOTSUP:
		return "this kernel has no such quota";
	default:
		return "quota cannot be turned on";
	}
}

int quota_provide(struct varve_store *store, const char **ret_detail)
{
	int now = qgroup_mode(&store->fs), r = MIN(now, 0);

	if (now == VARVE_QUOTA_OFF) {
		r = quota_provide_on(store);
		if (!r)
			r = now = qgroup_mode(&store->fs);
		if (r > VARVE_QUOTA_OFF)
			store->quota_turned_on = (uint64_t)now;
	}
	if (r >= 0 && !quota_suits(store, now))
		r = now == VARVE_QUOTA_OFF ? -ENOTCONN : -EBUSY;
	if (r >= 0)
		return now;
	*ret_detail = quota_provide_detail(r);
	return r;
}

int quota_enforce(struct varve_store *store, uint64_t number, uint64_t bytes,
		  const char **ret_detail)
{
	int r;

	if (!bytes || bytes < store->settings.quota.size_min)
		return 0;
	if (store->settings.quota.policy == QUOTA_KEEP &&
	    qgroup_mode(&store->fs) == VARVE_QUOTA_OFF)
		return 0;
	r = quota_provide(store, ret_detail);
	return r < 0 ? r : qgroup_ensure_limit(&store->fs, QUOTA_GROUP(0, number), bytes);
}
