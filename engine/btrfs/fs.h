/* SPDX-License-Identifier: Apache-2.0 */
/* The file system as a whole: identity, commits, how many subvolumes await the cleaner. */
#ifndef VARVE_BTRFS_FS_H
#define VARVE_BTRFS_FS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Make the entries of directory FD, subvolumes among them, durable: what was created, renamed or destroyed in it before.
 * Data of files is not flushed. Unprivileged.
 */
int fs_commit_directory(int fd);

/* Flush all data of the file system, commit, and wake the cleaner. Unprivileged. */
int fs_flush(int fd);

/* The transaction committed last; 0 when the kernel does not tell. */
uint64_t fs_generation(int fd);

/* The file system's id, 16 bytes. */
int fs_id(int fd, uint8_t *ret_id);

/* How many dead subvolumes await the cleaner. Before Linux 6.13 it takes CAP_SYS_ADMIN (-EPERM). */
int fs_dead_count(int fd, uint64_t *ret_count);

/* The way fs_dead_count() goes where SUBVOL_SYNC_WAIT is missing: orphan items of the root tree. */
int fs_dead_count_search(int fd, uint64_t *ret_count);

#endif
