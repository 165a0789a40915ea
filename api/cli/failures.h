/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failures.h: failures, reported in few lines: the same failure of many ids is one line with a
 * count and the first ids.
 *
 * Failures are held until failures_report(); what is held is bounded. With --debug nothing is held:
 * each failure is a line with its step, system call and path.
 */
#ifndef VARVE_CLI_FAILURES_H
#define VARVE_CLI_FAILURES_H

#include <stddef.h>

#include "output.h"
#include "sentence.h"

/* Different failures that are held; one more, and all of them are reported. */
#define FAILURES_MAX 16

/* Failures that are not yet reported. */
struct failures {
	/* How many different ones. */
	size_t count;
	/* The sentences, in the order of their first failures. */
	struct sentence held[FAILURES_MAX];
};

/* Hold FAILURE; or report it, where OUTPUT asks for every detail. */
void failures_add(struct failures *failures, struct output *output,
		  const struct varve_failure *failure);

/* Write what is held on standard error, and forget it. */
void failures_report(struct failures *failures, struct output *output);

#endif
