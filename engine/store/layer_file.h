/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two kinds of records have in common: a file named by the layer's id in a directory of
 * the store, HOME/quotas (size_record.h) or HOME/.varve/layers (record.h). One that has no layer
 * means nothing. Any thread; what changes something is called with the lock of size_record.h.
 */
#ifndef VARVE_STORE_LAYER_FILE_H
#define VARVE_STORE_LAYER_FILE_H

#include "engine/store/layout.h"

/* Move the file NAME of DIR_FD into the place of layer ID's in PLACE. */
int layer_file_place(struct varve_store *store, enum layout_place place, int dir_fd,
		     const char *name, const char *id);

/* Remove the file of layer ID in PLACE: 1, 0 when there was none, or -errno. */
int layer_file_remove(struct varve_store *store, enum layout_place place, const char *id);

/*
 * Let NEW_ID, which no layer has, have the file of layer ID in PLACE, too: 1, 0 when there is none,
 * -EPERM when the kernel lets us give no second name to another user's file, or another -errno.
 */
int layer_file_link(struct varve_store *store, enum layout_place place, const char *id,
		    const char *new_id);

/* Has ID a file in PLACE? 1, 0, or -errno. Without the lock. */
int layer_file_there(struct varve_store *store, enum layout_place place, const char *id);

#endif
