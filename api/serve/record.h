/* SPDX-License-Identifier: Apache-2.0 */
/* record.h: a snapshot as the record of its layer (record.proto), and back. */
#ifndef VARVE_SERVE_RECORD_H
#define VARVE_SERVE_RECORD_H

#include "index.h"

/* The version of the records that are written. Those of a later one are left alone. */
#define RECORD_VERSION 1

/* The number of a parent whose layer was gone already. */
#define RECORD_PARENT_LOST UINT64_MAX

/* The label that each layer of a snapshot has; its value is the name of the kind. */
#define RECORD_LABEL "varve.snapshot"

/* The name of KIND: "active"; NULL: no such kind. */
const char *snapshot_kind_name(unsigned kind);

/* Let SNAPSHOT keep the COUNT BYTES of unknown fields, which are copied: 0 or -ENOMEM. */
int record_keep_unknown(struct snapshot *snapshot, const uint8_t *bytes, size_t count);

/*
 * Write SNAPSHOT as a record: *RET_BYTES, to be freed with free(), *RET_COUNT of them. -E2BIG: more
 * than VARVE_RECORD_BYTES_MAX, and *RET_COUNT says how many. -ENOMEM.
 */
int record_encode(const struct snapshot *snapshot, uint8_t **ret_bytes, size_t *ret_count);

/*
 * Read a record: *RET_SNAPSHOT, whose layer and parent are not set; *RET_PARENT is the number of
 * the parent's layer plus 1, or 0. With LOST the snapshot has the parent's key, as the parent is
 * not there. -EBADMSG: no record; -ENOTSUP: of a later version; -ENOMEM.
 */
int record_decode(const void *bytes, size_t count, bool lost, struct snapshot **ret_snapshot,
		  uint64_t *ret_parent);

#endif
