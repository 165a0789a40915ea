/* SPDX-License-Identifier: Apache-2.0 */
/* Remove layers that may be gone already: the example of varve_layer_remove(3). */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* example: begin */
/* Remove COUNT layers, some of which may be gone; return how many were not. */
static int remove_all(struct varve_store *store, const char *const *ids,
		      size_t count)
{
	int removed = 0, ret, *errors;
	size_t i;

	errors = calloc(count, sizeof(*errors));
	if (errors == NULL)
		return -ENOMEM;
	ret = varve_layer_remove_batch_wait(store, ids, count, VARVE_DURABLE,
					    errors, NULL);
	for (i = 0; i < count; i++) {
		if (errors[i] == 0)
			removed++;
		else if (errors[i] != -ENOENT)
			break;
	}
	if (i < count)
		removed = errors[i];
	else if (ret < 0 && ret != -ENOENT)
		removed = ret;
	free(errors);
	return removed;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	static const char *const ids[] = { "old-1", "old-2", "old-3" };
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	int removed;

	if (varve_layer_create_batch_wait(store, ids, 2, NULL, NULL, &failure) < 0)
		example_die(&failure);
	removed = remove_all(store, ids, 3);
	printf("%d layers were removed\n", removed);
	if (varve_layer_remove_wait(store, "old-1", 0, &failure) != -ENOENT)
		return 1;
	varve_close(store);
	return removed == 2 ? 0 : 1;
}
