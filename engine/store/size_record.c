/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/size_record.h"
#include "engine/base/limits.h"
#include "engine/btrfs/abi.h"
#include "engine/btrfs/fs.h"
#include "engine/core/op.h"
#include "engine/dir/entries.h"
#include "engine/store/layer_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* The reference driver's mode. */
#define RECORD_MODE 0644

/* The file that is locked, in the store's own directory. */
#define RECORD_LOCK_NAME "records"

/* How a file is looked at that may be anywhere. */
#define RECORD_LOOK (AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT)

/*
 * Open the file that is locked, for ACCESS; it is made when it is missing. A descriptor or -errno.
 */
static int size_record_open_lock(struct varve_store *store, int access)
{
	int own_fd = layout_need(store, LAYOUT_OWN);

	return own_fd < 0
		       ? own_fd
		       : RET_NERRNO(openat(own_fd, RECORD_LOCK_NAME,
					   access | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
					   0600));
}

int size_record_lock(struct varve_store *store, struct size_record_lock *ret_lock)
{
	_cleanup_close_ int fd = -EBADF;
	int r = fault_hit(&store->core.io.fault, FAULT_QUOTA);

	if (r)
		return r;
	/*
	 * Opened anew each time: a lock on one descriptor would belong to every process with a copy
	 * of it, as a forked child.
	 */
	fd = size_record_open_lock(store, O_RDWR);
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&store->layout.recording);
	r = RET_NERRNO(flock(fd, LOCK_EX | LOCK_NB));
	if (r) {
		pthread_mutex_unlock(&store->layout.recording);
		if (r == -EWOULDBLOCK && store->core.io.trace.mask & TRACE_OP)
			trace(&store->core.io.trace, TRACE_OP, "records: locked by process %d",
			      size_record_holder(store));
		return r == -EWOULDBLOCK || r == -EINTR ? OP_LATER : r;
	}
	*ret_lock = (struct size_record_lock){ .store = store, .fd = TAKE_FD(fd) };
	return 0;
}

int size_record_lock_made(struct varve_store *store, struct size_record_lock *ret_lock)
{
	int own_fd = layout_find(store, LAYOUT_OWN), r;
	struct stat stat;

	if (own_fd < 0)
		return own_fd == -ENOENT ? 0 : own_fd;
	if (fstatat(own_fd, RECORD_LOCK_NAME, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : negative_errno();
	r = size_record_lock(store, ret_lock);
	return r == -EROFS ? 0 : r;
}

void size_record_unlock(struct size_record_lock *lock)
{
	if (!lock->store)
		return;
	/*
	 * To close it is not enough: a child that was forked meanwhile has the descriptor, too, and
	 * the lock is on both.
	 */
	flock(lock->fd, LOCK_UN);
	fd_close(lock->fd);
	pthread_mutex_unlock(&lock->store->layout.recording);
	lock->store = NULL;
}

int size_record_enter(struct varve_store *store, const char *id)
{
	struct size_record_lock *lock = &store->layout.entered;
	int r = lock->store ? 0 : size_record_lock(store, lock);

	return r ? r : size_record_await(lock, id);
}

void size_record_leave(struct varve_store *store)
{
	size_record_unlock(&store->layout.entered);
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* The byte of the lock's file that stands for ID, as a range of type TYPE. */
static struct flock size_record_range(const char *id, short type)
{
	uint64_t hash = hash_bytes(HASH_BEGIN, id, strlen(id));

	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(hash >> 2),
		.l_len = 1,
	};
}

bool size_record_mark(struct varve_store *store, const char *id)
{
	struct flock range = size_record_range(id, F_RDLCK);
	int fd;

	if (store->layout.marks >= RECORD_MARKS_MAX)
		return false;
	if (store->layout.marks_fd < 0) {
		/* It stays open, and for writing would keep the file system from a remount,ro. */
		fd = size_record_open_lock(store, O_RDONLY);
		if (fd < 0)
			return false;
		store->layout.marks_fd = fd;
	}
	if (fcntl(store->layout.marks_fd, F_OFD_SETLK, &range) < 0)
		return false;
	store->layout.marks++;
	return true;
}

void size_record_unmark(struct varve_store *store, const char *id)
{
	struct flock range = size_record_range(id, F_UNLCK);

	fcntl(store->layout.marks_fd, F_OFD_SETLK, &range);
	store->layout.marks--;
}

/* Is ID marked, by any store, as FD sees, which has no marks itself? 1, 0, or -errno. */
static int size_record_ask(int fd, const char *id)
{
	struct flock range = size_record_range(id, F_WRLCK);

	return fcntl(fd, F_OFD_GETLK, &range) < 0 ? negative_errno() : range.l_type != F_UNLCK;
}

int size_record_await(const struct size_record_lock *lock, const char *id)
{
	int r = size_record_ask(lock->fd, id);

	return r > 0 ? OP_LATER : r;
}

int size_record_marked(struct varve_store *store, const char *id)
{
	int own_fd = layout_find(store, LAYOUT_OWN);
	_cleanup_close_ int fd = -EBADF;

	if (own_fd < 0)
		return own_fd == -ENOENT ? 0 : own_fd;
	/* Opened anew: a descriptor does not see the marks that were made by itself. */
	fd = RET_NERRNO(
		openat(own_fd, RECORD_LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	if (fd < 0)
		return fd == -ENOENT || fd == -EACCES ? 0 : fd;
	return size_record_ask(fd, id);
}

/* ---- the holder ------------------------------------------------------------------------------ */

/*
 * Has process PID the file FILE open? True, too, when we may not look. What else it has open may be
 * on a file system whose server does not answer, and is not asked.
 */
static bool size_record_opened_by(int pid, const struct statx *file)
{
	char path[sizeof("/proc//fd") + 20];
	struct entries entries = { .fd = -EBADF };
	_cleanup_close_ int fd = -EBADF;
	bool found = false;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT;
	r = entries_begin(&entries, fd);
	while (!r && entries.entry && !found) {
		struct statx other;

		found = !statx(fd, entries.entry->d_name, RECORD_LOOK, STATX_INO, &other) &&
			other.stx_ino == file->stx_ino &&
			other.stx_dev_major == file->stx_dev_major &&
			other.stx_dev_minor == file->stx_dev_minor;
		r = entries_next(&entries);
	}
	entries_end(&entries);
	return found || r;
}

int size_record_holder(struct varve_store *store)
{
	int own_fd = layout_find(store, LAYOUT_OWN);
	char *line = NULL;
	int holder = 0;
	size_t size = 0;
	struct statx stat;
	FILE *file;

	/* A file that was never made is not locked. */
	if (own_fd < 0)
		return own_fd == -ENOENT ? 0 : own_fd;
	if (statx(own_fd, RECORD_LOCK_NAME, RECORD_LOOK | AT_SYMLINK_NOFOLLOW, STATX_INO, &stat) <
	    0)
		return errno == ENOENT ? 0 : negative_errno();
	file = fopen("/proc/locks", "re");
	if (!file)
		return negative_errno();
	/*
	 * A line has no more of the file than the device of its file system and its inode, which
	 * other subvolumes have, too.
	 */
	while (!holder && getline(&line, &size, file) > 0) {
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*s FLOCK %*s %*s %d %*x:%*x:%llu ", &pid, &inode) == 2 &&
		    inode == stat.stx_ino && pid > 0 && size_record_opened_by(pid, &stat))
			holder = pid;
	}
	free(line);
	fclose(file);
	return holder;
}

/* ---- the files ------------------------------------------------------------------------------- */

/* Make the file NAME in DIR_FD. */
static int size_record_new(int dir_fd, const char *name)
{
	return RET_NERRNO(openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 RECORD_MODE));
}

int size_record_write_text(struct varve_store *store, int dir_fd, const char *name,
			   const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t length = (ssize_t)strlen(text);
	int r = fault_hit(&store->core.io.fault, FAULT_QUOTA);

	if (r)
		return r;
	fd = size_record_new(dir_fd, name);
	/* An existing file is of a try, or a process, that could not remove it. */
	if (fd == -EEXIST)
		fd = unlinkat(dir_fd, name, 0) < 0 ? negative_errno()
						   : size_record_new(dir_fd, name);
	if (fd < 0)
		return fd;
	/* Whatever the umask is. */
	if (fchmod(fd, RECORD_MODE) < 0 || write(fd, text, (size_t)length) != length)
		r = negative_errno();
	/*
	 * A commit does not write delayed data: without this the file would be there and empty
	 * after a power cut. So small a one mostly goes into the tree itself, at once, and rides
	 * the commit.
	 */
	else
		r = fs_wait_written(fd);
	if (r)
		unlinkat(dir_fd, name, 0);
	return r;
}

int size_record_write(struct varve_store *store, int dir_fd, const char *name, uint64_t bytes)
{
	char text[QUOTA_FILE_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return size_record_write_text(store, dir_fd, name, text);
}

int size_record_copy(struct varve_store *store, const char *id, const char *new_id)
{
	int r = layer_file_link(store, LAYOUT_QUOTAS, id, new_id);
	uint64_t bytes;

	if (r != -EPERM)
		return MIN(r, 0);
	r = size_record_find(store, id, &bytes);
	return r > 0 ? size_record_write(store, layout_find(store, LAYOUT_QUOTAS), new_id, bytes)
		     : r;
}

/* Is there a layer in the place of ID? 1, 0, or -errno. */
static int size_record_kept(struct varve_store *store, const char *id)
{
	struct stat stat;

	if (fstatat(store->layout.subvolumes_fd, id, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : negative_errno();
	/* A stand-in in a snapshot of a store is not a layer. */
	return stat.st_ino != ABI_STAND_IN_INODE;
}

/* What becomes of a record whose layer another removal may put back. */
enum size_record_use { RECORD_GOES, RECORD_STAYS, RECORD_WAITS };

/*
 * Remove the record of ID unless there is something in the layer's place; USE says what is done
 * while a removal of it is under way.
 */
static int size_record_take(struct varve_store *store, const char *id, enum size_record_use use)
{
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	int r = layer_file_there(store, LAYOUT_QUOTAS, id);

	/* Nearly always there is none, and then there is nothing to lock for. */
	if (r <= 0)
		return r;
	r = size_record_lock(store, &lock);
	if (!r)
		r = size_record_kept(store, id);
	if (!r && use != RECORD_GOES) {
		r = size_record_ask(lock.fd, id);
		if (r > 0 && use == RECORD_WAITS)
			r = OP_LATER;
	}
	return r ? MIN(r, 0) : layer_file_remove(store, LAYOUT_QUOTAS, id);
}

int size_record_drop(struct varve_store *store, const char *id)
{
	return size_record_take(store, id, RECORD_GOES);
}

int size_record_drop_left(struct varve_store *store, const char *id)
{
	return size_record_take(store, id, RECORD_STAYS);
}

int size_record_drop_old(struct varve_store *store, const char *id)
{
	return size_record_take(store, id, RECORD_WAITS);
}

int size_record_read(int fd, uint64_t *ret_bytes)
{
	char text[QUOTA_FILE_BYTES], *end;
	ssize_t length = pread(fd, text, sizeof(text), 0);
	uint64_t bytes;

	if (length < 0)
		return negative_errno();
	/* There is more of it, or may be. */
	if (length == sizeof(text))
		return -EINVAL;
	text[length] = '\0';
	/*
	 * Digits and nothing else, as the reference driver parses it: no sign, no blank, no line
	 * end.
	 */
	if (!length || strspn(text, "0123456789") != (size_t)length)
		return -EINVAL;
	errno = 0;
	bytes = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}

int size_record_find(struct varve_store *store, const char *id, uint64_t *ret_bytes)
{
	int quotas_fd = layout_find(store, LAYOUT_QUOTAS), r;
	_cleanup_close_ int fd = -EBADF;

	if (quotas_fd < 0)
		return quotas_fd == -ENOENT ? 0 : quotas_fd;
	fd = RET_NERRNO(openat(quotas_fd, id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = size_record_read(fd, ret_bytes);
	return r ? r : 1;
}
