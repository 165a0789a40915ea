/* SPDX-License-Identifier: Apache-2.0 */
/* An archive of a layer: the example of varve_layer_diff(3). */
#include "example.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* example: begin */
/* Write what changed in a layer to a file; return a negative errno. */
static int save_layer(struct varve_store *store, const char *id, int fd)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure;
	uint64_t bytes, skipped;
	char text[1024];
	int ret;

	ret = varve_layer_diff_wait(store, id, &options, fd, &bytes, &skipped,
				    &failure);
	if (ret < 0)
		fprintf(stderr, "%s\n",
			varve_strerror(&failure, text, sizeof(text)));
	else if (skipped > 0)
		fprintf(stderr, "%s: %llu entries left out\n", id,
			(unsigned long long)skipped);
	return ret;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int ret = varve_layer_create_wait(store, "base", NULL, NULL);

	if (!ret)
		ret = save_layer(store, "base", fd);
	close(fd);
	varve_close(store);
	return ret ? 1 : 0;
}
