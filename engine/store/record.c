/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/record.h"
#include "engine/btrfs/fs.h"
#include "engine/dir/beneath.h"
#include "engine/btrfs/subvol.h"
#include "engine/dir/entries.h"
#include "engine/store/layer.h"
#include "engine/store/layer_file.h"
#include "engine/store/size_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* The attributes: this and a number. */
#define RECORD_ATTRIBUTE "user.vrec."

/* All may read them. */
#define RECORD_MODE 0644

/* Bytes for the name of one. */
#define RECORD_ATTRIBUTE_BYTES (sizeof(RECORD_ATTRIBUTE) + 10)

/* The name of attribute NUMBER. */
static const char *record_attribute(unsigned number, char name[RECORD_ATTRIBUTE_BYTES])
{
	snprintf(name, RECORD_ATTRIBUTE_BYTES, RECORD_ATTRIBUTE "%u", number);
	return name;
}

/* ---- reading --------------------------------------------------------------------------------- */

int record_reader_begin(struct record_reader *reader, struct varve_store *store)
{
	int fd = layout_find(store, LAYOUT_RECORDS);

	*reader = (struct record_reader){ .store = store };
	/* A path by /proc does where the kernel has no better call; most kernels have. */
	reader->dir.method = xattr_probe() == XATTR_AT ? XATTR_AT : XATTR_PROC;
	xattr_dir_set(&reader->dir, fd);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	reader->buffer = fault_realloc(&store->core.io.fault, NULL, RECORD_CONTENT_MAX);
	return reader->buffer ? 0 : -ENOMEM;
}

void record_reader_end(struct record_reader *reader)
{
	free(TAKE_PTR(reader->buffer));
}

/*
 * Read the first chunk of ID's record: its bytes, 0 when there is no record, or -errno. Most
 * records are short, and the kernel clears as many bytes as it is asked for.
 */
static ssize_t record_read_first(struct record_reader *reader, const char *id)
{
	char name[RECORD_ATTRIBUTE_BYTES];
	ssize_t count = xattr_get(&reader->dir, id, record_attribute(0, name), reader->buffer,
				  RECORD_FIRST_BYTES);

	if (count == -ERANGE)
		count = xattr_get(&reader->dir, id, name, reader->buffer, RECORD_CHUNK_MAX);
	if (count == -ENOENT)
		return 0;
	/* Something else is there; or a chunk that we do not write. */
	return !count || count == -ENODATA || count == -ENOTSUP || count == -ERANGE ? -EUCLEAN
										    : count;
}

/*
 * Read all chunks of ID's record, TOTAL bytes, from one file, which cannot change: 0, -EAGAIN when
 * it was replaced by a record of another length meanwhile, or another -errno.
 */
static int record_read_chunks(struct record_reader *reader, const char *id, size_t total)
{
	_cleanup_close_ int fd = -EBADF;
	char name[RECORD_ATTRIBUTE_BYTES];
	uint8_t uuid[BTRFS_UUID_SIZE];
	size_t at = 0, now;

	fd = RET_NERRNO(openat(reader->dir.dir_fd, id,
			       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd == -ELOOP ? -EUCLEAN : fd;
	for (unsigned i = 0; at < total && i < RECORD_CHUNKS_MAX; i++) {
		ssize_t count = RET_NERRNO(fgetxattr(fd, record_attribute(i, name),
						     reader->buffer + at,
						     MIN(total - at, (size_t)RECORD_CHUNK_MAX)));

		if (count < 0)
			return count == -ENODATA || count == -ERANGE || count == -ENOTSUP
				       ? -EUCLEAN
				       : (int)count;
		if (!i &&
		    (record_header(reader->buffer, (size_t)count, &now, uuid) || now != total))
			return -EAGAIN;
		at += (size_t)count;
	}
	return at == total ? 0 : -EUCLEAN;
}

/* Read the record of ID once: as record_reader_read(), or -EAGAIN. */
static int record_read_once(struct record_reader *reader, const char *id,
			    struct record **ret_record)
{
	uint8_t uuid[BTRFS_UUID_SIZE];
	ssize_t count = record_read_first(reader, id);
	size_t total;
	int r;

	if (count <= 0)
		return (int)count;
	r = record_header(reader->buffer, (size_t)count, &total, uuid);
	if (!r && total < (size_t)count)
		r = -EUCLEAN;
	else if (!r && total > (size_t)count)
		r = record_read_chunks(reader, id, total);
	return r ? r
		 : record_parse(&reader->store->core.io.fault, reader->arena, reader->buffer, total,
				ret_record);
}

int record_reader_read(struct record_reader *reader, const char *id, struct record **ret_record)
{
	int r = fault_hit(&reader->store->core.io.fault, FAULT_RECORD);

	*ret_record = NULL;
	if (r || reader->dir.dir_fd < 0)
		return r;
	r = -EAGAIN;
	for (unsigned tries = 0; r == -EAGAIN && tries < RECORD_TRIES; tries++)
		r = record_read_once(reader, id, ret_record);
	return r == -EAGAIN ? -EBUSY : r;
}

bool record_unread(int error)
{
	return error == -EUCLEAN || error == -ENOTSUP || error == -EACCES || error == -EPERM ||
	       error == -EBUSY;
}

const char *record_detail(int error)
{
	return error == -EUCLEAN   ? "the layer's record is damaged: 'varve gc' removes it"
	       : error == -ENOTSUP ? "a later version of varve has written the layer's record"
				   : NULL;
}

int record_find(struct varve_store *store, const char *id, const uint8_t uuid[BTRFS_UUID_SIZE],
		struct record **ret_record)
{
	struct record_reader reader;
	int r = record_reader_begin(&reader, store);

	*ret_record = NULL;
	if (!r)
		r = record_reader_read(&reader, id, ret_record);
	record_reader_end(&reader);
	if (*ret_record && memcmp((*ret_record)->uuid, uuid, BTRFS_UUID_SIZE))
		free(TAKE_PTR(*ret_record));
	return r;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Write COUNT bytes at CONTENT into attributes of FD. */
static int record_write_chunks(int fd, const unsigned char *content, size_t count)
{
	char name[RECORD_ATTRIBUTE_BYTES];
	size_t chunk = RECORD_CHUNK_MIN;
	int r = 0;

	/* What fits into the smallest node need not ask how large they are. */
	if (count > chunk)
		chunk = fs_xattr_bytes(fd) / 4 * 3;
	chunk = MAX(MIN(chunk, (size_t)RECORD_CHUNK_MAX), (size_t)RECORD_CHUNK_MIN);
	for (unsigned i = 0; count && !r; i++) {
		size_t part = MIN(count, chunk);

		r = RET_NERRNO(fsetxattr(fd, record_attribute(i, name), content, part, 0));
		content += part;
		count -= part;
	}
	return r;
}

int record_write(struct varve_store *store, int dir_fd, const char *name,
		 const struct record *record, const uint8_t uuid[BTRFS_UUID_SIZE])
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ unsigned char *content = NULL;
	struct stat stat;
	int r = fault_hit(&store->core.io.fault, FAULT_RECORD);

	if (r)
		return r;
	content = fault_calloc(&store->core.io.fault, 1, record_stored_bytes(record));
	if (!content)
		return -ENOMEM;
	record_store(record, uuid, content);
	fd = RET_NERRNO(openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			       RECORD_MODE));
	if (fd < 0)
		return fd;
	/* Whatever the umask is; mostly it leaves the mode as it is, and a look is cheaper. */
	if (!fstat(fd, &stat) && (stat.st_mode & 07777) != RECORD_MODE)
		r = RET_NERRNO(fchmod(fd, RECORD_MODE));
	if (!r)
		r = record_write_chunks(fd, content, record_stored_bytes(record));
	if (r)
		unlinkat(dir_fd, name, 0);
	return r;
}

int record_write_new(struct varve_store *store, const char *id, const struct record *record,
		     const uint8_t uuid[BTRFS_UUID_SIZE])
{
	int records_fd = layout_need(store, LAYOUT_RECORDS), r;

	if (records_fd < 0)
		return records_fd;
	r = record_write(store, records_fd, id, record, uuid);
	if (r != -EEXIST)
		return r;
	r = layer_file_remove(store, LAYOUT_RECORDS, id);
	return r < 0 ? r : record_write(store, records_fd, id, record, uuid);
}

int record_copy(struct varve_store *store, const char *id, const char *new_id)
{
	int r = layer_file_link(store, LAYOUT_RECORDS, id, new_id);
	_cleanup_free_ struct record *record = NULL;
	struct record_reader reader;

	if (r != -EPERM)
		return MIN(r, 0);
	r = record_reader_begin(&reader, store);
	if (!r)
		r = record_reader_read(&reader, id, &record);
	record_reader_end(&reader);
	return record ? record_write(store, layout_find(store, LAYOUT_RECORDS), new_id, record,
				     record->uuid)
		      : r;
}

/* ---- those that belong to no layer ----------------------------------------------------------- */

/* A search for the subvolume that a record belongs to. */
struct record_search {
	int dir_fd;
	const uint8_t *uuid;
};

/*
 * Is NAME in the directory of SEARCH the subvolume? 1, 0, or -errno: that is not known. What is
 * mounted on it is not looked at.
 */
static int record_search_entry(void *data, const char *name)
{
	const struct record_search *search = data;
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = beneath_open(search->dir_fd, name,
					      O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
	/* A plain directory is in some subvolume, too. */
	if (subvol_check(fd) || subvol_info(fd, &info) < 0)
		return 0;
	return !memcmp(info.uuid, search->uuid, sizeof(info.uuid));
}

/* Is subvolume UUID in the trash? 1, 0, or -errno. */
static int record_in_trash(struct varve_store *store, const uint8_t *uuid)
{
	struct record_search search = { .dir_fd = layout_find(store, LAYOUT_TRASH), .uuid = uuid };
	struct stat stat;

	if (search.dir_fd < 0)
		return search.dir_fd == -ENOENT ? 0 : search.dir_fd;
	/* A directory of btrfs with nothing in it has size 0. */
	if (!fstat(search.dir_fd, &stat) && !stat.st_size)
		return 0;
	return entries_each(search.dir_fd, record_search_entry, &search);
}

int record_belongs(struct varve_store *store, const char *id, bool *ret_damaged)
{
	struct record_search search = { .dir_fd = store->layout.subvolumes_fd };
	struct record_reader reader;
	struct record *record;
	int r = record_reader_begin(&reader, store);

	if (!r)
		r = record_reader_read(&reader, id, &record);
	record_reader_end(&reader);
	*ret_damaged = r == -EUCLEAN;
	if (*ret_damaged)
		return 0;
	/* A later version knows better. */
	if (r || !record)
		return r == -ENOTSUP || !r ? 1 : r;
	search.uuid = record->uuid;
	r = record_search_entry(&search, id);
	if (!r)
		r = record_in_trash(store, record->uuid);
	/* A removal that failed may have put it back meanwhile. */
	if (!r)
		r = record_search_entry(&search, id);
	free(record);
	return r == -EXDEV || r == -EACCES || r == -EPERM ? 1 : r;
}

int record_drop(struct varve_store *store, const char *id)
{
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	int r = layer_file_there(store, LAYOUT_RECORDS, id);
	bool damaged;

	/* Nearly always there is none, and then there is nothing to lock for. */
	if (r <= 0)
		return r;
	r = size_record_lock(store, &lock);
	if (!r)
		r = record_belongs(store, id, &damaged);
	return r ? MIN(r, 0) : layer_file_remove(store, LAYOUT_RECORDS, id);
}
