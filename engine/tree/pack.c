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
static void pack_sparse(const struct pack *pack, const struct item *item, struct archive_entry *entry)
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
static int pack_describe(struct pack *pack, const struct item *item, const char *path, struct archive_entry *entry)
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
	/* Whole seconds, as every other tool of the field writes them; and what stands in for a subvolume has no time of its own. */
	pack->lib.archive_entry_set_mtime(entry, statx->stx_ino == PACK_STAND_IN ? 0 : statx->stx_mtime.tv_sec, 0);
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
static int pack_link(struct pack *pack, const struct item *item, struct archive_entry *entry)
{
	const struct statx *statx = &item->statx;
	uint64_t *first;
	char *path;
	bool added;

	if (statx->stx_nlink < 2 || S_ISDIR(statx->stx_mode))
		return 0;
	first = idmap_add(&pack->links, statx->stx_ino, makedev(statx->stx_dev_major, statx->stx_dev_minor), &added);
	if (!first)
		return -ENOMEM;
	if (added) {
		path = fault_hit(pack->fault, FAULT_ALLOCATION) ? NULL : strdup(item->path + 1);
		*first = (uint64_t)(uintptr_t)path;
		return path ? 0 : -ENOMEM;
	}
	pack->lib.archive_entry_set_size(entry, 0);
	pack->lib.archive_entry_set_hardlink(entry, (const char *)(uintptr_t)*first);
	return 1;
}

/* Write SIZE bytes of content. */
static int pack_data(struct pack *pack, struct archive *archive, const void *bytes, size_t size)
{
	la_ssize_t written = size ? pack->lib.archive_write_data(archive, bytes, size) : 0;

	return written < 0 ? pack_result(pack, archive, ARCHIVE_FATAL) : 0;
}

/* Write the content of ITEM's file. */
static int pack_content(struct pack *pack, struct archive *archive, const struct item *item, const char *path)
{
	uint64_t size = item->statx.stx_size, at = item->length;
	int r = pack_data(pack, archive, item->bytes, item->length);
	struct statx after;

	while (!r && at < size && item->length == WINDOW_FILE_BYTES) {
		ssize_t length = window_pread(item->fd, pack->buffer, MIN(size - at, (uint64_t)STREAM_CHUNK_BYTES), (off_t)at);

		if (length < 0)
			pack_report(pack, (int)length, "pread", path, "the rest is zeros");
		if (length <= 0)
			break;
		r = pack_data(pack, archive, pack->buffer, (size_t)length);
		at += (uint64_t)length;
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	if (r)
		return r;
	if (item->changed || at < size || (item->fd >= 0 && statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after) == 0 &&
					   item_changed(item, &after)))
		pack_report(pack, -ESTALE, "pread", path, "it was changed while it was read");
	return 0;
}

/* Write the entry of ITEM. */
static int pack_entry(struct pack *pack, struct archive *archive, struct archive_entry *entry, struct item *item)
{
	const char *path = item->path;
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
	linked = pack_link(pack, item, entry);
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
	struct window_place place = { .fd = -EBADF };
	struct item *item;
	int r = 0;

	while (!r && (item = window_take(&pack->window, &place))) {
		pack->lib.archive_entry_clear(entry);
		if (item->kind == VARVE_CHANGE_DELETE)
			r = pack_whiteout(pack, archive, entry, item->path);
		else
			r = pack_entry(pack, archive, entry, item);
		window_release(&pack->window);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	window_leave(&place);
	return r ? r : pack->window.error;
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
	window_stop(&pack->window);
	/*
	 * A failed archive is not to be finished, its end would make it look whole: nothing is written from here on. But it is to
	 * be closed, as libarchive 3.6 leaks the buffer of one that was only failed and freed.
	 */
	if (r && archive) {
		pack->error = r;
		pack->lib.archive_write_close(archive);
	}
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
static int pack_measure_entry(struct pack *pack, struct window_place *place, const char *path)
{
	struct statx statx_now;
	const char *name;
	bool added = true;
	int r = window_enter(&pack->window, place, path, &name);

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
	struct window_place place = { .fd = -EBADF };
	struct feed_entry entry;
	int r;

	while ((r = feed_next(&pack->window.feed, &entry)) > 0) {
		r = entry.kind == VARVE_CHANGE_DELETE ? 0 : pack_measure_entry(pack, &place, entry.path);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
		if (r)
			break;
	}
	window_leave(&place);
	return r;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

void pack_begin(struct pack *pack)
{
	window_init(&pack->window);
	pack->links.fault = pack->report.fault = pack->fault;
}

void pack_end(struct pack *pack)
{
	/* Where files are measured, their paths are not kept. */
	for (size_t i = 0; i < pack->links.capacity; i++)
		if (pack->links.slots[i].key)
			free((char *)(uintptr_t)pack->links.slots[i].value);
	window_free(&pack->window);
	idmap_free(&pack->links);
	report_free(&pack->report);
	free(pack->buffer);
}
