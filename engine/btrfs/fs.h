/* SPDX-License-Identifier: Apache-2.0 */
/* The file system as a whole: identity, commits, subvolumes that await the cleaner. */
#ifndef VARVE_BTRFS_FS_H
#define VARVE_BTRFS_FS_H

#include "engine/base/fault.h"

#include <stdint.h>

/*
 * Make the entries of directory FD durable, subvolumes among them: earlier creates, renames and
 * destroys. Data of files is not flushed. Unprivileged.
 */
int fs_commit_directory(int fd);

/*
 * Commit all metadata that was changed before. DIR_FD: a directory in which only this thread makes
 * files, for two names; where they cannot be made (-EBADF, no room) the whole file system FD is
 * flushed instead. Data of files is not flushed otherwise. Unprivileged.
 */
int fs_commit(int dir_fd, int fd);

/* Flush all data of the file system, commit, and wake the cleaner. Unprivileged. */
int fs_flush(int fd);

/*
 * Begin to commit what has changed, if anything has, which wakes the cleaner; neither waits for
 * that nor flushes data. Unprivileged.
 */
int fs_begin_commit(int fd);

/*
 * As fs_flush(); fails if data of any file was lost since FD was opened, or since the last such
 * failure for FD.
 */
int fs_flush_data(int fd);

/*
 * Wait until the data of the file FD is in extents of the trees, where a commit makes it durable.
 */
int fs_wait_written(int fd);

/* The last committed transaction; 0 when the kernel does not report it. */
uint64_t fs_generation(int fd);

/* Bytes of a sector, in which files take space. */
int fs_sector_bytes(int fd, uint32_t *ret_bytes);

/*
 * The most bytes that the name of an attribute and its value can have together; 0 when the kernel
 * does not report it.
 */
size_t fs_xattr_bytes(int fd);

/* The file system's id, 16 bytes. */
int fs_id(int fd, uint8_t *ret_id);

/* Bytes of a file system's id as text, its NUL included. */
#define FSID_TEXT_BYTES 37

/* Write ID in its usual form. */
void fs_id_text(const uint8_t *id, char ret_text[FSID_TEXT_BYTES]);

/*
 * Count the dead subvolumes that await the cleaner. Before Linux 6.13 that takes CAP_SYS_ADMIN
 * (-EPERM).
 */
int fs_dead_count(int fd, uint64_t *ret_count);

/* Subvolumes that are dead and not dropped completely, in ascending order. */
struct fs_dead {
	uint64_t *ids;
	size_t count, capacity;
};

/*
 * Collect all dead subvolumes of FD's file system: those that await the cleaner, the one that is
 * being dropped, and those with open files. fs_dead_count() misses one that is being dropped,
 * because the cleaner takes it off its queue first. CAP_SYS_ADMIN.
 */
int fs_dead_collect(int fd, struct fs_dead *ret_dead, struct fault *fault);

/* Remove from DEAD the subvolumes that are not in NOW. */
void fs_dead_intersect(struct fs_dead *dead, const struct fs_dead *now);

#endif
