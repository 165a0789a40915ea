/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"
#include "engine/base/util.h"
#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct model model;

/* Of 256 calls, those behind which data is written out, a subvolume dropped, a commit made. */
#define MODEL_WRITE_OUT_CHANCE 4
#define MODEL_DROP_CHANCE 4

static struct model_image *const now = &model.now;

/* ---- tables ---------------------------------------------------------------------------------- */

struct model_inode *model_inode(int slot)
{
	return &now->inodes[slot];
}

struct model_root *model_root_of(int slot)
{
	return &now->roots[now->inodes[slot].root];
}

bool model_is_subvolume(int slot)
{
	return now->inodes[slot].ino == MODEL_ROOT_INO;
}

/* A free place for an inode. */
static int model_new_inode(uint16_t root, uint32_t mode)
{
	uint32_t uid = sim.current ? sim.current->process->uid : 0;

	for (int i = 0; i < MODEL_INODES; i++) {
		struct model_inode *inode = &now->inodes[i];

		if (inode->serial || model.opens[i])
			continue;
		*inode = (struct model_inode){ .serial = ++now->next_serial,
					       .root = root,
					       .mode = mode,
					       .uid = uid,
					       .gid = uid,
					       .ino = now->roots[root].next_ino++,
					       .generation = now->transid,
					       .transid = now->transid,
					       .first = MODEL_NONE,
					       .parent = MODEL_NONE,
					       .next_index = 2 };
		now->inodes_used = MAX(now->inodes_used, i + 1);
		return i;
	}
	sim_fail("the model has no place for an inode");
}

/* Free INODE where it has no names and nobody has it open. */
static void model_put_inode(int slot)
{
	if (!now->inodes[slot].links && !model.opens[slot])
		now->inodes[slot].serial = 0;
}

/* The inode SLOT is changed in the running transaction, and so is its subvolume. */
static void model_move_on(int slot)
{
	now->inodes[slot].transid = now->transid;
	model_root_of(slot)->ctransid = now->transid;
}

/* Append the entry NAME for INODE to DIR. */
static void model_add_entry(int dir, const char *name, int inode)
{
	for (int i = 0; i < MODEL_ENTRIES; i++) {
		struct model_entry *entry = &now->entries[i];

		if (*entry->name)
			continue;
		entry->next = now->inodes[dir].first;
		entry->inode = (uint16_t)inode;
		entry->index = now->inodes[dir].next_index++;
		strcpy(entry->name, name);
		now->inodes[dir].first = (uint16_t)i;
		model_move_on(dir);
		now->inodes[inode].transid = now->transid;
		now->entries_used = MAX(now->entries_used, i + 1);
		return;
	}
	sim_fail("the model has no place for an entry");
}

/* Remove the entry NAME from DIR. */
static void model_remove_entry(int dir, const char *name)
{
	uint16_t *link = &now->inodes[dir].first;

	while (strcmp(now->entries[*link].name, name))
		link = &now->entries[*link].next;
	*now->entries[*link].name = '\0';
	*link = now->entries[*link].next;
	model_move_on(dir);
}

/* ---- looking --------------------------------------------------------------------------------- */

const struct model_entry *model_find(const struct model_image *image, int dir, const char *name)
{
	for (uint16_t i = image->inodes[dir].first; i != MODEL_NONE; i = image->entries[i].next)
		if (!strcmp(image->entries[i].name, name))
			return &image->entries[i];
	return NULL;
}

int model_lookup(int dir, const char *name)
{
	const struct model_entry *entry;

	if (!S_ISDIR(now->inodes[dir].mode))
		return -ENOTDIR;
	if (!strcmp(name, "."))
		return dir;
	if (!strcmp(name, ".."))
		return now->inodes[dir].parent == MODEL_NONE ? dir : now->inodes[dir].parent;
	if (strlen(name) > 255)
		return -ENAMETOOLONG;
	entry = model_find(now, dir, name);
	return entry ? entry->inode : -ENOENT;
}

const struct model_entry *model_next_entry(int dir, uint32_t index)
{
	const struct model_entry *next = NULL;

	for (uint16_t i = now->inodes[dir].first; i != MODEL_NONE; i = now->entries[i].next)
		if (now->entries[i].index >= index &&
		    (!next || now->entries[i].index < next->index))
			next = &now->entries[i];
	return next;
}

struct model_root *model_root_by_id(struct model_image *image, uint64_t id)
{
	for (unsigned i = 0; i < image->roots_used; i++)
		if (image->roots[i].id == id && id)
			return &image->roots[i];
	return NULL;
}

struct model_group *model_group(struct model_image *image, uint64_t id)
{
	for (unsigned i = 0; i < image->groups_used; i++)
		if (image->groups[i].id == id && id)
			return &image->groups[i];
	return NULL;
}

uint64_t model_dir_size(int dir)
{
	uint64_t size = 0;

	for (uint16_t i = now->inodes[dir].first; i != MODEL_NONE; i = now->entries[i].next)
		size += 2 * strlen(now->entries[i].name);
	return size;
}

const char *model_name(int slot)
{
	int dir = now->inodes[slot].parent;

	for (uint16_t i = now->inodes[dir].first; i != MODEL_NONE; i = now->entries[i].next)
		if (now->entries[i].inode == slot)
			return now->entries[i].name;
	return "?";
}

size_t model_path(int slot, char *path, size_t size)
{
	size_t length;

	if (now->inodes[slot].parent == MODEL_NONE)
		return (size_t)snprintf(path, size, "/");
	length = model_path(now->inodes[slot].parent, path, size);
	if (length == 1)
		length = 0;
	return length + (size_t)snprintf(path + length, size - length, "/%s", model_name(slot));
}

unsigned model_dead_count(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < now->roots_used; i++)
		count += now->roots[i].id && now->roots[i].dead;
	return count;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Names or limits have changed. */
static void model_changed(void)
{
	if (model.changed)
		model.changed();
}

/* Wait for the lock of the directory DIR, which a snapshot holds until it is made. */
static void model_lock(int dir)
{
	while (model.locks[dir])
		task_block(&model.locks[dir], SIM_FOREVER);
	model.locks[dir] = sim.current;
}

static void model_unlock(int dir)
{
	model.locks[dir] = NULL;
	task_wake(&model.locks[dir], true);
}

/* Wait until nobody holds the lock of DIR; what follows is made in one go. */
static void model_pass(int dir)
{
	model_lock(dir);
	model_unlock(dir);
}

/* May something be changed in DIR, which has to be there still? */
static int model_writable(int dir)
{
	const struct model_root *root = model_root_of(dir);

	if (model.aborted)
		return -EROFS;
	if (root->dead || !now->inodes[dir].links)
		return -ENOENT;
	if (root->read_only)
		return -EROFS;
	return now->inodes[dir].flags ? -EPERM : 0;
}

/* Look whether NAME may be made in DIR: 0 or -errno. */
static int model_may_make(int dir, const char *name)
{
	int r;

	if (strlen(name) >= MODEL_NAME_BYTES)
		sim_fail("the model has no place for the name %s", name);
	if (!S_ISDIR(now->inodes[dir].mode))
		return -ENOTDIR;
	if (model_find(now, dir, name) || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EEXIST;
	r = model_writable(dir);
	return r;
}

int model_make(int dir, const char *name, uint32_t mode)
{
	int r, inode;

	model_pass(dir);
	r = model_may_make(dir, name);
	if (r)
		return r;
	inode = model_new_inode(now->inodes[dir].root, mode);
	now->inodes[inode].links = 1;
	if (S_ISDIR(mode))
		now->inodes[inode].parent = (uint16_t)dir;
	model_add_entry(dir, name, inode);
	model_changed();
	return inode;
}

int model_make_unnamed(int dir, uint32_t mode)
{
	int r = model_writable(dir);

	return r ? r : model_new_inode(now->inodes[dir].root, mode);
}

int model_link(int inode, int dir, const char *name)
{
	int r;

	model_pass(dir);
	r = model_may_make(dir, name);
	if (r)
		return r;
	if (S_ISDIR(now->inodes[inode].mode))
		return -EPERM;
	if (now->inodes[inode].root != now->inodes[dir].root)
		return -EXDEV;
	if (!now->inodes[inode].links)
		return -ENOENT;
	now->inodes[inode].links++;
	model_add_entry(dir, name, inode);
	model_changed();
	return 0;
}

/* Has the subvolume ROOT others in it? */
static bool model_has_nested(uint16_t root)
{
	for (unsigned i = 0; i < now->roots_used; i++)
		if (now->roots[i].id && !now->roots[i].dead && now->roots[i].in_root == root &&
		    i != root)
			return true;
	return false;
}

int model_unlink(int dir, const char *name, bool directory)
{
	const struct model_entry *entry;
	int inode, r;

	model_pass(dir);
	if (!S_ISDIR(now->inodes[dir].mode))
		return -ENOTDIR;
	if (!strcmp(name, "."))
		return directory ? -EINVAL : -EISDIR;
	entry = model_find(now, dir, name);
	if (!entry)
		return -ENOENT;
	inode = entry->inode;
	r = model_writable(dir);
	if (r)
		return r;
	if (S_ISDIR(now->inodes[inode].mode) != directory)
		return directory ? -ENOTDIR : -EISDIR;
	if (directory && now->inodes[inode].first != MODEL_NONE)
		return -ENOTEMPTY;
	if (directory && model_is_subvolume(inode))
		return model_subvol_destroy(dir, name);
	model_remove_entry(dir, name);
	now->inodes[dir].unlink_transid = now->transid;
	now->inodes[inode].links--;
	now->inodes[inode].transid = now->transid;
	model_put_inode(inode);
	model_changed();
	return 0;
}

/* Is the directory ABOVE the same as SLOT, or above it? */
static bool model_above(int above, int slot)
{
	for (;; slot = now->inodes[slot].parent) {
		if (slot == above)
			return true;
		if (now->inodes[slot].parent == MODEL_NONE)
			return false;
	}
}

/* INODE is NAME in DIR from now on. */
static void model_moved(int inode, int dir, const char *name)
{
	model_add_entry(dir, name, inode);
	if (!S_ISDIR(now->inodes[inode].mode))
		return;
	now->inodes[inode].parent = (uint16_t)dir;
	if (model_is_subvolume(inode)) {
		model_root_of(inode)->in_root = now->inodes[dir].root;
		model_root_of(inode)->in_dir = (uint16_t)dir;
		/* The kernel forgets what the log tree could keep (btrfs_set_log_full_commit). */
		model.full_commit_transid = now->transid;
	}
}

/* May the name of INODE, in FROM, be in TO, in the place of OLD (negative: of nothing)? */
static int model_may_move(int inode, int from, int to, int old)
{
	bool directory = S_ISDIR(now->inodes[inode].mode), subvolume = model_is_subvolume(inode);

	if (now->inodes[inode].flags)
		return -EPERM;
	if (old >= 0 && directory != S_ISDIR(now->inodes[old].mode))
		return directory ? -ENOTDIR : -EISDIR;
	/* The directory ".." of it would change. */
	if (subvolume && from != to && model_root_of(inode)->read_only)
		return -EROFS;
	if (!subvolume && now->inodes[inode].root != now->inodes[to].root)
		return -EXDEV;
	if (now->inodes[inode].ino == MODEL_STAND_IN_INO || (old >= 0 && model_is_subvolume(old)))
		return -ENOTEMPTY;
	return old >= 0 && directory && now->inodes[old].first != MODEL_NONE ? -ENOTEMPTY : 0;
}

/* May INODE and OLD change places? Between subvolumes only subvolumes may. */
static int model_may_exchange(int inode, int from, int to, int old)
{
	if (now->inodes[inode].flags || now->inodes[old].flags)
		return -EPERM;
	if (from != to && ((model_is_subvolume(inode) && model_root_of(inode)->read_only) ||
			   (model_is_subvolume(old) && model_root_of(old)->read_only)))
		return -EROFS;
	return now->inodes[from].root != now->inodes[to].root &&
			       !(model_is_subvolume(inode) && model_is_subvolume(old))
		       ? -EXDEV
		       : 0;
}

int model_rename(int from, const char *name, int to, const char *new_name, unsigned flags)
{
	int inode, old, r;

	/* Both are free at once, or it begins anew. */
	do {
		model_pass(from);
		model_pass(to);
	} while (model.locks[from]);
	inode = model_lookup(from, name);
	if (inode < 0)
		return inode;
	old = model_lookup(to, new_name);
	if (old >= 0 && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (old < 0 && flags & RENAME_EXCHANGE)
		return old;
	if (model_above(inode, to))
		return -EINVAL;
	if (old >= 0 && model_above(old, from))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (old == inode)
		return 0;
	r = model_writable(from);
	if (!r)
		r = model_writable(to);
	if (!r)
		r = flags & RENAME_EXCHANGE ? model_may_exchange(inode, from, to, old)
					    : model_may_move(inode, from, to, old);
	if (r)
		return r;
	model_remove_entry(from, name);
	now->inodes[from].unlink_transid = now->transid;
	if (old >= 0) {
		model_remove_entry(to, new_name);
		now->inodes[to].unlink_transid = now->transid;
	}
	model_moved(inode, to, new_name);
	if (flags & RENAME_EXCHANGE)
		model_moved(old, from, name);
	else if (old >= 0) {
		now->inodes[old].links--;
		model_put_inode(old);
	}
	model_changed();
	return 0;
}

ssize_t model_write(int slot, const void *data, size_t size, uint64_t offset)
{
	struct model_inode *inode = &now->inodes[slot];

	inode->dirty = true;
	if (offset + size > inode->size)
		inode->size = offset + size;
	if (offset < MODEL_DATA_BYTES)
		memcpy(inode->data + offset, data, MIN(size, MODEL_DATA_BYTES - (size_t)offset));
	return (ssize_t)size;
}

/* The bit of the current process in `stored_by`. */
static uint8_t model_store_bit(void)
{
	return (uint8_t)(1u << (sim.current->process->number - 1));
}

bool model_may_store(int slot)
{
	return !model.aborted &&
	       (now->inodes[slot].stored_by & model_store_bit() || !model_root_of(slot)->read_only);
}

void model_store(int slot, const void *data, size_t size, uint64_t offset)
{
	struct model_inode *inode = &now->inodes[slot];

	if (!model_may_store(slot))
		sim_fail("a store to a mapped page is a SIGBUS");
	if (!(inode->stored_by & model_store_bit()))
		model_move_on(slot);
	inode->stored_by |= model_store_bit();
	inode->dirty = true;
	memcpy(inode->data + offset, data, size);
}

int model_truncate(int slot, uint64_t size)
{
	struct model_inode *inode = &now->inodes[slot];

	if (model_root_of(slot)->read_only)
		return -EROFS;
	inode->size = size;
	inode->disk_size = MIN(inode->disk_size, size);
	inode->dirty |= size > inode->disk_size;
	inode->lost &= size != 0;
	if (size < MODEL_DATA_BYTES) {
		memset(inode->data + size, 0, MODEL_DATA_BYTES - size);
		memset(inode->tree + size, 0, MODEL_DATA_BYTES - size);
	}
	model_move_on(slot);
	return 0;
}

int model_touch(int slot)
{
	if (model.aborted || model_root_of(slot)->read_only)
		return -EROFS;
	model_move_on(slot);
	return 0;
}

void model_open(int slot)
{
	model.opens[slot]++;
}

void model_close(int slot)
{
	model.opens[slot]--;
	model_put_inode(slot);
}

/* ---- quota groups ---------------------------------------------------------------------------- */

/* A group for the new subvolume ID. */
static void model_add_group(uint64_t id, uint64_t limit)
{
	for (int i = 0; now->quota != MODEL_QUOTA_OFF && i < MODEL_GROUPS; i++) {
		if (now->groups[i].id)
			continue;
		now->groups[i] = (struct model_group){ .id = id, .limit = limit };
		now->groups_used = MAX(now->groups_used, i + 1);
		return;
	}
	if (now->quota != MODEL_QUOTA_OFF)
		sim_fail("the model has no place for a quota group");
}

int model_quota_control(unsigned command)
{
	bool simple = command == 4;

	if (command == 2) {
		if (now->quota == MODEL_QUOTA_OFF)
			return 0;
		now->quota = MODEL_QUOTA_OFF;
		memset(now->groups, 0, sizeof(now->groups));
	} else if (command == 1 || simple) {
		/* On is on, whatever the mode. */
		if (now->quota != MODEL_QUOTA_OFF)
			return 0;
		now->quota = simple ? MODEL_QUOTA_SIMPLE : MODEL_QUOTA_FULL;
		for (unsigned i = 0; i < now->roots_used; i++)
			if (now->roots[i].id)
				model_add_group(now->roots[i].id, 0);
	} else
		return -EINVAL;
	return model_commit();
}

int model_group_limit(uint64_t id, uint64_t limit)
{
	struct model_group *group = model_group(now, id);

	if (model.aborted)
		return -EROFS;
	if (now->quota == MODEL_QUOTA_OFF)
		return -ENOTCONN;
	if (!group)
		return -ENOENT;
	group->limit = group->limit_in_tree = limit;
	model_changed();
	return 0;
}

int model_group_destroy(uint64_t id)
{
	struct model_group *group = model_group(now, id);

	if (now->quota == MODEL_QUOTA_OFF)
		return -ENOTCONN;
	if (!group)
		return -ENOENT;
	if (model_root_by_id(now, id))
		return -EBUSY;
	*group = (struct model_group){ 0 };
	return 0;
}

/* ---- subvolumes ------------------------------------------------------------------------------ */

/* A new subvolume NAME in DIR, without its root directory. */
static int model_new_root(int dir, bool read_only)
{
	for (int i = 0; i < MODEL_ROOTS; i++) {
		if (now->roots[i].id)
			continue;
		now->roots[i] = (struct model_root){ .id = now->next_id++,
						     .generation = now->transid,
						     .otransid = now->transid,
						     .ctransid = now->transid,
						     .next_ino = MODEL_ROOT_INO,
						     .in_root = now->inodes[dir].root,
						     .in_dir = (uint16_t)dir,
						     .read_only = read_only };
		now->roots_used = MAX(now->roots_used, i + 1);
		return i;
	}
	sim_fail("the model has no place for a subvolume");
}

/* Put the root directory TOP of ROOT into its place. */
static void model_place_root(int root, int top, int dir, const char *name)
{
	now->roots[root].top = (uint16_t)top;
	now->inodes[top].links = 1;
	now->inodes[top].parent = (uint16_t)dir;
	model_add_entry(dir, name, top);
	now->inodes[dir].unlink_transid = now->transid;
}

int model_subvol_create(int dir, const char *name, uint64_t limit)
{
	int r, root;

	model_pass(dir);
	r = model_may_make(dir, name);
	if (r)
		return r;
	root = model_new_root(dir, false);
	model_add_group(now->roots[root].id, limit);
	model_place_root(root, model_new_inode((uint16_t)root, S_IFDIR | 0755), dir, name);
	model_changed();
	return 0;
}

/* Leave of INODE what is in the tree. */
static void model_cut_file(struct model_inode *inode)
{
	inode->dirty = inode->lost = false;
	inode->stored_by = 0;
	inode->size = MIN(inode->size, inode->disk_size);
	memcpy(inode->data, inode->tree, sizeof(inode->data));
}

/* Copy the directory FROM, with all that is in it, into the empty directory TO of ROOT. */
static void model_copy_dir(int from, int to, uint16_t root)
{
	for (const struct model_entry *entry = model_next_entry(from, 0); entry;
	     entry = model_next_entry(from, entry->index + 1)) {
		const struct model_inode *source = &now->inodes[entry->inode];
		int copy = model_new_inode(root, source->mode);
		struct model_inode *made = &now->inodes[copy];
		uint32_t serial = made->serial;

		if (model_is_subvolume(entry->inode)) {
			made->ino = MODEL_STAND_IN_INO;
			made->mode = S_IFDIR | 0755;
		} else {
			*made = *source;
			model_cut_file(made);
			made->serial = serial;
			made->root = root;
			made->first = MODEL_NONE;
		}
		made->links = 1;
		if (S_ISDIR(made->mode))
			made->parent = (uint16_t)to;
		model_add_entry(to, entry->name, copy);
		if (S_ISDIR(made->mode) && made->ino != MODEL_STAND_IN_INO)
			model_copy_dir(entry->inode, copy, root);
	}
}

/* Make a snapshot, in the commit. */
static void model_make_pending(struct model_pending *pending)
{
	const struct model_root *source = model_root_of(pending->source);
	const struct model_group *group = model_group(now, source->id);
	int root, top;

	root = model_new_root(pending->dir, pending->read_only);
	now->roots[root].parent_uuid = source->id;
	/* In full mode the limit of the source replaces what was asked for. */
	model_add_group(now->roots[root].id,
			now->quota == MODEL_QUOTA_FULL && group ? group->limit : pending->limit);
	top = model_new_inode((uint16_t)root, now->inodes[source->top].mode);
	now->inodes[top].uid = now->inodes[source->top].uid;
	now->inodes[top].gid = now->inodes[source->top].gid;
	now->inodes[top].flags = now->inodes[source->top].flags;
	/* First the copy: a snapshot in its source is not in itself. */
	model_copy_dir(source->top, top, (uint16_t)root);
	model_place_root(root, top, pending->dir, pending->name);
	now->roots[root].next_ino = MAX(now->roots[root].next_ino, source->next_ino);
	now->roots[pending->source].generation = now->transid;
}

int model_snapshot(int source, int dir, const char *name, bool read_only, uint64_t limit)
{
	struct model_pending pending = { .source = (uint16_t)source,
					 .dir = (uint16_t)dir,
					 .name = name,
					 .read_only = read_only,
					 .limit = limit };
	int r;

	if (!model_is_subvolume(source))
		return -EINVAL;
	/* The source is written out before the name is looked up, without the lock. */
	for (unsigned i = 0; i < now->inodes_used; i++)
		if (now->inodes[i].serial && now->inodes[i].root == now->inodes[source].root)
			model_write_out((int)i);
	sim_point();
	model_lock(dir);
	r = model_may_make(dir, name);
	if (!r && model_root_of(source)->dead)
		r = -ENOENT;
	if (!r) {
		model.makers++;
		model.pending[model.pending_count++] = &pending;
		r = model_commit();
		model.makers--;
		task_wake(&model.makers, true);
	}
	model_unlock(dir);
	return r ? r : pending.result;
}

/* Destroy NAME, which is the subvolume of TOP. */
static int model_destroy(int dir, const char *name, int top)
{
	struct model_root *root = model_root_of(top);

	if (root->id == MODEL_TOP_ID)
		return -EPERM;
	if (model_has_nested(now->inodes[top].root))
		return -ENOTEMPTY;
	model_remove_entry(dir, name);
	now->inodes[dir].unlink_transid = now->transid;
	now->inodes[top].links = 0;
	root->dead = true;
	model_changed();
	return 0;
}

int model_subvol_destroy(int dir, const char *name)
{
	int top, r;

	/* As subvol_sem: the destroyer waits for all that make subvolumes. */
	do {
		model_pass(dir);
		while (model.makers)
			task_block(&model.makers, SIM_FOREVER);
	} while (model.locks[dir]);
	top = model_lookup(dir, name);
	if (top < 0)
		return top;
	r = model_writable(dir);
	if (r)
		return r;
	if (now->inodes[top].flags)
		return -EPERM;
	if (!S_ISDIR(now->inodes[top].mode))
		return -ENOTDIR;
	if (!model_is_subvolume(top))
		return -EINVAL;
	return model_destroy(dir, name, top);
}

int model_subvol_destroy_id(uint64_t id)
{
	struct model_root *root = model_root_by_id(now, id);
	char name[MODEL_NAME_BYTES];

	if (!root || root->dead)
		return -ENOENT;
	strcpy(name, model_name(root->top));
	return model_subvol_destroy(root->in_dir, name);
}

int model_set_read_only(int slot, bool read_only)
{
	struct model_root *root = model_root_of(slot);
	int r;

	if (root->dead)
		return -ENOENT;
	while (model.makers)
		task_block(&model.makers, SIM_FOREVER);
	if (root->read_only == read_only)
		return 0;
	if (model.aborted)
		return -EROFS;
	root->read_only = read_only;
	model_changed();
	r = model_commit();
	/* As the kernel does: the flag is as it was. */
	if (r)
		root->read_only = !read_only;
	return r;
}

/* ---- durability ------------------------------------------------------------------------------ */

/* Copy FROM to TO, as far as its tables are in use. */
static void model_copy(struct model_image *to, const struct model_image *from)
{
	memcpy(to, from, offsetof(struct model_image, roots));
	memcpy(to->roots, from->roots, from->roots_used * sizeof(*to->roots));
	memcpy(to->groups, from->groups, from->groups_used * sizeof(*to->groups));
	memcpy(to->inodes, from->inodes, from->inodes_used * sizeof(*to->inodes));
	memcpy(to->entries, from->entries, from->entries_used * sizeof(*to->entries));
}

/* End the running transaction: what it has done is being written from now on. */
static void model_close_transaction(void)
{
	for (unsigned i = 0; i < model.pending_count; i++)
		model_make_pending(model.pending[i]);
	if (model.pending_count)
		model_changed();
	model.pending_count = 0;
	for (unsigned i = 0; i < now->groups_used; i++)
		now->groups[i].limit_in_tree = now->groups[i].limit;
	model_copy(&model.image, now);
	now->transid++;
	model.committing = true;
}

/* Wait until the transaction TRANSID is durable: 0, or -EIO when that has failed. */
static int model_wait_durable(uint64_t transid)
{
	while (model.disk.transid < transid && !model.aborted)
		task_block(&model.committing, SIM_FOREVER);
	return model.disk.transid < transid ? -EIO : 0;
}

int model_commit(void)
{
	uint64_t transid = now->transid;

	while (model.committing && now->transid == transid)
		task_block(&model.committing, SIM_FOREVER);
	if (now->transid > transid)
		return model_wait_durable(transid);
	if (model.aborted)
		return -EROFS;
	model_close_transaction();
	for (unsigned i = sim_random(4); i; i--)
		sim_point();
	model.committing = false;
	if (model.commits_good && model.commits == model.commits_good) {
		sim_trace("commit %llu has failed", (unsigned long long)model.image.transid);
		model.aborted = true;
		task_wake(&model.committing, true);
		return -EIO;
	}
	model_copy(&model.disk, &model.image);
	model.commits++;
	sim_trace("commit %llu is durable", (unsigned long long)model.disk.transid);
	task_wake(&model.committing, true);
	if (model.committed)
		model.committed();
	return 0;
}

void model_write_out(int slot)
{
	struct model_inode *inode = &now->inodes[slot];

	if (!inode->dirty || inode->lost)
		return;
	if (sim_chance(model.loss_chance)) {
		sim_trace("the data of inode %llu is lost", (unsigned long long)inode->ino);
		inode->lost = true;
		model.losses++;
		return;
	}
	inode->dirty = false;
	inode->stored_by = 0;
	inode->disk_size = inode->size;
	memcpy(inode->tree, inode->data, sizeof(inode->tree));
	model_move_on(slot);
}

int model_flush(void)
{
	for (unsigned i = 0; i < now->inodes_used; i++)
		if (now->inodes[i].serial)
			model_write_out((int)i);
	sim_point();
	return model_commit();
}

/*
 * The log tree: make SLOT durable before its transaction, with its name where it is a file.
 * Returns false where that is not so simple, and the kernel may commit as well.
 */
static bool model_log(int slot)
{
	const struct model_inode *inode = &now->inodes[slot];
	struct model_inode *durable = &model.disk.inodes[slot];
	const struct model_entry *entry = NULL;
	int dir = MODEL_NONE;

	if (S_ISDIR(inode->mode))
		return false;
	for (unsigned i = 0; i < now->inodes_used && !entry; i++)
		for (uint16_t j = now->inodes[i].first;
		     now->inodes[i].serial && S_ISDIR(now->inodes[i].mode) && j != MODEL_NONE;
		     j = now->entries[j].next)
			if (now->entries[j].inode == slot) {
				entry = &now->entries[j];
				dir = (int)i;
			}
	if (!entry || model.disk.inodes[dir].serial != now->inodes[dir].serial ||
	    (durable->serial && durable->serial != inode->serial) || model.committing)
		return false;
	if (model_find(&model.disk, dir, entry->name))
		return durable->serial && (*durable = *inode, true);
	for (int i = 0; i < MODEL_ENTRIES; i++) {
		struct model_entry *free = &model.disk.entries[i];

		if (i < model.disk.entries_used && *free->name)
			continue;
		*free = *entry;
		free->next = model.disk.inodes[dir].first;
		model.disk.inodes[dir].first = (uint16_t)i;
		model.disk.entries_used = MAX(model.disk.entries_used, i + 1);
		*durable = *inode;
		model.disk.inodes_used = MAX(model.disk.inodes_used, slot + 1);
		return true;
	}
	return false;
}

/*
 * Which fsync commits: one of a directory in which a subvolume was made or destroyed, or that a
 * name was taken out of, in the running transaction (last_unlink_trans); each one, where a
 * subvolume was renamed in it. What was not changed since the last commit costs nothing.
 */
int model_fsync(int slot)
{
	struct model_inode *inode = &now->inodes[slot];

	model_write_out(slot);
	if (inode->lost)
		return -EIO;
	if (inode->unlink_transid != now->transid && model.full_commit_transid != now->transid) {
		/* The log waits for what is being written. */
		int r = model_wait_durable(MIN(inode->transid, now->transid - 1));

		if (r)
			return r;
		if (inode->transid <= model.disk.transid)
			return 0;
		if (sim_chance(128) && model_log(slot)) {
			sim_trace("the log tree keeps inode %llu", (unsigned long long)inode->ino);
			if (model.committed)
				model.committed();
			return 0;
		}
	}
	return model_commit();
}

/* ---- what the kernel does by itself ---------------------------------------------------------- */

/* Does anybody have something of ROOT open? */
static bool model_root_open(uint16_t root)
{
	for (unsigned i = 0; i < now->inodes_used; i++)
		if (now->inodes[i].serial && now->inodes[i].root == root && model.opens[i])
			return true;
	return false;
}

/* Drop the destroyed subvolume at ROOT. */
static void model_drop_root(uint16_t root)
{
	struct model_group *group = model_group(now, now->roots[root].id);

	for (unsigned i = 0; i < now->inodes_used; i++) {
		struct model_inode *inode = &now->inodes[i];

		if (!inode->serial || inode->root != root)
			continue;
		for (uint16_t j = inode->first; S_ISDIR(inode->mode) && j != MODEL_NONE;
		     j = now->entries[j].next)
			*now->entries[j].name = '\0';
		inode->serial = 0;
	}
	now->roots[root].id = 0;
	/* Simple quotas keep the group. */
	if (group && now->quota == MODEL_QUOTA_FULL)
		*group = (struct model_group){ 0 };
}

void model_drop(void)
{
	for (unsigned i = 0; i < now->roots_used; i++)
		if (now->roots[i].id && now->roots[i].dead && !model_root_open((uint16_t)i))
			model_drop_root((uint16_t)i);
}

void model_background(void)
{
	if (sim_chance(MODEL_DROP_CHANCE) && model_dead_count())
		model_drop();
	if (sim_chance(MODEL_WRITE_OUT_CHANCE) && now->inodes_used) {
		int slot = (int)sim_random(now->inodes_used);

		if (now->inodes[slot].serial)
			model_write_out(slot);
	}
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/* Nothing is under way, and nothing is open. */
static void model_idle(void)
{
	model.committing = model.aborted = false;
	model.commits_good = 0;
	model.loss_chance = model.losses = 0;
	model.makers = model.pending_count = 0;
	model.full_commit_transid = 0;
	memset(model.opens, 0, sizeof(model.opens));
	memset(model.locks, 0, sizeof(model.locks));
}

void model_begin(void)
{
	int top;

	memset(now, 0, offsetof(struct model_image, roots));
	memset(now->roots, 0, sizeof(now->roots));
	memset(now->groups, 0, sizeof(now->groups));
	for (unsigned i = 0; i < MODEL_INODES; i++)
		now->inodes[i].serial = 0;
	for (unsigned i = 0; i < MODEL_ENTRIES; i++)
		*now->entries[i].name = '\0';
	model_idle();
	model.commits = 0;
	now->transid = 10;
	now->next_id = 256;
	now->roots[0] = (struct model_root){ .id = MODEL_TOP_ID, .next_ino = MODEL_ROOT_INO };
	now->roots_used = 1;
	top = model_new_inode(0, S_IFDIR | 0755);
	now->inodes[top].links = 1;
	model_copy(&model.disk, now);
	now->transid++;
}

/* Copy FROM to TO, and let what is not in use there be free. */
static void model_copy_all(struct model_image *to, const struct model_image *from)
{
	model_copy(to, from);
	for (unsigned i = to->inodes_used; i < MODEL_INODES; i++)
		to->inodes[i].serial = 0;
	for (unsigned i = to->entries_used; i < MODEL_ENTRIES; i++)
		*to->entries[i].name = '\0';
	for (unsigned i = to->roots_used; i < MODEL_ROOTS; i++)
		to->roots[i].id = 0;
	for (unsigned i = to->groups_used; i < MODEL_GROUPS; i++)
		to->groups[i].id = 0;
}

void model_restore(const struct model_image *image)
{
	model_copy_all(&model.disk, image);
	model.commits = 0;
	model_cut();
}

void model_cut(void)
{
	model_copy_all(now, &model.disk);
	now->transid++;
	model_idle();
	/* What was never written out is not there; files without a name are removed. */
	for (unsigned i = 0; i < now->inodes_used; i++) {
		struct model_inode *inode = &now->inodes[i];

		model_cut_file(inode);
		if (inode->serial && !inode->links && !model_root_of((int)i)->dead)
			inode->serial = 0;
	}
}
