/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a schedule: what is known of them, what they have to be, and the checks of that. */
#ifndef SIM_LAYERS_H
#define SIM_LAYERS_H

#include "model.h"
#include "spares.h"

/* Layers that each process has for itself. */
#define LAYERS_OWN 12
#define PROGRAMS_MAX 3
#define LAYERS_MAX (PROGRAMS_MAX * LAYERS_OWN)
/* Where records are below the home. */
#define RECORDS ".varve/layers"
/* LAYER_LIMIT, as it is recorded; another limit, that layers of some names may have as well. */
#define LIMIT_TEXT "8388608"
#define LIMIT_OTHER 9437184
#define LIMIT_OTHER_TEXT "9437184"

/* Which states a layer may be in. */
struct states {
	bool present, absent;
};

/* A layer that one program alone makes and removes. */
struct layer {
	char id[sizeof("p-") + 2 * 10];
	/* A request for it is in flight; how many there were. */
	bool busy;
	unsigned version;
	/* What may be visible, and what may be there after a power cut. */
	struct states live, durable;
	/* Where it was made from the parent of spare copies: what it has to be. */
	struct spares_birth birth;
};

struct layers {
	struct layer all[LAYERS_MAX];
	/* How many of them there are. */
	unsigned count;
	/*
	 * A removal that empties its layer entry by entry may have no room to move it out of sight
	 * first, and end halfway.
	 */
	bool emptied_in_sight;
};

extern struct layers layers;

/* ---- by the name of a layer ---- */

/* The limit that layers have, if they have one; has layer ID one? May that be changed? */
#define LAYER_LIMIT 8388608
bool layer_sized(const char *id);
bool layer_resized(const char *id);

/* Are archives unpacked into layer ID, once it is there? Has it a label? */
bool layer_extended(const char *id);
bool layer_labelled(const char *id);

/* What is in each archive; has layer ID been made of one? */
#define ARCHIVE_FILE "file"
#define ARCHIVE_CONTENT "content"
bool layer_unpacked(const char *id);

/* ---- what is known ---- */

/* A change of LAYER is under way: both states are possible from now on. */
void layer_begin(struct layer *layer, bool present);

/* LAYER is PRESENT, for sure. */
void layer_known(struct layer *layer, bool present, bool is_durable);

/* ---- what is there ---- */

/* The place of PATH below the home, in IMAGE; MODEL_NONE: it is missing. */
int layers_find(const struct model_image *image, const char *path);

/* Is there a layer ID in IMAGE? */
bool layers_has(const struct model_image *image, const char *id);

/* ---- what is checked; each calls sim_fail() ---- */

/*
 * Check that the layer ID of IMAGE, whose root directory is TOP, has what was in the archive; DISK:
 * as far as that is written.
 */
void layers_check_content(const struct model_image *image, bool disk, const char *id, int top);

/* Names or limits have changed; a commit has ended. */
void layers_changed(void);
void layers_committed(void);

/* Check what there is after a power cut; where all programs have ended. */
void layers_check_cut(void);
void layers_check_end(void);

/* Check that nothing but layers is left. */
void layers_check_swept(void);

#endif
