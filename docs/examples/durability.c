/* SPDX-License-Identifier: Apache-2.0 */
/* Many relaxed requests and one commit for all of them: the example of varve_durability(7). */
#include "example.h"

#include <stdio.h>

/* Layers that main() makes. */
#define LAYERS 8

/* example: begin */
/* Make COUNT layers durable by one commit; 0: they survive a power cut. */
static int create_together(struct varve_store *store, const char *const *ids,
			   size_t count, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int ret;

	options.flags = VARVE_RELAXED;
	ret = varve_layer_create_batch_wait(store, ids, count, &options, NULL,
					    failure);
	if (ret < 0)
		return ret;
	/* All layers exist; a power cut could still remove some, each as a whole. */
	return varve_sync_wait(store, 0, failure);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	static const char *const ids[LAYERS] = { "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8" };
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;

	if (create_together(store, ids, LAYERS, &failure) < 0 ||
	    varve_layer_remove_batch_wait(store, ids, LAYERS, VARVE_RELAXED, NULL, &failure) < 0)
		example_die(&failure);
	printf("%d layers were made durable together\n", LAYERS);
	varve_close(store);
	return 0;
}
