/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt: make a layer of a plain directory that has a layer's place, with the same content.
 *
 *	state    what it does                                   what a failure leaves            what a crash leaves
 *	STAGE    locks the directory, makes a subvolume out of  the directory                    the directory, and a leftover
 *	         sight
 *	COPY     copies the directory into it, sharing content  UNDO destroys the copy           the same
 *	FLUSH    waits until all of it is on disk               UNDO destroys the copy           the same
 *	LOOK     sees that nothing was changed meanwhile        UNDO destroys the copy           the same
 *	PUBLISH  exchanges the two                              UNDO destroys the copy           either of them, the other a leftover
 *	DURABLE  waits for a commit                             the layer, and a leftover        the same
 *	CLEAR    removes what was the directory                 the layer, and what is left      the layer, and a leftover
 *	                                                        of the directory, for the sweep
 *	UNDO     destroys the copy, unless it is in its place   a leftover                       a leftover
 *
 * The copy is made in a directory of the store that only its owner may enter, and that is where the
 * exchange puts what was the directory. Two things of one subvolume can be exchanged, so `.varve`
 * and `subvolumes` have to be in one.
 *
 * The directory's user may write all the while, and another process may adopt, rename or remove by
 * the same names. So the directory is known by its descriptor: it is what is locked (flock),
 * copied, compared before and after the exchange, and emptied. A change that LOOK finds fails the
 * operation; a change after LOOK has read that entry is lost.
 */
#include "engine/base/id.h"
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/qgroup.h"
#include "engine/store/quota.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/beneath.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"
#include "engine/store/size_record.h"
#include "engine/store/undo.h"
#include "engine/walk/copy.h"
#include "engine/walk/rm_tree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum adopt_state {
	ADOPT_STAGE,
	ADOPT_COPY,
	ADOPT_FLUSH,
	ADOPT_LOOK,
	ADOPT_PUBLISH,
	ADOPT_DURABLE,
	ADOPT_CLEAR,
	ADOPT_UNDO,
	ADOPT_STATES
};

struct adopt {
	struct op op;
	/* The directory, locked, and which inode it is. */
	int fd;
	dev_t device;
	ino_t inode;
	/*
	 * The name in the directory of the worker slot: of the copy, and after the exchange of the
	 * old directory. The number of the copy.
	 */
	char name[sizeof(ID_RESERVED_PREFIX) + 32];
	uint64_t number;
	/* Says where the copy is that could not be destroyed; on the heap, or NULL. */
	char *fate;
	/* The copy is there; it has the layer's place. */
	bool staged, published;
	/* Remembers when copying began. */
	struct copy_job job;
	/* Where it failed: a path below `subvolumes`. */
	char failed[VARVE_FAILURE_PATH_SIZE];
};

static struct adopt *adopt_of(struct op *op)
{
	return container_of(op, struct adopt, op);
}

/* Get the directory that the copy is in; STAGE has opened it. */
static int adopt_staging_fd(struct op *op)
{
	return layout_slot(op_store(op), op->slot);
}

/* Is NAME in DIR_FD the directory that is adopted? 0, -EBUSY when not, or another -errno. */
static int adopt_compare(struct op *op, int dir_fd, const char *name)
{
	const struct adopt *adopt = adopt_of(op);
	struct stat stat;
	int r = RET_NERRNO(fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW));

	if (r)
		return r;
	return stat.st_dev == adopt->device && stat.st_ino == adopt->inode ? 0 : -EBUSY;
}

/* ---- STAGE ----------------------------------------------------------------------------------- */

/* Open the plain directory and lock it: a descriptor, or why it cannot be adopted. */
static int adopt_open(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	int subvolumes_fd = op_store(op)->layout.subvolumes_fd, r;
	_cleanup_close_ int fd = -EBADF;
	struct stat stat;

	op->call.name = "openat2";
	fd = beneath_open(subvolumes_fd, op->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd == -EXDEV) {
		op->detail = "something is mounted on it: unmount it first";
		return -EBUSY;
	}
	if (fd < 0)
		return layer_open_error(fd);
	op->call.name = "fstat";
	r = RET_NERRNO(fstat(fd, &stat));
	if (r)
		return r;
	if (stat.st_ino == ABI_SUBVOL_ROOT_INODE || stat.st_ino == ABI_STAND_IN_INODE) {
		op->detail = stat.st_ino == ABI_SUBVOL_ROOT_INODE
				     ? "it is a subvolume already"
				     : "it stands for a layer of another store";
		return -EEXIST;
	}
	adopt->device = stat.st_dev;
	adopt->inode = stat.st_ino;
	op->call.name = "flock";
	r = RET_NERRNO(flock(fd, LOCK_EX | LOCK_NB));
	if (r == -EWOULDBLOCK) {
		op->detail = "a process has locked it (flock), perhaps to make a layer of it, too";
		return -EBUSY;
	}
	/* Another process may have made a layer of it, under the lock. */
	if (!r)
		r = adopt_compare(op, subvolumes_fd, op->id);
	if (r == -EBUSY)
		op->detail = "it was replaced meanwhile";
	return r ? r : TAKE_FD(fd);
}

/* Make the subvolume. Lane thread. */
static int adopt_stage_work(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	_cleanup_close_ int fd = adopt_open(op);
	int staging_fd, r;

	if (fd < 0)
		return fd;
	op->call.name = "openat";
	staging_fd = adopt_staging_fd(op);
	if (staging_fd < 0)
		return layout_blame(op, staging_fd);
	snprintf(adopt->name, sizeof(adopt->name), ID_RESERVED_PREFIX ".adopt.%" PRIx64,
		 op->request->handle);
	op->call.name = "BTRFS_IOC_SUBVOL_CREATE";
	r = subvol_create(staging_fd, adopt->name);
	if (r)
		return r;
	adopt->staged = true;
	adopt->fd = TAKE_FD(fd);
	op->call.name = "name_to_handle_at";
	return file_handle_subvolume(staging_fd, adopt->name, &adopt->number);
}

static int adopt_stage(struct op *op)
{
	op->work = adopt_stage_work;
	return commit_stage(op);
}

/* ---- COPY, FLUSH, LOOK ----------------------------------------------------------------------- */

/* Record where COPY or LOOK failed with RESULT. Returns RESULT. */
static int adopt_blame(struct op *op, int result)
{
	struct adopt *adopt = adopt_of(op);
	const struct copy_job *job = &adopt->job;

	if (result >= 0)
		return result;
	snprintf(adopt->failed, sizeof(adopt->failed), "%s%s%.*s", op->id, *job->path ? "/" : "",
		 (int)(sizeof(adopt->failed) - VARVE_ID_MAX - 2), job->path);
	op->subject = adopt->failed;
	op->call.name = job->call;
	op->detail = job->detail;
	return result;
}

/* Copy the directory. Lane thread. */
static int adopt_copy_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct adopt *adopt = adopt_of(op);
	struct varve_store *store = op_store(op);
	_cleanup_close_ int to = beneath_open(adopt_staging_fd(op), adopt->name,
					      O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	uint64_t bytes;
	int r;

	if (to < 0)
		return to;
	op->begun = true;
	adopt->job = (struct copy_job){ .from_fd = adopt->fd,
					.to_fd = to,
					.clock_fd = -EBADF,
					.fault = &store->core.io.fault,
					.cancelled = &op->request->cancelled,
					.progress = op->request->progress };
	r = copy_run(&adopt->job);
	if (r)
		return adopt_blame(op, r);
	/* Give the copy the limit that is recorded for the layer, if one is. */
	r = size_record_find(store, op->id, &bytes);
	op->subject = op->id;
	op->call.name = "BTRFS_IOC_QGROUP_LIMIT";
	if (r == 1)
		return quota_enforce(store, adopt->number, bytes, &op->detail);
	/* A record that does not parse is ignored, as by get. */
	return r == -EINVAL ? 0 : r;
}

static int adopt_copy(struct op *op)
{
	commit_write_begin(op);
	call_function(&op->call, LANE_STREAM, "openat2", adopt_copy_run);
	return op_call(op);
}

static int adopt_copied(struct op *op, int result)
{
	op->begun = false;
	return result < 0 ? result : ADOPT_FLUSH;
}

static int adopt_flush(struct op *op)
{
	op->subject = op->id;
	return commit_flush(op);
}

/* Check that the directory has not changed since it was copied. Lane thread. */
static int adopt_look_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);

	return adopt_blame(op, copy_unchanged(&adopt_of(op)->job));
}

static int adopt_look(struct op *op)
{
	call_function(&op->call, LANE_STREAM, "openat2", adopt_look_run);
	return op_call(op);
}

/* ---- PUBLISH, DURABLE, CLEAR ----------------------------------------------------------------- */

/* Exchange the entry in the layer's place and that of the staging name. */
static int adopt_exchange(struct op *op)
{
	op->call.name = "renameat2";
	return RET_NERRNO(renameat2(adopt_staging_fd(op), adopt_of(op)->name,
				    op_store(op)->layout.subvolumes_fd, op->id, RENAME_EXCHANGE));
}

/*
 * Put back what the exchange took out of the layer's place: it is not the directory. The copy may
 * be gone, if another process has removed the entry in that place. 0 or -errno.
 */
static int adopt_put_back(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	int r = adopt_exchange(op);

	if (r != -ENOENT)
		return r;
	r = RET_NERRNO(renameat2(adopt_staging_fd(op), adopt->name,
				 op_store(op)->layout.subvolumes_fd, op->id, RENAME_NOREPLACE));
	adopt->staged = r < 0;
	return r;
}

/* Exchange the two, at a boundary. */
static int adopt_publish_work(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	int r = adopt_compare(op, op_store(op)->layout.subvolumes_fd, op->id);

	op->call.name = "fstatat";
	if (!r) {
		r = adopt_exchange(op);
		if (r) {
			op->detail =
				r == -EXDEV
					? "the layers and the store's own directory have to be in one subvolume"
					: NULL;
			return r;
		}
		r = adopt_compare(op, adopt_staging_fd(op), adopt->name);
		if (!r)
			return 0;
		/* Something was put there between the look and the exchange. */
		adopt->published = adopt_put_back(op) < 0;
	}
	op->detail =
		adopt->published
			? "what was put in its place meanwhile is now in staging, and the copy in its place"
			: "it was moved, or replaced, meanwhile";
	return r == -ENOENT ? -EBUSY : r;
}

static int adopt_publish(struct op *op)
{
	op->subject = op->id;
	op->work = adopt_publish_work;
	return commit_publish(op);
}

static int adopt_published(struct op *op, int result)
{
	if (result < 0)
		return result;
	adopt_of(op)->published = true;
	return op->request->durable ? ADOPT_DURABLE : ADOPT_CLEAR;
}

/* Remove the old directory. Lane thread. */
static int adopt_clear_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct adopt *adopt = adopt_of(op);
	const char *detail = NULL;
	int r = rm_tree_remove(op_store(op), adopt_staging_fd(op), adopt->name, adopt->fd,
			       &op->request->cancelled, adopt->failed, &detail);

	if (!r)
		return 0;
	op->place = layout_name(LAYOUT_STAGING);
	op->subject = adopt->failed;
	op->detail =
		detail ? detail
		       : "the layer is there; what was the directory is a leftover, which the sweep removes";
	return r;
}

static int adopt_clear(struct op *op)
{
	call_function(&op->call, LANE_STREAM, "unlinkat", adopt_clear_run);
	return op_call(op);
}

/* ---- UNDO ------------------------------------------------------------------------------------ */

/* Destroy the copy, at a boundary. */
static int adopt_undo_work(struct op *op)
{
	struct adopt *adopt = adopt_of(op);
	/* An exchange may have put another process's layer there: compare the number. */
	struct undo undo = { .op = op,
			     .dir_fd = adopt_staging_fd(op),
			     .name = adopt->name,
			     .number = adopt->number,
			     .in_sight = true };
	int r = undo_destroy(&undo);

	free(adopt->fate);
	adopt->fate = undo.fate;
	return r;
}

static int adopt_undo(struct op *op)
{
	if (!adopt_of(op)->staged || adopt_of(op)->published)
		return OP_END;
	op->work = adopt_undo_work;
	return commit_destroy(op);
}

static int adopt_undone(struct op *op, int result)
{
	return undo_done(op, adopt_of(op)->fate, result);
}

static const struct op_step adopt_steps[ADOPT_STATES] = {
	[ADOPT_STAGE] = { "STAGE", adopt_stage, NULL, true },
	[ADOPT_COPY] = { "COPY", adopt_copy, adopt_copied, true },
	[ADOPT_FLUSH] = { "FLUSH", adopt_flush, NULL },
	[ADOPT_LOOK] = { "LOOK", adopt_look, NULL, true },
	[ADOPT_PUBLISH] = { "PUBLISH", adopt_publish, adopt_published },
	[ADOPT_DURABLE] = { "DURABLE", commit_names, NULL },
	[ADOPT_CLEAR] = { "CLEAR", adopt_clear, NULL, true },
	[ADOPT_UNDO] = { "UNDO", adopt_undo, adopt_undone },
};

static void adopt_close(struct op *op)
{
	copy_end(&adopt_of(op)->job);
	fd_close(TAKE_FD(adopt_of(op)->fd));
}

static void adopt_release(struct op *op)
{
	free(adopt_of(op)->fate);
}

static const struct op_class adopt_class = {
	.operation = VARVE_ADOPT,
	.fds = FDS_APPLY,
	.size = sizeof(struct adopt),
	.holds = 1,
	.progress = true,
	.steps = adopt_steps,
	.steps_count = ADOPT_STATES,
	.unwind = ADOPT_UNDO,
	.cancel_last = ADOPT_PUBLISH,
	.close = adopt_close,
	.release = adopt_release,
};

int adopt_submit(struct varve_store *store, const char *id, uint64_t flags,
		 const struct submit *submit)
{
	struct request *request;
	int r = layer_request(store, &adopt_class, id, true, 0, flags, &request);

	if (r)
		return r;
	adopt_of(request->ops)->fd = adopt_of(request->ops)->job.clock_fd = -EBADF;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
