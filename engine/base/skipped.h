/* SPDX-License-Identifier: Apache-2.0 */
/* Entries that failed while the rest went on. */
#ifndef VARVE_BASE_SKIPPED_H
#define VARVE_BASE_SKIPPED_H

#include "engine/base/fault.h"

#include "varve.h"

#include <pthread.h>

/* Begins zeroed, but for FAULT. */
struct skipped {
	/* Of those that threads add at once. */
	pthread_mutex_t lock;
	/* The first REPORT_KEPT_MAX of them. */
	struct varve_failure *list;
	/* All of them; those kept. */
	size_t total, kept;
	struct fault *fault;
};

/*
 * Note that CALL failed with ERROR on PATH, of layer ID (NULL: the one that the request is about),
 * in a step called STEP of OPERATION, and was passed over; DETAIL may be NULL. Any thread.
 */
void skipped_add_of(struct skipped *report, int error, const char *operation, const char *step,
		    const char *call, const char *id, const char *path, const char *detail);

/* The same of the one layer that the request is about. */
void skipped_add(struct skipped *report, int error, const char *operation, const char *step,
		 const char *call, const char *path, const char *detail);

/* Have RESULT tell of it. */
void skipped_report(const struct skipped *report, struct varve_result *result);

/* Free what was kept. */
void skipped_free(struct skipped *report);

#endif
