/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removals in the background. They queue for their ids as all operations do, and then wait here,
 * with nothing reserved and nothing open, until store/pace.h says that some of them may begin:
 *
 *	queued for its id -> waits here -> goes on as any removal does -> passed
 *	                       |    ^
 *	             cancelled |    | slices, one after the other
 *	             or closed v
 *
 * A removal that another operation waits for, because it holds the id, begins at once. Only the
 * reactor's thread uses what is here, but for the call that looks.
 */
#ifndef VARVE_STORE_BACKGROUND_H
#define VARVE_STORE_BACKGROUND_H

#include "engine/core/op.h"

/* Give STORE a queue; 0 or -ENOMEM. */
int background_init(struct varve_store *store);

/* OP has destroyed what it removes, or has ended; that took WORKED_NS. Harmless on any other. */
void background_passed(struct op *op, uint64_t worked_ns);

/* A create has ended that took LATENCY_NS. */
void background_created(struct varve_store *store, uint64_t latency_ns);

#endif
