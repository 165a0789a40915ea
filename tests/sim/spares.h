/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules of stores with spare copies: all their programs make layers from one parent, write to
 * it, and some of them replace it, rename it, make it read-only. What a layer has to be then.
 */
#ifndef SIM_SPARES_H
#define SIM_SPARES_H

#include "model.h"

/* The file of the parent that is written to: it only grows. */
#define SPARES_FILE "log"

/* What a layer that is made from the parent has to be. */
struct spares_birth {
	/* It is known. */
	bool known;
	/* It is a snapshot of what the parent is, or was since then. */
	unsigned since;
	/* Which had so many bytes, where it is the same subvolume still. */
	uint64_t parent, bytes;
};

/* A schedule begins whose parent is layer ID; NULL: one without spare copies. */
void spares_begin(const char *id);

/* The parent; NULL: there are no spare copies. */
const char *spares_parent(void);

/* Names have changed. */
void spares_changed(void);

/* What a layer has to be whose create is submitted now. */
struct spares_birth spares_birth(void);

/* Was the parent missing at some time since the create of BIRTH was submitted? */
bool spares_missed(const struct spares_birth *birth);

/* Check that layer ID, if it is in IMAGE, is as BIRTH says. */
void spares_check(const struct model_image *image, const char *id,
		  const struct spares_birth *birth);

/* Change the parent, as its users may; it is of no concern whether that succeeds. */
void spares_touch(void);

#endif
