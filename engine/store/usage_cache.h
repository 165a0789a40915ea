/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of subvolumes, remembered by the number of the subvolume and the transaction of
 * its last change (ctransid). The last USAGE_CACHE_MAX that were asked for stay.
 *
 * Only what was searched when the transaction of the last change took no more is put in: what a
 * running transaction has changed is not all in the trees, and it may change more. A snapshot of a
 * subvolume changes its generation and not its ctransid. A buffered write changes neither before it
 * is written back. A number is never used twice by a file system, so nothing has to be taken out.
 */
#ifndef VARVE_STORE_USAGE_CACHE_H
#define VARVE_STORE_USAGE_CACHE_H

#include "engine/base/fault.h"

#include <stdint.h>

struct usage_cache;

/* What is remembered. */
struct usage_numbers {
	uint64_t inodes, bytes, disk_bytes;
};

/* A cache; NULL without memory. */
struct usage_cache *usage_cache_new(struct fault *fault);

/* Find subvolume NUMBER, last changed in CTRANSID: true and *RET_NUMBERS. Any thread. */
bool usage_cache_find(struct usage_cache *cache, uint64_t number, uint64_t ctransid,
		      struct usage_numbers *ret_numbers);

/* Remember NUMBERS of subvolume NUMBER, last changed in CTRANSID; nothing without memory. */
void usage_cache_keep(struct usage_cache *cache, uint64_t number, uint64_t ctransid,
		      const struct usage_numbers *numbers);

/* Free CACHE; NULL is fine. */
void usage_cache_free(struct usage_cache *cache);

#endif
