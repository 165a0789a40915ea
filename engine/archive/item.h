/* SPDX-License-Identifier: Apache-2.0 */
/* An entry of an archive in the making, as one thread reads it and another writes it. */
#ifndef VARVE_ARCHIVE_ITEM_H
#define VARVE_ARCHIVE_ITEM_H

#include "engine/base/fault.h"
#include "engine/dir/xattrs.h"
#include "engine/walk/walk.h"

#include "varve.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/*
 * How much of an item was read: nothing; everything but the content; everything but the content
 * behind its first PREFETCH_FILE_BYTES; everything.
 */
enum item_state { ITEM_NEW, ITEM_INODE, ITEM_HEAD, ITEM_WHOLE };

struct item {
	char *path;
	size_t path_capacity;
	enum varve_change_kind kind;
	/* Its number in the layer's own tree, 0 where that is not known, and its DT_ type. */
	uint64_t inode;
	unsigned char type;
	enum item_state state;
	/* It can be written. */
	bool ready;
	/* Why it is left out: negative errno, and the call that failed. */
	int error;
	const char *call;
	struct statx statx;
	/* It was changed while it was read. */
	bool changed;
	/* Open when it is a file whose content is not whole in BYTES. */
	int fd;
	/* The first bytes of a file, or the target of a link. */
	char *bytes;
	size_t length, capacity;
	struct xattrs xattrs;
	/* Bytes of its attributes that count as read ahead. */
	size_t held;
};

/* Make room for SIZE bytes in ITEM. */
static inline int item_reserve(struct item *item, size_t size, struct fault *fault)
{
	char *bytes;

	if (size <= item->capacity)
		return 0;
	bytes = fault_realloc(fault, item->bytes, size);
	if (!bytes)
		return -ENOMEM;
	item->bytes = bytes;
	item->capacity = size;
	return 0;
}

/* Has the file of ITEM, now as AFTER says, changed since it was opened? */
static inline bool item_changed(const struct item *item, const struct statx *after)
{
	const struct statx *before = &item->statx;

	return after->stx_size != before->stx_size ||
	       after->stx_mtime.tv_sec != before->stx_mtime.tv_sec ||
	       after->stx_mtime.tv_nsec != before->stx_mtime.tv_nsec;
}

#endif
