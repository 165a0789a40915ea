/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a store and of a layer, "KEY=VALUE". */
#ifndef VARVE_STORE_OPTIONS_H
#define VARVE_STORE_OPTIONS_H

#include "engine/store/store.h"

/* The parsed options of a layer. */
struct storage_options {
	/* Limit in bytes; 0: none. */
	uint64_t size;
	/* Groups to join, "NAME" or "NAME:SIZE". */
	const char *groups[LAYER_GROUPS_MAX];
	size_t groups_count;
};

/* Parse the store's OPTIONS (NULL: none); the failure has the wrong one. */
int options_parse_store(const char *const *options, struct quota_settings *ret_quota,
			struct varve_failure *failure);

/*
 * Parse a layer's storage OPTIONS (NULL: none) into STORAGE, whose size is left alone where they
 * name none; *RET_REASON (SIZE bytes) is what is wrong.
 */
int options_parse_storage(const char *const *options, uint64_t min_space,
			  struct storage_options *storage, char *ret_reason, size_t size);

#endif
