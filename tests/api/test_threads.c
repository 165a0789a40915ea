/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submitting, cancelling and waiting from many threads; callbacks stay on the thread that
 * dispatches.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <stdatomic.h>

#define THREADS 8
#define EACH 500

/* What the threads of a test share. */
struct shared {
	struct varve_store *store;
	const char *home;
	atomic_uint numbers; /* The next thread's number. */
	atomic_uint done;    /* Threads that have ended. */
};

/* Start THREADS threads with FUNCTION. */
static void start_all(pthread_t *threads, struct shared *shared, void *(*function)(void *data))
{
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, function, shared), 0);
}

/* Wait for them. */
static void join_all(pthread_t *threads)
{
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* Run FUNCTION in all threads on a store of its own. */
static void run_all(void *(*function)(void *data))
{
	char *home = test_home();
	struct shared shared = { .store = test_open(home), .home = home };
	pthread_t threads[THREADS];
	start_all(threads, &shared, function);
	join_all(threads);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(shared.store);
}

/* Records of all threads, and how many callbacks ran. */
static struct test_record submitted[THREADS][EACH];
static unsigned callbacks;

/* Count, beside recording. */
static void count(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	test_record(store, result, user_data);
	callbacks++;
}

/* Submit a mix. */
static void *submit(void *data)
{
	struct shared *shared = data;
	unsigned number = atomic_fetch_add(&shared->numbers, 1);
	for (int i = 0; i < EACH; i++) {
		struct test_record *record = &submitted[number][i];
		int error;
		do {
			if (i % 50 == 0)
				error = varve_layer_create(shared->store,
							   test_path("%u-%d", number, i), NULL,
							   count, record, NULL);
			else if (i % 50 == 1)
				error = varve_layer_list(shared->store, count, record, NULL);
			else
				error = varve_noop(shared->store, count, record, NULL);
		} while (error == -EAGAIN);
		test_error(error, 0);
	}
	return NULL;
}

START_TEST(test_submit)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.requests_max = 256;
	struct shared shared = { .store = test_open_config(&config) };
	pthread_t threads[THREADS];
	start_all(threads, &shared, submit);
	test_dispatch_until(shared.store, &callbacks, THREADS * EACH);
	join_all(threads);
	for (int t = 0; t < THREADS; t++) {
		for (int i = 0; i < EACH; i++) {
			ck_assert_uint_eq(submitted[t][i].calls, 1);
			test_error(submitted[t][i].error, 0);
			ck_assert(pthread_equal(submitted[t][i].thread, pthread_self()));
		}
	}
	ck_assert_int_eq(test_layers(home), THREADS * EACH / 50);
	test_close(shared.store);
}
END_TEST

/* Use the blocking twins. */
static void *use_twins(void *data)
{
	struct shared *shared = data;
	unsigned number = atomic_fetch_add(&shared->numbers, 1);
	for (int i = 0; i < 10; i++) {
		char *id = test_path("%u-%d", number, i), *child = test_path("%s-child", id), *path;
		struct varve_failure failure;
		bool exists = false;
		test_create(shared->store, id, NULL);
		test_create(shared->store, child, id);
		test_ok(varve_layer_exists_wait(shared->store, child, &exists, &failure), &failure);
		ck_assert(exists);
		test_ok(varve_layer_get_wait(shared->store, child, NULL, &path, &failure),
			&failure);
		ck_assert_str_eq(path, test_layer(shared->home, child));
		free(path);
		test_remove_layer(shared->store, id);
		test_remove_layer(shared->store, child);
		test_error(varve_layer_remove_wait(shared->store, id, 0, NULL), -ENOENT);
		test_error(varve_noop_wait(shared->store, NULL), 0);
	}
	return NULL;
}

START_TEST(test_twins)
{
	run_all(use_twins);
}
END_TEST

/* Submit, and wait for one's own. */
static void *wait_for_own(void *data)
{
	struct shared *shared = data;
	for (int i = 0; i < EACH; i++) {
		struct test_record record = { 0 };
		varve_request request;
		test_error(varve_noop(shared->store, test_record, &record, &request), 0);
		test_error(varve_wait_for(shared->store, request, -1), 0);
		ck_assert_uint_eq(record.calls, 1);
		ck_assert(pthread_equal(record.thread, pthread_self()));
	}
	return NULL;
}

START_TEST(test_wait_for)
{
	run_all(wait_for_own);
}
END_TEST

/* Submit and cancel at once, wait. */
static void *cancel_own(void *data)
{
	struct shared *shared = data;
	unsigned number = atomic_fetch_add(&shared->numbers, 1);
	for (int i = 0; i < 30; i++) {
		struct test_record record = { 0 };
		varve_request request;
		char *id = test_path("%u-%d", number, i);
		test_error(varve_layer_create(shared->store, id, NULL, test_record, &record,
					      &request),
			   0);
		test_error(varve_cancel(shared->store, request), 0);
		test_error(varve_wait_for(shared->store, request, -1), 0);
		ck_assert(record.error == 0 || record.error == -ECANCELED);
		ck_assert_int_eq(test_layer_exists(shared->home, id), record.error == 0);
	}
	return NULL;
}

START_TEST(test_cancel)
{
	run_all(cancel_own);
}
END_TEST

/* Read what any thread may read, until asked to stop. */
static void *look(void *data)
{
	struct shared *shared = data;
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	while (!atomic_load(&shared->done)) {
		struct varve_failure failure;
		test_error(varve_statistics(shared->store, &statistics), 0);
		ck_assert_int_ge(varve_fd(shared->store), 0);
		ck_assert_str_eq(varve_version(), VARVE_VERSION_STRING);
		int error = varve_refusal(shared->store, &failure);
		ck_assert(error == -ENOENT || (error == 0 && failure.error == -EINVAL));
		test_error(varve_layer_put(shared->store, "x"), 0);
	}
	return NULL;
}

START_TEST(test_look)
{
	struct shared shared = { .store = test_open(test_home()) };
	pthread_t threads[THREADS];
	start_all(threads, &shared, look);
	for (int i = 0; i < 30; i++) {
		test_create(shared.store, test_path("%d", i), NULL);
		test_error(varve_layer_remove_wait(shared.store, "..", 0, NULL), -EINVAL);
		test_remove_layer(shared.store, test_path("%d", i));
	}
	atomic_store(&shared.done, 1);
	join_all(threads);
	test_close(shared.store);
}
END_TEST

/* Hold a callback until another thread has tried to dispatch. */
static atomic_int other_result = 1;

static void *dispatch_too(void *data)
{
	atomic_store(&other_result, varve_dispatch(data, 0));
	return NULL;
}

static void hold(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, dispatch_too, store), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	++*(unsigned *)user_data;
}

START_TEST(test_two_dispatchers)
{
	struct varve_store *store = test_open(test_home());
	unsigned calls = 0;
	test_error(varve_noop(store, hold, &calls, NULL), 0);
	test_dispatch_until(store, &calls, 1);
	test_error(atomic_load(&other_result), -EBUSY);
	test_close(store);
}
END_TEST

TEST_MAIN("threads", test_submit, test_twins, test_wait_for, test_cancel, test_look,
	  test_two_dispatchers)
