/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id locks: operations on one id run in the order of submission, on different ids in parallel. An
 * operation locks its own id exclusively and the id of its source shared. All locks of an operation
 * are queued at once, in the order of submission, which is the same for every id: so no two
 * operations can wait for each other.
 */
#ifndef VARVE_CORE_ID_LOCK_H
#define VARVE_CORE_ID_LOCK_H

#include "engine/core/core.h"

/* Prepare an empty table. */
void id_lock_init(struct id_lock_table *table, struct fault *fault);

/*
 * Queue all holds of OP: op->withdraw is set and op->holds_waiting counts those that are not
 * granted. 0 or -ENOMEM.
 */
int id_lock_queue(struct id_lock_table *table, struct op *op);

/* Leave the queue, or release the lock; harmless on a lock that is not in use. */
void id_lock_release(struct id_lock_table *table, struct id_lock *id_lock);

#endif
