/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts inside a layer. */
#ifndef VARVE_DIR_MOUNTS_H
#define VARVE_DIR_MOUNTS_H

#include <stdint.h>

/*
 * Replace *FD, a directory open for reading, by the same directory in a private clone of its mount
 * without other mounts: through it the layer's own content is seen beneath any mount, and unlinking
 * a mount point gives -EBUSY. 1, 0 where there can be no such clone (without CAP_SYS_ADMIN, of
 * another namespace's mount; *FD stays), or -errno. Linux 5.12.
 *
 * *RET_TREE, set with 1, is to be closed with *FD, and not before: it keeps the clone in a mount
 * namespace of its own. Without a namespace the kernel takes its lock of all mounts for each path
 * in the clone.
 */
int mounts_clone(int *fd, int *ret_tree);

/*
 * The same for reading alone: through that clone, where the caller may set it so, nothing can be
 * written, no time of access is set, and no device can be opened.
 */
int mounts_clone_look(int *fd, int *ret_tree);

/*
 * Is something mounted, in this mount namespace, at NAME ("": itself) in DIR_FD or below it, by
 * whichever mount of the file system? 1 and *RET_POINT (to be freed), 0, or -errno.
 */
int mounts_at(int dir_fd, const char *name, char **ret_point);

/*
 * The same of NAME in DIR_FD, which lies in a clone (mounts_clone()) of the directory ROOT_FD; a
 * DIR_FD of -EBADF: in ROOT_FD itself. *RET_BELOW, to be freed unless it is NULL, is where below
 * NAME: "" or "/...".
 */
int mounts_below(int root_fd, int dir_fd, const char *name, char **ret_point, char **ret_below);

/*
 * Is something mounted on mount NUMBER, at its root or below, in this mount namespace? 1, 0, or
 * -errno.
 */
int mounts_upon(uint64_t number);

/* Undo in PATH the escapes (\\ooo) with which /proc lists paths. */
void mounts_unescape(char *path);

/*
 * Find where the device of path SOURCE is mounted in this mount namespace, the last such mount: 1
 * and *RET_POINT (to be freed), 0 for nowhere, or -errno.
 */
int mounts_find(const char *source, char **ret_point);

/*
 * Find the device that mount NUMBER is of, as its path: 1 and *RET_SOURCE (to be freed), 0 for no
 * such mount, or -errno.
 */
int mounts_source(uint64_t number, char **ret_source);

#endif
