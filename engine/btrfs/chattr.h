/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags that forbid to unlink, rename and change an inode, whatever the privilege: immutable
 * and append-only (chattr +i, +a). Root in a layer may set them; CAP_LINUX_IMMUTABLE clears them.
 */
#ifndef VARVE_BTRFS_CHATTR_H
#define VARVE_BTRFS_CHATTR_H

#include <sys/stat.h>

/* The flags in STAT, FS_IMMUTABLE_FL and FS_APPEND_FL; every statx() returns them. */
unsigned chattr_of(const struct statx *stat);

/* The flags of the inode of FD, which may be O_PATH; 0 also where they are not known. */
unsigned chattr_get(int fd);

/* Clear the flags of FD: 1; 0: it has none; or -errno, -EROFS in a read-only subvolume. */
int chattr_clear(int fd);

/* Add FLAGS to those of FD. */
int chattr_add(int fd, unsigned flags);

/* What FLAGS of an entry, or of its directory, forbid, in words; NULL for none. */
const char *chattr_detail(unsigned flags);
const char *chattr_detail_above(unsigned flags);

#endif
