/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"
#include "engine/base/util.h"
#include "model.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kernel kernel;

/* Newer than the C library's headers. */
#define CALL_GETXATTRAT 464

static const char kernel_sysfs[] = "/sys/fs/btrfs/" KERNEL_FSID_TEXT;
const char kernel_links[] = "/proc/self/fd/";

/* ---- descriptors ----------------------------------------------------------------------------- */

uint16_t *kernel_fds(void)
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

int kernel_open_inode(int slot, int flags)
{
	struct file *file = kernel_new_file(FILE_INODE, flags);

	file->inode = slot;
	file->losses = model.losses;
	model_open(slot);
	return kernel_install(file);
}

bool kernel_store(int fd, const void *data, size_t size, uint64_t offset)
{
	const struct file *file = kernel_file(fd);

	if (!file || file->kind != FILE_INODE || (file->flags & O_ACCMODE) != O_RDWR ||
	    offset + size > model_inode(file->inode)->size || offset + size > MODEL_DATA_BYTES)
		sim_fail("unknown store to a mapped page");
	if (!model_may_store(file->inode))
		return false;
	model_store(file->inode, data, size, offset);
	return true;
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
	[ERRORS_REMOVE] = { ENOSPC, EDQUOT, ENOMEM, ENOSPC },
	[ERRORS_WRITE] = { ENOSPC, EDQUOT, EIO, ENOSPC },
	[ERRORS_LOOK] = { ENOMEM, EIO, ENOMEM, EIO },
};

bool kernel_has_room(void)
{
	return sim.steps < kernel.full_from || sim.steps >= kernel.full_until;
}

bool kernel_full(void)
{
	bool full = !kernel_has_room();

	if (full)
		sim_trace("%s: the file system is full", sim.current->call);
	kernel.errors += full;
	return full;
}

int kernel_enter(const char *name, enum kernel_errors errors)
{
	int error;

	sim_point();
	model_background();
	sim.current->call = name;
	sim_call_begin();
	if ((errors == ERRORS_MAKE || errors == ERRORS_WRITE) && kernel_full())
		return -ENOSPC;
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

int kernel_walk(int dir_fd, const char *path, char last[NAME_MAX + 1])
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

int kernel_look(int dir_fd, const char *path, int flags)
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
	bool makes;

	sim_trace("%s(%d, %s, %#x)", sim.current->call, dir_fd, path, (unsigned)flags);
	if (!strcmp(path, kernel_sysfs))
		return kernel.sysfs ? kernel_install(kernel_new_file(FILE_SYSFS, flags)) : -ENOENT;
	if (!strncmp(path, "/proc/", 6) && strncmp(path, kernel_links, strlen(kernel_links)))
		return -ENOENT;
	if (at && at->kind == FILE_SYSFS)
		return kernel_open_text(path, flags);
	slot = kernel_look(dir_fd, path, 0);
	makes = (flags & O_TMPFILE) == O_TMPFILE ? slot >= 0 : flags & O_CREAT && slot == -ENOENT;
	if (makes && kernel_full())
		return -ENOSPC;
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

/* Lock the byte of RANGE, shared, for the open FILE, or unlock it. */
static void kernel_mark(struct file *file, const struct flock *range)
{
	unsigned i = 0;

	if (range->l_len != 1 || (range->l_type != F_RDLCK && range->l_type != F_UNLCK))
		sim_fail("unknown lock of a range");
	while (i < file->marks_count && file->marks[i] != range->l_start)
		i++;
	if (range->l_type == F_UNLCK && i < file->marks_count)
		file->marks[i] = file->marks[--file->marks_count];
	if (range->l_type == F_UNLCK || i < file->marks_count)
		return;
	if (i == KERNEL_MARKS)
		sim_fail("too many locks of ranges");
	file->marks[file->marks_count++] = range->l_start;
}

/* Has an open file other than FILE locked the byte of RANGE? */
static bool kernel_marked(const struct file *file, const struct flock *range)
{
	for (unsigned i = 0; i < KERNEL_FILES; i++) {
		const struct file *other = &kernel.files[i];

		if (other == file || other->kind != FILE_INODE || other->inode != file->inode)
			continue;
		for (unsigned j = 0; j < other->marks_count; j++)
			if (other->marks[j] == range->l_start)
				return true;
	}
	return false;
}

WRAP(int, fcntl, (int fd, int command, ...))
{
	struct file *file;
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
	case F_OFD_SETLK:
		kernel_mark(file, (const struct flock *)argument);
		return 0;
	case F_OFD_GETLK: {
		struct flock *range = (struct flock *)argument;

		if (!kernel_marked(file, range))
			range->l_type = F_UNLCK;
		return 0;
	}
	default:
		sim_fail("unknown call: fcntl %d", command);
	}
}

/* ---- by number ------------------------------------------------------------------------------- */

/* openat2(). */
static long kernel_openat2(int dir_fd, const char *path, const struct open_how *how)
{
	int r = kernel_enter("openat2", ERRORS_OPEN);

	return kernel_answer(r ? r : kernel_open(dir_fd, path, (int)how->flags, (mode_t)how->mode));
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
