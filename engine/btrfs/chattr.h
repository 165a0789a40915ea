/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of an inode that forbid to unlink, rename and change it, whatever the privilege:
 * immutable and append-only (chattr +i, +a). What runs as root in a layer may set them;
 * CAP_LINUX_IMMUTABLE clears them.
 */
#ifndef VARVE_BTRFS_CHATTR_H
#define VARVE_BTRFS_CHATTR_H

#include <sys/stat.h>

/* The flags that STAT tells of, FS_IMMUTABLE_FL and FS_APPEND_FL; statx() always asks for them. */
unsigned chattr_of(const struct statx *stat);

/* The flags of the inode of FD, which O_PATH suffices for; 0 also where they are not known. */
unsigned chattr_get(int fd);

/* Clear the flags of FD: 1; 0: it has none; or -errno, -EROFS in a read-only subvolume. */
int chattr_clear(int fd);

/* Add FLAGS to those of FD. */
int chattr_add(int fd, unsigned flags);

/*
 * What FLAGS of a thing, or of the directory that it lies in, mean for it, in words; NULL for none.
 */
const char *chattr_detail(unsigned flags);
const char *chattr_detail_above(unsigned flags);

#endif
