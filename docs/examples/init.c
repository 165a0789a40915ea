/* SPDX-License-Identifier: Apache-2.0 */
/* Initialise options without a macro, as a binding to another language does: the example of varve_init(3). */
#include "example.h"

/* example: begin */
/* Create the empty layer ID, whose root only its owner may read. */
static int create_private(struct varve_store *store, const char *id,
			  struct varve_failure *failure)
{
	struct varve_create_options options;

	varve_create_options_init(&options, sizeof(options));
	options.mode = 0700;
	return varve_layer_create_wait(store, id, &options, failure);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;

	if (create_private(store, "private", &failure) < 0 ||
	    varve_layer_remove_wait(store, "private", VARVE_RELAXED, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return 0;
}
