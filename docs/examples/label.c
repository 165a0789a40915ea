/* SPDX-License-Identifier: Apache-2.0 */
/* Count in a label, with other processes: the example of varve_layer_label(3). */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* example: begin */
/* Add one to the number in the label "starts" of layer ID. */
static int count_start(struct varve_store *store, const char *id,
		       struct varve_failure *failure)
{
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	char label[64];
	const char *labels[] = { label, NULL };
	struct varve_layer_record *record;
	int ret;

	options.flags = VARVE_LABEL_COMPARE;
	options.labels = labels;
	do {
		unsigned starts = 0;

		ret = varve_layer_record_wait(store, id, &record, failure);
		if (ret < 0)
			return ret;
		for (size_t i = 0; i < record->labels_count; i++)
			sscanf(record->labels[i], "starts=%u", &starts);
		snprintf(label, sizeof(label), "starts=%u", starts + 1);
		options.revision = record->revision;
		free(record);
		/* Another process was faster: read again. */
		ret = varve_layer_label_wait(store, id, &options, NULL, failure);
	} while (ret == -ESTALE);
	return ret;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	int ret = varve_layer_create_wait(store, "counted", NULL, &failure);

	if (ret < 0 && ret != -EEXIST)
		example_die(&failure);
	ret = count_start(store, "counted", &failure);
	if (ret < 0)
		example_die(&failure);
	puts("counted");
	varve_close(store);
	return 0;
}
