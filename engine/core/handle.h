/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests by their handles. A handle is a slot of a table and the slot's generation, so that a
 * stale handle finds nothing.
 */
#ifndef VARVE_CORE_HANDLE_H
#define VARVE_CORE_HANDLE_H

#include "varve.h"

struct core;
struct request;

/* The request that HANDLE names, NULL when it is stale; with the lock held. */
struct request *handle_find(struct core *core, varve_request handle);

/* Make the handle of REQUEST stale, with the lock held. */
void handle_retire(struct core *core, struct request *request);

/* Find the request HANDLE for a caller: 0, with the lock taken; or -ECHILD, -ENOENT, without it. */
int handle_lock(struct core *core, varve_request handle, struct request **ret_request);

/* See varve_cancel(). */
int handle_cancel(struct core *core, varve_request handle);

#endif
