/* SPDX-License-Identifier: Apache-2.0 */
/* Wait for a request that another thread may cancel: the example of varve_future_create(3). */
#include "example.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* example: begin */
/* Archive layer ID to FD. Another thread may varve_cancel() *REQUEST meanwhile. */
static int archive(struct varve_store *store, const char *id, int fd,
		   varve_request *request)
{
	const struct varve_result *result;
	struct varve_future *future;
	size_t i;
	int ret;

	ret = varve_future_create(&future);
	if (ret < 0)
		return ret;
	ret = varve_layer_diff(store, id, NULL, fd, varve_future_callback,
			       future, request);
	if (ret == 0)
		ret = varve_wait_for(store, *request, -1);
	result = varve_future_result(future);
	if (result) {
		ret = result->error;
		printf("%" PRIu64 " bytes\n", result->bytes);
		for (i = 0; i < result->skipped_count; i++)
			printf("left out: %s\n", result->skipped[i].path);
	}
	varve_future_destroy(future);
	return ret;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct varve_failure failure;
	varve_request request = 0;

	if (varve_layer_create_wait(store, "f1", NULL, &failure) < 0)
		example_die(&failure);
	if (archive(store, "f1", fd, &request) != 0 || request == 0)
		return 1;
	if (varve_layer_remove_wait(store, "f1", 0, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return 0;
}
