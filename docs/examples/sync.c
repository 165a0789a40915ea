/* SPDX-License-Identifier: Apache-2.0 */
/* Remove leftovers and wait until their space is free: the example of varve_sync(3). */
#include "example.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* example: begin */
/* Remove the leftovers of crashed processes, then wait until all their space is free. */
static int tidy(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	int ret;

	ret = varve_sweep_wait(store, &report, failure);
	if (ret < 0)
		return ret;
	printf("%" PRIu64 " half-made, %" PRIu64 " half-removed\n",
	       report.staging_removed, report.trash_removed);
	return varve_sync_wait(store, VARVE_SYNC_CLEAN, failure);
}

/* Return the value of one line of the status, to be freed, or NULL. */
static char *status_value(struct varve_store *store, const char *key)
{
	struct varve_status_entry *entries;
	char *value = NULL;
	size_t count, i;

	if (varve_status_wait(store, &entries, &count, NULL) < 0)
		return NULL;
	for (i = 0; i < count && value == NULL; i++) {
		if (strcmp(entries[i].key, key) == 0)
			value = strdup(entries[i].value);
	}
	free(entries);
	return value;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	char *kernel;

	if (varve_layer_create_wait(store, "gone", NULL, &failure) < 0 ||
	    varve_layer_remove_wait(store, "gone", VARVE_RELAXED, &failure) < 0 || tidy(store, &failure) < 0)
		example_die(&failure);
	kernel = status_value(store, "kernel");
	printf("kernel: %s\n", kernel != NULL ? kernel : "unknown");
	varve_close(store);
	if (kernel == NULL)
		return 1;
	free(kernel);
	return 0;
}
