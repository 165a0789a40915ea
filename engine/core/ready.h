/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of completion: running callbacks, waiting, cancelling, closing. */
#ifndef VARVE_CORE_READY_H
#define VARVE_CORE_READY_H

#include "varve.h"

struct request;

/* See varve_dispatch(), varve_wait(), varve_wait_for(), varve_cancel(), varve_progress(), varve_close(). */
int ready_dispatch(struct varve_store *store, unsigned max);
int ready_wait(struct varve_store *store, int timeout_ms);
int ready_wait_for(struct varve_store *store, varve_request handle, int timeout_ms);
int ready_cancel(struct varve_store *store, varve_request handle);
int ready_progress(struct varve_store *store, varve_request handle, struct varve_progress *ret_progress);

/* See varve_progress_watch(). */
int ready_watch(struct varve_store *store, varve_request handle, varve_progress_callback *callback, void *user_data);

/* Something was added to the progress of REQUEST: let its callback run, if that is due. Any thread. */
void ready_progressed(struct request *request);

/* Make varve_fd() readable, with the lock held. Any thread. */
void ready_signal(struct varve_store *store);
int ready_close(struct varve_store *store);

#endif
