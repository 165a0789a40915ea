/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories that a store keeps beside `subvolumes`:
 *
 *	HOME/quotas  HOME/.varve/staging/OWNER/SLOT  HOME/.varve/trash  HOME/.varve/groups
 *	HOME/.varve/layers
 *
 * Opening a store and looking at it makes none of them. Each is made when an operation first puts
 * something into it, here and nowhere else, so that a full or read-only file system can be looked
 * at, and layers be removed from it. A descriptor stays open for the life of the store once it is
 * found. Any thread; these make file-system calls.
 *
 * OWNER is PID-RANDOM, and locked (flock) for as long as the store is open: see ops/sweep.c. Names
 * that have to tell their owner (in staging, the trash, reserved ones in `subvolumes`) begin with
 * it.
 */
#ifndef VARVE_STORE_LAYOUT_H
#define VARVE_STORE_LAYOUT_H

#include "engine/store/store.h"

/* Where the records of sizes are, below the home. */
#define RECORD_PLACE "quotas"

enum layout_place {
	LAYOUT_QUOTAS,
	LAYOUT_OWN,
	LAYOUT_STAGING,
	LAYOUT_TRASH,
	LAYOUT_GROUPS,
	LAYOUT_RECORDS,
	LAYOUT_PLACES
};

/*
 * Is the directory FD of the store safe from other users: owned by root, the caller or root_uid,
 * and writable by its owner alone? 0, also when VARVE_OPEN_SHARED_HOME says that it need not be,
 * -EPERM, or another -errno.
 */
int layout_trusted(const struct varve_store *store, int fd);

/* Where PLACE is, below the home. */
const char *layout_name(enum layout_place place);

/*
 * The directory PLACE, a descriptor of the store's: -ENOENT when it is missing, -EPERM when it is
 * not safe, or another -errno.
 */
int layout_find(struct varve_store *store, enum layout_place place);

/*
 * The same, made when it is missing: its errors are those of mkdirat(), too, -ENOSPC and -EROFS
 * among them.
 */
int layout_need(struct varve_store *store, enum layout_place place);

/* Call EACH with DATA and each name in PLACE, as entries_each(); 0 where there is no PLACE. */
int layout_each(struct varve_store *store, enum layout_place place,
		int (*each)(void *data, const char *name), void *data);

/* Has PLACE anything in it? True also where that is not known. */
bool layout_any(struct varve_store *store, enum layout_place place);

/*
 * Look, for all removals of one boundary, whether layers have records and groups at all: see
 * layout->removing. No operation of this store gives any to a layer that is being removed. What
 * another process gives it meanwhile stays without a layer, until a sweep removes it.
 */
void layout_look(struct varve_store *store);

/*
 * The store's own directory in staging, made and locked when first needed; layout->owner is its
 * name from then on.
 */
int layout_owner(struct varve_store *store);

/* The trash, with the owner's directory, without which what is in the trash is a leftover. */
int layout_trash(struct varve_store *store);

/* The owner's directory of worker slot SLOT. The thread that works for the slot. */
int layout_slot(struct varve_store *store, unsigned slot);

/*
 * Is OWNER, a name in staging, gone? 1: yes, and *RET_FD is its directory, locked, or -EBADF when
 * that is gone, too. 0: it lives. -errno: that is not known, since its directory cannot be opened.
 * Lane thread.
 */
int layout_owner_take(struct varve_store *store, const char *owner, int *ret_fd);

/* Is the owner gone whose name is the LENGTH bytes at NAME? 1, 0, or -errno: that is not known. */
int layout_owner_gone(struct varve_store *store, const char *name, size_t length);

/*
 * Where RESULT of one of these is an error, set the path of OP's failure to the store's own
 * directories. Returns RESULT.
 */
int layout_blame(struct op *op, int result);

/* Remove the owner's directory, if it is empty, at the end of the store. */
void layout_leave(struct varve_store *store);

#endif
