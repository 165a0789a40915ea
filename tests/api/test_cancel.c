/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_cancel(): which requests it finds, and that a cancelled request leaves nothing.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUESTS 64

START_TEST(test_unknown)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	varve_request request;
	test_error(varve_cancel(store, 0), -ENOENT);
	test_error(varve_cancel(store, 12345), -ENOENT);
	test_error(varve_cancel(store, UINT64_MAX), -ENOENT);
	test_error(varve_noop(store, test_record, &record, &request), 0);
	test_error(test_await(store, &record), 0);
	test_error(varve_cancel(store, request), -ENOENT);
	test_error(varve_cancel(NULL, request), -EINVAL);
	test_close(store);
}
END_TEST

/*
 * Assert that RECORD, of the creation of layer ID in HOME, agrees with what is on disk. Returns:
 * was it cancelled?
 */
static bool check_create(const char *home, const char *id, const struct test_record *record)
{
	ck_assert_uint_eq(record->calls, 1);
	ck_assert_msg(record->error == 0 || record->error == -ECANCELED, "%s: %s", id,
		      test_errno_name(record->error));
	ck_assert_msg(test_layer_exists(home, id) == (record->error == 0),
		      "%s: %s, but on disk it is otherwise", id, test_errno_name(record->error));
	ck_assert_int_eq(record->has_failure, record->error != 0);
	if (record->error)
		test_error(record->failure.error, -ECANCELED);
	return record->error != 0;
}

START_TEST(test_creates)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	/*
	 * With so few at work most of them are still waiting for their turn when they are
	 * cancelled.
	 */
	config.commit_threads_max = 2;
	struct varve_store *store = test_open_config(&config);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[REQUESTS] = { 0 };
	varve_request requests[REQUESTS];
	unsigned cancelled = 0;
	test_create(store, "base", NULL);
	options.parent = "base";
	test_freeze();
	for (int i = 0; i < REQUESTS; i++)
		test_error(varve_layer_create(store, test_path("layer-%d", i), &options,
					      test_record, &records[i], &requests[i]),
			   0);
	for (int i = 0; i < REQUESTS; i++)
		if (records[i].calls == 0)
			test_error(varve_cancel(store, requests[i]), 0);
	test_thaw();
	test_await_all(store, records, REQUESTS);
	for (int i = 0; i < REQUESTS; i++)
		cancelled += check_create(home, test_path("layer-%d", i), &records[i]);
	ck_assert_msg(cancelled > 0,
		      "none of %d creates that waited on a frozen file system was cancelled",
		      REQUESTS);
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* What was cancelled can be done again. */
	for (int i = 0; i < REQUESTS; i++)
		if (records[i].error)
			test_create(store, test_path("layer-%d", i), "base");
	ck_assert_int_eq(test_layers(home), REQUESTS + 1);
	test_close(store);
}
END_TEST

START_TEST(test_at_any_moment)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int round = 0; round < 40; round++) {
		struct test_record records[8] = { 0 };
		varve_request requests[8];
		for (int i = 0; i < 8; i++)
			test_error(varve_layer_create(store, test_path("%d-%d", round, i), &options,
						      test_record, &records[i], &requests[i]),
				   0);
		/* A little later each time, through all the steps of a create. */
		for (int64_t spin = 0; spin < round * 20000; spin++)
			__asm__ volatile("");
		for (int i = 0; i < 8; i += 2)
			test_error(varve_cancel(store, requests[i]), 0);
		test_await_all(store, records, 8);
		for (int i = 0; i < 8; i++) {
			check_create(home, test_path("%d-%d", round, i), &records[i]);
			if (i % 2)
				test_error(records[i].error, 0);
		}
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_removes)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[REQUESTS] = { 0 };
	varve_request requests[REQUESTS];
	for (int i = 0; i < REQUESTS; i++)
		test_create(store, test_path("layer-%d", i), NULL);
	test_freeze();
	for (int i = 0; i < REQUESTS; i++)
		test_error(varve_layer_remove(store, test_path("layer-%d", i), 0, test_record,
					      &records[i], &requests[i]),
			   0);
	for (int i = 0; i < REQUESTS; i++)
		varve_cancel(store, requests[i]);
	test_thaw();
	test_await_all(store, records, REQUESTS);
	for (int i = 0; i < REQUESTS; i++) {
		ck_assert(records[i].error == 0 || records[i].error == -ECANCELED);
		ck_assert_int_eq(test_layer_exists(home, test_path("layer-%d", i)),
				 records[i].error != 0);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Requests that look into layers: one of each kind. */
#define ARCHIVE_REQUESTS 5

/*
 * Submit one of each kind about "top" and ARCHIVE; the last one creates ID, or unpacks into
 * "target".
 */
static void submit_archives(struct varve_store *store, const char *id, bool apply_too, int archive,
			    int null, struct test_record *records, varve_request *requests)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int i = 0;
	options.apply = &apply;
	options.apply_fd = archive;
	test_error(varve_layer_changes(store, "top", NULL, test_record, &records[i], &requests[i]),
		   0);
	i++;
	test_error(varve_layer_diff(store, "top", NULL, null, test_record, &records[i],
				    &requests[i]),
		   0);
	i++;
	test_error(varve_layer_diff_size(store, "top", TEST_CHANGES("", 0), test_record,
					 &records[i], &requests[i]),
		   0);
	i++;
	test_error(varve_layer_changes(store, "top", TEST_CHANGES("base", VARVE_CHANGES_WALK),
				       test_record, &records[i], &requests[i]),
		   0);
	i++;
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	if (apply_too) {
		test_error(varve_layer_apply(store, "target", &apply, archive, test_record,
					     &records[i], &requests[i]),
			   0);
		return;
	}
	test_error(varve_layer_create(store, id, &options, test_record, &records[i], &requests[i]),
		   0);
}

START_TEST(test_archives)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	int archive = memfd_create("archive", MFD_CLOEXEC),
	    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	unsigned cancelled = 0, done = 0;
	struct varve_failure failure;
	config.flags |= VARVE_OPEN_RELAXED;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 20, 20, 10);
	test_create(store, "top", "base");
	test_create(store, "target", NULL);
	test_mkdir(test_path("%s/new", test_layer(home, "top")));
	test_make_tree(test_path("%s/new", test_layer(home, "top")), 3, 20, 100);
	test_ok(varve_layer_diff_wait(store, "top",
				      &(struct varve_diff_options){
					      sizeof(struct varve_diff_options), .parent = "" },
				      archive, NULL, NULL, &failure),
		&failure);
	for (int round = 0; round < 100; round++) {
		struct test_record records[ARCHIVE_REQUESTS] = { 0 };
		varve_request requests[ARCHIVE_REQUESTS];
		char *id = test_path("made-%d", round);
		bool apply_too = round % 2;
		submit_archives(store, id, apply_too, archive, null, records, requests);
		/* A little later each time, through all that they do. */
		for (int64_t spin = 0; spin < (int64_t)round * round * 5000; spin++)
			__asm__ volatile("");
		/* The last ones are not cancelled, however slow the machine is. */
		for (int i = 0; round < 90 && i < ARCHIVE_REQUESTS; i++)
			varve_cancel(store, requests[i]);
		test_await_all(store, records, ARCHIVE_REQUESTS);
		for (int i = 0; i < ARCHIVE_REQUESTS; i++) {
			ck_assert_uint_eq(records[i].calls, 1);
			ck_assert_msg(records[i].error == 0 || records[i].error == -ECANCELED,
				      "request %d: %s", i, test_errno_name(records[i].error));
			cancelled += records[i].error != 0;
			done += records[i].error == 0;
		}
		if (!apply_too) {
			check_create(home, id, &records[ARCHIVE_REQUESTS - 1]);
			if (!records[ARCHIVE_REQUESTS - 1].error)
				test_remove_layer(store, id);
		}
		ck_assert_uint_eq(test_leftovers(home), 0);
	}
	ck_assert_uint_gt(cancelled, 50);
	ck_assert_uint_gt(done, 10);
	close(archive);
	close(null);
	test_close(store);
}
END_TEST

START_TEST(test_batch)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *ids[REQUESTS];
	struct test_record record = { 0 };
	varve_request request;
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < REQUESTS; i++)
		ids[i] = test_path("layer-%d", i);
	test_freeze();
	test_error(varve_layer_create_batch(store, ids, REQUESTS, &options, test_record, &record,
					    &request),
		   0);
	test_error(varve_cancel(store, request), 0);
	test_thaw();
	test_await(store, &record);
	ck_assert_uint_eq(record.outcomes_count, REQUESTS);
	for (int i = 0; i < REQUESTS; i++) {
		ck_assert(record.outcome_errors[i] == 0 || record.outcome_errors[i] == -ECANCELED);
		ck_assert_int_eq(test_layer_exists(home, ids[i]), record.outcome_errors[i] == 0);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_chain)
{
	/* What waits behind a request on the same id goes on when that one is cancelled. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[3] = { 0 };
	varve_request requests[3];
	test_freeze();
	test_error(varve_layer_create(store, "a", NULL, test_record, &records[0], &requests[0]), 0);
	test_error(varve_layer_create(store, "a", NULL, test_record, &records[1], &requests[1]), 0);
	test_error(varve_layer_exists(store, "a", test_record, &records[2], &requests[2]), 0);
	test_error(varve_cancel(store, requests[0]), 0);
	test_thaw();
	test_await_all(store, records, 3);
	if (records[0].error) {
		test_error(records[0].error, -ECANCELED);
		test_error(records[1].error, 0);
	} else {
		test_error(records[1].error, -EEXIST);
	}
	test_error(records[2].error, 0);
	ck_assert(records[2].exists);
	ck_assert(test_layer_exists(home, "a"));
	test_close(store);
}
END_TEST

/* A request, and the store it is of. */
struct target {
	struct varve_store *store;
	varve_request request;
	int error;
};

/* Cancel from a thread. */
static void *cancel_it(void *data)
{
	struct target *target = data;
	target->error = varve_cancel(target->store, target->request);
	return NULL;
}

START_TEST(test_other_thread)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	struct target target = { .store = store, .error = 1 };
	pthread_t thread;
	test_freeze();
	test_error(varve_layer_create(store, "a", NULL, test_record, &record, &target.request), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_it, &target), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	test_error(target.error, 0);
	test_thaw();
	test_await(store, &record);
	ck_assert(pthread_equal(record.thread, pthread_self()));
	check_create(home, "a", &record);
	test_close(store);
}
END_TEST

/* Holds the library's thread up at the line of the trace that a noop runs, once. */
struct stop {
	sem_t reached, over;
	_Atomic bool done;
};

static void hold_up(void *data, const char *line)
{
	struct stop *stop = data;
	if (!strstr(line, " noop : RUN") || atomic_exchange(&stop->done, true))
		return;
	sem_post(&stop->reached);
	while (sem_wait(&stop->over))
		ck_assert_int_eq(errno, EINTR);
}

START_TEST(test_not_received)
{
	/*
	 * A request that is cancelled before the library's thread has received it, and that then
	 * would have to wait: for its id, which an archive holds that nobody writes.
	 */
	char *home = test_home();
	struct varve_config config = test_config(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct test_record holder = { 0 }, noop = { 0 }, late = { 0 };
	varve_request holding, cancelled;
	struct stop stop = { .done = false };
	sem_init(&stop.reached, 0, 0);
	sem_init(&stop.over, 0, 0);
	config.debug = "op";
	config.log = hold_up;
	config.log_data = &stop;
	struct varve_store *store = test_open_config(&config);
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	test_error(varve_layer_create(store, "a", &options, test_record, &holder, &holding), 0);
	test_error(varve_noop(store, test_record, &noop, NULL), 0);
	while (sem_wait(&stop.reached))
		ck_assert_int_eq(errno, EINTR);
	test_error(varve_layer_remove(store, "a", 0, test_record, &late, &cancelled), 0);
	test_error(varve_cancel(store, cancelled), 0);
	sem_post(&stop.over);
	test_error(test_await(store, &late), -ECANCELED);
	test_error(test_await(store, &noop), 0);
	ck_assert_uint_eq(holder.calls, 0);
	test_error(varve_cancel(store, holding), 0);
	test_error(test_await(store, &holder), -ECANCELED);
	test_close(store);
	sem_destroy(&stop.reached);
	sem_destroy(&stop.over);
}
END_TEST

TEST_MAIN("cancel", test_unknown, test_creates, test_at_any_moment, test_removes, test_archives,
	  test_batch, test_chain, test_other_thread, test_not_received)
