/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/cleaner.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/core/store.h"

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
	/* Wake the kernel's cleaner with the next question. */
	bool wake;
	/* When it was woken last, when it answered last, whether the number had fallen then. */
	uint64_t woken_ns, looked_ns;
	bool progress;
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
	int fd = cleaner->store->layout.home_fd;

	if (cleaner->wake)
		fs_flush(fd);
	return fs_dead_count(fd, &cleaner->counted);
}

/* Let creates go on as far as the backlog has room for the removals that will follow them. */
static void cleaner_release_creates(struct cleaner *cleaner)
{
	struct list ops = LIST_INIT(ops), *link;

	if (cleaner->dead >= cleaner->store->settings.backlog_max)
		return;
	list_splice(&ops, &cleaner->creates);
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), 0);
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
static void cleaner_timer(struct varve_store *store)
{
	cleaner_ask(store->cleaner);
}

/* Ask at AT_NS, or earlier: the kernel has no event for it. */
static void cleaner_look_at(struct cleaner *cleaner, uint64_t at_ns)
{
	struct varve_store *store = cleaner->store;

	if (cleaner->asking || (store->timer_ns && store->timer_ns <= at_ns))
		return;
	store->timer = cleaner_timer;
	store->timer_ns = at_ns;
}

/* Ask when BACKLOG_POLL_MS have gone since the last answer. */
static void cleaner_look_later(struct cleaner *cleaner)
{
	cleaner_look_at(cleaner, cleaner->looked_ns + BACKLOG_POLL_MS * 1000000ull);
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
	cleaner->store->background--;
	cleaner->sweep_again = call->result > 0;
	if (cleaner->sweep_again)
		cleaner_look_at(cleaner, now_ns() + BACKLOG_SWEEP_MS * 1000000ull);
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
	if (!due || (cleaner->swept_ns && now - cleaner->swept_ns < BACKLOG_SWEEP_MS * 1000000ull)) {
		cleaner_look_at(cleaner, now + BACKLOG_SWEEP_MS * 1000000ull);
		return;
	}
	cleaner->sweeping = true;
	cleaner->swept_ns = now;
	cleaner->destroyed_swept = cleaner->destroyed;
	cleaner->store->background++;
	call_function(&cleaner->sweep, LANE_FS, "BTRFS_IOC_QGROUP_CREATE", cleaner_sweep_run);
	cleaner->sweep.done = cleaner_swept;
	io_submit(&cleaner->store->io, &cleaner->sweep);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* The kernel has answered. */
static void cleaner_asked(struct call *call)
{
	struct cleaner *cleaner = container_of(call, struct cleaner, call);
	struct varve_store *store = cleaner->store;
	uint64_t before = cleaner->dead;

	cleaner->asking = false;
	store->background--;
	cleaner->error = call->result;
	/* Where we may not know there is no backlog to enforce. */
	cleaner->dead = call->result ? 0 : cleaner->counted + cleaner->destroyed - cleaner->destroyed_asked;
	pthread_mutex_lock(&store->counting);
	store->statistics.cleaner_backlog = cleaner->dead;
	pthread_mutex_unlock(&store->counting);
	trace(&store->io.trace, TRACE_BTRFS, "cleaner: %llu dead", (unsigned long long)cleaner->dead);
	cleaner->progress = cleaner->dead < before;
	cleaner->looked_ns = now_ns();
	cleaner_release_creates(cleaner);
	cleaner_release_lookers(cleaner);
	if (!list_empty(&cleaner->creates))
		cleaner_look_later(cleaner);
	else if (cleaner_large(cleaner) && cleaner->destroyed != cleaner->destroyed_idle)
		cleaner_look_at(cleaner, cleaner->looked_ns + BACKLOG_WAKE_MS * 1000000ull);
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

static void cleaner_ask(struct cleaner *cleaner)
{
	uint64_t now = now_ns();

	if (cleaner->asking)
		return;
	cleaner->asking = true;
	cleaner->store->background++;
	/* It gets on by itself, is at a large one, or sleeps: a commit may have come before what is dead was ready. */
	cleaner->wake = cleaner_pressed(cleaner) && !cleaner->progress && now - cleaner->woken_ns > BACKLOG_WAKE_MS * 1000000ull;
	if (cleaner->destroyed == cleaner->destroyed_asked)
		cleaner->destroyed_idle = cleaner->destroyed;
	cleaner->destroyed_asked = cleaner->destroyed;
	if (cleaner->wake)
		cleaner->woken_ns = now;
	call_function(&cleaner->call, LANE_COMMIT, "SUBVOL_SYNC_WAIT", cleaner_ask_run);
	cleaner->call.done = cleaner_asked;
	io_submit(&cleaner->store->io, &cleaner->call);
}

void cleaner_destroyed(struct varve_store *store)
{
	struct cleaner *cleaner = store->cleaner;

	cleaner->destroyed++;
	cleaner->dead++;
	if (store->sweep)
		cleaner_look_at(cleaner, now_ns() + BACKLOG_SWEEP_MS * 1000000ull);
	/* Asked at each quarter of the bound, from the half on, not at each destroy. */
	if (!cleaner_large(cleaner) ||
	    cleaner->destroyed - cleaner->destroyed_asked <= store->settings.backlog_max / 4)
		return;
	cleaner->progress = false;
	cleaner_ask(cleaner);
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

bool cleaner_room(const struct varve_store *store)
{
	return store->cleaner->dead < store->settings.backlog_max;
}

int cleaner_wait_room(struct op *op)
{
	return cleaner_wait(op->request->store->cleaner, &op->request->store->cleaner->creates, op);
}

int cleaner_wait_look(struct op *op)
{
	return cleaner_wait(op->request->store->cleaner, &op->request->store->cleaner->lookers, op);
}
