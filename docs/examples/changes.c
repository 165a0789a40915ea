/* SPDX-License-Identifier: Apache-2.0 */
/* What changed in a layer: the example of varve_layer_changes(3). */
#include "example.h"

#include <stdio.h>
#include <stdlib.h>

/* example: begin */
/* Print what differs between a layer and its parent; return a negative errno. */
static int print_changes(struct varve_store *store, const char *id)
{
	struct varve_change *changes;
	size_t count, i;
	int ret;

	ret = varve_layer_changes_wait(store, id, NULL, &changes, &count, NULL);
	if (ret < 0)
		return ret;
	for (i = 0; i < count; i++)
		printf("%c %s\n", (char)changes[i].kind, changes[i].path);
	free(changes);
	return 0;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int ret = varve_layer_create_wait(store, "base", NULL, NULL);

	options.parent = "base";
	if (!ret)
		ret = varve_layer_create_wait(store, "top", &options, NULL);
	if (!ret)
		ret = print_changes(store, "top");
	varve_close(store);
	return ret ? 1 : 0;
}
