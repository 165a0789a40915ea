/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/undo.h"
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/loosen.h"
#include "engine/store/backlog.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Say what became of it. */
__attribute__((format(printf, 2, 3))) static void undo_explain(struct undo *undo,
							       const char *format, ...)
{
	va_list arguments;

	free(TAKE_PTR(undo->fate));
	va_start(arguments, format);
	if (vasprintf(&undo->fate, format, arguments) < 0)
		undo->fate = NULL;
	va_end(arguments);
}

/* See that NAME in DIR_FD is what was made: 0, UNDO_ABSENT when it is not, or -errno. */
static int undo_look(struct undo *undo, int dir_fd, const char *name)
{
	uint64_t number;
	int r;

	if (!undo->in_sight)
		return 0;
	undo->op->call.name = "name_to_handle_at";
	r = undo->number ? file_handle_subvolume(dir_fd, name, &number) : -ESTALE;
	if (r == -ENOENT)
		return UNDO_ABSENT;
	if (!r && number == undo->number)
		return 0;
	undo_explain(
		undo, "%s",
		r ? "what was made stays: it cannot be distinguished from another layer"
		  : "it is gone: another process has made a layer of this name meanwhile, which stays");
	return r ? r : UNDO_ABSENT;
}

/*
 * Rename it into the trash. First under the name of this store, which no sweep touches: what was
 * renamed is looked at again, and goes back where it is another layer. 0, UNDO_ABSENT, or -errno;
 * NAME is what it is called then.
 */
static int undo_discard(struct undo *undo, char name[96])
{
	struct varve_store *store = op_store(undo->op);
	struct loosened loosened = { .number = undo->number };
	int trash_fd = layout_trash(store), r;
	const char *detail = NULL;
	char left[96];

	if (trash_fd < 0)
		return trash_fd;
	snprintf(name, sizeof(left), "%s.%" PRIx64 "-%zx", store->layout.owner,
		 undo->op->request->handle, undo->index);
	do
		r = RET_NERRNO(
			renameat2(undo->dir_fd, undo->name, trash_fd, name, RENAME_NOREPLACE));
	while (r && loosen(undo->dir_fd, undo->name, r, &loosened, &detail) > 0);
	if (r)
		return r;
	r = undo_look(undo, trash_fd, name);
	if (r) {
		if (renameat2(trash_fd, name, undo->dir_fd, undo->name, RENAME_NOREPLACE) < 0)
			undo_explain(
				undo,
				"another process has made a layer of this name meanwhile: it is %s/%s now, "
				"and could not be put back (%s)",
				layout_name(LAYOUT_TRASH), name, strerrordesc_np(errno));
		return r;
	}
	snprintf(left, sizeof(left), "left-%.80s", name);
	/* Under the name of this store a sweep takes it once the store is closed. */
	if (!renameat2(trash_fd, name, trash_fd, left, RENAME_NOREPLACE))
		snprintf(name, sizeof(left), "%s", left);
	return 0;
}

/* It cannot be destroyed (ERROR): leave it to a sweep, and say what becomes of it. */
static void undo_leave_over(struct undo *undo, int error)
{
	struct varve_store *store = op_store(undo->op);
	const char *why = strerrordesc_np(-error);
	char trash[96];
	int r = undo_discard(undo, trash);

	if (!r)
		undo_explain(undo,
			     "what was made cannot be destroyed (%s) and is %s/%s now, for a sweep",
			     why, layout_name(LAYOUT_TRASH), trash);
	else if (undo->fate)
		return;
	else if (undo->dir_fd != store->layout.subvolumes_fd)
		undo_explain(
			undo,
			"what was made cannot be destroyed (%s): %s/%s/%u/%s stays until the store is opened again",
			why, layout_name(LAYOUT_STAGING), store->layout.owner, undo->op->slot,
			undo->name);
	else
		undo_explain(undo,
			     "what was made cannot be destroyed (%s): " LAYER_PLACE "/%s stays",
			     why, undo->name);
}

int undo_destroy(struct undo *undo)
{
	struct loosened loosened = { .number = undo->number };
	int r;

	do {
		r = undo_look(undo, undo->dir_fd, undo->name);
		if (r)
			return r;
		/* By its number where that is allowed. */
		r = -ENAMETOOLONG;
		if (undo->in_sight && op_store(undo->op)->layout.privileged) {
			undo->op->call.name = "BTRFS_IOC_SNAP_DESTROY_V2";
			r = subvol_destroy_id(undo->dir_fd, undo->number);
		}
		/* The kernel finds the path of a number, which may be longer than it takes. */
		if (r == -ENAMETOOLONG) {
			undo->op->call.name = "BTRFS_IOC_SNAP_DESTROY";
			r = subvol_destroy(undo->dir_fd, undo->name);
		}
		/* It is gone since: look what has its name now. */
		if (r == -ENOENT)
			return undo->in_sight ? undo_look(undo, undo->dir_fd, undo->name) : r;
	} while (r && loosen(undo->dir_fd, undo->name, r, &loosened, &undo->op->detail) > 0);
	if (r)
		undo_leave_over(undo, r);
	return r;
}

int undo_done(struct op *op, const char *fate, int result)
{
	char detail[VARVE_FAILURE_DETAIL_SIZE];

	if (!result)
		backlog_destroyed(op_store(op));
	if (fate && op->failure) {
		snprintf(detail, sizeof(detail), "%s", op->failure->detail);
		op_amend(op, false, "%s%s%s", detail, *detail ? "; " : "", fate);
	}
	return result < 0 ? result : OP_END;
}
