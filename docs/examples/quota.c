/* SPDX-License-Identifier: Apache-2.0 */
/* A layer with a size, and how full it is: the example of varve_quota(3). */
#include "example.h"

#include <inttypes.h>
#include <stdio.h>

/* example: begin */
/* Make layer ID, which may hold 64 MiB. */
static int make_limited(struct varve_store *store, const char *id, struct varve_failure *failure)
{
	static const char *const size[] = { "size=64m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.storage_options = size;
	return varve_layer_create_wait(store, id, &options, failure);
}

/* Print how full layer ID is, and whether its limit is enforced. */
static int print_fill(struct varve_store *store, const char *id, struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_quota quota = VARVE_QUOTA_INIT;
	int ret;

	ret = varve_layer_info_wait(store, id, &info, failure);
	if (ret == 0)
		ret = varve_quota_status_wait(store, &quota, failure);
	if (ret < 0)
		return ret;
	printf("%s: %" PRIu64 " of %" PRIu64 " bytes%s\n", id, info.quota_referenced, info.quota_limit,
	       quota.flags & VARVE_QUOTA_INCONSISTENT ? ", and the limit is not enforced" : "");
	return 0;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;

	if (make_limited(store, "job", &failure) < 0 || print_fill(store, "job", &failure) < 0 ||
	    varve_quota_limit_wait(store, "job", 128 << 20, &failure) < 0 || print_fill(store, "job", &failure) < 0 ||
	    varve_layer_remove_wait(store, "job", 0, &failure) < 0 ||
	    varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure) < 0 || varve_quota_gc_wait(store, NULL, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return 0;
}
