/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of a directory in order. A million of them take some 30 MiB: a number, a type and a name,
 * one behind the other, and four bytes each for the order.
 */
#ifndef VARVE_DIR_LISTING_H
#define VARVE_DIR_LISTING_H

#include "engine/base/fault.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* An entry as it lies in memory, at any address. */
struct listing_entry {
	uint64_t inode;
	/* A DT_ value. */
	unsigned char type;
	/* The key "NAME/" of the content of a directory, instead of the directory itself. */
	bool inside;
	char name[];
} __attribute__((packed));

/* Begins as zeros and a fault; may be filled again. */
struct listing {
	char *bytes;
	size_t size, capacity;
	/* Where entries begin, in order. */
	uint32_t *order;
	size_t count, order_capacity;
	struct fault *fault;
};

/* Remove all entries. */
void listing_clear(struct listing *listing);

/* Append an entry. 0 or -ENOMEM. */
int listing_add(struct listing *listing, const struct dirent64 *dirent);

/* Sort what was added bytewise by name. */
void listing_sort(struct listing *listing);

/*
 * List the directory FD, sorted as whole paths are: a directory comes twice, by its name, and as
 * "NAME/", `inside`, at the place of its content ("a", "a-b", "a/"). A negative FD has no entries. 0
 * or -errno.
 */
int listing_read_paths(struct listing *listing, int fd);

/* The entry at INDEX. */
static inline const struct listing_entry *listing_at(const struct listing *listing, size_t index)
{
	return (const struct listing_entry *)(listing->bytes + listing->order[index]);
}

/* Free what was read. */
void listing_free(struct listing *listing);

#endif
