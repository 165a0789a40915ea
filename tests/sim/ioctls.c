/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "kernel.h"
#include "model.h"

#include <endian.h>
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Items that a tree can have here. */
#define ITEMS_MAX (3 * MODEL_ROOTS + 2 * MODEL_GROUPS + 1)
#define ITEM_BYTES_MAX 512
/* Of a subvolume's root item, which nobody looks into. */
#define ROOT_ITEM_BYTES 439

/* An item of a tree. */
struct item {
	uint64_t object, offset;
	uint32_t type;
	const struct model_root *root;
	const struct model_group *group;
	const struct model_inode *inode;
};

struct items {
	struct item all[ITEMS_MAX];
	unsigned count;
};

enum kernel_errors ioctls_errors(unsigned long request)
{
	switch (request) {
	case BTRFS_IOC_SUBVOL_CREATE:
	case BTRFS_IOC_SUBVOL_CREATE_V2:
	case BTRFS_IOC_SNAP_CREATE_V2:
	case BTRFS_IOC_QGROUP_LIMIT:
	case BTRFS_IOC_SUBVOL_SETFLAGS:
		return ERRORS_MAKE;
	case BTRFS_IOC_SNAP_DESTROY:
	case BTRFS_IOC_SNAP_DESTROY_V2:
		return ERRORS_REMOVE;
	case BTRFS_IOC_TREE_SEARCH_V2:
	case BTRFS_IOC_GET_SUBVOL_INFO:
		return ERRORS_LOOK;
	case FS_IOC_FIEMAP:
		return ERRORS_WRITE;
	default:
		return ERRORS_NONE;
	}
}

/* ---- sysfs ----------------------------------------------------------------------------------- */

int ioctls_sysfs(const char *name, char *text, size_t size)
{
	const struct model_group *group;
	unsigned long long id;
	char number[32];

	if (model.now.quota == MODEL_QUOTA_OFF)
		return -ENOENT;
	if (!strcmp(name, "qgroups/mode"))
		return snprintf(text, size, "%s\n",
				model.now.quota == MODEL_QUOTA_SIMPLE ? "squota" : "qgroup");
	if (!strcmp(name, "qgroups/enabled"))
		return snprintf(text, size, "1\n");
	if (!strcmp(name, "qgroups/inconsistent"))
		return snprintf(text, size, "0\n");
	if (sscanf(name, "qgroups/0_%llu/%31s", &id, number) != 2)
		sim_fail("unknown file of sysfs: %s", name);
	group = model_group(&model.now, id);
	if (!group)
		return -ENOENT;
	if (!strcmp(number, "max_referenced"))
		return snprintf(text, size, "%llu\n", (unsigned long long)group->limit);
	if (!strcmp(number, "limit_flags"))
		return snprintf(text, size, "%d\n", group->limit != 0);
	if (!strcmp(number, "referenced") || !strcmp(number, "exclusive"))
		return snprintf(text, size, "%d\n", model_root_by_id(&model.now, id) ? 16384 : 0);
	sim_fail("unknown file of sysfs: %s", name);
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* Add an item. */
static void items_add(struct items *items, uint64_t object, uint32_t type, uint64_t offset,
		      const struct model_root *root, const struct model_group *group)
{
	items->all[items->count++] = (struct item){ object, offset, type, root, group, NULL };
}

/* The inodes of the tree of the subvolume ID: false when there is none. */
static bool items_inodes(struct items *items, uint64_t id)
{
	const struct model_root *root = model_root_by_id(&model.now, id);

	for (unsigned i = 0; root && i < model.now.inodes_used; i++) {
		const struct model_inode *inode = &model.now.inodes[i];

		if (!inode->serial || &model.now.roots[inode->root] != root)
			continue;
		items_add(items, inode->ino, BTRFS_INODE_ITEM_KEY, 0, NULL, NULL);
		items->all[items->count - 1].inode = inode;
	}
	return root;
}

/* The items of the tree of roots. */
static void items_roots(struct items *items)
{
	for (unsigned i = 0; i < model.now.roots_used; i++) {
		const struct model_root *root = &model.now.roots[i];
		uint64_t above = model.now.roots[root->in_root].id;

		if (!root->id)
			continue;
		items_add(items, root->id, BTRFS_ROOT_ITEM_KEY,
			  root->parent_uuid ? root->otransid : 0, root, NULL);
		if (root->dead)
			items_add(items, BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, root->id,
				  root, NULL);
		else if (root->id != MODEL_TOP_ID) {
			items_add(items, root->id, BTRFS_ROOT_BACKREF_KEY, above, root, NULL);
			items_add(items, above, BTRFS_ROOT_REF_KEY, root->id, root, NULL);
		}
	}
}

/* The items of the tree of quotas. */
static void items_quota(struct items *items)
{
	items_add(items, 0, BTRFS_QGROUP_STATUS_KEY, 0, NULL, NULL);
	for (unsigned i = 0; i < model.now.groups_used; i++) {
		const struct model_group *group = &model.now.groups[i];

		if (!group->id)
			continue;
		items_add(items, 0, BTRFS_QGROUP_INFO_KEY, group->id, NULL, group);
		items_add(items, 0, BTRFS_QGROUP_LIMIT_KEY, group->id, NULL, group);
	}
}

/* The order of keys. */
static int items_compare(const struct item *a, uint64_t object, uint32_t type, uint64_t offset)
{
	if (a->object != object)
		return a->object < object ? -1 : 1;
	if (a->type != type)
		return a->type < type ? -1 : 1;
	return a->offset < offset ? -1 : a->offset > offset;
}

/* The next item behind LAST, NULL for the first one, that is at least KEY's minimum. */
static const struct item *items_next(const struct items *items, const struct item *last,
				     const struct btrfs_ioctl_search_key *key)
{
	const struct item *next = NULL;

	for (unsigned i = 0; i < items->count; i++) {
		const struct item *item = &items->all[i];

		if (items_compare(item, key->min_objectid, key->min_type, key->min_offset) < 0 ||
		    (last && items_compare(item, last->object, last->type, last->offset) <= 0))
			continue;
		if (!next || items_compare(item, next->object, next->type, next->offset) < 0)
			next = item;
	}
	return next;
}

/* Write the content of ITEM to BYTES; its size. */
static uint32_t items_content(const struct item *item, char bytes[ITEM_BYTES_MAX])
{
	struct btrfs_qgroup_status_item status = { .version = htole64(1) };
	struct btrfs_qgroup_limit_item limit = { 0 };
	struct btrfs_inode_item inode = { 0 };
	struct btrfs_root_ref ref = { 0 };
	const char *name;

	memset(bytes, 0, ITEM_BYTES_MAX);
	switch (item->type) {
	case BTRFS_INODE_ITEM_KEY:
		inode.generation = htole64(item->inode->generation);
		memcpy(bytes, &inode, sizeof(inode));
		return sizeof(inode);
	case BTRFS_ROOT_ITEM_KEY:
		return ROOT_ITEM_BYTES;
	case BTRFS_ROOT_REF_KEY:
	case BTRFS_ROOT_BACKREF_KEY:
		name = model_name(item->root->top);
		ref.dirid = htole64(model_inode(item->root->in_dir)->ino);
		ref.name_len = htole16((uint16_t)strlen(name));
		memcpy(bytes, &ref, sizeof(ref));
		memcpy(bytes + sizeof(ref), name, strlen(name));
		return (uint32_t)(sizeof(ref) + strlen(name));
	case BTRFS_QGROUP_STATUS_KEY:
		status.flags = htole64(
			BTRFS_QGROUP_STATUS_FLAG_ON |
			(model.now.quota == MODEL_QUOTA_SIMPLE ? ABI_QGROUP_STATUS_SIMPLE : 0));
		memcpy(bytes, &status, sizeof(status));
		return sizeof(status);
	case BTRFS_QGROUP_INFO_KEY:
		return sizeof(struct btrfs_qgroup_info_item);
	case BTRFS_QGROUP_LIMIT_KEY:
		limit.flags = htole64(item->group->limit_in_tree ? BTRFS_QGROUP_LIMIT_MAX_RFER : 0);
		limit.max_rfer = htole64(item->group->limit_in_tree);
		memcpy(bytes, &limit, sizeof(limit));
		return sizeof(limit);
	default:
		return 0;
	}
}

/* BTRFS_IOC_TREE_SEARCH_V2. */
static long ioctls_search(struct btrfs_ioctl_search_args_v2 *args)
{
	struct btrfs_ioctl_search_key *key = &args->key;
	const struct item *item = NULL;
	char bytes[ITEM_BYTES_MAX], *to = (char *)args->buf;
	struct items items;
	uint32_t found = 0;
	size_t used = 0;

	items.count = 0;
	if (key->tree_id == BTRFS_ROOT_TREE_OBJECTID)
		items_roots(&items);
	else if (key->tree_id != BTRFS_QUOTA_TREE_OBJECTID) {
		if (!items_inodes(&items, key->tree_id))
			return -ENOENT;
	} else if (model.now.quota == MODEL_QUOTA_OFF)
		return -ENOENT;
	else
		items_quota(&items);
	while (found < key->nr_items && (item = items_next(&items, item, key)) &&
	       items_compare(item, key->max_objectid, key->max_type, key->max_offset) <= 0) {
		struct btrfs_ioctl_search_header header = { .objectid = item->object,
							    .type = item->type,
							    .offset = item->offset,
							    .len = items_content(item, bytes),
							    .transid = model.now.transid };

		if (used + sizeof(header) + header.len > args->buf_size)
			break;
		memcpy(to + used, &header, sizeof(header));
		memcpy(to + used + sizeof(header), bytes, header.len);
		used += sizeof(header) + header.len;
		found++;
	}
	key->nr_items = found;
	return 0;
}

/* ---- subvolumes ------------------------------------------------------------------------------ */

/* The limit that ARGS ask for. */
static uint64_t ioctls_limit(const struct btrfs_ioctl_vol_args_v2 *args)
{
	const struct btrfs_qgroup_inherit *inherit = args->qgroup_inherit;

	if (!(args->flags & BTRFS_SUBVOL_QGROUP_INHERIT))
		return 0;
	if (inherit->num_qgroups)
		sim_fail("unknown call: a subvolume that joins groups");
	return inherit->flags & BTRFS_QGROUP_INHERIT_SET_LIMITS ? inherit->lim.max_rfer : 0;
}

/* BTRFS_IOC_SNAP_CREATE_V2 in DIR. */
static long ioctls_snapshot(int dir, const struct btrfs_ioctl_vol_args_v2 *args)
{
	int source = kernel_inode((int)args->fd, false);

	sim_trace("snapshot %s", args->name);
	if (source < 0)
		return source;
	return model_snapshot(source, dir, args->name, args->flags & BTRFS_SUBVOL_RDONLY,
			      ioctls_limit(args));
}

/* BTRFS_IOC_GET_SUBVOL_INFO of SLOT. */
static long ioctls_info(int slot, struct btrfs_ioctl_get_subvol_info_args *args)
{
	const struct model_root *root = model_root_of(slot);

	if (root->dead)
		return -ENOENT;
	memset(args, 0, sizeof(*args));
	args->treeid = root->id;
	args->generation = root->generation;
	args->ctransid = root->ctransid;
	args->otransid = root->otransid;
	args->flags = root->read_only ? BTRFS_ROOT_SUBVOL_RDONLY : 0;
	memcpy(args->uuid, &root->id, sizeof(root->id));
	memcpy(args->parent_uuid, &root->parent_uuid, sizeof(root->parent_uuid));
	if (root->id == MODEL_TOP_ID)
		return 0;
	args->parent_id = model.now.roots[root->in_root].id;
	args->dirid = model_inode(root->in_dir)->ino;
	snprintf(args->name, sizeof(args->name), "%s", model_name(root->top));
	return 0;
}

/* BTRFS_IOC_SUBVOL_GETFLAGS, and SETFLAGS with SET. */
static long ioctls_flags(int slot, uint64_t *flags, bool set)
{
	if (!model_is_subvolume(slot))
		return -EINVAL;
	if (set)
		return model_set_read_only(slot, *flags & BTRFS_SUBVOL_RDONLY);
	*flags = model_root_of(slot)->read_only ? BTRFS_SUBVOL_RDONLY : 0;
	return 0;
}

/* BTRFS_IOC_QGROUP_LIMIT. */
static long ioctls_group_limit(const struct btrfs_ioctl_qgroup_limit_args *args)
{
	uint64_t limit = args->lim.max_rfer;

	return model_group_limit(args->qgroupid, limit == UINT64_MAX ? 0 : limit);
}

/* ---- the file system ------------------------------------------------------------------------- */

/* BTRFS_IOC_FS_INFO. */
static long ioctls_fs_info(struct btrfs_ioctl_fs_info_args *args)
{
	uint64_t wanted = args->flags;

	memset(args, 0, sizeof(*args));
	memcpy(args->fsid, "varve-sim model!", sizeof(args->fsid));
	args->nodesize = 16384;
	args->sectorsize = args->clone_alignment = 4096;
	args->num_devices = args->max_id = 1;
	if (wanted & BTRFS_FS_INFO_FLAG_GENERATION) {
		args->flags = BTRFS_FS_INFO_FLAG_GENERATION;
		args->generation = model.disk.transid;
	}
	return 0;
}

/* ABI_SUBVOL_SYNC_WAIT. */
static long ioctls_sync_wait(struct abi_subvol_wait *args)
{
	if (args->mode != ABI_SUBVOL_SYNC_COUNT)
		sim_fail("unknown call: a wait for dropped subvolumes");
	args->count = model_dead_count();
	return 0;
}

/* A task of the kernel's: commit. */
static void *ioctls_commit(void *data)
{
	sim_call_begin();
	model_commit();
	sim_call_end();
	return NULL;
}

/* BTRFS_IOC_START_SYNC: begin to commit the running transaction, and do not wait for it. */
static long ioctls_start_sync(uint64_t *ret_transid)
{
	struct task *task = task_start(sim.current->process, "kernel", ioctls_commit, NULL);

	if (ret_transid)
		*ret_transid = model.now.transid;
	if (!task)
		return -ENOMEM;
	task->detached = true;
	return 0;
}

/* Flags of the inode SLOT. */
static long ioctls_inode_flags(int slot, unsigned *flags, bool set)
{
	int r = set ? model_touch(slot) : 0;

	if (r)
		return r;
	if (set)
		model_inode(slot)->flags = *flags;
	else
		*flags = model_inode(slot)->flags;
	return 0;
}

/* FS_IOC_FIEMAP of SLOT: a file is one extent, or two where a part of it is buffered. */
static long ioctls_fiemap(int slot, struct fiemap *map)
{
	const struct model_inode *inode = model_inode(slot);

	if (map->fm_flags & FIEMAP_FLAG_SYNC)
		model_write_out(slot);
	if (inode->lost)
		return -EIO;
	map->fm_mapped_extents = !!inode->disk_size + (inode->size > inode->disk_size);
	if (map->fm_mapped_extents && map->fm_extent_count)
		map->fm_extents[0] = (struct fiemap_extent){
			.fe_length = inode->disk_size ? inode->disk_size : inode->size,
			.fe_flags = inode->disk_size ? 0 : FIEMAP_EXTENT_DELALLOC
		};
	if (map->fm_extent_count)
		map->fm_mapped_extents = MIN(map->fm_mapped_extents, 1);
	return 0;
}

/* What is asked of a directory in which something is made or destroyed; -ENOTTY: nothing. */
static long ioctls_in_directory(int slot, unsigned long request, void *argument)
{
	const struct btrfs_ioctl_vol_args_v2 *v2 = argument;
	const struct btrfs_ioctl_vol_args *v1 = argument;

	switch (request) {
	case BTRFS_IOC_SUBVOL_CREATE:
		return model_subvol_create(slot, v1->name, 0);
	case BTRFS_IOC_SUBVOL_CREATE_V2:
		return model_subvol_create(slot, v2->name, ioctls_limit(v2));
	case BTRFS_IOC_SNAP_CREATE_V2:
		return ioctls_snapshot(slot, v2);
	case BTRFS_IOC_SNAP_DESTROY:
		sim_trace("destroy %s", v1->name);
		return model_subvol_destroy(slot, v1->name);
	case BTRFS_IOC_SNAP_DESTROY_V2:
		return v2->flags & BTRFS_SUBVOL_SPEC_BY_ID ? model_subvol_destroy_id(v2->subvolid)
							   : model_subvol_destroy(slot, v2->name);
	default:
		return -ENOTTY;
	}
}

/* What is asked of quota; -ENOTTY: nothing. */
static long ioctls_quota(unsigned long request, void *argument)
{
	const struct btrfs_ioctl_qgroup_create_args *create = argument;
	const struct btrfs_ioctl_quota_ctl_args *control = argument;

	switch (request) {
	case BTRFS_IOC_QUOTA_CTL:
		return model_quota_control((unsigned)control->cmd);
	case BTRFS_IOC_QGROUP_LIMIT:
		return ioctls_group_limit(argument);
	case BTRFS_IOC_QGROUP_CREATE:
		if (create->create || create->qgroupid >> 48)
			sim_fail("unknown call: a quota group of a higher level");
		return model_group_destroy(create->qgroupid);
	default:
		return -ENOTTY;
	}
}

/* The subvolume with the lowest id, ID or above, that lies in that of SLOT; NULL: none. */
static const struct model_root *ioctls_next_ref(int slot, uint64_t id)
{
	const struct model_root *next = NULL;

	for (unsigned i = 0; i < model.now.roots_used; i++) {
		const struct model_root *root = &model.now.roots[i];

		if (root->id >= MAX(id, MODEL_TOP_ID + 1) && !root->dead &&
		    root->in_root == model_inode(slot)->root && (!next || root->id < next->id))
			next = root;
	}
	return next;
}

/* BTRFS_IOC_GET_SUBVOL_ROOTREF: the subvolumes that lie in that of SLOT. */
static long ioctls_refs(int slot, struct btrfs_ioctl_get_subvol_rootref_args *args)
{
	const struct model_root *root = ioctls_next_ref(slot, args->min_treeid);

	for (args->num_items = 0; root; root = ioctls_next_ref(slot, root->id + 1)) {
		if (args->num_items == sizeof(args->rootref) / sizeof(*args->rootref))
			return -EOVERFLOW;
		args->rootref[args->num_items].treeid = root->id;
		args->rootref[args->num_items++].dirid = model_inode(root->in_dir)->ino;
	}
	return 0;
}

/* BTRFS_IOC_INO_LOOKUP_USER: where a subvolume lies in that of SLOT. */
static long ioctls_lookup_user(int slot, struct btrfs_ioctl_ino_lookup_user_args *args)
{
	const struct model_root *root = model_root_by_id(&model.now, args->treeid);
	char path[sizeof(args->path)] = "", longer[2 * sizeof(path)];

	if (!root || root->dead || root->in_root != model_inode(slot)->root ||
	    model_inode(root->in_dir)->ino != args->dirid)
		return -ENOENT;
	for (int dir = root->in_dir; !model_is_subvolume(dir); dir = model_inode(dir)->parent) {
		snprintf(longer, sizeof(longer), "%s/%s", model_name(dir), path);
		if (strlen(longer) >= sizeof(path))
			return -ENAMETOOLONG;
		strcpy(path, longer);
	}
	snprintf(args->name, sizeof(args->name), "%s", model_name(root->top));
	strcpy(args->path, path);
	return 0;
}

/* May a user, who owns all that there is, make REQUEST in the directory SLOT? 0 or -errno. */
static long ioctls_allowed(int slot, unsigned long request, const void *argument)
{
	const struct btrfs_ioctl_vol_args *v1 = argument;
	int top;

	switch (request) {
	case BTRFS_IOC_TREE_SEARCH_V2:
	case BTRFS_IOC_QUOTA_CTL:
	case BTRFS_IOC_QGROUP_LIMIT:
	case BTRFS_IOC_QGROUP_CREATE:
	case BTRFS_IOC_SNAP_DESTROY_V2:
		return -EPERM;
	case BTRFS_IOC_SNAP_DESTROY:
		top = model_lookup(slot, v1->name);
		if (top < 0)
			return 0;
		if (!kernel.users_destroy)
			return -EPERM;
		if (model_inode(top)->root == model_inode(slot)->root)
			return -EINVAL;
		return model_root_of(top)->read_only ? -EROFS : 0;
	default:
		return 0;
	}
}

long ioctls_run(int fd, unsigned long request, void *argument)
{
	struct btrfs_ioctl_ino_lookup_args *lookup = argument;
	int slot = kernel_inode(fd, false);
	long r;

	if (slot < 0)
		return slot;
	if (sim.current->process->uid && (r = ioctls_allowed(slot, request, argument)))
		return r;
	/* No inode of btrfs, but one that the kernel makes up. */
	if (model_inode(slot)->ino == MODEL_STAND_IN_INO)
		return -ENOTTY;
	r = ioctls_in_directory(slot, request, argument);
	if (r == -ENOTTY)
		r = ioctls_quota(request, argument);
	if (r != -ENOTTY)
		return r;
	switch (request) {
	case BTRFS_IOC_INO_LOOKUP:
		if (lookup->treeid || lookup->objectid != BTRFS_FIRST_FREE_OBJECTID)
			sim_fail("unknown call: a look for an inode's path");
		lookup->treeid = model_root_of(slot)->id;
		*lookup->name = '\0';
		return 0;
	case BTRFS_IOC_GET_SUBVOL_INFO:
		return ioctls_info(slot, argument);
	case BTRFS_IOC_GET_SUBVOL_ROOTREF:
		return ioctls_refs(slot, argument);
	case BTRFS_IOC_INO_LOOKUP_USER:
		return ioctls_lookup_user(slot, argument);
	case BTRFS_IOC_SUBVOL_GETFLAGS:
	case BTRFS_IOC_SUBVOL_SETFLAGS:
		return ioctls_flags(slot, argument, request == BTRFS_IOC_SUBVOL_SETFLAGS);
	case BTRFS_IOC_SYNC:
		return model_flush();
	case BTRFS_IOC_START_SYNC:
		return ioctls_start_sync(argument);
	case BTRFS_IOC_FS_INFO:
		return ioctls_fs_info(argument);
	case BTRFS_IOC_TREE_SEARCH_V2:
		return ioctls_search(argument);
	case ABI_SUBVOL_SYNC_WAIT:
		return ioctls_sync_wait(argument);
	case FS_IOC_FIEMAP:
		return ioctls_fiemap(slot, argument);
	case FS_IOC_GETFLAGS:
	case FS_IOC_SETFLAGS:
		return ioctls_inode_flags(slot, argument, request == FS_IOC_SETFLAGS);
	default:
		sim_fail("unknown call: ioctl %#lx", request);
	}
}
