/* SPDX-License-Identifier: Apache-2.0 */
/* Deletions in an archive, which are entries with special names. */
#ifndef VARVE_ARCHIVE_WHITEOUT_H
#define VARVE_ARCHIVE_WHITEOUT_H

#include "engine/archive/tar_name.h"
#include "engine/archive/unpack_state.h"

/*
 * Carry out the whiteout NAME in the directory DIR_FD, which is an entry of the archive. Entries of
 * the archive itself stay, whether they come before the whiteout or after it.
 */
int whiteout_apply(struct unpack *unpack, int dir_fd, const char *name);

#endif
