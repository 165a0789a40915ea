/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"
#include "engine/base/util.h"
#include "model.h"
#include "wrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

struct kernel kernel;

/* Newer than the C library's headers. */
#define CALL_GETXATTRAT 464

/* The first minor device number of a subvolume; the number of the model's mount. */
#define DEVICE_MIN 40
#define MOUNT_NUMBER 1

static const char kernel_sysfs[] = "/sys/fs/btrfs/" KERNEL_FSID_TEXT;
static const char kernel_links[] = "/proc/self/fd/";

/* ---- descriptors ----------------------------------------------------------------------------- */

/* The table of the current process. */
static uint16_t *kernel_fds(void)
{
	return kernel.fds[sim.current->process->number - 1];
}

struct file *kernel_file(int fd)
{
	unsigned at = (unsigned)fd - KERNEL_FD_MIN;
	unsigned place = at < KERNEL_FDS ? kernel_fds()[at] : 0;

	return place ? &kernel.files[place - 1] : NULL;
}

int kernel_inode(int fd, bool look)
{
	const struct file *file = kernel_file(fd);

	if (!file || (!look && file->flags & O_PATH))
		return -EBADF;
	return file->kind == FILE_INODE ? file->inode : -ENOTTY;
}

struct file *kernel_new_file(enum file_kind kind, int flags)
{
	for (unsigned i = 0; i < KERNEL_FILES; i++) {
		struct file *file = &kernel.files[i];

		if (file->kind)
			continue;
		*file = (struct file){ .kind = kind, .flags = flags };
		return file;
	}
	sim_fail("there is no place for a file");
}

/* Give up one descriptor of FILE. */
static void kernel_put(struct file *file)
{
	if (--file->refs)
		return;
	if (file->kind == FILE_INODE)
		model_close(file->inode);
	file->kind = FILE_FREE;
}

int kernel_install(struct file *file)
{
	uint16_t *fds = kernel_fds();

	for (int i = 0; i < KERNEL_FDS; i++) {
		if (fds[i])
			continue;
		fds[i] = (uint16_t)(file - kernel.files + 1);
		file->refs++;
		return KERNEL_FD_MIN + i;
	}
	file->refs++;
	kernel_put(file);
	return -EMFILE;
}

/* A descriptor for the inode SLOT. */
static int kernel_open_inode(int slot, int flags)
{
	struct file *file = kernel_new_file(FILE_INODE, flags);

	file->inode = slot;
	model_open(slot);
	return kernel_install(file);
}

void kernel_exit(struct process *process)
{
	uint16_t *fds = kernel.fds[process->number - 1];

	for (int i = 0; i < KERNEL_FDS; i++)
		if (fds[i])
			kernel_put(&kernel.files[TAKE(fds[i], 0) - 1]);
}

void kernel_begin(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.sysfs = kernel.xattr_at = true;
}

/* ---- a call ---------------------------------------------------------------------------------- */

/* Errors on purpose, of enum kernel_errors. */
static const int kernel_errors[][4] = {
	[ERRORS_OPEN] = { EMFILE, ENFILE, ENOMEM, EMFILE },
	[ERRORS_MAKE] = { ENOSPC, EDQUOT, ENOMEM, ENOSPC },
	[ERRORS_WRITE] = { ENOSPC, EDQUOT, EIO, ENOSPC },
	[ERRORS_LOOK] = { ENOMEM, EIO, ENOMEM, EIO },
};

int kernel_enter(const char *name, enum kernel_errors errors)
{
	int error;

	sim_point();
	model_background();
	sim.current->call = name;
	sim_call_begin();
	if (errors == ERRORS_NONE || !kernel.error_chance ||
	    sim_random(65536) >= kernel.error_chance)
		return 0;
	error = kernel_errors[errors][sim_random(4)];
	kernel.errors++;
	sim_trace("%s fails on purpose", name);
	return -error;
}

long kernel_answer(long r)
{
	sim_trace("%s = %ld", sim.current->call, r);
	sim_call_end();
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* The inode that PATH begins at. */
static int kernel_begin_at(int dir_fd, const char *path)
{
	if (*path == '/')
		return MODEL_TOP;
	if (dir_fd == AT_FDCWD)
		sim_fail("unknown call: the relative path %s", path);
	return kernel_inode(dir_fd, true);
}

/*
 * Go along PATH from DIR_FD up to the directory of its last name, which is copied to LAST: the
 * directory, or -errno. Links are followed nowhere: nothing that the engine asks for needs that.
 */
static int kernel_walk(int dir_fd, const char *path, char last[NAME_MAX + 1])
{
	int dir = kernel_begin_at(dir_fd, path);

	strcpy(last, ".");
	while (dir >= 0) {
		size_t length;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (!length)
			return S_ISDIR(model_inode(dir)->mode) ? dir : -ENOTDIR;
		if (length > NAME_MAX)
			return -ENAMETOOLONG;
		if (strcmp(last, "."))
			dir = model_lookup(dir, last);
		memcpy(last, path, length);
		last[length] = '\0';
		path += length;
	}
	return dir;
}

/* The inode at PATH; with AT_EMPTY_PATH in FLAGS that of DIR_FD itself where PATH is "". */
static int kernel_look(int dir_fd, const char *path, int flags)
{
	char last[NAME_MAX + 1];
	int dir;

	if (!*path)
		return flags & AT_EMPTY_PATH ? kernel_inode(dir_fd, true) : -ENOENT;
	if (!strncmp(path, kernel_links, strlen(kernel_links))) {
		const char *rest = strchr(path + strlen(kernel_links), '/');

		dir_fd = atoi(path + strlen(kernel_links));
		if (!rest)
			return kernel_inode(dir_fd, true);
		path = rest + 1;
	}
	dir = kernel_walk(dir_fd, path, last);
	return dir < 0 ? dir : model_lookup(dir, last);
}

/* ---- open, close ----------------------------------------------------------------------------- */

/* Open the file NAME of sysfs. */
static int kernel_open_text(const char *name, int flags)
{
	struct file *file;
	char text[64];

	if (ioctls_sysfs(name, text, sizeof(text)) < 0)
		return -ENOENT;
	file = kernel_new_file(FILE_TEXT, flags);
	strcpy(file->text, text);
	return kernel_install(file);
}

/* Open what is at SLOT. */
static int kernel_open_slot(int slot, int flags)
{
	const struct model_inode *inode = model_inode(slot);

	if (flags & O_DIRECTORY && !S_ISDIR(inode->mode))
		return S_ISLNK(inode->mode) && flags & O_NOFOLLOW && !(flags & O_PATH) ? -ELOOP
										       : -ENOTDIR;
	if (S_ISLNK(inode->mode) && !(flags & O_PATH))
		return -ELOOP;
	if (S_ISDIR(inode->mode) && (flags & O_ACCMODE) != O_RDONLY)
		return -EISDIR;
	if ((flags & O_ACCMODE) != O_RDONLY && model_root_of(slot)->read_only)
		return -EROFS;
	if (flags & O_TRUNC && !(flags & O_PATH))
		model_truncate(slot, 0);
	return kernel_open_inode(slot, flags);
}

/* openat(), without the beginning and the end of a call. */
static int kernel_open(int dir_fd, const char *path, int flags, mode_t mode)
{
	const struct file *at = dir_fd == AT_FDCWD ? NULL : kernel_file(dir_fd);
	char last[NAME_MAX + 1];
	int dir, slot;

	sim_trace("%s(%d, %s, %#x)", sim.current->call, dir_fd, path, (unsigned)flags);
	if (!strcmp(path, kernel_sysfs))
		return kernel.sysfs ? kernel_install(kernel_new_file(FILE_SYSFS, flags)) : -ENOENT;
	if (!strncmp(path, "/proc/", 6) && strncmp(path, kernel_links, strlen(kernel_links)))
		return -ENOENT;
	if (at && at->kind == FILE_SYSFS)
		return kernel_open_text(path, flags);
	slot = kernel_look(dir_fd, path, 0);
	if (slot >= 0 && (flags & O_TMPFILE) == O_TMPFILE) {
		slot = model_make_unnamed(slot, S_IFREG | (mode & 07777));
		return slot < 0 ? slot : kernel_open_inode(slot, flags);
	}
	if (slot >= 0 && flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (slot != -ENOENT || !(flags & O_CREAT))
		return slot < 0 ? slot : kernel_open_slot(slot, flags);
	dir = kernel_walk(dir_fd, path, last);
	slot = dir < 0 ? dir : model_make(dir, last, S_IFREG | (mode & 07777));
	/* Somebody else may have made it while we waited. */
	if (slot == -EEXIST && !(flags & O_EXCL))
		slot = kernel_look(dir_fd, path, 0);
	return slot < 0 ? slot : kernel_open_inode(slot, flags);
}

WRAP(int, openat, (int dir_fd, const char *path, int flags, ...))
{
	va_list arguments;
	mode_t mode = 0;
	int r;

	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	OUTSIDE(__real_openat(dir_fd, path, flags, mode));
	r = kernel_enter("openat", ERRORS_OPEN);
	return (int)kernel_answer(r ? r : kernel_open(dir_fd, path, flags, mode));
}

WRAP(int, open, (const char *path, int flags, ...))
{
	va_list arguments;
	mode_t mode = 0;
	int r;

	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	OUTSIDE(__real_open(path, flags, mode));
	r = kernel_enter("open", ERRORS_OPEN);
	return (int)kernel_answer(r ? r : kernel_open(AT_FDCWD, path, flags, mode));
}

WRAP(int, close, (int fd))
{
	struct file *file;

	OUTSIDE(__real_close(fd));
	sim_point();
	file = kernel_file(fd);
	if (!file) {
		errno = EBADF;
		return -1;
	}
	kernel_fds()[fd - KERNEL_FD_MIN] = 0;
	sim_trace("close(%d)", fd);
	kernel_put(file);
	return 0;
}

WRAP(int, fcntl, (int fd, int command, ...))
{
	const struct file *file;
	va_list arguments;
	long argument;

	va_start(arguments, command);
	argument = va_arg(arguments, long);
	va_end(arguments);
	OUTSIDE(__real_fcntl(fd, command, argument));
	file = kernel_file(fd);
	if (!file) {
		errno = EBADF;
		return -1;
	}
	switch (command) {
	case F_GETFD:
		return FD_CLOEXEC;
	case F_GETFL:
		return file->flags;
	case F_DUPFD_CLOEXEC:
		return kernel_install(kernel_file(fd));
	default:
		sim_fail("unknown call: fcntl %d", command);
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

/* read() of an eventfd or text; -EAGAIN: it would block. */
static ssize_t kernel_read_other(struct file *file, void *data, size_t size)
{
	size_t length;

	switch (file->kind) {
	case FILE_EVENT:
		if (!file->count)
			return -EAGAIN;
		memcpy(data, &file->count, sizeof(file->count));
		file->count = 0;
		return sizeof(file->count);
	case FILE_TEXT:
		length = strlen(file->text) - (size_t)file->position;
		length = MIN(size, length);
		memcpy(data, file->text + file->position, length);
		file->position += length;
		return (ssize_t)length;
	default:
		sim_fail("unknown call: read of a file of kind %d", file->kind);
	}
}

/* pread() of a file of the model. */
static ssize_t kernel_pread(const struct file *file, void *data, size_t size, uint64_t offset)
{
	const struct model_inode *inode = model_inode(file->inode);

	if ((file->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (S_ISDIR(inode->mode))
		return -EISDIR;
	if (offset >= inode->size)
		return 0;
	size = MIN(size, (size_t)(inode->size - offset));
	memset(data, 0, size);
	if (offset < MODEL_DATA_BYTES)
		memcpy(data, inode->data + offset, MIN(size, MODEL_DATA_BYTES - (size_t)offset));
	return (ssize_t)size;
}

WRAP(ssize_t, read, (int fd, void *data, size_t size))
{
	struct file *file;
	ssize_t r;

	OUTSIDE(__real_read(fd, data, size));
	kernel_enter("read", ERRORS_NONE);
	file = kernel_file(fd);
	if (!file || file->flags & O_PATH)
		return kernel_answer(-EBADF);
	if (file->kind == FILE_INODE) {
		r = kernel_pread(file, data, size, file->position);
		file->position += (uint64_t)MAX(r, 0);
		return kernel_answer(r);
	}
	while ((r = kernel_read_other(file, data, size)) == -EAGAIN &&
	       !(file->flags & O_NONBLOCK)) {
		/* A signal ends this. */
		sim_call_end();
		task_block(file, SIM_FOREVER);
		sim_call_begin();
	}
	return kernel_answer(r);
}

WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t offset))
{
	int slot;

	OUTSIDE(__real_pread(fd, data, size, offset));
	kernel_enter("pread", ERRORS_NONE);
	slot = kernel_inode(fd, false);
	return kernel_answer(
		slot < 0 ? slot : kernel_pread(kernel_file(fd), data, size, (uint64_t)offset));
}

WRAP(ssize_t, write, (int fd, const void *data, size_t size))
{
	struct file *file;
	ssize_t r;

	OUTSIDE(__real_write(fd, data, size));
	file = kernel_file(fd);
	r = kernel_enter("write", file && file->kind == FILE_INODE ? ERRORS_WRITE : ERRORS_NONE);
	file = kernel_file(fd);
	if (r || !file || file->flags & O_PATH)
		return kernel_answer(r ? r : -EBADF);
	if (file->kind == FILE_EVENT) {
		uint64_t count;

		memcpy(&count, data, sizeof(count));
		file->count += count;
		task_wake(file, true);
		return kernel_answer((long)size);
	}
	if (file->kind != FILE_INODE)
		sim_fail("unknown call: write of a file of kind %d", file->kind);
	if ((file->flags & O_ACCMODE) == O_RDONLY)
		return kernel_answer(-EBADF);
	r = model_write(file->inode, data, size, file->position);
	file->position += (uint64_t)MAX(r, 0);
	return kernel_answer(r);
}

WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t offset))
{
	int slot, r;

	OUTSIDE(__real_pwrite(fd, data, size, offset));
	r = kernel_enter("pwrite", ERRORS_WRITE);
	slot = r ? r : kernel_inode(fd, false);
	return kernel_answer(slot < 0 ? slot : model_write(slot, data, size, (uint64_t)offset));
}

WRAP(off_t, lseek, (int fd, off_t offset, int whence))
{
	struct file *file;

	OUTSIDE(__real_lseek(fd, offset, whence));
	file = kernel_file(fd);
	if (!file || file->kind != FILE_INODE || whence != SEEK_SET)
		sim_fail("unknown call: lseek %d", whence);
	file->position = (uint64_t)offset;
	return offset;
}

WRAP(int, ftruncate, (int fd, off_t size))
{
	int slot, r;

	OUTSIDE(__real_ftruncate(fd, size));
	r = kernel_enter("ftruncate", ERRORS_WRITE);
	slot = r ? r : kernel_inode(fd, false);
	return (int)kernel_answer(slot < 0 ? slot : model_truncate(slot, (uint64_t)size));
}

WRAP(ssize_t, getdents64, (int fd, void *buffer, size_t size))
{
	const struct model_entry *entry;
	struct file *file;
	size_t used = 0;
	int r, slot;

	OUTSIDE(__real_getdents64(fd, buffer, size));
	r = kernel_enter("getdents64", ERRORS_LOOK);
	slot = r ? r : kernel_inode(fd, false);
	if (slot < 0)
		return kernel_answer(slot);
	file = kernel_file(fd);
	if (!S_ISDIR(model_inode(slot)->mode))
		return kernel_answer(-ENOTDIR);
	if (!model_inode(slot)->links)
		return kernel_answer(-ENOENT);
	while ((entry = model_next_entry(slot, (uint32_t)file->position))) {
		const struct model_inode *inode = model_inode(entry->inode);
		struct dirent64 dirent = { .d_ino = inode->ino,
					   .d_off = entry->index + 1,
					   .d_type = (unsigned char)(inode->mode >> 12) };
		size_t length = (offsetof(struct dirent64, d_name) + strlen(entry->name) + 8) &
				~7ul;

		if (used + length > size)
			break;
		if (model_is_subvolume(entry->inode))
			dirent.d_ino = model_root_of(entry->inode)->id;
		dirent.d_reclen = (unsigned short)length;
		memcpy((char *)buffer + used, &dirent, offsetof(struct dirent64, d_name));
		strcpy((char *)buffer + used + offsetof(struct dirent64, d_name), entry->name);
		used += length;
		file->position = entry->index + 1;
	}
	return kernel_answer((long)used);
}

WRAP(int, flock, (int fd, int operation))
{
	struct file *file;
	int slot;

	OUTSIDE(__real_flock(fd, operation));
	kernel_enter("flock", ERRORS_NONE);
	slot = kernel_inode(fd, false);
	if (slot < 0)
		return (int)kernel_answer(slot);
	file = kernel_file(fd);
	if (operation == LOCK_UN) {
		file->locked = false;
		return (int)kernel_answer(0);
	}
	if (operation != (LOCK_EX | LOCK_NB))
		sim_fail("unknown call: flock %d", operation);
	for (unsigned i = 0; i < KERNEL_FILES; i++) {
		const struct file *other = &kernel.files[i];

		if (other->kind == FILE_INODE && other->locked && other->inode == slot &&
		    other != file)
			return (int)kernel_answer(-EWOULDBLOCK);
	}
	file->locked = true;
	return (int)kernel_answer(0);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Tell about SLOT. */
static void kernel_stat(int slot, struct stat *ret_stat)
{
	const struct model_inode *inode = model_inode(slot);

	*ret_stat = (struct stat){
		.st_dev = makedev(0, DEVICE_MIN + (unsigned)model_root_of(slot)->id),
		.st_ino = inode->ino,
		.st_mode = inode->mode,
		.st_nlink = S_ISDIR(inode->mode) && inode->links ? 1 : inode->links,
		.st_uid = inode->uid,
		.st_gid = inode->gid,
		.st_size = (off_t)(S_ISDIR(inode->mode) ? model_dir_size(slot) : inode->size),
		.st_blksize = 4096
	};
}

/* fstatat(), without the beginning and the end of a call. */
static int kernel_stat_at(int dir_fd, const char *path, struct stat *ret_stat, int flags)
{
	int slot = kernel_look(dir_fd, path, flags);

	sim_trace("stat(%d, %s)", dir_fd, path);
	if (slot >= 0)
		kernel_stat(slot, ret_stat);
	return MIN(slot, 0);
}

WRAP(int, fstatat, (int dir_fd, const char *path, struct stat *ret_stat, int flags))
{
	int r;

	OUTSIDE(__real_fstatat(dir_fd, path, ret_stat, flags));
	r = kernel_enter("fstatat", ERRORS_LOOK);
	return (int)kernel_answer(r ? r : kernel_stat_at(dir_fd, path, ret_stat, flags));
}

WRAP(int, stat, (const char *path, struct stat *ret_stat))
{
	OUTSIDE(__real_stat(path, ret_stat));
	kernel_enter("stat", ERRORS_NONE);
	if (!strcmp(path, "/proc/self/fd")) {
		*ret_stat = (struct stat){ .st_mode = S_IFDIR | 0500 };
		for (int i = 0; i < KERNEL_FDS; i++)
			ret_stat->st_size += kernel_fds()[i] != 0;
		return (int)kernel_answer(0);
	}
	return (int)kernel_answer(kernel_stat_at(AT_FDCWD, path, ret_stat, 0));
}

WRAP(int, lstat, (const char *path, struct stat *ret_stat))
{
	OUTSIDE(__real_lstat(path, ret_stat));
	kernel_enter("lstat", ERRORS_NONE);
	return (int)kernel_answer(kernel_stat_at(AT_FDCWD, path, ret_stat, 0));
}

WRAP(int, statx, (int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret_statx))
{
	const struct model_inode *inode;
	struct stat stat;
	int slot, r;

	OUTSIDE(__real_statx(dir_fd, path, flags, mask, ret_statx));
	r = kernel_enter("statx", ERRORS_LOOK);
	slot = r ? r : kernel_look(dir_fd, path, flags);
	if (slot < 0)
		return (int)kernel_answer(slot);
	inode = model_inode(slot);
	kernel_stat(slot, &stat);
	*ret_statx = (struct statx){
		.stx_mask = STATX_BASIC_STATS | STATX_MNT_ID,
		.stx_attributes = (inode->flags & 0x10 ? STATX_ATTR_IMMUTABLE : 0) |
				  (inode->flags & 0x20 ? STATX_ATTR_APPEND : 0) |
				  (slot == MODEL_TOP ? STATX_ATTR_MOUNT_ROOT : 0),
		.stx_attributes_mask = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND |
				       STATX_ATTR_MOUNT_ROOT,
		.stx_mode = (uint16_t)inode->mode,
		.stx_nlink = (uint32_t)stat.st_nlink,
		.stx_uid = inode->uid,
		.stx_gid = inode->gid,
		.stx_ino = inode->ino,
		.stx_size = (uint64_t)stat.st_size,
		.stx_blksize = 4096,
		.stx_dev_minor = minor(stat.st_dev),
		.stx_mnt_id = MOUNT_NUMBER,
	};
	return (int)kernel_answer(0);
}

WRAP(int, statfs, (const char *path, struct statfs *ret_statfs))
{
	int slot;

	OUTSIDE(__real_statfs(path, ret_statfs));
	kernel_enter("statfs", ERRORS_NONE);
	slot = kernel_look(AT_FDCWD, path, 0);
	if (slot < 0)
		return (int)kernel_answer(slot);
	*ret_statfs = (struct statfs){ .f_type = BTRFS_SUPER_MAGIC, .f_bsize = 4096 };
	return (int)kernel_answer(0);
}

/*
 * libbtrfsutil calls these, too: a shared library, which the linker's --wrap does not reach. So
 * they are defined here under libc's names.
 */
__attribute__((visibility("default"))) int fstat(int fd, struct stat *ret_stat)
{
	OUTSIDE((int)syscall(SYS_newfstatat, fd, "", ret_stat, AT_EMPTY_PATH));
	kernel_enter("fstat", ERRORS_NONE);
	return (int)kernel_answer(kernel_stat_at(fd, "", ret_stat, AT_EMPTY_PATH));
}

__attribute__((visibility("default"))) int fstatfs(int fd, struct statfs *ret_statfs)
{
	int slot;

	OUTSIDE((int)syscall(SYS_fstatfs, fd, ret_statfs));
	kernel_enter("fstatfs", ERRORS_NONE);
	slot = kernel_inode(fd, true);
	if (slot < 0)
		return (int)kernel_answer(slot);
	*ret_statfs = (struct statfs){ .f_type = BTRFS_SUPER_MAGIC, .f_bsize = 4096 };
	return (int)kernel_answer(0);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	OUTSIDE((int)syscall(SYS_ioctl, fd, request, argument));
	r = kernel_enter("ioctl", ioctls_errors(request));
	return (int)kernel_answer(r ? r : ioctls_run(fd, request, argument));
}

WRAP(ssize_t, readlink, (const char *path, char *buffer, size_t size))
{
	char link[PATH_MAX];
	size_t length;
	int slot;

	OUTSIDE(__real_readlink(path, buffer, size));
	kernel_enter("readlink", ERRORS_NONE);
	if (strncmp(path, kernel_links, strlen(kernel_links)))
		sim_fail("unknown call: readlink %s", path);
	slot = kernel_look(AT_FDCWD, path, 0);
	if (slot < 0)
		return kernel_answer(slot);
	length = model_path(slot, link, sizeof(link));
	length = MIN(length, size);
	memcpy(buffer, link, length);
	return kernel_answer((long)length);
}

/* The kernel's struct btrfs_fid without a parent, and its type. */
struct kernel_handle {
	uint64_t inode, subvolume;
	uint32_t generation;
} __attribute__((packed));
#define HANDLE_TYPE 0x4d

WRAP(int, name_to_handle_at, (int dir_fd, const char *path, void *to, int *ret_mount, int flags))
{
	struct file_handle *handle = to;
	struct kernel_handle of;
	int slot;

	OUTSIDE(__real_name_to_handle_at(dir_fd, path, to, ret_mount, flags));
	kernel_enter("name_to_handle_at", ERRORS_NONE);
	slot = kernel_look(dir_fd, path, flags);
	if (slot < 0)
		return (int)kernel_answer(slot);
	of = (struct kernel_handle){ .inode = model_inode(slot)->ino,
				     .subvolume = model_root_of(slot)->id,
				     .generation = (uint32_t)model_inode(slot)->generation };
	handle->handle_type = HANDLE_TYPE;
	handle->handle_bytes = sizeof(of);
	memcpy(handle->f_handle, &of, sizeof(of));
	*ret_mount = MOUNT_NUMBER;
	return (int)kernel_answer(0);
}

WRAP(int, open_by_handle_at, (int fd, struct file_handle *handle, int flags))
{
	OUTSIDE(__real_open_by_handle_at(fd, handle, flags));
	sim_fail("unknown call: open_by_handle_at");
}

/* A clone of the mount shows the same, since nothing is mounted in it. */
WRAP(int, open_tree, (int fd, const char *path, unsigned flags))
{
	int slot, r;

	OUTSIDE(__real_open_tree(fd, path, flags));
	r = kernel_enter("open_tree", ERRORS_OPEN);
	slot = r ? r : kernel_inode(fd, true);
	if (*path || !(flags & OPEN_TREE_CLONE))
		sim_fail("unknown call: open_tree of a path");
	return (int)kernel_answer(slot < 0 ? slot : kernel_open_inode(slot, O_PATH));
}

WRAP(int, mount_setattr, (int fd, const char *path, unsigned flags, void *attributes, size_t size))
{
	OUTSIDE(__real_mount_setattr(fd, path, flags, attributes, size));
	kernel_enter("mount_setattr", ERRORS_NONE);
	return (int)kernel_answer(0);
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
	static char mounts[] = "1 0 0:40 / / rw - btrfs /dev/sim rw\n";

	OUTSIDE(__real_fopen(path, mode));
	if (!strcmp(path, "/proc/self/mountinfo"))
		return fmemopen(mounts, strlen(mounts), "r");
	errno = ENOENT;
	return NULL;
}

WRAP(char *, getcwd, (char *buffer, size_t size))
{
	OUTSIDE(__real_getcwd(buffer, size));
	sim_fail("unknown call: getcwd");
}

/* ---- changing -------------------------------------------------------------------------------- */

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
	r = kernel_enter("unlinkat", ERRORS_MAKE);
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
	int slot;

	OUTSIDE(__real_syncfs(fd));
	kernel_enter("syncfs", ERRORS_NONE);
	slot = kernel_inode(fd, false);
	return (int)kernel_answer(slot < 0 ? slot : model_flush());
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

/* ---- events ---------------------------------------------------------------------------------- */

WRAP(int, eventfd, (unsigned count, int flags))
{
	struct file *file;
	int r;

	OUTSIDE(__real_eventfd(count, flags));
	r = kernel_enter("eventfd", ERRORS_OPEN);
	if (r)
		return (int)kernel_answer(r);
	file = kernel_new_file(FILE_EVENT, flags & EFD_NONBLOCK ? O_NONBLOCK : 0);
	file->count = count;
	return (int)kernel_answer(kernel_install(file));
}

/* Is FILE ready to be read, or written? Files of the model always are. */
static bool kernel_ready(const struct file *file)
{
	if (!file || (file->kind != FILE_EVENT && file->kind != FILE_INODE))
		sim_fail("unknown call: poll of what is neither a file nor an eventfd");
	return file->kind == FILE_INODE || file->count;
}

/* poll() until UNTIL_NS; it waits for one eventfd alone. */
static int kernel_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns)
{
	int ready = 0;

	sim_point();
	for (;;) {
		for (nfds_t i = 0; i < count; i++) {
			fds[i].revents = kernel_ready(kernel_file(fds[i].fd)) ? fds[i].events : 0;
			ready += fds[i].revents != 0;
		}
		if (ready || sim.now_ns >= until_ns)
			return ready;
		if (count != 1)
			sim_fail("unknown call: poll waits for several eventfds");
		task_block(kernel_file(fds->fd), until_ns);
	}
}

WRAP(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *time, const void *mask))
{
	uint64_t ns;

	OUTSIDE(__real_ppoll(fds, count, time, mask));
	if (!time)
		return kernel_poll(fds, count, SIM_FOREVER);
	ns = (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
	return kernel_poll(fds, count, sim.now_ns + ns);
}

WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms))
{
	OUTSIDE(__real_poll(fds, count, timeout_ms));
	return kernel_poll(fds, count,
			   timeout_ms < 0 ? SIM_FOREVER
					  : sim.now_ns + (uint64_t)timeout_ms * 1000000);
}

/* ---- by number ------------------------------------------------------------------------------- */

/* openat2(). */
static long kernel_openat2(int dir_fd, const char *path, const struct open_how *how)
{
	int r = kernel_enter("openat2", ERRORS_OPEN);

	return kernel_answer(r ? r : kernel_open(dir_fd, path, (int)how->flags, (mode_t)how->mode));
}

/* getxattrat(), of Linux 6.13. */
static long kernel_getxattrat(const long argument[6])
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

WRAP(long, syscall, (long number, ...))
{
	va_list arguments;
	long argument[6];

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(arguments, long);
	va_end(arguments);
	OUTSIDE(__real_syscall(number, argument[0], argument[1], argument[2], argument[3],
			       argument[4], argument[5]));
	if (number == SYS_openat2)
		return kernel_openat2((int)argument[0], (const char *)argument[1],
				      (const struct open_how *)argument[2]);
	if (number == CALL_GETXATTRAT && kernel.xattr_at)
		return kernel_getxattrat(argument);
	/* Newer than Linux 6.1: fchmodat2() and other calls on attributes by directory. */
	if (number < 440)
		sim_fail("unknown call: system call %ld", number);
	errno = ENOSYS;
	return -1;
}
