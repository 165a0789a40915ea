/* SPDX-License-Identifier: Apache-2.0 */
/* Checks the ids of layers. */
#ifndef VARVE_BASE_ID_H
#define VARVE_BASE_ID_H

#include <stdbool.h>

/* The prefix of the store's own names. */
#define ID_RESERVED_PREFIX ".varve"

/* Is ID valid? 0, -EINVAL or -ENAMETOOLONG; then *RET_REASON is the reason, for a person. */
int id_check(const char *id, const char **ret_reason);

#endif
