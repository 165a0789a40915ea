/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of an entry by its directory and name, no link followed, nothing opened. 0.. or -errno. */
#ifndef VARVE_TREE_XATTR_H
#define VARVE_TREE_XATTR_H

#include <stddef.h>
#include <sys/types.h>

/* Where file capabilities and SELinux labels are. */
#define XATTR_CAPABILITY "security.capability"
#define XATTR_LABEL "security.selinux"

/* Set attribute ATTRIBUTE of NAME in DIR_FD ("": of DIR_FD itself) to SIZE bytes at VALUE. */
int xattr_set(int dir_fd, const char *name, const char *attribute, const void *value, size_t size);

/* Read it into VALUE (SIZE bytes): how many there are; -ENODATA when there is none. */
ssize_t xattr_get(int dir_fd, const char *name, const char *attribute, void *value, size_t size);

#endif
