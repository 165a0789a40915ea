/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive says of an entry beside its content: owner, mode, attributes, time. The functions of the thread that unpacks.
 */
#ifndef VARVE_TREE_UNPACK_DRESS_H
#define VARVE_TREE_UNPACK_DRESS_H

#include "engine/tree/unpack.h"

/* The owner of ENTRY on the host. */
int unpack_owner(struct unpack *unpack, struct archive_entry *entry, uid_t *ret_uid, gid_t *ret_gid);

/* Is this an attribute that an archive may set? */
bool unpack_xattr_wanted(const char *name);

/* Give the open inode FD owner, mode and attributes: each call that changes an inode is a transaction, so none for nothing. */
int unpack_dress(struct unpack *unpack, struct archive_entry *entry, int fd);

/* When ENTRY was modified. */
struct timespec unpack_mtime(const struct unpack *unpack, struct archive_entry *entry);

/* Give the inode of the O_PATH descriptor FD, which is no directory nor regular file, its owner, mode and time; and close it. */
int unpack_dress_made(struct unpack *unpack, struct archive_entry *entry, int fd);

#endif
