/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals cut varve_wait() and varve_wait_for() short and nothing else, and never run on a thread
 * of the library.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#define TICK_US 2000

static atomic_uint ticks, foreign;
static pid_t main_thread;

/* Count, and see where it runs. */
static void on_tick(int signal)
{
	atomic_fetch_add(&ticks, 1);
	if (gettid() != main_thread)
		atomic_fetch_add(&foreign, 1);
}

/* Let the clock tick with SIGALRM, without SA_RESTART; 0 stops it. */
static void tick(int every_us)
{
	struct sigaction action = { .sa_handler = on_tick };
	struct itimerval timer = { { 0, every_us }, { 0, every_us } };
	main_thread = gettid();
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

START_TEST(test_wait)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	varve_request request;
	test_freeze();
	test_error(varve_layer_create(store, "a", NULL, test_record, &record, &request), 0);
	tick(TICK_US);
	test_error(varve_wait(store, -1), -EINTR);
	test_error(varve_wait(store, TEST_WAIT_MS), -EINTR);
	/* Waiting for one request is not cut short: it sits out its time. */
	test_error(varve_wait_for(store, request, 50), -ETIME);
	ck_assert_uint_eq(record.calls, 0);
	tick(0);
	test_thaw();
	test_error(varve_wait_for(store, request, -1), 0);
	test_error(record.error, 0);
	test_close(store);
}
END_TEST

START_TEST(test_twins_go_on)
{
	char *home = test_home();
	tick(TICK_US);
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	for (int i = 0; i < 100; i++) {
		char *id = test_path("%d", i);
		test_create(store, id, NULL);
		test_create(store, test_path("%s-child", id), id);
		test_remove_layer(store, id);
		test_error(varve_noop_wait(store, NULL), 0);
	}
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	ck_assert_uint_gt(atomic_load(&ticks), 0);
	test_close(store);
	tick(0);
	ck_assert_int_eq(test_layers(home), 100);
}
END_TEST

START_TEST(test_twin_blocked)
{
	/*
	 * A twin that waits long is not cut short: the file system is frozen until a child has seen
	 * ten ticks go by.
	 */
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	test_freeze();
	tick(TICK_US);
	unsigned before = atomic_load(&ticks);
	test_error(varve_layer_create(store, "a", NULL, test_record, &record, NULL), 0);
	while (atomic_load(&ticks) < before + 10)
		varve_wait(store, 10);
	test_thaw();
	test_create(store, "b", NULL);
	tick(0);
	test_await(store, &record);
	test_error(record.error, 0);
	test_close(store);
}
END_TEST

START_TEST(test_library_threads_take_none)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[100] = { 0 };
	test_create(store, "base", NULL);
	options.parent = "base";
	tick(TICK_US);
	for (int i = 0; i < 100; i++) {
		test_error(varve_layer_create(store, test_path("%d", i), &options, test_record,
					      &records[i], NULL),
			   0);
		kill(getpid(), SIGALRM);
	}
	test_await_all(store, records, 100);
	/*
	 * While the main thread blocks it, a signal to the process has only the library's threads
	 * to run on.
	 */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	unsigned before = atomic_load(&ticks);
	for (int i = 0; i < 100; i++) {
		kill(getpid(), SIGALRM);
		test_error(varve_noop_wait(store, NULL), 0);
	}
	ck_assert_uint_eq(atomic_load(&ticks), before);
	ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
	tick(0);
	for (int i = 0; i < 100; i++)
		test_error(records[i].error, 0);
	ck_assert_uint_eq(atomic_load(&foreign), 0);
	test_close(store);
}
END_TEST

START_TEST(test_dispositions)
{
	/* The library changes neither handlers nor the mask. */
	struct sigaction before[32], after;
	sigset_t mask, mask_after;
	for (int i = 1; i < 32; i++)
		sigaction(i, NULL, &before[i]);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	struct varve_store *store = test_open(test_home());
	test_create(store, "a", NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
	for (int i = 1; i < 32; i++) {
		sigaction(i, NULL, &after);
		ck_assert_msg(before[i].sa_handler == after.sa_handler, "signal %d", i);
		ck_assert_int_eq(sigismember(&mask, i), sigismember(&mask_after, i));
	}
	test_close(store);
}
END_TEST

TEST_MAIN("signals", test_wait, test_twins_go_on, test_twin_blocked, test_library_threads_take_none,
	  test_dispositions)
