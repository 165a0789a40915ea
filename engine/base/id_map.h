/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids, as a container and its host see them. */
#ifndef VARVE_BASE_ID_MAP_H
#define VARVE_BASE_ID_MAP_H

#include "varve.h"

#include <errno.h>

/* The id of an owner that no map has, with VARVE_OVERFLOW_IDS: what the kernel shows for such. */
#define IDRANGE_OVERFLOW_ID 65534

/* The detail of an entry that gets it. */
#define IDRANGE_OVERFLOWED "an owner that is in no map: it is 65534"

/* The detail of an owner that the kernel cannot name. */
#define IDRANGE_NOT_MAPPED "an owner that has no id in the user namespace of the caller"

/* What is said of one in a walk, which may be outside of maps as well. */
#define IDRANGE_OUTSIDE \
	"an owner that is in no map (VARVE_OVERFLOW_IDS, --overflow-ids: 65534), or has no id in the user namespace of the caller"

/* How users and groups are mapped; without entries they are not. */
struct idrange_maps {
	const struct varve_id_map *uids;
	size_t uids_count;
	const struct varve_id_map *gids;
	size_t gids_count;
};

/*
 * What RANGES (COUNT of them; none: the same) make of the host's ID in the container: 0 and
 * *RET_ID, or -EOVERFLOW.
 */
int idrange_to_container(const struct varve_id_map *ranges, size_t count, uint32_t id,
			 uint32_t *ret_id);

/* The other way. */
int idrange_to_host(const struct varve_id_map *ranges, size_t count, uint32_t id, uint32_t *ret_id);

/*
 * The result R of chown, where the kernel has -EINVAL for an id that the caller's user namespace
 * does not map: -EOVERFLOW.
 */
static inline int idrange_chowned(int r)
{
	return r == -EINVAL ? -EOVERFLOW : r;
}

#endif
