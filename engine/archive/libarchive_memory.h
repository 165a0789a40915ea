/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for libarchive, which calls exit() where an allocation fails in it.
 *
 * libarchive calls malloc, calloc, realloc, strdup, free, iconv_open and iconv_close through the
 * table that the loader has filled for it. The table is changed once in a process, so that these
 * calls arrive here. A thread between libarchive_begin() and libarchive_end() has a list of all
 * blocks that libarchive holds. Where an allocation fails, longjmp() leaves the call of libarchive;
 * that archive is not used any more, and libarchive_end() frees the blocks by the list. libarchive
 * takes no lock and keeps nothing beyond an archive, so nothing else is left half done.
 * On all other threads, and for a program's own use of libarchive, the functions do what those of
 * the C library do.
 *
 * Small blocks are cut off chunks and used again for others of their size; the chunks are given
 * back with the last blocks. An archive of small files is a dozen small blocks a file, so that this
 * is faster than the C library by more than what the list takes.
 *
 * Where the table is not as expected, it is not changed, and a failing allocation ends the process.
 * That is so where another program has changed the table, where it has no explicit addends (32-bit
 * x86 and Arm), or where it is not bound yet because the program has loaded libarchive lazily.
 */
#ifndef VARVE_ARCHIVE_LIBARCHIVE_MEMORY_H
#define VARVE_ARCHIVE_LIBARCHIVE_MEMORY_H

#include "engine/archive/libarchive.h"

/*
 * Begin to use LIB, just loaded, on this thread: for one archive, one at a time for each thread.
 * libarchive ends the process where an allocation fails. From here to libarchive_end() the call in
 * which one fails is left at once instead, and it and each guarded call after it return
 * ARCHIVE_FATAL or NULL; then lib->memory.failed. Names are UTF-8, or bytes: libarchive asks the
 * locale, so the thread has one of that kind meanwhile. Blocks up to SMALL_MAX bytes are cut off
 * chunks (LIBARCHIVE_SMALL_MAX at most; 0: none is). 0 or -ENOMEM; libarchive_end() is due in any
 * case.
 */
int libarchive_begin(struct libarchive *lib, size_t small_max);

/* Free what libarchive holds of this archive. On the thread of libarchive_begin(). */
void libarchive_end(struct libarchive *lib);

#endif
