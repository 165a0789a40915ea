/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on open files. */
#include "engine/base/util.h"
#include "kernel.h"
#include "model.h"
#include "wrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
