/* SPDX-License-Identifier: Apache-2.0 */
/* The progress of requests, and the callbacks for it. */
#ifndef VARVE_CORE_PROGRESS_H
#define VARVE_CORE_PROGRESS_H

#include "varve.h"

struct core;
struct request;

/* See varve_progress(), varve_progress_watch(). */
int progress_get(struct core *core, varve_request handle, struct varve_progress *ret_progress);
int progress_watch(struct core *core, varve_request handle, varve_progress_callback *callback,
		   void *user_data);

/* The progress of REQUEST has grown: let its callback run, if it is due. Any thread. */
void progress_made(struct request *request);

/*
 * REQUEST has ended, and its callback is about to run: no callback of its progress runs from now
 * on. With the lock held.
 */
void progress_forget(struct request *request);

/*
 * Run up to MAX callbacks of progress, with the lock held, which is released meanwhile. Returns
 * their number.
 */
int progress_deliver(struct core *core, unsigned max);

#endif
