/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/fds.h"
#include "engine/base/limits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/resource.h>

static struct fds *fds_of(struct op *op)
{
	return &op->request->core->fds;
}

/* Get how many descriptors this process may have now, FDS_LIMIT_MAX at most. */
static unsigned fds_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > FDS_LIMIT_MAX)
		return FDS_LIMIT_MAX;
	return (unsigned)limit.rlim_cur;
}

/*
 * Count the descriptors that can still be opened. Since Linux 6.2 the size of /proc/self/fd is the
 * number of open ones; before, or without /proc, each number is tried.
 */
static unsigned fds_unused(unsigned limit)
{
	unsigned unused = 0;
	struct stat self;

	if (stat("/proc/self/fd", &self) == 0 && self.st_size > 0)
		return MIN(limit - (unsigned)MIN(self.st_size, (off_t)limit), FDS_COUNTED_MAX);
	for (unsigned fd = limit > FDS_COUNTED_MAX ? limit - FDS_COUNTED_MAX : 0; fd < limit; fd++)
		unused += fcntl((int)fd, F_GETFD) < 0;
	return unused;
}

void fds_init(struct fds *fds)
{
	*fds = (struct fds){ .free = fds_unused(fds_limit()),
			     .stall_after_ns = FDS_STALL_MS * NS_PER_MS };
	for (unsigned kind = 0; kind < FDS_KINDS; kind++)
		list_init(&fds->queues[kind].waiting);
	list_init(&fds->stopped);
}

/* Can COUNT more be reserved? */
static bool fds_fit(struct fds *fds, unsigned count)
{
	unsigned wanted = fds->taken + count, limit, unused;
	uint64_t now, pause_ns;

	if (!fds->scarce && wanted <= FDS_EASY)
		return true;
	now = now_ns();
	if (now - fds->counted_ns <= fds->count_after_ns)
		return wanted <= fds->room;
	/* Count what is free. Running operations have not opened all that they have reserved. */
	limit = fds_limit();
	unused = fds_unused(limit);
	fds->room = MAX(fds->taken, unused > FDS_RESERVE ? unused - FDS_RESERVE : 0);
	fds->counted_ns = now;
	fds->scarce &= unused < limit / 4;
	/* Counting is slow in a process that is traced: pause, so that it takes a bounded share. */
	pause_ns = (now_ns() - now) * FDS_COUNT_SHARE;
	fds->count_after_ns = MAX(FDS_COUNT_MS * NS_PER_MS, pause_ns);
	return wanted <= fds->room;
}

/* Get the number of descriptors that OP reserves before it begins. */
static unsigned fds_least(const struct op *op)
{
	unsigned count = op->request->class->fds ? op->request->class->fds : FDS_OPERATION;

	return op->fds_kind == FDS_READS ? MAX(count, FDS_APPLY) : count;
}

/* Note that OP has COUNT descriptors more. */
static void fds_give(struct fds *fds, struct op *op, unsigned count)
{
	if (!op->fds) {
		fds->running++;
		fds->queues[op->fds_kind].running++;
	}
	fds->taken += count;
	op->fds += count;
}

/*
 * May OP, the first of its kind, begin? Where others have waited longer (BEFORE), only if all that
 * runs may wait for OP.
 */
static bool fds_may_enter(struct fds *fds, const struct op *op, bool before)
{
	unsigned count = fds_least(op), others = fds->queues[FDS_OTHER].running;

	if (!others && !fds->queues[op->fds_kind].running && list_empty(&fds->stopped))
		return true;
	if (op->fds_kind == FDS_OTHER)
		return !before && fds_fit(fds, count);
	if (before)
		return false;
	/* The operation that reads this archive may be queued: it has to fit as well. */
	if (op->fds_kind == FDS_WRITES && !fds->queues[FDS_READS].running)
		count += FDS_APPLY;
	if (op->fds_kind == FDS_READS && !fds->queues[FDS_WRITES].running)
		count += FDS_CHANGES;
	return fds_fit(fds, count + (others ? 0 : FDS_OPERATION));
}

/* Begin the first operation of KIND that waits. */
static void fds_begin(struct core *core, unsigned kind)
{
	struct op *op = list_entry(list_pop(&core->fds.queues[kind].waiting), struct op, link);

	fds_give(&core->fds, op, fds_least(op));
	list_append(&core->holds.runnable, &op->link);
	core->fds.turn = (kind + 1) % FDS_KINDS;
}

/* Begin one waiting operation that may. False when there is none. */
static bool fds_admit_one(struct core *core)
{
	struct fds *fds = &core->fds;
	bool before = false;

	for (unsigned i = 0; i < FDS_KINDS; i++) {
		unsigned kind = (fds->turn + i) % FDS_KINDS;
		struct list *waiting = &fds->queues[kind].waiting;

		if (list_empty(waiting))
			continue;
		if (fds_may_enter(fds, list_entry(waiting->next, struct op, link), before)) {
			unsigned turn = fds->turn;

			fds_begin(core, kind);
			/* An operation that overtook others leaves their turn as it is. */
			if (before)
				fds->turn = turn;
			return true;
		}
		before = true;
	}
	return false;
}

/* Does an operation of any kind wait to begin? */
static bool fds_any_waits(const struct fds *fds)
{
	for (unsigned kind = 0; kind < FDS_KINDS; kind++)
		if (!list_empty(&fds->queues[kind].waiting))
			return true;
	return false;
}

/* Take OP out of the queue that it waits in: those behind it may fit. */
static void fds_withdraw(struct op *op)
{
	list_remove(&op->link);
	while (fds_admit_one(op->request->core))
		;
}

bool fds_enter(struct op *op)
{
	struct fds *fds = fds_of(op);
	struct list *waiting = &fds->queues[op->fds_kind].waiting;

	/* It needs none, or has waited and got them. */
	if (op->request->class->fds == FDS_NOTHING || op->fds)
		return true;
	if (list_empty(waiting) && fds_may_enter(fds, op, fds_any_waits(fds))) {
		fds_give(fds, op, fds_least(op));
		return true;
	}
	op->withdraw = fds_withdraw;
	list_append(waiting, &op->link);
	return false;
}

bool fds_extend(struct op *op, unsigned count, bool force)
{
	struct fds *fds = fds_of(op);

	if (!force && !fds_fit(fds, count))
		return false;
	fds_give(fds, op, count);
	return true;
}

/* Begin the step of the operation that was parked first anew. */
static void fds_resume_first(struct core *core)
{
	struct fds *fds = &core->fds;
	struct op *op = list_entry(list_pop(&fds->stopped), struct op, link);

	fds->parked--;
	fds->queues[op->fds_kind].running++;
	list_append(&core->holds.runnable, &op->link);
}

/* Start what may run now: first one parked operation, then waiting ones. */
static void fds_admit(struct core *core)
{
	if (!list_empty(&core->fds.stopped))
		fds_resume_first(core);
	while (fds_admit_one(core))
		;
}

void fds_shrink(struct op *op)
{
	unsigned least = fds_least(op);

	if (op->fds <= least)
		return;
	fds_of(op)->taken -= op->fds - least;
	op->fds = least;
	fds_admit(op->request->core);
}

void fds_leave(struct op *op)
{
	struct fds *fds = fds_of(op);

	if (!op->fds)
		return;
	fds->taken -= op->fds;
	fds->running--;
	fds->queues[op->fds_kind].running--;
	op->fds = 0;
	if (fds->last == op)
		fds->last = NULL;
	fds_admit(op->request->core);
}

/* Take OP out of those that are parked. */
static void fds_unpark(struct op *op)
{
	struct fds *fds = fds_of(op);

	list_for_each(link, &fds->stopped) {
		if (link == &op->link) {
			fds->parked--;
			fds->queues[op->fds_kind].running++;
			break;
		}
	}
	list_remove(&op->link);
	op->parked = false;
}

bool fds_park(struct op *op, int error)
{
	struct fds *fds = fds_of(op);

	if (!fds_missing(error))
		return false;
	fds->scarce = true;
	fds->counted_ns = 0;
	if (!op->fds || op->begun || op == fds->last || fds->running - fds->parked < 2)
		return false;
	fds->parked++;
	fds->queues[op->fds_kind].running--;
	op->parked = true;
	op->withdraw = op->state <= op->request->class->cancel_last ? fds_unpark : NULL;
	list_append(&fds->stopped, &op->link);
	return true;
}

void fds_idle(struct op *op, bool idle)
{
	struct fds *fds = fds_of(op);
	struct fds_queue *queue = &fds->queues[op->fds_kind];

	op->idle = idle;
	fds->parked = idle ? fds->parked + 1 : fds->parked - 1;
	queue->running = idle ? queue->running - 1 : queue->running + 1;
}

bool fds_resume(struct op *op)
{
	bool parked = op->parked;

	op->parked = false;
	return parked;
}

/* Are all running operations archives, which may wait for their other ends? */
static bool fds_all_stream(const struct core *core)
{
	list_for_each(link, &core->in_flight) {
		struct request *request = list_entry(link, struct request, link);

		for (size_t i = 0; i < request->count; i++) {
			const struct op *op = request_op(request, i);

			if (op->fds && !op->parked && !op->idle && !op->interrupt)
				return false;
		}
	}
	return true;
}

int64_t fds_unstall(struct core *core)
{
	struct fds *fds = &core->fds;
	uint64_t now, moved;

	if (fds->queues[FDS_OTHER].running || (list_empty(&fds->stopped) && !fds_any_waits(fds))) {
		fds->stall_ns = 0;
		return -1;
	}
	now = now_ns();
	moved = atomic_load(&fds->moved);
	if (fds->stall_ns && moved == fds->moved_seen && now < fds->stall_ns)
		return (int64_t)(fds->stall_ns - now);
	if (!fds->stall_ns || moved != fds->moved_seen || !fds_all_stream(core)) {
		fds->moved_seen = moved;
		fds->stall_ns = now + fds->stall_after_ns;
		return (int64_t)fds->stall_after_ns;
	}
	fds->stall_ns = now + fds->stall_after_ns;
	if (!list_empty(&fds->stopped)) {
		fds->last = list_entry(fds->stopped.next, struct op, link);
		fds_resume_first(core);
		return 0;
	}
	for (unsigned i = 0; i < FDS_KINDS; i++) {
		unsigned kind = (fds->turn + i) % FDS_KINDS;

		if (!list_empty(&fds->queues[kind].waiting)) {
			fds_begin(core, kind);
			break;
		}
	}
	return 0;
}
