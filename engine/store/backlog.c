/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/backlog.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/store/store.h"

struct backlog {
	struct varve_store *store;
	/* Destroyed subvolumes that are not dropped yet, as last counted or estimated. */
	uint64_t dead;
	/* Destroyed by this store so far. */
	uint64_t destroyed;
	/* The kernel's last count, and its error. */
	uint64_t counted;
	int error;
	/* `destroyed` at the last question; at the last one since which nothing was destroyed. */
	uint64_t destroyed_asked, destroyed_idle;
	/* Creates that wait for the number to fall; operations that wait for the next look. */
	struct list creates, lookers;
	/* The call that asks the kernel; is it under way. */
	struct call call;
	bool asking;
	/* The call that wakes the kernel's cleaner; is it under way. */
	struct call wake;
	bool waking;
	/* When the cleaner was woken last; when the kernel answered last. */
	uint64_t woken_ns, looked_ns;
	/* When the cleaner was last seen to have dropped a subvolume; how often woken since. */
	uint64_t progress_ns;
	unsigned wakes;
	/* The mode of quota that a create has seen last: enum varve_quota_mode. Any thread. */
	_Atomic int quota;
	/* Layers in the making; when the last create was admitted, a layer destroyed last. */
	uint64_t making, begun_ns, destroyed_ns;
	/*
	 * The call that removes groups of dropped subvolumes; is it under way; when it began last;
	 * `destroyed` then; were some not dropped yet.
	 */
	struct call sweep;
	bool sweeping;
	uint64_t swept_ns, destroyed_swept;
	bool sweep_again;
};

int backlog_init(struct varve_store *store)
{
	struct backlog *backlog = calloc(1, sizeof(*backlog));

	if (!backlog)
		return -ENOMEM;
	backlog->store = store;
	list_init(&backlog->creates);
	list_init(&backlog->lookers);
	store->backlog = backlog;
	return 0;
}

/* Ask the kernel, on a lane thread. */
static int backlog_ask_run(struct call *call)
{
	struct backlog *backlog = container_of(call, struct backlog, call);

	return fs_dead_count(backlog->store->layout.home_fd, &backlog->counted);
}

/* Wake the kernel's cleaner, on a lane thread. */
static int backlog_wake_run(struct call *call)
{
	return fs_flush(container_of(call, struct backlog, wake)->store->layout.home_fd);
}

/* ---- admission ------------------------------------------------------------------------------- */

bool backlog_room(const struct varve_store *store)
{
	return store->backlog->dead < store->settings.backlog_max;
}

bool backlog_creates_wait(const struct varve_store *store)
{
	return !list_empty(&store->backlog->creates);
}

/* Are layers made and removed under full quotas, so that creates have to be paced? */
static bool backlog_paces(const struct backlog *backlog, uint64_t now)
{
	return atomic_load_explicit(&backlog->quota, memory_order_relaxed) == VARVE_QUOTA_FULL &&
	       backlog->destroyed &&
	       now - backlog->destroyed_ns < BACKLOG_FULL_QUOTA_MS * NS_PER_MS;
}

/* May one more create be admitted now? */
static bool backlog_admits(const struct backlog *backlog)
{
	uint64_t now = now_ns();

	if (!backlog_room(backlog->store))
		return false;
	if (backlog->dead + backlog->making < BACKLOG_FULL_QUOTA || !backlog_paces(backlog, now))
		return true;
	/* Paced: one at a time. */
	return !backlog->making &&
	       now - backlog->begun_ns >= BACKLOG_FULL_QUOTA_WAIT_MS * NS_PER_MS;
}

bool backlog_may_make(const struct varve_store *store)
{
	return list_empty(&store->backlog->creates) && backlog_admits(store->backlog);
}

void backlog_make_begin(struct varve_store *store)
{
	store->backlog->making++;
	store->backlog->begun_ns = now_ns();
}

/* Ask the kernel how many are not dropped yet, unless it is being asked. */
static void backlog_ask(struct backlog *backlog);

/* Ask again; called by the timer. */
static void backlog_timer(struct core *core)
{
	backlog_ask(container_of(core, struct varve_store, core)->backlog);
}

/* Ask at AT_NS, or earlier: the kernel has no event for it. */
static void backlog_look_at(struct backlog *backlog, uint64_t at_ns)
{
	struct varve_store *store = backlog->store;

	if (backlog->asking || (store->core.timer_ns && store->core.timer_ns <= at_ns))
		return;
	store->core.timer = backlog_timer;
	store->core.timer_ns = at_ns;
}

/* Ask again after a quarter of the time since the last drop was seen: an operation waits. */
static void backlog_look_later(struct backlog *backlog)
{
	uint64_t pause = (now_ns() - backlog->progress_ns) / 4;

	pause = MIN(MAX(pause, BACKLOG_POLL_MIN_MS * NS_PER_MS), BACKLOG_POLL_MAX_MS * NS_PER_MS);
	backlog_look_at(backlog, backlog->looked_ns + pause);
}

/* Is the backlog worth waking the kernel's cleaner for, before any operation waits for it? */
static bool backlog_large(const struct backlog *backlog)
{
	return backlog->dead * 2 >= backlog->store->settings.backlog_max;
}

/* ---- what dropped subvolumes leave behind ---------------------------------------------------- */

/* Sweep, on a lane thread. */
static int backlog_sweep_run(struct call *call)
{
	struct varve_store *store = container_of(call, struct backlog, sweep)->store;

	return store->sweep(store);
}

/* May dropped subvolumes have left something behind? */
static bool backlog_unswept(const struct backlog *backlog)
{
	return backlog->store->sweep &&
	       (backlog->sweep_again || backlog->destroyed != backlog->destroyed_swept);
}

/*
 * Note that the sweep is over. Its errors are ignored: each removal leads to another sweep. What
 * was destroyed meanwhile may have been looked at in vain, while this sweep was under way.
 */
static void backlog_swept(struct call *call)
{
	struct backlog *backlog = container_of(call, struct backlog, sweep);

	backlog->sweeping = false;
	backlog->store->core.background--;
	backlog->sweep_again = call->result > 0;
	if (backlog_unswept(backlog))
		backlog_look_at(backlog, now_ns() + BACKLOG_SWEEP_MS * NS_PER_MS);
}

/* Sweep once all is dropped, or much was; until then look again from time to time. */
static void backlog_sweep(struct backlog *backlog)
{
	uint64_t now = now_ns();
	bool due = !backlog->dead ||
		   backlog->destroyed - backlog->destroyed_swept >= BACKLOG_SWEEP_DESTROYED;

	if (!backlog_unswept(backlog) || backlog->sweeping)
		return;
	if (!due || (backlog->swept_ns && now - backlog->swept_ns < BACKLOG_SWEEP_MS * NS_PER_MS)) {
		backlog_look_at(backlog, now + BACKLOG_SWEEP_MS * NS_PER_MS);
		return;
	}
	backlog->sweeping = true;
	backlog->swept_ns = now;
	backlog->destroyed_swept = backlog->destroyed;
	backlog->store->core.background++;
	call_function(&backlog->sweep, LANE_LONG, "sweep", backlog_sweep_run);
	backlog->sweep.done = backlog_swept;
	io_submit(&backlog->store->core.io, &backlog->sweep);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Take the kernel's answer. */
static void backlog_asked(struct call *call)
{
	struct backlog *backlog = container_of(call, struct backlog, call);
	struct varve_store *store = backlog->store;
	struct list ops = LIST_INIT(ops), *link;
	uint64_t before = backlog->dead;

	backlog->asking = false;
	store->core.background--;
	backlog->error = call->result;
	/* Without privilege the backlog is not known, and counts as empty. */
	backlog->dead = call->result
				? 0
				: backlog->counted + backlog->destroyed - backlog->destroyed_asked;
	pthread_mutex_lock(&store->core.counting);
	store->core.statistics.cleaner_backlog = backlog->dead;
	pthread_mutex_unlock(&store->core.counting);
	trace(&store->core.io.trace, TRACE_BTRFS, "cleaner: %llu dead",
	      (unsigned long long)backlog->dead);
	backlog->looked_ns = now_ns();
	if (backlog->dead < before) {
		backlog->progress_ns = backlog->looked_ns;
		backlog->wakes = 0;
	}
	/* Admit creates as far as there is room. */
	while (!list_empty(&backlog->creates) && backlog_admits(backlog))
		op_done(list_entry(list_pop(&backlog->creates), struct op, link), 0);
	/* All that wait for a look go on. */
	list_splice(&ops, &backlog->lookers);
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), backlog->error);
	if (!list_empty(&backlog->creates))
		backlog_look_later(backlog);
	else if (backlog_large(backlog) && backlog->destroyed != backlog->destroyed_idle)
		backlog_look_at(backlog, backlog->looked_ns + BACKLOG_WAKE_MAX_MS * NS_PER_MS);
	backlog_sweep(backlog);
}

/*
 * Has the kernel's cleaner to be woken? Yes when an operation waits for it. For a large backlog
 * alone only when there was no removal since the last look: waking it takes a commit, which delays
 * a batch of removals by more than the commit's own time.
 */
static bool backlog_pressed(const struct backlog *backlog)
{
	return !list_empty(&backlog->creates) || !list_empty(&backlog->lookers) ||
	       (backlog_large(backlog) && backlog->destroyed == backlog->destroyed_asked);
}

/*
 * Has the cleaner dropped nothing for so long that it may be asleep? It may have been woken before
 * the removals were committed.
 */
static bool backlog_stuck(const struct backlog *backlog, uint64_t now)
{
	uint64_t pause_ms = BACKLOG_WAKE_MIN_MS << MIN(backlog->wakes, 8u);

	return !backlog->waking && now - MAX(backlog->progress_ns, backlog->woken_ns) >=
					   MIN(pause_ms, BACKLOG_WAKE_MAX_MS) * NS_PER_MS;
}

/* Note that the wake is over. After a failure it is tried again while the cleaner drops nothing. */
static void backlog_woken(struct call *call)
{
	struct backlog *backlog = container_of(call, struct backlog, wake);

	backlog->waking = false;
	backlog->store->core.background--;
	backlog->woken_ns = now_ns();
}

static void backlog_ask(struct backlog *backlog)
{
	uint64_t now = now_ns();

	if (backlog->asking)
		return;
	backlog->asking = true;
	backlog->store->core.background++;
	/* Wake the kernel's cleaner. */
	if (backlog_pressed(backlog) && backlog_stuck(backlog, now)) {
		backlog->waking = true;
		backlog->wakes++;
		backlog->store->core.background++;
		call_function(&backlog->wake, LANE_COMMIT, "BTRFS_IOC_SYNC", backlog_wake_run);
		backlog->wake.done = backlog_woken;
		io_submit(&backlog->store->core.io, &backlog->wake);
	}
	if (backlog->destroyed == backlog->destroyed_asked)
		backlog->destroyed_idle = backlog->destroyed;
	backlog->destroyed_asked = backlog->destroyed;
	call_function(&backlog->call, LANE_COMMIT, "SUBVOL_SYNC_WAIT", backlog_ask_run);
	backlog->call.done = backlog_asked;
	io_submit(&backlog->store->core.io, &backlog->call);
}

void backlog_destroyed(struct varve_store *store)
{
	struct backlog *backlog = store->backlog;

	backlog->destroyed++;
	backlog->destroyed_ns = now_ns();
	backlog->dead++;
	if (store->sweep)
		backlog_look_at(backlog, now_ns() + BACKLOG_SWEEP_MS * NS_PER_MS);
	/* Ask at each quarter of the bound from the half on, not at each destroy. */
	if (!backlog_large(backlog) ||
	    backlog->destroyed - backlog->destroyed_asked <= store->settings.backlog_max / 4)
		return;
	backlog_ask(backlog);
}

void backlog_make_end(struct varve_store *store)
{
	struct backlog *backlog = store->backlog;

	backlog->making--;
	if (!list_empty(&backlog->creates))
		backlog_look_at(backlog, now_ns());
}

void backlog_saw_quota(struct varve_store *store, int mode)
{
	atomic_store_explicit(&store->backlog->quota, mode, memory_order_relaxed);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Let OP wait on LIST until the kernel was asked again. */
static int backlog_wait(struct backlog *backlog, struct list *list, struct op *op)
{
	op->withdraw = op_unlink;
	list_append(list, &op->link);
	backlog_look_later(backlog);
	return OP_WAIT;
}

int backlog_wait_room(struct op *op)
{
	return backlog_wait(op_store(op)->backlog, &op_store(op)->backlog->creates, op);
}

int backlog_wait_look(struct op *op)
{
	return backlog_wait(op_store(op)->backlog, &op_store(op)->backlog->lookers, op);
}
