/* SPDX-License-Identifier: Apache-2.0 */
/* Opening inodes by their number, without a name. */
#ifndef VARVE_BTRFS_FILE_HANDLE_H
#define VARVE_BTRFS_FILE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Open INODE of SUBVOLUME, on the mount that FD is on, with FLAGS (O_NOFOLLOW and O_CLOEXEC are
 * added): a descriptor; -ESTALE: there is no such inode, or it has another GENERATION (0: any, but
 * for older kernels). CAP_DAC_READ_SEARCH.
 */
int file_handle_open(int fd, uint64_t subvolume, uint64_t inode, uint64_t generation, int flags);

/*
 * Files opened by numbers that a directory or a look gave: a number is of the same inode for as
 * long as the file system is mounted, and an inode never becomes one of another kind. So no look
 * has to come between finding out what it is and opening it.
 */
struct file_numbers {
	/* The subvolume that they are of; 0: they are not to be used. */
	uint64_t subvolume;
	/*
	 * One was opened; none can be: without the privilege, in a sandbox, or by an older kernel.
	 * Any thread.
	 */
	_Atomic bool work, refused;
};

/*
 * Open INODE of NUMBERS, on the mount that FD is on, with FLAGS: a descriptor; -ESTALE: look for it
 * by its name, which says why; or another -errno. A removed inode is opened, too, while a process
 * has it open.
 */
int file_numbers_open(struct file_numbers *numbers, int fd, uint64_t inode, int flags);

/*
 * Find the subvolume of the directory NAME in DIR_FD ("": DIR_FD itself), in one call and without
 * opening it: *RET_SUBVOLUME is its number. 0; -EINVAL: it is not on btrfs; or another -errno.
 * Unprivileged.
 */
int file_handle_subvolume(int dir_fd, const char *name, uint64_t *ret_subvolume);

#endif
