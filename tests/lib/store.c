/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores of the backend that this run is for, and the small steps that most tests take with them.
 */
#include "test.h"

#include <poll.h>
#include <time.h>

#define POLL_SLICE_MS 1000

const char *test_backend(void)
{
	const char *backend = getenv("VARVE_TEST_BACKEND");
	return backend && *backend ? backend : "uring";
}

struct varve_config test_config(const char *home)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	config.home = home;
	if (!strcmp(test_backend(), "threads"))
		config.flags |= VARVE_OPEN_NO_URING;
	return config;
}

struct varve_store *test_open_config(const struct varve_config *config)
{
	struct varve_store *store = NULL;
	struct varve_failure failure = { 0 };
	test_ok(varve_open(config, &store, &failure), &failure);
	ck_assert_ptr_nonnull(store);
	return store;
}

struct varve_store *test_open(const char *home)
{
	struct varve_config config = test_config(home);
	return test_open_config(&config);
}

struct varve_store *test_open_relaxed(const char *home)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_RELAXED;
	return test_open_config(&config);
}

void test_close(struct varve_store *store)
{
	test_error(varve_close(store), 0);
}

void test_create(struct varve_store *store, const char *id, const char *parent)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	options.parent = parent;
	test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
}

void test_remove_layer(struct varve_store *store, const char *id)
{
	struct varve_failure failure = { 0 };
	test_ok(varve_layer_remove_wait(store, id, 0, &failure), &failure);
}

char *test_layer(const char *home, const char *id)
{
	return test_path("%s/subvolumes/%s", home, id);
}

bool test_layer_exists(const char *home, const char *id)
{
	return test_exists(test_layer(home, id));
}

int test_layers(const char *home)
{
	return test_entries(test_path("%s/subvolumes", home));
}

unsigned test_leftovers(const char *home)
{
	return test_subvolumes_below(test_path("%s/.varve", home));
}

int64_t test_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int test_scaled_ms(int time_ms)
{
	const char *scale = getenv("CK_TIMEOUT_MULTIPLIER");
	int factor = scale ? atoi(scale) : 1;
	return factor > 1 ? time_ms * factor : time_ms;
}

bool test_readable(int descriptor, int timeout_ms)
{
	struct pollfd pollfd = { .fd = descriptor, .events = POLLIN };
	int64_t end_ms = test_now_ms() + timeout_ms;
	for (;;) {
		int64_t left_ms = end_ms - test_now_ms();
		int ready = poll(&pollfd, 1, left_ms > 0 ? (int)left_ms : 0);
		if (ready >= 0)
			return ready > 0;
		ck_assert_int_eq(errno, EINTR);
	}
}

void test_until(bool (*look)(void *data), void *data)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;

	while (!look(data)) {
		ck_assert_int_lt(test_now_ms(), end_ms);
		poll(NULL, 0, TEST_LOOK_MS);
	}
}

int test_stream_feed(struct varve_store *store, varve_request request, const char *bytes,
		     size_t size, size_t piece)
{
	while (size) {
		size_t taken = 0;
		int r = varve_stream_write(store, request, bytes, size < piece ? size : piece,
					   &taken);

		ck_assert(r ? !taken : taken > 0 && taken <= piece);
		if (r == -EAGAIN)
			varve_wait(store, 1);
		else if (r)
			return r;
		bytes += taken;
		size -= taken;
	}
	return 0;
}

void test_dispatch_until(struct varve_store *store, const unsigned *value, unsigned target)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	while (*value < target) {
		ck_assert_msg(test_now_ms() < end_ms, "%u of %u callbacks came in %d ms", *value,
			      target, TEST_WAIT_MS);
		test_readable(varve_fd(store), POLL_SLICE_MS);
		int ran = varve_dispatch(store, 0);
		ck_assert_msg(ran >= 0, "varve_dispatch: %s", test_errno_name(ran));
	}
}

const char *test_errno_name(int error)
{
	const char *name = error ? strerrorname_np(error < 0 ? -error : error) : "0";
	return name ? name : "no errno";
}
