/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back-pressure: a bounded number of dead subvolumes may await the kernel's cleaner. Beyond it creates wait. The number is
 * counted up by each destroy and corrected by asking the kernel, which is done when the count is high or somebody waits.
 */
#ifndef VARVE_BTRFS_CLEANER_H
#define VARVE_BTRFS_CLEANER_H

#include "engine/core/op.h"

/* Give STORE a cleaner; 0 or -ENOMEM. */
int cleaner_init(struct varve_store *store);

/* One more subvolume is dead. Reactor. */
void cleaner_destroyed(struct varve_store *store);

/* Is there room for one more layer that will be removed some time? Reactor. */
bool cleaner_room(const struct varve_store *store);

/* Let OP wait until there is. Reactor. */
int cleaner_wait_room(struct op *op);

/* Let OP wait until the kernel has been asked again, which wakes its cleaner where that has gone to sleep. Reactor. */
int cleaner_wait_look(struct op *op);

#endif
