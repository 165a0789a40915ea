/* SPDX-License-Identifier: Apache-2.0 */
/* All extended attributes of an entry of a directory. The entry is neither followed nor opened. */
#ifndef VARVE_DIR_XATTRS_H
#define VARVE_DIR_XATTRS_H

#include "engine/base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct xattr {
	const char *name;
	const void *value;
	size_t size;
};

/* Attributes, sorted by name. Begins as zeros; may be filled again. */
struct xattrs {
	struct xattr *list;
	size_t count, capacity;
	/* Names as the kernel lists them, and all values. */
	char *names, *values;
	size_t names_capacity, names_size, values_capacity, values_size;
	struct fault *fault;
};

/*
 * Is NAME an attribute that goes with a file from layer to layer? Labels of security modules, which
 * depend on the place of a file, attributes bound to an inode, and properties of btrfs do not.
 */
bool xattrs_kept(const char *name);

/*
 * Read those attributes of NAME in DIR_FD ("": DIR_FD itself) that WANTED accepts. 0 or -errno;
 * none where there can be none. -E2BIG: they have more bytes than XATTRS_BYTES_MAX, or all its
 * names than the kernel lists (64 KiB).
 */
int xattrs_read(struct xattrs *xattrs, int dir_fd, const char *name,
		bool (*wanted)(const char *name));

/* The same of the open file FD, which is not O_PATH: cheaper where there is one. */
int xattrs_read_fd(struct xattrs *xattrs, int fd, bool (*wanted)(const char *name));

/*
 * Add a copy of the attribute NAME of LENGTH bytes if WANTED accepts it; set xattrs->count to 0
 * before the first one, and call xattrs_settle() after the last. 0, -E2BIG, -ENOMEM.
 */
int xattrs_add(struct xattrs *xattrs, const char *name, size_t length, const char *value,
	       size_t size, bool (*wanted)(const char *name));

/* The bytes of all names and values. */
size_t xattrs_bytes(const struct xattrs *xattrs);

/* Sort what was added; values are valid from then on. */
void xattrs_settle(struct xattrs *xattrs);

/* Are A and B the same? */
bool xattrs_equal(const struct xattrs *a, const struct xattrs *b);

/* Free what was read. */
void xattrs_free(struct xattrs *xattrs);

#endif
