/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btrfs in memory, as far as the engine can tell.
 *
 * What a power cut can take is in one flat struct, `model.now`, and so is what it leaves,
 * `model.disk`. Each change is made in `now`, within the running transaction, `now.transid`. A
 * commit has two steps, between which other tasks run:
 *
 *	 the running transaction        being written               durable
 *	 now ------------ image := now, transid + 1 ------------ disk := image
 *	      pending snapshots are made        the next one runs
 *
 * A task that commits while the one before is being written waits, and all that came until then
 * are in the same commit. So do snapshots: the ioctl holds its directory's lock and ends with the
 * commit. Data of a file reaches `image` only once it was written out (disk_size, tree): by an
 * fsync, a flush, a snapshot of its subvolume, or by chance. Only that moves the ctransid of its
 * subvolume, and so does the first store to a page of a mapping, at once: each process has one page
 * a file, which is write-protected at first, and again once it was written out. What was opened for
 * writing before its subvolume was made read-only is written to all the same; so is a page that is
 * not write-protected by then, and the store to another one kills.
 *
 * A file's data can be lost when it is written out, which an fsync, a FIEMAP_FLAG_SYNC and a syncfs
 * tell, and a flush does not. A commit can fail: then nothing is changed any more, until the file
 * system is mounted anew.
 *
 * An fsync commits where the kernel's would: see model_fsync(). Else it writes the inode and its
 * name to `disk` at once, before the transaction that made it: the log tree.
 *
 * Destroyed subvolumes are dropped later, by chance. That room is short is for kernel_full() to
 * tell. Not modelled: quota numbers, groups of a higher level, what is behind the first 32 bytes of
 * a file, attributes but that of our records, symbolic links, mounts, the permissions of files.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MODEL_INODES 768
#define MODEL_ENTRIES 768
#define MODEL_ROOTS 192
#define MODEL_GROUPS 192
#define MODEL_PENDING 32
#define MODEL_NAME_BYTES 80
#define MODEL_DATA_BYTES 32
#define MODEL_XATTR_BYTES 96
/* The one attribute that there is. */
#define MODEL_XATTR "user.vrec.0"
#define MODEL_NONE UINT16_MAX
/* The place of the top level's root, and of its root directory. */
#define MODEL_TOP 0
/* The id of the top level. */
#define MODEL_TOP_ID 5
/* The inode number of each subvolume's root directory; of what a snapshot has in place of one. */
#define MODEL_ROOT_INO 256
#define MODEL_STAND_IN_INO 2

struct model_inode {
	/* Free: 0. Not used again: it tells an inode from the one before it at its place. */
	uint32_t serial;
	/* Its subvolume; names that it has; type and mode. */
	uint16_t root, links;
	uint32_t mode, uid, gid;
	uint64_t ino, generation;
	/* Of a directory: its first entry, what it lies in, the index of its next entry. */
	uint16_t first, parent;
	uint32_t next_index;
	/* The transaction that changed it last, and that last took a name out of it. */
	uint64_t transid, unlink_transid;
	/* Bytes of a file, and those of them that are in the tree; what they are. */
	uint64_t size, disk_size;
	char data[MODEL_DATA_BYTES], tree[MODEL_DATA_BYTES];
	/* FS_IMMUTABLE_FL, FS_APPEND_FL. */
	unsigned flags;
	/* Its data is to be written; could not be, and is in memory alone. */
	bool dirty, lost;
	/* The processes that may store to its page without a fault: a bit each. */
	uint8_t stored_by;
	/* MODEL_XATTR: its bytes; 0: it is not there. */
	uint16_t xattr_size;
	unsigned char xattr[MODEL_XATTR_BYTES];
};

struct model_entry {
	/* Free: name is "". Entries of a directory are a list. */
	uint16_t next, inode;
	/* Its position in its directory. */
	uint32_t index;
	char name[MODEL_NAME_BYTES];
};

/* A subvolume. */
struct model_root {
	/* Free: 0. */
	uint64_t id;
	uint64_t parent_uuid, generation, otransid, ctransid, next_ino;
	/* Its root directory; the entry's subvolume and directory. */
	uint16_t top, in_root, in_dir;
	bool read_only;
	/* Destroyed, and not dropped. */
	bool dead;
};

/* A quota group of level 0. */
struct model_group {
	/* Free: 0. */
	uint64_t id;
	/* 0: none. That of a new subvolume is in the tree only after the next commit. */
	uint64_t limit, limit_in_tree;
};

enum model_quota { MODEL_QUOTA_OFF, MODEL_QUOTA_FULL, MODEL_QUOTA_SIMPLE };

/* All that is on disk, or will be. */
struct model_image {
	uint64_t transid, next_id;
	uint32_t next_serial;
	enum model_quota quota;
	/* How many places of each table were ever used. */
	uint16_t inodes_used, entries_used, roots_used, groups_used;
	struct model_root roots[MODEL_ROOTS];
	struct model_group groups[MODEL_GROUPS];
	struct model_inode inodes[MODEL_INODES];
	struct model_entry entries[MODEL_ENTRIES];
};

/* A snapshot that waits for the commit that makes it. */
struct model_pending {
	uint16_t source, dir;
	const char *name;
	bool read_only;
	uint64_t limit;
	int result;
};

struct model {
	struct model_image now, image, disk;
	/* A commit is being written; one has failed, and the file system is read-only since. */
	bool committing, aborted;
	/* So many commits succeed before one fails; 0: all. */
	unsigned commits_good;
	/* Of 256 files that are written out, how many are lost; how often that was. */
	unsigned loss_chance, losses;
	/* Subvolumes are being made: none can be destroyed meanwhile. */
	unsigned makers;
	struct model_pending *pending[MODEL_PENDING];
	unsigned pending_count;
	/* A subvolume was renamed in the running transaction: each fsync commits. */
	uint64_t full_commit_transid;
	/* Descriptors of each inode; the task that holds its lock. */
	uint16_t opens[MODEL_INODES];
	const void *locks[MODEL_INODES];
	/* Commits so far; called behind each, and behind each change of names and limits. */
	unsigned commits;
	void (*committed)(void);
	void (*changed)(void);
};

extern struct model model;

/* Make an empty file system. */
void model_begin(void);

/* Make the file system that IMAGE has. */
void model_restore(const struct model_image *image);

/* Cut the power: what is not durable is gone, and so is everything that was open. */
void model_cut(void);

/* What the kernel does by itself, a little of it, by chance. */
void model_background(void);

/* Drop all destroyed subvolumes that nobody has open. */
void model_drop(void);

/* ---- looking; slots of inodes, or -errno ---- */

struct model_inode *model_inode(int slot);
struct model_root *model_root_of(int slot);
bool model_is_subvolume(int slot);
int model_lookup(int dir, const char *name);
/* Of IMAGE; MODEL_NONE: no such name. */
const struct model_entry *model_find(const struct model_image *image, int dir, const char *name);
/* The entry of DIR with the lowest index from INDEX on; NULL: none. */
const struct model_entry *model_next_entry(int dir, uint32_t index);
/* The live subvolume ID; NULL: none. */
struct model_root *model_root_by_id(struct model_image *image, uint64_t id);
struct model_group *model_group(struct model_image *image, uint64_t id);
/* The size that a directory has. */
uint64_t model_dir_size(int dir);
/* The name of SLOT, a directory. */
const char *model_name(int slot);
/* Write the path of SLOT to PATH; its length. */
size_t model_path(int slot, char *path, size_t size);
unsigned model_dead_count(void);

/* ---- changing; 0 or a slot, or -errno ---- */

int model_make(int dir, const char *name, uint32_t mode);
/* A file without a name, as by O_TMPFILE, in the subvolume of DIR. */
int model_make_unnamed(int dir, uint32_t mode);
int model_link(int inode, int dir, const char *name);
int model_unlink(int dir, const char *name, bool directory);
int model_rename(int from, const char *name, int to, const char *new_name, unsigned flags);
ssize_t model_write(int inode, const void *data, size_t size, uint64_t offset);
/* Would a store to the page that the current process has mapped of INODE not kill it? */
bool model_may_store(int inode);
/* Store DATA in that page: no call, and no error. */
void model_store(int inode, const void *data, size_t size, uint64_t offset);
int model_truncate(int inode, uint64_t size);
/* Say that an attribute of INODE is changed: 0, or -EROFS. */
int model_touch(int inode);
void model_open(int inode);
void model_close(int inode);

/* ---- subvolumes and quota ---- */

int model_subvol_create(int dir, const char *name, uint64_t limit);
int model_snapshot(int source, int dir, const char *name, bool read_only, uint64_t limit);
int model_subvol_destroy(int dir, const char *name);
int model_subvol_destroy_id(uint64_t id);
int model_set_read_only(int slot, bool read_only);
int model_quota_control(unsigned command);
int model_group_limit(uint64_t id, uint64_t limit);
int model_group_destroy(uint64_t id);

/* ---- durability; these let other tasks run ---- */

int model_commit(void);
int model_flush(void);
int model_fsync(int slot);
/* Let INODE's data be in the tree, or be lost. */
void model_write_out(int slot);

#endif
