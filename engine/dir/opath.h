/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acting on an entry of a hostile directory: open it by O_PATH, which follows no link, wakes no
 * device and waits for no fifo; look at the descriptor; then act on the descriptor, so that both
 * are on the same inode, whatever gets its name meanwhile. All return 0 (or as described) or
 * -errno.
 */
#ifndef VARVE_DIR_OPATH_H
#define VARVE_DIR_OPATH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* What opath_open() asks statx for: enough to tell inodes apart and to see a mount. */
#define OPATH_STAT_MASK (STATX_BASIC_STATS | STATX_MNT_ID)

/*
 * Open NAME, one component, in DIR_FD by O_PATH | O_NOFOLLOW without entering a mount, and look at
 * it (RET_STAT may be NULL): a descriptor; -EXDEV: something is mounted there.
 */
int opath_open(int dir_fd, const char *name, struct statx *ret_stat);

/*
 * Open the directory NAME in DIR_FD for reading, and look at it. To open a directory acts on
 * nothing. A descriptor; -ENOTDIR or -ELOOP: it is none; -EXDEV: something is mounted there.
 */
int opath_open_dir(int dir_fd, const char *name, struct statx *ret_stat);

/* Are A and B of the same inode? Both have OPATH_STAT_MASK. */
bool opath_same(const struct statx *a, const struct statx *b);

/*
 * Open the inode of the O_PATH descriptor FD with FLAGS (O_CLOEXEC and O_NONBLOCK are added): a
 * descriptor. The caller has looked: opening a device acts on it. Needs /proc for what is no
 * directory.
 */
int opath_reopen(int fd, int flags);

/*
 * Open the file of the O_PATH descriptor FD for reading, without setting its time of access where
 * we may. As opath_reopen().
 */
int opath_reopen_read(int fd);

/* Read up to SIZE bytes of FD at OFFSET: how many there were, or -errno. */
ssize_t opath_pread(int fd, void *buffer, size_t size, off_t offset);

/* Set the mode of FD; of a link -EOPNOTSUPP. Before Linux 6.6 by /proc. */
int opath_chmod(int fd, mode_t mode);

/*
 * Set the owner of FD, of a link, too. Takes setuid, setgid and capabilities away, as chown does.
 */
int opath_chown(int fd, uid_t uid, gid_t gid);

/* Set the times of FD, of a link, too. */
int opath_times(int fd, const struct timespec times[2]);

/* Set attribute NAME of FD, of a link, too. By /proc. */
int opath_setxattr(int fd, const char *name, const void *value, size_t size);

/*
 * List the names of its attributes, each with its NUL, to LIST (SIZE bytes): their bytes, or
 * -ERANGE. By /proc.
 */
ssize_t opath_listxattr(int fd, char *list, size_t size);

/* Remove it: 0, also where there is none, or -errno. */
int opath_removexattr(int fd, const char *name);

/* Read it into VALUE (SIZE bytes): how many there are; -ENODATA when there is none. */
ssize_t opath_getxattr(int fd, const char *name, void *value, size_t size);

/* Does ERROR mean that the entry was removed or replaced meanwhile? */
static inline bool opath_vanished(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -ESTALE;
}

/*
 * Does ERROR, of a look at an entry or of opening it, leave out that entry alone? It is gone or
 * replaced, something is mounted on it, the caller may not read it, a lease is kept on it, or it
 * has more attributes than an archive takes. All other errors (too few descriptors, no memory, a
 * failing disk) are not about the entry, and fail the archive.
 */
static inline bool opath_left_out(int error)
{
	return opath_vanished(error) || error == -EXDEV || error == -EACCES || error == -EPERM ||
	       error == -EAGAIN || error == -E2BIG;
}

#endif
