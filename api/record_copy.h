/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and records in blocks of a caller's own, each freed with one free(). */
#ifndef VARVE_API_RECORD_COPY_H
#define VARVE_API_RECORD_COPY_H

#include "varve.h"

/* A copy of RECORD; NULL without memory. */
struct varve_layer_record *record_copy_one(const struct varve_layer_record *record);

/* A copy of COUNT RECORDS, some or all of which may be NULL; NULL without memory. */
struct varve_layer_record **record_copy_all(const struct varve_layer_record *const *records,
					    size_t count);

#endif
