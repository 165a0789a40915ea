/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cancel, an answer or a notice that reaches the reactor while the operation it concerns changes
 * from one wait to the next, or from one list to another, is neither lost nor acted on twice.
 */
#include "test.h"

#include "engine/core/fds.h"
#include "engine/core/id_lock.h"
#include "engine/core/op.h"
#include "engine/core/request.h"
#include "engine/store/backlog.h"
#include "engine/store/store.h"

static struct varve_store *store;

static void hook_home(const struct core *core, char *ret_path)
{
	(void)core;
	strcpy(ret_path, "/home");
}

static const struct core_hooks hooks = { .home = hook_home };

static void setup_store(void)
{
	store = test_alloc(sizeof(*store));
	store->core.store = store;
	store->core.hooks = &hooks;
	list_init(&store->core.in_flight);
	list_init(&store->core.finished);
	list_init(&store->core.later);
	id_lock_init(&store->core.holds, &store->core.io.fault);
	fds_init(&store->core.fds);
	/* Lanes without threads: the test answers the calls. */
	for (int i = 0; i < LANES; i++)
		list_init(&store->core.io.lanes[i].queue);
}

/* ---- operations that wait, and then leave ---------------------------------------------------- */

enum waiter_state { WAITER_WAIT, WAITER_LEAVE, WAITER_STATES };

/* What goes on when another operation leaves; NULL: nothing. */
static struct op *waiter_next;

static int waiter_wait(struct op *op)
{
	(void)op;
	return OP_WAIT;
}

/* As workers_leave(): the next one goes on. */
static int waiter_leave(struct op *op)
{
	struct op *next = TAKE_PTR(waiter_next);

	(void)op;
	if (next)
		op_done(next, 0);
	return OP_END;
}

static void waiter_withdraw(struct op *op)
{
	list_remove(&op->link);
}

static const struct op_step waiter_steps[WAITER_STATES] = {
	[WAITER_WAIT] = { "WAIT", waiter_wait, NULL, true },
	[WAITER_LEAVE] = { "LEAVE", waiter_leave, NULL },
};

static const struct op_class waiter_class = {
	.operation = VARVE_USAGE,
	.size = sizeof(struct op),
	.steps = waiter_steps,
	.steps_count = WAITER_STATES,
	.unwind = WAITER_LEAVE,
	.cancel_last = WAITER_WAIT,
};

/* An operation that is in flight, and waits. */
static struct op *waiter(void)
{
	struct request *request;

	test_error(request_new(&store->core, &waiter_class, 1, 0, 0, &request), 0);
	list_append(&store->core.in_flight, &request->link);
	request->ops->withdraw = waiter_withdraw;
	return request->ops;
}

/* How many requests are on LIST? */
static unsigned requests_on(const struct list *list)
{
	unsigned count = 0;

	list_for_each(link, list)
		count++;
	return count;
}

/* Free those that have ended. */
static void free_finished(void)
{
	struct list *link;

	while ((link = list_pop(&store->core.finished)))
		request_free(list_entry(link, struct request, link));
}

START_TEST(test_next_ends)
{
	/* The end of one that is cancelled ends the next one, where the look would go on. */
	setup_store();
	struct op *ops[3];

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ops[i] = waiter();
		atomic_store(&ops[i]->request->cancelled, i != 1);
	}
	waiter_next = ops[1];
	atomic_store(&store->core.cancels, true);
	requests_cancel(&store->core);
	ck_assert(list_empty(&store->core.in_flight));
	ck_assert_uint_eq(requests_on(&store->core.finished), 3);
	test_error(ops[0]->error, -ECANCELED);
	test_error(ops[1]->error, 0);
	test_error(ops[2]->error, -ECANCELED);
	free_finished();
}
END_TEST

START_TEST(test_cancelled_is_not_parked)
{
	/* The cancel came during the call, and has found nothing that waits. */
	setup_store();
	struct op *op = waiter();

	op->withdraw = NULL;
	op->fds = 1;
	store->core.fds.taken = store->core.fds.running = 2;
	store->core.fds.queues[FDS_OTHER].running = 2;
	atomic_store(&op->request->cancelled, true);
	atomic_store(&store->core.cancels, true);
	requests_cancel(&store->core);
	ck_assert(!op->ended);
	op_done(op, -EMFILE);
	ck_assert(list_empty(&store->core.fds.stopped));
	ck_assert_uint_eq(requests_on(&store->core.finished), 1);
	test_error(op->error, -ECANCELED);
	free_finished();
}
END_TEST

/* ---- the backlog ----------------------------------------------------------------------------- */

static int sweep_nothing(struct varve_store *of)
{
	(void)of;
	return 0;
}

/* Answer the call that waits in LANE. */
static void answer(enum call_lane lane)
{
	struct list *link = list_pop(&store->core.io.lanes[lane].queue);
	struct call *call;

	ck_assert_ptr_nonnull(link);
	call = list_entry(link, struct call, link);
	call->result = 0;
	call->done(call);
}

/* The time of the timer comes. */
static void timer(void)
{
	ck_assert_uint_ne(store->core.timer_ns, 0);
	store->core.timer_ns = 0;
	store->core.timer(&store->core);
}

START_TEST(test_destroyed_while_swept)
{
	/* A layer is destroyed, and looked for, while what an earlier one left is swept. */
	setup_store();
	test_error(backlog_init(store), 0);
	store->settings.backlog_max = 100;
	store->sweep = sweep_nothing;
	backlog_destroyed(store);
	timer();
	answer(LANE_COMMIT);
	ck_assert(!list_empty(&store->core.io.lanes[LANE_LONG].queue));
	backlog_destroyed(store);
	timer();
	answer(LANE_COMMIT);
	answer(LANE_LONG);
	/* What it has left is swept, too: at the next look. */
	timer();
	answer(LANE_COMMIT);
	ck_assert_uint_ne(store->core.timer_ns, 0);
	free(store->backlog);
}
END_TEST

TEST_MAIN_UNIT("reactor_races", test_next_ends, test_cancelled_is_not_parked,
	       test_destroyed_while_swept)
