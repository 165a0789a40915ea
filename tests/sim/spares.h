/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules of stores with spare copies: all their programs make layers from one parent, append to
 * a file of it and overwrite another, by a call or by a mapping, and some of them replace it,
 * rename it, make it read-only. What a layer has to be then.
 */
#ifndef SIM_SPARES_H
#define SIM_SPARES_H

#include "model.h"

/* The files of the parent that are written to: one only grows, one is overwritten. */
#define SPARES_FILE "log"
#define SPARES_PAGE "page"

/* What a layer that is made from the parent has to be. */
struct spares_birth {
	/* It is known. */
	bool known;
	/* It is a snapshot of what the parent is, or was since then. */
	unsigned since;
	/*
	 * Which had so many bytes, and of all overwrites this one was the last, where it is the
	 * same subvolume still.
	 */
	uint64_t parent, bytes;
	unsigned overwrite;
};

/* A schedule begins whose parent is layer ID; NULL: one without spare copies. */
void spares_begin(const char *id);

/* The parent; NULL: there are no spare copies. */
const char *spares_parent(void);

/* Do programs keep files of the parent open, also once it is removed? */
bool spares_keep_open(void);

/* Names have changed. */
void spares_changed(void);

/* What a layer has to be whose create is submitted now. */
struct spares_birth spares_birth(void);

/* Was the parent missing at some time since the create of BIRTH was submitted? */
bool spares_missed(const struct spares_birth *birth);

/* Check that layer ID, if it is in IMAGE, is as BIRTH says. */
void spares_check(const struct model_image *image, const char *id,
		  const struct spares_birth *birth);

/*
 * Change the parent, as its users may: by descriptors and mappings also that were made before, when
 * it was not yet read-only, removed or replaced. It is of no concern whether that succeeds.
 */
void spares_touch(void);

#endif
