/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/unpack.h"
#include "engine/archive/libarchive_memory.h"
#include "engine/archive/unpack_metadata.h"
#include "engine/archive/unpack_place.h"
#include "engine/archive/whiteout.h"
#include "engine/base/limits.h"
#include "engine/base/thread.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/fds.h"
#include "engine/dir/beneath.h"
#include "engine/dir/loosen.h"
#include "engine/dir/mounts.h"
#include "engine/dir/opath.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Where an archive may keep the targets of its hard links. */
#define UNPACK_LINKS ".wh..wh.plnk"
/*
 * libarchive's number for a field of an entry that it could not read; those for character sets
 * leave the field as it is.
 */
#define UNPACK_ERRNO_MISC (-1)
/* Bytes of a block of a tar archive. */
#define UNPACK_BLOCK_BYTES 512

/* What a directory's times and mode will be. */
struct unpack_time {
	/* Where its path begins in unpack->names. */
	size_t path;
	struct timespec mtime;
	mode_t mode;
	/* Its number, 0 in a nested subvolume. */
	uint64_t inode;
	/* The mode is yet to be set. */
	bool late;
};

/* Remember TIME, all but its path, for the directory at PATH: unpack_finish() sets it. */
static int unpack_later(struct unpack *unpack, const char *path, const struct unpack_time *time)
{
	/* After a late mode all later modes are late: one may be of the same directory. */
	bool late = (time->mode & S_IRWXU) != S_IRWXU || unpack->late_count;
	struct fault *fault = &unpack->store->core.io.fault;
	size_t size = strlen(path) + 1;
	int r;

	if (unpack->times_count == UNPACK_DIRS_MAX ||
	    unpack->names_size + size > UNPACK_NAMES_BYTES_MAX)
		return unpack_refuse(unpack, -ENOBUFS, "too many directories");
	r = fault_reserve(fault, &unpack->times, unpack->times_count, 1, &unpack->times_capacity,
			  sizeof(*unpack->times));
	if (!r)
		r = fault_reserve(fault, &unpack->names, unpack->names_size, size,
				  &unpack->names_capacity, 1);
	if (r)
		return r;
	unpack->times[unpack->times_count] = *time;
	unpack->times[unpack->times_count].path = unpack->names_size;
	unpack->times[unpack->times_count++].late = late;
	unpack->late_count += late;
	memcpy(unpack->names + unpack->names_size, path, size);
	unpack->names_size += size;
	return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Return the error for an allocation of libarchive that has failed. */
static int unpack_no_memory(struct unpack *unpack)
{
	/* 256 MiB is LIBARCHIVE_BYTES_MAX. */
	if (!unpack->lib.memory.bounded)
		return -ENOMEM;
	return unpack_refuse(unpack, -ENOBUFS,
			     "an entry of which libarchive would hold more than 256 MiB in memory");
}

/* Find out why a call of libarchive has failed, and return that as -errno. */
static int unpack_corrupt(struct unpack *unpack, struct archive *archive)
{
	if (unpack->lib.memory.failed)
		return unpack_no_memory(unpack);
	if (unpack->error) {
		unpack->call = unpack->inflate.call;
		unpack->detail = unpack->inflate.decoder.detail;
		return unpack->error;
	}
	if (unpack->lib.archive_errno(archive) == ENOMEM)
		return -ENOMEM;
	/* libarchive reads no further than it needs to: the rest is missing. */
	if (unpack->ended)
		return unpack_refuse(unpack, -ENODATA, "the archive is cut off");
	return unpack_refuse(unpack, -EBADMSG, "the archive is corrupt");
}

/* Write SIZE bytes to FD at OFFSET. */
static int unpack_pwrite(struct unpack *unpack, int fd, const char *bytes, size_t size,
			 off_t offset)
{
	while (size) {
		ssize_t written = pwrite(fd, bytes, size, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return unpack_check(unpack, "pwrite", negative_errno());
		bytes += written;
		size -= (size_t)written;
		offset += written;
	}
	return 0;
}

/*
 * Begin to write SIZE bytes of FD at OFFSET to disk; 0: all that follow. Nothing is waited for, so
 * this makes nothing durable; it leaves less for the flush to write.
 */
static int unpack_write_back(struct unpack *unpack, int fd, int64_t offset, int64_t size)
{
	return unpack_check(unpack, "sync_file_range",
			    RET_NERRNO(sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE)));
}

/* Write the content of the file at hand to FD. */
static int unpack_content(struct unpack *unpack, struct archive *archive, int64_t size, int fd)
{
	int64_t end = 0, begun = 0;

	for (;;) {
		const void *bytes;
		int64_t whole;
		size_t length;
		la_int64_t offset;
		int r = unpack->lib.archive_read_data_block(archive, &bytes, &length, &offset);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return unpack_corrupt(unpack, archive);
		if (offset < end || (int64_t)length > size - offset)
			return unpack_refuse(unpack, -EBADMSG, "a size that lies");
		r = unpack_pwrite(unpack, fd, bytes, length, offset);
		if (r)
			return r;
		end = offset + (int64_t)length;
		whole = end - end % WRITEBACK_STEP_BYTES;
		if (unpack->writeback && whole > begun) {
			r = unpack_write_back(unpack, fd, begun, whole - begun);
			if (r)
				return r;
			begun = whole;
		}
		if (atomic_load(unpack->cancelled))
			return -ECANCELED;
	}
	/* A hole at the end. */
	return end < size ? unpack_check(unpack, "ftruncate", RET_NERRNO(ftruncate(fd, size))) : 0;
}

/*
 * The mode that ENTRY is made with: its own if the caller is to own it; else MODE, which gives no
 * other user access. An entry with attributes gets its own mode after them, because that mode may
 * forbid the caller to set them.
 */
static mode_t unpack_made_mode(struct unpack *unpack, struct archive_entry *entry, mode_t mode)
{
	if (unpack->owner_uid != unpack->uid || unpack->owner_gid != unpack->gid ||
	    unpack->force_mode || unpack->lib.archive_entry_xattr_reset(entry))
		return mode;
	return unpack_mode(unpack, entry);
}

/* Make the file NAME in DIR_FD: a descriptor, or -errno. */
static int unpack_create(struct unpack *unpack, struct archive_entry *entry, int dir_fd,
			 const char *name)
{
	mode_t mode = unpack_made_mode(unpack, entry, 0600) & ACCESSPERMS;
	int fd;

	unpack->made_mode = unpack->dir_plain ? mode : UNPACK_MODE_UNKNOWN;
	fd = RET_NERRNO(
		openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
	return unpack_check(unpack, "openat", fd);
}

/* Write the content and the metadata of the new file FD, and close it. */
static int unpack_file(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
		       int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, unpack_mtime(unpack, entry) };
	int r;

	unpack->consumed = true;
	r = unpack_content(unpack, archive, unpack->lib.archive_entry_size(entry), fd);
	if (!r)
		r = unpack_remove_inherited(unpack, fd);
	if (!r)
		r = unpack_set_metadata(unpack, entry, fd,
					unpack_perm(unpack, unpack_mode(unpack, entry)), NULL);
	unpack->made_mode = UNPACK_MODE_UNKNOWN;
	if (!r)
		r = unpack_check(unpack, "futimens", RET_NERRNO(futimens(fd, times)));
	if (!r && unpack->writeback &&
	    unpack->lib.archive_entry_size(entry) >= WRITEBACK_FILE_BYTES_MIN)
		r = unpack_write_back(unpack, fd, 0, 0);
	fd_close(fd);
	return r;
}

/* Make the directory NAME in DIR_FD. */
static int unpack_mkdir(struct unpack *unpack, struct archive_entry *entry, int dir_fd,
			const char *name)
{
	mode_t mode = S_IRWXU | unpack_made_mode(unpack, entry, 0);

	return unpack_check(unpack, "mkdirat", RET_NERRNO(mkdirat(dir_fd, name, mode)));
}

/* Set the metadata of the directory NAME in DIR_FD, which was THERE or was just made. */
static int unpack_dir(struct unpack *unpack, struct archive_entry *entry, int dir_fd,
		      const char *name, bool there)
{
	struct unpack_time time = { .mtime = unpack_mtime(unpack, entry),
				    .mode = unpack_perm(unpack, unpack_mode(unpack, entry)) };
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	int r;

	/* O_DIRECTORY: opening a device or a pipe would have an effect on it. */
	fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY);
	if (fd == -EXDEV)
		return unpack_busy(unpack, name);
	if (fd < 0)
		return unpack_check(unpack, "openat2", fd);
	r = unpack_check(unpack, "statx", unpacked_stat(fd, &stat));
	if (!r && !there && !unpacked_made(&unpack->unpacked, &stat))
		r = unpack_replaced(unpack, "openat2");
	if (!r)
		r = there ? unpack_remove_xattrs(unpack, fd) : unpack_remove_inherited(unpack, fd);
	if (!r)
		/* Without privilege the owner needs these bits to make what is in it. */
		r = unpack_set_metadata(unpack, entry, fd, time.mode | S_IRWXU,
					there ? NULL : &stat);
	time.mode = unpack_group(unpack, time.mode);
	if (!r && there && *name)
		r = unpacked_add_directory(&unpack->unpacked, &stat);
	if (r)
		return r;
	time.inode = unpacked_inside(&unpack->unpacked, &stat) ? stat.stx_ino : 0;
	return unpack_later(unpack, unpack->path, &time);
}

/* Make NAME in DIR_FD one more name of TARGET. */
static int unpack_link(struct unpack *unpack, const char *target, int dir_fd, const char *name)
{
	_cleanup_free_ char *clean = fault_calloc(&unpack->store->core.io.fault, 1,
						  strlen(target) + 1);
	_cleanup_close_ int other = -EBADF;
	struct statx stat;
	char *slash;
	int r = clean ? unpack_clean(unpack, target, clean) : -ENOMEM;

	if (r)
		return r;
	slash = strrchr(clean, '/');
	if (slash)
		*slash = '\0';
	other = unpack_open_dir(unpack, slash ? clean : "");
	if (other < 0)
		return unpack_dir_error(unpack, other);
	target = slash ? slash + 1 : clean;
	/* An older entry of this name was removed, so a link to itself fails (-ENOENT). */
	r = unpack_check(unpack, "linkat", RET_NERRNO(linkat(other, target, dir_fd, name, 0)));
	if (r)
		return r;
	r = unpack_look(unpack, dir_fd, name, &stat);
	/* A process in the layer may have removed it again. */
	if (r)
		return r == -ENOENT ? unpack_replaced(unpack, "statx") : r;
	r = unpacked_add_name(&unpack->unpacked, &stat, dir_fd, name);
	return r == -ENOBUFS
		       ? unpack_refuse(
				 unpack, r,
				 "too many hard links to files that are older than the archive")
		       : r;
}

/* Make the link NAME in DIR_FD. */
static int unpack_symlink(struct unpack *unpack, struct archive_entry *entry, int dir_fd,
			  const char *name)
{
	const char *target = unpack->lib.archive_entry_symlink(entry);
	int r;

	/* Any target is fine: nothing here follows it out of the layer. */
	if (!target || !*target)
		return unpack_refuse(unpack, -EBADMSG, "a symbolic link without a target");
	r = unpack_check(unpack, "symlinkat", RET_NERRNO(symlinkat(target, dir_fd, name)));
	return r ? r
		 : unpack_set_special(unpack, entry,
				      unpack_open_made(unpack, dir_fd, name, S_IFLNK, 0));
}

/* Make the device or pipe NAME in DIR_FD. */
static int unpack_node(struct unpack *unpack, struct archive_entry *entry, int dir_fd,
		       const char *name)
{
	mode_t mode = unpack->lib.archive_entry_filetype(entry) | 0600;
	dev_t rdev = S_ISFIFO(mode) ? 0 : unpack->lib.archive_entry_rdev(entry);
	int r = RET_NERRNO(mknodat(dir_fd, name, mode, rdev));

	if (r == -EPERM && unpack->flags & VARVE_APPLY_SKIP_DEVICES) {
		skipped_add(&unpack->report, r, "apply", "UNPACK", "mknodat", unpack->path,
			    "a device that the caller may not make: left out");
		return 0;
	}
	if (r == -EPERM)
		unpack->detail = "devices take CAP_MKNOD outside of user namespaces: "
				 "VARVE_APPLY_SKIP_DEVICES (--skip-devices) leaves them out";
	r = unpack_check(unpack, "mknodat", r);
	return r ? r
		 : unpack_set_special(unpack, entry,
				      unpack_open_made(unpack, dir_fd, name, mode, rdev));
}

/* Make NAME in DIR_FD as ENTRY describes it. */
static int unpack_make(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
		       int dir_fd, const char *name)
{
	const char *target = unpack->lib.archive_entry_hardlink(entry);
	mode_t type = unpack->lib.archive_entry_filetype(entry);
	bool file = !target && type == AE_IFREG, folder = !target && type == AE_IFDIR, there, dir;
	struct statx stat;
	int r = unpack_lead(unpack, dir_fd), fd;

	if (!r && !target)
		r = unpack_owner(unpack, entry);
	if (r)
		return r;
	/* In most cases the name is free. */
	fd = file     ? unpack_create(unpack, entry, dir_fd, name)
	     : folder ? unpack_mkdir(unpack, entry, dir_fd, name)
		      : -EEXIST;
	if (fd != -EEXIST)
		return fd < 0 ? fd
		       : file ? unpack_file(unpack, archive, entry, fd)
			      : unpack_dir(unpack, entry, dir_fd, name, false);
	r = unpack_look(unpack, dir_fd, name, &stat);
	if (r && r != -ENOENT)
		return r;
	there = !r;
	dir = there && S_ISDIR(stat.stx_mode);
	r = 0;
	if (there && (target || type != AE_IFDIR || !dir)) {
		if (dir)
			unpack_leave(unpack);
		/*
		 * The path of the open directory may lead through NAME and out of it by a link: its
		 * descriptor stays valid when NAME is removed.
		 */
		r = dir ? unpack_enter(unpack, unpack->path, true, &name) : dir_fd;
		dir_fd = r;
		r = r < 0 ? r : unpack_remove(unpack, dir_fd, name);
		there = false;
	}
	if (r)
		return r;
	if (target)
		return unpack_link(unpack, target, dir_fd, name);
	switch (type) {
	case AE_IFREG:
		fd = unpack_create(unpack, entry, dir_fd, name);
		return fd < 0 ? fd : unpack_file(unpack, archive, entry, fd);
	case AE_IFDIR:
		r = there ? 0 : unpack_mkdir(unpack, entry, dir_fd, name);
		return r ? r : unpack_dir(unpack, entry, dir_fd, name, there);
	case AE_IFLNK:
		return unpack_symlink(unpack, entry, dir_fd, name);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return unpack_node(unpack, entry, dir_fd, name);
	case AE_IFSOCK:
		return 0;
	default:
		return unpack_refuse(unpack, -EBADMSG, "an entry of a kind that is not known");
	}
}

/* ---- the archive ----------------------------------------------------------------------------- */

/*
 * Does a directory in the clean PATH have a name that means a deletion? It must not be made: a diff
 * would write an entry of that name, which deletes something when it is unpacked. Names that begin
 * with WHITEOUT_META at the root are those of aufs, and are left out.
 */
static bool unpack_in_whiteout(const char *path)
{
	for (const char *name = path, *end = strchr(name, '/'); end;
	     name = end + 1, end = strchr(name, '/'))
		if (!strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)))
			return true;
	return false;
}

/* Unpack ENTRY, whose clean path is unpack->path. */
static int unpack_entry(struct unpack *unpack, struct archive *archive, struct archive_entry *entry)
{
	const char *name, *links = UNPACK_LINKS "/";
	int dir_fd, r;

	if (!*unpack->path && unpack->lib.archive_entry_filetype(entry) != AE_IFDIR)
		return unpack_refuse(unpack, -EBADMSG, "the root of a layer is a directory");
	if (!*unpack->path) {
		/* The open directory may be the root, whose default list may change now. */
		unpack_leave(unpack);
		r = unpack_owner(unpack, entry);
		return r ? r : unpack_dir(unpack, entry, unpack->root_fd, "", true);
	}
	if (!strcmp(unpack->path, UNPACK_LINKS))
		return 0;
	/* Its files are targets of links; unpack_finish() removes it. */
	if (!strncmp(unpack->path, links, strlen(links))) {
		unpack->staged_links = true;
		if (unpack->lib.archive_entry_filetype(entry) != AE_IFREG ||
		    unpack->lib.archive_entry_hardlink(entry))
			return 0;
	} else if (unpack_in_whiteout(unpack->path)) {
		if (!strncmp(unpack->path, WHITEOUT_META, strlen(WHITEOUT_META)))
			return 0;
		return unpack_refuse(
			unpack, -EINVAL,
			"it is in a directory whose name begins with \".wh.\", which means a deletion");
	}
	dir_fd = unpack_enter(unpack, unpack->path, true, &name);
	if (dir_fd < 0)
		return dir_fd;
	if (!strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)))
		return whiteout_apply(unpack, dir_fd, name);
	return unpack_make(unpack, archive, entry, dir_fd, name);
}

/*
 * libarchive has come to the end of ARCHIVE: two blocks of zeros, or one, or none, as some builders
 * write it; or the stream is empty. 0, or -errno where entries may follow.
 */
static int unpack_ended(struct unpack *unpack, struct archive *archive)
{
	int64_t end = unpack->lib.archive_filter_bytes(archive, 0),
		start = unpack->lib.archive_read_header_position(archive);

	/* libarchive would have read a second block of zeros: what follows is something else. */
	if (end - start == UNPACK_BLOCK_BYTES && unpack->taken - end >= UNPACK_BLOCK_BYTES)
		return unpack_refuse(unpack, -EBADMSG,
				     "a lone block of zeros, with more behind it");
	if (!unpack->taken || end == start)
		skipped_add(&unpack->report, -ENODATA, "apply", "UNPACK", "read", "",
			    "the archive has no end: it may be cut off");
	return 0;
}

/* Take the next entry of ARCHIVE: 1, 0 at the end, or -errno. */
static int unpack_next(struct unpack *unpack, struct archive *archive,
		       struct archive_entry **ret_entry)
{
	int r = unpack->lib.archive_read_next_header(archive, ret_entry);
	const char *name;

	free(TAKE_PTR(unpack->path));
	if (r == ARCHIVE_EOF)
		return unpack_ended(unpack, archive);
	if (r < ARCHIVE_WARN || r == ARCHIVE_RETRY)
		return unpack_corrupt(unpack, archive);
	name = unpack->lib.archive_entry_pathname(*ret_entry);
	/*
	 * The first call converts the text, and NULL may mean that memory was missing. Later calls
	 * allocate nothing: there NULL means that there is no such text.
	 */
	unpack->lib.archive_entry_hardlink(*ret_entry);
	unpack->lib.archive_entry_symlink(*ret_entry);
	if (unpack->lib.memory.failed)
		return unpack_no_memory(unpack);
	if (r == ARCHIVE_WARN && unpack->lib.archive_errno(archive) == UNPACK_ERRNO_MISC)
		skipped_add(&unpack->report, -EINVAL, "apply", "UNPACK", NULL, name ? name : "",
			    unpack->lib.archive_error_string(archive));
	if (!name || !*name)
		return unpack_refuse(unpack, -EBADMSG, "an entry without a name");
	unpack->header = unpack->lib.archive_read_header_position(archive);
	unpack->outside = false;
	if (unpack->lib.archive_entry_size(*ret_entry) < 0)
		return unpack_refuse(unpack, -EBADMSG, "a size that lies");
	unpack->path = fault_hit(&unpack->store->core.io.fault, FAULT_ALLOCATION) ? NULL
										  : strdup(name);
	if (!unpack->path)
		return -ENOMEM;
	r = unpack_clean(unpack, name, unpack->path);
	return r ? r : 1;
}

/* The current entry has failed with -EPERM: where flags (chattr) are the cause, say so. */
static void unpack_explain(struct unpack *unpack)
{
	const char *name;
	int dir_fd = unpack_enter(unpack, unpack->path, false, &name);

	if (!strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)))
		name += strlen(WHITEOUT_PREFIX);
	if (dir_fd >= 0)
		unpack->detail = loosen_detail(dir_fd, name);
}

/* Unpack all entries. */
static int unpack_entries(struct unpack *unpack, struct archive *archive)
{
	struct archive_entry *entry;
	int r;

	while ((r = unpack_next(unpack, archive, &entry)) > 0) {
		yield_look(&unpack->yield);
		unpack->size += (uint64_t)unpack->lib.archive_entry_size(entry);
		unpack->consumed = false;
		spares_hold(&unpack->spares, unpack->root_fd, UNPACK_SPARES);
		r = atomic_load(unpack->cancelled) ? -ECANCELED
						   : unpack_entry(unpack, archive, entry);
		if (fds_missing(r) && !unpack->consumed && spares_release(&unpack->spares))
			r = unpack_entry(unpack, archive, entry);
		if (r == -EPERM && !unpack->detail)
			unpack_explain(unpack);
		if (r < 0)
			break;
	}
	return r;
}

/* Set the time, or with MODE the mode, of the directory of TIME. */
static int unpack_finish_dir(struct unpack *unpack, const struct unpack_time *time, bool mode)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time->mtime };
	const char *path = unpack->names + time->path, *name;
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	bool look = false;

	/* Opened by its number, it is the directory whose metadata was set. */
	if (*path)
		fd = file_numbers_open(&unpack->numbers, unpack->root_fd, time->inode, O_PATH);
	else
		fd = RET_NERRNO(fcntl(unpack->root_fd, F_DUPFD_CLOEXEC, 0));
	if (fd == -ESTALE) {
		fd = unpack_enter(unpack, path, false, &name);
		fd = fd < 0 ? fd : opath_open(fd, name, &stat);
		look = true;
	}
	/* It may have been replaced, or deleted, since. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV || fd == -EBUSY)
		return 0;
	if (fd < 0)
		return fd;
	if (look && !(S_ISDIR(stat.stx_mode) && unpacked_has(&unpack->unpacked, NULL, NULL, &stat)))
		return 0;
	return mode ? opath_chmod(fd, time->mode) : opath_times(fd, times);
}

/* Sort what lies in a directory before it, and of several entries for one the last first. */
static int unpack_compare(const void *a, const void *b, void *data)
{
	const struct unpack *unpack = data;
	const struct unpack_time *one = *(struct unpack_time *const *)a,
				 *other = *(struct unpack_time *const *)b;
	int r = strcmp(unpack->names + other->path, unpack->names + one->path);

	return r ? r : one < other ? 1 : -1;
}

/* Set the modes of directories that are to be set at the end. */
static int unpack_finish_modes(struct unpack *unpack)
{
	_cleanup_free_ const struct unpack_time **order = NULL;
	const char *before = NULL;
	size_t count = 0;
	int r = 0;

	if (!unpack->late_count)
		return 0;
	order = fault_calloc(&unpack->store->core.io.fault, unpack->late_count, sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < unpack->times_count; i++)
		if (unpack->times[i].late)
			order[count++] = &unpack->times[i];
	qsort_r(order, count, sizeof(*order), unpack_compare, unpack);
	for (size_t i = 0; !r && i < count; i++) {
		const char *path = unpack->names + order[i]->path;

		if (!before || strcmp(before, path))
			r = unpack_check(unpack, "fchmodat2",
					 unpack_finish_dir(unpack, order[i], true));
		before = path;
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	return r;
}

/* Set the times and modes of directories, and remove the directory with the targets of links. */
static int unpack_finish(struct unpack *unpack)
{
	int r = unpack->staged_links ? unpack_remove(unpack, unpack->root_fd, UNPACK_LINKS) : 0;

	unpack_leave(unpack);
	/* Of several entries for one directory the last counts. */
	for (size_t i = 0; !r && i < unpack->times_count; i++) {
		r = unpack_check(unpack, "utimensat",
				 unpack_finish_dir(unpack, &unpack->times[i], false));
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	return r ? r : unpack_finish_modes(unpack);
}

/* Give libarchive the next bytes of the stream. */
static la_ssize_t unpack_read(struct archive *archive, void *data, const void **ret_buffer)
{
	struct unpack *unpack = data;
	ssize_t length;

	pax_keep(&unpack->pax);
	length = inflate_read(&unpack->inflate, ret_buffer);
	if (length < 0) {
		unpack->error = (int)length;
		unpack->lib.archive_set_error(archive, -unpack->error, "read");
		return ARCHIVE_FATAL;
	}
	if (!length) {
		unpack->ended = true;
		return 0;
	}
	unpack->taken += length;
	pax_take(&unpack->pax, *ret_buffer, (size_t)length);
	return length;
}

/*
 * Open the layer whose root is ROOT_FD, by a clone that shows no mounts where we may make one, and
 * remember what was in it before.
 */
static int unpack_root(struct unpack *unpack, int root_fd)
{
	_cleanup_free_ char *point = NULL;
	struct statx stat;
	int r;

	unpack->root_fd = RET_NERRNO(fcntl(root_fd, F_DUPFD_CLOEXEC, 0));
	if (unpack->root_fd < 0)
		return unpack_check(unpack, "fcntl", unpack->root_fd);
	unpack->layer_fd = root_fd;
	unpack->mounted = mounts_at(root_fd, "", &point) != 0;
	r = unpack_check(unpack, "open_tree", mounts_clone(&unpack->root_fd, &unpack->tree_fd));
	unpack->cloned = r > 0;
	if (r >= 0)
		r = unpack_check(unpack, "statx", unpacked_stat(unpack->root_fd, &stat));
	if (r)
		return r;
	unpack->mount = stat.stx_mnt_id;
	if (unpack->store->layout.privileged)
		r = unpack_check(unpack, "BTRFS_IOC_INO_LOOKUP",
				 subvol_number(unpack->root_fd, &unpack->numbers.subvolume));
	if (r)
		return r;
	return unpack_check(unpack, "statx",
			    unpacked_init(&unpack->unpacked, &unpack->store->core.io.fault,
					  unpack->root_fd));
}

/* Begin to compute digests, if they are wanted. */
static int unpack_digests_begin(struct unpack *unpack)
{
	int r = digests_begin(&unpack->digests, &unpack->store->core.io.fault);

	unpack->inflate.digests = unpack->digests.wanted && !r ? &unpack->digests : NULL;
	if (r == -ENOTSUP)
		unpack->detail = DIGEST_MISSING;
	return unpack_check(unpack, "dlopen", r);
}

/* The stream has ended: compare its digests with those that the caller expects. */
static int unpack_digests(struct unpack *unpack)
{
	const struct varve_digests *result = &unpack->digests.result;
	const char *const is[] = { result->digest, result->diff_id };
	static const char *const names[] = { "digest", "diff id" };

	digests_finish(&unpack->digests, !unpack->inflate.codec);
	for (size_t i = 0; i < ARRAY_SIZE(is); i++) {
		if (!*unpack->expected[i] || !strcmp(unpack->expected[i], is[i]))
			continue;
		free(TAKE_PTR(unpack->made_detail));
		if (asprintf(&unpack->made_detail, "the %s is %s, and %s was expected", names[i],
			     is[i], unpack->expected[i]) < 0)
			unpack->made_detail = NULL;
		return unpack_refuse(unpack, -EBADMSG, unpack->made_detail);
	}
	return 0;
}

/* Unpack, with libarchive loaded. */
static int unpack_archive(struct unpack *unpack)
{
	int r = libarchive_begin(&unpack->lib, unpack->store->settings.archive_small_max);
	struct archive *archive = unpack->lib.archive_read_new();

	if (!archive)
		r = -ENOMEM;
	inflate_init(&unpack->inflate, &unpack->stream, &unpack->store->core.io.fault,
		     unpack->cancelled);
	unpack->uid = geteuid();
	unpack->gid = getegid();
	unpack->made_mode = UNPACK_MODE_UNKNOWN;
	unpack->own_umask = thread_leave_fs();
	if (unpack->own_umask)
		umask(0);
	if (!r)
		r = unpack_digests_begin(unpack);
	if (!r && (unpack->lib.archive_read_support_filter_none(archive) < ARCHIVE_WARN ||
		   unpack->lib.archive_read_support_format_tar(archive) < ARCHIVE_WARN))
		r = -ENOMEM;
	if (!r &&
	    unpack->lib.archive_read_open(archive, unpack, NULL, unpack_read, NULL) == ARCHIVE_OK)
		r = unpack_entries(unpack, archive);
	else if (!r)
		/* libarchive takes an empty stream for no archive. */
		r = unpack->ended && !unpack->taken ? unpack_ended(unpack, archive)
						    : unpack_corrupt(unpack, archive);
	spares_release(&unpack->spares);
	if (!r)
		r = unpack_finish(unpack);
	if (!r) {
		unpack->error = inflate_finish(&unpack->inflate);
		r = unpack->error ? unpack_corrupt(unpack, archive) : 0;
	}
	if (!r)
		r = unpack_digests(unpack);
	if (r)
		unpack->failed = TAKE_PTR(unpack->path);
	if (archive)
		unpack->lib.archive_read_free(archive);
	libarchive_end(&unpack->lib);
	inflate_end(&unpack->inflate);
	digests_end(&unpack->digests);
	return r;
}

int unpack_run(struct unpack *unpack, struct op *op, int root_fd)
{
	int r = libarchive_load(&unpack->lib);

	unpack->cancelled = &op->request->cancelled;
	unpack->yield.wakes = &op->request->core->io.wakes;
	if (r) {
		unpack->detail = LIBARCHIVE_MISSING;
		unpack_check(unpack, "dlopen", r);
	} else
		r = unpack_root(unpack, root_fd);
	if (!r)
		r = unpack_check(unpack, "fcntl",
				 spares_hold(&unpack->spares, unpack->root_fd, UNPACK_SPARES));
	if (!r) {
		op->begun = true;
		r = unpack_archive(unpack);
	}
	spares_release(&unpack->spares);
	/* The clone of the mount, which keeps the file system busy, ends with its descriptors. */
	unpack_leave(unpack);
	fd_close(TAKE_FD(unpack->root_fd));
	fd_close(TAKE_FD(unpack->tree_fd));
	if (!r)
		return 0;
	if (unpack->failed && asprintf(&unpack->subject, "%s/%s", op->id, unpack->failed) >= 0)
		op->subject = unpack->subject;
	op->call.name = unpack->call;
	op->detail = unpack->detail;
	return r;
}

void unpack_interrupt(struct unpack *unpack, struct op *op)
{
	stream_interrupt(&unpack->stream);
	/* A call that still waits for a thread of the lane ends without running. */
	if (io_withdraw(&op->request->core->io, &op->call))
		op_done(op, -ECANCELED);
}

int unpack_new(struct request *request, const struct varve_apply_options *options, int fd,
	       struct unpack **ret_unpack)
{
	struct varve_store *store = request_store(request);
	struct unpack *unpack = fault_calloc(&store->core.io.fault, 1, sizeof(*unpack));
	const struct channel_ends ends = { .room = options->room, .data = options->room_data };
	size_t count = options->uids_count + options->gids_count;
	int r;

	if (!unpack)
		return -ENOMEM;
	unpack->store = store;
	unpack->root_fd = unpack->tree_fd = unpack->dir_fd = -EBADF;
	unpack->report.fault = &store->core.io.fault;
	unpack->flags = options->flags;
	unpack->force_mode = (mode_t)options->force_mode;
	/* api/ has checked their lengths. */
	if (options->expect)
		strcpy(unpack->expected[0], options->expect);
	if (options->expect_diff_id)
		strcpy(unpack->expected[1], options->expect_diff_id);
	unpack->digests.wanted = options->flags & VARVE_DIGESTS || options->expect ||
				 options->expect_diff_id;
	unpack->uids_count = options->uids_count;
	unpack->gids_count = options->gids_count;
	r = fd == VARVE_STREAM ? stream_init_channel(&unpack->stream, request, &ends)
			       : stream_init(&unpack->stream, store, fd, false);
	unpack->maps = fault_calloc(&store->core.io.fault, count + 1, sizeof(*unpack->maps));
	if (!r && !unpack->maps)
		r = -ENOMEM;
	if (r) {
		unpack_free(unpack);
		return r;
	}
	for (size_t i = 0; i < count; i++)
		unpack->maps[i] = i < options->uids_count ? options->uids[i]
							  : options->gids[i - options->uids_count];
	*ret_unpack = unpack;
	return 0;
}

void unpack_close(struct unpack *unpack)
{
	if (!unpack)
		return;
	unpack_leave(unpack);
	stream_close(&unpack->stream);
}

void unpack_free(struct unpack *unpack)
{
	if (!unpack)
		return;
	unpack_close(unpack);
	free(unpack->maps);
	free(unpack->path);
	free(unpack->failed);
	free(unpack->subject);
	free(unpack->times);
	free(unpack->names);
	free(unpack->made_detail);
	unpacked_free(&unpack->unpacked);
	skipped_free(&unpack->report);
	free(unpack);
}
