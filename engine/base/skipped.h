/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a request that failed and were skipped, while the request continued. */
#ifndef VARVE_BASE_SKIPPED_H
#define VARVE_BASE_SKIPPED_H

#include "engine/base/fault.h"

#include "varve.h"

#include <pthread.h>

/* Begins zeroed, but for FAULT. */
struct skipped {
	/* Guards all below: several threads may add records. */
	pthread_mutex_t lock;
	/* The first REPORT_KEPT_MAX of them. */
	struct varve_failure *list;
	/* The number of skipped entries, and of records kept. */
	size_t total, kept;
	struct fault *fault;
};

/*
 * Record that PATH of layer ID (NULL: the request's layer) was skipped, because CALL failed with
 * ERROR in STEP of OPERATION; DETAIL may be NULL. Any thread.
 */
void skipped_add_of(struct skipped *report, int error, const char *operation, const char *step,
		    const char *call, const char *id, const char *path, const char *detail);

/* The same for the request's layer. */
void skipped_add(struct skipped *report, int error, const char *operation, const char *step,
		 const char *call, const char *path, const char *detail);

/* Set the skipped entries of RESULT. */
void skipped_report(const struct skipped *report, struct varve_result *result);

/* Free the records. */
void skipped_free(struct skipped *report);

#endif
