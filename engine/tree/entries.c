/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/entries.h"
#include "engine/base/id.h"
#include "engine/base/limits.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>

/* Call EACH with the LENGTH bytes of directory entries in BUFFER. */
static int entries_buffer(const char *buffer, ssize_t length, int (*each)(void *, const struct dirent64 *), void *data)
{
	int r = 0;

	for (ssize_t at = 0; !r && at < length;) {
		const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);

		at += entry->d_reclen;
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = each(data, entry);
	}
	return r;
}

int entries_read(int fd, int (*each)(void *data, const struct dirent64 *entry), void *data)
{
	_cleanup_free_ char *buffer = malloc(READDIR_BUFFER_BYTES);
	int r = 0;

	if (!buffer)
		return -ENOMEM;
	while (!r) {
		ssize_t length = getdents64(fd, buffer, READDIR_BUFFER_BYTES);

		if (length <= 0)
			return length < 0 ? negative_errno() : 0;
		r = entries_buffer(buffer, length, each, data);
	}
	return r;
}

/* What entries_each() hands on. */
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

bool entries_layer_ref(const struct varve_store *store, const struct search *search, uint64_t parent, char *ret_name)
{
	struct btrfs_root_ref ref;
	uint16_t length;

	if (search->header.len < sizeof(ref) || parent != store->layout.subvolumes_root)
		return false;
	memcpy(&ref, search->item, sizeof(ref));
	length = le16toh(ref.name_len);
	if (le64toh(ref.dirid) != store->layout.subvolumes_inode || length > VARVE_ID_MAX ||
	    sizeof(ref) + length > search->header.len)
		return false;
	memcpy(ret_name, (const char *)search->item + sizeof(ref), length);
	ret_name[length] = '\0';
	return strncmp(ret_name, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX));
}
