/* SPDX-License-Identifier: Apache-2.0 */
/* The hash by which btrfs orders the entries of a directory. */
#ifndef VARVE_BTRFS_NAME_HASH_H
#define VARVE_BTRFS_NAME_HASH_H

#include <stdint.h>

/* What -EOVERFLOW says to a person where a name was to be made. */
#define NAME_HASH_FULL "btrfs takes no more names of the same hash in a directory: choose another"

/* The offset of the DIR_ITEM of NAME: CRC-32C that begins with ~1 and is not inverted. */
uint32_t name_hash(const char *name);

#endif
