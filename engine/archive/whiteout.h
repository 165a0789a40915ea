/* SPDX-License-Identifier: Apache-2.0 */
/* Deletions in an archive, which are entries of their own kind of name. */
#ifndef VARVE_ARCHIVE_WHITEOUT_H
#define VARVE_ARCHIVE_WHITEOUT_H

#include "engine/archive/unpack_state.h"

/* ".wh.NAME" says that NAME was deleted. */
#define WHITEOUT_PREFIX ".wh."

/* What begins with this is an archiver's own. */
#define WHITEOUT_META ".wh..wh."

/*
 * NAME in DIR_FD says that something was deleted. What the archive has itself stays, wherever in it
 * that is; and it has the directory that it names.
 */
int whiteout_apply(struct unpack *unpack, int dir_fd, const char *name);

#endif
