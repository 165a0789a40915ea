/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libarchive, loaded for the first archive: with the libraries that it needs it would be most of
 * the memory of a process that has no use for archives.
 */
#ifndef VARVE_ARCHIVE_LIBARCHIVE_H
#define VARVE_ARCHIVE_LIBARCHIVE_H

#include "engine/base/library.h"
#include "engine/base/limits.h"
#include "engine/base/list.h"

#include <archive.h>
#include <archive_entry.h>
#include <iconv.h>
#include <locale.h>
#include <setjmp.h>
#include <stdbool.h>

/* Its functions that allocate or free, or that continue after one of those. */
#define LIBARCHIVE_GUARDED(CALL)                    \
	CALL(archive_entry_acl_next)                \
	CALL(archive_entry_clear)                   \
	CALL(archive_entry_free)                    \
	CALL(archive_entry_hardlink)                \
	CALL(archive_entry_new)                     \
	CALL(archive_entry_pathname)                \
	CALL(archive_entry_set_hardlink)            \
	CALL(archive_entry_set_pathname)            \
	CALL(archive_entry_set_symlink)             \
	CALL(archive_entry_sparse_add_entry)        \
	CALL(archive_entry_symlink)                 \
	CALL(archive_entry_xattr_add_entry)         \
	CALL(archive_read_data_block)               \
	CALL(archive_read_free)                     \
	CALL(archive_read_new)                      \
	CALL(archive_read_next_header)              \
	CALL(archive_read_open)                     \
	CALL(archive_read_open_memory)              \
	CALL(archive_read_support_filter_none)      \
	CALL(archive_read_support_format_tar)       \
	CALL(archive_write_close)                   \
	CALL(archive_write_data)                    \
	CALL(archive_write_free)                    \
	CALL(archive_write_header)                  \
	CALL(archive_write_new)                     \
	CALL(archive_write_open)                    \
	CALL(archive_write_set_bytes_in_last_block) \
	CALL(archive_write_set_bytes_per_block)     \
	CALL(archive_write_set_format_pax)          \
	CALL(archive_write_set_options)

/* Its other functions that are called. */
#define LIBARCHIVE_PLAIN(CALL)             \
	CALL(archive_entry_acl_reset)      \
	CALL(archive_entry_filetype)       \
	CALL(archive_entry_gid)            \
	CALL(archive_entry_mtime)          \
	CALL(archive_entry_mtime_nsec)     \
	CALL(archive_entry_perm)           \
	CALL(archive_entry_rdev)           \
	CALL(archive_entry_set_gid)        \
	CALL(archive_entry_set_mode)       \
	CALL(archive_entry_set_mtime)      \
	CALL(archive_entry_set_rdev)       \
	CALL(archive_entry_set_size)       \
	CALL(archive_entry_set_uid)        \
	CALL(archive_entry_size)           \
	CALL(archive_entry_sparse_count)   \
	CALL(archive_entry_uid)            \
	CALL(archive_entry_xattr_next)     \
	CALL(archive_entry_xattr_reset)    \
	CALL(archive_errno)                \
	CALL(archive_error_string)         \
	CALL(archive_filter_bytes)         \
	CALL(archive_read_header_position) \
	CALL(archive_set_error)

#define LIBARCHIVE_CALLS(CALL) LIBARCHIVE_GUARDED(CALL) LIBARCHIVE_PLAIN(CALL)

/* The binary interface of the headers above. */
#define LIBARCHIVE_SONAME "libarchive.so.13"
/* The detail of the failure when libarchive cannot be loaded. */
#define LIBARCHIVE_MISSING "archives take " LIBARCHIVE_SONAME

/* The memory of one archive. */
struct libarchive_memory {
	/* Its large blocks and its chunks, and their bytes: LIBARCHIVE_BYTES_MAX at most. */
	struct list blocks;
	size_t bytes;
	/* Small blocks are those up to so many bytes; 0: there are none. */
	size_t small_max;
	/* The rest of the last chunk; free small blocks, a stack for each size. */
	char *chunk;
	size_t chunk_left;
	struct list *free[LIBARCHIVE_SMALL_MAX / LIBARCHIVE_SMALL_STEP + 1];
	/* The conversions of names that it has open. */
	iconv_t conversions[LIBARCHIVE_CONVERSIONS_MAX];
	size_t conversions_count;
	/* A call of libarchive's is under way; it began at jump. */
	bool inside;
	jmp_buf jump;
	/*
	 * An allocation has failed: the archive is lost, what is left to do is libarchive_end(),
	 * and -ENOMEM.
	 */
	bool failed;
	/* ... because it would exceed LIBARCHIVE_BYTES_MAX. */
	bool bounded;
	/* The guarded functions as libarchive has them. */
	LIBARCHIVE_GUARDED(LIBRARY_FIELD)
};

struct libarchive {
	/* Its functions, by their own names; library_load() fills them. */
	LIBARCHIVE_CALLS(LIBRARY_FIELD)
	struct libarchive_memory memory;
	/* The locale for names, and the thread's own. */
	locale_t names, before;
};

/*
 * Fill LIB; the first time in a process that takes some ms and reads files. 0; -ENOTSUP: it is not
 * installed, or lacks a function. What is loaded stays until the process ends.
 */
int libarchive_load(struct libarchive *lib);

/*
 * Does LIB, between libarchive_begin() and libarchive_end(), read the time -1.5 of a PAX header as
 * -1 s and 0.5 s, which is -0.5? False, too, where that cannot be found out.
 */
bool libarchive_counts_backwards(struct libarchive *lib);

#endif
