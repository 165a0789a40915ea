/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There is no l*xattr call that takes a directory descriptor before Linux 6.13, and opening an
 * entry for f*xattr may wake a device or fail for want of permission. So the kernel's own link to
 * the descriptor stands for the directory: it leads to nothing but that, and the last component is
 * not followed.
 */
#include "engine/dir/xattrs.h"
#include "engine/base/limits.h"
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

bool xattrs_kept(const char *name)
{
	static const char *const left[] = { "security.selinux", "security.SMACK64",
					    "security.apparmor", "security.evm", "btrfs." };

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
		if (!strncmp(name, left[i], strlen(left[i])))
			return false;
	return true;
}

/* Make *BUFFER at least SIZE bytes large. */
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

/*
 * The inode whose attributes are read: at PATH, which is followed where it is the kernel's link to
 * a descriptor (FOLLOW); without a PATH, open as FD.
 */
struct xattrs_subject {
	const char *path;
	bool follow;
	int fd;
};

/* Make room for one more attribute with a value of SIZE bytes. */
static int xattrs_room(struct xattrs *xattrs, size_t size)
{
	struct xattr *list;
	int r = xattrs_reserve(xattrs->fault, &xattrs->values, &xattrs->values_capacity,
			       xattrs->values_size + size);

	if (r || xattrs->count < xattrs->capacity)
		return r;
	list = fault_realloc(xattrs->fault, xattrs->list,
			     (xattrs->capacity * 2 + 8) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	xattrs->list = list;
	xattrs->capacity = xattrs->capacity * 2 + 8;
	return 0;
}

/* Read the value of NAME of SUBJECT to the end of the values. */
static int xattrs_value(struct xattrs *xattrs, const struct xattrs_subject *subject,
			const char *name)
{
	ssize_t size;
	int r = xattrs_room(xattrs, XATTRS_VALUE_BYTES);
	char *value = xattrs->values + xattrs->values_size;

	if (r)
		return r;
	if (!subject->path)
		size = fgetxattr(subject->fd, name, value, XATTRS_VALUE_BYTES);
	else
		size = (subject->follow ? getxattr : lgetxattr)(subject->path, name, value,
								XATTRS_VALUE_BYTES);
	/* It may have been removed meanwhile. */
	if (size < 0)
		return errno == ENODATA ? 0 : negative_errno();
	xattrs->list[xattrs->count++] = (struct xattr){ .name = name, .size = (size_t)size };
	xattrs->values_size += (size_t)size;
	return xattrs_bytes(xattrs) > XATTRS_BYTES_MAX ? -E2BIG : 0;
}

size_t xattrs_bytes(const struct xattrs *xattrs)
{
	return xattrs->count ? xattrs->names_size + xattrs->values_size : 0;
}

/* Order by name. */
static int xattrs_compare(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

void xattrs_settle(struct xattrs *xattrs)
{
	size_t at = 0;

	for (size_t i = 0; i < xattrs->count; i++) {
		xattrs->list[i].value = xattrs->values + at;
		at += xattrs->list[i].size;
	}
	if (xattrs->count > 1)
		qsort(xattrs->list, xattrs->count, sizeof(*xattrs->list), xattrs_compare);
}

int xattrs_add(struct xattrs *xattrs, const char *name, size_t length, const char *value,
	       size_t size, bool (*wanted)(const char *name))
{
	char *kept;
	int r = xattrs_reserve(xattrs->fault, &xattrs->names, &xattrs->names_capacity,
			       XATTRS_LIST_BYTES);

	if (!r)
		r = xattrs_room(xattrs, size);
	if (r)
		return r;
	if (!xattrs->count)
		xattrs->values_size = xattrs->names_size = 0;
	/* Names never move: what the kernel lists of one file fits. */
	if (xattrs->names_size + length + 1 > xattrs->names_capacity)
		return -E2BIG;
	kept = xattrs->names + xattrs->names_size;
	memcpy(kept, name, length);
	kept[length] = '\0';
	if (!wanted(kept))
		return 0;
	if (size)
		memcpy(xattrs->values + xattrs->values_size, value, size);
	xattrs->list[xattrs->count++] = (struct xattr){ .name = kept, .size = size };
	xattrs->names_size += length + 1;
	xattrs->values_size += size;
	return 0;
}

/* Read those attributes of SUBJECT that WANTED accepts. */
static int xattrs_list(struct xattrs *xattrs, const struct xattrs_subject *subject,
		       bool (*wanted)(const char *name))
{
	ssize_t length;
	int r = xattrs_reserve(xattrs->fault, &xattrs->names, &xattrs->names_capacity,
			       XATTRS_LIST_BYTES);

	xattrs->count = xattrs->values_size = 0;
	if (r)
		return r;
	if (!subject->path)
		length = flistxattr(subject->fd, xattrs->names, XATTRS_LIST_BYTES);
	else
		length = (subject->follow ? listxattr : llistxattr)(subject->path, xattrs->names,
								    XATTRS_LIST_BYTES);
	if (length < 0)
		return errno == EOPNOTSUPP ? 0 : negative_errno();
	xattrs->names_size = (size_t)length;
	for (ssize_t i = 0; !r && i < length; i += (ssize_t)strlen(xattrs->names + i) + 1)
		if (wanted(xattrs->names + i))
			r = xattrs_value(xattrs, subject, xattrs->names + i);
	/* From here on the values do not move. */
	xattrs_settle(xattrs);
	return r;
}

int xattrs_read(struct xattrs *xattrs, int dir_fd, const char *name,
		bool (*wanted)(const char *name))
{
	char path[XATTRS_PATH_BYTES];

	/* The descriptor itself may be of anything, by O_PATH. */
	if ((size_t)snprintf(path, sizeof(path), *name ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d",
			     dir_fd, name) >= sizeof(path))
		return -ENAMETOOLONG;
	return xattrs_list(xattrs, &(struct xattrs_subject){ .path = path, .follow = !*name },
			   wanted);
}

int xattrs_read_fd(struct xattrs *xattrs, int fd, bool (*wanted)(const char *name))
{
	return xattrs_list(xattrs, &(struct xattrs_subject){ .fd = fd }, wanted);
}

bool xattrs_equal(const struct xattrs *a, const struct xattrs *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i].name, b->list[i].name) ||
		    a->list[i].size != b->list[i].size ||
		    (a->list[i].size &&
		     memcmp(a->list[i].value, b->list[i].value, a->list[i].size)))
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
