/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/copy.h"
#include "engine/base/inode_map.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/btrfs/chattr.h"
#include "engine/dir/beneath.h"
#include "engine/dir/entries.h"
#include "engine/dir/opath.h"
#include "engine/dir/xattrs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* The path of a directory that is still to be copied, or of the copy of a file with more names. */
struct copy_path {
	struct copy_path *next;
	/* Number that the directory must have when it is opened; 0: any (the root). */
	uint64_t inode;
	char path[];
};

struct copy {
	struct copy_job *job;
	/* Nothing is copied: only check that nothing was changed. */
	bool look;
	/* Directories to be copied; copies of files that have more names. */
	struct copy_path *waiting, *linked;
	/* The entries of `linked` by inode. */
	struct inode_map files;
	/* Bytes of both lists. */
	size_t bytes;
	/* The current directory in both trees, and its path. */
	int from_fd, to_fd;
	const char *dir;
	struct xattrs xattrs;
	/* The mount and the device of the original. */
	uint64_t mount;
	uint32_t device_major, device_minor;
};

/* Return RESULT; if it is an error, record CALL as the failed call. */
static int copy_check(struct copy *copy, const char *call, int result)
{
	if (result < 0)
		copy->job->call = call;
	return result;
}

/* Refuse the current entry, because of DETAIL. */
static int copy_refuse(struct copy *copy, const char *detail)
{
	copy->job->call = "statx";
	copy->job->detail = detail;
	return -EBUSY;
}

/* Refuse the current entry: it has changed since the copying began. */
static int copy_changed(struct copy *copy)
{
	return copy_refuse(
		copy, "it was changed while it was copied: end what writes there, and try again");
}

/* Put DIR/NAME before the paths in *LIST. */
static int copy_note(struct copy *copy, struct copy_path **list, const char *name, uint64_t inode)
{
	size_t size = strlen(copy->dir) + strlen(name) + 2;
	struct copy_path *path;

	copy->bytes += sizeof(*path) + size;
	if (copy->bytes > COPY_NAMES_BYTES_MAX) {
		copy->job->call = "malloc";
		copy->job->detail =
			"the paths of its directories, and of its files of several names, take too much memory: move some out";
		return -ENOBUFS;
	}
	path = fault_calloc(copy->job->fault, 1, sizeof(*path) + size);
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

/* Flags (chattr) that forbid nothing; they are set on the finished copy. */
#define COPY_FLAGS (FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL | FS_NODUMP_FL | FS_NOCOMP_FL)

/*
 * Give TO those flags of FROM. Before its attributes: the kernel removes btrfs.compression where
 * flags are set without FS_COMPR_FL, and changes it where they are set with it.
 */
static int copy_flags(int from, int to)
{
	unsigned from_flags, to_flags, flags;

	if (ioctl(from, FS_IOC_GETFLAGS, &from_flags) < 0 ||
	    ioctl(to, FS_IOC_GETFLAGS, &to_flags) < 0)
		return negative_errno();
	/* A file with +C is not compressed. */
	flags = from_flags & (to_flags & FS_NOCOW_FL ? COPY_FLAGS & ~FS_NOCOMP_FL : COPY_FLAGS);
	flags |= to_flags & ~(COPY_FLAGS | FS_COMPR_FL);
	return flags == to_flags ? 0 : RET_NERRNO(ioctl(to, FS_IOC_SETFLAGS, &flags));
}

/*
 * Give TO owner, mode, flags, attributes and times of the original, whose stat is STAT. The
 * original is open as FROM; or FROM is negative, TO is an O_PATH descriptor, and the original is
 * NAME in the current directory, neither a regular file nor a directory.
 */
static int copy_metadata(struct copy *copy, const char *name, int from, int to,
			 const struct statx *stat)
{
	const struct timespec times[2] = { { stat->stx_atime.tv_sec, stat->stx_atime.tv_nsec },
					   { stat->stx_mtime.tv_sec, stat->stx_mtime.tv_nsec } };
	int r = copy_check(copy, "fchownat", opath_chown(to, stat->stx_uid, stat->stx_gid));

	/* After the owner: chown clears setuid. */
	if (!r && !S_ISLNK(stat->stx_mode))
		r = copy_check(copy, "fchmodat2", opath_chmod(to, stat->stx_mode & ALLPERMS));
	if (!r && from >= 0)
		r = copy_check(copy, "FS_IOC_SETFLAGS", copy_flags(from, to));
	if (!r)
		r = copy_check(copy, "listxattr",
			       from >= 0 ? xattrs_read_fd(&copy->xattrs, from, copy_any_xattr)
					 : xattrs_read(&copy->xattrs, copy->from_fd, name,
						       copy_any_xattr));
	for (size_t i = 0; !r && i < copy->xattrs.count; i++) {
		const struct xattr *xattr = &copy->xattrs.list[i];

		r = from >= 0 ? RET_NERRNO(fsetxattr(to, xattr->name, xattr->value, xattr->size, 0))
			      : opath_setxattr(to, xattr->name, xattr->value, xattr->size);
		copy_check(copy, "setxattr", r);
	}
	return r ? r : copy_check(copy, "utimensat", opath_times(to, times));
}

/* Set or clear chattr +C (no copy on write) on TO, which is empty, as FROM has it. */
static int copy_nocow(int from, int to)
{
	unsigned from_flags, to_flags;

	if (ioctl(from, FS_IOC_GETFLAGS, &from_flags) < 0 ||
	    ioctl(to, FS_IOC_GETFLAGS, &to_flags) < 0)
		return negative_errno();
	to_flags = (to_flags & ~FS_NOCOW_FL) | (from_flags & FS_NOCOW_FL);
	return RET_NERRNO(ioctl(to, FS_IOC_SETFLAGS, &to_flags));
}

/*
 * Copy the content of the file FROM of SIZE bytes to TO, holes left out. FROM is flushed first, as
 * by FICLONE: only then does a later write to a mapped page change its ctime.
 */
static int copy_bytes(struct copy *copy, int from, int to, off_t size)
{
	off_t at = 0, end;

	if (fdatasync(from) < 0)
		return copy_check(copy, "fdatasync", negative_errno());
	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t out = at;

		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			ssize_t length = copy_file_range(from, &at, to, &out,
							 MIN(end - at, COPY_STEP_BYTES), 0);

			if (length <= 0)
				return copy_check(copy, "copy_file_range",
						  length ? negative_errno() : -EIO);
			if (*copy->job->cancelled)
				return -ECANCELED;
		}
	}
	if (errno != ENXIO)
		return copy_check(copy, "lseek", negative_errno());
	return copy_check(copy, "ftruncate", RET_NERRNO(ftruncate(to, size)));
}

/* Copy the file NAME, whose O_PATH descriptor is FD. */
static int copy_file(struct copy *copy, const char *name, int fd, const struct statx *stat)
{
	_cleanup_close_ int from = opath_reopen_read(fd), to = -EBADF;
	int r;

	if (from < 0)
		return copy_check(copy, "open", from);
	to = RET_NERRNO(openat(copy->to_fd, name,
			       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (to < 0)
		return copy_check(copy, "openat", to);
	r = RET_NERRNO(ioctl(to, FICLONE, from));
	/* Files share content only if both have checksums, or neither. */
	if (r == -EINVAL && !copy_nocow(from, to))
		r = RET_NERRNO(ioctl(to, FICLONE, from));
	/* FROM was made on a mount with nodatasum, which no flag shows. */
	if (r == -EINVAL)
		r = copy_bytes(copy, from, to, (off_t)stat->stx_size);
	else
		r = copy_check(copy, "FICLONE", r);
	return r ? r : copy_metadata(copy, name, from, to, stat);
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
		r = copy_check(
			copy, "mknodat",
			RET_NERRNO(mknodat(copy->to_fd, name, (stat->stx_mode & S_IFMT) | 0600,
					   makedev(stat->stx_rdev_major, stat->stx_rdev_minor))));
	}
	if (r)
		return r;
	to = opath_open(copy->to_fd, name, NULL);
	return to < 0 ? copy_check(copy, "openat2", to)
		      : copy_metadata(copy, name, -EBADF, to, stat);
}

/* Link the copy at PATH to NAME in the current directory. */
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
	uint64_t *known = stat->stx_nlink > 1 ? inode_map_find(&copy->files, stat->stx_ino, 0)
					      : NULL;
	int r;

	if (known)
		return copy_link(copy, ((struct copy_path *)(uintptr_t)*known)->path, name);
	r = S_ISREG(stat->stx_mode) ? copy_file(copy, name, fd, stat)
				    : copy_special(copy, name, fd, stat);
	if (r || stat->stx_nlink == 1)
		return r;
	r = copy_note(copy, &copy->linked, name, stat->stx_ino);
	if (r)
		return r;
	known = inode_map_add(&copy->files, stat->stx_ino, 0, NULL);
	if (!known)
		return -ENOMEM;
	*known = (uintptr_t)copy->linked;
	return 0;
}

/* Check that the inode of STAT may be removed later, and is unchanged since the copying began. */
static int copy_allowed(struct copy *copy, const struct statx *stat)
{
	const struct timespec ctime = { stat->stx_ctime.tv_sec, stat->stx_ctime.tv_nsec };
	const struct timespec *began = &copy->job->began;
	struct timespec soon;

	if (chattr_of(stat)) {
		copy->job->call = "statx";
		copy->job->detail = chattr_of(stat) & FS_IMMUTABLE_FL
					    ? "it is immutable: clear the flag (chattr -i) first"
					    : "it is append-only: clear the flag (chattr -a) first";
		return -EPERM;
	}
	if (!time_before(began->tv_sec, began->tv_nsec, &ctime))
		return 0;
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_sec++;
	if (time_before(soon.tv_sec, soon.tv_nsec, &ctime))
		return copy_refuse(
			copy, "its time of change is ahead of the clock: touch it, and try again");
	return copy_changed(copy);
}

/* Copy the entry NAME of the current directory. */
static int copy_entry(void *data, const char *name)
{
	struct copy *copy = data;
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	int r;

	if (*copy->job->cancelled)
		return -ECANCELED;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s%s%s", copy->dir,
		 *copy->dir ? "/" : "", name);
	fd = opath_open(copy->from_fd, name, &stat);
	if (fd == -EXDEV ||
	    (fd >= 0 && stat.stx_mask & STATX_MNT_ID && stat.stx_mnt_id != copy->mount))
		return copy_refuse(copy, "something is mounted in it: unmount that first");
	if (fd == -ENOENT)
		return copy_changed(copy);
	if (fd < 0)
		return copy_check(copy, "openat2", fd);
	r = copy_allowed(copy, &stat);
	if (r)
		return r;
	atomic_fetch_add_explicit(&copy->job->progress->entries, 1, memory_order_relaxed);
	if (!S_ISDIR(stat.stx_mode))
		return copy->look ? 0 : copy_leaf(copy, name, fd, &stat);
	if (stat.stx_ino == ABI_SUBVOL_ROOT_INODE || stat.stx_ino == ABI_STAND_IN_INODE)
		return copy_refuse(copy, "a subvolume is nested in it: move that out first");
	/* Directories are filled later. */
	if (!copy->look)
		r = copy_check(copy, "mkdirat", RET_NERRNO(mkdirat(copy->to_fd, name, 0700)));
	return r ? r : copy_note(copy, &copy->waiting, name, stat.stx_ino);
}

/* Copy the entries of the current directory, AT, and at last its own owner, mode and times. */
static int copy_directory(struct copy *copy, const struct copy_path *at)
{
	struct statx stat;
	int r = copy_check(copy, "statx",
			   RET_NERRNO(statx(copy->from_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS,
					    &stat)));

	if (r)
		return r;
	if (stat.stx_dev_major != copy->device_major || stat.stx_dev_minor != copy->device_minor ||
	    (at->inode && stat.stx_ino != at->inode))
		return copy_changed(copy);
	/* New entries in it would inherit the flag. */
	if (!copy->look)
		r = copy_check(copy, "FS_IOC_SETFLAGS", copy_nocow(copy->from_fd, copy->to_fd));
	if (!r)
		r = entries_each(copy->from_fd, copy_entry, copy);
	if (r)
		return r;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s", copy->dir);
	r = copy_check(copy, "statx",
		       RET_NERRNO(
			       statx(copy->from_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat)));
	if (!r)
		r = copy_allowed(copy, &stat);
	return r || copy->look ? r : copy_metadata(copy, "", copy->from_fd, copy->to_fd, &stat);
}

/* Fill the copy of the directory AT, which exists and is empty. */
static int copy_at(struct copy *copy, const struct copy_path *at)
{
	_cleanup_close_ int from = -EBADF, to = -EBADF;

	copy->dir = at->path;
	snprintf(copy->job->path, sizeof(copy->job->path), "%s", at->path);
	from = beneath_open_list(copy->job->from_fd, at->path);
	if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP)
		return copy_changed(copy);
	if (from < 0)
		return copy_check(copy, "openat2", from);
	if (!copy->look)
		to = beneath_open(copy->job->to_fd, at->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (!copy->look && to < 0)
		return copy_check(copy, "openat2", to);
	copy->from_fd = from;
	copy->to_fd = to;
	return copy_directory(copy, at);
}

/* Free the paths in LIST. */
static void copy_forget(struct copy_path *list)
{
	for (struct copy_path *next; list; list = next) {
		next = list->next;
		free(list);
	}
}

/* Copy the whole tree, or with LOOK only look at it. */
static int copy_tree(struct copy_job *job, bool look)
{
	struct copy *copy = fault_calloc(job->fault, 1, sizeof(*copy));
	struct copy_path *path;
	struct statx stat;
	int r;

	if (!copy)
		return -ENOMEM;
	copy->job = job;
	*job->path = '\0';
	copy->look = look;
	copy->files.fault = copy->xattrs.fault = job->fault;
	r = copy_check(copy, "statx",
		       RET_NERRNO(statx(job->from_fd, "", AT_EMPTY_PATH,
					STATX_BASIC_STATS | STATX_MNT_ID, &stat)));
	copy->mount = stat.stx_mnt_id;
	copy->device_major = stat.stx_dev_major;
	copy->device_minor = stat.stx_dev_minor;
	copy->dir = "";
	if (!r)
		r = copy_allowed(copy, &stat);
	if (!r)
		r = copy_note(copy, &copy->waiting, "", 0);
	while (!r && (path = copy->waiting)) {
		copy->waiting = path->next;
		r = copy_at(copy, path);
		copy->bytes -= sizeof(*path) + strlen(path->path) + 1;
		free(path);
	}
	copy_forget(copy->waiting);
	copy_forget(copy->linked);
	inode_map_free(&copy->files);
	xattrs_free(&copy->xattrs);
	free(copy);
	return r;
}

/* Check that the clock was not set since it is watched: 0 or -EBUSY. */
static int copy_clock_kept(struct copy_job *job)
{
	uint64_t times;

	if (read(job->clock_fd, &times, sizeof(times)) < 0 && errno != ECANCELED)
		return 0;
	job->call = "read";
	job->detail =
		"the clock was set meanwhile, so times of change do not tell what was changed: try again";
	return -EBUSY;
}

/* Watch the clock that gives inodes their ctime. */
static int copy_clock_watch(struct copy_job *job)
{
	const struct itimerspec never = { .it_value.tv_sec = sizeof(time_t) == 8 ? INT64_MAX
										 : INT32_MAX };

	job->call = "timerfd_create";
	job->clock_fd = RET_NERRNO(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
	if (job->clock_fd < 0)
		return job->clock_fd;
	job->call = "timerfd_settime";
	return RET_NERRNO(timerfd_settime(job->clock_fd,
					  TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
					  NULL));
}

int copy_run(struct copy_job *job)
{
	struct timespec tick, now;
	int r = copy_clock_watch(job);

	/*
	 * Remember when the copying begins, such that each later change of an inode has a later
	 * ctime. The kernel takes ctime from its clock at the last tick, so wait for the next one;
	 * on a busy virtual machine that takes longer than one tick.
	 */
	clock_gettime(CLOCK_REALTIME, &job->began);
	clock_getres(CLOCK_REALTIME_COARSE, &tick);
	do {
		if (!r)
			r = copy_clock_kept(job);
		if (!r && *job->cancelled)
			r = -ECANCELED;
		if (r)
			return r;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (!time_before(job->began.tv_sec, job->began.tv_nsec, &now));
	return copy_tree(job, false);
}

int copy_unchanged(struct copy_job *job)
{
	int r = copy_tree(job, true);

	return r ? r : copy_clock_kept(job);
}

void copy_end(struct copy_job *job)
{
	fd_close(TAKE_FD(job->clock_fd));
}
