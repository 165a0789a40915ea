/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids, as a container and its host see them. */
#ifndef VARVE_TREE_IDRANGE_H
#define VARVE_TREE_IDRANGE_H

#include "varve.h"

/* How users and groups are mapped; without entries they are not. */
struct idrange_maps {
	const struct varve_id_map *uids;
	size_t uids_count;
	const struct varve_id_map *gids;
	size_t gids_count;
};

/* What RANGES (COUNT of them; none: the same) make of the host's ID in the container: 0 and *RET_ID, or -EOVERFLOW. */
int idrange_to_container(const struct varve_id_map *ranges, size_t count, uint32_t id, uint32_t *ret_id);

/* The other way. */
int idrange_to_host(const struct varve_id_map *ranges, size_t count, uint32_t id, uint32_t *ret_id);

#endif
