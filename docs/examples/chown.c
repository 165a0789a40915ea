/* SPDX-License-Identifier: Apache-2.0 */
/* Shift a layer into a user namespace: the example of varve_layer_chown(3). */
#include "example.h"

#include <errno.h>
#include <stdio.h>

/* The first id of the user namespace that is used here. */
#define FIRST_ID 100000

/* example: begin */
/* Give the layer ID to a container whose ids begin at FIRST outside. */
static int give_to_container(struct varve_store *store, const char *id,
			     uint32_t first, struct varve_failure *failure)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	const struct varve_id_map map = { 0, first, 65536 };

	options.uid_to = options.gid_to = &map;
	options.uid_to_count = options.gid_to_count = 1;
	return varve_layer_chown_wait(store, id, &options, failure);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	int ret = varve_layer_create_wait(store, "shifted", NULL, &failure);

	if (ret < 0 && ret != -EEXIST)
		example_die(&failure);
	ret = give_to_container(store, "shifted", FIRST_ID, &failure);
	if (ret < 0)
		example_die(&failure);
	puts("shifted");
	varve_close(store);
	return 0;
}
