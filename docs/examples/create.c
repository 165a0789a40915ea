/* SPDX-License-Identifier: Apache-2.0 */
/* A base layer and a batch of snapshots of it, without waiting in between: the example of varve_layer_create(3). */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* example: begin */
/* Print the result for each layer; *USER_DATA counts those that exist. */
static void created(struct varve_store *store, const struct varve_result *result,
		    void *user_data)
{
	unsigned *count = user_data;
	char line[2048];
	size_t i;

	for (i = 0; i < result->outcomes_count; i++) {
		const struct varve_outcome *outcome = &result->outcomes[i];

		if (outcome->error == 0) {
			++*count;
			continue;
		}
		varve_strerror(outcome->failure, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
}

/* Submit a base and, at once, snapshots of it: they wait for it by themselves. */
static int create_web(struct varve_store *store, unsigned *count)
{
	static const char *const ids[] = { "web-1", "web-2", "web-3" };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int ret;

	ret = varve_layer_create(store, "web-base", NULL, created, count, NULL);
	if (ret < 0)
		return ret;
	options.parent = "web-base";
	return varve_layer_create_batch(store, ids, 3, &options, created, count,
					NULL);
}
/* example: end */

/* Wait for every callback. */
static void drain(struct varve_store *store)
{
	while (varve_pending(store) > 0)
		varve_wait(store, -1);
}

/* Expect a second layer of a name to be refused by the file system, and an unknown option by the library. */
static int expect_failures(struct varve_store *store)
{
	static const char *const unknown[] = { "colour=red", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;

	if (varve_layer_create_wait(store, "web-1", NULL, &failure) != -EEXIST || strcmp(failure.id, "web-1") != 0)
		return 1;
	options.storage_options = unknown;
	return varve_layer_create_wait(store, "web-4", &options, &failure) == -EINVAL ? 0 : 1;
}

/* Run. */
int main(int argc, char **argv)
{
	static const char *const ids[] = { "web-1", "web-2", "web-3", "web-base" };
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	unsigned count = 0;

	if (create_web(store, &count) < 0)
		example_refused(store);
	drain(store);
	printf("%u layers are there\n", count);
	if (count != 4 || expect_failures(store) != 0)
		return 1;
	if (varve_layer_remove_batch_wait(store, ids, 4, 0, NULL, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return 0;
}
