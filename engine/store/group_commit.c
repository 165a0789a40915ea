/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/group_commit.h"
#include "engine/store/store.h"

#include <assert.h>

void clock_init(struct clock *clock, struct varve_store *store, const struct clock_hooks *hooks, unsigned slots)
{
	*clock = (struct clock){ .store = store, .hooks = hooks };
	list_init(&clock->gather);
	list_init(&clock->alone);
	list_init(&clock->publish);
	list_init(&clock->destroy);
	list_init(&clock->durable);
	list_init(&clock->unflushed);
	list_init(&clock->carried);
	list_init(&clock->serial_ops);
	clock->commit.clock = clock->flush.clock = clock;
	list_init(&clock->commit.ops);
	list_init(&clock->flush.ops);
	while (clock->slots_free < slots) {
		clock->slots[clock->slots_free] = slots - 1 - clock->slots_free;
		clock->slots_free++;
	}
}

/* Look which transaction the file system is at, and count those since the last look. Lane thread. */
static void clock_look(struct clock *clock)
{
	uint64_t generation = clock->hooks->generation(clock->store);

	pthread_mutex_lock(&clock->store->core.counting);
	if (clock->generation && generation > clock->generation)
		clock->store->core.statistics.commits += generation - clock->generation;
	clock->generation = MAX(clock->generation, generation);
	pthread_mutex_unlock(&clock->store->core.counting);
}

/* Let every operation on LIST go on with RESULT. */
static void clock_release(struct list *list, int result)
{
	struct list ops = LIST_INIT(ops), *link;

	list_splice(&ops, list);
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), result);
}

/* ---- the group --------------------------------------------------------------------------------------------------- */

/* Take OP out of the queue of those that wait to join a group. */
static void clock_ungather(struct op *op)
{
	list_remove(&op->link);
}

int clock_stage(struct op *op)
{
	struct clock *clock = &op_store(op)->clock;

	list_append(op->alone ? &clock->alone : &clock->gather, &op->link);
	op->withdraw = clock_ungather;
	return OP_WAIT;
}

/* Run the work of a member, on a thread of the commit lane. */
static int clock_stage_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	int r = op->work(op);

	if (op->direct)
		clock_look(&op_store(op)->clock);
	return r;
}

/* A member's work is done. */
static void clock_staged(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct clock *clock = &op_store(op)->clock;

	clock->slots[clock->slots_free++] = op->slot;
	clock->staging--;
	clock->open = false;
	if (op->commits && call->result >= 0) {
		clock->store->core.counters.snapshots++;
		clock->store->core.counters.snapshots_direct += op->direct;
		clock_release(&clock->carried, 0);
	}
	/* Nobody in the group committed: whoever counted on it waits for another. */
	if (!clock->staging)
		list_splice(&clock->durable, &clock->carried);
	op_done(op, call->result);
}

/* Let OP join the group. */
static void clock_launch(struct clock *clock, struct op *op)
{
	op->withdraw = NULL;
	op->slot = clock->slots[--clock->slots_free];
	clock->staging++;
	clock->group++;
	call_function(&op->call, LANE_COMMIT, op->call.name, clock_stage_run);
	op->call.done = clock_staged;
	io_submit(&clock->store->core.io, &op->call);
}

/* Let those that wait join, as far as there are slots. */
static void clock_admit(struct clock *clock)
{
	struct list *link;

	while (clock->slots_free && (link = list_pop(&clock->gather)))
		clock_launch(clock, list_entry(link, struct op, link));
	clock->store->core.counters.group_max = MAX(clock->store->core.counters.group_max, clock->group);
}

/* Begin a group of one that no other joins. */
static void clock_begin_alone(struct clock *clock)
{
	clock->open = false;
	clock_launch(clock, list_entry(list_pop(&clock->alone), struct op, link));
}

/* Begin a group of those that wait. */
static void clock_begin_open(struct clock *clock)
{
	struct op *first = list_entry(clock->gather.next, struct op, link);

	clock->open = true;
	/* Alone in the store: straight into place, for the price of the bare ioctl. */
	first->direct |= first->direct_allowed && clock->store->core.counters.running[VARVE_CREATE] == 1;
	trace(&clock->store->core.io.trace, TRACE_OP, "clock: beat%s", first->direct ? ", direct" : "");
	clock_admit(clock);
}

/* Begin a group. */
static void clock_begin(struct clock *clock)
{
	clock->group = 0;
	clock->destroyed = 0;
	clock->store->core.counters.beats++;
	list_splice(&clock->carried, &clock->durable);
	if (list_empty(&clock->alone))
		clock_begin_open(clock);
	else
		clock_begin_alone(clock);
}

/* Does anybody wait for a group? */
static bool clock_gathered(const struct clock *clock)
{
	return !list_empty(&clock->gather) || !list_empty(&clock->alone);
}

/* ---- the boundary ------------------------------------------------------------------------------------------------ */

/* Take OP out of the queue of those that wait to destroy. */
static void clock_undestroy(struct op *op)
{
	list_remove(&op->link);
	op_store(op)->clock.destroys--;
}

int clock_publish(struct op *op)
{
	op->withdraw = NULL;
	list_append(&op_store(op)->clock.publish, &op->link);
	return OP_WAIT;
}

int clock_destroy(struct op *op)
{
	struct clock *clock = &op_store(op)->clock;

	clock->destroys++;
	op->withdraw = clock_undestroy;
	list_append(&clock->destroy, &op->link);
	return OP_WAIT;
}

/* Run the work of all that publish and destroy, one after the other: in parallel they would only fight over locks. */
static int clock_serial_run(struct call *call)
{
	struct clock *clock = container_of(call, struct clock, serial);

	list_for_each(link, &clock->serial_ops) {
		struct op *op = list_entry(link, struct op, link);

		op->call.result = fault_hit(&clock->store->core.io.fault, FAULT_LANE);
		if (!op->call.result)
			op->call.result = op->work(op);
		if (op->call.result >= 0)
			op->renamed = true;
	}
	clock_look(clock);
	return 0;
}

/* The boundary's work is done, or could not be begun. */
static void clock_serial_done(struct call *call)
{
	struct clock *clock = container_of(call, struct clock, serial);
	struct list ops = LIST_INIT(ops), *link;

	list_splice(&ops, &clock->serial_ops);
	clock->serial_running = false;
	while ((link = list_pop(&ops))) {
		struct op *op = list_entry(link, struct op, link);

		op_done(op, call->result < 0 ? call->result : op->call.result);
	}
}

/* How many may be destroyed in one call: few while creates wait. */
static unsigned clock_destroys_max(const struct clock *clock)
{
	if (!clock_gathered(clock))
		return DESTROYS_PER_CALL_MAX;
	return DESTROYS_PER_BEAT_MAX - MIN(clock->destroyed, DESTROYS_PER_BEAT_MAX);
}

/* Hand what waits for the boundary to a lane thread. */
static void clock_serial_begin(struct clock *clock)
{
	unsigned destroys_max = clock_destroys_max(clock);
	struct list *link;

	list_splice(&clock->serial_ops, &clock->publish);
	while (destroys_max-- && (link = list_pop(&clock->destroy))) {
		list_entry(link, struct op, link)->withdraw = NULL;
		clock->destroys--;
		clock->destroyed++;
		list_append(&clock->serial_ops, link);
	}
	clock->serial_running = true;
	call_function(&clock->serial, LANE_COMMIT, "boundary", clock_serial_run);
	clock->serial.done = clock_serial_done;
	io_submit(&clock->store->core.io, &clock->serial);
}

/* ---- durability -------------------------------------------------------------------------------------------------- */

/* Let OP wait for a commit that begins from now on and covers at least COVER. */
static int clock_commit(struct op *op, enum clock_cover cover)
{
	op->withdraw = NULL;
	op->cover = cover;
	list_append(&op_store(op)->clock.durable, &op->link);
	return OP_WAIT;
}

int clock_commit_names(struct op *op)
{
	assert(op->renamed);
	return clock_commit(op, op->renamed ? CLOCK_NAMES : CLOCK_METADATA);
}

int clock_commit_metadata(struct op *op)
{
	return clock_commit(op, CLOCK_METADATA);
}

void clock_write_begin(struct op *op)
{
	op->writes = true;
	op->flushes_failed = op_store(op)->clock.flushes_failed;
}

/* Take OP out of the queue of those that wait for a flush. */
static void clock_unflush(struct op *op)
{
	list_remove(&op->link);
}

int clock_flush(struct op *op)
{
	op->withdraw = op->state <= op->request->class->cancel_last ? clock_unflush : NULL;
	list_append(&op_store(op)->clock.unflushed, &op->link);
	return OP_WAIT;
}

/* Commit or flush, on a lane thread. */
static int clock_sync_run(struct call *call)
{
	struct clock_sync *sync = container_of(call, struct clock_sync, call);
	struct clock *clock = sync->clock;
	int r = clock->hooks->commit(clock->store, sync->cover);

	clock_look(clock);
	return r;
}

/* The commit is done. */
static void clock_committed(struct call *call)
{
	struct clock_sync *sync = container_of(call, struct clock_sync, call);

	sync->running = false;
	clock_release(&sync->ops, call->result);
}

/* The flush is done. The kernel tells of each loss of data once; so one that came with another's flush counts, too. */
static void clock_flushed(struct call *call)
{
	struct clock_sync *sync = container_of(call, struct clock_sync, call);
	struct clock *clock = sync->clock;
	struct list ops = LIST_INIT(ops), *link;

	sync->running = false;
	clock->flushes_failed += call->result < 0;
	list_splice(&ops, &sync->ops);
	while ((link = list_pop(&ops))) {
		struct op *op = list_entry(link, struct op, link);
		bool lost = op->writes && op->flushes_failed != clock->flushes_failed;

		op_done(op, call->result >= 0 && lost ? -EIO : call->result);
	}
}

/* Begin SYNC, for the operations it has been given. */
static void clock_sync_begin(struct clock_sync *sync, const char *name, void (*done)(struct call *call))
{
	struct clock *clock = sync->clock;

	sync->running = true;
	clock->store->core.counters.syncs++;
	trace(&clock->store->core.io.trace, TRACE_OP, "clock: %s", name);
	call_function(&sync->call, LANE_COMMIT, name, clock_sync_run);
	sync->call.done = done;
	io_submit(&clock->store->core.io, &sync->call);
}

/* Commit for those that wait for a commit. */
static void clock_commit_begin(struct clock *clock)
{
	struct clock_sync *sync = &clock->commit;

	list_splice(&sync->ops, &clock->durable);
	sync->cover = CLOCK_NAMES;
	list_for_each(link, &sync->ops)
		sync->cover = MAX(sync->cover, list_entry(link, struct op, link)->cover);
	clock_sync_begin(sync, "commit", clock_committed);
}

/* Flush for those that wait for that. */
static void clock_flush_begin(struct clock *clock)
{
	struct clock_sync *sync = &clock->flush;

	list_splice(&sync->ops, &clock->unflushed);
	list_for_each(link, &sync->ops)
		list_entry(link, struct op, link)->withdraw = NULL;
	sync->cover = CLOCK_DATA;
	clock_sync_begin(sync, "flush", clock_flushed);
}

/* Has this boundary anything left to do before the next group may begin? */
static bool clock_boundary(const struct clock *clock)
{
	if (!list_empty(&clock->publish))
		return true;
	if (list_empty(&clock->destroy))
		return false;
	return !clock_gathered(clock) || clock->destroyed < DESTROYS_PER_BEAT_MAX;
}

void clock_turn(struct clock *clock)
{
	if (!list_empty(&clock->unflushed) && !clock->flush.running)
		clock_flush_begin(clock);
	if (clock->serial_running)
		return;
	if (clock->staging) {
		if (clock->open)
			clock_admit(clock);
	} else if (clock_boundary(clock))
		clock_serial_begin(clock);
	else if (clock_gathered(clock))
		clock_begin(clock);
	else if (!list_empty(&clock->durable) && !clock->commit.running)
		clock_commit_begin(clock);
}

bool clock_busy(const struct clock *clock)
{
	return clock->serial_running || clock->commit.running || clock->flush.running;
}
