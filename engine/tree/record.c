/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/record.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/tree/layout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* The reference driver's mode. */
#define RECORD_MODE 0644

/* Pass the fault point of a step with a record. */
static int record_fault(struct varve_store *store)
{
	return fault_hit(&store->io.fault, FAULT_QUOTA);
}

int record_lock(struct varve_store *store)
{
	int r = record_fault(store), fd;

	if (r)
		return r;
	r = layout_need(store, LAYOUT_OWN);
	if (r < 0)
		return r;
	/* Opened anew each time: one descriptor would not keep two threads of this process apart. */
	fd = RET_NERRNO(openat(r, "records", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
	if (fd < 0)
		return fd;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			r = negative_errno();
			fd_close(fd);
			return r;
		}
	return fd;
}

int record_write_text(struct varve_store *store, int dir_fd, const char *name, const char *text)
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t length = (ssize_t)strlen(text);
	int r = record_fault(store);

	if (r)
		return r;
	fd = RET_NERRNO(openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, RECORD_MODE));
	if (fd < 0)
		return fd;
	/* Whatever the umask is. */
	if (fchmod(fd, RECORD_MODE) < 0 || write(fd, text, (size_t)length) != length)
		r = negative_errno();
	/* A commit does not write delayed data: without this the file would be there and empty after a power cut. So small a
	   one mostly goes into the tree itself, at once, and rides the commit. */
	else
		r = fs_wait_written(fd);
	if (r)
		unlinkat(dir_fd, name, 0);
	return r;
}

int record_write(struct varve_store *store, int dir_fd, const char *name, uint64_t bytes)
{
	char text[QUOTA_FILE_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return record_write_text(store, dir_fd, name, text);
}

int record_place(struct varve_store *store, int dir_fd, const char *name, const char *id)
{
	int r = record_fault(store), quotas_fd;

	if (r)
		return r;
	quotas_fd = layout_need(store, LAYOUT_QUOTAS);
	return quotas_fd < 0 ? quotas_fd : RET_NERRNO(renameat(dir_fd, name, quotas_fd, id));
}

int record_remove(struct varve_store *store, const char *id)
{
	int r = record_fault(store), quotas_fd;

	if (r)
		return r;
	quotas_fd = layout_find(store, LAYOUT_QUOTAS);
	if (quotas_fd < 0)
		return quotas_fd == -ENOENT ? 0 : quotas_fd;
	if (!unlinkat(quotas_fd, id, 0))
		return 1;
	return errno == ENOENT ? 0 : negative_errno();
}

int record_drop(struct varve_store *store, const char *id)
{
	_cleanup_close_ int lock = -EBADF;
	int quotas_fd = layout_find(store, LAYOUT_QUOTAS);
	struct stat stat;

	if (quotas_fd < 0)
		return quotas_fd == -ENOENT ? 0 : quotas_fd;
	/* A directory of btrfs with nothing in it has size 0: no need to look for a name in it. */
	if (!fstat(quotas_fd, &stat) && !stat.st_size)
		return 0;
	/* Nearly always there is none, and then there is nothing to lock for. */
	if (fstatat(quotas_fd, id, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : negative_errno();
	lock = record_lock(store);
	if (lock < 0)
		return lock;
	if (!fstatat(store->layout.subvolumes_fd, id, &stat, AT_SYMLINK_NOFOLLOW))
		return 0;
	return errno == ENOENT ? record_remove(store, id) : negative_errno();
}

int record_read(int fd, uint64_t *ret_bytes)
{
	char text[QUOTA_FILE_BYTES], *end;
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t bytes;

	if (length < 0)
		return negative_errno();
	text[length] = '\0';
	/* Digits and nothing else, as the reference driver parses it: no sign, no blank, no line end. */
	if (!length || strspn(text, "0123456789") != (size_t)length)
		return -EINVAL;
	errno = 0;
	bytes = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}
