/* SPDX-License-Identifier: Apache-2.0 */
/* How long requests took: the example of varve_statistics(3). */
#include "example.h"

#include <inttypes.h>
#include <stdio.h>

/* example: begin */
/* Print how creates ended, and how long half, 99 % and all of them took. */
static int print_creates(struct varve_store *store)
{
	struct varve_operation_statistics create = VARVE_OPERATION_STATISTICS_INIT;
	uint64_t p50_ns, p99_ns;
	int ret;

	ret = varve_operation_statistics(store, VARVE_CREATE, &create);
	if (ret < 0)
		return ret;
	p50_ns = varve_histogram_percentile(&create.latency, 50);
	p99_ns = varve_histogram_percentile(&create.latency, 99);
	printf("%" PRIu64 " made, %" PRIu64 " failed; latency: p50 %.3f ms, "
	       "p99 %.3f ms, max %.3f ms\n", create.succeeded, create.failed,
	       p50_ns / 1e6, p99_ns / 1e6, create.latency.max_ns / 1e6);
	return 0;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	static const char *const ids[] = { "s1", "s2", "s3" };
	struct varve_store *store = example_open(argc, argv);
	struct varve_operation_statistics creates = VARVE_OPERATION_STATISTICS_INIT;
	struct varve_failure failure;

	if (varve_layer_create_batch_wait(store, ids, 3, NULL, NULL, &failure) < 0 ||
	    varve_layer_remove_batch_wait(store, ids, 3, 0, NULL, &failure) < 0)
		example_die(&failure);
	if (print_creates(store) < 0 || varve_operation_statistics(store, VARVE_CREATE, &creates) < 0)
		return 1;
	varve_close(store);
	return creates.succeeded == 3 ? 0 : 1;
}
