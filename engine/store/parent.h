/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the layer that another is a snapshot of: by the uuid tree with privilege, else by a look at
 * each layer of the store.
 */
#ifndef VARVE_STORE_PARENT_H
#define VARVE_STORE_PARENT_H

#include "engine/store/store.h"

/*
 * Find the layer with UUID and put its name into RET_NAME (VARVE_ID_MAX + 1 bytes); leave that when
 * there is none.
 */
int parent_name(struct varve_store *store, const uint8_t *uuid, char *ret_name);

#endif
