/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the metadata of an entry of an archive: owner, mode, attributes, time. For the thread that
 * unpacks.
 */
#ifndef VARVE_ARCHIVE_UNPACK_DRESS_H
#define VARVE_ARCHIVE_UNPACK_DRESS_H

#include "engine/archive/unpack_state.h"

/* Find the owner of ENTRY on the host. */
int unpack_owner(struct unpack *unpack, struct archive_entry *entry);

/*
 * The mode of ENTRY: where it has an access control list, libarchive's group bits are the list's
 * mask.
 */
mode_t unpack_mode(const struct unpack *unpack, struct archive_entry *entry);

/* The mode for an entry whose mode in the archive is MODE. */
mode_t unpack_perm(const struct unpack *unpack, mode_t mode);

/*
 * MODE for the current entry. If it has an access control list, the group's bits are the list's
 * mask: where the list could not be kept they are reduced to what the list gives the group.
 */
mode_t unpack_group(const struct unpack *unpack, mode_t mode);

/*
 * Give FD, a directory for which the archive has no entry, the owner and mode of such: the
 * container's root, or the caller where ids are not mapped.
 */
int unpack_dress_implied(struct unpack *unpack, int fd);

/*
 * Remove the attributes that go with files from FD, an older directory: those of the archive's
 * entry replace them.
 */
int unpack_strip(struct unpack *unpack, int fd);

/* Remove what FD, just made in the directory opened last, has inherited from it. */
int unpack_shed(struct unpack *unpack, int fd);

/*
 * Give the open inode FD its owner, attributes and MODE: each call that changes an inode is a
 * transaction, so none for nothing. SEEN is a look at what was made here, which nobody else may
 * change; NULL: there was none. The mode comes after the owner, which takes setuid away, and
 * after attributes, which an owner may set on files with permission to write.
 */
int unpack_dress(struct unpack *unpack, struct archive_entry *entry, int fd, mode_t mode,
		 const struct statx *seen);

/* When ENTRY was modified. */
struct timespec unpack_mtime(struct unpack *unpack, struct archive_entry *entry);

/*
 * Give the inode of the O_PATH descriptor FD, which is no directory nor regular file, its owner,
 * mode and time; and close it.
 */
int unpack_dress_made(struct unpack *unpack, struct archive_entry *entry, int fd);

#endif
