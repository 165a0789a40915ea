/* SPDX-License-Identifier: Apache-2.0 */
/* The names in an archive, taken apart before anything is opened by them. */
#ifndef VARVE_TREE_NAME_H
#define VARVE_TREE_NAME_H

#include <stdbool.h>

/*
 * Write what NAME means to CLEAN (as long as NAME): no "." nor empty parts, no '/' at either end. 0; -EINVAL when it leads
 * out, or -ENAMETOOLONG, and *RET_DETAIL, a constant, says what is wrong with it.
 */
int name_clean(const char *name, char *clean, const char **ret_detail);

/* Does the link at PATH, a clean name, leading to TARGET, lead out of the layer, step by step? */
bool name_leads_out(const char *path, const char *target);

#endif
