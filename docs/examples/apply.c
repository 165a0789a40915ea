/* SPDX-License-Identifier: Apache-2.0 */
/* A layer from an archive: the example of varve_layer_apply(3). */
#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* example: begin */
/* Create a layer from an archive, whole or not at all. */
static int load_layer(struct varve_store *store, const char *id, int fd)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure;
	char text[1024];
	int ret;

	options.apply = &apply;
	options.apply_fd = fd;
	ret = varve_layer_create_wait(store, id, &options, &failure);
	if (ret < 0)
		fprintf(stderr, "%s\n",
			varve_strerror(&failure, text, sizeof(text)));
	return ret;
}
/* example: end */

/* Run: an archive through a pipe, too small to fill it. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	int fds[2], ret = varve_layer_create_wait(store, "base", NULL, NULL);

	if (!ret && pipe2(fds, O_CLOEXEC) == 0) {
		ret = varve_layer_diff_wait(store, "base", NULL, fds[1], NULL,
					    NULL, NULL);
		close(fds[1]);
		if (!ret)
			ret = load_layer(store, "copy", fds[0]);
		if (!ret)
			ret = varve_layer_apply_wait(store, "copy", NULL, fds[0],
						     NULL, NULL, NULL);
		close(fds[0]);
	}
	varve_close(store);
	return ret ? 1 : 0;
}
