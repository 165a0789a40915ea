/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futures: they keep what a callback was given; a request of one is cancelled by another thread.
 * varve_layer_open().
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct varve_store *store;
static struct varve_future *future;
static varve_request request;

/* Wait for the request whose submission returned R: what it came to. */
static const struct varve_result *wait_for(int r)
{
	test_error(r, 0);
	test_error(varve_wait_for(store, request, -1), 0);
	const struct varve_result *result = varve_future_result(future);
	ck_assert_ptr_nonnull(result);
	ck_assert_uint_eq(result->size, sizeof(*result));
	ck_assert(VARVE_HAS(result, skipped_total));
	ck_assert_uint_eq(result->request, request);
	return result;
}

/* Begin with a fresh future. */
static void renew(void)
{
	varve_future_destroy(future);
	test_error(varve_future_create(&future), 0);
	ck_assert_ptr_null(varve_future_result(future));
}

/*
 * What each operation gives is there, the same as its callback is given, after the callback has
 * returned.
 */
START_TEST(test_kept)
{
	const char *const ids[] = { "a", "b", "a" };
	char *home = test_home();
	store = test_open(home);
	renew();
	const struct varve_result *result = wait_for(varve_layer_create_batch(store, ids, 3, NULL,
									      varve_future_callback,
									      future, &request));
	test_error(result->error, -EEXIST);
	ck_assert_uint_eq(result->outcomes_count, 3);
	ck_assert_str_eq(result->outcomes[1].id, "b");
	test_error(result->outcomes[2].error, -EEXIST);
	ck_assert_str_eq(result->outcomes[2].failure->id, "a");
	ck_assert_str_eq(result->failure->operation, "create");
	renew();
	result = wait_for(varve_layer_list(store, varve_future_callback, future, &request));
	ck_assert_uint_eq(result->ids_count, 2);
	ck_assert_str_eq(result->ids[0], "a");
	ck_assert_str_eq(result->ids[1], "b");
	renew();
	result = wait_for(
		varve_layer_get(store, "a", NULL, varve_future_callback, future, &request));
	ck_assert_str_eq(result->path, test_layer(home, "a"));
	renew();
	result = wait_for(varve_layer_info(store, "b", varve_future_callback, future, &request));
	ck_assert_str_eq(result->info->id, "b");
	ck_assert_ptr_null(result->usage);
	renew();
	result = wait_for(varve_status(store, varve_future_callback, future, &request));
	ck_assert_uint_gt(result->status_count, 3);
	for (size_t i = 0; i < result->status_count; i++)
		ck_assert(*result->status[i].key && strlen(result->status[i].value) < 4096);
	test_write(test_path("%s/one", test_layer(home, "a")), "1");
	test_write(test_path("%s/two", test_layer(home, "a")), "2");
	renew();
	result = wait_for(varve_layer_changes(store, "a", TEST_CHANGES("", 0),
					      varve_future_callback, future, &request));
	ck_assert_uint_eq(result->changes_count, 2);
	ck_assert_str_eq(result->changes[1].path, "/two");
	varve_future_destroy(future);
	future = NULL;
	test_close(store);
}
END_TEST

/* Cancel the request that the other thread waits for. */
static void *cancel(void *data)
{
	test_error(varve_cancel(store, request), 0);
	return NULL;
}

START_TEST(test_cancelled_by_another)
{
	int fds[2];
	pthread_t thread;
	store = test_open(test_home());
	test_create(store, "a", NULL);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	renew();
	/* Nobody writes the archive that it reads. */
	test_error(varve_layer_apply(store, "a", NULL, fds[0], varve_future_callback, future,
				     &request),
		   0);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel, NULL), 0);
	test_error(varve_wait_for(store, request, -1), 0);
	test_error(varve_future_result(future)->error, -ECANCELED);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	renew();
	varve_future_destroy(future);
	future = NULL;
	test_close(store);
}
END_TEST

START_TEST(test_layer_open)
{
	struct varve_failure failure = { 0 };
	char *home = test_home(), text[8] = "";
	store = test_open(home);
	test_create(store, "a", NULL);
	test_write(test_path("%s/file", test_layer(home, "a")), "text");
	int before = test_descriptors(), descriptor = -1;
	test_ok(varve_layer_open_wait(store, "a", 0, &descriptor, &failure), &failure);
	ck_assert_int_eq(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
	int file = openat(descriptor, "file", O_RDONLY);
	ck_assert_int_eq(read(file, text, sizeof(text)), 4);
	close(file);
	/* It is the layer that it was, also when that has gone from sight. */
	test_remove_layer(store, "a");
	test_create(store, "a", NULL);
	ck_assert_int_eq(openat(descriptor, "file", O_RDONLY | O_CLOEXEC), -1);
	close(descriptor);
	test_error(varve_layer_open_wait(store, "none", 0, &descriptor, &failure), -ENOENT);
	ck_assert_str_eq(failure.operation, "open_layer");
	test_error(varve_layer_open_wait(store, "a", VARVE_DURABLE, &descriptor, &failure),
		   -EINVAL);
	test_mkdir(test_layer(home, "directory"));
	test_error(varve_layer_open_wait(store, "directory", 0, &descriptor, &failure), -EINVAL);
	ck_assert_int_eq(symlink("a", test_layer(home, "link")), 0);
	test_error(varve_layer_open_wait(store, "link", 0, &descriptor, &failure), -ENOTDIR);
	/* A future closes what nobody has taken. */
	renew();
	ck_assert_int_ge(wait_for(varve_layer_open(store, "a", 0, varve_future_callback, future,
						   &request))
				 ->descriptor,
			 0);
	renew();
	wait_for(varve_layer_open(store, "a", 0, varve_future_callback, future, &request));
	descriptor = varve_future_take(future);
	ck_assert_int_ge(descriptor, 0);
	test_error(varve_future_take(future), -EBADF);
	varve_future_destroy(future);
	future = NULL;
	ck_assert_int_eq(close(descriptor), 0);
	ck_assert_int_eq(test_descriptors(), before);
	test_close(store);
}
END_TEST

/* The writer of the stream says what went wrong, and why. */
START_TEST(test_stream_fail)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	char *home = test_home();
	store = test_open(home);
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	renew();
	test_error(varve_layer_create(store, "a", &options, varve_future_callback, future,
				      &request),
		   0);
	test_error(varve_stream_fail(store, request, 0, "nothing"), -EINVAL);
	test_error(varve_stream_fail(store, request, -EPROTO, "the registry closed the connection"),
		   0);
	const struct varve_result *result = wait_for(0);
	test_error(result->error, -EPROTO);
	ck_assert_str_eq(result->failure->detail, "the registry closed the connection");
	ck_assert(!test_layer_exists(home, "a"));
	varve_future_destroy(future);
	future = NULL;
	test_close(store);
}
END_TEST

TEST_MAIN("future", test_kept, test_cancelled_by_another, test_layer_open, test_stream_fail)
