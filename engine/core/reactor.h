/* SPDX-License-Identifier: Apache-2.0 */
/* Making a core, running it on its thread, and freeing it. */
#ifndef VARVE_CORE_REACTOR_H
#define VARVE_CORE_REACTOR_H

#include "engine/core/core.h"

/*
 * Prepare CORE of STORE, zeroed; 0, or -errno and *RET_CALL, and core_free() frees what was made.
 */
int core_init(struct core *core, struct varve_store *store, const struct core_hooks *hooks,
	      const char **ret_call);

/* Make room for the requests that may be in flight at once, core->requests_max. 0 or -ENOMEM. */
int core_make_slots(struct core *core);

/* Free CORE, whose reactor is stopped, or which is a forked child's copy. */
void core_free(struct core *core);

/* Start the reactor's thread; 0 or -errno. The limits are set. */
int reactor_start(struct core *core);

/* End the reactor's thread; nothing may be in flight. */
void reactor_stop(struct core *core);

#endif
