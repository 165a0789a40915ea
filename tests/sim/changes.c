/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change names and attributes, and those that make changes durable. */
#include "engine/base/util.h"
#include "kernel.h"
#include "model.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

WRAP(int, mkdirat, (int dir_fd, const char *path, mode_t mode))
{
	char last[NAME_MAX + 1];
	int dir, r;

	OUTSIDE(__real_mkdirat(dir_fd, path, mode));
	r = kernel_enter("mkdirat", ERRORS_MAKE);
	sim_trace("mkdirat(%d, %s)", dir_fd, path);
	dir = r ? r : kernel_walk(dir_fd, path, last);
	r = dir < 0 ? dir : model_make(dir, last, S_IFDIR | (mode & 07777));
	return (int)kernel_answer(MIN(r, 0));
}

WRAP(int, mkdir, (const char *path, mode_t mode))
{
	OUTSIDE(__real_mkdir(path, mode));
	return __wrap_mkdirat(AT_FDCWD, path, mode);
}

WRAP(int, unlinkat, (int dir_fd, const char *path, int flags))
{
	char last[NAME_MAX + 1];
	int dir, r;

	OUTSIDE(__real_unlinkat(dir_fd, path, flags));
	r = kernel_enter("unlinkat", ERRORS_REMOVE);
	sim_trace("unlinkat(%d, %s)", dir_fd, path);
	dir = r ? r : kernel_walk(dir_fd, path, last);
	return (int)kernel_answer(dir < 0 ? dir : model_unlink(dir, last, flags & AT_REMOVEDIR));
}

WRAP(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags))
{
	char from_last[NAME_MAX + 1], to_last[NAME_MAX + 1];
	int from_dir, to_dir, r;

	OUTSIDE(__real_renameat2(from_fd, from, to_fd, to, flags));
	r = kernel_enter("renameat2", ERRORS_MAKE);
	sim_trace("renameat2(%d, %s, %d, %s)", from_fd, from, to_fd, to);
	from_dir = r ? r : kernel_walk(from_fd, from, from_last);
	to_dir = from_dir < 0 ? from_dir : kernel_walk(to_fd, to, to_last);
	if (to_dir >= 0)
		r = model_rename(from_dir, from_last, to_dir, to_last, flags);
	return (int)kernel_answer(to_dir < 0 ? to_dir : r);
}

WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to))
{
	OUTSIDE(__real_renameat(from_fd, from, to_fd, to));
	return __wrap_renameat2(from_fd, from, to_fd, to, 0);
}

WRAP(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags))
{
	char last[NAME_MAX + 1];
	int slot, dir, r;

	OUTSIDE(__real_linkat(from_fd, from, to_fd, to, flags));
	r = kernel_enter("linkat", ERRORS_MAKE);
	slot = r ? r : kernel_look(from_fd, from, flags);
	dir = slot < 0 ? slot : kernel_walk(to_fd, to, last);
	return (int)kernel_answer(dir < 0 ? dir : model_link(slot, dir, last));
}

/* Change an attribute of SLOT, or -errno of a look: give back whether it may be changed. */
static int kernel_change(int slot)
{
	return slot < 0 ? slot : model_touch(slot);
}

WRAP(int, fchmod, (int fd, mode_t mode))
{
	int slot, r;

	OUTSIDE(__real_fchmod(fd, mode));
	r = kernel_enter("fchmod", ERRORS_MAKE);
	slot = r ? r : kernel_inode(fd, false);
	r = kernel_change(slot);
	if (!r)
		model_inode(slot)->mode = (model_inode(slot)->mode & S_IFMT) | (mode & 07777);
	return (int)kernel_answer(r);
}

WRAP(int, fchownat, (int dir_fd, const char *path, uid_t uid, gid_t gid, int flags))
{
	int slot, r;

	OUTSIDE(__real_fchownat(dir_fd, path, uid, gid, flags));
	r = kernel_enter("fchownat", ERRORS_MAKE);
	slot = r ? r : kernel_look(dir_fd, path, flags);
	r = kernel_change(slot);
	if (!r && sim.current->process->uid &&
	    ((uid != (uid_t)-1 && uid != sim.current->process->uid) ||
	     (gid != (gid_t)-1 && gid != sim.current->process->uid)))
		r = -EPERM;
	if (!r && uid != (uid_t)-1)
		model_inode(slot)->uid = uid;
	if (!r && gid != (gid_t)-1)
		model_inode(slot)->gid = gid;
	return (int)kernel_answer(r);
}

WRAP(int, fchown, (int fd, uid_t uid, gid_t gid))
{
	OUTSIDE(__real_fchown(fd, uid, gid));
	return __wrap_fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

WRAP(int, chown, (const char *path, uid_t uid, gid_t gid))
{
	OUTSIDE(__real_chown(path, uid, gid));
	return __wrap_fchownat(AT_FDCWD, path, uid, gid, 0);
}

WRAP(int, utimensat, (int dir_fd, const char *path, const struct timespec times[2], int flags))
{
	int r;

	OUTSIDE(__real_utimensat(dir_fd, path, times, flags));
	r = kernel_enter("utimensat", ERRORS_MAKE);
	return (int)kernel_answer(r ? r : kernel_change(kernel_look(dir_fd, path, flags)));
}

WRAP(int, futimens, (int fd, const struct timespec times[2]))
{
	OUTSIDE(__real_futimens(fd, times));
	return __wrap_utimensat(fd, "", times, AT_EMPTY_PATH);
}

WRAP(int, fsync, (int fd))
{
	int slot;

	OUTSIDE(__real_fsync(fd));
	kernel_enter("fsync", ERRORS_NONE);
	slot = kernel_inode(fd, false);
	return (int)kernel_answer(slot < 0 ? slot : model_fsync(slot));
}

WRAP(int, fdatasync, (int fd))
{
	OUTSIDE(__real_fdatasync(fd));
	return __wrap_fsync(fd);
}

WRAP(int, syncfs, (int fd))
{
	struct file *file;
	int r;

	OUTSIDE(__real_syncfs(fd));
	kernel_enter("syncfs", ERRORS_NONE);
	r = kernel_inode(fd, false);
	if (r >= 0)
		r = model_flush();
	file = kernel_file(fd);
	if (!r && file->losses != model.losses)
		r = -EIO;
	if (file)
		file->losses = model.losses;
	return (int)kernel_answer(r);
}

/* Modes are not looked at: a thread may have a umask of its own. */
WRAP(int, unshare, (int flags))
{
	OUTSIDE(__real_unshare(flags));
	kernel_enter("unshare", ERRORS_NONE);
	return (int)kernel_answer(flags == CLONE_FS ? 0 : -EPERM);
}

WRAP(int, chdir, (const char *path))
{
	OUTSIDE(__real_chdir(path));
	kernel_enter("chdir", ERRORS_NONE);
	return (int)kernel_answer(strcmp(path, "/") ? -ENOENT : 0);
}

WRAP(mode_t, umask, (mode_t mode))
{
	OUTSIDE(__real_umask(mode));
	return 022;
}

WRAP(int, sync_file_range, (int fd, off64_t offset, off64_t size, unsigned flags))
{
	OUTSIDE(__real_sync_file_range(fd, offset, size, flags));
	/* It begins to write; the kernel may be done with that at any time: model_background(). */
	kernel_enter("sync_file_range", ERRORS_NONE);
	return (int)kernel_answer(0);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Read the attribute NAME of SLOT, or its size. */
static ssize_t kernel_get_xattr(int slot, const char *name, void *value, size_t size)
{
	const struct model_inode *inode;

	if (slot < 0)
		return slot;
	inode = model_inode(slot);
	if (strcmp(name, MODEL_XATTR) || !inode->xattr_size)
		return -ENODATA;
	if (size && size < inode->xattr_size)
		return -ERANGE;
	if (size)
		memcpy(value, inode->xattr, inode->xattr_size);
	return inode->xattr_size;
}

WRAP(ssize_t, fgetxattr, (int fd, const char *name, void *value, size_t size))
{
	int r;

	OUTSIDE(__real_fgetxattr(fd, name, value, size));
	r = kernel_enter("fgetxattr", ERRORS_LOOK);
	return kernel_answer(r ? r : kernel_get_xattr(kernel_inode(fd, false), name, value, size));
}

WRAP(ssize_t, lgetxattr, (const char *path, const char *name, void *value, size_t size))
{
	int r;

	OUTSIDE(__real_lgetxattr(path, name, value, size));
	r = kernel_enter("lgetxattr", ERRORS_LOOK);
	return kernel_answer(
		r ? r : kernel_get_xattr(kernel_look(AT_FDCWD, path, 0), name, value, size));
}

WRAP(ssize_t, getxattr, (const char *path, const char *name, void *value, size_t size))
{
	OUTSIDE(__real_getxattr(path, name, value, size));
	return __wrap_lgetxattr(path, name, value, size);
}

/* List the attributes of SLOT: nobody asks for those of a record. */
static ssize_t kernel_list_xattrs(int slot)
{
	if (slot >= 0 && model_inode(slot)->xattr_size)
		sim_fail("unknown call: the attributes of a record are listed");
	return MIN(slot, 0);
}

WRAP(ssize_t, flistxattr, (int fd, char *list, size_t size))
{
	OUTSIDE(__real_flistxattr(fd, list, size));
	kernel_enter("flistxattr", ERRORS_NONE);
	return kernel_answer(kernel_list_xattrs(kernel_inode(fd, false)));
}

WRAP(ssize_t, listxattr, (const char *path, char *list, size_t size))
{
	OUTSIDE(__real_listxattr(path, list, size));
	kernel_enter("listxattr", ERRORS_NONE);
	return kernel_answer(kernel_list_xattrs(kernel_look(AT_FDCWD, path, 0)));
}

WRAP(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags))
{
	int slot, r;

	OUTSIDE(__real_fsetxattr(fd, name, value, size, flags));
	r = kernel_enter("fsetxattr", ERRORS_MAKE);
	slot = r ? r : kernel_inode(fd, false);
	r = slot < 0 ? slot : model_touch(slot);
	if (r)
		return (int)kernel_answer(r);
	if (strcmp(name, MODEL_XATTR) || size > MODEL_XATTR_BYTES || flags)
		sim_fail("unknown call: fsetxattr of %s, %zu bytes", name, size);
	memcpy(model_inode(slot)->xattr, value, size);
	model_inode(slot)->xattr_size = (uint16_t)size;
	return (int)kernel_answer(0);
}

long kernel_getxattrat(const long argument[6])
{
	const struct {
		uint64_t value;
		uint32_t size, flags;
	} *args = (const void *)argument[4];
	int r = kernel_enter("getxattrat", ERRORS_LOOK);

	return kernel_answer(
		r ? r
		  : kernel_get_xattr(kernel_look((int)argument[0], (const char *)argument[1],
						 (int)argument[2]),
				     (const char *)argument[3], (void *)(uintptr_t)args->value,
				     args->size));
}
