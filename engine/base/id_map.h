/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids, as a container and its host see them. */
#ifndef VARVE_BASE_ID_MAP_H
#define VARVE_BASE_ID_MAP_H

#include "varve.h"

#include <errno.h>

/*
 * The id of an owner that is in no map, with VARVE_OVERFLOW_IDS: as the kernel shows such owners.
 */
#define IDRANGE_OVERFLOW_ID 65534

/* The detail of an entry whose owner becomes the overflow id. */
#define IDRANGE_OVERFLOWED "an owner that is in no map: it is 65534"

/* The detail for an owner that has no id in the caller's user namespace. */
#define IDRANGE_NOT_MAPPED "an owner that has no id in the user namespace of the caller"

/* The detail in a walk, where either may be the reason. */
#define IDRANGE_OUTSIDE \
	"an owner that is in no map (VARVE_OVERFLOW_IDS, --overflow-ids: 65534), or has no id in the user namespace of the caller"

/* The maps of users and groups; without entries ids are not mapped. */
struct idrange_maps {
	const struct varve_id_map *uids;
	size_t uids_count;
	const struct varve_id_map *gids;
	size_t gids_count;
};

/*
 * Map the host's ID into the container by the COUNT RANGES (none: the same id): 0 and *RET_ID, or
 * -EOVERFLOW.
 */
int idrange_to_container(const struct varve_id_map *ranges, size_t count, uint32_t id,
			 uint32_t *ret_id);

/* Map the container's ID to the host, likewise. */
int idrange_to_host(const struct varve_id_map *ranges, size_t count, uint32_t id, uint32_t *ret_id);

/*
 * Convert the result R of chown: -EINVAL, the kernel's error for an id that the caller's user
 * namespace does not map, becomes -EOVERFLOW.
 */
static inline int idrange_chowned(int r)
{
	return r == -EINVAL ? -EOVERFLOW : r;
}

#endif
