/* SPDX-License-Identifier: Apache-2.0 */
/* Opening inodes by their number, without a name. */
#ifndef VARVE_BTRFS_FILE_HANDLE_H
#define VARVE_BTRFS_FILE_HANDLE_H

#include <stdint.h>

/*
 * Open INODE of SUBVOLUME, on the mount that FD is on, with FLAGS (O_NOFOLLOW and O_CLOEXEC are
 * added): a descriptor; -ESTALE: there is no such inode, or it has another GENERATION.
 * CAP_DAC_READ_SEARCH.
 */
int file_handle_open(int fd, uint64_t subvolume, uint64_t inode, uint64_t generation, int flags);

/*
 * Find the subvolume of the directory NAME in DIR_FD ("": DIR_FD itself), in one call and without
 * opening it: *RET_SUBVOLUME is its number. 0; -EINVAL: it is not on btrfs; or another -errno.
 * Unprivileged.
 */
int file_handle_subvolume(int dir_fd, const char *name, uint64_t *ret_subvolume);

#endif
