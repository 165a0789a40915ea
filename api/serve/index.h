/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h: the snapshots of a home in memory: by key, by their label LABEL_REF, in the order in
 * which they were made, and with their parents. Stat, List and Mounts are answered from here alone.
 *
 * A key is in the index from the moment a request takes it: a snapshot that is being made, and the
 * name of a Commit under way, are there, but are not `visible`. Children are counted from that
 * moment, too. A snapshot needs some 350 bytes with its key and labels.
 */
#ifndef VARVE_SERVE_INDEX_H
#define VARVE_SERVE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "labels.h"
#include "link.h"
#include "text.h"

/* The kinds, by their numbers on the wire and in records. */
enum snapshot_kind {
	SNAPSHOT_VIEW = 1,
	SNAPSHOT_ACTIVE = 2,
	SNAPSHOT_COMMITTED = 3,
};

/* What a request does with a snapshot. */
enum snapshot_state {
	/* It is being made: the key is taken. */
	SNAPSHOT_MAKING,
	/* The name of a Commit under way: it is taken. */
	SNAPSHOT_NAMED,
	/* Nothing. From here on a snapshot is visible. */
	SNAPSHOT_READY,
	/* It is being committed, or its labels are being changed. */
	SNAPSHOT_CHANGING,
	/* It is being removed. */
	SNAPSHOT_REMOVING,
};

/* What a snapshot is to be when it is committed: containerd looks for it by that. */
#define LABEL_REF "containerd.io/snapshot.ref"

/* A snapshot. */
struct snapshot {
	/* Its place in the order. */
	struct link link;
	/* The next one with this hash, and with that of its label. */
	struct snapshot *next, *ref_next;
	/* NULL for none, and where it is gone. */
	struct snapshot *parent;
	/* The request that does what `state` says; NULL: SNAPSHOT_READY. */
	void *worker;
	/* KEY NUL PARENT NUL: the parent's key only where `parent` is gone, else "". */
	char *key;
	struct labels labels;
	/* The fields of its record that a later version added, packed; NULL: none. */
	uint8_t *unknown;
	/* Of the layer "sNUMBER", in base 36. */
	uint64_t number;
	/* Nanoseconds since the epoch. */
	int64_t created_ns, updated_ns;
	/* A committed one: bytes on disk and inodes, if known. */
	uint64_t usage_bytes, usage_inodes;
	uint32_t key_bytes;
	uint32_t unknown_bytes;
	/* Of its key; of its label LABEL_REF, where it has one. */
	uint32_t hash, ref_hash;
	/* Snapshots whose parent this is, also those that are being made. */
	uint32_t children;
	/* enum snapshot_kind. */
	uint8_t kind;
	/* enum snapshot_state. */
	uint8_t state;
	bool usage_known;
};

/* The snapshots. */
struct index {
	/* Heads of lists, a power of two of them, by key; as many others, by label. */
	struct snapshot **buckets, **refs;
	size_t buckets_count;
	/* All, in the order in which they were made. */
	struct link snapshots;
	size_t count;
	/* Cursors, whose places a removal moves. */
	struct link cursors;
};

/* A place in the order, which stays valid while snapshots come and go. */
struct index_cursor {
	struct link link;
	/* The link of the next snapshot, or the head. */
	struct link *at;
};

/* Make INDEX empty: 0 or -ENOMEM. */
int index_init(struct index *index);

/* Free INDEX and its snapshots. */
void index_destroy(struct index *index);

/*
 * A new snapshot, with KEY and, where its parent is not in the index, with the parent's key LOST;
 * the rest is zero. NULL: no memory.
 */
struct snapshot *snapshot_new(struct text key, struct text lost);

/* Free SNAPSHOT, which is in no index. */
void snapshot_free(struct snapshot *snapshot);

/* The key. */
static inline struct text snapshot_key(const struct snapshot *snapshot)
{
	return (struct text){ snapshot->key, snapshot->key_bytes };
}

/* The key of the parent, also of one that is gone, or "". */
struct text snapshot_parent_key(const struct snapshot *snapshot);

/*
 * What clients see of it: "" where the parent is gone. containerd's garbage collection goes from
 * snapshots without a parent to their children, and would never find this one.
 */
static inline struct text snapshot_parent_seen(const struct snapshot *snapshot)
{
	return snapshot->parent ? snapshot_key(snapshot->parent) : text_of_string("");
}

/* Is SNAPSHOT there for those that look? */
static inline bool snapshot_visible(const struct snapshot *snapshot)
{
	return snapshot->state >= SNAPSHOT_READY;
}

/* Put SNAPSHOT at the end. Its key must not be in INDEX. */
void index_add(struct index *index, struct snapshot *snapshot);

/* Let SNAPSHOT, which is in INDEX, have LABELS, which are its own then, in the place of its own. */
void index_relabel(struct index *index, struct snapshot *snapshot, struct labels *labels);

/*
 * A snapshot, visible or not, whose label LABEL_REF is REF: the first one, or the one behind AFTER;
 * NULL: there is none.
 */
struct snapshot *index_next_ref(const struct index *index, struct text ref,
				const struct snapshot *after);

/* Take SNAPSHOT out of INDEX, and from its parent. */
void index_remove(struct index *index, struct snapshot *snapshot);

/* Make SNAPSHOT, which has no parent, a child of PARENT. */
void snapshot_set_parent(struct snapshot *snapshot, struct snapshot *parent);

/* The snapshot KEY, visible or not; or NULL. */
struct snapshot *index_find(const struct index *index, struct text key);

/* Put CURSOR at the beginning of INDEX, until index_cursor_close(). */
void index_cursor_open(struct index *index, struct index_cursor *cursor);

/* The next visible snapshot, which CURSOR stays at; NULL at the end. */
struct snapshot *index_cursor_peek(struct index *index, struct index_cursor *cursor);

/* The same, and CURSOR goes on behind it. */
struct snapshot *index_cursor_next(struct index *index, struct index_cursor *cursor);

/* CURSOR is not needed any more. */
void index_cursor_close(struct index_cursor *cursor);

/* Bytes of the longest name of a layer, with its NUL. */
#define SNAPSHOT_LAYER_SIZE 16

/* The layer's id for NUMBER: "s" and NUMBER in base 36, into BUFFER, which is returned. */
char *snapshot_layer(uint64_t number, char buffer[SNAPSHOT_LAYER_SIZE]);

/* The number of the layer ID, if it is a name as snapshot_layer() makes them. */
bool snapshot_number(const char *id, uint64_t *ret_number);

#endif
