/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places that an archive is unpacked into: directories of the layer, names in them, and
 * failures there. For the thread that unpacks.
 */
#ifndef VARVE_ARCHIVE_UNPACK_PLACE_H
#define VARVE_ARCHIVE_UNPACK_PLACE_H

#include "engine/archive/unpack_state.h"

/* Clean NAME, of the current entry, as tar_name_clean() does. */
int unpack_clean(struct unpack *unpack, const char *name, char *clean);

/*
 * Refuse the current entry: something is mounted at FAILED, which is at or below the entry's path.
 * Returns -EBUSY.
 */
int unpack_busy(struct unpack *unpack, const char *failed);

/* An entry that was just made was replaced by another one. */
int unpack_replaced(struct unpack *unpack, const char *call);

/* Open the directory PATH as the layer itself would see it. */
int unpack_open_dir(const struct unpack *unpack, const char *path);

/* Convert an error of unpack_open_dir(). */
int unpack_dir_error(struct unpack *unpack, int error);

/* Look at NAME in DIR_FD: 0, or -errno (-EBUSY: something is mounted there). */
int unpack_look(struct unpack *unpack, int dir_fd, const char *name, struct statx *ret_stat);

/*
 * Open NAME in DIR_FD, which was made with the type of MODE and number RDEV, by O_PATH; its
 * descriptor, or -errno.
 */
int unpack_open_made(struct unpack *unpack, int dir_fd, const char *name, mode_t mode, dev_t rdev);

/* Forget the directory opened last: it, or what leads to it, may be replaced. */
void unpack_leave(struct unpack *unpack);

/*
 * Open the directory that holds PATH, and MAKE it where it is missing; *RET_NAME is the name in it.
 * The descriptor stays ours.
 */
int unpack_enter(struct unpack *unpack, const char *path, bool make, const char **ret_name);

/* The archive has something in DIR_FD, the directory opened last. */
int unpack_lead(struct unpack *unpack, int dir_fd);

/*
 * Remove NAME in DIR_FD with its content: 0, or -errno, and FAILED (VARVE_FAILURE_PATH_SIZE bytes)
 * is the path that failed, from NAME on.
 */
int unpack_remove_at(struct unpack *unpack, int dir_fd, const char *name, char *failed);

/* Remove NAME in DIR_FD, the path of the current entry, with all that is in it. */
int unpack_remove(struct unpack *unpack, int dir_fd, const char *name);

#endif
