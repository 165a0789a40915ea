/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/entries.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Fill the buffer: 1, 0 at the end, or -errno. */
static int entries_fill(struct entries *entries)
{
	entries->at = entries->length = 0;
	if (!entries->buffer)
		entries->buffer = malloc(READDIR_BUFFER_BYTES);
	if (!entries->buffer)
		return -ENOMEM;
	entries->length = getdents64(entries->fd, entries->buffer, READDIR_BUFFER_BYTES);
	return entries->length < 0 ? negative_errno() : entries->length > 0;
}

int entries_next(struct entries *entries)
{
	do {
		if (entries->at >= entries->length) {
			int r = entries->fd < 0 ? 0 : entries_fill(entries);

			entries->entry = NULL;
			if (r <= 0)
				return r;
		}
		entries->entry = (const struct dirent64 *)(entries->buffer + entries->at);
		entries->at += entries->entry->d_reclen;
		/* Each entry comes with the position of the next one. */
		entries->position = entries->next;
		entries->next = entries->entry->d_off;
	} while (!strcmp(entries->entry->d_name, ".") || !strcmp(entries->entry->d_name, ".."));
	return 0;
}

int entries_begin(struct entries *entries, int fd)
{
	entries->fd = fd;
	entries->at = entries->length = 0;
	entries->next = 0;
	return entries_next(entries);
}

void entries_end(struct entries *entries)
{
	free(TAKE_PTR(entries->buffer));
}

int entries_read(int fd, int (*each)(void *data, const struct dirent64 *entry), void *data)
{
	struct entries entries = { .fd = -EBADF };
	int r = entries_begin(&entries, fd);

	while (!r && entries.entry) {
		r = each(data, entries.entry);
		if (!r)
			r = entries_next(&entries);
	}
	entries_end(&entries);
	return r;
}

/* The arguments of entries_each(). */
struct entries_names {
	int (*each)(void *data, const char *name);
	void *data;
};

/* Hand on the name of ENTRY. */
static int entries_name(void *data, const struct dirent64 *entry)
{
	struct entries_names *names = data;

	return names->each(names->data, entry->d_name);
}

int entries_each(int dir_fd, int (*each)(void *data, const char *name), void *data)
{
	_cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return negative_errno();
	return entries_read(fd, entries_name, &(struct entries_names){ each, data });
}
