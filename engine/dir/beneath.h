/* SPDX-License-Identifier: Apache-2.0 */
/* Paths below a directory, of any length, never through a link or into a mount. */
#ifndef VARVE_DIR_BENEATH_H
#define VARVE_DIR_BENEATH_H

#include "engine/io/call.h"

#include <stdint.h>

/*
 * Resolution flags for every path of several names below a directory that we hold open. For an
 * entry that is renamed out of the directory at that moment the kernel returns -EXDEV, as if
 * something were mounted there.
 */
#define BENEATH_RESOLVE (RESOLVE_BENEATH | BENEATH_RESOLVE_ONE)

/*
 * The same for one name that is neither "." nor "..": it cannot lead out of the directory, so
 * RESOLVE_BENEATH is left out, and an entry that is renamed away gives -ENOENT, as a removed one.
 */
#define BENEATH_RESOLVE_ONE (RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

/*
 * The same for one name where no mount is entered. A link is opened as itself
 * (O_PATH | O_NOFOLLOW).
 */
#define BENEATH_RESOLVE_NAME (RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

/*
 * Open PATH ("" is ROOT_FD's directory itself; a '/' at its beginning does no harm) below ROOT_FD
 * with FLAGS: a descriptor, or -errno (-EXDEV: a mount is in the way, or it was renamed away at
 * each try; -ELOOP: a link).
 */
int beneath_open(int root_fd, const char *path, uint64_t flags);

/* The same of a directory that is to be listed, without setting its time of access where we may. */
int beneath_open_list(int root_fd, const char *path);

#endif
