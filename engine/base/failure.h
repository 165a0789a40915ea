/* SPDX-License-Identifier: Apache-2.0 */
/* The error record: which step, which call, which path. See struct varve_failure. */
#ifndef VARVE_BASE_FAILURE_H
#define VARVE_BASE_FAILURE_H

#include "varve.h"

/*
 * Fill FAILURE: ERROR at STEP of OPERATION on ID (may be NULL), in CALL (may be NULL). Leaves path
 * and detail empty.
 */
void failure_set(struct varve_failure *failure, int error, const char *operation, const char *step,
		 const char *call, const char *id);

/* Set the path to DIR/NAME (either may be NULL); a path that is too long loses its beginning. */
void failure_path(struct varve_failure *failure, const char *dir, const char *name);

/* Set the explanation, cut where it is too long. */
void failure_detail(struct varve_failure *failure, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* As varve_strerror(). */
char *failure_text(const struct varve_failure *failure, char *buffer, size_t size);

#endif
