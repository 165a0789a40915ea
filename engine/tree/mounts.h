/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted inside a layer. */
#ifndef VARVE_TREE_MOUNTS_H
#define VARVE_TREE_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

/* May something be mounted in layer ID, whose root is FD? Says yes where it cannot be told. */
bool mounts_below(int fd, const char *id);

/*
 * Replace *FD, a directory open for reading, by the same directory in a clone of its mount that nothing is mounted in and
 * nobody else has: below it what a layer itself holds is seen beneath whatever is mounted there, and unlinking a mount point
 * gives -EBUSY. 1, 0 where there can be no such clone (without CAP_SYS_ADMIN, of another namespace's mount; *FD stays), or
 * -errno. Linux 5.12.
 */
int mounts_clone(int *fd);

/*
 * The same for reading alone: through that clone nothing can be written, no time of access is set, and no device be opened,
 * where we may say so.
 */
int mounts_clone_look(int *fd);

/* Detach what is mounted at NAME in DIR_FD or below it: how many mounts that were, or -errno. CAP_SYS_ADMIN. */
int mounts_detach(int dir_fd, const char *name);

/* Find where the device of path SOURCE is mounted in this mount namespace, the last such mount: 1 and *RET_POINT (to be freed), 0 for
   nowhere, or -errno. */
int mounts_find(const char *source, char **ret_point);

/* Find the device that mount NUMBER is of, as its path: 1 and *RET_SOURCE (to be freed), 0 for no such mount, or -errno. */
int mounts_source(uint64_t number, char **ret_source);

/* Wait until something is mounted or unmounted, for at most TIMEOUT_MS. */
void mounts_wait(int timeout_ms);

#endif
