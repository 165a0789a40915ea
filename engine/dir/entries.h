/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a directory. */
#ifndef VARVE_DIR_ENTRIES_H
#define VARVE_DIR_ENTRIES_H

#include <dirent.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A directory read entry by entry, without "." and "..". Begins as zeros; may be begun again.
 */
struct entries {
	int fd;
	/* READDIR_BUFFER_BYTES; how many of them are filled, and how many of those passed. */
	char *buffer;
	ssize_t length, at;
	/* The current entry, valid until the next call; NULL: there are no more. */
	const struct dirent64 *entry;
	/* The positions of the entry and of the next one, as the file system numbers them. */
	int64_t position, next;
};

/*
 * Read the directory FD from where that stands, up to the first entry; a negative FD has none. 0 or
 * -errno.
 */
int entries_begin(struct entries *entries, int fd);

/* Go on to the next entry. 0 or -errno. */
int entries_next(struct entries *entries);

/* Free what was allocated. */
void entries_end(struct entries *entries);

/*
 * Call EACH with every entry, but "." and "..", of the directory FD, from where that stands, until
 * it returns something other than 0. Returns that, 0 at the end, or -errno.
 */
int entries_read(int fd, int (*each)(void *data, const struct dirent64 *entry), void *data);

/*
 * Call EACH with every name in the directory DIR_FD, but "." and "..", until it returns something
 * other than 0. Returns that, 0 at the end, or -errno. DIR_FD's own position does not matter and is
 * not moved.
 */
int entries_each(int dir_fd, int (*each)(void *data, const char *name), void *data);

#endif
