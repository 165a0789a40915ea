/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/backlog.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/store/store.h"

struct cleaner {
	struct varve_store *store;
	/* Dead subvolumes, as far as we know. */
	uint64_t dead;
	/* Destroyed by this store so far. */
	uint64_t destroyed;
	/* What the kernel said last, and the error it said it with. */
	uint64_t counted;
	int error;
	/* Destroyed when it was asked; when it was asked and nothing had been destroyed since the time before. */
	uint64_t destroyed_asked, destroyed_idle;
	/* Creates that wait for the number to fall; operations that wait for the next look. */
	struct list creates, lookers;
	/* The call that asks; is it under way. */
	struct call call;
	bool asking;
	/* The call that wakes the kernel's cleaner; is it under way. */
	struct call wake;
	bool waking;
	/* When it was woken last, when it answered last. */
	uint64_t woken_ns, looked_ns;
	/* When it was last seen to have dropped one; how often it was woken since. */
	uint64_t progress_ns;
	unsigned wakes;
	/* How quota ran when a create looked last: enum varve_quota_mode. Any thread. */
	_Atomic int quota;
	/* Layers being made; when the last create was let in; when a layer was destroyed last. */
	uint64_t making, begun_ns, destroyed_ns;
	/* The call that sweeps what was dropped; is it under way; when it began last; destroyed then; some was not dropped yet. */
	struct call sweep;
	bool sweeping;
	uint64_t swept_ns, destroyed_swept;
	bool sweep_again;
};

int cleaner_init(struct varve_store *store)
{
	struct cleaner *cleaner = calloc(1, sizeof(*cleaner));

	if (!cleaner)
		return -ENOMEM;
	cleaner->store = store;
	list_init(&cleaner->creates);
	list_init(&cleaner->lookers);
	store->cleaner = cleaner;
	return 0;
}

/* Ask the kernel, on a lane thread. */
static int cleaner_ask_run(struct call *call)
{
	struct cleaner *cleaner = container_of(call, struct cleaner, call);

	return fs_dead_count(cleaner->store->layout.home_fd, &cleaner->counted);
}

/* Wake the kernel's cleaner, on a lane thread. */
static int cleaner_wake_run(struct call *call)
{
	return fs_flush(container_of(call, struct cleaner, wake)->store->layout.home_fd);
}

/* ---- who may go on ----------------------------------------------------------------------------------------------- */

bool cleaner_room(const struct varve_store *store)
{
	return store->cleaner->dead < store->settings.backlog_max;
}

/* Is this a churn under full quotas, where few may be made at a time? */
static bool cleaner_paces(const struct cleaner *cleaner, uint64_t now)
{
	return atomic_load_explicit(&cleaner->quota, memory_order_relaxed) == VARVE_QUOTA_FULL && cleaner->destroyed &&
	       now - cleaner->destroyed_ns < BACKLOG_FULL_QUOTA_MS * NS_PER_MS;
}

/* Is there room for one more create now, and is it the time for it? */
static bool cleaner_admits(const struct cleaner *cleaner)
{
	uint64_t now = now_ns();

	if (!cleaner_room(cleaner->store))
		return false;
	if (cleaner->dead + cleaner->making < BACKLOG_FULL_QUOTA || !cleaner_paces(cleaner, now))
		return true;
	/* Where the cleaner is at something large, one after the other. */
	return !cleaner->making && now - cleaner->begun_ns >= BACKLOG_FULL_QUOTA_WAIT_MS * NS_PER_MS;
}

bool cleaner_may_make(const struct varve_store *store)
{
	return list_empty(&store->cleaner->creates) && cleaner_admits(store->cleaner);
}

void cleaner_make_begin(struct varve_store *store)
{
	store->cleaner->making++;
	store->cleaner->begun_ns = now_ns();
}

/* Let creates go on as far as there is room for the removals that will follow them. */
static void cleaner_release_creates(struct cleaner *cleaner)
{
	while (!list_empty(&cleaner->creates) && cleaner_admits(cleaner))
		op_done(list_entry(list_pop(&cleaner->creates), struct op, link), 0);
}

/* Let those go on who wait for a look. */
static void cleaner_release_lookers(struct cleaner *cleaner)
{
	struct list ops = LIST_INIT(ops), *link;

	list_splice(&ops, &cleaner->lookers);
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), cleaner->error);
}

/* Ask the kernel how many are dead, unless it is being asked. */
static void cleaner_ask(struct cleaner *cleaner);

/* The timer: ask again. */
static void cleaner_timer(struct core *core)
{
	cleaner_ask(container_of(core, struct varve_store, core)->cleaner);
}

/* Ask at AT_NS, or earlier: the kernel has no event for it. */
static void cleaner_look_at(struct cleaner *cleaner, uint64_t at_ns)
{
	struct varve_store *store = cleaner->store;

	if (cleaner->asking || (store->core.timer_ns && store->core.timer_ns <= at_ns))
		return;
	store->core.timer = cleaner_timer;
	store->core.timer_ns = at_ns;
}

/* Ask again in a while, because somebody waits: a quarter of the time since it was last seen to drop one. */
static void cleaner_look_later(struct cleaner *cleaner)
{
	uint64_t pause = (now_ns() - cleaner->progress_ns) / 4;

	pause = MIN(MAX(pause, BACKLOG_POLL_MIN_MS * NS_PER_MS), BACKLOG_POLL_MAX_MS * NS_PER_MS);
	cleaner_look_at(cleaner, cleaner->looked_ns + pause);
}

/* Is the backlog worth waking the kernel's cleaner for, before anybody waits for it? */
static bool cleaner_large(const struct cleaner *cleaner)
{
	return cleaner->dead * 2 >= cleaner->store->settings.backlog_max;
}

/* ---- what dropped subvolumes leave behind ------------------------------------------------------------------------ */

/* Sweep, on a lane thread. */
static int cleaner_sweep_run(struct call *call)
{
	struct varve_store *store = container_of(call, struct cleaner, sweep)->store;

	return store->sweep(store);
}

/* The sweep is over. A failure is passed over: there is another sweep after the next removal. */
static void cleaner_swept(struct call *call)
{
	struct cleaner *cleaner = container_of(call, struct cleaner, sweep);

	cleaner->sweeping = false;
	cleaner->store->core.background--;
	cleaner->sweep_again = call->result > 0;
	if (cleaner->sweep_again)
		cleaner_look_at(cleaner, now_ns() + BACKLOG_SWEEP_MS * NS_PER_MS);
}

/* Is there something that has to be looked for behind dropped subvolumes? */
static bool cleaner_unswept(const struct cleaner *cleaner)
{
	return cleaner->store->sweep && (cleaner->sweep_again || cleaner->destroyed != cleaner->destroyed_swept);
}

/* Sweep once all is dropped, or much was; until then look again from time to time. */
static void cleaner_sweep(struct cleaner *cleaner)
{
	uint64_t now = now_ns();
	bool due = !cleaner->dead || cleaner->destroyed - cleaner->destroyed_swept >= BACKLOG_SWEEP_DESTROYED;

	if (!cleaner_unswept(cleaner) || cleaner->sweeping)
		return;
	if (!due || (cleaner->swept_ns && now - cleaner->swept_ns < BACKLOG_SWEEP_MS * NS_PER_MS)) {
		cleaner_look_at(cleaner, now + BACKLOG_SWEEP_MS * NS_PER_MS);
		return;
	}
	cleaner->sweeping = true;
	cleaner->swept_ns = now;
	cleaner->destroyed_swept = cleaner->destroyed;
	cleaner->store->core.background++;
	call_function(&cleaner->sweep, LANE_LONG, "BTRFS_IOC_QGROUP_CREATE", cleaner_sweep_run);
	cleaner->sweep.done = cleaner_swept;
	io_submit(&cleaner->store->core.io, &cleaner->sweep);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* The kernel has answered. */
static void cleaner_asked(struct call *call)
{
	struct cleaner *cleaner = container_of(call, struct cleaner, call);
	struct varve_store *store = cleaner->store;
	uint64_t before = cleaner->dead;

	cleaner->asking = false;
	store->core.background--;
	cleaner->error = call->result;
	/* Where we may not know there is no backlog to enforce. */
	cleaner->dead = call->result ? 0 : cleaner->counted + cleaner->destroyed - cleaner->destroyed_asked;
	pthread_mutex_lock(&store->core.counting);
	store->core.statistics.cleaner_backlog = cleaner->dead;
	pthread_mutex_unlock(&store->core.counting);
	trace(&store->core.io.trace, TRACE_BTRFS, "cleaner: %llu dead", (unsigned long long)cleaner->dead);
	cleaner->looked_ns = now_ns();
	if (cleaner->dead < before) {
		cleaner->progress_ns = cleaner->looked_ns;
		cleaner->wakes = 0;
	}
	cleaner_release_creates(cleaner);
	cleaner_release_lookers(cleaner);
	if (!list_empty(&cleaner->creates))
		cleaner_look_later(cleaner);
	else if (cleaner_large(cleaner) && cleaner->destroyed != cleaner->destroyed_idle)
		cleaner_look_at(cleaner, cleaner->looked_ns + BACKLOG_WAKE_MAX_MS * NS_PER_MS);
	cleaner_sweep(cleaner);
}

/*
 * Is it time to wake the kernel's cleaner? When somebody waits for it, at once. For a large backlog alone, when there was
 * no removal since the last look: to wake it is to commit, and that holds up a batch of removals by more than it takes.
 */
static bool cleaner_pressed(const struct cleaner *cleaner)
{
	return !list_empty(&cleaner->creates) || !list_empty(&cleaner->lookers) ||
	       (cleaner_large(cleaner) && cleaner->destroyed == cleaner->destroyed_asked);
}

/* Has it got nowhere for so long that it may be asleep? A commit may have come before what is dead was ready for it. */
static bool cleaner_stuck(const struct cleaner *cleaner, uint64_t now)
{
	uint64_t pause_ms = BACKLOG_WAKE_MIN_MS << MIN(cleaner->wakes, 8u);

	return !cleaner->waking &&
	       now - MAX(cleaner->progress_ns, cleaner->woken_ns) >= MIN(pause_ms, BACKLOG_WAKE_MAX_MS) * NS_PER_MS;
}

/* It was woken, or could not be: then it is tried again when it gets nowhere. */
static void cleaner_woken(struct call *call)
{
	struct cleaner *cleaner = container_of(call, struct cleaner, wake);

	cleaner->waking = false;
	cleaner->store->core.background--;
	cleaner->woken_ns = now_ns();
}

/* Wake the kernel's cleaner. */
static void cleaner_wake(struct cleaner *cleaner)
{
	cleaner->waking = true;
	cleaner->wakes++;
	cleaner->store->core.background++;
	call_function(&cleaner->wake, LANE_COMMIT, "BTRFS_IOC_SYNC", cleaner_wake_run);
	cleaner->wake.done = cleaner_woken;
	io_submit(&cleaner->store->core.io, &cleaner->wake);
}

static void cleaner_ask(struct cleaner *cleaner)
{
	uint64_t now = now_ns();

	if (cleaner->asking)
		return;
	cleaner->asking = true;
	cleaner->store->core.background++;
	if (cleaner_pressed(cleaner) && cleaner_stuck(cleaner, now))
		cleaner_wake(cleaner);
	if (cleaner->destroyed == cleaner->destroyed_asked)
		cleaner->destroyed_idle = cleaner->destroyed;
	cleaner->destroyed_asked = cleaner->destroyed;
	call_function(&cleaner->call, LANE_COMMIT, "SUBVOL_SYNC_WAIT", cleaner_ask_run);
	cleaner->call.done = cleaner_asked;
	io_submit(&cleaner->store->core.io, &cleaner->call);
}

void cleaner_destroyed(struct varve_store *store)
{
	struct cleaner *cleaner = store->cleaner;

	cleaner->destroyed++;
	cleaner->destroyed_ns = now_ns();
	cleaner->dead++;
	if (store->sweep)
		cleaner_look_at(cleaner, now_ns() + BACKLOG_SWEEP_MS * NS_PER_MS);
	/* Asked at each quarter of the bound, from the half on, not at each destroy. */
	if (!cleaner_large(cleaner) ||
	    cleaner->destroyed - cleaner->destroyed_asked <= store->settings.backlog_max / 4)
		return;
	cleaner_ask(cleaner);
}

void cleaner_make_end(struct varve_store *store)
{
	struct cleaner *cleaner = store->cleaner;

	cleaner->making--;
	if (!list_empty(&cleaner->creates))
		cleaner_look_at(cleaner, now_ns());
}

void cleaner_saw_quota(struct varve_store *store, int mode)
{
	atomic_store_explicit(&store->cleaner->quota, mode, memory_order_relaxed);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* Take OP out of the queue that it waits in. */
static void cleaner_withdraw(struct op *op)
{
	list_remove(&op->link);
}

/* Let OP wait on LIST until the kernel was asked again. */
static int cleaner_wait(struct cleaner *cleaner, struct list *list, struct op *op)
{
	op->withdraw = cleaner_withdraw;
	list_append(list, &op->link);
	cleaner_look_later(cleaner);
	return OP_WAIT;
}

int cleaner_wait_room(struct op *op)
{
	return cleaner_wait(op_store(op)->cleaner, &op_store(op)->cleaner->creates, op);
}

int cleaner_wait_look(struct op *op)
{
	return cleaner_wait(op_store(op)->cleaner, &op_store(op)->cleaner->lookers, op);
}
