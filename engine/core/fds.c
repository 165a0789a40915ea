/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/fds.h"
#include "engine/base/limits.h"
#include "engine/core/request.h"
#include "engine/core/store.h"

#include <fcntl.h>
#include <sys/resource.h>

static struct fds *fds_of(struct op *op)
{
	return &op->request->store->fds;
}

/* The descriptors that this process may have, as the limit stands now; no more than anybody can count. */
static unsigned fds_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > FDS_LIMIT_MAX)
		return FDS_LIMIT_MAX;
	return (unsigned)limit.rlim_cur;
}

/* Count the numbers that are free: what can be opened, or all that anybody counts on. */
static unsigned fds_unused(unsigned limit)
{
	unsigned unused = 0;

	for (unsigned fd = limit > FDS_COUNTED_MAX ? limit - FDS_COUNTED_MAX : 0; fd < limit; fd++)
		unused += fcntl((int)fd, F_GETFD) < 0;
	return unused;
}

void fds_init(struct fds *fds)
{
	*fds = (struct fds){ .free = fds_unused(fds_limit()) };
	list_init(&fds->waiting);
	list_init(&fds->stopped);
}

/* Count what is free. What those that run have not opened yet is counted as theirs. */
static void fds_count(struct fds *fds, uint64_t now)
{
	unsigned limit = fds_limit(), unused = fds_unused(limit);

	fds->room = MAX(fds->taken, unused > FDS_RESERVE ? unused - FDS_RESERVE : 0);
	fds->counted_ns = now;
	fds->scarce &= unused < limit / 4;
}

/* Can COUNT more be reserved? */
static bool fds_fit(struct fds *fds, unsigned count)
{
	unsigned wanted = fds->taken + count;
	uint64_t now;

	if (!fds->scarce && wanted <= FDS_EASY)
		return true;
	now = now_ns();
	if (now - fds->counted_ns > FDS_COUNT_MS * 1000000ull)
		fds_count(fds, now);
	return wanted <= fds->room;
}

/* What OP reserves before it begins. */
static unsigned fds_least(const struct op *op)
{
	return op->request->class->fds ? op->request->class->fds : FDS_OPERATION;
}

/* Take OP out of the queue that it waits in. */
static void fds_withdraw(struct op *op)
{
	list_remove(&op->link);
}

/* Note that OP has COUNT descriptors more. */
static void fds_give(struct fds *fds, struct op *op, unsigned count)
{
	fds->running += !op->fds;
	fds->taken += count;
	op->fds += count;
}

bool fds_enter(struct op *op)
{
	struct fds *fds = fds_of(op);

	/* It needs none; it waited, and was given them. */
	if (op->request->class->fds == FDS_NOTHING || op->fds)
		return true;
	if (list_empty(&fds->waiting) && (!fds->running || fds_fit(fds, fds_least(op)))) {
		fds_give(fds, op, fds_least(op));
		return true;
	}
	op->withdraw = fds_withdraw;
	list_append(&fds->waiting, &op->link);
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

/* Start those that fit now: first who was parked, then who waits, in order. */
static void fds_admit(struct varve_store *store)
{
	struct fds *fds = &store->fds;
	struct list *link;

	if ((link = list_pop(&fds->stopped))) {
		fds->parked--;
		list_append(&store->holds.runnable, link);
	}
	while (!list_empty(&fds->waiting)) {
		struct op *op = list_entry(fds->waiting.next, struct op, link);

		if (fds->running && !fds_fit(fds, fds_least(op)))
			return;
		list_remove(&op->link);
		fds_give(fds, op, fds_least(op));
		list_append(&store->holds.runnable, &op->link);
	}
}

void fds_shrink(struct op *op)
{
	unsigned least = fds_least(op);

	if (op->fds <= least)
		return;
	fds_of(op)->taken -= op->fds - least;
	op->fds = least;
	fds_admit(op->request->store);
}

void fds_leave(struct op *op)
{
	struct fds *fds = fds_of(op);

	if (!op->fds)
		return;
	fds->taken -= op->fds;
	fds->running--;
	op->fds = 0;
	fds_admit(op->request->store);
}

/* Take OP out of those that are parked. */
static void fds_unpark(struct op *op)
{
	struct fds *fds = fds_of(op);

	list_for_each(link, &fds->stopped) {
		if (link == &op->link) {
			fds->parked--;
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
	if (!op->fds || fds->running - fds->parked < 2)
		return false;
	fds->parked++;
	op->parked = true;
	op->withdraw = op->state <= op->request->class->cancel_last ? fds_unpark : NULL;
	list_append(&fds->stopped, &op->link);
	return true;
}

bool fds_resume(struct op *op)
{
	bool parked = op->parked;

	op->parked = false;
	return parked;
}
