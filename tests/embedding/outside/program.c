/* SPDX-License-Identifier: Apache-2.0 */
/* A C program outside the tree: make a layer, list, remove, by callbacks; see test_install.sh. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <varve.h>

/* What the callbacks have seen. */
struct seen {
	int ended;  /* Requests that ended well. */
	int listed; /* Layers that were named. */
};

/* Note how a request ended. */
static void ended(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct seen *seen = user_data;
	char line[2048];

	(void)store;
	if (result->error != 0) {
		fprintf(stderr, "%s\n", varve_strerror(result->failure, line, sizeof(line)));
		return;
	}
	seen->ended++;
	if (result->operation == VARVE_LIST)
		seen->listed = (int)result->ids_count;
}

/* Run callbacks until COUNT have seen a good end, or nothing is in flight any more. */
static int run_until(struct varve_store *store, const struct seen *seen, int count)
{
	int ret;

	while (seen->ended < count) {
		ret = varve_pending(store) > 0 ? varve_wait(store, -1) : 0;
		if (ret == 0 || (ret < 0 && ret != -EINTR))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_store *store = NULL;
	struct seen seen = { 0, 0 };
	int bad;

	config.home = argc > 1 ? argv[1] : NULL;
	if (strcmp(varve_version(), VARVE_VERSION_STRING) != 0 ||
	    varve_open(&config, &store, NULL) < 0)
		return 1;
	bad = varve_layer_create(store, "c", NULL, ended, &seen, NULL) < 0 ||
	      run_until(store, &seen, 1);
	bad |= varve_layer_list(store, ended, &seen, NULL) < 0 || run_until(store, &seen, 2);
	bad |= varve_layer_remove(store, "c", VARVE_RELAXED, ended, &seen, NULL) < 0 ||
	       run_until(store, &seen, 3);
	varve_close(store);
	printf("varve %s: %d requests ended well, %d layer listed\n", varve_version(), seen.ended,
	       seen.listed);
	return bad || seen.listed != 1;
}
