/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remove only what the run made: checks before a removal, and removals that cannot leave the root.
 */
#include "place/safety.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engines/engines.h"

#define SUBVOLUME_INODE 256

/* Check that the directory at ROOT's path is still the one that was made. Returns 0 or -errno. */
static int root_verify(const struct safety_root *root)
{
	struct stat st;

	if (lstat(root->path, &st) < 0)
		return -errno;
	return st.st_dev == root->device && st.st_ino == root->inode ? 0 : -EPERM;
}

int safety_root_make(struct safety_root *root, const char *directory, const char *prefix)
{
	char *real = realpath(directory, NULL);
	struct stat st;
	int length;

	if (!real)
		return -errno;
	length = snprintf(root->path, sizeof(root->path), "%s/%sXXXXXX", real, prefix);
	free(real);
	if (length >= (int)sizeof(root->path))
		return -ENAMETOOLONG;
	if (!mkdtemp(root->path))
		return -errno;
	root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root->fd < 0 || fstat(root->fd, &st) < 0) {
		int r = -errno;

		if (root->fd >= 0)
			close(root->fd);
		rmdir(root->path);
		return r;
	}
	root->device = st.st_dev;
	root->inode = st.st_ino;
	return 0;
}

int safety_root_remove(struct safety_root *root)
{
	int r = root_verify(root);

	close(root->fd);
	root->fd = -EBADF;
	if (r < 0)
		return r;
	return rmdir(root->path) < 0 ? -errno : 0;
}

void safety_root_leave(struct safety_root *root)
{
	close(root->fd);
	root->fd = -EBADF;
}

int safety_root_return(struct safety_root *root)
{
	struct stat st;

	root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root->fd < 0 || fstat(root->fd, &st) < 0)
		return -errno;
	/* A file system has another device number each time that it is mounted. */
	if (st.st_ino != root->inode)
		return -EPERM;
	root->device = st.st_dev;
	return 0;
}

int safety_open(const struct safety_root *root, const char *relative, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root->fd, relative, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int safety_check(const struct safety_root *root, const char *path)
{
	size_t length = strlen(root->path);
	int r = root_verify(root), fd;

	if (r < 0)
		return r;
	if (strncmp(path, root->path, length) || path[length] != '/')
		return -EPERM;
	for (path += length; *path == '/';)
		path++;
	if (!*path || !strcmp(path, "."))
		return -EPERM;
	fd = safety_open(root, path, O_PATH);
	if (fd == -EXDEV || fd == -ELOOP)
		return -EPERM;
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Return whether FD is the root directory of a subvolume. */
static bool is_subvolume(int fd)
{
	struct statfs sf;
	struct stat st;

	return fstatfs(fd, &sf) == 0 && sf.f_type == BTRFS_SUPER_MAGIC && fstat(fd, &st) == 0 &&
	       st.st_ino == SUBVOLUME_INODE;
}

static int empty_directory(int fd, unsigned depth);

/* Remove the directory NAME of FD with all that is in it. */
static int remove_directory(int fd, const char *name, unsigned depth)
{
	struct safety_root parent = { .fd = fd };
	bool subvolume;
	int child, r;

	child = safety_open(&parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (child < 0)
		return child;
	subvolume = is_subvolume(child);
	if (subvolume) {
		r = layer_destroy(fd, name);
		if (r != -ENOTEMPTY) {
			close(child);
			return r;
		}
	}
	r = empty_directory(child, depth + 1);
	if (r < 0)
		return r;
	if (subvolume)
		return layer_destroy(fd, name);
	return unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Remove what is in the directory FD, which is closed. */
static int empty_directory(int fd, unsigned depth)
{
	DIR *directory = depth < SAFETY_DEPTH_MAX ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int first = 0;

	if (!directory) {
		close(fd);
		return depth < SAFETY_DEPTH_MAX ? -ENOMEM : -ELOOP;
	}
	while ((entry = readdir(directory))) {
		int r;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		r = unlinkat(fd, entry->d_name, 0) < 0 ? -errno : 0;
		if (r == -EISDIR || r == -EPERM)
			r = remove_directory(fd, entry->d_name, depth);
		if (r < 0 && r != -ENOENT && !first)
			first = r;
	}
	closedir(directory);
	return first;
}

int safety_empty(const struct safety_root *root, const char *relative)
{
	int r = root_verify(root), fd;

	if (r < 0)
		return r;
	fd = safety_open(root, relative, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? fd : empty_directory(fd, 0);
}
