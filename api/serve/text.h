/* SPDX-License-Identifier: Apache-2.0 */
/* text.h: bytes with a length, as they come from the wire. */
#ifndef VARVE_SERVE_TEXT_H
#define VARVE_SERVE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

/* COUNT bytes, which may be any, also NUL. Whose memory they are is said where one is kept. */
struct text {
	const char *bytes;
	size_t count;
};

/* The text of the bytes field FIELD. */
static inline struct text text_of_field(const ProtobufCBinaryData *field)
{
	return (struct text){ field->len ? (const char *)field->data : "", field->len };
}

/* The text of a string. */
static inline struct text text_of_string(const char *string)
{
	return (struct text){ string, strlen(string) };
}

/* TEXT as a bytes field of a message that is packed, not freed. */
static inline ProtobufCBinaryData text_field(struct text text)
{
	return (ProtobufCBinaryData){ text.count, (uint8_t *)(uintptr_t)text.bytes };
}

/* Are A and B the same bytes? */
static inline bool text_equal(struct text a, struct text b)
{
	return a.count == b.count && !memcmp(a.bytes, b.bytes, a.count);
}

/* Bytewise; a prefix comes first. */
int text_compare(struct text a, struct text b);

/*
 * The bytes of the UTF-8 character that TEXT, which is not empty, begins with: 1..4, and the
 * character in *RET_CHARACTER; 0: none.
 */
size_t text_character(struct text text, uint32_t *ret_character);

/* What forbids TEXT as a key or a label: a phrase, or NULL. It has to be UTF-8 without NULs. */
const char *text_fault(struct text text);

/*
 * TEXT for a person, in BUFFER (SIZE bytes): in quotes, other than printable ASCII as \xHH, and cut
 * with "..." where it does not fit. Return BUFFER.
 */
char *text_quote(struct text text, char *buffer, size_t size);

#endif
