/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/unpack.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/tree/beneath.h"
#include "engine/tree/empty.h"
#include "engine/tree/entries.h"
#include "engine/tree/idrange.h"
#include "engine/tree/layer.h"
#include "engine/tree/loosen.h"
#include "engine/tree/mounts.h"
#include "engine/tree/name.h"
#include "engine/tree/opath.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define UNPACK_WHITEOUT ".wh."
#define UNPACK_META ".wh..wh."
#define UNPACK_OPAQUE ".wh..wh..opq"
#define UNPACK_LINKS ".wh..wh.plnk"
/* What an archive is made of. */
#define UNPACK_BLOCK_BYTES 512
/* Mode of a directory that the archive takes for granted. */
#define UNPACK_DIR_MODE 0755

/* What a directory's times will be. */
struct unpack_time {
	/* Where its path begins in unpack->names. */
	size_t path;
	struct timespec mtime;
};

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* CALL failed with ERROR: 0 or more is fine and handed back. */
static int unpack_check(struct unpack *unpack, const char *call, int error)
{
	if (error < 0)
		unpack->call = call;
	return error;
}

/* Refuse the entry at hand. */
static int unpack_refuse(struct unpack *unpack, int error, const char *detail)
{
	unpack->call = NULL;
	unpack->detail = detail;
	return error;
}

/* Write what NAME, of the entry at hand, means to CLEAN, as name_clean() does. */
static int unpack_clean(struct unpack *unpack, const char *name, char *clean)
{
	const char *detail;
	int r = name_clean(name, clean, &detail);

	return r ? unpack_refuse(unpack, r, detail) : 0;
}

/* Refuse the entry at hand: something is mounted at FAILED, which lies where the entry's name does. Returns -EBUSY. */
static int unpack_busy(struct unpack *unpack, const char *failed)
{
	const char *slash = unpack->path ? strrchr(unpack->path, '/') : NULL;
	int length = slash ? (int)(slash - unpack->path) + 1 : 0;
	char *path;

	if (asprintf(&path, "%.*s%s", length, length ? unpack->path : "", failed) >= 0) {
		free(unpack->path);
		unpack->path = path;
	}
	unpack->detail = "something is mounted there";
	return -EBUSY;
}

/* Another entry was given the name that one of ours was made by. */
static int unpack_replaced(struct unpack *unpack, const char *call)
{
	unpack->call = call;
	unpack->detail = "another took its name while it was unpacked";
	return -ESTALE;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

/* Open the directory PATH as the layer itself would see it. */
static int unpack_open_dir(const struct unpack *unpack, const char *path)
{
	struct call call;
	int fd;

	if (strlen(path) >= PATH_MAX)
		return beneath_open(unpack->root_fd, path, O_PATH | O_DIRECTORY);
	call_openat2(&call, unpack->root_fd, *path ? path : ".", O_PATH | O_DIRECTORY,
		     RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	/* EAGAIN: something was renamed meanwhile, and the kernel cannot tell that a ".." of a link stayed within the layer. */
	do
		fd = call_run(&call);
	while (fd == -EAGAIN && !atomic_load(unpack->cancelled));
	return fd;
}

/* What an error of unpack_open_dir() comes to. */
static int unpack_dir_error(struct unpack *unpack, int error)
{
	if (error == -EXDEV)
		unpack->detail = "something is mounted there";
	return unpack_check(unpack, "openat2", error == -EXDEV ? -EBUSY : error);
}

/* Look at NAME in DIR_FD: 0, or -errno (-EBUSY: something is mounted there). */
static int unpack_look(struct unpack *unpack, int dir_fd, const char *name, struct statx *ret_stat)
{
	int r = RET_NERRNO(statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, OPATH_STAT_MASK, ret_stat));

	if (r && r != -ENOENT)
		return unpack_check(unpack, "statx", r);
	return !r && ret_stat->stx_mnt_id != unpack->mount ? unpack_busy(unpack, name) : r;
}

/* Open NAME in DIR_FD, which was made with the type of MODE and number RDEV, by O_PATH; its descriptor, or -errno. */
static int unpack_open_made(struct unpack *unpack, int dir_fd, const char *name, mode_t mode, dev_t rdev)
{
	struct statx stat;
	int fd = opath_open(dir_fd, name, &stat);

	/* What is ours lies on no other mount, and is there. */
	if (fd < 0)
		return fd == -ENOENT || fd == -EXDEV ? unpack_replaced(unpack, "openat2") : unpack_check(unpack, "openat2", fd);
	if ((stat.stx_mode & S_IFMT) == (mode & S_IFMT) && makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == rdev &&
	    brought_made(&unpack->brought, &stat))
		return fd;
	fd_close(fd);
	return unpack_replaced(unpack, "openat2");
}

/* Make the directory NAME in DIR_FD, unless something has that name. */
static int unpack_make_dir(struct unpack *unpack, int dir_fd, const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	int r = brought_place(&unpack->brought, dir_fd);

	if (r)
		return unpack_check(unpack, "openat", r);
	if (mkdirat(dir_fd, name, UNPACK_DIR_MODE) < 0)
		return errno == EEXIST ? 0 : unpack_check(unpack, "mkdirat", negative_errno());
	fd = unpack_open_made(unpack, dir_fd, name, S_IFDIR, 0);
	return fd < 0 ? fd : unpack_check(unpack, "fchmodat2", opath_chmod(fd, UNPACK_DIR_MODE));
}

/* Make the directories of PATH that are missing. */
static int unpack_make_dirs(struct unpack *unpack, char *path)
{
	int fd = -EBADF, r = 0;

	for (char *end = path; !r && end; ) {
		char *name = end == path ? path : end + 1;

		end = strchr(name, '/');
		if (end)
			*end = '\0';
		fd_close(TAKE_FD(fd));
		/* What is before NAME is there. */
		if (name > path)
			name[-1] = '\0';
		fd = unpack_open_dir(unpack, name > path ? path : "");
		if (name > path)
			name[-1] = '/';
		r = fd < 0 ? unpack_dir_error(unpack, fd) : unpack_make_dir(unpack, fd, name);
		if (end)
			*end = '/';
	}
	fd_close(fd);
	return r;
}

/* Forget the directory opened last: it, or what leads to it, may be replaced. */
static void unpack_leave(struct unpack *unpack)
{
	fd_close(TAKE_FD(unpack->dir_fd));
	free(TAKE_PTR(unpack->dir_path));
	unpack->dir_leads = false;
}

/* Open the directory that holds PATH, and MAKE it where it is missing; *RET_NAME is the name in it. The descriptor stays ours. */
static int unpack_enter(struct unpack *unpack, const char *path, bool make, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	int r = 0;

	*ret_name = slash ? slash + 1 : path;
	if (unpack->dir_path && strlen(unpack->dir_path) == length && !memcmp(unpack->dir_path, path, length))
		return unpack->dir_fd;
	unpack_leave(unpack);
	unpack->dir_path = fault_hit(&unpack->store->io.fault, FAULT_ALLOCATION) ? NULL : strndup(path, length);
	if (!unpack->dir_path)
		return -ENOMEM;
	unpack->dir_fd = unpack_open_dir(unpack, unpack->dir_path);
	if (unpack->dir_fd == -ENOENT && make) {
		r = unpack_make_dirs(unpack, unpack->dir_path);
		unpack->dir_fd = r ? r : unpack_open_dir(unpack, unpack->dir_path);
	}
	if (!r && unpack->dir_fd < 0)
		r = unpack_dir_error(unpack, unpack->dir_fd);
	if (!r && make)
		r = unpack_check(unpack, "openat", brought_place(&unpack->brought, unpack->dir_fd));
	if (!r)
		return unpack->dir_fd;
	unpack_leave(unpack);
	return r;
}

/*
 * Remove NAME in DIR_FD with all that is in it: 0, or -errno, and FAILED (VARVE_FAILURE_PATH_SIZE bytes) begins with NAME and
 * says at what.
 */
static int unpack_remove_at(struct unpack *unpack, int dir_fd, const char *name, char *failed)
{
	int r = RET_NERRNO(unlinkat(dir_fd, name, 0));

	snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", name);
	/* A mount point says so before anything beneath it is removed. */
	if (r == -EISDIR || r == -EPERM)
		r = RET_NERRNO(unlinkat(dir_fd, name, AT_REMOVEDIR));
	if (r && r != -EBUSY && r != -ENOENT)
		r = empty_remove(unpack->store, dir_fd, name, unpack->cancelled, failed, &unpack->detail);
	return r == -ENOENT ? 0 : unpack_check(unpack, "unlinkat", r);
}

/* Remove NAME in DIR_FD, which is where the entry at hand has its name, with all that is in it. */
static int unpack_remove(struct unpack *unpack, int dir_fd, const char *name)
{
	char failed[VARVE_FAILURE_PATH_SIZE];
	int r = unpack_remove_at(unpack, dir_fd, name, failed);

	return r == -EBUSY ? unpack_busy(unpack, failed) : r;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/* Note that the directory at PATH belongs to the archive, and its times. */
static int unpack_later(struct unpack *unpack, const char *path, const struct timespec *mtime)
{
	struct fault *fault = &unpack->store->io.fault;
	size_t size = strlen(path) + 1;
	int r;

	if (unpack->times_count == UNPACK_DIRS_MAX || unpack->names_size + size > UNPACK_NAMES_BYTES_MAX)
		return unpack_refuse(unpack, -ENOBUFS, "too many directories");
	r = fault_reserve(fault, &unpack->times, unpack->times_count, 1, &unpack->times_capacity, sizeof(*unpack->times));
	if (!r)
		r = fault_reserve(fault, &unpack->names, unpack->names_size, size, &unpack->names_capacity, 1);
	if (r)
		return r;
	unpack->times[unpack->times_count++] = (struct unpack_time){ .path = unpack->names_size, .mtime = *mtime };
	memcpy(unpack->names + unpack->names_size, path, size);
	unpack->names_size += size;
	return 0;
}

/* Is this an attribute that an archive may set? */
static bool unpack_xattr_wanted(const char *name)
{
	return !strcmp(name, "security.capability") || !strncmp(name, "user.", strlen("user."));
}

/* What it comes to that attribute NAME of SIZE bytes could not be set on FD: the kernel calls one that is too large a full disk. */
static int unpack_xattr_error(struct unpack *unpack, int fd, const char *name, size_t size, int error)
{
	size_t most = fs_xattr_bytes(fd);

	unpack->call = "fsetxattr";
	if ((error != -ENOSPC && error != -E2BIG) || !most || strlen(name) + size <= most)
		return error;
	free(unpack->made_detail);
	if (asprintf(&unpack->made_detail, "the attribute %s has %zu bytes; its name and they may have %zu on this file system",
		     name, size, most) < 0)
		unpack->made_detail = NULL;
	unpack->detail = unpack->made_detail;
	return -E2BIG;
}

/* Set the attributes of ENTRY on FD. */
static int unpack_xattrs(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const char *name;
	const void *value;
	size_t size;

	unpack->lib.archive_entry_xattr_reset(entry);
	while (unpack->lib.archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !unpack_xattr_wanted(name))
			report_add(&unpack->report, -EPERM, "apply", "UNPACK", "fsetxattr", unpack->path, "an attribute that is not kept");
		else if (fsetxattr(fd, name, value, size, 0) < 0)
			return unpack_xattr_error(unpack, fd, name, size, negative_errno());
	}
	return 0;
}

/* The owner of ENTRY on the host. */
static int unpack_owner(struct unpack *unpack, struct archive_entry *entry, uid_t *ret_uid, gid_t *ret_gid)
{
	int64_t uid = unpack->lib.archive_entry_uid(entry), gid = unpack->lib.archive_entry_gid(entry);
	int r = 0;

	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return unpack_refuse(unpack, -EINVAL, "an owner that no id can have");
	r = idrange_to_host(unpack->maps, unpack->uids_count, (uint32_t)uid, ret_uid);
	if (!r)
		r = idrange_to_host(unpack->maps + unpack->uids_count, unpack->gids_count, (uint32_t)gid, ret_gid);
	return r ? unpack_refuse(unpack, r, "an owner that has no id on the host") : 0;
}

/* A change of owner by CALL came to R. */
static int unpack_chowned(struct unpack *unpack, const char *call, int r)
{
	r = idrange_chowned(r);
	return r == -EOVERFLOW ? unpack_refuse(unpack, r, IDRANGE_NOT_MAPPED) : unpack_check(unpack, call, r);
}

/* Give the open inode FD owner, mode and attributes: each call that changes an inode is a transaction, so none for nothing. */
static int unpack_dress(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	mode_t mode = unpack->lib.archive_entry_perm(entry);
	struct stat stat;
	bool owned;
	uid_t uid;
	gid_t gid;
	int r = unpack_owner(unpack, entry, &uid, &gid);

	if (!r)
		r = unpack_check(unpack, "fstat", RET_NERRNO(fstat(fd, &stat)));
	if (r)
		return r;
	owned = stat.st_uid == uid && stat.st_gid == gid;
	if (!owned)
		r = unpack_chowned(unpack, "fchown", RET_NERRNO(fchown(fd, uid, gid)));
	/* After the owner: that takes setuid away. */
	if (!r && ((stat.st_mode & ALLPERMS) != mode || (!owned && mode & (S_ISUID | S_ISGID))))
		r = unpack_check(unpack, "fchmod", RET_NERRNO(fchmod(fd, mode)));
	return r ? r : unpack_xattrs(unpack, entry, fd);
}

/* When ENTRY was modified. */
static struct timespec unpack_mtime(const struct unpack *unpack, struct archive_entry *entry)
{
	return (struct timespec){ .tv_sec = unpack->lib.archive_entry_mtime(entry),
				  .tv_nsec = unpack->lib.archive_entry_mtime_nsec(entry) };
}

/* Give the inode of the O_PATH descriptor FD, which is no directory nor regular file, its owner, mode and time; and close it. */
static int unpack_dress_made(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, unpack_mtime(unpack, entry) };
	uid_t uid;
	gid_t gid;
	int r;

	if (fd < 0)
		return fd;
	r = unpack_owner(unpack, entry, &uid, &gid);
	if (!r)
		r = unpack_chowned(unpack, "fchownat", opath_chown(fd, uid, gid));
	if (!r && unpack->lib.archive_entry_filetype(entry) != AE_IFLNK)
		r = unpack_check(unpack, "fchmodat2", opath_chmod(fd, unpack->lib.archive_entry_perm(entry)));
	if (!r)
		r = unpack_check(unpack, "utimensat", opath_times(fd, times));
	fd_close(fd);
	return r;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* What a result of libarchive's comes to where it should have been good. */
static int unpack_corrupt(struct unpack *unpack, struct archive *archive)
{
	if (unpack->lib.memory.failed)
		return -ENOMEM;
	if (unpack->error) {
		unpack->call = unpack->inflate.call;
		unpack->detail = unpack->inflate.decoder.detail;
		return unpack->error;
	}
	if (unpack->lib.archive_errno(archive) == ENOMEM)
		return -ENOMEM;
	/* libarchive asks for no more than it needs: where that is not there, the rest is missing. */
	if (unpack->ended)
		return unpack_refuse(unpack, -ENODATA, "the archive is cut off");
	return unpack_refuse(unpack, -EBADMSG, "the archive is corrupt");
}

/* Write SIZE bytes to FD at OFFSET. */
static int unpack_pwrite(struct unpack *unpack, int fd, const char *bytes, size_t size, off_t offset)
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

/* Write the content of the file at hand to FD. */
static int unpack_content(struct unpack *unpack, struct archive *archive, int64_t size, int fd)
{
	int64_t end = 0;

	for (;;) {
		const void *bytes;
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
		if (atomic_load(unpack->cancelled))
			return -ECANCELED;
	}
	/* A hole at the end. */
	return end < size ? unpack_check(unpack, "ftruncate", RET_NERRNO(ftruncate(fd, size))) : 0;
}

/* Make the file NAME in DIR_FD: a descriptor, or -errno. */
static int unpack_create(struct unpack *unpack, struct archive_entry *entry, int dir_fd, const char *name)
{
	mode_t mode = 0600;
	uid_t uid;
	gid_t gid;
	int fd = unpack_owner(unpack, entry, &uid, &gid);

	if (fd)
		return fd;
	/* Who owns it from the beginning may as well have its mode. */
	if (uid == unpack->uid && gid == unpack->gid)
		mode = unpack->lib.archive_entry_perm(entry) & ACCESSPERMS;
	fd = RET_NERRNO(openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
	return unpack_check(unpack, "openat", fd);
}

/* Fill and dress the file FD, which was made, and close it. */
static int unpack_file(struct unpack *unpack, struct archive *archive, struct archive_entry *entry, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, unpack_mtime(unpack, entry) };
	int r;

	unpack->consumed = true;
	r = unpack_content(unpack, archive, unpack->lib.archive_entry_size(entry), fd);
	if (!r)
		r = unpack_dress(unpack, entry, fd);
	if (!r)
		r = unpack_check(unpack, "futimens", RET_NERRNO(futimens(fd, times)));
	/* No wait, and so no barrier; but the flush finds little left to do. */
	if (!r && unpack->writeback)
		r = unpack_check(unpack, "sync_file_range", RET_NERRNO(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)));
	fd_close(fd);
	return r;
}

/* Make the directory NAME in DIR_FD, or dress the one that is there. */
static int unpack_dir(struct unpack *unpack, struct archive_entry *entry, int dir_fd, const char *name, bool there)
{
	const struct timespec mtime = unpack_mtime(unpack, entry);
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	int r = 0;

	if (!there)
		r = unpack_check(unpack, "mkdirat", RET_NERRNO(mkdirat(dir_fd, name, 0700)));
	if (r)
		return r;
	/* Opening a directory acts on nothing; what is none is not opened. */
	fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY);
	if (fd == -EXDEV)
		return unpack_busy(unpack, name);
	if (fd < 0)
		return unpack_check(unpack, "openat2", fd);
	r = unpack_check(unpack, "statx", brought_look(fd, &stat));
	if (!r && !there && !brought_made(&unpack->brought, &stat))
		r = unpack_replaced(unpack, "openat2");
	if (!r)
		r = unpack_dress(unpack, entry, fd);
	if (!r && there && *name)
		r = brought_keep(&unpack->brought, &stat);
	return r ? r : unpack_later(unpack, unpack->path, &mtime);
}

/* Make NAME in DIR_FD one more name of TARGET. */
static int unpack_link(struct unpack *unpack, const char *target, int dir_fd, const char *name)
{
	_cleanup_free_ char *clean = fault_calloc(&unpack->store->io.fault, 1, strlen(target) + 1);
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
	/* A link to itself would have been removed to make room. */
	r = unpack_check(unpack, "linkat", RET_NERRNO(linkat(other, target, dir_fd, name, 0)));
	if (r)
		return r;
	r = unpack_look(unpack, dir_fd, name, &stat);
	/* A user of the layer can take it away again. */
	if (r)
		return r == -ENOENT ? unpack_replaced(unpack, "statx") : r;
	return brought_keep(&unpack->brought, &stat);
}

/* Make the link NAME in DIR_FD. */
static int unpack_symlink(struct unpack *unpack, struct archive_entry *entry, int dir_fd, const char *name)
{
	const char *target = unpack->lib.archive_entry_symlink(entry);
	int r;

	/* It may lead wherever it wants: nothing here follows it out of the layer. */
	if (!target || !*target)
		return unpack_refuse(unpack, -EBADMSG, "a link that leads nowhere");
	r = unpack_check(unpack, "symlinkat", RET_NERRNO(symlinkat(target, dir_fd, name)));
	return r ? r : unpack_dress_made(unpack, entry, unpack_open_made(unpack, dir_fd, name, S_IFLNK, 0));
}

/* Make the device or pipe NAME in DIR_FD. */
static int unpack_node(struct unpack *unpack, struct archive_entry *entry, int dir_fd, const char *name)
{
	mode_t mode = unpack->lib.archive_entry_filetype(entry) | 0600;
	dev_t rdev = S_ISFIFO(mode) ? 0 : unpack->lib.archive_entry_rdev(entry);
	int r = RET_NERRNO(mknodat(dir_fd, name, mode, rdev));

	if (r == -EPERM)
		unpack->detail = "devices take CAP_MKNOD";
	r = unpack_check(unpack, "mknodat", r);
	return r ? r : unpack_dress_made(unpack, entry, unpack_open_made(unpack, dir_fd, name, mode, rdev));
}

/* The archive has something in DIR_FD, the directory opened last. */
static int unpack_lead(struct unpack *unpack, int dir_fd)
{
	int r = unpack->dir_leads ? 0 : unpack_check(unpack, "openat", brought_lead(&unpack->brought, dir_fd));

	unpack->dir_leads = !r;
	return r;
}

/* Make what ENTRY says as NAME in DIR_FD. */
static int unpack_make(struct unpack *unpack, struct archive *archive, struct archive_entry *entry, int dir_fd,
		       const char *name)
{
	const char *target = unpack->lib.archive_entry_hardlink(entry);
	mode_t type = unpack->lib.archive_entry_filetype(entry);
	bool file = !target && type == AE_IFREG, there, dir;
	struct statx stat;
	int r = unpack_lead(unpack, dir_fd), fd;

	if (r)
		return r;
	/* Mostly nothing is there. */
	fd = file ? unpack_create(unpack, entry, dir_fd, name) : -EEXIST;
	if (fd != -EEXIST)
		return fd < 0 ? fd : unpack_file(unpack, archive, entry, fd);
	r = unpack_look(unpack, dir_fd, name, &stat);
	if (r && r != -ENOENT)
		return r;
	there = !r;
	dir = there && S_ISDIR(stat.stx_mode);
	r = 0;
	if (there && (target || type != AE_IFDIR || !dir)) {
		if (dir)
			unpack_leave(unpack);
		/* It may have been the directory at hand's own ancestor only by a link: what is open stays open. */
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
		return unpack_dir(unpack, entry, dir_fd, name, there);
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

/* ---- whiteouts --------------------------------------------------------------------------------------------------- */

/* A directory that is emptied of what was there before. */
struct unpack_old {
	struct unpack *unpack;
	int dir_fd;
	/* Its path below the one that the marker is in, ending in '/', or empty. */
	const char *path;
	/* Such paths of directories that are yet to be looked at, as the archive has something in them, each with its NUL. */
	char *paths;
	size_t size, capacity;
};

/* Note that the directory NAME is to be looked at, too. */
static int unpack_opaque_later(struct unpack_old *old, const char *name)
{
	size_t size = strlen(old->path) + strlen(name) + sizeof("/");
	int r = fault_reserve(&old->unpack->store->io.fault, &old->paths, old->size, size, &old->capacity, 1);

	if (r)
		return r;
	snprintf(old->paths + old->size, size, "%s%s/", old->path, name);
	old->size += size;
	return 0;
}

/* Remove NAME unless the archive brought it. */
static int unpack_opaque_entry(void *data, const char *name)
{
	struct unpack_old *old = data;
	struct unpack *unpack = old->unpack;
	char failed[VARVE_FAILURE_PATH_SIZE];
	_cleanup_free_ char *path = NULL;
	struct statx stat;
	int r = unpack_look(unpack, old->dir_fd, name, &stat);

	snprintf(failed, sizeof(failed), "%s", name);
	if (!r && brought_has(&unpack->brought, &stat))
		return S_ISDIR(stat.stx_mode) && brought_old(&unpack->brought, &stat) ? unpack_opaque_later(old, name) : 0;
	if (!r)
		r = unpack_remove_at(unpack, old->dir_fd, name, failed);
	if (r != -EBUSY)
		return r == -ENOENT ? 0 : r;
	return asprintf(&path, "%s%s", old->path, failed) < 0 ? -ENOMEM : unpack_busy(unpack, path);
}

/* Take the last path off the list; it is the caller's. */
static char *unpack_opaque_next(struct unpack_old *old)
{
	size_t start = old->size - 1;

	while (start && old->paths[start - 1])
		start--;
	old->size = start;
	return strdup(old->paths + start);
}

/* Empty the directory DIR_FD of what was there before, and those in it that stay as the archive has something in them. */
static int unpack_opaque(struct unpack *unpack, int dir_fd)
{
	struct unpack_old old = { .unpack = unpack, .dir_fd = dir_fd, .path = "" };
	int r = entries_each(dir_fd, unpack_opaque_entry, &old);

	while (!r && old.size) {
		_cleanup_free_ char *path = unpack_opaque_next(&old);
		_cleanup_close_ int fd = path ? beneath_open(dir_fd, path, O_PATH | O_DIRECTORY) : -ENOMEM;

		old.path = path;
		old.dir_fd = fd;
		/* It can have gone, or been replaced. */
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue;
		r = fd < 0 ? unpack_dir_error(unpack, fd) : entries_each(fd, unpack_opaque_entry, &old);
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	free(old.paths);
	return r;
}

/* NAME in DIR_FD says that something was deleted. */
static int unpack_whiteout(struct unpack *unpack, int dir_fd, const char *name)
{
	int r;

	if (!strcmp(name, UNPACK_OPAQUE))
		return unpack_opaque(unpack, dir_fd);
	if (!strncmp(name, UNPACK_META, strlen(UNPACK_META)))
		return 0;
	name += strlen(UNPACK_WHITEOUT);
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return unpack_refuse(unpack, -EINVAL, "a whiteout of \".\", \"..\" or nothing");
	r = unpack_remove(unpack, dir_fd, name);
	unpack_leave(unpack);
	return r;
}

/* ---- the archive ------------------------------------------------------------------------------------------------- */

/* Unpack ENTRY, whose clean path is unpack->path. */
static int unpack_entry(struct unpack *unpack, struct archive *archive, struct archive_entry *entry)
{
	const char *name, *links = UNPACK_LINKS "/";
	int dir_fd;

	if (!*unpack->path && unpack->lib.archive_entry_filetype(entry) != AE_IFDIR)
		return unpack_refuse(unpack, -EBADMSG, "the root of a layer is a directory");
	if (!*unpack->path)
		return unpack_dir(unpack, entry, unpack->root_fd, "", true);
	if (!strcmp(unpack->path, UNPACK_LINKS))
		return 0;
	/* Where links are made from; it goes in the end. */
	if (!strncmp(unpack->path, links, strlen(links))) {
		unpack->staged_links = true;
		if (unpack->lib.archive_entry_filetype(entry) != AE_IFREG || unpack->lib.archive_entry_hardlink(entry))
			return 0;
	}
	dir_fd = unpack_enter(unpack, unpack->path, true, &name);
	if (dir_fd < 0)
		return dir_fd;
	if (!strncmp(name, UNPACK_WHITEOUT, strlen(UNPACK_WHITEOUT)))
		return unpack_whiteout(unpack, dir_fd, name);
	return unpack_make(unpack, archive, entry, dir_fd, name);
}

/*
 * ARCHIVE has ended: by two blocks of zeros, by one, or without, as some builders leave them out; and no bytes at all are no entries.
 * 0, or -errno where entries may lie behind.
 */
static int unpack_ended(struct unpack *unpack, struct archive *archive)
{
	int64_t end = unpack->lib.archive_filter_bytes(archive, 0), start = unpack->lib.archive_read_header_position(archive);

	/* Were it zeros, too, libarchive would have taken it. */
	if (end - start == UNPACK_BLOCK_BYTES && unpack->taken - end >= UNPACK_BLOCK_BYTES)
		return unpack_refuse(unpack, -EBADMSG, "a lone block of zeros, with more behind it");
	if (!unpack->taken || end == start)
		report_add(&unpack->report, -ENODATA, "apply", "UNPACK", "read", "", "the archive has no end: it may be cut off");
	return 0;
}

/* Take the next entry of ARCHIVE: 1, 0 at the end, or -errno. */
static int unpack_next(struct unpack *unpack, struct archive *archive, struct archive_entry **ret_entry)
{
	int r = unpack->lib.archive_read_next_header(archive, ret_entry);
	const char *name;

	free(TAKE_PTR(unpack->path));
	if (r == ARCHIVE_EOF)
		return unpack_ended(unpack, archive);
	if (r < ARCHIVE_WARN || r == ARCHIVE_RETRY)
		return unpack_corrupt(unpack, archive);
	name = unpack->lib.archive_entry_pathname(*ret_entry);
	/* The first question converts them; later ones allocate nothing, and NULL means that there is none. */
	unpack->lib.archive_entry_hardlink(*ret_entry);
	unpack->lib.archive_entry_symlink(*ret_entry);
	if (unpack->lib.memory.failed)
		return -ENOMEM;
	if (!name || !*name)
		return unpack_refuse(unpack, -EBADMSG, "an entry without a name");
	if (unpack->lib.archive_entry_size(*ret_entry) < 0)
		return unpack_refuse(unpack, -EBADMSG, "a size that lies");
	unpack->path = fault_hit(&unpack->store->io.fault, FAULT_ALLOCATION) ? NULL : strdup(name);
	if (!unpack->path)
		return -ENOMEM;
	r = unpack_clean(unpack, name, unpack->path);
	return r ? r : 1;
}

/* The entry at hand was refused with -EPERM: where flags are the cause, say so. */
static void unpack_explain(struct unpack *unpack)
{
	const char *name;
	int dir_fd = unpack_enter(unpack, unpack->path, false, &name);

	if (!strncmp(name, UNPACK_WHITEOUT, strlen(UNPACK_WHITEOUT)))
		name += strlen(UNPACK_WHITEOUT);
	if (dir_fd >= 0)
		unpack->detail = loosen_detail(dir_fd, name);
}

/* Unpack all entries. */
static int unpack_entries(struct unpack *unpack, struct archive *archive)
{
	struct archive_entry *entry;
	int r;

	while ((r = unpack_next(unpack, archive, &entry)) > 0) {
		unpack->size += (uint64_t)unpack->lib.archive_entry_size(entry);
		unpack->consumed = false;
		spares_hold(&unpack->spares, unpack->root_fd, UNPACK_SPARES);
		r = atomic_load(unpack->cancelled) ? -ECANCELED : unpack_entry(unpack, archive, entry);
		if (fds_missing(r) && !unpack->consumed && spares_release(&unpack->spares))
			r = unpack_entry(unpack, archive, entry);
		if (r == -EPERM && !unpack->detail)
			unpack_explain(unpack);
		if (r < 0)
			break;
	}
	return r;
}

/* Set the time of the directory at PATH to MTIME, if it is still there: it may have been replaced, or deleted, since. */
static int unpack_finish_dir(struct unpack *unpack, const char *path, const struct timespec *mtime)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	const char *name;
	int dir_fd;

	if (!*path)
		return opath_times(unpack->root_fd, times);
	dir_fd = unpack_enter(unpack, path, false, &name);
	fd = dir_fd < 0 ? dir_fd : opath_open(dir_fd, name, &stat);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV || fd == -EBUSY)
		return 0;
	if (fd < 0)
		return fd;
	return S_ISDIR(stat.stx_mode) && brought_has(&unpack->brought, &stat) ? opath_times(fd, times) : 0;
}

/* Set the times of directories, the last ones first, and remove what links were made from. */
static int unpack_finish(struct unpack *unpack)
{
	int r = unpack->staged_links ? unpack_remove(unpack, unpack->root_fd, UNPACK_LINKS) : 0;

	unpack_leave(unpack);
	for (size_t i = unpack->times_count; !r && i--;) {
		r = unpack_check(unpack, "utimensat",
				 unpack_finish_dir(unpack, unpack->names + unpack->times[i].path, &unpack->times[i].mtime));
		if (!r && atomic_load(unpack->cancelled))
			r = -ECANCELED;
	}
	return r;
}

/* Hand bytes of the stream on; for libarchive. */
static la_ssize_t unpack_read(struct archive *archive, void *data, const void **ret_buffer)
{
	struct unpack *unpack = data;
	ssize_t length = inflate_read(&unpack->inflate, ret_buffer);

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
	return length;
}

/* See the layer whose root is ROOT_FD as it is without what is mounted in it, and what is there before. */
static int unpack_root(struct unpack *unpack, int root_fd)
{
	struct statx stat;
	int r;

	unpack->root_fd = RET_NERRNO(fcntl(root_fd, F_DUPFD_CLOEXEC, 0));
	if (unpack->root_fd < 0)
		return unpack_check(unpack, "fcntl", unpack->root_fd);
	r = unpack_check(unpack, "open_tree", mounts_clone(&unpack->root_fd));
	if (r >= 0)
		r = unpack_check(unpack, "statx", brought_look(unpack->root_fd, &stat));
	if (r)
		return r;
	unpack->mount = stat.stx_mnt_id;
	return unpack_check(unpack, "statx", brought_init(&unpack->brought, &unpack->store->io.fault, unpack->root_fd));
}

/* Unpack, with libarchive loaded. */
static int unpack_archive(struct unpack *unpack)
{
	int r = libarchive_begin(&unpack->lib);
	struct archive *archive = unpack->lib.archive_read_new();

	if (!archive)
		r = -ENOMEM;
	inflate_init(&unpack->inflate, &unpack->stream, &unpack->store->io.fault, unpack->cancelled);
	unpack->uid = geteuid();
	unpack->gid = getegid();
	if (!r && (unpack->lib.archive_read_support_filter_none(archive) < ARCHIVE_WARN ||
		   unpack->lib.archive_read_support_format_tar(archive) < ARCHIVE_WARN))
		r = -ENOMEM;
	if (!r && unpack->lib.archive_read_open(archive, unpack, NULL, unpack_read, NULL) == ARCHIVE_OK)
		r = unpack_entries(unpack, archive);
	else if (!r)
		/* It takes nothing for no archive. */
		r = unpack->ended && !unpack->taken ? unpack_ended(unpack, archive) : unpack_corrupt(unpack, archive);
	spares_release(&unpack->spares);
	if (!r)
		r = unpack_finish(unpack);
	if (!r) {
		unpack->error = inflate_finish(&unpack->inflate);
		r = unpack->error ? unpack_corrupt(unpack, archive) : 0;
	}
	if (r)
		unpack->failed = TAKE_PTR(unpack->path);
	if (archive)
		unpack->lib.archive_read_free(archive);
	libarchive_end(&unpack->lib);
	inflate_end(&unpack->inflate);
	return r;
}

int unpack_run(struct unpack *unpack, struct op *op, int root_fd)
{
	int r = libarchive_load(&unpack->lib);

	unpack->cancelled = &op->request->cancelled;
	if (r) {
		unpack->detail = LIBARCHIVE_MISSING;
		unpack_check(unpack, "dlopen", r);
	} else
		r = unpack_root(unpack, root_fd);
	if (!r)
		r = unpack_check(unpack, "fcntl", spares_hold(&unpack->spares, unpack->root_fd, UNPACK_SPARES));
	if (!r) {
		op->begun = true;
		r = unpack_archive(unpack);
	}
	spares_release(&unpack->spares);
	/* The last descriptor ends the clone of the mount; nobody is to find the file system busy for it. */
	unpack_leave(unpack);
	fd_close(TAKE_FD(unpack->root_fd));
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
	/* One that waits for a thread, as all may be held up by others, needs none to end. */
	if (io_withdraw(&op->request->store->io, &op->call))
		op_done(op, -ECANCELED);
}

/* Open the stream of REQUEST: FD, or what the caller writes. */
static int unpack_source(struct unpack *unpack, struct request *request, const struct varve_apply_options *options, int fd)
{
	const struct channel_ends ends = { .room = options->room, .data = options->room_data };

	if (fd == VARVE_STREAM)
		return stream_init_channel(&unpack->stream, request, &ends);
	return stream_init(&unpack->stream, request->store, fd, false);
}

int unpack_new(struct request *request, const struct varve_apply_options *options, int fd, struct unpack **ret_unpack)
{
	struct varve_store *store = request->store;
	struct unpack *unpack = fault_calloc(&store->io.fault, 1, sizeof(*unpack));
	size_t count = options->uids_count + options->gids_count;
	int r;

	if (!unpack)
		return -ENOMEM;
	unpack->store = store;
	unpack->root_fd = unpack->dir_fd = -EBADF;
	unpack->report.fault = &store->io.fault;
	unpack->uids_count = options->uids_count;
	unpack->gids_count = options->gids_count;
	r = unpack_source(unpack, request, options, fd);
	unpack->maps = fault_calloc(&store->io.fault, count + 1, sizeof(*unpack->maps));
	if (!r && !unpack->maps)
		r = -ENOMEM;
	if (r) {
		unpack_free(unpack);
		return r;
	}
	for (size_t i = 0; i < count; i++)
		unpack->maps[i] = i < options->uids_count ? options->uids[i] : options->gids[i - options->uids_count];
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
	brought_free(&unpack->brought);
	report_free(&unpack->report);
	free(unpack);
}
