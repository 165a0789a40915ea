/* SPDX-License-Identifier: Apache-2.0 */
/* Deletions in an archive, which are entries with special names. */
#ifndef VARVE_ARCHIVE_WHITEOUT_H
#define VARVE_ARCHIVE_WHITEOUT_H

#include "engine/archive/tar_name.h"
#include "engine/archive/unpack_state.h"

/*
 * NAME in DIR_FD says that something was deleted. What the archive has itself stays, wherever in it
 * that is; and it has the directory that it names.
 */
int whiteout_apply(struct unpack *unpack, int dir_fd, const char *name);

#endif
