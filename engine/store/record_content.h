/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a layer's record in memory, and in the form in which it is stored: a header, then
 * the labels, each with its NUL, sorted bytewise by their keys, then the record's own bytes. No
 * file-system call; any thread. Where it is stored: record.h.
 *
 *	offset	bytes	(numbers are little-endian)
 *	0	4	"vrec"
 *	4	4	version: 1
 *	8	16	uuid of the subvolume that the record belongs to
 *	24	8	revision
 *	32	4	number of labels
 *	36	4	their bytes, NULs included
 *	40	4	bytes of the record
 *	44	4	0
 *	48	8	checksum (FNV-1a) of all of it, with zeros in this place
 *	56
 *
 * The first 24 bytes are the same in all versions.
 */
#ifndef VARVE_STORE_RECORD_CONTENT_H
#define VARVE_STORE_RECORD_CONTENT_H

#include "engine/base/arena.h"
#include "engine/base/fault.h"
#include "engine/base/limits.h"

#include <linux/btrfs.h>

/* Bytes of the header, and of the longest content with it. */
#define RECORD_HEADER_BYTES 56
#define RECORD_CONTENT_MAX \
	(RECORD_HEADER_BYTES + VARVE_LABELS_BYTES_MAX + VARVE_LABELS_MAX + VARVE_RECORD_BYTES_MAX)

/* Labels and a record, in one block; on the heap unless an arena is named. */
struct record {
	/* What the caller gets; its pointers point into this block. */
	struct varve_layer_record shown;
	/* The subvolume that it belongs to. */
	uint8_t uuid[BTRFS_UUID_SIZE];
	/* Bytes at labels_text, which is behind the pointers to the labels. */
	size_t labels_bytes;
	char *labels_text;
	const char *labels[];
};

/* How a record is to be changed. */
struct record_change {
	/* "KEY=VALUE" to be set, and how many; "KEY" to be deleted, and how many. */
	const char *const *set;
	size_t set_count;
	const char *const *deleted;
	size_t deleted_count;
	/* Delete all labels that are not set. */
	bool only;
	/* Replace its bytes by these. */
	bool replace;
	const void *bytes;
	size_t bytes_count;
};

/* Bytes of the key of LABEL, "KEY=VALUE" or "KEY". */
size_t record_key_bytes(const char *label);

/* Has LABEL ("KEY=VALUE", or with BARE "KEY") the form of one? NULL, or what is wrong with it. */
const char *record_label_check(const char *label, bool bare);

/*
 * Apply CHANGE to OLD (NULL: nothing): 0 and *RET_RECORD, a new block, of OLD's revision
 * (0: none) and uuid; -E2BIG beyond VARVE_LABELS_MAX or VARVE_LABELS_BYTES_MAX; -ENOMEM.
 */
int record_apply(struct fault *fault, const struct record *old, const struct record_change *change,
		 struct record **ret_record);

/* Does RECORD (NULL: nothing) have all of COUNT labels FILTERS, each "KEY=VALUE" or "KEY"? */
bool record_matches(const struct record *record, const char *const *filters, size_t count);

/* The first revision of a record of the layer whose uuid is UUID; never 0. */
uint64_t record_revision_first(const uint8_t uuid[BTRFS_UUID_SIZE]);

/* Bytes that RECORD has in its stored form. */
size_t record_stored_bytes(const struct record *record);

/*
 * Write RECORD, as that of the subvolume UUID, in its stored form to CONTENT,
 * record_stored_bytes() of them. Where it has no revision that is the first one.
 */
void record_store(const struct record *record, const uint8_t uuid[BTRFS_UUID_SIZE],
		  unsigned char *content);

/*
 * Parse the header at HEADER, of which there are COUNT bytes: 0, the bytes of the whole
 * content and the uuid; -EUCLEAN: it is none; -ENOTSUP: it is one of a later version, and only the
 * uuid is known.
 */
int record_header(const unsigned char *header, size_t count, size_t *ret_bytes,
		  uint8_t ret_uuid[BTRFS_UUID_SIZE]);

/*
 * Parse CONTENT, all COUNT bytes: 0 and *RET_RECORD, in ARENA (NULL: on the heap); -EUCLEAN,
 * -ENOTSUP or -ENOMEM.
 */
int record_parse(struct fault *fault, struct arena *arena, const unsigned char *content,
		 size_t count, struct record **ret_record);

/* Free RECORD (NULL is fine), which is in ARENA (NULL: on the heap). */
void record_free(struct arena *arena, struct record *record);

#endif
