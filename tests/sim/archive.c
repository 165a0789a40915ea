/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libarchive in the place of the real one, whose memory would not be that of a simulated process:
 * whatever is read, the archive is one file, ARCHIVE_FILE with the content ARCHIVE_CONTENT.
 */
#include "layers.h"
#include "wrap.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that the archive is said to have, and those before its end. */
#define ARCHIVE_BYTES 2048
#define ARCHIVE_END 1024

/* An archive, which is its one entry, too. */
struct one_file {
	unsigned headers, blocks;
};

/* What most functions do: 0, NULL, ARCHIVE_OK. */
static int one_file_nothing(void)
{
	return 0;
}

static struct one_file *one_file_new(void)
{
	return calloc(1, sizeof(struct one_file));
}

static int one_file_free(struct one_file *archive)
{
	free(archive);
	return ARCHIVE_OK;
}

static int one_file_open(struct archive *archive, void *data, archive_open_callback *opened,
			 archive_read_callback *read, archive_close_callback *closed)
{
	const void *buffer;

	return read(archive, data, &buffer) > 0 ? ARCHIVE_OK : ARCHIVE_FATAL;
}

static int one_file_next(struct one_file *archive, struct one_file **ret_entry)
{
	*ret_entry = archive;
	return archive->headers++ ? ARCHIVE_EOF : ARCHIVE_OK;
}

static int one_file_block(struct one_file *archive, const void **ret_bytes, size_t *ret_size,
			  int64_t *ret_offset)
{
	*ret_bytes = ARCHIVE_CONTENT;
	*ret_size = strlen(ARCHIVE_CONTENT);
	*ret_offset = 0;
	return archive->blocks++ ? ARCHIVE_EOF : ARCHIVE_OK;
}

/* There are no attributes, and no access lists. */
static int one_file_none(void)
{
	return ARCHIVE_EOF;
}

static const char *one_file_name(struct one_file *entry)
{
	return ARCHIVE_FILE;
}

static mode_t one_file_type(struct one_file *entry)
{
	return AE_IFREG;
}

static mode_t one_file_mode(struct one_file *entry)
{
	return 0644;
}

/* Its owner and its group are those that unpack it. */
static int64_t one_file_owner(struct one_file *entry)
{
	return sim.current->process->uid;
}

static int64_t one_file_size(struct one_file *entry)
{
	return (int64_t)strlen(ARCHIVE_CONTENT);
}

static int64_t one_file_bytes(struct one_file *archive, int filter)
{
	return ARCHIVE_BYTES;
}

static int64_t one_file_position(struct one_file *archive)
{
	return ARCHIVE_END;
}

static const struct {
	const char *name;
	void *function;
} functions[] = {
	{ "archive_read_new", one_file_new },
	{ "archive_read_free", one_file_free },
	{ "archive_read_open", one_file_open },
	{ "archive_read_next_header", one_file_next },
	{ "archive_read_data_block", one_file_block },
	{ "archive_entry_pathname", one_file_name },
	{ "archive_entry_filetype", one_file_type },
	{ "archive_entry_xattr_next", one_file_none },
	{ "archive_entry_acl_next", one_file_none },
	{ "archive_entry_perm", one_file_mode },
	{ "archive_entry_uid", one_file_owner },
	{ "archive_entry_gid", one_file_owner },
	{ "archive_entry_size", one_file_size },
	{ "archive_filter_bytes", one_file_bytes },
	{ "archive_read_header_position", one_file_position },
};

/* The function NAME. */
static void *one_file_function(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!strcmp(functions[i].name, name))
			return functions[i].function;
	return one_file_nothing;
}

/* Is it loaded? The real one is not. */
WRAP(void *, dlopen, (const char *soname, int flags))
{
	OUTSIDE(__real_dlopen(soname, flags));
	return NULL;
}

WRAP(int, library_load, (const char *soname, const char *const *names, size_t count, void *to))
{
	OUTSIDE(__real_library_load(soname, names, count, to));
	if (strncmp(soname, "libarchive.", 11))
		sim_fail("unknown call: the library %s", soname);
	for (size_t i = 0; i < count; i++)
		((void **)to)[i] = one_file_function(names[i]);
	return 0;
}
