/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of completion: running callbacks, waiting, cancelling, closing. */
#ifndef VARVE_CORE_DISPATCH_H
#define VARVE_CORE_DISPATCH_H

#include "varve.h"

struct core;
struct request;
struct event;

/* Put EVENT where a dispatching thread finds it, and wake one. With the lock held. */
void ready_announce(struct core *core, struct event *event);

/* Tell the callers' threads that there is something in core->ended. Reactor, without the lock. */
void ready_notify(struct core *core);

/* See varve_dispatch(), varve_wait(), varve_wait_for(), varve_cancel(), varve_progress(), varve_close(). */
int ready_dispatch(struct core *core, unsigned max);
int ready_wait(struct core *core, int timeout_ms);
int ready_wait_for(struct core *core, varve_request handle, int timeout_ms);
int ready_cancel(struct core *core, varve_request handle);

/* See varve_pending(). */
int ready_pending(struct core *core);
int ready_progress(struct core *core, varve_request handle, struct varve_progress *ret_progress);

/* See varve_progress_watch(). */
int ready_watch(struct core *core, varve_request handle, varve_progress_callback *callback, void *user_data);

/* Something was added to the progress of REQUEST: let its callback run, if that is due. Any thread. */
void ready_progressed(struct request *request);

int ready_close(struct core *core);

/* See varve_stream_write(), varve_stream_fail() (DETAIL may be NULL), varve_stream_resume(). */
int ready_stream_write(struct core *core, varve_request handle, const void *bytes, size_t size, size_t *ret_taken);
int ready_stream_end(struct core *core, varve_request handle, int error, const char *detail);
int ready_stream_resume(struct core *core, varve_request handle);

#endif
