/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck: the operation "check": find the faults of a store, and what a sweep would do about each.
 * Changes nothing.
 *
 *	state  what it does                                    what a failure or a crash leaves
 *	LOOK   looks at each place in turn, on a lane thread   nothing
 *
 * Other processes work in the store meanwhile, and their work must not be taken for damage: entries
 * named after a living owner (see ops/sweep.c) are ignored, a layer that is gone when it is opened
 * was removed, and whether a record has no layer is decided under the lock of the records; that
 * of a layer that a removal marks (size_record.h) is left to that.
 */
#include "engine/base/id.h"
#include "engine/base/limits.h"
#include "engine/btrfs/qgroup.h"
#include "engine/core/fds.h"
#include "engine/core/request.h"
#include "engine/dir/entries.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"
#include "engine/store/record.h"
#include "engine/store/size_record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum fsck_state { FSCK_LOOK, FSCK_STATES };

/* What a sweep does about a finding. */
static const char fsck_removes[] = "removes it";

/* The kind of findings that can be adopted. */
static const char fsck_directory[] = "directory";

/* A finding in a list; its strings follow. */
struct fsck_item {
	struct fsck_item *next;
	struct varve_finding finding;
	char strings[];
};

struct fsck {
	struct op op;
	/*
	 * The findings in order; where the next one goes. How many are kept, how many of those are
	 * plain directories, and how many were found.
	 */
	struct fsck_item *first, **last;
	size_t count, directories;
	uint64_t total;
	/* The same as an array. */
	struct varve_finding *findings;
	/* How quota runs, or -errno; recorded sizes while it is off. */
	int quota;
	uint64_t records_idle;
	/* Another process holds the lock of the records. */
	bool locked;
};

static struct fsck *fsck_of(struct op *op)
{
	return container_of(op, struct fsck, op);
}

/* Free the findings. */
static void fsck_forget(struct fsck *fsck)
{
	for (struct fsck_item *item = fsck->first, *next; item; item = next) {
		next = item->next;
		free(item);
	}
	fsck->first = NULL;
	fsck->last = &fsck->first;
	fsck->count = fsck->directories = 0;
	fsck->total = fsck->records_idle = 0;
}

/* Is there room for one more finding of KIND? Plain directories have room of their own. */
static bool fsck_room(struct fsck *fsck, const char *kind)
{
	if (strcmp(kind, fsck_directory))
		return fsck->count - fsck->directories < CHECK_FINDINGS_MAX;
	if (fsck->directories == CHECK_FINDINGS_MAX)
		return false;
	fsck->directories++;
	return true;
}

/*
 * Add a finding: NAME (may be "") in PLACE is one of KIND; SWEEP says what a sweep does about it,
 * NULL: nothing. 0 or -ENOMEM.
 */
static int __attribute__((format(printf, 6, 7)))
fsck_add(struct fsck *fsck, const char *kind, const char *place, const char *name,
	 const char *sweep, const char *format, ...)
{
	char path[VARVE_FAILURE_PATH_SIZE], detail[VARVE_FAILURE_DETAIL_SIZE];
	struct fsck_item *item;
	va_list arguments;

	fsck->total++;
	if (!fsck_room(fsck, kind))
		return 0;
	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s%s%s", place, *name ? "/" : "", name);
	item = fault_calloc(&fsck->op.request->core->io.fault, 1,
			    sizeof(*item) + strlen(path) + strlen(detail) + 2);
	if (!item)
		return -ENOMEM;
	item->finding.kind = kind;
	item->finding.path = strcpy(item->strings, path);
	item->finding.detail = strcpy(item->strings + strlen(path) + 1, detail);
	item->finding.sweep = sweep;
	*fsck->last = item;
	fsck->last = &item->next;
	fsck->count++;
	return 0;
}

/* Does ERROR (0 or -errno) fail the check? Any other is a finding. */
static bool fsck_failure(int error)
{
	return error == -ENOMEM || fds_missing(error);
}

/* ---- layers ---------------------------------------------------------------------------------- */

/*
 * Compare the recorded size of layer ID, subvolume NUMBER, with the limit that is in force. 0 or
 * -errno.
 */
static int fsck_limit(struct fsck *fsck, const char *id, uint64_t number)
{
	struct varve_store *store = op_store(&fsck->op);
	struct qgroup_numbers numbers = { 0 };
	uint64_t bytes = 0;
	int r = size_record_find(store, id, &bytes);

	if (r == -EINVAL)
		return fsck_add(fsck, "record", RECORD_PLACE, id, NULL,
				"the recorded size does not parse");
	if (r <= 0)
		return r;
	if (fsck->quota == VARVE_QUOTA_OFF)
		fsck->records_idle++;
	if (fsck->quota <= VARVE_QUOTA_OFF)
		return 0;
	r = qgroup_numbers(&store->fs, QUOTA_GROUP(0, number), &numbers);
	/* Without privilege the limit is not known. */
	if ((r && r != -ENOENT) || (!r && numbers.limit == bytes))
		return 0;
	/* The size may be being changed: the record first, then the limit. */
	if (size_record_find(store, id, &bytes) <= 0 ||
	    qgroup_limited(&store->fs, QUOTA_GROUP(0, number), bytes) > 0)
		return 0;
	return fsck_add(fsck, "limit", LAYER_PLACE, id, NULL,
			"%" PRIu64 " bytes are recorded, but %" PRIu64 " in force (0: none): "
			"'get' sets the limit",
			bytes, numbers.limit);
}

/*
 * Is the owner of NAME in PLACE gone? The owner's name has LENGTH bytes at OWNER. 1, 0, or -errno;
 * where that cannot be known, 0, and a finding says so.
 */
static int fsck_gone(struct fsck *fsck, const char *place, const char *name, const char *owner,
		     size_t length)
{
	int r = layout_owner_gone(op_store(&fsck->op), owner, length);

	if (r >= 0 || fsck_failure(r))
		return r;
	return fsck_add(fsck, "unreadable", place, name, NULL,
			"whether its process is gone is not known: %s", strerrordesc_np(-r));
}

/* Look at NAME in `subvolumes`, .varve.OWNER.* . 0 or -errno. */
static int fsck_reserved(struct fsck *fsck, const char *name)
{
	static const char prefix[] = ID_RESERVED_PREFIX ".";
	const char *owner = name + strlen(prefix),
		   *dot = strncmp(name, prefix, strlen(prefix)) ? NULL : strchr(owner, '.');

	int r;

	if (!dot)
		return fsck_add(fsck, "reserved", LAYER_PLACE, name, NULL,
				"a name that no layer can have");
	r = fsck_gone(fsck, LAYER_PLACE, name, owner, (size_t)(dot - owner));
	if (r <= 0)
		return r;
	return fsck_add(fsck, "staging", LAYER_PLACE, name, fsck_removes,
			"a half-made layer of a process that is gone");
}

/* Look at NAME in `subvolumes`. */
static int fsck_subvolumes(void *data, const char *name)
{
	struct fsck *fsck = data;
	struct varve_store *store = op_store(&fsck->op);
	struct btrfs_ioctl_get_subvol_info_args info;
	_cleanup_close_ int fd = -EBADF;
	struct stat stat;
	int r;

	if (fsck->op.request->cancelled)
		return -ECANCELED;
	if (!strncmp(name, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX)))
		return fsck_reserved(fsck, name);
	if (fstatat(store->layout.subvolumes_fd, name, &stat,
		    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return errno == ENOENT ? 0
				       : fsck_add(fsck, "unreadable", LAYER_PLACE, name, NULL, "%s",
						  strerror(errno));
	if (!S_ISDIR(stat.st_mode))
		return fsck_add(fsck, "file", LAYER_PLACE, name, NULL, "not a directory: no layer");
	if (stat.st_ino == ABI_STAND_IN_INODE)
		return fsck_add(
			fsck, "stand-in", LAYER_PLACE, name, fsck_removes,
			"the store is within a snapshot, where this empty directory stands for a layer of the original");
	fd = layer_open(store, name);
	if (fsck_failure(fd))
		return fd;
	if (fd < 0)
		return fd == -ENOENT ? 0
				     : fsck_add(fsck, "unreadable", LAYER_PLACE, name, NULL, "%s",
						strerrordesc_np(-fd));
	r = layer_prove(store, fd, name, &info);
	if (r == -EINVAL)
		return fsck_add(
			fsck, fsck_directory, LAYER_PLACE, name, NULL,
			"a plain directory, or another store's subvolume: no layer, until 'gc --adopt' makes one of it");
	if (r == -EXDEV)
		return fsck_add(fsck, "mount", LAYER_PLACE, name, NULL,
				"another file system is mounted there");
	/* It was removed meanwhile. */
	if (r)
		return r == -ENOENT ? 0 : r;
	return fsck_limit(fsck, name, info.treeid);
}

/* ---- the other places ------------------------------------------------------------------------ */

/* Look at the record NAME. */
static int fsck_quotas(void *data, const char *name)
{
	struct fsck *fsck = data;
	struct varve_store *store = op_store(&fsck->op);
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	struct stat stat;
	int r;

	if (fsck->op.request->cancelled)
		return -ECANCELED;
	if (!fstatat(store->layout.subvolumes_fd, name, &stat,
		     AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return 0;
	if (errno != ENOENT)
		return negative_errno();
	/* What is being removed needs no lock, which would only be in the removal's way. */
	r = size_record_marked(store, name);
	if (r)
		return MIN(r, 0);
	/* A create places record and layer under the lock, and a remove takes the record away. */
	r = size_record_lock_made(store, &lock);
	if (r == OP_LATER)
		fsck->locked = true;
	if (r)
		return r == OP_LATER ? 0 : r;
	if (!fstatat(store->layout.subvolumes_fd, name, &stat,
		     AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) ||
	    fstatat(layout_find(store, LAYOUT_QUOTAS), name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = size_record_marked(store, name);
	if (r)
		return MIN(r, 0);
	return fsck_add(fsck, "record", RECORD_PLACE, name, fsck_removes,
			"the recorded size of a layer that is gone");
}

/* Look at the labels and the record of NAME. */
static int fsck_labels(void *data, const char *name)
{
	struct fsck *fsck = data;
	struct varve_store *store = op_store(&fsck->op);
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	bool damaged;
	int r;

	if (fsck->op.request->cancelled)
		return -ECANCELED;
	r = record_belongs(store, name, &damaged);
	/* As in fsck_quotas(). */
	if (!r)
		r = size_record_marked(store, name);
	if (!r) {
		r = size_record_lock_made(store, &lock);
		if (r == OP_LATER)
			fsck->locked = true;
		if (r)
			return r == OP_LATER ? 0 : r;
		r = record_belongs(store, name, &damaged);
		if (!r)
			r = size_record_marked(store, name);
	}
	if (fsck_failure(r))
		return r;
	if (r < 0)
		return fsck_add(fsck, "unreadable", layout_name(LAYOUT_RECORDS), name, NULL, "%s",
				strerrordesc_np(-r));
	if (r)
		return 0;
	return fsck_add(fsck, "labels", layout_name(LAYOUT_RECORDS), name, fsck_removes,
			damaged ? "the labels and the record of a layer, damaged"
				: "the labels and the record of a layer that is gone");
}

/* Look at NAME, OWNER.NUMBER, in the trash. */
static int fsck_trash(void *data, const char *name)
{
	struct fsck *fsck = data;
	const char *dot = strrchr(name, '.');
	int r = fsck_gone(fsck, layout_name(LAYOUT_TRASH), name, name,
			  dot ? (size_t)(dot - name) : strlen(name));

	if (r <= 0)
		return r;
	return fsck_add(fsck, "trash", layout_name(LAYOUT_TRASH), name, fsck_removes,
			"a half-destroyed layer of a process that is gone");
}

/* Look at the staging directory of OWNER. */
static int fsck_staging(void *data, const char *owner)
{
	struct fsck *fsck = data;
	int r = fsck_gone(fsck, layout_name(LAYOUT_STAGING), owner, owner, strlen(owner));

	if (r <= 0)
		return r;
	return fsck_add(fsck, "staging", layout_name(LAYOUT_STAGING), owner, fsck_removes,
			"half-made layers of a process that is gone");
}

/*
 * Look at quota: groups of subvolumes that are gone, counts that are unreliable, sizes that nothing
 * enforces.
 */
static int fsck_quota(struct fsck *fsck)
{
	struct varve_store *store = op_store(&fsck->op);
	struct qgroup_census census = { 0 };
	int r = 0;

	if (fsck->records_idle)
		r = fsck_add(fsck, "limit", RECORD_PLACE, "", NULL,
			     "quota is off: %" PRIu64
			     " recorded sizes are not in force; 'get' turns it on",
			     fsck->records_idle);
	if (r || fsck->quota <= VARVE_QUOTA_OFF)
		return r;
	if (qgroup_inconsistent(&store->fs) > 0)
		r = fsck_add(
			fsck, "quota", "", "", NULL,
			"quota is inconsistent: limits are not enforced until 'quota rescan' is done");
	if (!r && store->layout.privileged)
		r = qgroup_collect(&store->fs, &census);
	if (!r && census.stale_count)
		r = fsck_add(fsck, "group", "", "", "removes those that hold no space any more",
			     "%zu quota groups of subvolumes that are gone", census.stale_count);
	qgroup_census_free(&census);
	/* It was turned off meanwhile. */
	return r == -ENOENT || r == -ENOTCONN ? 0 : r;
}

/* ---- the operation --------------------------------------------------------------------------- */

/* Look at all places. Lane thread. */
static int fsck_run(struct call *call)
{
	struct fsck *fsck = fsck_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&fsck->op);
	size_t i = 0;
	int r;

	/* After a wait for the lock it begins anew. */
	fsck_forget(fsck);
	fsck->locked = false;
	fsck->quota = qgroup_mode(&store->fs);
	r = entries_each(store->layout.subvolumes_fd, fsck_subvolumes, fsck);
	if (!r)
		r = layout_each(store, LAYOUT_QUOTAS, fsck_quotas, fsck);
	if (!r)
		r = layout_each(store, LAYOUT_RECORDS, fsck_labels, fsck);
	if (!r)
		r = layout_each(store, LAYOUT_TRASH, fsck_trash, fsck);
	if (!r)
		r = layout_each(store, LAYOUT_STAGING, fsck_staging, fsck);
	if (!r)
		r = fsck_quota(fsck);
	if (r)
		return r;
	free(fsck->findings);
	fsck->findings = fault_calloc(&store->core.io.fault, fsck->count + 1,
				      sizeof(*fsck->findings));
	if (!fsck->findings)
		return -ENOMEM;
	for (const struct fsck_item *item = fsck->first; item; item = item->next)
		fsck->findings[i++] = item->finding;
	return fsck->locked ? OP_LATER : 0;
}

static int fsck_look(struct op *op)
{
	call_function(&op->call, LANE_LONG, "check", fsck_run);
	return op_call(op);
}

static const struct op_step fsck_steps[FSCK_STATES] = {
	[FSCK_LOOK] = { "LOOK", fsck_look, NULL, true },
};

static void fsck_result(struct request *request, struct varve_result *result)
{
	struct fsck *fsck = fsck_of(request->ops);

	if (fsck->op.error)
		return;
	result->findings = fsck->findings;
	result->findings_count = fsck->count;
	result->findings_total = fsck->total;
}

static void fsck_release(struct op *op)
{
	fsck_forget(fsck_of(op));
	free(fsck_of(op)->findings);
}

static const struct op_class fsck_class = {
	.operation = VARVE_CHECK,
	.fds = FDS_APPLY,
	.size = sizeof(struct fsck),
	.steps = fsck_steps,
	.steps_count = FSCK_STATES,
	.unwind = FSCK_STATES,
	.cancel_last = FSCK_LOOK,
	.result = fsck_result,
	.release = fsck_release,
};

int check_submit(struct varve_store *store, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &fsck_class, 1, 0, 0, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}
