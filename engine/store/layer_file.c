/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/layer_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pass the fault point of a step with a file in PLACE. */
static int layer_file_fault(struct varve_store *store, enum layout_place place)
{
	return fault_hit(&store->core.io.fault,
			 place == LAYOUT_QUOTAS ? FAULT_QUOTA : FAULT_RECORD);
}

int layer_file_place(struct varve_store *store, enum layout_place place, int dir_fd,
		     const char *name, const char *id)
{
	int r = layer_file_fault(store, place), place_fd;

	if (r)
		return r;
	place_fd = layout_need(store, place);
	return place_fd < 0 ? place_fd : RET_NERRNO(renameat(dir_fd, name, place_fd, id));
}

int layer_file_remove(struct varve_store *store, enum layout_place place, const char *id)
{
	int r = layer_file_fault(store, place), place_fd;

	if (r)
		return r;
	place_fd = layout_find(store, place);
	if (place_fd < 0)
		return place_fd == -ENOENT ? 0 : place_fd;
	if (!unlinkat(place_fd, id, 0))
		return 1;
	return errno == ENOENT ? 0 : negative_errno();
}

int layer_file_link(struct varve_store *store, enum layout_place place, const char *id,
		    const char *new_id)
{
	int place_fd = layout_find(store, place), r = layer_file_remove(store, place, new_id);

	if (r < 0 || place_fd < 0)
		return MIN(r, 0);
	r = RET_NERRNO(linkat(place_fd, id, place_fd, new_id, 0));
	return r == -ENOENT ? 0 : r ? r : 1;
}

int layer_file_there(struct varve_store *store, enum layout_place place, const char *id)
{
	struct stat stat;
	int place_fd;

	place_fd = layout_find(store, place);
	if (place_fd < 0)
		return place_fd == -ENOENT ? 0 : place_fd;
	if (!layout_any(store, place))
		return 0;
	if (!fstatat(place_fd, id, &stat, AT_SYMLINK_NOFOLLOW))
		return 1;
	return errno == ENOENT ? 0 : negative_errno();
}
