/* SPDX-License-Identifier: Apache-2.0 */
/* engine/core/id_lock: one id at a time, in order; shared holds together; nobody waits for ever. */
#include "test.h"

#include "engine/core/id_lock.h"
#include "engine/store/store.h"

/* What two ids can be held by. */
static const struct op_class holder_class = { .size = sizeof(struct op), .holds = 2 };

/* An operation that only holds, with its ids behind it as in a request. */
struct holder {
	struct op op;
	struct id_lock holds[2];
	struct request request;
	bool running;
};

static struct varve_store *store;

static struct holder *holder(const char *own, const char *source)
{
	struct holder *holder = test_alloc(sizeof(*holder));

	holder->request.core = &store->core;
	holder->op.request = &holder->request;
	holder->request.class = &holder_class;
	list_init(&holder->op.link);
	holder->holds[0] = (struct id_lock){ .id = own, .exclusive = true };
	if (source)
		holder->holds[1] = (struct id_lock){ .id = source };
	return holder;
}

/* Queue it; does it run? */
static bool queue(struct holder *holder)
{
	test_error(id_lock_queue(&store->core.holds, &holder->op), 0);
	holder->running = !holder->op.holds_waiting;
	return holder->running;
}

/* Collect those that may run now. */
static int collect(void)
{
	struct list *link;
	int n = 0;

	for (; (link = list_pop(&store->core.holds.runnable)); n++) {
		struct op *op = list_entry(link, struct op, link);

		ck_assert_uint_eq(op->holds_waiting, 0);
		container_of(op, struct holder, op)->running = true;
	}
	return n;
}

/* End it; how many may run because of that? */
static int end(struct holder *holder)
{
	for (size_t i = 0; i < holder_class.holds; i++)
		id_lock_release(&store->core.holds, &holder->holds[i]);
	holder->running = false;
	return collect();
}

/* Nothing is left of any id. */
static void check_empty(void)
{
	for (size_t i = 0; i < HOLD_BUCKETS; i++)
		ck_assert_ptr_null(store->core.holds.buckets[i]);
}

static void setup_store(void)
{
	store = test_alloc(sizeof(*store));
	id_lock_init(&store->core.holds, &store->core.io.fault);
}

START_TEST(test_order)
{
	setup_store();
	struct holder *a = holder("x", NULL), *b = holder("x", NULL), *c = holder("x", NULL),
		      *other = holder("y", NULL);

	ck_assert(queue(a) && !queue(b) && !queue(c) && queue(other));
	ck_assert_int_eq(end(a), 1);
	ck_assert(b->running && !c->running);
	ck_assert_int_eq(end(b), 1);
	ck_assert(c->running);
	ck_assert_int_eq(end(c) + end(other), 0);
	check_empty();
}
END_TEST

START_TEST(test_shared)
{
	/*
	 * Children of one parent run together; its removal waits for them, and children after it
	 * wait for that.
	 */
	setup_store();
	struct holder *parent = holder("p", NULL), *a = holder("a", "p"), *b = holder("b", "p"),
		      *gone = holder("p", NULL), *late = holder("c", "p");

	ck_assert(queue(parent) && !queue(a) && !queue(b) && !queue(gone) && !queue(late));
	ck_assert_int_eq(end(parent), 2);
	ck_assert(a->running && b->running && !gone->running && !late->running);
	ck_assert_int_eq(end(a), 0);
	ck_assert_int_eq(end(b), 1);
	ck_assert(gone->running);
	ck_assert_int_eq(end(gone), 1);
	ck_assert(late->running);
	end(late);
	check_empty();
}
END_TEST

START_TEST(test_crossed)
{
	/* x from y while y is made from x: no deadlock, because both queue for both at once. */
	setup_store();
	struct holder *a = holder("x", "y"), *b = holder("y", "x");

	ck_assert(queue(a) && !queue(b));
	ck_assert_int_eq(end(a), 1);
	ck_assert(b->running);
	end(b);
	check_empty();
}
END_TEST

START_TEST(test_withdraw)
{
	setup_store();
	struct holder *a = holder("x", NULL), *b = holder("x", "z"), *c = holder("x", NULL);

	ck_assert(queue(a) && !queue(b) && !queue(c));
	b->op.withdraw(&b->op);
	ck_assert_int_eq(collect(), 0);
	ck_assert_int_eq(end(a), 1);
	ck_assert(c->running && !b->running);
	end(c);
	check_empty();
}
END_TEST

START_TEST(test_no_memory)
{
	setup_store();
	struct holder *a = holder("x", "y");

	fault_arm(&store->core.io.fault, FAULT_ALLOCATION, 2, -ENOMEM, false);
	test_error(id_lock_queue(&store->core.holds, &a->op), -ENOMEM);
	end(a);
	check_empty();
}
END_TEST

START_TEST(test_no_memory_waits)
{
	/* It begins at once, to fail: nothing that it waited for may begin it again. */
	setup_store();
	struct holder *a = holder("x", NULL), *b = holder("x", "y"), *c = holder("x", NULL);

	ck_assert(queue(a));
	fault_arm(&store->core.io.fault, FAULT_ALLOCATION, 1, -ENOMEM, false);
	test_error(id_lock_queue(&store->core.holds, &b->op), -ENOMEM);
	ck_assert(!queue(c));
	ck_assert_int_eq(end(a), 1);
	ck_assert(c->running && !b->running);
	ck_assert_int_eq(end(b), 0);
	end(c);
	check_empty();
}
END_TEST

/*
 * As many as can be in flight, and what one of them may look at: the ids of its bucket when it
 * comes and when it goes, and its parent's.
 */
#define MANY VARVE_REQUESTS_MAX
#define LOOKS (4 * (MANY / HOLD_BUCKETS))

START_TEST(test_many)
{
	/*
	 * A burst of children of one parent, with a removal of the parent in the middle, that end
	 * in another order than they began in.
	 */
	setup_store();
	struct holder **children = test_alloc(MANY * sizeof(*children)), *gone = NULL;
	int runnable = 0;

	for (unsigned i = 0; i < MANY; i++) {
		if (i == MANY / 2)
			ck_assert(!queue(gone = holder("p", NULL)));
		children[i] = holder(test_path("%u", i), "p");
		ck_assert_int_eq(queue(children[i]), i < MANY / 2);
	}
	for (unsigned i = 0; i < MANY / 2; i++) {
		ck_assert_int_eq(runnable, 0);
		runnable = end(children[(i * 7919u) % (MANY / 2)]);
	}
	ck_assert(gone->running && runnable == 1);
	ck_assert_int_eq(end(gone), MANY / 2);
	for (unsigned i = MANY; i-- > MANY / 2;)
		ck_assert_int_eq(end(children[i]), 0);
	check_empty();
	/* What each costs does not depend on how many there are beside it. */
	ck_assert_uint_le(store->core.holds.looks, (uint64_t)MANY * LOOKS);
}
END_TEST

TEST_MAIN_UNIT("hold", test_order, test_shared, test_crossed, test_withdraw, test_no_memory,
	       test_no_memory_waits, test_many)
