/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info: what is known of a layer. The layer is opened through the ring, asked on a lane; the parent is looked up by its
 * uuid: in the uuid tree where we may search, else by asking each layer of the store. Changes nothing.
 */
#include "engine/base/id.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/tree/entries.h"
#include "engine/tree/layer.h"

#include <endian.h>
#include <string.h>

enum info_state { INFO_OPEN, INFO_ASK, INFO_STATES };

struct info {
	struct op op;
	int fd;
	struct varve_layer_info answer;
};

static struct info *info_of(struct op *op)
{
	return container_of(op, struct info, op);
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

/* The number of the subvolume with UUID, by the uuid tree: 1, 0 when there is none, or -errno. */
static int info_uuid_number(int fd, const uint8_t *uuid, uint64_t *ret_number)
{
	struct search search;
	uint64_t half[2];
	int r;

	/* The tree's key is the uuid itself, as two little-endian numbers. */
	memcpy(half, uuid, sizeof(half));
	half[0] = le64toh(half[0]);
	half[1] = le64toh(half[1]);
	r = search_begin(&search, fd, BTRFS_UUID_TREE_OBJECTID, half[0], half[0], BTRFS_UUID_KEY_SUBVOL,
			 BTRFS_UUID_KEY_SUBVOL, 0);
	while (!r && (r = search_next(&search)) > 0) {
		uint64_t number;

		if (search.header.offset == half[1] && search.header.len >= sizeof(number)) {
			memcpy(&number, search.item, sizeof(number));
			*ret_number = le64toh(number);
			break;
		}
		r = 0;
	}
	search_end(&search);
	return r;
}

/* The name of subvolume NUMBER, if it is a layer of the store: 1, 0, or -errno. */
static int info_layer_name(struct varve_store *store, uint64_t number, char *ret_name)
{
	struct search search;
	int r = search_begin(&search, store->layout.home_fd, BTRFS_ROOT_TREE_OBJECTID, number, number,
			     BTRFS_ROOT_BACKREF_KEY, BTRFS_ROOT_BACKREF_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		if (entries_layer_ref(store, &search, search.header.offset, ret_name))
			break;
		r = 0;
	}
	search_end(&search);
	return r;
}

/* What info_scan() looks for. */
struct info_scan {
	struct varve_store *store;
	const uint8_t *uuid;
	char *ret_name;
};

/* Is the layer NAME the one with the uuid? */
static int info_scan_entry(void *data, const char *name)
{
	struct info_scan *scan = data;
	struct btrfs_ioctl_get_subvol_info_args args;
	_cleanup_close_ int fd = layer_open(scan->store, name);

	/* What vanishes or is no layer is not the parent. */
	if (fd < 0 || layer_prove(scan->store, fd, name, &args) || memcmp(args.uuid, scan->uuid, BTRFS_UUID_SIZE))
		return 0;
	strcpy(scan->ret_name, name);
	return 1;
}

/* Find the layer with UUID and put its name into RET_NAME; leave that empty when there is none. */
static int info_parent(struct varve_store *store, const uint8_t *uuid, char *ret_name)
{
	struct info_scan scan = { .store = store, .uuid = uuid, .ret_name = ret_name };
	uint64_t number = 0;
	int r;

	if (!store->layout.privileged)
		return MIN(entries_each(store->layout.subvolumes_fd, info_scan_entry, &scan), 0);
	r = info_uuid_number(store->layout.home_fd, uuid, &number);
	if (r > 0)
		r = info_layer_name(store, number, ret_name);
	/* A file system that never had a snapshot has no uuid tree. */
	return r == -ENOENT ? 0 : MIN(r, 0);
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static int info_open(struct op *op)
{
	layer_open_call(op->request->store, &op->call, op->id);
	return op_call(op);
}

static int info_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	info_of(op)->fd = result;
	return INFO_ASK;
}

/* Copy what btrfs says. */
static void info_fill(struct varve_layer_info *answer, const char *id, const struct btrfs_ioctl_get_subvol_info_args *args)
{
	strcpy(answer->id, id);
	answer->subvolume_id = args->treeid;
	memcpy(answer->uuid, args->uuid, sizeof(answer->uuid));
	memcpy(answer->parent_uuid, args->parent_uuid, sizeof(answer->parent_uuid));
	answer->generation = args->generation;
	answer->created_generation = args->otransid;
	answer->created_s = (int64_t)args->otime.sec;
	answer->created_ns = args->otime.nsec;
	answer->changed_s = (int64_t)args->ctime.sec;
	answer->changed_ns = args->ctime.nsec;
	answer->flags = args->flags & BTRFS_ROOT_SUBVOL_RDONLY ? VARVE_LAYER_READ_ONLY : 0;
}

/* Ask btrfs, on a lane thread, where the descriptor is closed, too. */
static int info_ask_run(struct call *call)
{
	static const uint8_t none[BTRFS_UUID_SIZE];
	struct op *op = container_of(call, struct op, call);
	struct info *info = info_of(op);
	struct varve_store *store = op->request->store;
	struct btrfs_ioctl_get_subvol_info_args args;
	int r = layer_prove(store, info->fd, op->id, &args);

	fd_close(TAKE_FD(info->fd));
	if (r)
		return r;
	info_fill(&info->answer, op->id, &args);
	call->name = "BTRFS_IOC_TREE_SEARCH_V2";
	return memcmp(args.parent_uuid, none, sizeof(none)) ? info_parent(store, args.parent_uuid, info->answer.parent) : 0;
}

static int info_ask(struct op *op)
{
	call_function(&op->call, LANE_FS, "BTRFS_IOC_GET_SUBVOL_INFO", info_ask_run);
	return op_call(op);
}

static int info_asked(struct op *op, int result)
{
	if (result == -EINVAL)
		op->detail = "not a subvolume of this store";
	return result < 0 ? result : OP_END;
}

static const struct op_step info_steps[INFO_STATES] = {
	[INFO_OPEN] = { "OPEN", info_open, info_opened },
	[INFO_ASK] = { "ASK", info_ask, info_asked },
};

static void info_result(struct request *request, struct varve_result *result)
{
	if (!request->ops->error)
		result->info = &info_of(request->ops)->answer;
}

static void info_release(struct op *op)
{
	fd_close(info_of(op)->fd);
}

static const struct op_class info_class = {
	.operation = VARVE_INFO,
	.size = sizeof(struct info),
	.steps = info_steps,
	.steps_count = INFO_STATES,
	.unwind = INFO_STATES,
	.cancel_last = INFO_ASK,
	.result = info_result,
	.release = info_release,
};

int info_submit(struct varve_store *store, const char *id, const struct submit *submit)
{
	struct request *request;
	struct op *op;
	int r = request_new(store, &info_class, 1, strlen(id) + 1, 0, &request);

	if (r)
		return r;
	op = request->ops;
	info_of(op)->fd = -EBADF;
	op->id = op->subject = request_string(request, id);
	op->place = LAYER_PLACE;
	op->holds[0] = (struct hold){ .id = op->id };
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}
