/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_layer_flush(): it commits, any number in flight share one flush, a cancel ends the wait,
 * and what becomes of the layer meanwhile does no harm. (That the content survives a power cut is
 * in tests/crash/durable.c.)
 */
#include "test.h"

#include <btrfsutil.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

/* Requests in flight together. */
#define LAYERS 64

/* Flushes wait here while it is closed. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	/* Flushes that have come, and requests that wait for one. */
	unsigned flushes, waiting;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* What the library calls in this program to flush. */
enum btrfs_util_error btrfs_util_sync_fd(int fd)
{
	enum btrfs_util_error (*real)(int);
	void *symbol = dlsym(RTLD_NEXT, "btrfs_util_sync_fd");

	pthread_mutex_lock(&gate.lock);
	gate.flushes++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.closed)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	memcpy(&real, &symbol, sizeof(real));
	return real(fd);
}

/* Count the requests that begin to wait for a flush. */
static void count_waiting(void *data, const char *line)
{
	const char *step = strstr(line, ": FLUSH");

	if (!step || step[strlen(": FLUSH")])
		return;
	pthread_mutex_lock(&gate.lock);
	gate.waiting++;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

/* Close or open the gate; what was counted is forgotten. */
static void gate_set(bool closed)
{
	pthread_mutex_lock(&gate.lock);
	gate.closed = closed;
	if (closed)
		gate.flushes = gate.waiting = 0;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

/* Wait until so many FLUSHES have come, and so many requests are WAITING. */
static void gate_await(unsigned flushes, unsigned waiting)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.flushes < flushes || gate.waiting < waiting)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

/* Open a relaxed store whose trace is counted. */
static struct varve_store *open_counted(const char *home)
{
	struct varve_config config = test_config(home);

	config.flags |= VARVE_OPEN_RELAXED;
	config.debug = "op";
	config.log = count_waiting;
	return test_open_config(&config);
}

START_TEST(test_commits)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_failure failure;
	uint64_t before;

	test_create(store, "layer", NULL);
	test_write(test_path("%s/file", test_layer(home, "layer")), "text");
	before = test_committed_generation();
	test_ok(varve_layer_flush_wait(store, "layer", 0, &failure), &failure);
	ck_assert_uint_gt(test_committed_generation(), before);
	test_error(varve_layer_info_wait(store, "layer", &info, NULL), 0);
	ck_assert_uint_ge(test_committed_generation(), info.generation);
	test_close(store);
}
END_TEST

START_TEST(test_shared)
{
	struct varve_store *store = open_counted(test_home());
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;
	struct test_record records[LAYERS] = { 0 };

	for (unsigned i = 0; i < LAYERS; i++)
		test_create(store, test_path("%u", i), NULL);
	test_error(varve_statistics(store, &before), 0);
	gate_set(true);
	for (unsigned i = 0; i < LAYERS; i++)
		test_error(varve_layer_flush(store, test_path("%u", i), 0, test_record, &records[i],
					     NULL),
			   0);
	/* One has begun; those that it does not serve wait for the next one. */
	gate_await(1, LAYERS);
	gate_set(false);
	test_await_all(store, records, LAYERS);
	for (unsigned i = 0; i < LAYERS; i++)
		test_error(records[i].error, 0);
	test_error(varve_statistics(store, &after), 0);
	/* All of them in one, where they were proved before that began. */
	ck_assert_uint_le(after.syncs - before.syncs, 2);
	ck_assert_uint_eq(gate.flushes, after.syncs - before.syncs);
	test_close(store);
}
END_TEST

START_TEST(test_cancelled)
{
	struct varve_store *store = open_counted(test_home());
	struct test_record first = { 0 }, second = { 0 };
	varve_request request;

	test_create(store, "a", NULL);
	test_create(store, "b", NULL);
	gate_set(true);
	test_error(varve_layer_flush(store, "a", 0, test_record, &first, NULL), 0);
	gate_await(1, 1);
	test_error(varve_layer_flush(store, "b", 0, test_record, &second, &request), 0);
	gate_await(1, 2);
	test_error(varve_cancel(store, request), 0);
	test_error(test_await(store, &second), -ECANCELED);
	ck_assert_uint_eq(first.calls, 0);
	gate_set(false);
	test_error(test_await(store, &first), 0);
	test_close(store);
}
END_TEST

/* Another process removes the layer while it is flushed. */
START_TEST(test_removed)
{
	char *home = test_home();
	struct varve_store *store = open_counted(home), *other = test_open_relaxed(home);
	struct test_record record = { 0 };

	test_create(store, "layer", NULL);
	gate_set(true);
	test_error(varve_layer_flush(store, "layer", 0, test_record, &record, NULL), 0);
	gate_await(1, 1);
	test_remove_layer(other, "layer");
	gate_set(false);
	test_error(test_await(store, &record), 0);
	test_close(other);
	test_close(store);
}
END_TEST

START_TEST(test_errors)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };

	test_error(varve_layer_flush_wait(store, "absent", 0, NULL), -ENOENT);
	ck_assert_int_eq(mkdir(test_layer(home, "plain"), 0755), 0);
	test_error(varve_layer_flush_wait(store, "plain", 0, NULL), -EINVAL);
	test_error(varve_layer_flush(store, "../x", 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_flush(store, "x", VARVE_DURABLE, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_flush(store, "x", 0, NULL, NULL, NULL), -EINVAL);
	test_close(store);
}
END_TEST

TEST_MAIN("flush", test_commits, test_shared, test_cancelled, test_removed, test_errors)
