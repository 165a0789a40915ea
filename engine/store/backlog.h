/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back-pressure: a bounded number of dead subvolumes may await the kernel's cleaner. Beyond it
 * creates wait. The number is counted up by each destroy and corrected by asking the kernel, when
 * the count is high or an operation waits.
 *
 * Under full quotas a commit looks for all owners of what changed, and so costs more the more
 * snapshots share it, dead ones and those about to be made included. So while layers come and go
 * there, few are made at a time: see BACKLOG_FULL_QUOTA.
 */
#ifndef VARVE_STORE_BACKLOG_H
#define VARVE_STORE_BACKLOG_H

#include "engine/core/op.h"

/* Give STORE a cleaner; 0 or -ENOMEM. */
int backlog_init(struct varve_store *store);

/* One more subvolume is dead. Reactor. */
void backlog_destroyed(struct varve_store *store);

/* Is there room for one more layer, which will be removed later? Reactor. */
bool backlog_room(const struct varve_store *store);

/* Does a create wait until there is room? Reactor. */
bool backlog_creates_wait(const struct varve_store *store);

/* May one more layer be made at once? Reactor. */
bool backlog_may_make(const struct varve_store *store);

/* A layer is being made, until backlog_make_end(). Reactor. */
void backlog_make_begin(struct varve_store *store);

/* The layer was made, or failed to be. Reactor. */
void backlog_make_end(struct varve_store *store);

/* Let the create OP wait until it may go on. Reactor. */
int backlog_wait_room(struct op *op);

/* A create found that quota runs in MODE: enum varve_quota_mode. Any thread. */
void backlog_saw_quota(struct varve_store *store, int mode);

/*
 * Let OP wait until the kernel has been asked again, which wakes its cleaner if it sleeps.
 * Reactor.
 */
int backlog_wait_look(struct op *op);

#endif
