/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep: remove the leftovers of crashed processes.
 *
 * Each open store owns HOME/.varve/staging/OWNER and holds a lock (flock) on it. When another
 * process gets the lock, the owner is gone, and everything with its name is a leftover: its staging
 * directory, HOME/.varve/trash/OWNER.*, and HOME/subvolumes/.varve.OWNER.* . Whatever process left
 * them, a file quotas/ID without a layer ID is a leftover, and a quota group without a subvolume.
 *
 * A sweep continues after a failure and reports the first one. Everything is idempotent: a crash of
 * the sweep leaves less to sweep.
 */
#include "engine/base/id.h"
#include "engine/base/limits.h"
#include "engine/btrfs/chattr.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/nested.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/beneath.h"
#include "engine/dir/entries.h"
#include "engine/dir/loosen.h"
#include "engine/dir/mounts.h"
#include "engine/ops/ops.h"
#include "engine/store/backlog.h"
#include "engine/store/groups.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"
#include "engine/walk/rm_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum sweep_state { SWEEP_RUN, SWEEP_STATES };

struct sweep {
	struct op op;
	struct varve_sweep_report report;
	/* The directory that is swept now, and its name below the home. */
	int dir_fd;
	const char *place;
	/* Counts what is removed from it. */
	uint64_t *removed;
	/* Subvolumes destroyed. */
	unsigned destroyed;
	/* The subvolume that the store lies in is a snapshot of another. */
	bool snapshot;
	/* Another process holds the lock of the records. */
	bool locked;
	/* The first failure: what, where, in which call. */
	int error;
	const char *error_place, *error_call;
	char error_name[VARVE_FAILURE_PATH_SIZE];
	char error_cause[VARVE_FAILURE_DETAIL_SIZE];
	/* Why the current leftover cannot be removed, where more than the error is known. */
	const char *cause;
	/* The path below it that cannot be removed, or "". */
	char blamed[VARVE_FAILURE_PATH_SIZE];
	/* Room for the text of `cause`. */
	char cause_text[VARVE_FAILURE_DETAIL_SIZE];
	/* The file system was flushed to make room. */
	bool flushed;
	/*
	 * At an open, where there are records: remember the names in `subvolumes`; those, sorted
	 * once all are there.
	 */
	bool remembers;
	char **names;
	size_t names_count, names_capacity;
};

static struct sweep *sweep_of(struct op *op)
{
	return container_of(op, struct sweep, op);
}

/* Count a failure with NAME in the current directory, and remember the first. */
static void sweep_failed(struct sweep *sweep, int error, const char *call, const char *name)
{
	sweep->report.failures++;
	if (sweep->error)
		return;
	sweep->error = error;
	sweep->error_place = sweep->place;
	sweep->error_call = call;
	snprintf(sweep->error_cause, sizeof(sweep->error_cause), "%s",
		 sweep->cause ? sweep->cause : "the sweep continued; this is its first failure");
	snprintf(sweep->error_name, sizeof(sweep->error_name), "%s%s%.*s", name,
		 *sweep->blamed ? "/" : "", (int)(sizeof(sweep->error_name) - VARVE_ID_MAX - 2),
		 sweep->blamed);
}

/*
 * Is the owner of the leftover NAME gone? The owner's name has LENGTH bytes at OWNER; *RET_FD, if
 * wanted, is set as by layout_owner_take(). Where that cannot be known, NAME stays, and a failure
 * is counted.
 */
static bool sweep_gone(struct sweep *sweep, const char *name, const char *owner, size_t length,
		       int *ret_fd)
{
	struct varve_store *store = op_store(&sweep->op);
	int r = ret_fd ? layout_owner_take(store, owner, ret_fd)
		       : layout_owner_gone(store, owner, length);

	if (r < 0) {
		snprintf(sweep->cause_text, sizeof(sweep->cause_text),
			 "it stays: %s/%.*s cannot be opened to see whether its process is gone",
			 layout_name(LAYOUT_STAGING), (int)MIN(length, (size_t)VARVE_ID_MAX),
			 owner);
		sweep->cause = sweep->cause_text;
		sweep_failed(sweep, r, "openat2", name);
		sweep->cause = NULL;
	}
	return r > 0;
}

/*
 * A call on the leftover NAME of DIR_FD failed with RESULT: remove what forbids it. True if the
 * call may succeed now.
 */
static bool sweep_retry(struct sweep *sweep, int dir_fd, const char *name,
			struct loosened *loosened, int result)
{
	if (result != -ENOSPC)
		return loosen(dir_fd, name, result, loosened, &sweep->cause) > 0;
	/* A commit may free room. */
	return !TAKE(sweep->flushed, true) && !fs_flush(dir_fd);
}

/* Destroy subvolume NAME of DIR_FD; -ENOTEMPTY where another is nested in it. */
static int sweep_destroy(struct sweep *sweep, int dir_fd, const char *name)
{
	struct loosened loosened = { 0 };
	int r;

	do
		r = subvol_destroy(dir_fd, name);
	while (r && sweep_retry(sweep, dir_fd, name, &loosened, r));
	return r;
}

/* Destroy what can be found nested in subvolume FD. */
static int sweep_destroy_inner(struct sweep *sweep, int fd)
{
	struct varve_store *store = op_store(&sweep->op);
	struct nested nested = { 0 };
	unsigned destroyed = 0, batches = 0;
	uint64_t number;
	int r;

	if (!store->layout.privileged) {
		do {
			r = nested_destroy_user(fd, NESTED_BATCH, &destroyed);
			sweep->destroyed += destroyed;
		} while (r > 0 && ++batches < NESTED_BATCHES_MAX && !sweep->op.request->cancelled);
		if (r > 0 && !sweep->op.request->cancelled)
			sweep->cause =
				"subvolumes are made in it as they are destroyed: end the programs in it";
		return r > 0 ? -EBUSY : r;
	}
	r = subvol_number(fd, &number);
	if (!r)
		r = nested_collect(&nested, fd, number, &store->core.io.fault);
	if (!r)
		r = nested_destroy(&nested, fd, UINT_MAX, &destroyed);
	/* The layer is full; the next round has no limit. */
	if (r == -EDQUOT && !groups_unlimit(store, number, &nested, NULL))
		r = -ENOTEMPTY;
	if (r == -ENOSPC && !TAKE(sweep->flushed, true) && !fs_flush(fd))
		r = -ENOTEMPTY;
	if (r < 0 && r != -ENOTEMPTY && nested.failed_root) {
		sweep->cause = chattr_detail(nested.failed_flags);
		if (nested_failed_path(&nested, fd, fd, sweep->blamed, sizeof(sweep->blamed)))
			*sweep->blamed = '\0';
	}
	sweep->destroyed += destroyed;
	nested_free(&nested);
	return r;
}

/* Destroy what is nested in NAME, and NAME. */
static int sweep_destroy_nested(struct sweep *sweep, int dir_fd, const char *name)
{
	/* Where something is mounted over it, this fails. */
	_cleanup_close_ int fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	int r = -ENOTEMPTY;

	if (fd < 0)
		return fd;
	for (unsigned rounds = 0; r == -ENOTEMPTY && rounds < NESTED_ROUNDS_MAX; rounds++) {
		r = sweep_destroy_inner(sweep, fd);
		if (!r)
			r = sweep_destroy(sweep, dir_fd, name);
	}
	return r;
}

/*
 * Refuse to destroy the leftover NAME of DIR_FD with -EBUSY where something is mounted in it in our
 * mount namespace: the kernel would unmount that. -errno where the mounts are not known.
 */
static int sweep_mounted(struct sweep *sweep, int dir_fd, const char *name)
{
	_cleanup_free_ char *point = NULL;
	int r = mounts_at(dir_fd, name, &point);

	if (r <= 0)
		return r;
	snprintf(sweep->cause_text, sizeof(sweep->cause_text),
		 "%.*s is a mount point: unmount it, and sweep again",
		 (int)(sizeof(sweep->cause_text) - 60), point);
	sweep->cause = sweep->cause_text;
	return -EBUSY;
}

/* Remove the leftover NAME of DIR_FD entry by entry, in a clone that shows no mounts. */
static int sweep_empty(struct sweep *sweep, int dir_fd, const char *name)
{
	_cleanup_close_ int fd = RET_NERRNO(
		openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	char failed[VARVE_FAILURE_PATH_SIZE];
	const char *below;
	_cleanup_close_ int tree = -EBADF;
	int r = fd < 0 ? fd : mounts_clone(&fd, &tree);

	if (r < 0)
		return r;
	r = rm_tree_remove(op_store(&sweep->op), fd, name, -EBADF, &sweep->op.request->cancelled,
			   failed, &sweep->cause);
	below = r ? strchr(failed, '/') : NULL;
	if (below)
		snprintf(sweep->blamed, sizeof(sweep->blamed), "%s", below + 1);
	if (r == -EBUSY)
		sweep->cause = "something is mounted there";
	return r;
}

/* Remove the leftover NAME of DIR_FD, whatever it is. */
static void sweep_remove(struct sweep *sweep, int dir_fd, const char *name)
{
	const char *call = "/proc/self/mountinfo";
	bool counts = true;
	int r = sweep_mounted(sweep, dir_fd, name);

	if (!r) {
		call = "BTRFS_IOC_SNAP_DESTROY";
		r = sweep_destroy(sweep, dir_fd, name);
		/* A file is the record of a layer that is counted itself. */
		counts = r != -ENOTDIR;
		if (r == -ENOTEMPTY)
			r = sweep_destroy_nested(sweep, dir_fd, name);
		sweep->destroyed += !r;
		/* It is no subvolume, or the caller may not destroy it: entry by entry. */
		if (!sweep->cause &&
		    (r == -EINVAL || r == -ENOTDIR || r == -EPERM || r == -EACCES || r == -EROFS)) {
			call = "unlinkat";
			r = sweep_empty(sweep, dir_fd, name);
		}
	}
	/* -ENOENT: another sweep has removed it. */
	if (r && r != -ENOENT)
		sweep_failed(sweep, r, call, name);
	else if (!r)
		*sweep->removed += counts;
	sweep->cause = NULL;
	*sweep->blamed = '\0';
}

/* ---- the places ------------------------------------------------------------------------------ */

/* Call EACH with every name in the directory FD, unless another sweep has removed it. */
static int sweep_each(struct sweep *sweep, int fd, int (*each)(void *data, const char *name))
{
	int r = entries_each(fd, each, sweep);

	return r == -ENOENT ? 0 : r;
}

/* Remove one leftover of a slot's directory. */
static int sweep_slot_entry(void *data, const char *name)
{
	struct sweep *sweep = data;

	sweep_remove(sweep, sweep->dir_fd, name);
	return sweep->op.request->cancelled ? -ECANCELED : 0;
}

/* Remove one slot's directory of an owner that is gone. */
static int sweep_slot(void *data, const char *name)
{
	struct sweep *sweep = data;
	int owner_fd = sweep->dir_fd, r;
	/* Where something is mounted on it, this fails. */
	_cleanup_close_ int fd = beneath_open(owner_fd, name, O_RDONLY | O_DIRECTORY);

	if (fd < 0) {
		sweep_remove(sweep, owner_fd, name);
		return 0;
	}
	sweep->dir_fd = fd;
	r = sweep_each(sweep, fd, sweep_slot_entry);
	sweep->dir_fd = owner_fd;
	if (!r && unlinkat(owner_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		sweep_failed(sweep, negative_errno(), "unlinkat", name);
	return r;
}

/* Remove the staging directory of OWNER, if the owner is gone. */
static int sweep_staging(void *data, const char *owner)
{
	struct sweep *sweep = data;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!sweep_gone(sweep, owner, owner, strlen(owner), &fd) || fd < 0)
		return 0;
	sweep->dir_fd = fd;
	r = sweep_each(sweep, fd, sweep_slot);
	if (!r && unlinkat(op_store(&sweep->op)->layout.staging_fd, owner, AT_REMOVEDIR) < 0 &&
	    errno != ENOENT)
		sweep_failed(sweep, negative_errno(), "unlinkat", owner);
	return r;
}

/* Destroy NAME of the trash, OWNER.NUMBER, if the owner is gone. */
static int sweep_trash(void *data, const char *name)
{
	struct sweep *sweep = data;
	const char *dot = strrchr(name, '.');

	if (sweep_gone(sweep, name, name, dot ? (size_t)(dot - name) : strlen(name), NULL))
		sweep_remove(sweep, sweep->dir_fd, name);
	return sweep->op.request->cancelled ? -ECANCELED : 0;
}

/* Remember NAME in `subvolumes`; one that is not costs a look at it. */
static void sweep_remember(struct sweep *sweep, const char *name)
{
	struct fault *fault = &op_store(&sweep->op)->core.io.fault;
	char *copy = fault_calloc(fault, 1, strlen(name) + 1);
	int r = fault_reserve(fault, &sweep->names, sweep->names_count, 1, &sweep->names_capacity,
			      sizeof(*sweep->names));

	if (!r && copy)
		sweep->names[sweep->names_count++] = strcpy(copy, name);
	else
		free(copy);
}

/* Forget the names in `subvolumes`. */
static void sweep_forget(struct sweep *sweep)
{
	while (sweep->names_count)
		free(sweep->names[--sweep->names_count]);
	free(TAKE_PTR(sweep->names));
	sweep->names_capacity = 0;
}

/*
 * Destroy NAME in `subvolumes`, .varve.OWNER.*, if the owner is gone; or remove it, if it is a
 * stand-in. At an open the names of layers are remembered.
 */
static int sweep_reserved(void *data, const char *name)
{
	static const char prefix[] = ID_RESERVED_PREFIX ".";
	struct sweep *sweep = data;
	const char *owner = name + strlen(prefix), *dot;

	if (sweep->snapshot && !layer_vacate(op_store(&sweep->op), name)) {
		++*sweep->removed;
		return 0;
	}
	if (strncmp(name, prefix, strlen(prefix))) {
		if (sweep->remembers)
			sweep_remember(sweep, name);
		return 0;
	}
	dot = strchr(owner, '.');
	if (dot && sweep_gone(sweep, name, owner, (size_t)(dot - owner), NULL))
		sweep_remove(sweep, sweep->dir_fd, name);
	return 0;
}

/* Remove the record NAME, if there is nothing of that name in `subvolumes`. */
static int sweep_record(void *data, const char *name)
{
	struct sweep *sweep = data;
	int r = size_record_drop_left(op_store(&sweep->op), name);

	if (r == OP_LATER)
		sweep->locked = true;
	else if (r < 0)
		sweep_failed(sweep, r, "unlinkat", name);
	else
		sweep->report.quota_files_removed += (unsigned)r;
	return 0;
}

/* Remove the labels and the record of NAME, if they belong to no layer. */
static int sweep_labels(void *data, const char *name)
{
	struct sweep *sweep = data;
	struct varve_store *store = op_store(&sweep->op);
	bool damaged;
	int r;

	/* To look at each layer takes time: an open looks at those alone whose place was free. */
	if (sweep->names_count &&
	    bsearch(&name, sweep->names, sweep->names_count, sizeof(*sweep->names), string_order))
		return 0;
	/* Nearly all belong to layers: they are looked at without the lock. */
	r = record_belongs(store, name, &damaged);
	if (!r)
		r = record_drop(store, name);
	else if (r > 0)
		r = 0;
	if (r == OP_LATER)
		sweep->locked = true;
	/* A directory, which varve never makes; no record can replace it meanwhile. */
	else if (r == -EISDIR)
		sweep_remove(sweep, sweep->dir_fd, name);
	else if (r < 0)
		sweep_failed(sweep, r, "unlinkat", name);
	else
		sweep->report.records_removed += (unsigned)r;
	return sweep->op.request->cancelled ? -ECANCELED : 0;
}

/* Remove the groups of subvolumes that are gone. */
static void sweep_groups(struct sweep *sweep)
{
	int r;

	sweep->place = "";
	r = groups_sweep(op_store(&sweep->op), &sweep->report.quota_groups_removed);
	if (r == OP_LATER)
		sweep->locked = true;
	else if (r)
		sweep_failed(sweep, r, "BTRFS_IOC_QGROUP_CREATE", "");
}

/* Sweep the directory FD (-ENOENT: there is none), which is PLACE below the home. */
static int sweep_place(struct sweep *sweep, int fd, const char *place, uint64_t *removed,
		       int (*each)(void *data, const char *name))
{
	int r;

	sweep->dir_fd = fd;
	sweep->place = place;
	sweep->removed = removed;
	r = fd == -ENOENT ? 0 : fd < 0 ? fd : sweep_each(sweep, fd, each);
	if (r && r != -ECANCELED) {
		sweep_failed(sweep, r, "getdents64", "");
		r = 0;
	}
	return r;
}

/* Sweep all places, on a lane thread. */
static int sweep_run(struct call *call)
{
	struct sweep *sweep = sweep_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&sweep->op);
	struct varve_sweep_report *report = &sweep->report;
	struct btrfs_ioctl_get_subvol_info_args info;
	int r;

	/* After a wait for the lock it begins anew, and counts failures anew. */
	report->failures = 0;
	sweep->error = 0;
	sweep->locked = false;
	sweep_forget(sweep);
	sweep->remembers = !store->opened && layout_any(store, LAYOUT_RECORDS);
	/* Looking at each layer takes time: opening a store leaves that to each create. */
	sweep->snapshot = store->opened && subvol_info(store->layout.subvolumes_fd, &info) >= 0 &&
			  subvol_is_snapshot(info.parent_uuid);
	r = sweep_place(sweep, layout_find(store, LAYOUT_TRASH), layout_name(LAYOUT_TRASH),
			&report->trash_removed, sweep_trash);
	if (!r)
		r = sweep_place(sweep, store->layout.subvolumes_fd, LAYER_PLACE,
				&report->staging_removed, sweep_reserved);
	if (sweep->names_count)
		qsort(sweep->names, sweep->names_count, sizeof(*sweep->names), string_order);
	if (!r)
		r = sweep_place(sweep, layout_find(store, LAYOUT_STAGING),
				layout_name(LAYOUT_STAGING), &report->staging_removed,
				sweep_staging);
	if (!r)
		r = sweep_place(sweep, layout_find(store, LAYOUT_QUOTAS), RECORD_PLACE,
				&report->quota_files_removed, sweep_record);
	if (!r)
		r = sweep_place(sweep, layout_find(store, LAYOUT_RECORDS),
				layout_name(LAYOUT_RECORDS), &report->records_removed,
				sweep_labels);
	sweep_forget(sweep);
	if (!r)
		sweep_groups(sweep);
	/* Opening a store waits for no other process. */
	return !r && sweep->locked && store->opened ? OP_LATER : r;
}

static int sweep_begin(struct op *op)
{
	call_function(&op->call, LANE_LONG, "sweep", sweep_run);
	return op_call(op);
}

static int sweep_done(struct op *op, int result)
{
	struct sweep *sweep = sweep_of(op);

	for (; sweep->destroyed; sweep->destroyed--)
		backlog_destroyed(op_store(op));
	if (!result && sweep->error) {
		op->place = sweep->error_place;
		op->subject = sweep->error_name;
		op->call.name = sweep->error_call;
		op->detail = sweep->error_cause;
		result = sweep->error;
	}
	return result < 0 ? result : OP_END;
}

static const struct op_step sweep_steps[SWEEP_STATES] = {
	[SWEEP_RUN] = { "SWEEP", sweep_begin, sweep_done, true },
};

static void sweep_result(struct request *request, struct varve_result *result)
{
	struct varve_sweep_report *report = &sweep_of(request->ops)->report;

	report->size = sizeof(*report);
	result->sweep = report;
}

static const struct op_class sweep_class = {
	.operation = VARVE_SWEEP,
	.fds = FDS_APPLY,
	.size = sizeof(struct sweep),
	.steps = sweep_steps,
	.steps_count = SWEEP_STATES,
	.unwind = SWEEP_STATES,
	.cancel_last = SWEEP_RUN,
	.result = sweep_result,
};

int sweep_submit(struct varve_store *store, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &sweep_class, 1, 0, 0, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}
