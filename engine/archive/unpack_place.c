/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/unpack_place.h"
#include "engine/archive/tar_name.h"
#include "engine/archive/unpack_metadata.h"
#include "engine/core/fds.h"
#include "engine/dir/acl.h"
#include "engine/dir/beneath.h"
#include "engine/dir/mounts.h"
#include "engine/dir/opath.h"
#include "engine/walk/rm_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* ---- failures -------------------------------------------------------------------------------- */

int unpack_clean(struct unpack *unpack, const char *name, char *clean)
{
	const char *detail;
	int r = tar_name_clean(name, clean, &detail);

	return r ? unpack_refuse(unpack, r, detail) : 0;
}

int unpack_busy(struct unpack *unpack, const char *failed)
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

int unpack_replaced(struct unpack *unpack, const char *call)
{
	unpack->call = call;
	unpack->detail = "the entry was replaced while it was unpacked";
	return -ESTALE;
}

/* ---- directories ----------------------------------------------------------------------------- */

int unpack_open_dir(const struct unpack *unpack, const char *path)
{
	uint64_t flags = O_RDONLY | O_DIRECTORY;
	struct call call;
	int fd;

	if (strlen(path) >= PATH_MAX)
		return beneath_open(unpack->root_fd, path, O_PATH | O_DIRECTORY);
	/*
	 * EAGAIN: something was renamed meanwhile, and the kernel cannot prove that a ".." of a
	 * link stayed within the layer. EACCES: a directory that we may not read; but for that its
	 * attributes can be read without /proc.
	 */
	do {
		call_openat2(&call, unpack->root_fd, *path ? path : ".", flags,
			     RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
		fd = call_run(&call);
		if (fd == -EACCES && !(flags & O_PATH)) {
			flags = O_PATH | O_DIRECTORY;
			fd = -EAGAIN;
		}
	} while (fd == -EAGAIN && !atomic_load(unpack->cancelled));
	return fd;
}

int unpack_dir_error(struct unpack *unpack, int error)
{
	if (error == -EXDEV)
		unpack->detail = "something is mounted there";
	return unpack_check(unpack, "openat2", error == -EXDEV ? -EBUSY : error);
}

int unpack_look(struct unpack *unpack, int dir_fd, const char *name, struct statx *ret_stat)
{
	int r = RET_NERRNO(statx(dir_fd, name,
				 AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
				 OPATH_STAT_MASK, ret_stat));

	if (r && r != -ENOENT)
		return unpack_check(unpack, "statx", r);
	return !r && ret_stat->stx_mnt_id != unpack->mount ? unpack_busy(unpack, name) : r;
}

int unpack_open_made(struct unpack *unpack, int dir_fd, const char *name, mode_t mode, dev_t rdev)
{
	struct statx stat;
	int fd = opath_open(dir_fd, name, &stat);

	/* An entry that was just made is on no other mount, and exists. */
	if (fd < 0)
		return fd == -ENOENT || fd == -EXDEV ? unpack_replaced(unpack, "openat2")
						     : unpack_check(unpack, "openat2", fd);
	if ((stat.stx_mode & S_IFMT) == (mode & S_IFMT) &&
	    makedev(stat.stx_rdev_major, stat.stx_rdev_minor) == rdev &&
	    unpacked_made(&unpack->unpacked, &stat))
		return fd;
	fd_close(fd);
	return unpack_replaced(unpack, "openat2");
}

/* Make the directory NAME in DIR_FD, unless something has that name. */
static int unpack_make_dir(struct unpack *unpack, int dir_fd, const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx dir;
	int r = unpack_check(unpack, "statx", unpacked_stat(dir_fd, &dir));

	if (!r)
		r = unpack_check(unpack, "openat", unpacked_begin(&unpack->unpacked, dir_fd, &dir));
	if (r)
		return r;
	if (mkdirat(dir_fd, name, UNPACK_DIR_MODE) < 0)
		return errno == EEXIST ? 0 : unpack_check(unpack, "mkdirat", negative_errno());
	fd = unpack_open_made(unpack, dir_fd, name, S_IFDIR, 0);
	if (fd < 0)
		return fd;
	r = unpack_check(unpack, "removexattr", opath_removexattr(fd, ACL_DEFAULT));
	if (!r)
		r = unpack_check(unpack, "removexattr", opath_removexattr(fd, ACL_ACCESS));
	return r ? r : unpack_set_implied(unpack, fd);
}

/*
 * Make the missing directories of PATH, each from the descriptor of its parent: if each were opened
 * from the root, the kernel would resolve a path of thousands of names thousands of times. Links
 * are resolved from the root.
 */
static int unpack_make_dirs(struct unpack *unpack, char *path)
{
	_cleanup_close_ int fd = unpack_open_dir(unpack, "");
	int r = fd < 0 ? unpack_dir_error(unpack, fd) : 0;

	for (char *name = path, *end; !r && name; name = end ? end + 1 : NULL) {
		int next;

		end = strchr(name, '/');
		if (end)
			*end = '\0';
		r = atomic_load(unpack->cancelled) ? -ECANCELED : unpack_make_dir(unpack, fd, name);
		next = r || !end ? -EBADF : beneath_open(fd, name, O_PATH | O_DIRECTORY);
		if (!r && end && next < 0) {
			next = unpack_open_dir(unpack, path);
			r = next < 0 ? unpack_dir_error(unpack, next) : 0;
		}
		fd_close(TAKE_FD(fd));
		fd = next;
		if (end)
			*end = '/';
	}
	return r;
}

void unpack_leave(struct unpack *unpack)
{
	fd_close(TAKE_FD(unpack->dir_fd));
	free(TAKE_PTR(unpack->dir_path));
	unpack->dir_added = false;
}

/* Do new entries of DIR_FD inherit a list? Without permission to read it, DIR_FD is of O_PATH. */
static bool unpack_default(int dir_fd)
{
	ssize_t size = fgetxattr(dir_fd, ACL_DEFAULT, NULL, 0);

	if (size < 0 && errno == EBADF)
		size = opath_getxattr(dir_fd, ACL_DEFAULT, NULL, 0);
	return size > 0;
}

/*
 * Are owner and mode of a file made in the current directory known without a stat()? Only if no
 * other process changes what files in it inherit, and no other thread the umask.
 */
static bool unpack_plain(const struct unpack *unpack)
{
	return unpack->unseen && unpack->own_umask && !unpack->dir_default &&
	       !(unpack->dir_stat.stx_mode & S_ISGID);
}

int unpack_enter(struct unpack *unpack, const char *path, bool make, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	int r = 0;

	*ret_name = slash ? slash + 1 : path;
	if (unpack->dir_path && strlen(unpack->dir_path) == length &&
	    !memcmp(unpack->dir_path, path, length))
		return unpack->dir_fd;
	unpack_leave(unpack);
	unpack->dir_path = fault_hit(&unpack->store->core.io.fault, FAULT_ALLOCATION)
				   ? NULL
				   : strndup(path, length);
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
		r = unpack_check(unpack, "statx", unpacked_stat(unpack->dir_fd, &unpack->dir_stat));
	if (!r && make)
		r = unpack_check(unpack, "openat",
				 unpacked_begin(&unpack->unpacked, unpack->dir_fd,
						&unpack->dir_stat));
	if (!r) {
		unpack->dir_default = make && unpack_default(unpack->dir_fd);
		unpack->dir_plain = make && unpack_plain(unpack);
		return unpack->dir_fd;
	}
	unpack_leave(unpack);
	return r;
}

int unpack_lead(struct unpack *unpack, int dir_fd)
{
	int r = unpack->dir_added ? 0
				  : unpack_check(unpack, "openat",
						 unpacked_add_parents(&unpack->unpacked, dir_fd,
								      &unpack->dir_stat));

	unpack->dir_added = !r;
	return r;
}

/*
 * Check that nothing is mounted in the directory NAME of DIR_FD, so that it is not removed in part:
 * 0, -EBUSY and FAILED as below, or -errno.
 */
static int unpack_unmounted(struct unpack *unpack, int dir_fd, const char *name, char *failed)
{
	_cleanup_free_ char *point = NULL, *below = NULL;
	int r = !unpack->mounted ? 0
		: unpack->cloned ? mounts_below(unpack->layer_fd, dir_fd, name, &point, &below)
				 : mounts_below(dir_fd, -EBADF, name, &point, &below);

	/* Where this cannot be found out, the removal will fail. */
	if (r <= 0)
		return r == -ENOMEM || fds_missing(r) ? r : 0;
	snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s%s", name, below);
	return -EBUSY;
}

int unpack_remove_at(struct unpack *unpack, int dir_fd, const char *name, char *failed)
{
	int r = RET_NERRNO(unlinkat(dir_fd, name, 0));

	snprintf(failed, VARVE_FAILURE_PATH_SIZE, "%s", name);
	/* The removal fails at a mount point before it removes anything beneath. */
	if (r == -EISDIR || r == -EPERM)
		r = RET_NERRNO(unlinkat(dir_fd, name, AT_REMOVEDIR));
	if (r && r != -EBUSY && r != -ENOENT)
		r = unpack_unmounted(unpack, dir_fd, name, failed)
			    ?: rm_tree_remove(unpack->store, dir_fd, name, -EBADF,
					      unpack->cancelled, failed, &unpack->detail);
	return r == -ENOENT ? 0 : unpack_check(unpack, "unlinkat", r);
}

int unpack_remove(struct unpack *unpack, int dir_fd, const char *name)
{
	char failed[VARVE_FAILURE_PATH_SIZE];
	int r = unpack_remove_at(unpack, dir_fd, name, failed);

	return r == -EBUSY ? unpack_busy(unpack, failed) : r;
}
