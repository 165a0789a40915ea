/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/parent.h"
#include "engine/btrfs/ancestor.h"
#include "engine/btrfs/search.h"
#include "engine/dir/entries.h"
#include "engine/store/layer.h"

#include <string.h>

/* What parent_scan() looks for. */
struct parent_scan {
	struct varve_store *store;
	const uint8_t *uuid;
	char *ret_name;
};

/* Is the layer NAME the one with the uuid? */
static int parent_scan_entry(void *data, const char *name)
{
	struct parent_scan *scan = data;
	struct btrfs_ioctl_get_subvol_info_args args;
	_cleanup_close_ int fd = layer_open(scan->store, name);
	int r;

	r = fd < 0 ? fd : layer_prove(scan->store, fd, name, &args);
	if (r)
		return layer_passed_over(r) ? 0 : r;
	if (memcmp(args.uuid, scan->uuid, BTRFS_UUID_SIZE))
		return 0;
	strcpy(scan->ret_name, name);
	return 1;
}

int parent_name(struct varve_store *store, const uint8_t *uuid, char *ret_name)
{
	struct parent_scan scan = { .store = store, .uuid = uuid, .ret_name = ret_name };
	struct search search;
	uint64_t number = 0;
	int r;

	if (!store->layout.privileged) {
		r = entries_each(store->layout.subvolumes_fd, parent_scan_entry, &scan);
		return MIN(r, 0);
	}
	r = ancestor_number(store->layout.home_fd, uuid, &number);
	if (r <= 0)
		return r;
	/* Its name, if it is a layer of the store. */
	r = search_begin(&search, store->layout.home_fd, BTRFS_ROOT_TREE_OBJECTID, number, number,
			 BTRFS_ROOT_BACKREF_KEY, BTRFS_ROOT_BACKREF_KEY, 0);
	while (!r && (r = search_next(&search)) > 0) {
		if (layer_ref(store, &search, search.header.offset, ret_name))
			break;
		r = 0;
	}
	search_end(&search);
	return MIN(r, 0);
}
