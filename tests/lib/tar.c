/* SPDX-License-Identifier: Apache-2.0 */
#include "tar.h"

#include "test.h"

/* Offsets and lengths in a header. */
enum {
	NAME = 0,
	NAME_BYTES = 100,
	MODE = 100,
	UID = 108,
	GID = 116,
	SIZE = 124,
	MTIME = 136,
	SUM = 148,
	TYPE = 156,
	LINK = 157,
	MAGIC = 257,
	MAJOR = 329,
	MINOR = 337,
};

void tar_add_bytes(struct tar *tar, const void *bytes, size_t size)
{
	size_t padded = (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;

	if (tar->size + padded > tar->capacity) {
		char *larger = test_alloc(tar->capacity = 2 * tar->capacity + padded + 4096);

		if (tar->size)
			memcpy(larger, tar->bytes, tar->size);
		tar->bytes = larger;
	}
	memset(tar->bytes + tar->size, 0, padded);
	if (size)
		memcpy(tar->bytes + tar->size, bytes, size);
	tar->size += padded;
}

/* The record, and how long it is. */
static char *pax_record(const char *key, const void *value, size_t size, size_t *ret_length)
{
	size_t rest = strlen(key) + size + 3, length = rest + 1;
	char *record, digits[32];

	while ((size_t)snprintf(digits, sizeof(digits), "%zu", length) + rest != length)
		length++;
	record = test_alloc(length + 1);
	memcpy(record + sprintf(record, "%zu %s=", length, key), value, size);
	record[length - 1] = '\n';
	*ret_length = length;
	return record;
}

char *tar_pax_record(const char *key, const void *value, size_t size)
{
	size_t length;

	return pax_record(key, value, size, &length);
}

void tar_add_pax(struct tar *tar, const char *key, const void *value, size_t size)
{
	size_t length;
	char *record = pax_record(key, value, size, &length);

	tar_add(tar,
		&(struct tar_entry){
			.name = "PaxHeaders/x", .type = 'x', .content = record, .size = length });
}

void tar_add(struct tar *tar, const struct tar_entry *entry)
{
	char header[TAR_BLOCK_BYTES + 1] = "";
	uint64_t size = entry->claim ? entry->claim : entry->size;
	unsigned sum = 0;

	if (strlen(entry->name) > NAME_BYTES)
		tar_add_pax(tar, "path", entry->name, strlen(entry->name));
	if (entry->link && strlen(entry->link) > NAME_BYTES)
		tar_add_pax(tar, "linkpath", entry->link, strlen(entry->link));
	memcpy(header + NAME, entry->name, strnlen(entry->name, NAME_BYTES));
	sprintf(header + MODE, "%07o", entry->mode ? entry->mode : 0644);
	sprintf(header + UID, "%07o", entry->uid);
	sprintf(header + GID, "%07o", entry->gid);
	/* What has no place in eleven octal digits is binary, with the first bit set. */
	if (size < 1ull << 33)
		sprintf(header + SIZE, "%011llo", (unsigned long long)size);
	else
		for (unsigned i = 0; i < 12; i++)
			header[SIZE + 11 - i] = (char)(i < 8        ? size >> 8 * i
						       : size >> 63 ? 0xff
						       : i == 11    ? 0x80
								    : 0);
	sprintf(header + MTIME, "%011o", 1000000);
	header[TYPE] = entry->type ? entry->type : '0';
	if (entry->link)
		memcpy(header + LINK, entry->link, strnlen(entry->link, NAME_BYTES));
	memcpy(header + MAGIC, "ustar\00000", 8);
	sprintf(header + MAJOR, "%07o", entry->device);
	sprintf(header + MINOR, "%07o", 3);
	memset(header + SUM, ' ', 8);
	for (unsigned i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += (unsigned char)header[i];
	sprintf(header + SUM, "%06o", sum);
	tar_add_bytes(tar, header, TAR_BLOCK_BYTES);
	if (entry->size)
		tar_add_bytes(tar, entry->content, entry->size);
}

void tar_add_file(struct tar *tar, const char *name, const char *text)
{
	tar_add(tar, &(struct tar_entry){ .name = name, .content = text, .size = strlen(text) });
}

void tar_end(struct tar *tar)
{
	static const char zeros[2 * TAR_BLOCK_BYTES];

	tar_add_bytes(tar, zeros, sizeof(zeros));
}
