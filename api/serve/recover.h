/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.h: the snapshots of a home as its layers have them: one varve_layer_find() reads all
 * records, few of which are in memory at once. Nothing is changed, and what is not understood stays
 * as it is.
 */
#ifndef VARVE_SERVE_RECOVER_H
#define VARVE_SERVE_RECOVER_H

#include "index.h"

#include <varve.h>

/* What is wrong with a layer that belongs to the snapshots. */
enum stray_reason {
	/* Its record cannot be read: damaged, or not a record. */
	STRAY_UNREADABLE,
	/* A later version wrote its record. */
	STRAY_LATER,
	/* Another layer has the same key. */
	STRAY_TWICE,
	/* Its id is not one of a snapshot: a person has renamed it, or labelled it as one. */
	STRAY_RENAMED,
	/* It has a name as the daemon gives them, and no record. */
	STRAY_LEAK,
	/* In the index from here on. Its parent's layer is gone. */
	FAULT_PARENT_GONE,
	/* Its parent's layer is there, but a stray. */
	FAULT_PARENT_STRAY,
	/* Its parent is not committed. */
	FAULT_PARENT_KIND,
	/* Its parent is younger than it, or itself. */
	FAULT_PARENT_ORDER,
	/* Its label has another kind than its record. */
	FAULT_LABEL,
};

/* Such a layer. */
struct stray {
	enum stray_reason reason;
	/* The layer. */
	char *id;
	/* Its key, of a FAULT_PARENT_* its parent's, where that is known; else NULL. */
	char *key;
};

/* What recover() found. */
struct recovered {
	/* 1 more than the largest number of a layer; 0: there is none. */
	uint64_t next_number;
	/* Layers that are not in the index, sorted by id and reason, as the faults are. */
	struct stray *strays;
	size_t strays_count;
	/* Faults of those that are. */
	struct stray *faults;
	size_t faults_count;
	/* Snapshots whose parent is gone. */
	size_t orphans;
};

/*
 * Read the snapshots of STORE into INDEX, which is empty, on a thread that may dispatch. 0 or
 * -errno, and *RET_FAILURE has the reason. *RET_RECOVERED is to be freed in any case.
 */
int recover(struct varve_store *store, struct index *index, struct recovered *ret_recovered,
	    struct varve_failure *ret_failure);

/*
 * Add the layers that have a name of a snapshot and no record, or a damaged one, to the strays of
 * RECOVERED, which recover() has filled together with INDEX. 0 or -errno, and *RET_FAILURE has the
 * reason.
 */
int recover_leaks(struct varve_store *store, const struct index *index, struct recovered *recovered,
		  struct varve_failure *ret_failure);

/*
 * Leave in RECOVERED only the strays and faults that OTHER, from another reading of the home, has,
 * too. A change of the home during a reading can make a layer seem one once: another layer in each
 * reading, since no number of a layer comes twice.
 */
void recovered_keep_both(struct recovered *recovered, const struct recovered *other);

/* Has SNAPSHOT a parent that is gone, or cannot be it? */
bool recovered_orphan(const struct recovered *recovered, const struct snapshot *snapshot);

/* One reading of a home. */
struct reading {
	struct index index;
	struct recovered recovered;
};

/*
 * Let READING, which is zero, be that of STORE: recover(). 0 or -errno. It is to be destroyed in
 * any case.
 */
int reading_take(struct reading *reading, struct varve_store *store,
		 struct varve_failure *ret_failure);

/* Free what READING has, which is zero then. */
void reading_destroy(struct reading *reading);

/* What is wrong by REASON, for a person; *RET_WORD, if not NULL: for a program. */
const char *stray_text(enum stray_reason reason, const char **ret_word);

/* Free what RECOVERED has. */
void recovered_destroy(struct recovered *recovered);

#endif
