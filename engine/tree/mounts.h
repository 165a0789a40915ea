/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted inside a layer. */
#ifndef VARVE_TREE_MOUNTS_H
#define VARVE_TREE_MOUNTS_H

#include <stdbool.h>

/* May something be mounted in layer ID, whose root is FD? Says yes where it cannot be told. */
bool mounts_below(int fd, const char *id);

#endif
