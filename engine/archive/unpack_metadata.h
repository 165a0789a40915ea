/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets the metadata of an entry of an archive: owner, mode, attributes, time. For the thread that
 * unpacks.
 */
#ifndef VARVE_ARCHIVE_UNPACK_METADATA_H
#define VARVE_ARCHIVE_UNPACK_METADATA_H

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
 * MODE for the current entry. If the entry has an access control list, the group bits of MODE are
 * the list's mask: where the list could not be kept, they become what the list gives the group.
 */
mode_t unpack_group(const struct unpack *unpack, mode_t mode);

/*
 * Give FD, a directory for which the archive has no entry, its owner and mode: the container's
 * root, or the caller where ids are not mapped, and UNPACK_DIR_MODE.
 */
int unpack_set_implied(struct unpack *unpack, int fd);

/*
 * Remove the attributes that archives keep from FD, an older directory: those of the archive's
 * entry replace them.
 */
int unpack_remove_xattrs(struct unpack *unpack, int fd);

/* Remove the access control lists that FD, just made, has inherited from its directory. */
int unpack_remove_inherited(struct unpack *unpack, int fd);

/*
 * Set owner, attributes and MODE of the open inode FD. Each call that changes an inode joins a
 * transaction, so values that are right already are not set. SEEN is the stat of an inode that was
 * made here and that no other user may change; NULL: not known. The mode is set after the owner,
 * because chown clears setuid, and after the attributes, because the new mode may deny the owner
 * write permission.
 */
int unpack_set_metadata(struct unpack *unpack, struct archive_entry *entry, int fd, mode_t mode,
			const struct statx *seen);

/* When ENTRY was modified. */
struct timespec unpack_mtime(struct unpack *unpack, struct archive_entry *entry);

/*
 * Set owner, attributes, mode and time of the inode of the O_PATH descriptor FD, which is neither a
 * directory nor a regular file, and close FD.
 */
int unpack_set_special(struct unpack *unpack, struct archive_entry *entry, int fd);

#endif
