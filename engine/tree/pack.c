/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/pack.h"
#include "engine/base/list.h"
#include "engine/tree/beneath.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* What a deleted NAME is called in an archive. */
#define PACK_WHITEOUT ".wh."
/* The inode number of what stands in for a subvolume that a snapshot did not take along. */
#define PACK_STAND_IN 2
/* A hole of less than this is not worth a map. */
#define PACK_SPARSE_MIN (64 * 1024)

/* The directory that a thread found its last entry in: the next one is mostly in the same. */
struct pack_place {
	int fd;
	char *path;
	size_t length;
};

/* ---- reading ahead ----------------------------------------------------------------------------------------------- */

/* Open the directory that holds PATH, unless PLACE is it; *RET_NAME is the name in it. */
static int pack_enter(const struct pack *pack, struct pack_place *place, const char *path, const char **ret_name)
{
	const char *name = strrchr(path, '/') + 1;
	size_t length = (size_t)(name - path);
	int fd;

	*ret_name = name;
	if (place->fd >= 0 && place->length == length && !memcmp(place->path, path, length))
		return 0;
	fd_close(TAKE_FD(place->fd));
	free(place->path);
	place->path = fault_hit(pack->fault, FAULT_ALLOCATION) ? NULL : strndup(path, length);
	place->length = length;
	if (!place->path)
		return -ENOMEM;
	fd = beneath_open(pack->root_fd, place->path, O_PATH | O_DIRECTORY);
	place->fd = fd;
	return MIN(fd, 0);
}

/* Close what PLACE holds. */
static void pack_leave(struct pack_place *place)
{
	fd_close(TAKE_FD(place->fd));
	free(TAKE_PTR(place->path));
}

/* Is this an attribute that goes into the archive? */
static bool pack_xattr_wanted(const char *name)
{
	return !strcmp(name, "security.capability") || !strncmp(name, "user.", strlen("user."));
}

/* See that ITEM has room for SIZE bytes. */
static int pack_reserve(const struct pack *pack, struct pack_item *item, size_t size)
{
	char *bytes;

	if (size <= item->capacity)
		return 0;
	bytes = fault_realloc(pack->fault, item->bytes, size);
	if (!bytes)
		return -ENOMEM;
	item->bytes = bytes;
	item->capacity = size;
	return 0;
}

/* Read up to SIZE bytes of FD at OFFSET: how many there were, or -errno. */
static ssize_t pack_pread(int fd, void *buffer, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t length = pread(fd, (char *)buffer + done, size - done, offset + (off_t)done);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return negative_errno();
		if (!length)
			break;
		done += (size_t)length;
	}
	return (ssize_t)done;
}

/* Open the file NAME and read its beginning. */
static int pack_fill_file(const struct pack *pack, struct pack_item *item, int dir_fd, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct statx statx_now;
	ssize_t length;
	int r;

	/* Reading must not change the layer; but only the owner may ask for that. */
	item->call = "openat";
	item->fd = openat(dir_fd, name, flags | O_NOATIME);
	if (item->fd < 0 && errno == EPERM)
		item->fd = openat(dir_fd, name, flags);
	if (item->fd < 0)
		return negative_errno();
	item->call = "statx";
	r = RET_NERRNO(statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &statx_now));
	if (r)
		return r;
	if (!S_ISREG(statx_now.stx_mode))
		return -ESTALE;
	item->statx = statx_now;
	r = pack_reserve(pack, item, MIN(statx_now.stx_size, (uint64_t)PACK_INLINE_BYTES));
	if (r)
		return r;
	item->call = "pread";
	length = pack_pread(item->fd, item->bytes, MIN(statx_now.stx_size, (uint64_t)PACK_INLINE_BYTES), 0);
	if (length < 0)
		return (int)length;
	item->length = (size_t)length;
	if (statx_now.stx_size > PACK_INLINE_BYTES)
		posix_fadvise(item->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

/* Read the target of the link NAME. */
static int pack_fill_link(const struct pack *pack, struct pack_item *item, int dir_fd, const char *name)
{
	ssize_t length;
	int r = pack_reserve(pack, item, PATH_MAX + 1);

	if (r)
		return r;
	item->call = "readlinkat";
	length = readlinkat(dir_fd, name, item->bytes, PATH_MAX);
	if (length < 0)
		return negative_errno();
	item->bytes[length] = '\0';
	return 0;
}

/* Read all that the archive says of the entry at PATH. */
static int pack_fill_entry(const struct pack *pack, struct pack_item *item, struct pack_place *place, const char *path)
{
	const char *name;
	int r = pack_enter(pack, place, path, &name);

	item->call = "openat2";
	if (r)
		return r;
	item->call = "statx";
	r = RET_NERRNO(statx(place->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &item->statx));
	if (r)
		return r;
	if (S_ISREG(item->statx.stx_mode) && item->statx.stx_size)
		r = pack_fill_file(pack, item, place->fd, name);
	else if (S_ISLNK(item->statx.stx_mode))
		r = pack_fill_link(pack, item, place->fd, name);
	if (r || (!S_ISREG(item->statx.stx_mode) && !S_ISDIR(item->statx.stx_mode)))
		return r;
	item->call = "lgetxattr";
	item->xattrs.fault = pack->fault;
	return xattrs_read(&item->xattrs, place->fd, name, pack_xattr_wanted);
}

/* Fill the slot of change INDEX. */
static void pack_fill(struct pack *pack, struct pack_place *place, size_t index)
{
	struct pack_item *item = &pack->items[index % PACK_ITEMS];
	const struct varve_change *change = &pack->changes->list[index];

	item->error = 0;
	item->call = NULL;
	item->fd = -EBADF;
	item->length = item->xattrs.count = 0;
	if (change->kind != VARVE_CHANGE_DELETE)
		item->error = pack_fill_entry(pack, item, place, change->path);
}

/* Take up to COUNT changes, with the lock held: how many, the first one in *RET_FIRST. */
static size_t pack_claim(struct pack *pack, size_t count, size_t *ret_first)
{
	size_t end = MIN(pack->changes->count, pack->at + PACK_ITEMS);

	*ret_first = pack->next;
	count = MIN(count, end - MIN(end, pack->next));
	pack->next += count;
	return count;
}

/* Fill COUNT slots that were taken, from FIRST on. */
static void pack_fill_claimed(struct pack *pack, struct pack_place *place, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++)
		pack_fill(pack, place, i);
	pthread_mutex_lock(&pack->lock);
	for (size_t i = first; i < first + count; i++)
		pack->items[i % PACK_ITEMS].ready = true;
	pthread_cond_broadcast(&pack->ready);
}

void pack_read_ahead(struct pack *pack)
{
	struct pack_place place = { .fd = -EBADF };

	pthread_mutex_lock(&pack->lock);
	while (!pack->over && pack->next < pack->changes->count) {
		size_t first, count = pack_claim(pack, PACK_CLAIM, &first);

		if (!count) {
			pthread_cond_wait(&pack->room, &pack->lock);
			continue;
		}
		pthread_mutex_unlock(&pack->lock);
		pack_fill_claimed(pack, &place, first, count);
	}
	pthread_mutex_unlock(&pack->lock);
	pack_leave(&place);
}

void pack_stop(struct pack *pack)
{
	pthread_mutex_lock(&pack->lock);
	pack->over = true;
	pthread_cond_broadcast(&pack->room);
	pthread_mutex_unlock(&pack->lock);
}

/* The slot of change INDEX, once it is ready. */
static struct pack_item *pack_await(struct pack *pack, struct pack_place *place, size_t index)
{
	struct pack_item *item = &pack->items[index % PACK_ITEMS];

	pthread_mutex_lock(&pack->lock);
	while (!item->ready) {
		size_t first;

		if (pack->next == index && pack_claim(pack, 1, &first)) {
			pthread_mutex_unlock(&pack->lock);
			pack_fill_claimed(pack, place, first, 1);
		} else
			pthread_cond_wait(&pack->ready, &pack->lock);
	}
	pthread_mutex_unlock(&pack->lock);
	return item;
}

/* Done with ITEM, that of change INDEX: its slot is free. */
static void pack_release(struct pack *pack, struct pack_item *item, size_t index)
{
	fd_close(TAKE_FD(item->fd));
	pthread_mutex_lock(&pack->lock);
	item->ready = false;
	pack->at = index + 1;
	/* Wake them for a few at once, not for each. */
	if (pack->at % PACK_CLAIM == 0)
		pthread_cond_broadcast(&pack->room);
	pthread_mutex_unlock(&pack->lock);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Note that an entry is left out, or not as it should be. */
static void pack_report(struct pack *pack, int error, const char *call, const char *path, const char *detail)
{
	report_add(&pack->report, error, "diff", "STREAM", call, path, detail);
}

/* Hand bytes of the archive on; for libarchive. */
static la_ssize_t pack_archive_write(struct archive *archive, void *data, const void *buffer, size_t length)
{
	struct pack *pack = data;

	if (!pack->error)
		pack->error = stream_write(pack->stream, buffer, length);
	if (!pack->error)
		return (la_ssize_t)length;
	pack->lib.archive_set_error(archive, -pack->error, "write");
	return -1;
}

/* What a result of libarchive's comes to: 0, or -errno where the archive cannot go on. */
static int pack_result(struct pack *pack, struct archive *archive, int result)
{
	if (result >= ARCHIVE_WARN)
		return 0;
	if (pack->error)
		return pack->error;
	return pack->lib.archive_errno(archive) > 0 ? -pack->lib.archive_errno(archive) : -EIO;
}

/* Put a map of the data of ITEM's file into ENTRY where it has holes. */
static void pack_sparse(const struct pack *pack, const struct pack_item *item, struct archive_entry *entry)
{
	off_t size = (off_t)item->statx.stx_size, at = 0;

	if (item->fd < 0 || item->statx.stx_blocks * 512 + PACK_SPARSE_MIN > item->statx.stx_size)
		return;
	while (at < size) {
		off_t data = lseek(item->fd, at, SEEK_DATA), hole = data < 0 ? -1 : lseek(item->fd, data, SEEK_HOLE);

		if (hole < 0 || data >= size)
			break;
		at = MIN(hole, size);
		if (data == 0 && at == size)
			return;
		pack->lib.archive_entry_sparse_add_entry(entry, data, at - data);
	}
	/* One hole only: a map needs an end. */
	if (!pack->lib.archive_entry_sparse_count(entry))
		pack->lib.archive_entry_sparse_add_entry(entry, size, 0);
}

/* Describe the entry at PATH, but for its content. 0, or -errno when it has to be left out. */
static int pack_describe(struct pack *pack, const struct pack_item *item, const char *path, struct archive_entry *entry)
{
	const struct statx *statx = &item->statx;
	uint32_t uid, gid;
	int r = idrange_to_container(pack->uids, pack->uids_count, statx->stx_uid, &uid);

	if (!r)
		r = idrange_to_container(pack->gids, pack->gids_count, statx->stx_gid, &gid);
	if (r)
		return r;
	pack->lib.archive_entry_set_pathname(entry, path + 1);
	pack->lib.archive_entry_set_mode(entry, statx->stx_mode);
	pack->lib.archive_entry_set_uid(entry, uid);
	pack->lib.archive_entry_set_gid(entry, gid);
	pack->lib.archive_entry_set_size(entry, S_ISREG(statx->stx_mode) ? (la_int64_t)statx->stx_size : 0);
	/* What stands in for a subvolume has no time of its own. */
	if (statx->stx_ino == PACK_STAND_IN)
		pack->lib.archive_entry_set_mtime(entry, 0, 0);
	else
		pack->lib.archive_entry_set_mtime(entry, statx->stx_mtime.tv_sec, statx->stx_mtime.tv_nsec);
	if (S_ISLNK(statx->stx_mode))
		pack->lib.archive_entry_set_symlink(entry, item->bytes);
	if (S_ISCHR(statx->stx_mode) || S_ISBLK(statx->stx_mode))
		pack->lib.archive_entry_set_rdev(entry, makedev(statx->stx_rdev_major, statx->stx_rdev_minor));
	for (size_t i = 0; i < item->xattrs.count; i++)
		pack->lib.archive_entry_xattr_add_entry(entry, item->xattrs.list[i].name, item->xattrs.list[i].value,
							item->xattrs.list[i].size);
	return 0;
}

/* If the inode was in the archive before, let ENTRY be a link to that: 1, 0 when it was not, or -ENOMEM. */
static int pack_link(struct pack *pack, const struct pack_item *item, size_t index, struct archive_entry *entry)
{
	const struct statx *statx = &item->statx;
	uint64_t *first;
	bool added;

	if (statx->stx_nlink < 2 || S_ISDIR(statx->stx_mode))
		return 0;
	first = idmap_add(&pack->links, statx->stx_ino, makedev(statx->stx_dev_major, statx->stx_dev_minor), &added);
	if (!first)
		return -ENOMEM;
	if (added) {
		*first = index + 1;
		return 0;
	}
	pack->lib.archive_entry_set_size(entry, 0);
	pack->lib.archive_entry_set_hardlink(entry, pack->changes->list[*first - 1].path + 1);
	return 1;
}

/* Write SIZE bytes of content. */
static int pack_data(struct pack *pack, struct archive *archive, const void *bytes, size_t size)
{
	la_ssize_t written = size ? pack->lib.archive_write_data(archive, bytes, size) : 0;

	return written < 0 ? pack_result(pack, archive, ARCHIVE_FATAL) : 0;
}

/* Write the content of ITEM's file. */
static int pack_content(struct pack *pack, struct archive *archive, const struct pack_item *item, const char *path)
{
	uint64_t size = item->statx.stx_size, at = item->length;
	int r = pack_data(pack, archive, item->bytes, item->length);
	struct statx after;

	while (!r && at < size && item->length == PACK_INLINE_BYTES) {
		ssize_t length = pack_pread(item->fd, pack->buffer, MIN(size - at, (uint64_t)STREAM_CHUNK_BYTES), (off_t)at);

		if (length < 0)
			pack_report(pack, (int)length, "pread", path, "the rest is zeros");
		if (length <= 0)
			break;
		r = pack_data(pack, archive, pack->buffer, (size_t)length);
		at += (uint64_t)length;
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	if (r || item->fd < 0 || statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after) < 0)
		return r;
	if (at < size || after.stx_size != size || memcmp(&after.stx_mtime, &item->statx.stx_mtime, sizeof(after.stx_mtime)))
		pack_report(pack, -ESTALE, "pread", path, "it was changed while it was read");
	return 0;
}

/* Write the entry of change INDEX. */
static int pack_entry(struct pack *pack, struct archive *archive, struct archive_entry *entry, struct pack_item *item,
		      size_t index)
{
	const char *path = pack->changes->list[index].path;
	int r, linked;

	if (item->error == -ENOMEM)
		return -ENOMEM;
	if (item->error) {
		pack_report(pack, item->error, item->call, path, "left out");
		return 0;
	}
	if (S_ISSOCK(item->statx.stx_mode))
		return 0;
	r = pack_describe(pack, item, path, entry);
	if (r) {
		pack_report(pack, r, NULL, path, "left out: its owner has no id in the container");
		return 0;
	}
	linked = pack_link(pack, item, index, entry);
	if (linked < 0)
		return linked;
	if (!linked && S_ISREG(item->statx.stx_mode))
		pack_sparse(pack, item, entry);
	r = pack->lib.archive_write_header(archive, entry);
	if (r == ARCHIVE_FAILED && !pack->error) {
		pack_report(pack, -EINVAL, "archive_write_header", path, pack->lib.archive_error_string(archive));
		return 0;
	}
	r = pack_result(pack, archive, r);
	return r || linked || !S_ISREG(item->statx.stx_mode) ? r : pack_content(pack, archive, item, path);
}

/* Write that PATH was deleted. */
static int pack_whiteout(struct pack *pack, struct archive *archive, struct archive_entry *entry, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char *whiteout;
	int r;

	if (asprintf(&whiteout, "%.*s" PACK_WHITEOUT "%s", (int)(name - path - 1), path + 1, name) < 0)
		return -ENOMEM;
	pack->lib.archive_entry_set_pathname(entry, whiteout);
	free(whiteout);
	pack->lib.archive_entry_set_mode(entry, S_IFREG);
	pack->lib.archive_entry_set_size(entry, 0);
	pack->lib.archive_entry_set_mtime(entry, 0, 0);
	r = pack->lib.archive_write_header(archive, entry);
	return pack_result(pack, archive, r);
}

/* Write all entries. */
static int pack_entries(struct pack *pack, struct archive *archive, struct archive_entry *entry)
{
	struct pack_place place = { .fd = -EBADF };
	int r = 0;

	for (size_t i = 0; !r && i < pack->changes->count; i++) {
		struct pack_item *item = pack_await(pack, &place, i);

		pack->lib.archive_entry_clear(entry);
		if (pack->changes->list[i].kind == VARVE_CHANGE_DELETE)
			r = pack_whiteout(pack, archive, entry, pack->changes->list[i].path);
		else
			r = pack_entry(pack, archive, entry, item, i);
		pack_release(pack, item, i);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	pack_leave(&place);
	return r;
}

/* Let ARCHIVE write what we want of the format. */
static int pack_open(struct pack *pack, struct archive *archive)
{
	if (pack->lib.archive_write_set_format_pax(archive) != ARCHIVE_OK ||
	    pack->lib.archive_write_set_options(archive, "xattrheader=SCHILY") < ARCHIVE_WARN ||
	    pack->lib.archive_write_set_bytes_per_block(archive, STREAM_CHUNK_BYTES) != ARCHIVE_OK ||
	    pack->lib.archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK)
		return -ENOMEM;
	return pack_result(pack, archive, pack->lib.archive_write_open(archive, pack, NULL, pack_archive_write, NULL));
}

int pack_write(struct pack *pack)
{
	/* Names are UTF-8, or bytes; libarchive asks the locale, and the program's is its own affair. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = uselocale(utf8);
	struct archive *archive = pack->lib.archive_write_new();
	struct archive_entry *entry = pack->lib.archive_entry_new();
	int r = archive && entry ? 0 : -ENOMEM;

	pack->buffer = fault_realloc(pack->fault, NULL, STREAM_CHUNK_BYTES);
	if (!pack->buffer)
		r = -ENOMEM;
	if (!r)
		r = pack_open(pack, archive);
	if (!r)
		r = pack_entries(pack, archive, entry);
	if (!r)
		r = pack_result(pack, archive, pack->lib.archive_write_close(archive));
	pack_stop(pack);
	/* A failed archive is not to be finished: its end would make it look whole. */
	if (r && archive)
		pack->lib.archive_write_fail(archive);
	pack->lib.archive_entry_free(entry);
	if (archive)
		pack->lib.archive_write_free(archive);
	uselocale(before);
	if (utf8)
		freelocale(utf8);
	return r;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* Add the size of the file at PATH, once. */
static int pack_measure_entry(struct pack *pack, struct pack_place *place, const char *path)
{
	struct statx statx_now;
	const char *name;
	bool added = true;
	int r = pack_enter(pack, place, path, &name);

	if (!r)
		r = RET_NERRNO(statx(place->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &statx_now));
	if (r)
		return r == -ENOENT ? 0 : r;
	if (S_ISDIR(statx_now.stx_mode))
		return 0;
	if (statx_now.stx_nlink > 1 && !idmap_add(&pack->links, statx_now.stx_ino,
						  makedev(statx_now.stx_dev_major, statx_now.stx_dev_minor), &added))
		return -ENOMEM;
	pack->size += added ? statx_now.stx_size : 0;
	return 0;
}

int pack_measure(struct pack *pack)
{
	struct pack_place place = { .fd = -EBADF };
	int r = 0;

	for (size_t i = 0; !r && i < pack->changes->count; i++) {
		if (pack->changes->list[i].kind != VARVE_CHANGE_DELETE)
			r = pack_measure_entry(pack, &place, pack->changes->list[i].path);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	pack_leave(&place);
	return r;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

void pack_begin(struct pack *pack)
{
	pthread_mutex_init(&pack->lock, NULL);
	pthread_cond_init(&pack->ready, NULL);
	pthread_cond_init(&pack->room, NULL);
	pack->links.fault = pack->report.fault = pack->fault;
	for (size_t i = 0; i < PACK_ITEMS; i++)
		pack->items[i].fd = -EBADF;
}

void pack_end(struct pack *pack)
{
	for (size_t i = 0; i < PACK_ITEMS; i++) {
		fd_close(pack->items[i].fd);
		free(pack->items[i].bytes);
		xattrs_free(&pack->items[i].xattrs);
	}
	idmap_free(&pack->links);
	report_free(&pack->report);
	free(pack->buffer);
	pthread_cond_destroy(&pack->room);
	pthread_cond_destroy(&pack->ready);
	pthread_mutex_destroy(&pack->lock);
}
