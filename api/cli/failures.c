/* SPDX-License-Identifier: Apache-2.0 */
/* failures.c: failures, reported in few lines. */
#include "failures.h"

void failures_report(struct failures *failures, struct output *output)
{
	char line[SENTENCE_SIZE];

	for (size_t i = 0; i < failures->count; i++)
		output_complain(output, "%s", sentence_write(&failures->held[i], line));
	failures->count = 0;
}

void failures_add(struct failures *failures, struct output *output,
		  const struct varve_failure *failure)
{
	struct sentence more;

	if (output->debug) {
		output_failure(output, failure);
		return;
	}
	sentence_begin(&more, failure, output->source);
	for (size_t i = 0; i < failures->count; i++) {
		if (sentence_add(&failures->held[i], &more))
			return;
	}
	if (failures->count == FAILURES_MAX)
		failures_report(failures, output);
	failures->held[failures->count++] = more;
}
