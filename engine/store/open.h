/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store. */
#ifndef VARVE_STORE_OPEN_H
#define VARVE_STORE_OPEN_H

#include "engine/store/store.h"

/*
 * Open a store: see varve_open(). CONFIG has been checked and has no defaults left. It has no
 * threads that walk yet (walk/workers.h).
 */
int open_store(const struct varve_config *config, const struct quota_settings *quota,
	       unsigned debug, struct varve_store **ret_store, struct varve_failure *failure);

#endif
