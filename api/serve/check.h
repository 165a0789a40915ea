/* SPDX-License-Identifier: Apache-2.0 */
/* check.h: what of the snapshots of a home is not as it should be. Nothing is changed. */
#ifndef VARVE_SERVE_CHECK_H
#define VARVE_SERVE_CHECK_H

#include <stdint.h>

#include <varve.h>

/*
 * Write each fault of the snapshots of STORE to standard output, an object of JSON a line: path,
 * below the home, and detail. *RET_COUNT: how many. 0 or -errno, and *RET_FAILURE has the reason.
 */
int check_home(struct varve_store *store, uint64_t *ret_count, struct varve_failure *ret_failure);

#endif
