/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spare descriptors of an operation that cannot begin anew: others may take those that were free
 * when it began.
 */
#ifndef VARVE_DIR_SPARES_H
#define VARVE_DIR_SPARES_H

#include "engine/base/limits.h"

#include <stdbool.h>

struct spares {
	int fds[SPARES_MAX];
	unsigned count;
};

/* Hold COUNT duplicates of FD, or as many as there can be: 0, or -errno when some are missing. */
int spares_hold(struct spares *spares, int fd, unsigned count);

/* Close one, so that something else can be opened. Was there one? */
bool spares_use(struct spares *spares);

/* Close all. Were there any? */
bool spares_release(struct spares *spares);

#endif
