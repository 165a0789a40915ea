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
	/* Destroyed when it was asked. */
	uint64_t destroyed_asked;
	/* Creates that wait for the number to fall; operations that wait for what was dead to be gone. */
	struct list creates, drains;
	/* The call that asks; is it under way. */
	struct call call;
	bool asking;
	/* Wake the kernel's cleaner with the next question. */
	bool wake;
	/* When it was woken last. */
	uint64_t woken_ns;
};

int cleaner_init(struct varve_store *store)
{
	struct cleaner *cleaner = calloc(1, sizeof(*cleaner));

	if (!cleaner)
		return -ENOMEM;
	cleaner->store = store;
	list_init(&cleaner->creates);
	list_init(&cleaner->drains);
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

/* Let those go on for whom what was dead is gone: the cleaner takes the oldest first. */
static void cleaner_release_drains(struct cleaner *cleaner)
{
	struct list ops = LIST_INIT(ops), *link;

	list_for_each_safe(pos, &cleaner->drains) {
		struct op *op = list_entry(pos, struct op, link);

		/* op->mark: how many were destroyed when it came. Those since are behind what it waits for. */
		if (cleaner->destroyed_asked >= op->mark &&
		    (cleaner->error || cleaner->counted <= cleaner->destroyed_asked - op->mark)) {
			list_remove(pos);
			list_append(&ops, pos);
		}
	}
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), cleaner->error);
}

static void cleaner_ask(struct cleaner *cleaner);

/* The timer: ask again. */
static void cleaner_timer(struct varve_store *store)
{
	cleaner_ask(store->cleaner);
}

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
	pthread_mutex_lock(&store->lock);
	store->statistics.cleaner_backlog = cleaner->dead;
	pthread_mutex_unlock(&store->lock);
	trace(&store->io.trace, TRACE_BTRFS, "cleaner: %llu dead", (unsigned long long)cleaner->dead);
	cleaner_release_creates(cleaner);
	cleaner_release_drains(cleaner);
	if (list_empty(&cleaner->creates) && list_empty(&cleaner->drains))
		return;
	/* It gets on by itself, is at a large one, or sleeps: a commit may have come before what is dead was ready. */
	cleaner->wake = cleaner->dead >= before && now_ns() - cleaner->woken_ns > BACKLOG_WAKE_MS * 1000000ull;
	store->timer = cleaner_timer;
	store->timer_ns = now_ns() + BACKLOG_POLL_MS * 1000000ull;
}

/* Ask the kernel how many are dead, unless it is being asked. */
static void cleaner_ask(struct cleaner *cleaner)
{
	if (cleaner->asking)
		return;
	cleaner->asking = true;
	cleaner->store->background++;
	cleaner->destroyed_asked = cleaner->destroyed;
	if (cleaner->wake)
		cleaner->woken_ns = now_ns();
	call_function(&cleaner->call, LANE_COMMIT, "SUBVOL_SYNC_WAIT", cleaner_ask_run);
	cleaner->call.done = cleaner_asked;
	io_submit(&cleaner->store->io, &cleaner->call);
}

void cleaner_destroyed(struct varve_store *store)
{
	struct cleaner *cleaner = store->cleaner;

	cleaner->destroyed++;
	cleaner->dead++;
	if (cleaner->dead * 2 < store->settings.backlog_max || cleaner->asking)
		return;
	/* Asked at each quarter, not at each destroy. */
	if (cleaner->destroyed - cleaner->destroyed_asked < store->settings.backlog_max / 4 + 1)
		return;
	cleaner->wake = true;
	cleaner_ask(cleaner);
}

/* Take OP out of the queue that it waits in. */
static void cleaner_withdraw(struct op *op)
{
	list_remove(&op->link);
}

/* Let OP wait on LIST, and ask. */
static int cleaner_wait(struct cleaner *cleaner, struct list *list, struct op *op)
{
	op->withdraw = cleaner_withdraw;
	op->mark = cleaner->destroyed;
	list_append(list, &op->link);
	if (!cleaner->store->timer_ns) {
		cleaner->wake = true;
		cleaner_ask(cleaner);
	}
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

int cleaner_drain(struct op *op)
{
	return cleaner_wait(op->request->store->cleaner, &op->request->store->cleaner->drains, op);
}
