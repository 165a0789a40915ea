/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/name_hash.h"

/* The polynomial of CRC-32C, its bits reversed. */
#define NAME_HASH_POLYNOMIAL UINT32_C(0x82f63b78)

uint32_t name_hash(const char *name)
{
	uint32_t hash = ~UINT32_C(1);

	for (; *name; name++) {
		hash ^= (unsigned char)*name;
		for (unsigned bit = 0; bit < 8; bit++)
			hash = hash >> 1 ^ (NAME_HASH_POLYNOMIAL & -(hash & 1));
	}
	return hash;
}
