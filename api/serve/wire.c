/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c: see wire.h. */
#include "wire.h"

#include <errno.h>
#include <string.h>

uint32_t wire_size(const uint8_t at[WIRE_PREFIX_BYTES])
{
	return (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
}

void wire_prefix(uint8_t at[WIRE_PREFIX_BYTES], uint32_t size)
{
	at[0] = 0;
	at[1] = (uint8_t)(size >> 24);
	at[2] = (uint8_t)(size >> 16);
	at[3] = (uint8_t)(size >> 8);
	at[4] = (uint8_t)size;
}

int wire_timeout(const char *text, size_t length, uint64_t *ret_ns)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = {
		{ 'H', 3600000000000 }, { 'M', 60000000000 }, { 'S', 1000000000 },
		{ 'm', 1000000 },       { 'u', 1000 },        { 'n', 1 },
	};
	uint64_t number = 0;

	/* 99,999,999 hours are 3.6e20 ns: more than 64 bits hold, and than anything lives. */
	if (length < 2 || length > 9)
		return -EINVAL;
	for (size_t i = 0; i < length - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit != text[length - 1])
			continue;
		if (__builtin_mul_overflow(number, units[i].ns, ret_ns))
			*ret_ns = UINT64_MAX;
		return 0;
	}
	return -EINVAL;
}

size_t wire_percent(const char *text, char *out, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t length = 0, whole = 0;

	for (const unsigned char *at = (const unsigned char *)text;; at++) {
		bool plain = *at >= ' ' && *at <= '~' && *at != '%';

		/* Not within a character: here it may be cut off. */
		if ((*at & 0xc0) != 0x80)
			whole = length;
		if (!*at || length + (plain ? 1 : 3) >= size)
			break;
		if (plain) {
			out[length++] = (char)*at;
			continue;
		}
		out[length++] = '%';
		out[length++] = digits[*at >> 4];
		out[length++] = digits[*at & 15];
	}
	out[whole] = '\0';
	return whole;
}

bool wire_is_grpc(const char *type, size_t length)
{
	static const char name[] = "application/grpc", proto[] = "+proto";
	size_t at = sizeof(name) - 1;

	if (length < at || memcmp(type, name, at) != 0)
		return false;
	if (length - at >= sizeof(proto) - 1 && !memcmp(type + at, proto, sizeof(proto) - 1))
		at += sizeof(proto) - 1;
	return at == length || type[at] == ';';
}
