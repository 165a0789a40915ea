/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* The loop: timers in order, and what callbacks may do to sources, timers and tasks. */
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"
#include "test.h"

#define TIMERS 1000

static struct loop *loop;

/* A timer of the random test. */
struct entry {
	struct loop_timer timer;
	bool set;
};

static uint64_t last_ns;
static unsigned ran;

/* A timer is due: not before an earlier one. */
static void entry_due(void *data)
{
	struct entry *entry = data;

	ck_assert(entry->set);
	entry->set = false;
	ck_assert_uint_ge(entry->timer.at_ns, last_ns);
	last_ns = entry->timer.at_ns;
	ran++;
}

START_TEST(test_timer_order)
{
	struct entry *entries = test_alloc(TIMERS * sizeof(*entries));
	uint64_t seed = test_seed(), past = loop_now() - 1000000000u;
	unsigned wanted = 0;

	test_error(loop_create(&loop), 0);
	/* All are due, at different times; some are set again, and some stopped. */
	for (unsigned i = 0; i < 4 * TIMERS; i++) {
		struct entry *entry = &entries[test_random(&seed) % TIMERS];

		entry->timer.due = entry_due;
		entry->timer.data = entry;
		if (test_random(&seed) % 4) {
			test_error(loop_timer_set(loop, &entry->timer,
						  past + test_random(&seed) % 1000000),
				   0);
			entry->set = true;
		} else {
			loop_timer_stop(loop, &entry->timer);
			entry->set = false;
		}
	}
	for (unsigned i = 0; i < TIMERS; i++)
		wanted += entries[i].set;
	ck_assert_int_eq(loop_turn(loop, 0), (int)wanted);
	ck_assert_uint_eq(ran, wanted);
	ck_assert_int_eq(loop_turn(loop, 0), 0);
	loop_destroy(loop);
}
END_TEST

static struct loop_source sources[2];
static struct loop_task task, task_again;
static struct loop_timer timer;
static unsigned events, tasks, timers;

/* The first source that is ready removes both. */
static void source_ready(void *data, uint32_t bits)
{
	events++;
	loop_remove(loop, &sources[0]);
	loop_remove(loop, &sources[1]);
}

START_TEST(test_remove_in_event)
{
	int pipes[2][2];

	test_error(loop_create(&loop), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(pipes[i]), 0);
		ck_assert_int_eq(write(pipes[i][1], "x", 1), 1);
		sources[i] = (struct loop_source){ pipes[i][0], source_ready, NULL };
		test_error(loop_add(loop, &sources[i], EPOLLIN), 0);
	}
	ck_assert_int_gt(loop_turn(loop, -1), 0);
	ck_assert_uint_eq(events, 1);
	ck_assert_int_eq(loop_turn(loop, 0), 0);
	loop_destroy(loop);
}
END_TEST

/* A task that defers itself runs once a turn. */
static void task_run(void *data)
{
	tasks++;
	loop_defer(loop, data);
}

/* A task that stops another. */
static void task_stop(void *data)
{
	tasks++;
	loop_task_stop(data);
}

START_TEST(test_tasks)
{
	test_error(loop_create(&loop), 0);
	loop_task_init(&task, task_run, &task);
	loop_defer(loop, &task);
	loop_defer(loop, &task);
	for (unsigned i = 1; i <= 3; i++) {
		/* Does not wait. */
		ck_assert_int_eq(loop_turn(loop, -1), 1);
		ck_assert_uint_eq(tasks, i);
	}
	loop_task_stop(&task);
	ck_assert_int_eq(loop_turn(loop, 0), 0);
	loop_task_init(&task_again, task_stop, &task);
	loop_defer(loop, &task_again);
	loop_defer(loop, &task);
	ck_assert_int_eq(loop_turn(loop, 0), 1);
	loop_destroy(loop);
}
END_TEST

/* A timer that is set again for the past waits for the next turn. */
static void timer_due(void *data)
{
	timers++;
	test_error(loop_timer_set(loop, &timer, 1), 0);
}

START_TEST(test_timer_again)
{
	test_error(loop_create(&loop), 0);
	timer.due = timer_due;
	test_error(loop_timer_set(loop, &timer, 1), 0);
	ck_assert_int_eq(loop_turn(loop, -1), 1);
	ck_assert_int_eq(loop_turn(loop, -1), 1);
	ck_assert_uint_eq(timers, 2);
	loop_timer_stop(loop, &timer);
	/* One in the future ends the wait. */
	test_error(loop_timer_set(loop, &timer, loop_now() + 1000000), 0);
	while (timers < 3)
		loop_turn(loop, -1);
	loop_destroy(loop);
}
END_TEST

TEST_MAIN_UNIT("loop", test_timer_order, test_remove_in_event, test_tasks, test_timer_again)
