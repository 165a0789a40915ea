/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdio.h>

int text_compare(struct text a, struct text b)
{
	size_t common = a.count < b.count ? a.count : b.count;
	int r = memcmp(a.bytes, b.bytes, common);

	return r ? r : (a.count > b.count) - (a.count < b.count);
}

size_t text_character(struct text text, uint32_t *ret_character)
{
	const unsigned char *bytes = (const unsigned char *)text.bytes;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t count = bytes[0] < 0x80   ? 1
		       : bytes[0] < 0xc0 ? 0
		       : bytes[0] < 0xe0 ? 2
		       : bytes[0] < 0xf0 ? 3
		       : bytes[0] < 0xf8 ? 4
					 : 0;
	uint32_t character;

	if (!count || count > text.count)
		return 0;
	character = count == 1 ? bytes[0] : bytes[0] & (0xffu >> (count + 1));
	for (size_t i = 1; i < count; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (bytes[i] & 0x3f);
	}
	/* A longer form than needed, half of a surrogate pair, beyond Unicode. */
	if (character < least[count] || (character >= 0xd800 && character < 0xe000) ||
	    character > 0x10ffff)
		return 0;
	*ret_character = character;
	return count;
}

const char *text_fault(struct text text)
{
	uint32_t character;
	size_t count;

	while (text.count) {
		/* Most are ASCII. */
		if (*text.bytes && !(*text.bytes & 0x80)) {
			text.bytes++;
			text.count--;
			continue;
		}
		count = text_character(text, &character);
		if (!count)
			return "not valid UTF-8";
		if (!character)
			return "a NUL byte in it";
		text.bytes += count;
		text.count -= count;
	}
	return NULL;
}

char *text_quote(struct text text, char *buffer, size_t size)
{
	/* The closing quote with dots before it, and the NUL. */
	const size_t tail = 5;
	size_t at = 0;

	if (size < 2 + tail) {
		if (size)
			*buffer = 0;
		return buffer;
	}
	buffer[at++] = '"';
	for (size_t i = 0; i < text.count; i++) {
		unsigned char byte = (unsigned char)text.bytes[i];
		bool plain = byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\';

		if (at + (plain ? 1 : 4) + tail > size) {
			memcpy(buffer + at, "...", 3);
			at += 3;
			break;
		}
		if (plain)
			buffer[at++] = (char)byte;
		else
			at += (size_t)snprintf(buffer + at, 5, "\\x%02x", byte);
	}
	buffer[at++] = '"';
	buffer[at] = 0;
	return buffer;
}
