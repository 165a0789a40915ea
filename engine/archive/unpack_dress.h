/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive says of an entry beside its content: owner, mode, attributes, time. The functions
 * of the thread that unpacks.
 */
#ifndef VARVE_ARCHIVE_UNPACK_DRESS_H
#define VARVE_ARCHIVE_UNPACK_DRESS_H

#include "engine/archive/unpack_state.h"

/* Set *RET_ID to what ID, a GROUP's or a user's, of the container is on the host: 0 or -errno. */
int unpack_id(struct unpack *unpack, bool group, uint32_t id, uint32_t *ret_id);

/* Find the owner of ENTRY on the host, for what is to be made of it. */
int unpack_owner(struct unpack *unpack, struct archive_entry *entry);

/* Give what is open as FD the owner UID and GID. */
int unpack_chown(struct unpack *unpack, int fd, uid_t uid, gid_t gid);

/*
 * The mode of ENTRY: libarchive takes the text of a list for it, where the group's bits stand for
 * the mask.
 */
mode_t unpack_mode(const struct unpack *unpack, struct archive_entry *entry);

/* The mode of what has the mode MODE in the archive. */
mode_t unpack_perm(const struct unpack *unpack, mode_t mode);

/*
 * MODE of the entry at hand, whose group has the mask of a list: where the list could not be kept,
 * no more than that gives the group.
 */
mode_t unpack_group(const struct unpack *unpack, mode_t mode);

/*
 * Give FD, a directory for which the archive has no entry, the owner and mode of such: the
 * container's root, or the caller where ids are not mapped.
 */
int unpack_dress_implied(struct unpack *unpack, int fd);

/*
 * Take the attributes that go with files from FD, an older directory: those of the archive's entry
 * replace them.
 */
int unpack_strip(struct unpack *unpack, int fd);

/* What was made as FD in the directory opened last has inherited nothing from that. */
int unpack_shed(struct unpack *unpack, int fd);

/*
 * Give the open inode FD its owner, attributes and MODE: each call that changes an inode is a
 * transaction, so none for nothing. The mode comes after the owner, which takes setuid away, and
 * after attributes, which an owner may set of what he may write.
 */
int unpack_dress(struct unpack *unpack, struct archive_entry *entry, int fd, mode_t mode);

/* When ENTRY was modified. */
struct timespec unpack_mtime(struct unpack *unpack, struct archive_entry *entry);

/*
 * Give the inode of the O_PATH descriptor FD, which is no directory nor regular file, its owner,
 * mode and time; and close it.
 */
int unpack_dress_made(struct unpack *unpack, struct archive_entry *entry, int fd);

#endif
