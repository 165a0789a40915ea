/* SPDX-License-Identifier: Apache-2.0 */
/* Paths below a directory, of any length, never through a link or into a mount. */
#ifndef VARVE_DIR_BENEATH_H
#define VARVE_DIR_BENEATH_H

#include <stdint.h>

/*
 * Open PATH ("" is ROOT_FD's directory itself; a '/' at its beginning does no harm) below ROOT_FD with FLAGS: a descriptor,
 * or -errno (-EXDEV: a mount is in the way, -ELOOP: a link).
 */
int beneath_open(int root_fd, const char *path, uint64_t flags);

/* The same of a directory that is to be listed, without setting its time of access where we may. */
int beneath_open_list(int root_fd, const char *path);

#endif
