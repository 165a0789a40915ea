/* SPDX-License-Identifier: Apache-2.0 */
/* Entries that failed while the rest went on. */
#ifndef VARVE_ARCHIVE_SKIPPED_H
#define VARVE_ARCHIVE_SKIPPED_H

#include "engine/base/fault.h"

#include "varve.h"

struct report {
	/* The first REPORT_KEPT_MAX of them. */
	struct varve_failure *list;
	/* All of them; those kept. */
	size_t total, kept;
	struct fault *fault;
};

/* Note that CALL failed with ERROR on PATH in a step called STEP of OPERATION, and was passed over; DETAIL may be NULL. */
void report_add(struct report *report, int error, const char *operation, const char *step, const char *call,
		const char *path, const char *detail);

/* Free what was kept. */
void report_free(struct report *report);

#endif
