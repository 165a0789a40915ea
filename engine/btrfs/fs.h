/* SPDX-License-Identifier: Apache-2.0 */
/* The file system as a whole: identity, commits, how many subvolumes await the cleaner. */
#ifndef VARVE_BTRFS_FS_H
#define VARVE_BTRFS_FS_H

#include <stdbool.h>
#include <stdint.h>

/* Commit what has been done so far and wait for it; data of open files is not flushed. Unprivileged. */
int fs_commit(int fd);

/* Set off a commit, and with it the cleaner, without waiting. Unprivileged. */
int fs_kick(int fd);

/* Flush all, commit, and wake the cleaner whether there was anything to commit or not. Unprivileged. */
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
