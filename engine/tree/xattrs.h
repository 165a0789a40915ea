/* SPDX-License-Identifier: Apache-2.0 */
/* The extended attributes of an entry of a directory, which is neither followed nor opened. */
#ifndef VARVE_TREE_XATTRS_H
#define VARVE_TREE_XATTRS_H

#include "engine/base/fault.h"

#include <sys/types.h>

struct xattr {
	const char *name;
	const void *value;
	size_t size;
};

/* Attributes, sorted by name. Start from zeros; one can be filled again and again. */
struct xattrs {
	struct xattr *list;
	size_t count, capacity;
	/* Names as the kernel lists them, and all values. */
	char *names, *values;
	size_t names_capacity, values_capacity, values_size;
	struct fault *fault;
};

/* Read those attributes of NAME in DIR_FD ("": DIR_FD itself) that WANTED accepts. 0 or -errno; none where there can be none. */
int xattrs_read(struct xattrs *xattrs, int dir_fd, const char *name, bool (*wanted)(const char *name));

/* Are A and B the same? */
bool xattrs_equal(const struct xattrs *a, const struct xattrs *b);

/* Free what was read. */
void xattrs_free(struct xattrs *xattrs);

#endif
