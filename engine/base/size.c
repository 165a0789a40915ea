/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes as people write them: "512m", "1.5 GiB". The grammar is that of go-units' RAMInBytes, which
 * callers of the reference driver know: digits with fractions, an optional blank, an optional
 * binary unit. The fraction of the result is cut off. Unlike there, a number too large for 64 bits
 * is an error.
 */
#include "engine/base/size.h"
#include "engine/base/util.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/*
 * The power of two of the unit at *TEXT, which is moved past it; -EINVAL when text is left that is
 * no unit.
 */
static int size_unit(const char **text)
{
	static const char units[] = "kmgtp";
	const char *unit = *text,
		   *found = *unit ? strchr(units, tolower((unsigned char)*unit)) : NULL;
	int shift = found ? (int)(found - units + 1) * 10 : 0;

	unit += found != NULL;
	unit += tolower((unsigned char)*unit) == 'i';
	unit += tolower((unsigned char)*unit) == 'b';
	*text = unit;
	return *unit ? -EINVAL : shift;
}

/* Parse the whole part at *TEXT. */
static int size_whole(const char **text, uint64_t *ret_whole)
{
	uint64_t whole = 0;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++)
		if (__builtin_mul_overflow(whole, 10u, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(**text - '0'), &whole))
			return -ERANGE;
	*ret_whole = whole;
	return 0;
}

/* Parse the fraction at *TEXT (after its point): a number below 1. */
static int size_fraction(const char **text, long double *ret_fraction)
{
	long double fraction = 0, scale = 0.1L;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++, scale /= 10)
		fraction += scale * (**text - '0');
	*ret_fraction = fraction;
	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	long double fraction = 0;
	uint64_t whole, bytes;
	int shift, r;

	r = size_whole(&text, &whole);
	if (!r && *text == '.') {
		text++;
		r = size_fraction(&text, &fraction);
	}
	if (r)
		return r;
	text += *text == ' ';
	shift = size_unit(&text);
	if (shift < 0)
		return shift;
	if (__builtin_mul_overflow(whole, 1ull << shift, &bytes) ||
	    __builtin_add_overflow(bytes, (uint64_t)(fraction * (long double)(1ull << shift)),
				   &bytes))
		return -ERANGE;
	*ret_bytes = bytes;
	return 0;
}
