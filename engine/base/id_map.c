/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/id_map.h"

#include <errno.h>

/* Map ID from one side to the other. */
static int idrange_map(const struct varve_id_map *ranges, size_t count, uint32_t id, bool to_host,
		       uint32_t *ret_id)
{
	if (!count)
		*ret_id = id;
	for (size_t i = 0; i < count; i++) {
		uint32_t from = to_host ? ranges[i].container : ranges[i].host;
		uint32_t to = to_host ? ranges[i].host : ranges[i].container;

		if (id >= from && id - from < ranges[i].count) {
			*ret_id = to + (id - from);
			return 0;
		}
	}
	return count ? -EOVERFLOW : 0;
}

int idrange_to_container(const struct varve_id_map *ranges, size_t count, uint32_t id,
			 uint32_t *ret_id)
{
	return idrange_map(ranges, count, id, false, ret_id);
}

int idrange_to_host(const struct varve_id_map *ranges, size_t count, uint32_t id, uint32_t *ret_id)
{
	return idrange_map(ranges, count, id, true, ret_id);
}
