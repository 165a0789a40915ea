/* SPDX-License-Identifier: Apache-2.0 */
/* Measure a layer and print the progress: the example of varve_layer_usage(3). */
#include "example.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How long one wait for the answer is, in milliseconds. */
#define TICK_MS 100

/* example: begin */
/* Print the size of the layer. */
static void measured(struct varve_store *store,
		     const struct varve_result *result, void *user_data)
{
	int *error = user_data;

	(void)store;
	*error = result->error;
	if (!result->error)
		printf("%" PRIu64 " bytes in %" PRIu64 " inodes\n",
		       result->usage->bytes, result->usage->inodes);
}

/* Measure the layer ID, and print the progress. */
static int measure(struct varve_store *store, const char *id)
{
	struct varve_progress progress = VARVE_PROGRESS_INIT;
	varve_request request;
	int error = 1, ret;

	ret = varve_layer_usage(store, id, 0, measured, &error, &request);
	while (ret >= 0 && error == 1) {
		ret = varve_wait(store, TICK_MS);
		if (ret == 0 &&
		    varve_progress(store, request, &progress) == 0)
			printf("%" PRIu64 " entries so far\n", progress.entries);
	}
	return ret < 0 ? ret : error;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	int ret = varve_layer_create_wait(store, "measured", NULL, &failure);

	if (ret < 0 && ret != -EEXIST)
		example_die(&failure);
	ret = measure(store, "measured");
	if (ret < 0)
		fprintf(stderr, "usage: %s\n", strerror(-ret));
	varve_close(store);
	return ret < 0;
}
