/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There is no l*xattr call that takes a directory descriptor before Linux 6.13, and opening an entry for f*xattr may wake a
 * device or fail for want of permission. So the kernel's own link to the descriptor stands for the directory: it leads to
 * nothing but that, and the last component is not followed.
 */
#include "engine/tree/xattrs.h"
#include "engine/base/util.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* Bytes of "/proc/self/fd/N/NAME". */
#define XATTRS_PATH_BYTES (NAME_MAX + 64)
/* The most that the kernel lists, and the most of one value. */
#define XATTRS_LIST_BYTES (64 * 1024)
#define XATTRS_VALUE_BYTES (64 * 1024)

/* See that *BUFFER has SIZE bytes. */
static int xattrs_reserve(struct fault *fault, char **buffer, size_t *capacity, size_t size)
{
	size_t grown = MAX(*capacity * 2, size);
	char *memory;

	if (size <= *capacity)
		return 0;
	memory = fault_realloc(fault, *buffer, grown);
	if (!memory)
		return -ENOMEM;
	*buffer = memory;
	*capacity = grown;
	return 0;
}

/* Read the value of NAME of PATH to the end of the values. */
static int xattrs_value(struct xattrs *xattrs, const char *path, const char *name)
{
	struct xattr *list;
	ssize_t size;
	int r = xattrs_reserve(xattrs->fault, &xattrs->values, &xattrs->values_capacity,
			       xattrs->values_size + XATTRS_VALUE_BYTES);

	if (r)
		return r;
	if (xattrs->count == xattrs->capacity) {
		list = fault_realloc(xattrs->fault, xattrs->list, (xattrs->capacity * 2 + 8) * sizeof(*list));
		if (!list)
			return -ENOMEM;
		xattrs->list = list;
		xattrs->capacity = xattrs->capacity * 2 + 8;
	}
	size = lgetxattr(path, name, xattrs->values + xattrs->values_size, XATTRS_VALUE_BYTES);
	/* It may have been removed meanwhile. */
	if (size < 0)
		return errno == ENODATA ? 0 : negative_errno();
	xattrs->list[xattrs->count++] = (struct xattr){ .name = name, .size = (size_t)size };
	xattrs->values_size += (size_t)size;
	return 0;
}

/* Order by name. */
static int xattrs_compare(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

int xattrs_read(struct xattrs *xattrs, int dir_fd, const char *name, bool (*wanted)(const char *name))
{
	char path[XATTRS_PATH_BYTES];
	ssize_t length;
	size_t at = 0;
	int r = xattrs_reserve(xattrs->fault, &xattrs->names, &xattrs->names_capacity, XATTRS_LIST_BYTES);

	xattrs->count = xattrs->values_size = 0;
	if (r)
		return r;
	if ((size_t)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name) >= sizeof(path))
		return -ENAMETOOLONG;
	length = llistxattr(path, xattrs->names, XATTRS_LIST_BYTES);
	if (length < 0)
		return errno == EOPNOTSUPP ? 0 : negative_errno();
	for (ssize_t i = 0; !r && i < length; i += (ssize_t)strlen(xattrs->names + i) + 1)
		if (wanted(xattrs->names + i))
			r = xattrs_value(xattrs, path, xattrs->names + i);
	/* The values do not move any more. */
	for (size_t i = 0; i < xattrs->count; i++) {
		xattrs->list[i].value = xattrs->values + at;
		at += xattrs->list[i].size;
	}
	if (xattrs->count > 1)
		qsort(xattrs->list, xattrs->count, sizeof(*xattrs->list), xattrs_compare);
	return r;
}

bool xattrs_equal(const struct xattrs *a, const struct xattrs *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i].name, b->list[i].name) || a->list[i].size != b->list[i].size ||
		    memcmp(a->list[i].value, b->list[i].value, a->list[i].size))
			return false;
	return true;
}

void xattrs_free(struct xattrs *xattrs)
{
	free(xattrs->list);
	free(xattrs->names);
	free(xattrs->values);
	*xattrs = (struct xattrs){ .fault = xattrs->fault };
}
