/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's threads: running callbacks, waiting, closing. */
#ifndef VARVE_CORE_DISPATCH_H
#define VARVE_CORE_DISPATCH_H

#include "varve.h"

struct core;

/* See varve_dispatch(), varve_wait(), varve_wait_for(), varve_pending(), varve_close(). */
int dispatch_events(struct core *core, unsigned max);
int dispatch_wait(struct core *core, int timeout_ms);
int dispatch_wait_for(struct core *core, varve_request handle, int timeout_ms);
int dispatch_pending(struct core *core);
int dispatch_close(struct core *core);

/*
 * See varve_stream_write(), varve_stream_end(), varve_stream_fail() (DETAIL may be NULL),
 * varve_stream_resume().
 */
int dispatch_stream_write(struct core *core, varve_request handle, const void *bytes, size_t size,
			  size_t *ret_taken);
int dispatch_stream_end(struct core *core, varve_request handle, int error, const char *detail);
int dispatch_stream_resume(struct core *core, varve_request handle);

#endif
