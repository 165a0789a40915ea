/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: an empty layer, or a snapshot of another.
 *
 *	state     what it does                        what a failure leaves   what a crash leaves
 *	ADMIT     waits for room in the backlog       nothing                 nothing
 *	OPEN      opens the source                    nothing                 nothing
 *	STAGE     makes the subvolume out of sight    nothing                 a leftover in staging
 *	PUBLISH   renames it into its place           UNDO destroys it        a leftover in staging, or the layer
 *	DURABLE   waits for a commit                  UNDO destroys it        the layer, or nothing of it
 *	UNDO      destroys what was made              a leftover in staging   a leftover in staging
 *
 * Alone in the store, a snapshot is staged straight in its place: it is atomic by itself, and durable when the ioctl
 * returns, so PUBLISH and DURABLE have nothing to do. A read-only snapshot always goes that way, because the kernel
 * refuses to rename a read-only subvolume into another directory (EROFS). A read-only base layer is made under a reserved
 * name in `subvolumes` itself, made read-only there, and renamed within the directory.
 */
#include "engine/base/id.h"
#include "engine/btrfs/cleaner.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum create_state { CREATE_ADMIT, CREATE_OPEN, CREATE_STAGE, CREATE_PUBLISH, CREATE_DURABLE, CREATE_UNDO, CREATE_STATES };

struct create {
	struct op op;
	/* The layer to snapshot; NULL: an empty one is made. */
	const char *source;
	int source_fd;
	uint32_t flags, mode;
	/* Its place in the batch. */
	size_t index;
	/* It exists under its staging name; under its own. */
	bool staged, published;
};

static struct create *create_of(struct op *op)
{
	return container_of(op, struct create, op);
}

/* ---- names and places ------------------------------------------------------------------------------------------- */

/* Is this an empty layer that ends up read-only? */
static bool create_reserved(const struct create *create)
{
	return !create->source && create->flags & VARVE_CREATE_READ_ONLY;
}

/* The directory it is staged in, opened when a slot is first used. Lane thread. */
static int create_staging_fd(struct create *create)
{
	struct layout *layout = &create->op.request->store->layout;
	int *fd = &layout->slot_fds[create->op.slot];
	char name[16];

	if (create->op.direct || create_reserved(create))
		return layout->subvolumes_fd;
	if (*fd >= 0)
		return *fd;
	snprintf(name, sizeof(name), "%u", create->op.slot);
	if (mkdirat(layout->owner_fd, name, 0700) < 0 && errno != EEXIST)
		return negative_errno();
	return *fd = RET_NERRNO(openat(layout->owner_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* The name it is staged under: its own, or a reserved one that no layer can have. */
static const char *create_staging_name(struct create *create, char buffer[VARVE_ID_MAX + 1])
{
	if (!create_reserved(create))
		return create->op.id;
	snprintf(buffer, VARVE_ID_MAX + 1, ID_RESERVED_PREFIX ".%s.%" PRIx64 ".%zx", create->op.request->store->layout.owner,
		 create->op.request->handle, create->index);
	return buffer;
}

/* ---- ADMIT, OPEN ------------------------------------------------------------------------------------------------- */

static int create_admit(struct op *op)
{
	if (cleaner_room(op->request->store))
		return CREATE_OPEN;
	return create_of(op)->flags & VARVE_CREATE_NOWAIT ? cleaner_wait_look(op) : cleaner_wait_room(op);
}

static int create_admitted(struct op *op, int result)
{
	/* What we count may be old; who does not want to wait is refused by what the kernel has just said. */
	if (cleaner_room(op->request->store) || !(create_of(op)->flags & VARVE_CREATE_NOWAIT))
		return CREATE_OPEN;
	op->detail = "too many removed layers await the kernel's cleaner";
	return -EAGAIN;
}

static int create_open(struct op *op)
{
	struct create *create = create_of(op);

	if (!create->source)
		return CREATE_STAGE;
	op->subject = create->source;
	layer_open_call(op->request->store, &op->call, create->source);
	return op_call(op);
}

static int create_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	create_of(op)->source_fd = result;
	return CREATE_STAGE;
}

/* ---- STAGE ------------------------------------------------------------------------------------------------------- */

/* Snapshot the source as NAME in DIR_FD, after a look whether it is a layer of ours. */
static int create_snapshot(struct create *create, int dir_fd, const char *name)
{
	struct op *op = &create->op;
	int r;

	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	op->subject = create->source;
	r = layer_prove(op->request->store, create->source_fd, create->source, NULL);
	if (r)
		return r;
	op->call.name = "BTRFS_IOC_SNAP_CREATE_V2";
	op->subject = op->id;
	return subvol_snapshot(dir_fd, name, create->source_fd, create->flags & VARVE_CREATE_READ_ONLY);
}

/* Give the empty subvolume FD its mode, owner and flag. */
static int create_dress(struct create *create, int fd)
{
	const struct settings *settings = &create->op.request->store->settings;

	create->op.call.name = "fchmod";
	if (fchmod(fd, create->mode) < 0)
		return negative_errno();
	create->op.call.name = "fchown";
	if ((settings->root_uid || settings->root_gid) && fchown(fd, settings->root_uid, settings->root_gid) < 0)
		return negative_errno();
	create->op.call.name = "BTRFS_IOC_SUBVOL_SETFLAGS";
	return create->flags & VARVE_CREATE_READ_ONLY ? subvol_set_read_only(fd, true) : 0;
}

/* Make an empty subvolume NAME in DIR_FD. */
static int create_empty(struct create *create, int dir_fd, const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	create->op.call.name = "BTRFS_IOC_SUBVOL_CREATE";
	r = subvol_create(dir_fd, name);
	if (r)
		return r;
	create->staged = true;
	create->op.call.name = "openat";
	fd = RET_NERRNO(openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	return fd < 0 ? fd : create_dress(create, fd);
}

/* Make the subvolume, on a thread of the commit lane. */
static int create_stage_work(struct op *op)
{
	struct create *create = create_of(op);
	struct layout *layout = &op->request->store->layout;
	char buffer[VARVE_ID_MAX + 1];
	const char *name = create_staging_name(create, buffer);
	struct stat stat;
	int dir_fd, r;

	/* Cheaper than a snapshot that cannot be published; the rename has the last word. */
	op->call.name = "fstatat";
	op->subject = op->id;
	if (!fstatat(layout->subvolumes_fd, op->id, &stat, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	op->call.name = "openat";
	dir_fd = create_staging_fd(create);
	if (dir_fd < 0)
		return dir_fd;
	r = create->source ? create_snapshot(create, dir_fd, name) : create_empty(create, dir_fd, name);
	fd_close(TAKE_FD(create->source_fd));
	create->staged |= !r;
	return r;
}

static int create_stage(struct op *op)
{
	struct create *create = create_of(op);

	op->subject = op->id;
	op->work = create_stage_work;
	op->commits = create->source;
	op->direct_allowed = create->source;
	op->direct = create->source && create->flags & VARVE_CREATE_READ_ONLY;
	return clock_stage(op);
}

static int create_stage_done(struct op *op, int result)
{
	if (result < 0)
		return result;
	if (!op->direct)
		return CREATE_PUBLISH;
	create_of(op)->published = true;
	return OP_END;
}

/* ---- PUBLISH, DURABLE, UNDO -------------------------------------------------------------------------------------- */

/* Rename it into its place, at a boundary. */
static int create_publish_work(struct op *op)
{
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];

	op->call.name = "renameat2";
	return RET_NERRNO(renameat2(create_staging_fd(create), create_staging_name(create, buffer),
				    op->request->store->layout.subvolumes_fd, op->id, RENAME_NOREPLACE));
}

static int create_publish(struct op *op)
{
	op->work = create_publish_work;
	return clock_publish(op);
}

static int create_publish_done(struct op *op, int result)
{
	if (result < 0)
		return result;
	create_of(op)->published = true;
	return op->request->durable ? CREATE_DURABLE : OP_END;
}

static int create_durable(struct op *op)
{
	op->call.name = "fsync";
	return clock_durable(op);
}

static int create_durable_done(struct op *op, int result)
{
	return result < 0 ? result : OP_END;
}

/* Destroy what was made, at a boundary. */
static int create_undo_work(struct op *op)
{
	struct create *create = create_of(op);
	char buffer[VARVE_ID_MAX + 1];

	if (create->published)
		return subvol_destroy(op->request->store->layout.subvolumes_fd, op->id);
	return subvol_destroy(create_staging_fd(create), create_staging_name(create, buffer));
}

static int create_undo(struct op *op)
{
	if (!create_of(op)->staged)
		return OP_END;
	op->work = create_undo_work;
	return clock_destroy(op);
}

static int create_undone(struct op *op, int result)
{
	if (!result)
		cleaner_destroyed(op->request->store);
	return result < 0 ? result : OP_END;
}

static const struct op_step create_steps[CREATE_STATES] = {
	[CREATE_ADMIT] = { "ADMIT", create_admit, create_admitted },
	[CREATE_OPEN] = { "OPEN", create_open, create_opened },
	[CREATE_STAGE] = { "STAGE", create_stage, create_stage_done },
	[CREATE_PUBLISH] = { "PUBLISH", create_publish, create_publish_done },
	[CREATE_DURABLE] = { "DURABLE", create_durable, create_durable_done },
	[CREATE_UNDO] = { "UNDO", create_undo, create_undone },
};

static void create_release(struct op *op)
{
	fd_close(create_of(op)->source_fd);
}

static const struct op_class create_class = {
	.operation = VARVE_CREATE,
	.size = sizeof(struct create),
	.steps = create_steps,
	.steps_count = CREATE_STATES,
	.unwind = CREATE_UNDO,
	.cancel_last = CREATE_PUBLISH,
	.release = create_release,
};

int create_submit(struct varve_store *store, const char *const *ids, size_t count,
		  const struct create_arguments *arguments, const struct submit *submit)
{
	const char *source = arguments->template_id ? arguments->template_id : arguments->parent;
	size_t strings = source ? strlen(source) + 1 : 0;
	struct request *request;
	int r;

	for (size_t i = 0; i < count; i++)
		strings += strlen(ids[i]) + 1;
	r = request_new(store, &create_class, count, strings, arguments->flags, &request);
	if (r)
		return r;
	source = request_string(request, source);
	for (size_t i = 0; i < count; i++) {
		struct create *create = create_of(request_op(request, i));

		create->op.id = create->op.subject = request_string(request, ids[i]);
		create->op.place = LAYER_PLACE;
		create->op.holds[0] = (struct hold){ .id = create->op.id, .exclusive = true };
		create->index = i;
		create->source = source;
		create->source_fd = -EBADF;
		create->flags = arguments->flags;
		create->mode = arguments->mode;
		/* An id that is to be made from itself: there is nothing to hold twice. */
		if (source && strcmp(source, create->op.id))
			create->op.holds[1] = (struct hold){ .id = source };
	}
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
