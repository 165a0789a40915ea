/* SPDX-License-Identifier: Apache-2.0 */
/* What every request is checked for before it is handed to the engine. */
#ifndef VARVE_API_CHECK_H
#define VARVE_API_CHECK_H

#include "engine/ops/ops.h"

/* May a request for OPERATION be made of STORE with CALLBACK? 0, -EINVAL, -ECHILD. */
int check_request(struct varve_store *store, enum varve_operation operation,
		  varve_callback *callback);

/* Is ID one that a layer can have? Records the refusal where not. */
int check_id(struct varve_store *store, enum varve_operation operation, const char *id);

/* May a request for OPERATION be made of the layer ID? As check_request(), then check_id(). */
int check_layer(struct varve_store *store, enum varve_operation operation, varve_callback *callback,
		const char *id);

/* Are COUNT IDS ones that layers can have? */
int check_ids(struct varve_store *store, enum varve_operation operation, const char *const *ids,
	      size_t count);

/* Has FLAGS no other bits than KNOWN, and not both of VARVE_DURABLE and VARVE_RELAXED? */
int check_flags(struct varve_store *store, enum varve_operation operation, uint64_t flags,
		uint64_t known);

/* Copy the options GIVEN to OURS of SIZE bytes: see options_copy(). */
int check_options(struct varve_store *store, enum varve_operation operation, void *ours,
		  size_t size, const void *given);

/* Copy the shift of ownership GIVEN (NULL is none) to OURS; is it one? */
int check_chown(struct varve_store *store, enum varve_operation operation,
		struct varve_chown_options *ours, const struct varve_chown_options *given);

/*
 * varve_layer_changes(), and, if the callback is to KEEP the list of changes and free() it after
 * success, its twin.
 */
int layer_changes(struct varve_store *store, const char *id,
		  const struct varve_changes_options *options, bool keep,
		  const struct submit *submit);

/*
 * Are LABELS (NULL last; NULL: none) labels that a layer can have, or with BARE keys, each once?
 * *RET_COUNT is how many there are.
 */
int check_labels(struct varve_store *store, enum varve_operation operation,
		 const char *const *labels, bool bare, size_t *ret_count);

/* Is each of FILTERS (likewise) a label or a key? */
int check_filters(struct varve_store *store, const char *const *filters, size_t *ret_count);

/* Is LABEL an SELinux label in form? */
int check_label(struct varve_store *store, enum varve_operation operation, const char *label);

#endif
