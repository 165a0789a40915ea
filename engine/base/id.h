/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer may be called. */
#ifndef VARVE_BASE_ID_H
#define VARVE_BASE_ID_H

#include <stdbool.h>

/* The prefix of names that are ours. */
#define ID_RESERVED_PREFIX ".varve"

/*
 * Is ID a name that a layer can have? 0, -EINVAL or -ENAMETOOLONG; then *RET_REASON says why, for a
 * person.
 */
int id_check(const char *id, const char **ret_reason);

#endif
