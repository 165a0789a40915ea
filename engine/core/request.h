/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is submitted by the caller: it has a handle and a callback, and consists of operations
 * (op.h). It is made or refused on the caller's thread, finished on the reactor, and delivered on
 * the caller's thread.
 */
#ifndef VARVE_CORE_REQUEST_H
#define VARVE_CORE_REQUEST_H

#include "engine/core/op.h"

/*
 * A request of CLASS with COUNT operations and room for STRINGS bytes of strings. 0 and
 * *RET_REQUEST, or -ENOMEM. Its operations are zero but for what every operation has.
 */
int request_new(struct core *core, const struct op_class *class, size_t count, size_t strings,
		uint64_t flags, struct request **ret_request);

/* Copy TEXT (NULL gives NULL) into the request's strings. */
const char *request_string(struct request *request, const char *text);

/*
 * Let the operations of REQUEST, which have their ids, begin in the order of KEY, from any one of
 * them on and around. Without memory they begin as they were given.
 */
void request_order(struct request *request, uint32_t (*key)(const char *id));

/* Free a request that was not submitted, or whose callback has returned. NULL is fine. */
void request_free(struct request *request);

/*
 * Give REQUEST a handle and hand it to the reactor. 0, or -EAGAIN, -ESHUTDOWN, -ECHILD: then it is
 * freed, and the refusal is recorded.
 */
int request_submit(struct request *request, varve_callback *callback, void *user_data,
		   varve_request *ret_request);

/*
 * Record that a request for OPERATION was refused with ERROR, about ID (may be NULL), for REASON.
 * Returns ERROR.
 */
int request_refuse(struct core *core, enum varve_operation operation, int error, const char *id,
		   const char *reason);

/* Copy the reason of this thread's latest refusal: 0, or -ENOENT when there is none. */
int request_refusal(struct core *core, struct varve_failure *ret_failure);

/* Post the requests that finished in this turn to the caller's threads. Reactor. */
void requests_flush(struct core *core);

/* Look for cancelled requests and end them. Reactor. */
void requests_cancel(struct core *core);

/* Start the operations whose holds have been granted. Reactor. */
void requests_run(struct core *core);

#endif
