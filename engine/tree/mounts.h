/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted inside a layer. */
#ifndef VARVE_TREE_MOUNTS_H
#define VARVE_TREE_MOUNTS_H

#include <stdbool.h>

/* May something be mounted in layer ID, whose root is FD? Says yes where it cannot be told. */
bool mounts_below(int fd, const char *id);

/* Detach what is mounted at NAME in DIR_FD or below it: how many mounts that were, or -errno. CAP_SYS_ADMIN. */
int mounts_detach(int dir_fd, const char *name);

/* Wait until something is mounted or unmounted, for at most TIMEOUT_MS. */
void mounts_wait(int timeout_ms);

#endif
