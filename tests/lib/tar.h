/* SPDX-License-Identifier: Apache-2.0 */
/* Archives made entry by entry, also such as no honest program makes. */
#ifndef TEST_TAR_H
#define TEST_TAR_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_BYTES 512

/* An archive that grows; start from zeros. Its bytes live as long as the process. */
struct tar {
	char *bytes;
	size_t size, capacity;
};

/* What an entry is; fields that are 0 or NULL stand for nothing. */
struct tar_entry {
	const char *name;    /* Up to 100 bytes; longer ones go into a PAX header. */
	char type;           /* Of ustar; 0: '0'. */
	const char *link;    /* Target. */
	const void *content; /* Of `size` bytes. */
	size_t size;
	uint64_t claim;    /* The size that the header claims, if not `size`. */
	unsigned mode;     /* 0: 0644. */
	unsigned device;   /* Major number. */
	unsigned uid, gid; /* Owner. */
};

/* Add an entry. */
void tar_add(struct tar *tar, const struct tar_entry *entry);

/* A record of a PAX header: KEY=VALUE, SIZE bytes of it. */
char *tar_pax_record(const char *key, const void *value, size_t size);

/* Add a PAX header for the next entry: KEY=VALUE, SIZE bytes of it. */
void tar_add_pax(struct tar *tar, const char *key, const void *value, size_t size);

/* Add a file NAME with the content TEXT. */
void tar_add_file(struct tar *tar, const char *name, const char *text);

/* Add SIZE bytes as they are, filled up to a block. */
void tar_add_bytes(struct tar *tar, const void *bytes, size_t size);

/* Add the zeros at the end. */
void tar_end(struct tar *tar);

#endif
