/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/base/spin: on a single CPU a thread does not wait awake, because the thread that it waits
 * for could not run. The number of CPUs that are allowed counts, not that of the machine.
 */
#include "test.h"

#include "engine/store/store.h"

#include <sched.h>

/*
 * Requests, one after the other: each a sleep of the reactor and one of varve_wait(), most of them
 * short.
 */
#define ROUNDS 2000

/* Let this process run on one CPU only, of those that it may run on. */
static void use_one_cpu(void)
{
	cpu_set_t all, one;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	int cpu = 0;
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Would SPIN, whose last sleep was as short as they get, look again? */
static bool looks_again(struct spin *spin)
{
	struct spin_wait wait = { 0 };
	spin_slept(spin, now_ns());
	return spin_again(spin, &wait);
}

START_TEST(test_one)
{
	struct spin spin = { 0 };
	use_one_cpu();
	spin_init(&spin);
	for (int i = 0; i < ROUNDS; i++)
		ck_assert(!looks_again(&spin));
}
END_TEST

START_TEST(test_two)
{
	struct spin spin = { 0 };
	cpu_set_t cpus;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) < 2) {
		test_skip("one CPU");
		return;
	}
	spin_init(&spin);
	/* A thread that loses its CPU in between has slept for longer. */
	while (!looks_again(&spin))
		;
	/* After a long sleep no more. */
	struct spin_wait wait = { 0 };
	spin_slept(&spin, now_ns() - 2 * SPIN_NS);
	ck_assert(!spin_again(&spin, &wait));
}
END_TEST

/*
 * Make requests one after the other; how often was the reactor, or varve_wait(), about to wait
 * awake?
 */
static unsigned count_awake(void)
{
	struct varve_store *store = test_open(test_home());
	unsigned awake = 0;
	for (int i = 0; i < ROUNDS; i++) {
		struct test_record record = { 0 };
		test_error(varve_noop(store, test_record, &record, NULL), 0);
		while (!record.calls)
			ck_assert_int_ge(varve_wait(store, TEST_WAIT_MS), 0);
		awake += store->core.spin.pays;
		awake += store->core.io.spin.pays;
	}
	test_close(store);
	return awake;
}

START_TEST(test_store)
{
	use_one_cpu();
	ck_assert_uint_eq(count_awake(), 0);
}
END_TEST

TEST_MAIN("spin", test_one, test_two, test_store)
