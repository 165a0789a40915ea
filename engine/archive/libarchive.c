/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/libarchive.h"

#include <stdio.h>
#include <string.h>

int libarchive_load(struct libarchive *lib)
{
	static const char *const names[] = { LIBARCHIVE_CALLS(LIBRARY_NAME) };

	return library_load(LIBARCHIVE_SONAME, names, ARRAY_SIZE(names), lib);
}

/* Offsets in the header of a block of an archive, and how large that is. */
enum {
	HEADER_SIZE = 124,
	HEADER_SUM = 148,
	HEADER_TYPE = 156,
	HEADER_MAGIC = 257,
	HEADER_BYTES = 512
};

/* Write the header of an entry of TYPE with SIZE bytes to BLOCK, of zeros. */
static void libarchive_header(char *block, char type, unsigned size)
{
	unsigned sum = 0;

	block[0] = 'x';
	snprintf(block + HEADER_SIZE, 12, "%011o", size);
	memset(block + HEADER_SUM, ' ', 8);
	block[HEADER_TYPE] = type;
	memcpy(block + HEADER_MAGIC, "ustar\00000", 8);
	for (unsigned i = 0; i < HEADER_BYTES; i++)
		sum += (unsigned char)block[i];
	snprintf(block + HEADER_SUM, 8, "%06o", sum);
}

bool libarchive_counts_backwards(struct libarchive *lib)
{
	static const char time[] = "14 mtime=-1.5\n";
	char bytes[5][HEADER_BYTES] = { 0 };
	struct archive *archive = lib->archive_read_new();
	struct archive_entry *entry;
	bool backwards;

	libarchive_header(bytes[0], 'x', sizeof(time) - 1);
	memcpy(bytes[1], time, sizeof(time) - 1);
	libarchive_header(bytes[2], '0', 0);
	backwards = archive && lib->archive_read_support_format_tar(archive) >= ARCHIVE_WARN &&
		    lib->archive_read_open_memory(archive, bytes, sizeof(bytes)) == ARCHIVE_OK &&
		    lib->archive_read_next_header(archive, &entry) == ARCHIVE_OK &&
		    lib->archive_entry_mtime(entry) == -1;
	if (archive)
		lib->archive_read_free(archive);
	return backwards;
}
