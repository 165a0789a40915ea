/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/pax.h"
#include "engine/base/util.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A header's size, and where in it are its content's size and its type. */
enum { PAX_BLOCK_BYTES = 512, PAX_SIZE = 124, PAX_SIZE_BYTES = 12, PAX_TYPE = 156 };

void pax_keep(struct pax *pax)
{
	size_t fresh = MIN(pax->piece_size, sizeof(pax->before)),
	       old = MIN(pax->before_size, sizeof(pax->before) - fresh);

	if (!fresh)
		return;
	memmove(pax->before, pax->before + pax->before_size - old, old);
	memcpy(pax->before + old, pax->piece + pax->piece_size - fresh, fresh);
	pax->before_size = old + fresh;
	pax->piece_size = 0;
}

void pax_take(struct pax *pax, const void *piece, size_t size)
{
	pax->piece = piece;
	pax->piece_size = size;
	pax->end += (int64_t)size;
}

/* Copy the SIZE bytes at POSITION to BYTES; false where they are not all there. */
static bool pax_copy(const struct pax *pax, int64_t position, char *bytes, size_t size)
{
	int64_t start = pax->end - (int64_t)pax->piece_size;
	size_t old = position < start ? MIN((size_t)(start - position), size) : 0;

	if (position < start - (int64_t)pax->before_size || position + (int64_t)size > pax->end)
		return false;
	if (old)
		memcpy(bytes, pax->before + pax->before_size - (size_t)(start - position), old);
	if (size > old)
		memcpy(bytes + old, pax->piece + (position + (int64_t)old - start), size - old);
	return true;
}

/*
 * Does the last "mtime" of the records TEXT, of SIZE bytes and a NUL, begin with a minus? Each is
 * "LENGTH KEY=VALUE\n".
 */
static bool pax_minus(const char *text, size_t size)
{
	static const char key[] = " mtime=";
	bool minus = false;

	while (size) {
		char *end;
		unsigned long length = strtoul(text, &end, 10);

		if (end == text || !length || length > size)
			break;
		if ((size_t)(end - text) + sizeof(key) <= length && !strncmp(end, key, strlen(key)))
			minus = end[strlen(key)] == '-';
		text += length;
		size -= length;
	}
	return minus;
}

int pax_negative(const struct pax *pax, int64_t position)
{
	char block[PAX_BLOCK_BYTES], number[PAX_SIZE_BYTES + 1], text[PAX_BEFORE_BYTES + 1];
	int minus = 0;

	for (;;) {
		unsigned long size;

		if (!pax_copy(pax, position, block, sizeof(block)))
			return -ENODATA;
		/*
		 * A global header, a long name or a long target may come before; the entry's own
		 * header is the last.
		 */
		if (!strchr("xgLK", block[PAX_TYPE]) || !block[PAX_TYPE])
			return minus;
		memcpy(number, block + PAX_SIZE, PAX_SIZE_BYTES);
		number[PAX_SIZE_BYTES] = '\0';
		size = strtoul(number, NULL, 8);
		position += PAX_BLOCK_BYTES;
		if (size > PAX_BEFORE_BYTES || !pax_copy(pax, position, text, size))
			return -ENODATA;
		text[size] = '\0';
		if (block[PAX_TYPE] == 'x')
			minus = pax_minus(text, size);
		position += (int64_t)(size + PAX_BLOCK_BYTES - 1) / PAX_BLOCK_BYTES *
			    PAX_BLOCK_BYTES;
	}
}
