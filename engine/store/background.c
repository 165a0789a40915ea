/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/background.h"
#include "engine/base/limits.h"
#include "engine/base/pressure.h"
#include "engine/btrfs/fs.h"
#include "engine/store/backlog.h"
#include "engine/store/pace.h"
#include "engine/store/store.h"

#include <sys/vfs.h>

struct background {
	struct varve_store *store;
	struct pace pace;
	/* Those that wait, in the order they came; how many. */
	struct list waiting;
	uint64_t waits;
	/* Removals of the slice, those of it that have not passed, and what all took so far. */
	unsigned slice, slice_left;
	uint64_t worked_ns;
	/* When the next slice may begin; 0: not known. */
	uint64_t next_ns;
	/*
	 * The call that looks; is it under way; when it answered last; some passed since it began.
	 */
	struct call call;
	bool looking;
	uint64_t looked_ns;
	bool passed;
	/* What the call does and has seen: it wakes the cleaner; tasks wait; little is free. */
	bool wakes, saw_pressure, saw_short;
	/*
	 * The call's: events of PSI, -EBADF: not asked for yet, or another -errno: there are none.
	 */
	int pressure_fd;
	/* When tasks were last seen to wait for the disk, 0: never; little is free. */
	uint64_t pressed_ns;
	bool room_short;
};

/* ---- the queue ------------------------------------------------------------------------------- */

/* Count in the statistics how many wait. */
static void background_publish(struct background *background)
{
	struct core *core = &background->store->core;

	pthread_mutex_lock(&core->counting);
	core->statistics.background_waiting = background->waits;
	pthread_mutex_unlock(&core->counting);
}

/* Take OP out of the queue. */
static void background_withdraw(struct op *op)
{
	struct background *background = op_store(op)->background;

	list_remove(&op->link);
	background->waits--;
	background_publish(background);
}

/* OP could begin: let it wait for its slice. */
static void background_wait(struct op *op)
{
	struct background *background = op_store(op)->background;

	op->withdraw = background_withdraw;
	list_append(&background->waiting, &op->link);
	background->waits++;
	background_publish(background);
}

/* Let OP, which waits here, begin. */
static void background_release(struct op *op)
{
	background_withdraw(op);
	op->background = false;
	op->withdraw = op_unlink;
	list_append(&op->request->core->holds.runnable, &op->link);
}

/* Another operation waits for OP: let it go. */
static void background_hasten(struct op *op)
{
	if (op->withdraw == background_withdraw)
		background_release(op);
	op->background = false;
}

/* ---- what is seen ---------------------------------------------------------------------------- */

void background_created(struct varve_store *store, uint64_t latency_ns)
{
	struct background *background = store->background;

	pace_created(&background->pace, latency_ns, background->waits || background->slice_left);
}

void background_passed(struct op *op, uint64_t worked_ns)
{
	struct background *background = op_store(op)->background;

	if (!op->paced)
		return;
	op->paced = false;
	background->passed = true;
	background->worked_ns += worked_ns;
	if (!--background->slice_left)
		pace_sliced(&background->pace, now_ns(), background->slice, background->worked_ns);
}

/* Ask how much is free, and for pressure, and wake the kernel's cleaner. Lane thread. */
static int background_look_run(struct call *call)
{
	struct background *background = container_of(call, struct background, call);
	struct varve_store *store = background->store;
	struct statfs statfs_;

	if (background->pressure_fd == -EBADF)
		background->pressure_fd = pressure_open(store->settings.pressure_path);
	background->saw_pressure = pressure_seen(background->pressure_fd);
	/* Where it cannot be asked, as where it is short. */
	background->saw_short = fstatfs(store->layout.home_fd, &statfs_) < 0 ||
				statfs_.f_bavail < statfs_.f_blocks / PACE_FREE_PART;
	if (background->wakes)
		fs_begin_commit(store->layout.home_fd);
	return 0;
}

/* Take what background_look_run() has seen. */
static void background_looked(struct call *call)
{
	struct background *background = container_of(call, struct background, call);

	background->looking = false;
	background->store->core.background--;
	background->looked_ns = now_ns();
	if (call->result < 0)
		return;
	background->room_short = background->saw_short;
	if (background->saw_pressure)
		background->pressed_ns = background->looked_ns;
}

/* Look, where it is time. */
static void background_look(struct background *background, uint64_t now)
{
	if (background->looking ||
	    (background->looked_ns && now - background->looked_ns < PACE_LOOK_NS))
		return;
	background->looking = true;
	background->wakes = TAKE(background->passed, false);
	background->store->core.background++;
	call_function(&background->call, LANE_COMMIT, "fstatfs", background_look_run);
	background->call.done = background_looked;
	io_submit(&background->store->core.io, &background->call);
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* Let COUNT go, or all that there are, as one slice or as part of the one that goes on. */
static void background_slice(struct background *background, unsigned count)
{
	if (!background->slice_left)
		background->slice = background->worked_ns = 0;
	for (; count && !list_empty(&background->waiting); count--) {
		struct op *op = list_entry(background->waiting.next, struct op, link);

		op->paced = true;
		background->slice++;
		background->slice_left++;
		background_release(op);
	}
	trace(&background->store->core.io.trace, TRACE_OP, "background: %u go, %llu wait",
	      background->slice_left, (unsigned long long)background->waits);
}

/* What the pace depends on now. */
static struct pace_view background_view(const struct background *background)
{
	const struct varve_store *store = background->store;
	uint64_t now = now_ns();

	return (struct pace_view){
		.now_ns = now,
		.busy = store->core.counters.running[VARVE_CREATE],
		.pressed = background->pressed_ns && now - background->pressed_ns < PACE_PRESSED_NS,
		.blocked = backlog_creates_wait(store),
		.urgent = background->room_short,
	};
}

/* Let those go whose time has come. */
static void background_turn(struct core *core)
{
	struct background *background = container_of(core, struct varve_store, core)->background;
	struct pace_view view;
	unsigned count;

	background->next_ns = 0;
	if (list_empty(&background->waiting) && !background->passed)
		return;
	view = background_view(background);
	background_look(background, view.now_ns);
	/* Those that cannot wait do not wait for the slice that is under way, either. */
	if (list_empty(&background->waiting) || (background->slice_left && !view.urgent))
		return;
	count = pace_slice(&background->pace, &view, &background->next_ns);
	if (count)
		background_slice(background, count);
}

/* Nanoseconds until the next slice, or the next look; -1: no time is known. */
static int64_t background_due(const struct core *core)
{
	const struct background *background =
		container_of(core, const struct varve_store, core)->background;
	uint64_t look_ns = background->looked_ns + PACE_LOOK_NS, now, due_ns;

	if (list_empty(&background->waiting) && !background->passed)
		return -1;
	due_ns = background->next_ns && !background->slice_left ? background->next_ns : look_ns;
	/* The answer to a look that is under way makes a turn by itself. */
	if (!background->looking)
		due_ns = MIN(due_ns, look_ns);
	else if (due_ns == look_ns)
		return -1;
	now = now_ns();
	return due_ns > now ? (int64_t)(due_ns - now) : 0;
}

/* ---- the store's ----------------------------------------------------------------------------- */

/* Free the queue, which is empty. */
static void background_free(struct core *core)
{
	struct background *background = container_of(core, struct varve_store, core)->background;

	fd_close(background->pressure_fd);
	free(background);
}

static const struct wait_hooks background_hooks = {
	.turn = background_turn,
	.due = background_due,
	.wait = background_wait,
	.hasten = background_hasten,
	.free = background_free,
};

int background_init(struct varve_store *store)
{
	struct background *background = calloc(1, sizeof(*background));

	if (!background)
		return -ENOMEM;
	background->store = store;
	background->pressure_fd = -EBADF;
	list_init(&background->waiting);
	store->background = background;
	store->core.waits = &background_hooks;
	return 0;
}
