/* SPDX-License-Identifier: Apache-2.0 */
/* The file system as a whole: identity, commits, how many subvolumes await the cleaner. */
#ifndef VARVE_BTRFS_FS_H
#define VARVE_BTRFS_FS_H

#include "engine/base/fault.h"

#include <stdint.h>

/*
 * Make the entries of directory FD, subvolumes among them, durable: what was created, renamed or
 * destroyed in it before. Data of files is not flushed. Unprivileged.
 */
int fs_commit_directory(int fd);

/*
 * Commit all metadata that was changed before. DIR_FD: a directory that nobody else makes files in,
 * for two names of this thread; where they cannot be made (-EBADF, no room) the whole file system
 * FD is flushed instead. Data of files is not flushed otherwise. Unprivileged.
 */
int fs_commit(int dir_fd, int fd);

/* Flush all data of the file system, commit, and wake the cleaner. Unprivileged. */
int fs_flush(int fd);

/*
 * As fs_flush(); fails if data of any file was lost since FD was opened, or since this last failed
 * for FD.
 */
int fs_flush_data(int fd);

/*
 * Wait until the data of the file FD is where a commit makes it durable: in extents that the trees
 * have.
 */
int fs_wait_written(int fd);

/* The transaction committed last; 0 when the kernel does not tell. */
uint64_t fs_generation(int fd);

/* Bytes of a sector, in which files take space. */
int fs_sector_bytes(int fd, uint32_t *ret_bytes);

/*
 * The most bytes that the name of an attribute and its value can have together; 0 when the kernel
 * does not tell.
 */
size_t fs_xattr_bytes(int fd);

/* The file system's id, 16 bytes. */
int fs_id(int fd, uint8_t *ret_id);

/* Bytes of a file system's id as text, its NUL included. */
#define FSID_TEXT_BYTES 37

/* Write ID in its usual form. */
void fs_id_text(const uint8_t *id, char ret_text[FSID_TEXT_BYTES]);

/* How many dead subvolumes await the cleaner. Before Linux 6.13 it takes CAP_SYS_ADMIN (-EPERM). */
int fs_dead_count(int fd, uint64_t *ret_count);

/* Subvolumes that are dead and not dropped completely, in ascending order. */
struct fs_dead {
	uint64_t *ids;
	size_t count, capacity;
};

/*
 * Collect all of FD's file system: those that await the cleaner, the one that it is at, and those
 * with open files. Exact, which fs_dead_count() is not: the cleaner takes one off its queue before
 * it drops it. CAP_SYS_ADMIN.
 */
int fs_dead_collect(int fd, struct fs_dead *ret_dead, struct fault *fault);

/* Take out of DEAD what is not in NOW. */
void fs_dead_intersect(struct fs_dead *dead, const struct fs_dead *now);

#endif
