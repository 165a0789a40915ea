/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/copy.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/tree/beneath.h"
#include "engine/tree/entries.h"
#include "engine/tree/opath.h"
#include "engine/tree/xattrs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* Buckets of the table of files that have more names; a power of two. */
#define COPY_BUCKETS 1024

/* The path of a directory that waits, or of the copy of a file with more names. */
struct copy_path {
	struct copy_path *next;
	uint64_t inode;
	char path[];
};

struct copy {
	struct copy_job *job;
	/* Directories that wait; files by inode. */
	struct copy_path *waiting, *files[COPY_BUCKETS];
	/* The directory at hand, in both trees, and its path. */
	int from_fd, to_fd;
	const char *dir;
	struct xattrs xattrs;
	/* The mount that the tree is in. */
	uint64_t mount;
};

/* RESULT is that of CALL. Returns it. */
static int copy_check(struct copy *copy, const char *call, int result)
{
	if (result < 0)
		copy->job->call = call;
	return result;
}

/* Refuse the entry at hand, because of DETAIL. */
static int copy_refuse(struct copy *copy, const char *detail)
{
	copy->job->call = "statx";
	copy->job->detail = detail;
	return -EBUSY;
}

/* Put DIR/NAME before the paths in *LIST. */
static int copy_note(struct copy *copy, struct copy_path **list, const char *name, uint64_t inode)
{
	size_t size = strlen(copy->dir) + strlen(name) + 2;
	struct copy_path *path = fault_calloc(copy->job->fault, 1, sizeof(*path) + size);

	if (!path)
		return -ENOMEM;
	snprintf(path->path, size, "%s%s%s", copy->dir, *copy->dir ? "/" : "", name);
	path->inode = inode;
	path->next = *list;
	*list = path;
	return 0;
}

static bool copy_any_xattr(const char *name)
{
	return true;
}

/* Give TO, a copy of NAME ("": the directory itself) that is open, or O_PATH where OPENED is not set, what STAT and attributes tell. */
static int copy_dress(struct copy *copy, const char *name, int to, bool opened, const struct statx *stat)
{
	const struct timespec times[2] = { { stat->stx_atime.tv_sec, stat->stx_atime.tv_nsec },
					   { stat->stx_mtime.tv_sec, stat->stx_mtime.tv_nsec } };
	int r = copy_check(copy, "fchownat", opath_chown(to, stat->stx_uid, stat->stx_gid));

	/* After the owner: that takes setuid away. */
	if (!r && !S_ISLNK(stat->stx_mode))
		r = copy_check(copy, "fchmodat2", opath_chmod(to, stat->stx_mode & ALLPERMS));
	if (!r)
		r = copy_check(copy, "listxattr", xattrs_read(&copy->xattrs, copy->from_fd, name, copy_any_xattr));
	for (size_t i = 0; !r && i < copy->xattrs.count; i++) {
		const struct xattr *xattr = &copy->xattrs.list[i];

		r = opened ? RET_NERRNO(fsetxattr(to, xattr->name, xattr->value, xattr->size, 0)) :
			     opath_setxattr(to, xattr->name, xattr->value, xattr->size);
		copy_check(copy, "setxattr", r);
	}
	return r ? r : copy_check(copy, "utimensat", opath_times(to, times));
}

/* Let the file TO share the content of FROM. */
static int copy_content(struct copy *copy, int from, int to)
{
	int r = RET_NERRNO(ioctl(to, FICLONE, from));
	unsigned flags = 0;

	/* Both have to have checksums (chattr -C), or neither. */
	if (r == -EINVAL && !ioctl(from, FS_IOC_GETFLAGS, &flags) && flags & FS_NOCOW_FL) {
		flags = FS_NOCOW_FL;
		r = RET_NERRNO(ioctl(to, FS_IOC_SETFLAGS, &flags));
		if (!r)
			r = RET_NERRNO(ioctl(to, FICLONE, from));
	}
	return copy_check(copy, "FICLONE", r);
}

/* Copy the file NAME, whose O_PATH descriptor is FD. */
static int copy_file(struct copy *copy, const char *name, int fd, const struct statx *stat)
{
	_cleanup_close_ int from = opath_reopen_read(fd), to = -EBADF;
	int r;

	if (from < 0)
		return copy_check(copy, "open", from);
	to = RET_NERRNO(openat(copy->to_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (to < 0)
		return copy_check(copy, "openat", to);
	r = copy_content(copy, from, to);
	return r ? r : copy_dress(copy, name, to, true, stat);
}

/* Copy the link, fifo, socket or device NAME, whose O_PATH descriptor is FD. */
static int copy_special(struct copy *copy, const char *name, int fd, const struct statx *stat)
{
	_cleanup_close_ int to = -EBADF;
	char target[PATH_MAX];
	ssize_t length;
	int r;

	if (S_ISLNK(stat->stx_mode)) {
		length = readlinkat(fd, "", target, sizeof(target) - 1);
		if (length < 0)
			return copy_check(copy, "readlinkat", negative_errno());
		target[length] = '\0';
		r = copy_check(copy, "symlinkat", RET_NERRNO(symlinkat(target, copy->to_fd, name)));
	} else {
		r = copy_check(copy, "mknodat", RET_NERRNO(mknodat(copy->to_fd, name, (stat->stx_mode & S_IFMT) | 0600,
								  makedev(stat->stx_rdev_major, stat->stx_rdev_minor))));
	}
	if (r)
		return r;
	to = opath_open(copy->to_fd, name, NULL);
	return to < 0 ? copy_check(copy, "openat2", to) : copy_dress(copy, name, to, false, stat);
}

/* Give the copy at PATH the name NAME, too. */
static int copy_link(struct copy *copy, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	_cleanup_free_ char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
	_cleanup_close_ int fd = -EBADF;

	if (!parent)
		return -ENOMEM;
	fd = beneath_open(copy->job->to_fd, parent, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return copy_check(copy, "openat2", fd);
	return copy_check(copy, "linkat", RET_NERRNO(linkat(fd, base, copy->to_fd, name, 0)));
}

/* Copy NAME, which is no directory. */
static int copy_leaf(struct copy *copy, const char *name, int fd, const struct statx *stat)
{
	struct copy_path **bucket = &copy->files[stat->stx_ino & (COPY_BUCKETS - 1)];
	int r;

	if (stat->stx_nlink > 1)
		for (const struct copy_path *file = *bucket; file; file = file->next)
			if (file->inode == stat->stx_ino)
				return copy_link(copy, file->path, name);
	r = S_ISREG(stat->stx_mode) ? copy_file(copy, name, fd, stat) : copy_special(copy, name, fd, stat);
	return r || stat->stx_nlink == 1 ? r : copy_note(copy, bucket, name, stat->stx_ino);
}

/* Make a copy of the directory NAME, to be filled later. */
static int copy_subdir(struct copy *copy, const char *name, const struct statx *stat)
{
	int r;

	if (stat->stx_ino == ABI_SUBVOL_ROOT_INODE || stat->stx_ino == ABI_STAND_IN_INODE)
		return copy_refuse(copy, "a subvolume is nested in it: move that out first");
	r = copy_check(copy, "mkdirat", RET_NERRNO(mkdirat(copy->to_fd, name, 0700)));
	return r ? r : copy_note(copy, &copy->waiting, name, 0);
}

/* Copy the entry NAME of the directory at hand. */
static int copy_entry(void *data, const char *name)
{
	struct copy *copy = data;
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;

	if (*copy->job->cancelled)
		return -ECANCELED;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s%s%s", copy->dir, *copy->dir ? "/" : "", name);
	fd = opath_open(copy->from_fd, name, &stat);
	if (fd == -EXDEV || (fd >= 0 && stat.stx_mask & STATX_MNT_ID && stat.stx_mnt_id != copy->mount))
		return copy_refuse(copy, "something is mounted in it: unmount that first");
	if (fd < 0)
		return copy_check(copy, "openat2", fd);
	atomic_fetch_add_explicit(&copy->job->progress->entries, 1, memory_order_relaxed);
	return S_ISDIR(stat.stx_mode) ? copy_subdir(copy, name, &stat) : copy_leaf(copy, name, fd, &stat);
}

/* Copy what is in the directory at hand, and then what it is itself: its times would not stay. */
static int copy_directory(struct copy *copy)
{
	struct statx stat;
	int r = entries_each(copy->from_fd, copy_entry, copy);

	if (r)
		return r;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s", copy->dir);
	r = copy_check(copy, "statx", RET_NERRNO(statx(copy->from_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat)));
	return r ? r : copy_dress(copy, "", copy->to_fd, true, &stat);
}

/* Copy the directory PATH; it is there, empty. */
static int copy_at(struct copy *copy, const char *path)
{
	_cleanup_close_ int from = -EBADF, to = -EBADF;

	copy->dir = path;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s", path);
	from = beneath_open_list(copy->job->from_fd, path);
	if (from < 0)
		return copy_check(copy, "openat2", from);
	to = beneath_open(copy->job->to_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (to < 0)
		return copy_check(copy, "openat2", to);
	copy->from_fd = from;
	copy->to_fd = to;
	return copy_directory(copy);
}

/* Free the paths in LIST. */
static void copy_forget(struct copy_path *list)
{
	for (struct copy_path *next; list; list = next) {
		next = list->next;
		free(list);
	}
}

int copy_run(struct copy_job *job)
{
	struct copy *copy = fault_calloc(job->fault, 1, sizeof(*copy));
	struct copy_path *path;
	struct statx stat;
	int r;

	if (!copy)
		return -ENOMEM;
	copy->job = job;
	copy->xattrs.fault = job->fault;
	r = copy_check(copy, "statx", RET_NERRNO(statx(job->from_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat)));
	copy->mount = stat.stx_mnt_id;
	if (!r)
		r = copy_at(copy, "");
	while (!r && (path = copy->waiting)) {
		copy->waiting = path->next;
		r = copy_at(copy, path->path);
		free(path);
	}
	copy_forget(copy->waiting);
	for (size_t i = 0; i < COPY_BUCKETS; i++)
		copy_forget(copy->files[i]);
	xattrs_free(&copy->xattrs);
	free(copy);
	return r;
}
