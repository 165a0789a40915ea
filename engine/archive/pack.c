/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/pack.h"
#include "engine/btrfs/abi.h"
#include "engine/archive/libarchive_memory.h"
#include "engine/archive/tar_name.h"
#include "engine/base/list.h"
#include "engine/dir/acl.h"
#include "engine/dir/beneath.h"
#include "engine/dir/opath.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The end of an archive that failed. */
#define PACK_BROKEN "broken off\n"
/* A hole of less than this is not worth a map. */
#define PACK_SPARSE_MIN (64 * 1024)
/* Seconds that the kernel gives the holder of a lease, where it does not report them. */
#define PACK_LEASE_S 45

/* ---- writing --------------------------------------------------------------------------------- */

/* Report that an entry is left out, or was changed while it was read. */
static void pack_report(struct pack *pack, int error, const char *call, const char *path,
			const char *detail)
{
	skipped_add(&pack->report, error, "diff", "STREAM", call, path, detail);
}

/* Pass bytes of the archive on: the write callback of libarchive. */
static la_ssize_t pack_archive_write(struct archive *archive, void *data, const void *buffer,
				     size_t length)
{
	struct pack *pack = data;

	if (!pack->error)
		pack->error = compress_write(&pack->compress, buffer, length);
	if (!pack->error)
		return (la_ssize_t)length;
	pack->lib.archive_set_error(archive, -pack->error, "write");
	return -1;
}

/* 0 for a RESULT of libarchive after which the archive can go on, otherwise -errno. */
static int pack_result(struct pack *pack, struct archive *archive, int result)
{
	if (pack->lib.memory.failed)
		return -ENOMEM;
	if (result >= ARCHIVE_WARN)
		return 0;
	if (pack->error)
		return pack->error;
	return pack->lib.archive_errno(archive) > 0 ? -pack->lib.archive_errno(archive) : -EIO;
}

/* Record that the archive fails with ERROR at ITEM, in CALL. Returns ERROR. */
static int pack_fail(struct pack *pack, const struct item *item, int error, const char *call)
{
	pack->failed = strdup(item->path);
	pack->failed_call = call;
	return error;
}

/* 0 if an archive can have an entry of the name of PATH, otherwise -errno: the archive fails. */
static int pack_check_name(struct pack *pack, const char *path)
{
	if (strncmp(strrchr(path, '/') + 1, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)))
		return 0;
	pack->failed = strdup(path);
	pack->failed_call = NULL;
	pack->failed_detail = "a name that begins with \".wh.\" means a deletion in an archive";
	return -EINVAL;
}

/* Put a map of the data of ITEM's file into ENTRY where it has holes. */
static void pack_sparse(const struct pack *pack, const struct item *item,
			struct archive_entry *entry)
{
	const struct pieces *pieces = &pack->pieces;
	off_t size = (off_t)item->statx.stx_size;

	if (!size || (pieces->count == 1 && !pieces->list[0].at && pieces->list[0].end == size))
		return;
	for (size_t i = 0; i < pieces->count; i++)
		pack->lib.archive_entry_sparse_add_entry(entry, pieces->list[i].at,
							 pieces->list[i].end - pieces->list[i].at);
	/* A map without data needs an end. */
	if (!pieces->count)
		pack->lib.archive_entry_sparse_add_entry(entry, size, 0);
}

/*
 * Set *RET_ID to what ID, a GROUP's or a user's that ITEM has, is in the container. 0, or -errno:
 * the archive cannot go on.
 */
static int pack_id(struct pack *pack, const struct item *item, bool group, uint32_t id,
		   uint32_t *ret_id)
{
	int r = idrange_to_container(group ? pack->gids : pack->uids,
				     group ? pack->gids_count : pack->uids_count, id, ret_id);

	if (!r)
		return 0;
	if (!pack->overflow) {
		pack->failed_detail =
			"an owner that is in no map: VARVE_OVERFLOW_IDS (--overflow-ids) makes it 65534";
		return pack_fail(pack, item, r, NULL);
	}
	*ret_id = IDRANGE_OVERFLOW_ID;
	if (!pack->outside)
		pack_report(pack, r, NULL, item->path, IDRANGE_OVERFLOWED);
	pack->outside = true;
	return 0;
}

/* The access control list of ITEM that is being mapped. */
struct pack_acl {
	struct pack *pack;
	const struct item *item;
};

/* Map ID, a GROUP's or a user's, to the container. */
static int pack_acl_id(void *data, bool group, uint32_t *id)
{
	const struct pack_acl *acl = data;

	return pack_id(acl->pack, acl->item, group, *id, id);
}

/*
 * Add the attributes of ITEM to ENTRY. Access control lists have the container's ids. 0, or -errno:
 * the archive cannot go on.
 */
static int pack_xattrs(struct pack *pack, const struct item *item, struct archive_entry *entry)
{
	struct pack_acl acl = { pack, item };

	for (size_t i = 0; i < item->xattrs.count; i++) {
		const struct xattr *xattr = &item->xattrs.list[i];
		/* Changed in place: the item's memory is read only once. */
		int r = acl_is(xattr->name)
				? acl_map((void *)xattr->value, xattr->size, pack_acl_id, &acl)
				: 0;

		if (r == -EBADMSG)
			return pack_fail(pack, item, r, "getxattr");
		if (r)
			return r;
		pack->lib.archive_entry_xattr_add_entry(entry, xattr->name, xattr->value,
							xattr->size);
	}
	return 0;
}

/* Describe the entry at PATH, but for its content. 0, or -errno: the archive cannot go on. */
static int pack_describe(struct pack *pack, const struct item *item, const char *path,
			 struct archive_entry *entry)
{
	const struct statx *statx = &item->statx;
	uint32_t uid, gid;
	int r;

	pack->outside = false;
	r = pack_id(pack, item, false, statx->stx_uid, &uid);
	if (!r)
		r = pack_id(pack, item, true, statx->stx_gid, &gid);
	if (r)
		return r;
	pack->lib.archive_entry_set_pathname(entry, path + 1);
	pack->lib.archive_entry_set_mode(entry, statx->stx_mode);
	pack->lib.archive_entry_set_uid(entry, uid);
	pack->lib.archive_entry_set_gid(entry, gid);
	pack->lib.archive_entry_set_size(entry, S_ISREG(statx->stx_mode)
							? (la_int64_t)statx->stx_size
							: 0);
	/*
	 * Whole seconds, as other tools write them; 0 for the empty directory in the place of a
	 * subvolume.
	 */
	pack->lib.archive_entry_set_mtime(
		entry, statx->stx_ino == ABI_STAND_IN_INODE ? 0 : statx->stx_mtime.tv_sec, 0);
	if (S_ISLNK(statx->stx_mode))
		pack->lib.archive_entry_set_symlink(entry, item->bytes);
	if (S_ISCHR(statx->stx_mode) || S_ISBLK(statx->stx_mode))
		pack->lib.archive_entry_set_rdev(entry, makedev(statx->stx_rdev_major,
								statx->stx_rdev_minor));
	return pack_xattrs(pack, item, entry);
}

/*
 * If the inode is in the archive under another name, make ENTRY a link to that name: 1, 0 when it
 * is not, or -ENOMEM.
 */
static int pack_link(struct pack *pack, const struct item *item, struct archive_entry *entry)
{
	const struct statx *statx = &item->statx;
	uint64_t *first;
	char *path;
	bool added;

	if (statx->stx_nlink < 2 || S_ISDIR(statx->stx_mode))
		return 0;
	first = inode_map_add(&pack->links, statx->stx_ino,
			      makedev(statx->stx_dev_major, statx->stx_dev_minor), &added);
	if (!first)
		return -ENOMEM;
	/* Or it was left out under an earlier name. */
	if (added || !*first) {
		path = fault_hit(pack->fault, FAULT_ALLOCATION) ? NULL : strdup(item->path + 1);
		*first = (uint64_t)(uintptr_t)path;
		return path ? 0 : -ENOMEM;
	}
	pack->lib.archive_entry_set_size(entry, 0);
	pack->lib.archive_entry_set_hardlink(entry, (const char *)(uintptr_t)*first);
	return 1;
}

/* ITEM is left out after all: a later name of it must not be a link to this name. */
static void pack_unlink(struct pack *pack, const struct item *item)
{
	const struct statx *statx = &item->statx;
	uint64_t *first = inode_map_find(&pack->links, statx->stx_ino,
					 makedev(statx->stx_dev_major, statx->stx_dev_minor));

	if (first)
		free((char *)(uintptr_t)TAKE(*first, 0));
}

/* Write SIZE bytes of content. */
static int pack_data(struct pack *pack, struct archive *archive, const void *bytes, size_t size)
{
	la_ssize_t written = size ? pack->lib.archive_write_data(archive, bytes, size) : 0;

	return written < 0 ? pack_result(pack, archive, ARCHIVE_FATAL) : 0;
}

/*
 * Pass over a hole of SIZE bytes: as the map has it, libarchive counts its bytes, and looks at
 * none.
 */
static int pack_hole(struct pack *pack, struct archive *archive, off_t size)
{
	int r = 0;

	while (!r && size) {
		la_ssize_t passed = pack->lib.archive_write_data(archive, pack->buffer,
								 (size_t)MIN(size, (off_t)INT_MAX));

		if (passed <= 0)
			r = pack_result(pack, archive, ARCHIVE_FATAL);
		size -= passed;
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	return r;
}

/* Write one PIECE of ITEM's file: 1, 0 where that ended before, or -errno. */
static int pack_piece(struct pack *pack, struct archive *archive, const struct item *item,
		      const struct piece *piece)
{
	off_t at = piece->at, known = MIN((off_t)item->length, piece->end);
	int r = 0;

	if (at < known) {
		r = pack_data(pack, archive, item->bytes + at, (size_t)(known - at));
		at = known;
	}
	while (!r && at < piece->end && item->length == PREFETCH_FILE_BYTES) {
		ssize_t length = opath_pread(item->fd, pack->buffer,
					     (size_t)MIN(piece->end - at,
							 (off_t)STREAM_CHUNK_BYTES),
					     at);

		if (length < 0)
			return pack_fail(pack, item, (int)length, "pread");
		if (!length)
			break;
		r = pack_data(pack, archive, pack->buffer, (size_t)length);
		at += length;
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	return r ? r : at == piece->end;
}

/* Write the content of ITEM's file. libarchive writes zeros for all that it is not given. */
static int pack_content(struct pack *pack, struct archive *archive, const struct item *item,
			const char *path)
{
	const struct pieces *pieces = &pack->pieces;
	struct statx after;
	off_t at = 0;
	int r = 1;

	/* It writes the map before the first bytes, even where there is but a hole. */
	if (!pieces->count && item->statx.stx_size)
		r = pack_hole(pack, archive, 1) ?: 1;
	for (size_t i = 0; r > 0 && i < pieces->count; i++) {
		r = pack_hole(pack, archive, pieces->list[i].at - at) ?: 1;
		if (r > 0)
			r = pack_piece(pack, archive, item, &pieces->list[i]);
		at = pieces->list[i].end;
	}
	if (r < 0)
		return r;
	if (item->changed || !r ||
	    (item->fd >= 0 && statx(item->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after) == 0 &&
	     item_changed(item, &after)))
		pack_report(pack, -ESTALE, "pread", path, "it was changed while it was read");
	return 0;
}

/*
 * Check that the content of ITEM's file can be written: 0, 1 if the entry is left out, or -errno.
 */
static int pack_regular(struct pack *pack, const struct item *item, struct archive_entry *entry)
{
	off_t size = (off_t)item->statx.stx_size;
	int r;

	if (pack->file_size_max && item->statx.stx_size > pack->file_size_max)
		return pack_fail(pack, item, -EFBIG, "statx");
	if (item->fd < 0 || item->statx.stx_blocks * 512 + PACK_SPARSE_MIN > item->statx.stx_size)
		r = pieces_whole(&pack->pieces, size);
	else
		r = pieces_find(&pack->pieces, item->fd, size, pack->cancelled);
	if (r == -EFBIG) {
		pack_report(pack, r, "lseek", item->path,
			    "left out: its holes are too large, or too many, for an archive");
		return 1;
	}
	if (r)
		return pack_fail(pack, item, r, "lseek");
	pack_sparse(pack, item, entry);
	return 0;
}

/* Write the header of ITEM, LINKED or not, that ENTRY describes, and what comes behind it. */
static int pack_put(struct pack *pack, struct archive *archive, struct archive_entry *entry,
		    const struct item *item, bool linked)
{
	int r = pack->lib.archive_write_header(archive, entry);

	if (r == ARCHIVE_FAILED && !pack->error) {
		pack_report(pack, -EINVAL, "archive_write_header", item->path,
			    pack->lib.archive_error_string(archive));
		if (!linked)
			pack_unlink(pack, item);
		return 0;
	}
	r = pack_result(pack, archive, r);
	return r || linked || !S_ISREG(item->statx.stx_mode)
		       ? r
		       : pack_content(pack, archive, item, item->path);
}

/* Write the entry of ITEM. */
static int pack_entry(struct pack *pack, struct archive *archive, struct archive_entry *entry,
		      struct item *item)
{
	const char *path = item->path;
	int r = pack_check_name(pack, path), linked;

	if (r)
		return r;
	if (item->error && !opath_left_out(item->error))
		return pack_fail(pack, item, item->error, item->call);
	if (item->error) {
		pack_report(
			pack, item->error, item->call, path,
			item->error == -EXDEV ? "left out: something is mounted there"
			: item->error == -E2BIG
				? "left out: it has more attributes than readers of archives take"
				: "left out");
		return 0;
	}
	if (S_ISSOCK(item->statx.stx_mode))
		return 0;
	r = pack_describe(pack, item, path, entry);
	if (r)
		return r;
	linked = pack_link(pack, item, entry);
	if (linked < 0)
		return linked;
	r = !linked && S_ISREG(item->statx.stx_mode) ? pack_regular(pack, item, entry) : 0;
	if (r > 0)
		pack_unlink(pack, item);
	return r ? MIN(r, 0) : pack_put(pack, archive, entry, item, linked);
}

/* How long a process may keep a lease that the kernel is breaking. */
static uint64_t pack_lease_ns(void)
{
	FILE *file = fopen("/proc/sys/fs/lease-break-time", "re");
	uint64_t seconds = PACK_LEASE_S, wait_ms;

	if (file) {
		if (fscanf(file, "%" SCNu64, &seconds) != 1)
			seconds = PACK_LEASE_S;
		fclose(file);
	}
	wait_ms = seconds && seconds < LEASE_WAIT_MAX_MS / 1000 ? seconds * 1000 + LEASE_GRACE_MS
								: LEASE_WAIT_MAX_MS;
	return wait_ms * NS_PER_MS;
}

/*
 * A process keeps a lease on ITEM's file. The kernel has notified the process, and breaks the lease
 * after a while: try again until then. Threads that read ahead do not wait. 0 or -ECANCELED.
 */
static int pack_lease(struct pack *pack, struct item *item, struct prefetch_place *place)
{
	const struct timespec pause = { .tv_nsec = LEASE_POLL_MS * (long)NS_PER_MS };
	uint64_t end_ns = now_ns() + pack_lease_ns();

	while (item->error == -EAGAIN && now_ns() < end_ns) {
		if (atomic_load(pack->cancelled))
			return -ECANCELED;
		nanosleep(&pause, NULL);
		item->error = prefetch_retry(&pack->prefetch, item, place);
	}
	return 0;
}

/* Write that PATH was deleted. */
static int pack_whiteout(struct pack *pack, struct archive *archive, struct archive_entry *entry,
			 const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char *whiteout;
	int r = pack_check_name(pack, path);

	if (r)
		return r;
	if (asprintf(&whiteout, "%.*s" WHITEOUT_PREFIX "%s", (int)(name - path - 1), path + 1,
		     name) < 0)
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
	struct prefetch_place place = { .fd = -EBADF };
	struct item *item;
	int r = 0;

	while (!r && (item = prefetch_take(&pack->prefetch, &place))) {
		pack->lib.archive_entry_clear(entry);
		if (item->kind == VARVE_CHANGE_DELETE)
			r = pack_whiteout(pack, archive, entry, item->path);
		else
			r = item->error == -EAGAIN ? pack_lease(pack, item, &place) : 0;
		if (!r && item->kind != VARVE_CHANGE_DELETE)
			r = pack_entry(pack, archive, entry, item);
		prefetch_release(&pack->prefetch);
		yield_look(&pack->yield);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
	}
	prefetch_leave(&place);
	return r ? r : pack->prefetch.error;
}

/* Set the format of ARCHIVE. */
static int pack_open(struct pack *pack, struct archive *archive)
{
	if (pack->lib.archive_write_set_format_pax(archive) != ARCHIVE_OK ||
	    pack->lib.archive_write_set_options(archive, "xattrheader=SCHILY") < ARCHIVE_WARN ||
	    pack->lib.archive_write_set_bytes_per_block(archive, STREAM_CHUNK_BYTES) !=
		    ARCHIVE_OK ||
	    pack->lib.archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK)
		return -ENOMEM;
	return pack_result(pack, archive,
			   pack->lib.archive_write_open(archive, pack, NULL, pack_archive_write,
							NULL));
}

int pack_write(struct pack *pack)
{
	int r = libarchive_begin(&pack->lib, pack->small_max);
	struct archive *archive = pack->lib.archive_write_new();
	struct archive_entry *entry = pack->lib.archive_entry_new();

	if (!archive || !entry)
		r = -ENOMEM;
	pack->buffer = fault_realloc(pack->fault, NULL, STREAM_CHUNK_BYTES);
	if (!pack->buffer)
		r = -ENOMEM;
	if (!r)
		r = pack_open(pack, archive);
	for (size_t i = 0; !r && i < pack->covered->count; i++)
		pack_report(pack, -EXDEV, "statx", pack->covered->list[i].path,
			    "left out: something is mounted there");
	if (!r)
		r = pack_entries(pack, archive, entry);
	if (!r)
		r = pack_result(pack, archive, pack->lib.archive_write_close(archive));
	if (!r)
		r = pack->error = compress_finish(&pack->compress);
	prefetch_stop(&pack->prefetch);
	/*
	 * A failed archive must not get its end, which would make it look whole. Nor may it end
	 * behind an entry, because readers accept archives without an end: so it ends within a
	 * block. But it has to be closed, because libarchive 3.6 leaks the buffer of an archive
	 * that failed and was only freed.
	 */
	if (r && archive) {
		if (!pack->error && r != -ECANCELED)
			stream_write(pack->stream, PACK_BROKEN, strlen(PACK_BROKEN));
		pack->error = r;
		pack->lib.archive_write_close(archive);
	}
	pack->lib.archive_entry_free(entry);
	if (archive)
		pack->lib.archive_write_free(archive);
	libarchive_end(&pack->lib);
	return r;
}

/* ---- measuring ------------------------------------------------------------------------------- */

/* Add the size of the file at PATH, once. */
static int pack_measure_entry(struct pack *pack, struct prefetch_place *place, const char *path)
{
	struct statx statx_now;
	const char *name;
	bool added = true;
	int r = prefetch_enter(&pack->prefetch, place, path, &name), fd;

	if (!r) {
		r = fd = opath_open(place->fd, name, &statx_now);
		fd_close(fd);
	}
	/* An entry that vanished, or that a mount hides, does not count. */
	if (r < 0)
		return opath_vanished(r) || r == -EXDEV ? 0 : r;
	if (S_ISDIR(statx_now.stx_mode))
		return 0;
	if (statx_now.stx_nlink > 1 &&
	    !inode_map_add(&pack->links, statx_now.stx_ino,
			   makedev(statx_now.stx_dev_major, statx_now.stx_dev_minor), &added))
		return -ENOMEM;
	if (added)
		pack->size = bytes_add(pack->size, statx_now.stx_size);
	return 0;
}

int pack_measure(struct pack *pack)
{
	struct prefetch_place place = { .fd = -EBADF };
	struct feed_entry entry;
	int r;

	while ((r = feed_next(&pack->prefetch.feed, &entry)) > 0) {
		yield_look(&pack->yield);
		r = entry.kind == VARVE_CHANGE_DELETE
			    ? 0
			    : pack_measure_entry(pack, &place, entry.path);
		if (!r && atomic_load(pack->cancelled))
			r = -ECANCELED;
		if (r)
			break;
	}
	prefetch_leave(&place);
	return r;
}

/* ---- both ------------------------------------------------------------------------------------ */

void pack_begin(struct pack *pack)
{
	prefetch_init(&pack->prefetch);
	pack->links.fault = pack->report.fault = pack->pieces.fault = pack->fault;
	pack->pieces.max = SPARSE_PIECES_MAX;
}

void pack_end(struct pack *pack)
{
	/* Where files are measured, their paths are not kept. */
	for (size_t i = 0; i < pack->links.capacity; i++)
		if (pack->links.slots[i].key)
			free((char *)(uintptr_t)pack->links.slots[i].value);
	prefetch_free(&pack->prefetch);
	inode_map_free(&pack->links);
	skipped_free(&pack->report);
	pieces_free(&pack->pieces);
	free(pack->buffer);
	free(pack->failed);
}
