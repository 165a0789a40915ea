/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: an empty layer, or a snapshot of another.
 *
 *	state     what it does                        what a failure leaves   what a crash leaves
 *	ADMIT     waits while too many removed        nothing                 nothing
 *	          layers await the kernel's cleaner
 *	OPEN      opens the source                    nothing                 nothing
 *	TAKE      takes a spare copy that fits, then  nothing, or             a leftover in staging
 *	          PUBLISH; without one, STAGE         UNDO destroys it
 *	STAGE     makes it in staging, and its        UNDO destroys it        a leftover in staging
 *	          record
 *	UNPACK    unpacks an archive into it          UNDO destroys it        a leftover in staging
 *	TURN      to rewrite: waits until it may walk UNDO destroys it        a leftover in staging
 *	REWRITE   shifts ownership, labels            UNDO destroys it        a leftover in staging
 *	FLUSH     unpacked: waits until its data is    UNDO destroys it        a leftover in staging
 *	          on disk, durable or relaxed
 *	PUBLISH   renames it into its place           UNDO destroys it        a leftover in staging, or the layer; or
 *	                                                                      a record without a layer
 *	DURABLE   waits for a commit                  UNDO destroys it        the layer, or nothing of it
 *	UNDO      destroys what was made              a leftover in the trash a leftover in staging
 *
 * A sweep removes what UNDO cannot destroy (store/undo.h); the failure says where it is.
 *
 * A commit takes metadata along, and no data that is still in memory: without FLUSH the files of an
 * archive would be there after a power cut, and empty. What was rewritten is metadata: it is in the
 * transaction of the renaming, or in one before.
 *
 * Alone in the store, a snapshot is staged straight in its place: it is atomic by itself, and
 * durable when the ioctl returns, so PUBLISH and DURABLE have nothing to do; not under full quotas
 * where its source has a limit, which the ioctl gives to the snapshot. A read-only snapshot goes
 * that way, too, because the kernel refuses to rename a read-only subvolume into another directory
 * (EROFS). A read-only base layer is made under a reserved name in `subvolumes` itself, made
 * read-only there, and renamed within the directory.
 *
 * A layer with a size, labels or a record is never staged in its place: PUBLISH puts its records
 * (store/size_record.h, store/record.h) into their places, then it, at one boundary, so that one
 * commit makes all of them durable. The record of the size is written beside it before, that of the
 * labels at the boundary: it names the uuid of what was staged, and is metadata alone. The limit is
 * set by the ioctl that makes the subvolume and looked at before it is published, or set then where
 * the kernel does not keep it (a snapshot in full mode).
 */
#include "engine/archive/unpack.h"
#include "engine/base/id.h"
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/name_hash.h"
#include "engine/btrfs/qgroup.h"
#include "engine/store/quota.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/loosen.h"
#include "engine/dir/swap.h"
#include "engine/ops/ops.h"
#include "engine/store/background.h"
#include "engine/store/backlog.h"
#include "engine/store/groups.h"
#include "engine/store/layer.h"
#include "engine/store/layer_file.h"
#include "engine/store/layout.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"
#include "engine/store/stock.h"
#include "engine/store/undo.h"
#include "engine/walk/rewrite.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum create_state {
	CREATE_ADMIT,
	CREATE_OPEN,
	CREATE_TAKE,
	CREATE_STAGE,
	CREATE_UNPACK,
	CREATE_TURN,
	CREATE_REWRITE,
	CREATE_FLUSH,
	CREATE_PUBLISH,
	CREATE_DURABLE,
	CREATE_UNDO,
	CREATE_STATES
};

struct create {
	struct op op;
	/* The layer to snapshot; NULL: an empty one is made. */
	const char *source;
	int source_fd;
	uint32_t mode;
	uint64_t flags;
	/* Limit in bytes; 0: none. */
	uint64_t size;
	/* How all its files are rewritten, for the whole batch; NULL: not at all. */
	const struct rewrite_plan *plan;
	struct rewrite *rewrite;
	/* Groups that it joins, as "NAME" or "NAME:SIZE"; of the whole batch. */
	const char *const *groups;
	size_t groups_count;
	/* Its place in the batch. */
	size_t index;
	/* The spare copy that it takes, its name and place until it is published; NULL: none. */
	struct stock_copy *copy;
	/* When it was let in; 0: it was not. */
	uint64_t begun_ns;
	/* Its labels and its record, of the whole batch, which the first one frees; NULL: none. */
	struct record *record;
	/* It counts among those that the cleaner knows to be in the making. */
	bool making;
	/*
	 * It exists under its staging name; under its own; the record of its size exists under its
	 * staging name.
	 */
	bool staged, published, recorded;
	/* A limit was set after it was made. */
	bool relimited;
	/* Full mode: the ioctl gives it the limit of its source, which has to be taken away. */
	bool inherits;
	/* The mode of quota when it was staged. */
	int quota;
	/* btrfs's number of it; 0: not known. Its uuid, where it has a record. */
	uint64_t number;
	uint8_t uuid[BTRFS_UUID_SIZE];
	/*
	 * Which active swap file keeps its source from being snapshot, on the heap; NULL: none is
	 * known.
	 */
	char *swap;
	/*
	 * What became of the new subvolume when it could not be destroyed, on the heap; NULL:
	 * nothing.
	 */
	char *fate;
	/* What is to be unpacked into it; NULL: nothing. */
	struct unpack *unpack;
	/* What the plan could not keep, one for the request; NULL: there is no plan. */
	struct skipped *report;
};

static struct create *create_of(struct op *op)
{
	return container_of(op, struct create, op);
}

/* ---- names and places ------------------------------------------------------------------------ */

/*
 * Is it staged in `subvolumes` under a reserved name? A read-only layer cannot be renamed there
 * from another directory, and this one cannot be made under its own name.
 */
static bool create_reserved(const struct create *create)
{
	return create->flags & VARVE_CREATE_READ_ONLY &&
	       (!create->source || create->size || create->record || create->inherits ||
		rewrite_wanted(create->plan));
}

/* Is it made read-only at once? A layer that is rewritten becomes read-only afterwards. */
static bool create_made_read_only(const struct create *create)
{
	return create->flags & VARVE_CREATE_READ_ONLY && !rewrite_wanted(create->plan);
}

/* Get the directory of its worker slot, opened at first use. Lane thread. */
static int create_slot_fd(struct create *create)
{
	return layout_slot(op_store(&create->op), create->op.slot);
}

/* Get the directory that it is staged in. Lane thread. */
static int create_staging_fd(struct create *create)
{
	struct varve_store *store = op_store(&create->op);
	int r;

	if (!create->op.direct && !create_reserved(create))
		return create_slot_fd(create);
	/* A reserved name contains the owner's name. */
	r = create_reserved(create) ? layout_owner(store) : 0;
	return r < 0 ? r : store->layout.subvolumes_fd;
}

/* Print a name that no layer can have, and no other create of any process. */
static const char *create_reserved_name(struct create *create, char buffer[VARVE_ID_MAX + 1])
{
	snprintf(buffer, VARVE_ID_MAX + 1, ID_RESERVED_PREFIX ".%s.%" PRIx64 ".%zx",
		 op_store(&create->op)->layout.owner, create->op.request->handle, create->index);
	return buffer;
}

/*
 * The name it is staged under: its own in its place, else one that no other create has. What could
 * not be destroyed is left under such a name, and the next one for the id is not in its way.
 */
static const char *create_staging_name(struct create *create, char buffer[VARVE_ID_MAX + 1])
{
	if (create->copy)
		return stock_name(create->copy, buffer);
	if (create->op.direct && !create_reserved(create))
		return create->op.id;
	create_reserved_name(create, buffer);
	return create_reserved(create) ? buffer : strcat(buffer, ".layer");
}

/* Note that NAME in DIR_FD was just made, and which subvolume it is. */
static void create_staged(struct create *create, int dir_fd, const char *name)
{
	create->staged = true;
	/* One that has a record is opened for its uuid, which tells the number, too. */
	if (create->record || file_handle_subvolume(dir_fd, name, &create->number))
		create->number = 0;
}

/* ---- ADMIT, OPEN ----------------------------------------------------------------------------- */

/* Count the create among those in the making, and go on to OPEN. */
static int create_make_begin(struct op *op)
{
	backlog_make_begin(op_store(op));
	create_of(op)->making = true;
	create_of(op)->begun_ns = now_ns();
	return CREATE_OPEN;
}

/* Count it no longer among those in the making: what follows may take long. */
static void create_make_end(struct create *create)
{
	if (create->making)
		backlog_make_end(op_store(&create->op));
	create->making = false;
}

static int create_admit(struct op *op)
{
	if (backlog_may_make(op_store(op)))
		return create_make_begin(op);
	return create_of(op)->flags & VARVE_CREATE_NOWAIT ? backlog_wait_look(op)
							  : backlog_wait_room(op);
}

static int create_admitted(struct op *op, int result)
{
	/* The count may be old: a create that does not wait is refused by a fresh look only. */
	if (backlog_room(op_store(op)) || !(create_of(op)->flags & VARVE_CREATE_NOWAIT))
		return create_make_begin(op);
	op->detail = "too many removed layers await the kernel's cleaner";
	return -EAGAIN;
}

static int create_open(struct op *op)
{
	struct create *create = create_of(op);

	if (!create->source)
		return CREATE_STAGE;
	op->subject = create->source;
	layer_open_call(op_store(op), &op->call, create->source);
	return op_call(op);
}

static int create_opened(struct op *op, int result)
{
	if (result == -ENOENT)
		stock_forget(op_store(op), create_of(op)->source);
	if (result < 0)
		return layer_open_error(result);
	create_of(op)->source_fd = result;
	return CREATE_TAKE;
}

/* ---- what is staged -------------------------------------------------------------------------- */

/* Prove that the source is a layer of this store, and snapshot it as NAME in DIR_FD. */
static int create_snapshot(struct create *create, int dir_fd, const char *name,
			   const struct qgroup_initial *initial)
{
	struct op *op = &create->op;
	struct varve_store *store = op_store(op);
	bool read_only = create_made_read_only(create);
	int r;

	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	op->subject = create->source;
	r = layer_prove(store, create->source_fd, create->source, NULL);
	if (r)
		return r;
	op->call.name = "BTRFS_IOC_SNAP_CREATE_V2";
	op->subject = op->id;
	if (initial->limit || initial->groups_count)
		r = qgroup_subvol_snapshot(&store->fs, dir_fd, name, create->source_fd, read_only,
					   initial);
	else
		r = subvol_snapshot(dir_fd, name, create->source_fd, read_only);
	if (!r)
		create_staged(create, dir_fd, name);
	if (r == -ETXTBSY) {
		op->subject = create->source;
		create->swap = swap_detail(create->source_fd, "");
		op->detail =
			create->swap
				? create->swap
				: "it has an active swap file: no snapshot of it can be made before swapoff";
	}
	return r;
}

/* Set mode, owner and read-only flag of the empty subvolume NAME in DIR_FD. */
static int create_set_metadata(struct create *create, int dir_fd, const char *name)
{
	const struct settings *settings = &op_store(&create->op)->settings;
	_cleanup_close_ int fd = -EBADF;

	create->op.call.name = "openat";
	fd = open_directory(dir_fd, name);
	if (fd < 0)
		return fd;
	create->op.call.name = "fchmod";
	if (fchmod(fd, create->mode) < 0)
		return negative_errno();
	create->op.call.name = "fchown";
	if ((settings->root_uid || settings->root_gid) &&
	    fchown(fd, settings->root_uid, settings->root_gid) < 0)
		return negative_errno();
	create->op.call.name = "BTRFS_IOC_SUBVOL_SETFLAGS";
	return create_made_read_only(create) ? subvol_set_read_only(fd, true) : 0;
}

/* Make an empty subvolume NAME in DIR_FD. */
static int create_empty(struct create *create, int dir_fd, const char *name,
			const struct qgroup_initial *initial)
{
	int r;

	create->op.call.name = "BTRFS_IOC_SUBVOL_CREATE";
	r = initial->limit || initial->groups_count
		    ? qgroup_subvol_create(&op_store(&create->op)->fs, dir_fd, name, initial)
		    : subvol_create(dir_fd, name);
	if (r)
		return r;
	create_staged(create, dir_fd, name);
	return create_set_metadata(create, dir_fd, name);
}

/* Can the mode MODE of quota do what is asked for? 0, or -errno and an explanation. */
static int create_check_mode(struct create *create, int mode)
{
	struct op *op = &create->op;
	struct varve_store *store = op_store(op);
	uint64_t wanted[LAYER_GROUPS_MAX], number;
	size_t count = create->groups_count;
	int r = 0;

	if (mode != VARVE_QUOTA_FULL || !create->source)
		return 0;
	if (!store->layout.privileged) {
		/* The groups cannot be looked at without privilege: the administrator sets them. */
		if (!create->size && !count)
			return 0;
		op->detail = "full quotas take CAP_SYS_ADMIN to limit a snapshot";
		return -EPERM;
	}
	/*
	 * Full quotas stay consistent only with some of the groups that the snapshot joins and that
	 * its source is in.
	 */
	op->call.name = "BTRFS_IOC_TREE_SEARCH_V2";
	for (size_t i = 0; i < count && !r; i++)
		r = groups_locate(store, create->groups[i], &wanted[i]);
	if (!r)
		r = subvol_number(create->source_fd, &number);
	if (!r)
		r = groups_suit_snapshot(store, number, wanted, count);
	if (r == -ENOTSUP)
		op->detail =
			count ? "it would make full quotas inconsistent: the parent is not in this group alone, or shares data with "
				"layers outside of it; simple quotas can do it"
			      : "it would make full quotas inconsistent: the parent is in a group, and this is not to be";
	return r;
}

/*
 * create_prepare_quota() of a layer without size and groups: remove the size record that an earlier
 * layer of the name has left.
 */
static int create_prepare_free(struct create *create)
{
	struct varve_store *store = op_store(&create->op);
	int mode, r;

	create->op.call.name = "unlinkat";
	r = size_record_drop_old(store, create->op.id);
	if (r < 0)
		return r;
	if (!create->source)
		return VARVE_QUOTA_OFF;
	create->op.call.name = "openat";
	mode = qgroup_mode(&store->fs);
	if (mode < 0 && !qgroup_unseen(mode))
		return mode;
	/* A caller that cannot see the mode of quota is treated as if quota were off. */
	mode = MAX(mode, VARVE_QUOTA_OFF);
	backlog_saw_quota(store, mode);
	r = create_check_mode(create, mode);
	return r ? r : mode;
}

/*
 * Before anything is made: turn quota on where a size or a group is asked for, and write the record
 * of the size. Returns the mode of quota, VARVE_QUOTA_OFF where it does not matter, or -errno.
 */
static int create_prepare_quota(struct create *create)
{
	struct op *op = &create->op;
	struct varve_store *store = op_store(op);
	char buffer[VARVE_ID_MAX + 1];
	int mode, slot_fd, r;

	if (!create->size && !create->groups_count)
		return create_prepare_free(create);
	op->call.name = "BTRFS_IOC_QUOTA_CTL";
	mode = quota_provide(store, &op->detail);
	r = mode < 0 ? mode : create_check_mode(create, mode);
	if (r)
		return r;
	backlog_saw_quota(store, mode);
	if (!create->size) {
		op->call.name = "unlinkat";
		r = size_record_drop_old(store, op->id);
		return r < 0 ? r : mode;
	}
	op->call.name = "openat";
	slot_fd = create_slot_fd(create);
	if (slot_fd < 0)
		return layout_blame(op, slot_fd);
	r = size_record_write(store, slot_fd, create_reserved_name(create, buffer), create->size);
	create->recorded = !r;
	return r ? r : mode;
}

/*
 * Make a snapshot that inherits an unwanted limit in staging: it must not be visible with that
 * limit, nor keep it after a crash.
 */
static void create_check_inherits(struct create *create)
{
	struct varve_store *store = op_store(&create->op);
	uint64_t number;
	int r;

	if (create->quota != VARVE_QUOTA_FULL || !create->source || create->size ||
	    !store->layout.privileged)
		return;
	r = subvol_number(create->source_fd, &number);
	if (!r)
		r = qgroup_limited(&store->fs, QUOTA_GROUP(0, number), 0);
	/* A look that fails does not tell that there is no limit. */
	create->inherits = r <= 0 && r != -ENOENT;
	if (create->inherits)
		create->op.direct = false;
}

/*
 * See that the limit of the staged subvolume NAME in DIR_FD is what was asked for; MODE is how
 * quota runs.
 */
static int create_check_limit(struct create *create, int dir_fd, const char *name, int mode)
{
	_cleanup_close_ int fd = -EBADF;
	struct varve_store *store = op_store(&create->op);
	uint64_t number;
	int r;

	/* A snapshot in full mode may have got a limit that it was not to have. */
	if (!create->size &&
	    (mode != VARVE_QUOTA_FULL || !create->source || !store->layout.privileged))
		return 0;
	create->op.call.name = "openat";
	fd = open_directory(dir_fd, name);
	if (fd < 0)
		return fd;
	create->op.call.name = "BTRFS_IOC_INO_LOOKUP";
	r = subvol_number(fd, &number);
	if (r)
		return r;
	create->op.call.name = "BTRFS_IOC_QGROUP_LIMIT";
	if (qgroup_limited(&store->fs, QUOTA_GROUP(0, number), create->size) > 0)
		return 0;
	create->relimited = true;
	r = qgroup_ensure_limit(&store->fs, QUOTA_GROUP(0, number), create->size);
	if (r == -ENOTCONN || r == -ENOENT) {
		create->op.detail = "quota was turned off meanwhile";
		/* Without quota there is no inherited limit either. */
		r = create->size ? -ENOTCONN : 0;
	}
	return r;
}

/* Remove the record of its size, if that was not published. */
static void create_forget_size(struct create *create)
{
	char buffer[VARVE_ID_MAX + 1];

	if (create->recorded)
		unlinkat(create_slot_fd(create), create_reserved_name(create, buffer), 0);
	create->recorded = false;
}

/* Look what the uuid of the staged subvolume NAME in DIR_FD is, which its record names. */
static int create_identify(struct create *create, int dir_fd, const char *name)
{
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!create->record)
		return 0;
	create->op.call.name = "openat";
	fd = open_directory(dir_fd, name);
	if (fd < 0)
		return fd;
	create->op.call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = subvol_info(fd, &info);
	if (r < 0)
		return r;
	create->number = info.treeid;
	memcpy(create->uuid, info.uuid, sizeof(create->uuid));
	return 0;
}

/* Find the numbers of the groups that it joins; with MAKE, make those that are missing. */
static int create_find_groups(struct create *create, bool make, uint64_t *numbers)
{
	create->op.call.name = "BTRFS_IOC_QGROUP_CREATE";
	for (size_t i = 0; i < create->groups_count; i++) {
		int r = groups_find(op_store(&create->op), create->groups[i], make, &numbers[i]);

		if (r)
			return r;
	}
	return 0;
}

/* Make the subvolume NAME in DIR_FD, a member of its groups. */
static int create_join(struct create *create, int dir_fd, const char *name)
{
	uint64_t numbers[LAYER_GROUPS_MAX];
	struct qgroup_initial initial = { .limit = create->size,
					  .groups = numbers,
					  .groups_count = create->groups_count };
	int found = create_find_groups(create, false, numbers), r = -ENOENT;

	/* The last layer of a group may take it away at any moment: then it is made again. */
	for (int tries = 0; !found && r == -ENOENT && tries < GROUP_TRIES; tries++) {
		r = create->source ? create_snapshot(create, dir_fd, name, &initial)
				   : create_empty(create, dir_fd, name, &initial);
		if (r != -ENOENT || !initial.groups_count)
			return r;
		found = create_find_groups(create, true, numbers);
	}
	return found ? found : r;
}

/* ---- TAKE ------------------------------------------------------------------------------------ */

/* Is it a snapshot and nothing else, so that a spare copy is what it would be? */
static bool create_plain(const struct create *create)
{
	return create->source && !create->size && !create->groups_count && !create->unpack &&
	       !rewrite_wanted(create->plan) && !(create->flags & VARVE_CREATE_READ_ONLY);
}

/*
 * Make the spare copy the staged subvolume, if it is what a snapshot would be now; else
 * STOCK_MISFIT. Lane thread.
 */
static int create_take_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];
	const char *name = create_staging_name(create, buffer);
	int r = layer_vacate(op_store(op), op->id);

	if (r)
		return r;
	create->quota = create_prepare_quota(create);
	if (create->quota)
		return create->quota < 0 ? create->quota : STOCK_MISFIT;
	call->name = "BTRFS_IOC_GET_SUBVOL_INFO";
	op->subject = create->source;
	r = stock_check(op_store(op), create->copy, create->source_fd, create->source);
	if (r)
		return r;
	op->subject = op->id;
	create_staged(create, create_slot_fd(create), name);
	r = create_identify(create, create_slot_fd(create), name);
	if (!r)
		fd_close(TAKE_FD(create->source_fd));
	return r;
}

static int create_take(struct op *op)
{
	struct create *create = create_of(op);

	/* It may have one from a try before. */
	if (!create->copy && create_plain(create))
		create->copy = stock_take(op_store(op), create->source);
	if (!create->copy)
		return CREATE_STAGE;
	op->subject = op->id;
	op->slot = (uint16_t)create->copy->slot;
	call_function(&op->call, LANE_COMMIT, "fstatat", create_take_run);
	return op_call(op);
}

static int create_taken(struct op *op, int result)
{
	struct create *create = create_of(op);

	if (result == STOCK_MISFIT) {
		stock_misfit(op_store(op), create->source, TAKE_PTR(create->copy));
		return CREATE_STAGE;
	}
	if (result < 0)
		return result;
	create_make_end(create);
	return CREATE_PUBLISH;
}

/* ---- STAGE ----------------------------------------------------------------------------------- */

/* Make the subvolume, on a thread of the commit lane. */
static int create_stage_work(struct op *op)
{
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];
	const char *name;
	int dir_fd, r;

	/* Cheaper than a snapshot that cannot be published; the rename has the last word. */
	op->call.name = "fstatat";
	op->subject = op->id;
	r = layer_vacate(op_store(op), op->id);
	if (r)
		return r;
	create->quota = create_prepare_quota(create);
	if (create->quota < 0)
		return create->quota;
	create_check_inherits(create);
	op->call.name = "openat";
	dir_fd = create_staging_fd(create);
	name = create_staging_name(create, buffer);
	r = dir_fd < 0 ? layout_blame(op, dir_fd) : create_join(create, dir_fd, name);
	if (!r) {
		fd_close(TAKE_FD(create->source_fd));
		r = create_check_limit(create, dir_fd, name, create->quota);
	}
	if (!r)
		r = create_identify(create, dir_fd, name);
	if (r && !create->staged)
		create_forget_size(create);
	return r;
}

/* Finish a subvolume that was made when no descriptor was left to finish it. Lane thread. */
static int create_finish_run(struct call *call)
{
	struct create *create = create_of(container_of(call, struct op, call));
	char buffer[VARVE_ID_MAX + 1];
	const char *name = create_staging_name(create, buffer);
	int dir_fd = create_staging_fd(create), r = dir_fd < 0 ? dir_fd : 0;

	if (!r && !create->source)
		r = create_set_metadata(create, dir_fd, name);
	if (!r)
		r = create_check_limit(create, dir_fd, name, create->quota);
	return r ? r : create_identify(create, dir_fd, name);
}

static int create_stage(struct op *op)
{
	struct create *create = create_of(op);

	op->subject = op->id;
	if (create->staged) {
		call_function(&op->call, LANE_COMMIT, "openat", create_finish_run);
		return op_call(op);
	}
	op->work = create_stage_work;
	op->commits = create->source;
	op->direct_allowed = create->source && !create->size && !create->record &&
			     !create->unpack && !rewrite_wanted(create->plan);
	op->direct = op->direct_allowed && create->flags & VARVE_CREATE_READ_ONLY;
	return commit_stage(op);
}

/* Tell which state follows when it is staged, filled and rewritten. */
static int create_complete(const struct create *create)
{
	return create->unpack ? CREATE_FLUSH : CREATE_PUBLISH;
}

/* Tell which state follows when it is staged and filled. */
static int create_rewriting(const struct create *create)
{
	return rewrite_wanted(create->plan) ? CREATE_TURN : create_complete(create);
}

/* Making the layer's name has failed with RESULT, which is returned. */
static int create_no_name(struct op *op, int result)
{
	if (result == -EOVERFLOW)
		op->detail = NAME_HASH_FULL;
	return result;
}

static int create_stage_done(struct op *op, int result)
{
	/*
	 * Each snapshot in flight reserves some 2 MiB for its metadata and uses a part of that: on
	 * a nearly full file system a group fails where each snapshot alone fits. So a create that
	 * fails for want of space tries once more, alone.
	 */
	if (result == -ENOSPC && !create_of(op)->staged && !op->alone) {
		op->alone = true;
		return create_stage(op);
	}
	create_make_end(create_of(op));
	if (result < 0)
		return create_no_name(op, result);
	if (!op->direct)
		return create_of(op)->unpack ? CREATE_UNPACK : create_rewriting(create_of(op));
	create_of(op)->published = true;
	return op->request->durable && create_of(op)->relimited ? CREATE_DURABLE : OP_END;
}

/* ---- UNPACK ---------------------------------------------------------------------------------- */

/* Unpack into the staged subvolume. Lane thread. */
static int create_unpack_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];
	_cleanup_close_ int fd = open_directory(create_staging_fd(create),
						create_staging_name(create, buffer));

	return fd < 0 ? fd : unpack_run(create->unpack, op, fd);
}

/* Stop waiting for the bytes of the archive. */
static void create_interrupt(struct op *op)
{
	unpack_interrupt(create_of(op)->unpack, op);
}

static int create_unpack(struct op *op)
{
	op->interrupt = create_interrupt;
	create_of(op)->unpack->writeback = create_of(op)->unpack->unseen = true;
	commit_write_begin(op);
	call_function(&op->call, LANE_STREAM, "openat", create_unpack_run);
	return op_call(op);
}

static int create_unpacked(struct op *op, int result)
{
	op->interrupt = NULL;
	return result < 0 ? result : create_rewriting(create_of(op));
}

/* ---- REWRITE --------------------------------------------------------------------------------- */

/* Get the report of REQUEST: what could not be kept; NULL: there is nothing to report. */
static struct skipped *create_report(struct request *request)
{
	struct create *first = create_of(request->ops);

	return first->unpack ? &first->unpack->report : first->report;
}

static int create_rewrite(struct op *op)
{
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];

	return rewrite_start(op, create->plan, create_staging_fd(create),
			     create_staging_name(create, buffer), create_report(op->request),
			     &create->rewrite);
}

static int create_rewritten(struct op *op, int result)
{
	workers_leave(op);
	return result < 0 ? result : create_complete(create_of(op));
}

/* ---- PUBLISH, DURABLE, UNDO ------------------------------------------------------------------ */

/* Make a rewritten layer read-only, if it is to be. Lane thread. */
static int create_seal(struct create *create)
{
	_cleanup_close_ int fd = -EBADF;
	char buffer[VARVE_ID_MAX + 1];

	if (!(create->flags & VARVE_CREATE_READ_ONLY) || create_made_read_only(create))
		return 0;
	/* It commits. */
	size_record_leave(op_store(&create->op));
	create->op.call.name = "openat";
	fd = open_directory(create_staging_fd(create), create_staging_name(create, buffer));
	create->op.call.name = "BTRFS_IOC_SUBVOL_SETFLAGS";
	return fd < 0 ? fd : subvol_set_read_only(fd, true);
}

/*
 * Rename it into its place. The flags (chattr +i, +a) and the mode that a snapshot has from its
 * source may forbid that: they are taken away and given back. A crash in between leaves the layer
 * without them.
 */
static int create_rename(struct create *create)
{
	struct op *op = &create->op;
	char buffer[VARVE_ID_MAX + 1];
	const char *name = create_staging_name(create, buffer);
	int subvolumes_fd = op_store(op)->layout.subvolumes_fd,
	    staging_fd = create_staging_fd(create), r;
	struct loosened loosened = { 0 };

	op->call.name = "renameat2";
	do
		r = RET_NERRNO(
			renameat2(staging_fd, name, subvolumes_fd, op->id, RENAME_NOREPLACE));
	while (r && loosen(staging_fd, name, r, &loosened, &op->detail) > 0);
	if (r)
		return r;
	r = loosened_restore(subvolumes_fd, op->id, &loosened);
	/* UNDO destroys it in its place. */
	if (r) {
		create->published = true;
		op->detail =
			"the flags (chattr +i, +a) or the mode of its parent could not be given to it";
	}
	return r;
}

/* Put its records, those that it has, into their places. The lock is held. */
static int create_place_records(struct create *create)
{
	struct varve_store *store = op_store(&create->op);
	char buffer[VARVE_ID_MAX + 1];
	int r = 0;

	create->op.call.name = "fsetxattr";
	if (create->record)
		r = record_write_new(store, create->op.id, create->record, create->uuid);
	if (r || !create->recorded)
		return r;
	create->op.call.name = "renameat2";
	r = layer_file_place(store, LAYOUT_QUOTAS, create_slot_fd(create),
			     create_reserved_name(create, buffer), create->op.id);
	if (!r)
		create->recorded = false;
	return r;
}

/* Put its records into their places, and then itself; no other process looks in between. */
static int create_publish_recorded(struct create *create)
{
	struct op *op = &create->op;
	struct varve_store *store = op_store(op);
	struct stat stat;
	int r = size_record_enter(store, op->id);

	op->call.name = "flock";
	if (r)
		return r;
	/* A layer that is there already keeps its own records. */
	op->call.name = "renameat2";
	if (!fstatat(store->layout.subvolumes_fd, op->id, &stat, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	if (errno != ENOENT)
		return negative_errno();
	r = create_place_records(create);
	if (!r)
		r = create_rename(create);
	/* The next create of that name, or gc, removes a record that has no layer. */
	if (r && create->size)
		layer_file_remove(store, LAYOUT_QUOTAS, op->id);
	if (r && create->record)
		layer_file_remove(store, LAYOUT_RECORDS, op->id);
	return r;
}

/* Make the layer visible, at a boundary. */
static int create_publish_work(struct op *op)
{
	struct create *create = create_of(op);
	int r = create_seal(create);

	if (r)
		return r;
	return op->recorded ? create_publish_recorded(create) : create_rename(create);
}

static int create_publish(struct op *op)
{
	struct create *create = create_of(op);

	op->work = create_publish_work;
	op->recorded = create->recorded || create->record;
	return commit_publish(op);
}

static int create_publish_done(struct op *op, int result)
{
	if (result < 0)
		return create_no_name(op, result);
	create_of(op)->published = true;
	return op->request->durable ? CREATE_DURABLE : OP_END;
}

static int create_durable(struct op *op)
{
	/* A layer that was made in its place is durable, but for a limit that was set later. */
	return op->direct ? commit_metadata(op) : commit_names(op);
}

/* Destroy what was made, at a boundary. */
static int create_undo_work(struct op *op)
{
	struct create *create = create_of(op);
	struct varve_store *store = op_store(op);
	char buffer[VARVE_ID_MAX + 1];
	struct undo undo = { .op = op, .number = create->number, .index = create->index };
	bool marked;
	int r;

	create_forget_size(create);
	undo.in_sight = create->published || (op->direct && !create_reserved(create));
	undo.name = create->published ? op->id : create_staging_name(create, buffer);
	undo.dir_fd = create->published ? store->layout.subvolumes_fd : create_staging_fd(create);
	marked = create->published && size_record_mark(store, op->id);
	r = undo_destroy(&undo);
	free(create->fate);
	create->fate = undo.fate;
	/* The next create of that name, or gc, removes a record that stays. */
	if (create->published && r != UNDO_ABSENT) {
		size_record_drop(store, op->id);
		record_drop(store, op->id);
	}
	if (marked)
		size_record_unmark(store, op->id);
	return r;
}

static int create_undo(struct op *op)
{
	workers_leave(op);
	if (!create_of(op)->staged)
		return OP_END;
	op->work = create_undo_work;
	op->recorded = false;
	return commit_destroy(op);
}

static int create_undone(struct op *op, int result)
{
	return undo_done(op, create_of(op)->fate, result);
}

static const struct op_step create_steps[CREATE_STATES] = {
	[CREATE_ADMIT] = { "ADMIT", create_admit, create_admitted },
	[CREATE_OPEN] = { "OPEN", create_open, create_opened, true },
	[CREATE_TAKE] = { "TAKE", create_take, create_taken, true },
	[CREATE_STAGE] = { "STAGE", create_stage, create_stage_done, true },
	[CREATE_UNPACK] = { "UNPACK", create_unpack, create_unpacked, true },
	[CREATE_TURN] = { "TURN", workers_admit, NULL },
	[CREATE_REWRITE] = { "REWRITE", create_rewrite, create_rewritten, true },
	[CREATE_FLUSH] = { "FLUSH", commit_flush, NULL },
	[CREATE_PUBLISH] = { "PUBLISH", create_publish, create_publish_done },
	[CREATE_DURABLE] = { "DURABLE", create_durable, NULL },
	[CREATE_UNDO] = { "UNDO", create_undo, create_undone },
};

static void create_close(struct op *op)
{
	struct create *create = create_of(op);

	create_make_end(create);
	/* How long it took, if it unpacked and rewrote nothing. */
	if (create->begun_ns && !op->error && !create->unpack && !rewrite_wanted(create->plan))
		background_created(op_store(op), now_ns() - create->begun_ns);
	/* A copy that was staged is used up, whatever became of it. */
	if (create->copy && create->staged)
		stock_taken(op_store(op), create->source, create->copy);
	else if (create->copy)
		stock_return(op_store(op), create->source, create->copy);
	create->copy = NULL;
	fd_close(create->source_fd);
	rewrite_free(TAKE_PTR(create->rewrite));
	free(TAKE_PTR(create->fate));
	free(TAKE_PTR(create->swap));
	unpack_close(create->unpack);
}

static void create_result(struct request *request, struct varve_result *result)
{
	const struct unpack *unpack = create_of(request->ops)->unpack;
	const struct skipped *report = create_report(request);

	if (report)
		skipped_report(report, result);
	if (!unpack)
		return;
	result->bytes = unpack->size;
	result->digests = digests_result(&unpack->digests);
}

static void create_release(struct op *op)
{
	struct create *create = create_of(op);

	unpack_free(create->unpack);
	if (op != op->request->ops)
		return;
	free(create->record);
	if (create->report)
		skipped_free(create->report);
}

static const struct op_class create_class = {
	.operation = VARVE_CREATE,
	.size = sizeof(struct create),
	.holds = 2,
	.outcomes = true,
	.progress = true,
	.steps = create_steps,
	.steps_count = CREATE_STATES,
	.unwind = CREATE_UNDO,
	.cancel_last = CREATE_PUBLISH,
	.close = create_close,
	.result = create_result,
	.release = create_release,
};

/* Count the bytes of the plan of ARGUMENTS and its report, with all that the plan points to. */
static size_t create_plan_bytes(const struct create_arguments *arguments)
{
	if (!arguments->chown && !arguments->label)
		return 0;
	return sizeof(struct rewrite_plan) + sizeof(struct skipped) +
	       (arguments->chown ? shift_maps_bytes(arguments->chown) : 0) +
	       (arguments->label ? strlen(arguments->label) + 1 : 0);
}

/*
 * Put the plan of ARGUMENTS, if they have one, and its report before the strings of REQUEST, where
 * they are aligned.
 */
static const struct rewrite_plan *create_plan(struct request *request,
					      const struct create_arguments *arguments,
					      struct skipped **ret_report)
{
	struct rewrite_plan *plan = (struct rewrite_plan *)request->strings;

	*ret_report = NULL;
	if (!create_plan_bytes(arguments))
		return NULL;
	request->strings += sizeof(*plan);
	*plan = (struct rewrite_plan){ 0 };
	*ret_report = (struct skipped *)request->strings;
	request->strings += sizeof(**ret_report);
	**ret_report = (struct skipped){ .fault = &request->core->io.fault };
	if (arguments->chown) {
		shift_maps_copy(&plan->maps, arguments->chown, request->strings);
		request->strings += shift_maps_bytes(arguments->chown);
	}
	plan->label = request_string(request, arguments->label);
	return plan;
}

int create_submit(struct varve_store *store, const char *const *ids, size_t count,
		  const struct create_arguments *arguments, const struct submit *submit)
{
	const char *source = arguments->template_id ? arguments->template_id : arguments->parent;
	const struct record_change *labels = &arguments->labels;
	size_t strings = source ? strlen(source) + 1 : 0;
	const struct rewrite_plan *plan;
	struct record *record = NULL;
	struct skipped *report;
	const char **groups;
	struct request *request;
	int r = labels->set_count || labels->bytes_count
			? record_apply(&store->core.io.fault, NULL, labels, &record)
			: 0;

	if (r)
		return r;
	for (size_t i = 0; i < count; i++)
		strings += strlen(ids[i]) + 1;
	for (size_t i = 0; i < arguments->storage.groups_count; i++)
		strings += sizeof(*groups) + strlen(arguments->storage.groups[i]) + 1;
	r = request_new(&store->core, &create_class, count, create_plan_bytes(arguments) + strings,
			arguments->flags, &request);
	if (r) {
		free(record);
		return r;
	}
	/* Aligned parts come first. */
	groups = (const char **)request->strings;
	request->strings += arguments->storage.groups_count * sizeof(*groups);
	plan = create_plan(request, arguments, &report);
	source = request_string(request, source);
	for (size_t i = 0; i < arguments->storage.groups_count; i++)
		groups[i] = request_string(request, arguments->storage.groups[i]);
	for (size_t i = 0; i < count; i++) {
		struct create *create = create_of(request_op(request, i));

		create->op.id = create->op.subject = request_string(request, ids[i]);
		create->op.place = LAYER_PLACE;
		op_holds(&create->op)[0] = (struct id_lock){ .id = create->op.id,
							     .exclusive = true };
		create->index = i;
		create->report = report;
		create->source = source;
		create->source_fd = -EBADF;
		create->flags = arguments->flags;
		create->mode = arguments->mode;
		create->size = arguments->storage.size;
		create->plan = plan;
		create->groups = groups;
		create->groups_count = arguments->storage.groups_count;
		create->record = record;
		/* A layer that is to be made from itself holds its id once. */
		if (source && strcmp(source, create->op.id))
			op_holds(&create->op)[1] = (struct id_lock){ .id = source };
	}
	/* Those of a group then change neighbouring entries: fewer leaves for its commit. */
	if (count > 1)
		request_order(request, name_hash);
	/* api/ has checked that this is one layer. */
	if (arguments->apply)
		request->ops->fds_kind = FDS_READS;
	r = arguments->apply ? unpack_new(request, arguments->apply, arguments->apply_fd,
					  &create_of(request->ops)->unpack)
			     : 0;
	if (r) {
		request_free(request);
		return r;
	}
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
