/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.h: the snapshots of a home as its layers have them: one varve_layer_find() reads all
 * records. Nothing is changed, and what is not understood stays as it is.
 */
#ifndef VARVE_SERVE_RECOVER_H
#define VARVE_SERVE_RECOVER_H

#include "index.h"

#include <varve.h>

/** Why a layer that belongs to the snapshots is not in the index. */
enum stray_reason {
	/** Its record cannot be read: damaged, or not a record. */
	STRAY_UNREADABLE,
	/** A later version wrote its record. */
	STRAY_LATER,
	/** Another layer has the same key. */
	STRAY_TWICE,
	/** Its id is not one of a snapshot: a person has renamed it, or labelled it as one. */
	STRAY_RENAMED,
};

/** Such a layer. */
struct stray {
	enum stray_reason reason;
	/** The layer. */
	char *id;
	/** The key, where it is known; else NULL. */
	char *key;
};

/** What recover() found. */
struct recovered {
	/** 1 more than the largest number of a layer; 0: there is none. */
	uint64_t next_number;
	struct stray *strays;
	size_t strays_count;
	/** Snapshots whose parent is gone. */
	size_t orphans;
};

/**
 * Read the snapshots of STORE into INDEX, which is empty, on a thread that may dispatch. 0 or
 * -errno, and *RET_FAILURE has the reason. *RET_RECOVERED is to be freed in any case.
 */
int recover(struct varve_store *store, struct index *index, struct recovered *ret_recovered,
	    struct varve_failure *ret_failure);

/** Free what RECOVERED has. */
void recovered_destroy(struct recovered *recovered);

#endif
