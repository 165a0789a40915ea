/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove: destroy a layer, in constant time whatever the number of its files.
 *
 *	state     what it does                               what a failure leaves    what a crash leaves
 *	DESTROY   destroys the layer; mostly that is all     the layer                the layer, or nothing
 *	COLLECT   ENOTEMPTY: finds what is nested in it      the layer                the layer
 *	MOVE      renames it into the trash; where there is  the layer                the layer, or a leftover in the trash
 *	          no room for that, it stays where it is
 *	NESTED    destroys what is nested, deepest first,    UNDO puts it back while  a leftover in the trash; where it was not
 *	          then the layer                             nothing was destroyed    moved, the layer without some of those
 *	TURN      without privilege: waits until one more    UNDO puts it back        as NESTED
 *	          walk may run
 *	EMPTY     unlinks what is in it, and removes it      as a crash               a leftover in the trash, or where it was
 *	                                                                              not moved, the layer without some content
 *	FORGET    removes the records where DESTROY and      its records              the layer, or a leftover, or nothing,
 *	          NESTED could not: waits for their lock                              with or without its records
 *	DURABLE   waits for a commit                         nothing                  as FORGET
 *	UNDO      see above                                  a leftover in the trash  the same
 *
 * Flags (chattr +i, +a), a mode that denies the owner, and the read-only state are removed where
 * they forbid to destroy the layer (dir/loosen.h). A layer that stays whole gets them back, but not
 * after a crash.
 *
 * The records (store/size_record.h) of a layer that is out of its place are marked until they are
 * removed too, or the layer is back: no check takes them for left over meanwhile, no sweep removes
 * its size, and no other process makes a layer with records of that name. A mark ends with its
 * process. What a crash then leaves is found by a check and removed by a sweep: a record without a
 * layer at once, what is in the trash with its labels once its process is gone.
 *
 * Programs in a layer may make subvolumes while they are being destroyed: then there is another
 * round, up to a bound.
 */
#include "engine/btrfs/chattr.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/nested.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/beneath.h"
#include "engine/dir/loosen.h"
#include "engine/dir/mounts.h"
#include "engine/dir/swap.h"
#include "engine/ops/ops.h"
#include "engine/store/background.h"
#include "engine/store/backlog.h"
#include "engine/store/groups.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"
#include "engine/store/stock.h"
#include "engine/walk/layer_walk.h"
#include "engine/walk/rm_tree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum remove_state {
	REMOVE_DESTROY,
	REMOVE_COLLECT,
	REMOVE_MOVE,
	REMOVE_NESTED,
	REMOVE_TURN,
	REMOVE_EMPTY,
	REMOVE_FORGET,
	REMOVE_DURABLE,
	REMOVE_UNDO,
	REMOVE_STATES
};

/* The result of work on nested subvolumes that is not finished. */
#define REMOVE_MORE 1

struct remove {
	struct op op;
	/* btrfs's number of the layer, once it was looked at; its name in the trash. */
	uint64_t number;
	char trash[96];
	/* Processor time of the call that destroys it, or finds that it cannot. */
	uint64_t worked_ns;
	/* What is nested in it. */
	struct nested nested;
	/*
	 * Times that it was looked at for what is nested; pieces of work done without looking
	 * first; subvolumes destroyed by the last piece of work, and by all.
	 */
	unsigned rounds, batches, destroyed, destroyed_all;
	/*
	 * Limits and groups that were taken from it and what is nested in it, so that it can be
	 * destroyed, on the heap; NULL: none.
	 */
	struct groups_lifted *lifted;
	/*
	 * It is in the trash; there was no room to move it there, so it is destroyed where it is;
	 * all was written out to make room.
	 */
	bool moved, in_place, flushed;
	/* What was taken from its root, so that it can be destroyed. */
	struct loosened loosened;
	/*
	 * Why it failed, where more than the error is known; on what below it (on the heap; NULL:
	 * itself).
	 */
	const char *cause;
	char *blamed;
	/* Which active swap file keeps it, on the heap; NULL: none is known. */
	char *swap;
	/* What could not be restored; NULL: nothing. */
	const char *lost;
	/* We may not destroy it, so it is emptied; unlinking has begun; it is gone. */
	bool denied, emptying, gone;
	/*
	 * Its records are marked (store/size_record.h); they are still there, since another process
	 * held their lock.
	 */
	bool marked, remembered;
	/*
	 * What empties it, on the heap; its root directory, and what the clone of that lives by
	 * (mounts_clone()).
	 */
	struct rm_tree *rm_tree;
	int empty_fd, tree_fd;
};

static struct remove *remove_of(struct op *op)
{
	return container_of(op, struct remove, op);
}

/* Get the directories of the store. */
static struct layout *remove_layout(struct remove *remove)
{
	return &op_store(&remove->op)->layout;
}

/* Get the directory that the layer is in now, and its name there. */
static int remove_place(struct remove *remove, const char **ret_name)
{
	*ret_name = remove->moved ? remove->trash : remove->op.id;
	return remove->moved ? remove_layout(remove)->trash_fd
			     : remove_layout(remove)->subvolumes_fd;
}

/* Flush the file system, once: a commit may free room. */
static bool remove_flush(struct remove *remove)
{
	if (remove->flushed)
		return false;
	remove->flushed = true;
	return !fs_flush(remove_layout(remove)->home_fd);
}

/*
 * A call on the layer's root failed with RESULT: remove what forbids it. True if the call may
 * succeed now.
 */
static bool remove_retry(struct remove *remove, int result)
{
	const char *name;
	int dir_fd = remove_place(remove, &name), r;

	if (result == -ENOSPC)
		return remove_flush(remove);
	r = loosen(dir_fd, name, result, &remove->loosened, &remove->cause);
	if (r == -ENOSPC && remove_flush(remove))
		r = loosen(dir_fd, name, result, &remove->loosened, &remove->cause);
	return r > 0;
}

/* Destroy the layer itself, where it is now. At a boundary or on a lane thread. */
static int remove_root(struct remove *remove)
{
	const char *name;
	int dir_fd = remove_place(remove, &name), r;

	remove->op.call.name = "BTRFS_IOC_SNAP_DESTROY";
	do
		r = subvol_destroy(dir_fd, name);
	while (r && r != -ENOTEMPTY && remove_retry(remove, r));
	return r;
}

/* Note that the layer is gone, and tell which state follows. */
static int remove_gone(struct op *op)
{
	remove_of(op)->gone = true;
	background_passed(op, remove_of(op)->worked_ns);
	if (remove_of(op)->remembered)
		return REMOVE_FORGET;
	return op->request->durable ? REMOVE_DURABLE : OP_END;
}

/* Mark the records of the layer, which is about to be out of its place. At a boundary. */
static void remove_mark(struct remove *remove)
{
	if (!remove->marked)
		remove->marked = size_record_mark(op_store(&remove->op), remove->op.id);
}

/* It is back in its place, or its records are gone. */
static void remove_unmark(struct remove *remove)
{
	if (TAKE(remove->marked, false))
		size_record_unmark(op_store(&remove->op), remove->op.id);
}

/* ---- DESTROY --------------------------------------------------------------------------------- */

/*
 * The layer is destroyed: forget its size and its labels where SIZES and RECORDS say so. A failure
 * is ignored, since there is no layer any more: a record without a layer means nothing. A sweep
 * removes it, and the next one of that name replaces it. 0, or OP_LATER while another process holds
 * the lock: then they stay marked. Any thread.
 */
static int remove_records(struct remove *remove, bool sizes, bool records)
{
	struct varve_store *store = op_store(&remove->op);
	int size = sizes ? size_record_drop(store, remove->op.id) : 0,
	    record = records ? record_drop(store, remove->op.id) : 0;

	remove->remembered = size == OP_LATER || record == OP_LATER;
	if (remove->remembered)
		return OP_LATER;
	remove_unmark(remove);
	return 0;
}

/* The same of all that there is of it at this boundary; and let it leave its groups. */
static void remove_forget(struct remove *remove)
{
	struct varve_store *store = op_store(&remove->op);
	const struct layout_removing *any = &store->layout.removing;

	remove_records(remove, any->sizes, any->records);
	if (remove->number && any->groups)
		groups_leave(store, remove->number, NULL);
}

/* Destroy the layer in its place, at a boundary. */
static int remove_destroy_work(struct op *op)
{
	struct remove *remove = remove_of(op);
	uint64_t begin = thread_cpu_ns();
	int r;

	/* Afterwards its number cannot be found, and without that it stays in its groups. */
	if (!remove->number && remove_layout(remove)->removing.groups) {
		_cleanup_close_ int fd = layer_open(op_store(op), op->id);

		if (fd >= 0)
			subvol_number(fd, &remove->number);
	}
	if (remove_layout(remove)->removing.sizes || remove_layout(remove)->removing.records)
		remove_mark(remove);
	r = remove_root(remove);
	remove->worked_ns = thread_cpu_ns() - begin;
	if (r)
		remove_unmark(remove);
	else
		remove_forget(remove);
	if (r == -EPERM && !remove->cause && remove_layout(remove)->privileged)
		remove->cause = remove->swap = swap_detail(remove_layout(remove)->subvolumes_fd,
							   op->id);
	return r;
}

static int remove_destroy(struct op *op)
{
	/* Its spare copies would keep its space. */
	stock_forget(op_store(op), op->id);
	op->work = remove_destroy_work;
	return commit_destroy(op);
}

/* Why a subvolume without flags cannot be destroyed (-EPERM). */
#define REMOVE_HELD "it is the default subvolume, is being sent, or holds an active swap file"

/* Does RESULT mean that the owner may not destroy the layer, so that it has to be emptied? */
static bool remove_denied(struct remove *remove, int result)
{
	remove->denied = !remove_layout(remove)->privileged && !remove->cause &&
			 (result == -EPERM || result == -EACCES || result == -EROFS);
	return remove->denied;
}

static int remove_destroyed(struct op *op, int result)
{
	if (result == -ENOTEMPTY)
		return REMOVE_COLLECT;
	if (remove_denied(remove_of(op), result))
		return REMOVE_COLLECT;
	if (result == -EINVAL)
		op->detail = "not a subvolume";
	if (result == -EPERM)
		op->detail = "without privilege; or " REMOVE_HELD;
	if (result < 0)
		return result;
	backlog_destroyed(op_store(op));
	return remove_gone(op);
}

/* ---- COLLECT, MOVE --------------------------------------------------------------------------- */

/* Find what is nested in the layer, on a lane thread. */
static int remove_collect_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct remove *remove = remove_of(op);
	struct varve_store *store = op_store(op);
	_cleanup_close_ int fd = -EBADF;
	int r;

	call->name = "openat2";
	do
		fd = layer_open(store, op->id);
	while (fd < 0 && remove_retry(remove, fd));
	if (fd < 0)
		return fd;
	/* A mount on it is not the layer. */
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = layer_prove(store, fd, op->id, NULL);
	if (r)
		return r;
	call->name = "BTRFS_IOC_INO_LOOKUP";
	r = subvol_number(fd, &remove->number);
	if (r)
		return r;
	/* Without privilege nested subvolumes are found one by one, as they are destroyed. */
	if (!store->layout.privileged)
		return 0;
	call->name = "BTRFS_IOC_TREE_SEARCH_V2";
	return nested_collect(&remove->nested, fd, remove->number, &store->core.io.fault);
}

static int remove_collect(struct op *op)
{
	call_function(&op->call, LANE_LONG, "openat2", remove_collect_run);
	return op_call(op);
}

static int remove_collected(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	return result < 0 ? result : REMOVE_MOVE;
}

/* Rename the layer into the trash, at a boundary. */
static int remove_move_work(struct op *op)
{
	struct remove *remove = remove_of(op);
	struct layout *layout = remove_layout(remove);
	int trash_fd = layout_trash(op_store(op)), r = trash_fd;

	if (trash_fd >= 0) {
		snprintf(remove->trash, sizeof(remove->trash), "%s.%" PRIu64, layout->owner,
			 remove->number);
		remove_mark(remove);
		op->call.name = "renameat2";
		do
			r = RET_NERRNO(renameat2(layout->subvolumes_fd, op->id, trash_fd,
						 remove->trash, RENAME_NOREPLACE));
		while (r && remove_retry(remove, r));
	}
	/* Destroying needs no room but what the file system reserves for it. */
	remove->in_place = r == -ENOSPC || r == -EDQUOT;
	if (remove->in_place)
		return 0;
	if (r)
		remove_unmark(remove);
	return trash_fd < 0 ? layout_blame(op, trash_fd) : r;
}

static int remove_move(struct op *op)
{
	op->work = remove_move_work;
	return commit_publish(op);
}

static int remove_moved(struct op *op, int result)
{
	struct remove *remove = remove_of(op);

	if (result < 0)
		return result;
	if (!remove->in_place) {
		remove->moved = true;
		op->place = layout_name(LAYOUT_TRASH);
		op->subject = remove->trash;
	}
	return remove->denied ? REMOVE_TURN : REMOVE_NESTED;
}

/* ---- NESTED ---------------------------------------------------------------------------------- */

/* Give up: a bound is reached, and there still are nested subvolumes. */
static int remove_endless(struct remove *remove)
{
	remove->cause = "subvolumes are made in it as they are destroyed: end the programs in it";
	return -EBUSY;
}

/* Search again for what is nested. */
static int remove_again(struct remove *remove)
{
	struct varve_store *store = op_store(&remove->op);
	int r;

	if (++remove->rounds > NESTED_ROUNDS_MAX)
		return remove_endless(remove);
	if (!store->layout.privileged)
		return REMOVE_MORE;
	remove->op.call.name = "BTRFS_IOC_TREE_SEARCH_V2";
	r = nested_collect(&remove->nested, store->layout.home_fd, remove->number,
			   &store->core.io.fault);
	return r ? r : REMOVE_MORE;
}

/* Open the layer where it is now, and check its number. */
static int remove_open(struct remove *remove)
{
	_cleanup_close_ int fd = -EBADF;
	const char *name;
	uint64_t number;
	int dir_fd = remove_place(remove, &name), r;

	fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	r = fd < 0 ? fd : subvol_number(fd, &number);
	if (r)
		return r;
	return number == remove->number ? TAKE_FD(fd) : -ESTALE;
}

/* Destroy a batch of what is nested: REMOVE_MORE, 0 when none is known any more, or -errno. */
static int remove_nested_some(struct remove *remove)
{
	struct layout *layout = remove_layout(remove);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (layout->privileged) {
		remove->op.call.name = "BTRFS_IOC_SNAP_DESTROY_V2";
		r = nested_destroy(&remove->nested, layout->home_fd, NESTED_BATCH,
				   &remove->destroyed);
		return r ? r : remove->nested.count ? REMOVE_MORE : 0;
	}
	fd = remove_open(remove);
	remove->op.call.name = "BTRFS_IOC_SNAP_DESTROY";
	r = fd < 0 ? fd : nested_destroy_user(fd, NESTED_BATCH, &remove->destroyed);
	if (r > 0 && ++remove->batches >= NESTED_BATCHES_MAX)
		return remove_endless(remove);
	/* A mount covers a nested subvolume: EMPTY removes what lies beside it. */
	return r == -EXDEV ? -EACCES : r;
}

/* Find out which nested subvolume could not be destroyed, with ERROR, and why. */
static void remove_blame(struct remove *remove, int error)
{
	struct varve_store *store = op_store(&remove->op);
	_cleanup_close_ int fd = -EBADF;

	if (!store->layout.privileged || !remove->nested.failed_root)
		return;
	remove->cause = chattr_detail(remove->nested.failed_flags);
	if (!remove->cause && error == -EPERM)
		remove->cause = REMOVE_HELD;
	free(remove->blamed);
	remove->blamed = fault_calloc(&store->core.io.fault, 1, VARVE_FAILURE_PATH_SIZE);
	fd = remove_open(remove);
	if (remove->blamed &&
	    (fd < 0 || nested_failed_path(&remove->nested, store->layout.home_fd, fd,
					  remove->blamed, VARVE_FAILURE_PATH_SIZE)))
		free(TAKE_PTR(remove->blamed));
}

/* Lift the limits: the layer is full, and destroying what is nested takes room. Search again. */
static int remove_full(struct remove *remove)
{
	struct varve_store *store = op_store(&remove->op);
	int r;

	/* The second time it is another limit, such as one of a group. */
	if (remove->lifted || !store->layout.privileged)
		return -EDQUOT;
	remove->op.call.name = "BTRFS_IOC_QGROUP_LIMIT";
	remove->lifted = fault_calloc(&store->core.io.fault, 1, sizeof(*remove->lifted));
	if (!remove->lifted)
		return -ENOMEM;
	r = groups_unlimit(store, remove->number, &remove->nested, remove->lifted);
	return r ? r : remove_again(remove);
}

/* Destroy some of what is nested and, once none is left, the layer. At a boundary. */
static int remove_nested_work(struct op *op)
{
	struct remove *remove = remove_of(op);
	int r = remove_nested_some(remove);

	if (r == -EDQUOT)
		return remove_full(remove);
	if (r == -ENOSPC && remove_flush(remove))
		return remove_again(remove);
	if (r < 0)
		remove_blame(remove, r);
	if (r)
		return r;
	r = remove_root(remove);
	if (r == -ENOTEMPTY)
		return remove_again(remove);
	if (!r) {
		remove->destroyed++;
		remove_forget(remove);
	}
	return r;
}

static int remove_nested(struct op *op)
{
	op->work = remove_nested_work;
	return commit_destroy(op);
}

static int remove_nested_done(struct op *op, int result)
{
	struct remove *remove = remove_of(op);

	for (; remove->destroyed; remove->destroyed--, remove->destroyed_all++)
		backlog_destroyed(op_store(op));
	if (result == REMOVE_MORE)
		return remove_nested(op);
	/* A nested subvolume may be read-only. */
	if (result < 0 && remove_denied(remove, result))
		return REMOVE_TURN;
	return result < 0 ? result : remove_gone(op);
}

/* ---- EMPTY ----------------------------------------------------------------------------------- */

/*
 * Make the layer writable, and destroy it; where that is still denied, prepare the walk that
 * empties it and return REMOVE_MORE. Lane thread.
 */
static int remove_empty_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct remove *remove = remove_of(op);
	const char *name;
	int dir_fd = remove_place(remove, &name), r;
	bool read_only;

	/* The step may have begun anew. */
	if (remove->rm_tree)
		walk_free(&remove->rm_tree->walk);
	free(TAKE_PTR(remove->rm_tree));
	fd_close(TAKE_FD(remove->empty_fd));
	fd_close(TAKE_FD(remove->tree_fd));
	call->name = "openat2";
	do
		remove->empty_fd = remove_open(remove);
	while (remove->empty_fd < 0 && remove_retry(remove, remove->empty_fd));
	if (remove->empty_fd < 0)
		return remove->empty_fd;
	call->name = "BTRFS_IOC_SUBVOL_SETFLAGS";
	r = subvol_get_read_only(remove->empty_fd, &read_only);
	if (!r && read_only)
		r = subvol_set_read_only(remove->empty_fd, false);
	if (r)
		return r;
	/* With the mount option user_subvol_rm_allowed a writable one can be destroyed. */
	r = remove_root(remove);
	if (r != -EPERM && r != -EACCES && r != -EROFS && r != -ENOTEMPTY)
		return r;
	/* A clone, which root of a mount namespace can make, shows no mounts in the layer. */
	call->name = "open_tree";
	r = mounts_clone(&remove->empty_fd, &remove->tree_fd);
	if (r < 0)
		return r;
	call->name = NULL;
	remove->rm_tree = fault_calloc(&op->request->core->io.fault, 1, sizeof(*remove->rm_tree));
	if (!remove->rm_tree)
		return -ENOMEM;
	r = rm_tree_init(remove->rm_tree, op_store(op), remove->empty_fd, dir_fd, name,
			 &op->request->cancelled);
	return r ? r : REMOVE_MORE;
}

/* Continue the operation: the walk that empties the layer is over. */
static void remove_emptied(struct walk *walk, int result)
{
	struct rm_tree *rm_tree = walk->data;
	struct remove *remove = remove_of(walk->owner);

	/* The cancel came too late. */
	if (result == -ECANCELED && rm_tree->removed)
		result = 0;
	if (rm_tree->flags && result == -EPERM)
		remove->cause = chattr_detail(rm_tree->flags);
	if (result == -EBUSY)
		remove->cause = "something is mounted there";
	layer_walk_blame(walk->owner, walk, result);
	op_done(walk->owner, result);
}

static int remove_empty(struct op *op)
{
	call_function(&op->call, LANE_COMMIT, "openat", remove_empty_run);
	return op_call(op);
}

static int remove_empty_done(struct op *op, int result)
{
	struct remove *remove = remove_of(op);

	if (result == REMOVE_MORE) {
		struct walk *walk = &remove->rm_tree->walk;

		remove->emptying = op->begun = true;
		walk->owner = op;
		walk->done = remove_emptied;
		walk->job.progress = op->request->progress;
		job_start(&walk->job);
		return OP_WAIT;
	}
	workers_leave(op);
	if (result < 0)
		return result;
	backlog_destroyed(op_store(op));
	remove->remembered = true;
	return remove_gone(op);
}

/* ---- FORGET ---------------------------------------------------------------------------------- */

/* Remove the records of the layer, which is gone. Lane thread. */
static int remove_forget_run(struct call *call)
{
	return remove_records(remove_of(container_of(call, struct op, call)), true, true);
}

static int remove_forget_begin(struct op *op)
{
	call_function(&op->call, LANE_FS, "unlinkat", remove_forget_run);
	return op_call(op);
}

/* The layer is gone whatever becomes of its records, also where a cancel ends the wait. */
static int remove_forgotten(struct op *op, int result)
{
	remove_of(op)->remembered = false;
	return remove_gone(op);
}

/* ---- DURABLE, UNDO --------------------------------------------------------------------------- */

/* Does the layer have all of its content? */
static bool remove_whole(const struct remove *remove)
{
	return !remove->destroyed_all && !remove->emptying;
}

/* Add to the recorded failure in which state the layer is, and where. */
static void remove_explain(struct remove *remove, bool back)
{
	struct op *op = &remove->op;
	_cleanup_free_ char *path = NULL;
	const char *name, *fate = "";

	remove_place(remove, &name);
	if (remove->moved)
		fate = "it is in the trash; the next sweep removes what is left of it";
	else if (!remove_whole(remove))
		fate = "it is still in its place, but parts of it are gone: remove it again";
	else if (back)
		fate = "it was put back in its place, whole";
	op->place = remove->moved ? layout_name(LAYOUT_TRASH) : LAYER_PLACE;
	op->subject = name;
	if (remove->blamed && asprintf(&path, "%s/%s", name, remove->blamed) >= 0)
		op->subject = path;
	if (remove->cause || remove->blamed || remove->lost || *fate)
		/* The walk has recorded a path. */
		op_amend(op, !remove->emptying, "%s%s%s%s%s", remove->cause ? remove->cause : "",
			 remove->cause && *fate ? "; " : "", fate,
			 remove->lost && (remove->cause || *fate) ? "; " : "",
			 remove->lost ? remove->lost : "");
	op->subject = op->id;
}

/* Put the layer back as it was, at a boundary. */
static int remove_undo_work(struct op *op)
{
	struct remove *remove = remove_of(op);
	struct layout *layout = remove_layout(remove);
	int r = 0;

	if (remove->lifted && groups_relimit(op_store(op), remove->number, remove->lifted))
		remove->lost = "its limits and groups could not all be set again";
	if (remove->moved) {
		op->call.name = "renameat2";
		do
			r = RET_NERRNO(renameat2(layout->trash_fd, remove->trash,
						 layout->subvolumes_fd, op->id, RENAME_NOREPLACE));
		while (r == -ENOSPC && remove_flush(remove));
	}
	if (!r && loosened_restore(layout->subvolumes_fd, op->id, &remove->loosened))
		remove->lost =
			"its flags (chattr +i, +a), its mode or its being read-only could not be set again";
	return r;
}

static int remove_undo(struct op *op)
{
	struct remove *remove = remove_of(op);

	workers_leave(op);
	/* DURABLE has failed: there is nothing to put back. */
	if (remove->gone)
		return OP_END;
	if (!remove_whole(remove) ||
	    !(remove->moved || remove->lifted || loosened_any(&remove->loosened))) {
		remove_explain(remove, false);
		return OP_END;
	}
	op->work = remove_undo_work;
	return commit_publish(op);
}

static int remove_undone(struct op *op, int result)
{
	struct remove *remove = remove_of(op);
	bool back = remove->moved && !result;

	if (back)
		remove->moved = false;
	remove_explain(remove, back);
	return result < 0 ? result : OP_END;
}

static const struct op_step remove_steps[REMOVE_STATES] = {
	[REMOVE_DESTROY] = { "DESTROY", remove_destroy, remove_destroyed },
	[REMOVE_COLLECT] = { "COLLECT", remove_collect, remove_collected, true },
	[REMOVE_MOVE] = { "MOVE", remove_move, remove_moved, true },
	[REMOVE_NESTED] = { "NESTED", remove_nested, remove_nested_done, true },
	[REMOVE_TURN] = { "TURN", workers_admit, NULL },
	[REMOVE_EMPTY] = { "EMPTY", remove_empty, remove_empty_done, true },
	[REMOVE_FORGET] = { "FORGET", remove_forget_begin, remove_forgotten },
	[REMOVE_DURABLE] = { "DURABLE", commit_names, NULL },
	[REMOVE_UNDO] = { "UNDO", remove_undo, remove_undone },
};

static void remove_close(struct op *op)
{
	struct remove *remove = remove_of(op);

	/* A failure has left it in the trash, or where it was. */
	remove_unmark(remove);
	background_passed(op, remove->worked_ns);
	nested_free(&remove->nested);
	free(remove->blamed);
	free(remove->swap);
	groups_lifted_free(remove->lifted);
	free(remove->lifted);
	if (remove->rm_tree)
		walk_free(&remove->rm_tree->walk);
	free(remove->rm_tree);
	fd_close(remove->empty_fd);
	fd_close(remove->tree_fd);
}

static const struct op_class remove_class = {
	.operation = VARVE_REMOVE,
	.size = sizeof(struct remove),
	.holds = 1,
	.outcomes = true,
	.fds = FDS_REMOVE,
	.progress = true,
	.steps = remove_steps,
	.steps_count = REMOVE_STATES,
	.unwind = REMOVE_UNDO,
	.cancel_last = REMOVE_MOVE,
	.close = remove_close,
};

int remove_submit(struct varve_store *store, const char *const *ids, size_t count, uint64_t flags,
		  const struct submit *submit)
{
	struct request *request;
	size_t strings = 0;
	int r;

	for (size_t i = 0; i < count; i++)
		strings += strlen(ids[i]) + 1;
	r = request_new(&store->core, &remove_class, count, strings, flags, &request);
	if (r)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct op *op = request_op(request, i);

		op->id = op->subject = request_string(request, ids[i]);
		remove_of(op)->empty_fd = remove_of(op)->tree_fd = -EBADF;
		op->place = LAYER_PLACE;
		op->background = flags & VARVE_REMOVE_BACKGROUND;
		op_holds(op)[0] = (struct id_lock){ .id = op->id, .exclusive = true };
	}
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
