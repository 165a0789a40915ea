/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of completion: running callbacks, waiting, cancelling, closing. */
#ifndef VARVE_CORE_READY_H
#define VARVE_CORE_READY_H

#include "varve.h"

/* See varve_dispatch(), varve_wait(), varve_wait_for(), varve_cancel(), varve_progress(), varve_close(). */
int ready_dispatch(struct varve_store *store, unsigned max);
int ready_wait(struct varve_store *store, int timeout_ms);
int ready_wait_for(struct varve_store *store, varve_request handle, int timeout_ms);
int ready_cancel(struct varve_store *store, varve_request handle);
int ready_progress(struct varve_store *store, varve_request handle, struct varve_progress *ret_progress);
int ready_close(struct varve_store *store);

#endif
