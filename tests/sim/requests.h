/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a program: how each is made, and what has to be true when it has ended. */
#ifndef SIM_REQUESTS_H
#define SIM_REQUESTS_H

#include "layers.h"

#include <varve.h>

#define REQUESTS_MAX 8
/* One layer that is always there, and the archive that layers are made of. */
#define BASE "p-base"
#define ARCHIVE "/archive"

struct program;

struct request {
	bool used;
	struct program *program;
	enum varve_operation operation;
	bool is_durable;
	/* What it is about; of a rename, to what. NULL: all of them, or one that is shared. */
	struct layer *layer, *to;
	/* What of these was visible before it. */
	struct states before, to_before;
	/* As varve_cancel() takes it; 0: it is not accepted yet. */
	varve_request handle;
	/* It was cancelled; its archive is to be written; that was given up. */
	bool cancelled, streams, broken;
	/* Of a limit: the new one. */
	uint64_t bytes;
	/* Of a freeze: the layer is read-only then. */
	bool read_only;
	/* Of a create: what the layer has to be. */
	struct spares_birth birth;
	/* Of a sync: the versions that there were. */
	unsigned versions[LAYERS_OWN];
};

/* ---- make one: 0 or -errno ---- */

/* Make or remove layer ID, which is LAYER; NULL: one that is shared. */
int request_create(struct program *program, struct layer *layer, const char *id);
int request_remove(struct program *program, struct layer *layer, const char *id);

/* Change LAYER, if it is there: unpack the archive into it, change its label, its limit. */
int request_apply(struct program *program, struct layer *layer);
int request_label(struct program *program, struct layer *layer);
int request_limit(struct program *program, struct layer *layer);

/* Make LAYER read-only or writable, or durable, if it is there. */
int request_freeze(struct program *program, struct layer *layer);
int request_flush(struct program *program, struct layer *layer);

/* Rename LAYER, which is there, to TO, which is not. */
int request_rename(struct program *program, struct layer *layer, struct layer *to);

/* Make all durable; remove what is left over. */
int request_sync(struct program *program);
int request_sweep(struct program *program);

/* ---- while it is in flight ---- */

/* Cancel REQUEST, if it is in flight. Any thread of its program. */
void request_cancel(struct request *request);

/* Write the archive of REQUEST, or give it up; it may have ended by now. */
void request_feed(struct request *request);

/* REQUEST is over, whatever it came to. */
void request_over(struct request *request);

#endif
