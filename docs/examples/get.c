/* SPDX-License-Identifier: Apache-2.0 */
/* Write into a layer, list the store, ask what a layer is made from: the example of varve_layer_get(3). */
#include "example.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Write TEXT into the file NAME of layer ID. */
static int write_file(struct varve_store *store, const char *id, const char *name, const char *text)
{
	char *path, file[4096];
	FILE *stream;
	int ret;

	ret = varve_layer_get_wait(store, id, NULL, &path, NULL);
	if (ret < 0)
		return ret;
	snprintf(file, sizeof(file), "%s/%s", path, name);
	free(path);
	stream = fopen(file, "w");
	if (stream == NULL)
		return -errno;
	ret = fputs(text, stream) < 0 ? -EIO : 0;
	if (fclose(stream) != 0)
		ret = -EIO;
	varve_layer_put(store, id);
	return ret;
}

/* example: begin */
/* Print the path of each layer, and the layer that it was made from. */
static int print_layers(struct varve_store *store,
			struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	size_t count, i;
	char **ids, *path;
	int ret;

	ret = varve_layer_list_wait(store, &ids, &count, failure);
	if (ret < 0)
		return ret;
	for (i = 0; i < count && ret == 0; i++) {
		ret = varve_layer_info_wait(store, ids[i], &info, failure);
		if (ret == 0)
			ret = varve_layer_get_wait(store, ids[i], NULL, &path,
						   failure);
		if (ret == 0) {
			printf("%s from '%s'\n", path, info.parent);
			free(path);
		} else if (ret == -ENOENT) {
			ret = 0;	/* Removed since it was listed. */
		}
	}
	free(ids);
	return ret;
}
/* example: end */

/* Expect layer ID to be a snapshot of PARENT, or not to be one where PARENT is "". */
static bool made_from(struct varve_store *store, const char *id, const char *parent)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;

	return varve_layer_info_wait(store, id, &info, NULL) == 0 && strcmp(info.parent, parent) == 0;
}

/* Run. */
int main(int argc, char **argv)
{
	static const char *const ids[] = { "app", "base" };
	struct varve_store *store = example_open(argc, argv);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	bool good, exists;

	if (varve_layer_create_wait(store, "base", NULL, &failure) < 0)
		example_die(&failure);
	if (write_file(store, "base", "hello", "hello\n") < 0)
		return 1;
	options.parent = "base";
	if (varve_layer_create_wait(store, "app", &options, &failure) < 0)
		example_die(&failure);
	if (print_layers(store, &failure) < 0)
		example_die(&failure);
	good = made_from(store, "base", "") && made_from(store, "app", "base");
	if (varve_layer_remove_batch_wait(store, ids, 2, 0, NULL, &failure) < 0)
		example_die(&failure);
	if (varve_layer_exists_wait(store, "app", &exists, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return good && !exists ? 0 : 1;
}
