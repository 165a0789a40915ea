/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs that a caller owns begin with their size, and caller and library may be of different
 * versions. Both directions are as the kernel's copy_struct_from_user(): what the smaller one lacks
 * is zero.
 */
#ifndef VARVE_API_OPTIONS_SIZE_H
#define VARVE_API_OPTIONS_SIZE_H

#include "engine/base/util.h"

#include <string.h>

/* No version's struct is larger: a size beyond it was never set. */
#define OPTIONS_SIZE_MAX ((size_t)64 * 1024)

/* Is SIZE one that a caller can have set? 0 or -EINVAL. */
static inline int options_size_check(size_t size)
{
	return size < sizeof(size_t) || size > OPTIONS_SIZE_MAX ? -EINVAL : 0;
}

/*
 * Copy the options at GIVEN, whose first member is their size, to OURS of SIZE bytes. 0, -EINVAL
 * (no size), or -E2BIG (they set what this version does not know).
 */
static inline int options_copy(void *ours, size_t size, const void *given)
{
	const char *bytes = given;
	size_t theirs;
	int r;

	memcpy(&theirs, given, sizeof(theirs));
	r = options_size_check(theirs);
	for (size_t i = size; !r && i < theirs; i++)
		r = bytes[i] ? -E2BIG : 0;
	if (r)
		return r;
	memset(ours, 0, size);
	memcpy(ours, given, MIN(size, theirs));
	memcpy(ours, &size, sizeof(size));
	return 0;
}

/*
 * May an output be written to the struct at RET (NULL: none is wanted), whose first member is its
 * size? 0 or -EINVAL.
 */
static inline int output_check(const void *ret)
{
	size_t theirs;

	if (!ret)
		return 0;
	memcpy(&theirs, ret, sizeof(theirs));
	return options_size_check(theirs);
}

/*
 * Write OURS of SIZE bytes to the struct at RET that passed output_check(): its size becomes what
 * was filled, the rest zero.
 */
static inline void output_copy(void *ret, const void *ours, size_t size)
{
	size_t theirs, filled;

	memcpy(&theirs, ret, sizeof(theirs));
	filled = MIN(theirs, size);
	memcpy(ret, ours, filled);
	memset((char *)ret + filled, 0, theirs - filled);
	memcpy(ret, &filled, sizeof(filled));
}

#endif
