/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/listing.h"
#include "engine/base/util.h"
#include "engine/dir/entries.h"

#include <string.h>

/* Append an entry, or with INSIDE the key of its content. */
static int listing_append(struct listing *listing, const struct dirent64 *dirent, bool inside)
{
	const struct listing_entry entry = { .inode = dirent->d_ino,
					     .type = dirent->d_type,
					     .inside = inside };
	size_t length = strlen(dirent->d_name), size = sizeof(entry) + length + inside + 1;
	char *at;

	if (listing->count == listing->order_capacity) {
		size_t capacity = listing->order_capacity + listing->order_capacity / 2 + 32;
		uint32_t *order = fault_realloc(listing->fault, listing->order,
						capacity * sizeof(*order));

		if (!order)
			return -ENOMEM;
		listing->order = order;
		listing->order_capacity = capacity;
	}
	if (listing->size + size > listing->capacity) {
		size_t capacity = listing->capacity + listing->capacity / 2 + 1024;
		char *bytes = capacity > UINT32_MAX
				      ? NULL
				      : fault_realloc(listing->fault, listing->bytes, capacity);

		if (!bytes)
			return -ENOMEM;
		listing->bytes = bytes;
		listing->capacity = capacity;
	}
	at = listing->bytes + listing->size;
	memcpy(at, &entry, sizeof(entry));
	memcpy(at + sizeof(entry), dirent->d_name, length);
	if (inside)
		at[sizeof(entry) + length] = '/';
	at[size - 1] = '\0';
	listing->order[listing->count++] = (uint32_t)listing->size;
	listing->size += size;
	return 0;
}

int listing_add(struct listing *listing, const struct dirent64 *dirent)
{
	return listing_append(listing, dirent, false);
}

/* Take an entry, a directory twice; for entries_read(). */
static int listing_take_paths(void *data, const struct dirent64 *dirent)
{
	int r = listing_add(data, dirent);

	return r || dirent->d_type != DT_DIR ? r : listing_append(data, dirent, true);
}

/* Order by name. */
static int listing_compare(const void *a, const void *b, void *data)
{
	const struct listing *listing = data;
	const struct listing_entry *left = (const void *)(listing->bytes + *(const uint32_t *)a);
	const struct listing_entry *right = (const void *)(listing->bytes + *(const uint32_t *)b);

	return strcmp(left->name, right->name);
}

void listing_clear(struct listing *listing)
{
	listing->count = listing->size = 0;
}

void listing_sort(struct listing *listing)
{
	if (listing->count > 1)
		qsort_r(listing->order, listing->count, sizeof(*listing->order), listing_compare,
			listing);
}

int listing_read_paths(struct listing *listing, int fd)
{
	int r;

	listing_clear(listing);
	r = fd < 0 ? 0 : entries_read(fd, listing_take_paths, listing);
	listing_sort(listing);
	return r;
}

void listing_free(struct listing *listing)
{
	free(listing->bytes);
	free(listing->order);
	*listing = (struct listing){ .fault = listing->fault };
}
