/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What varve.h promises of every request alike, for each of them, from one table: how it is
 * refused, that it has one callback, what that gets, and that it ends when the store is closed.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where archives go. */
static int sink = -1;

/* A request: its name, how it is submitted. ID is left alone by those that take none. */
struct kind {
	/* As in varve_failure.operation. */
	const char *name;
	/* As in varve_result.operation. */
	enum varve_operation operation;
	/* ... and fails with -ENOENT where there is no such layer. */
	bool takes_id;
	int (*submit)(struct varve_store *store, const char *id, varve_callback *callback,
		      void *user_data, varve_request *ret_request);
};

static int submit_noop(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_noop(store, callback, user_data, ret_request);
}

static int submit_create(struct varve_store *store, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	static unsigned count;
	options.parent = id;
	return varve_layer_create(store, test_path("new-%u", ++count), &options, callback,
				  user_data, ret_request);
}

static int submit_remove(struct varve_store *store, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_remove(store, id, 0, callback, user_data, ret_request);
}

static int submit_remove_batch(struct varve_store *store, const char *id, varve_callback *callback,
			       void *user_data, varve_request *ret_request)
{
	return varve_layer_remove_batch(store, &id, 1, 0, callback, user_data, ret_request);
}

static int submit_get(struct varve_store *store, const char *id, varve_callback *callback,
		      void *user_data, varve_request *ret_request)
{
	return varve_layer_get(store, id, NULL, callback, user_data, ret_request);
}

static int submit_changes(struct varve_store *store, const char *id, varve_callback *callback,
			  void *user_data, varve_request *ret_request)
{
	return varve_layer_changes(store, id, TEST_CHANGES("", 0), callback, user_data,
				   ret_request);
}

static int submit_usage(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_usage(store, id, 0, callback, user_data, ret_request);
}

static int submit_chown(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	return varve_layer_chown(store, id, &options, callback, user_data, ret_request);
}

static int submit_relabel(struct varve_store *store, const char *id, varve_callback *callback,
			  void *user_data, varve_request *ret_request)
{
	return varve_layer_relabel(store, id, "system_u:object_r:container_file_t:s0", 0, callback,
				   user_data, ret_request);
}

static int submit_diff(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	options.parent = "";
	return varve_layer_diff(store, id, &options, sink, callback, user_data, ret_request);
}

static int submit_diff_size(struct varve_store *store, const char *id, varve_callback *callback,
			    void *user_data, varve_request *ret_request)
{
	return varve_layer_diff_size(store, id, TEST_CHANGES("", 0), callback, user_data,
				     ret_request);
}

/* An archive of nothing ends in two empty blocks. */
static int submit_apply(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	int archive = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(archive, 1024), 0);
	int error = varve_layer_apply(store, id, NULL, archive, callback, user_data, ret_request);
	close(archive);
	return error;
}

static int submit_open_layer(struct varve_store *store, const char *id, varve_callback *callback,
			     void *user_data, varve_request *ret_request)
{
	return varve_layer_open(store, id, 0, callback, user_data, ret_request);
}

static int submit_list(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_layer_list(store, callback, user_data, ret_request);
}

static int submit_sync(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_sync(store, 0, callback, user_data, ret_request);
}

static int submit_sweep(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_sweep(store, callback, user_data, ret_request);
}

static int submit_status(struct varve_store *store, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_status(store, callback, user_data, ret_request);
}

static int submit_flush(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_flush(store, id, 0, callback, user_data, ret_request);
}

static int submit_freeze(struct varve_store *store, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_freeze(store, id, VARVE_FREEZE_THAW, callback, user_data, ret_request);
}

static int submit_rename(struct varve_store *store, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_rename(store, id, "renamed", 0, callback, user_data, ret_request);
}

static int submit_adopt(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_adopt(store, id, 0, callback, user_data, ret_request);
}

static int submit_label(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	static const char *const labels[] = { "key=value", NULL };
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	options.labels = labels;
	return varve_layer_label(store, id, &options, callback, user_data, ret_request);
}

static int submit_find(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	options.flags = VARVE_FIND_RECORDS;
	return varve_layer_find(store, &options, callback, user_data, ret_request);
}

static int submit_check(struct varve_store *store, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_check(store, callback, user_data, ret_request);
}

static int submit_quota_status(struct varve_store *store, const char *id, varve_callback *callback,
			       void *user_data, varve_request *ret_request)
{
	return varve_quota_status(store, callback, user_data, ret_request);
}

/* Those that remove come last: what the others look at is there until then. */
static const struct kind kinds[] = {
	{ "noop", VARVE_NOOP, false, submit_noop },
	{ "create", VARVE_CREATE, true, submit_create },
	{ "get", VARVE_GET, true, submit_get },
	{ "exists", VARVE_EXISTS, true, varve_layer_exists },
	{ "info", VARVE_INFO, true, varve_layer_info },
	{ "list", VARVE_LIST, false, submit_list },
	{ "label", VARVE_LABEL, true, submit_label },
	{ "record", VARVE_RECORD, true, varve_layer_record },
	{ "list", VARVE_LIST, false, submit_find },
	{ "changes", VARVE_CHANGES, true, submit_changes },
	{ "usage", VARVE_USAGE, true, submit_usage },
	{ "chown", VARVE_CHOWN, true, submit_chown },
	{ "relabel", VARVE_RELABEL, true, submit_relabel },
	{ "diff", VARVE_DIFF, true, submit_diff },
	{ "diff_size", VARVE_DIFF_SIZE, true, submit_diff_size },
	{ "apply", VARVE_APPLY, true, submit_apply },
	{ "flush", VARVE_FLUSH, true, submit_flush },
	{ "freeze", VARVE_FREEZE, true, submit_freeze },
	{ "open_layer", VARVE_OPEN_LAYER, true, submit_open_layer },
	{ "sync", VARVE_SYNC, false, submit_sync },
	{ "sweep", VARVE_SWEEP, false, submit_sweep },
	{ "status", VARVE_STATUS, false, submit_status },
	{ "check", VARVE_CHECK, false, submit_check },
	{ "quota", VARVE_QUOTA, false, submit_quota_status },
	{ "remove", VARVE_REMOVE, true, submit_remove },
	{ "remove", VARVE_REMOVE, true, submit_remove_batch },
	{ "rename", VARVE_RENAME, true, submit_rename },
	{ "adopt", VARVE_ADOPT, true, submit_adopt },
};

#define KINDS TEST_COUNT(kinds)

/*
 * Assert that KIND is refused with ERROR, on STORE with layer ID, and leaves no trace but the
 * refusal.
 */
static void assert_refused(const struct kind *kind, struct varve_store *store, const char *id,
			   varve_callback *callback, int error)
{
	struct test_record record = { 0 };
	varve_request request = 77;
	int got = kind->submit(store, id, callback, &record, &request);
	ck_assert_msg(got == error, "%s: expected %s, got %s", kind->name, test_errno_name(error),
		      test_errno_name(got));
	ck_assert_msg(request == 77, "%s: refused, but the request is set", kind->name);
	ck_assert_uint_eq(record.calls, 0);
}

/* Open a fresh store with a layer "layer", and the sink. */
static struct varve_store *open_with_layer(struct varve_config config)
{
	struct varve_store *store = test_open_config(&config);
	test_create(store, "layer", NULL);
	sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(sink, 0);
	return store;
}

START_TEST(test_all_are_here)
{
	unsigned operations = 0;
	for (; varve_operation_name(operations); operations++) {
		bool seen = false;
		for (size_t i = 0; i < KINDS; i++)
			seen |= kinds[i].operation == operations;
		ck_assert_msg(seen, "%s is not in this test's table",
			      varve_operation_name(operations));
	}
}
END_TEST

START_TEST(test_null)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	for (size_t i = 0; i < KINDS; i++) {
		assert_refused(&kinds[i], NULL, "layer", test_record, -EINVAL);
		assert_refused(&kinds[i], store, "layer", NULL, -EINVAL);
	}
	test_close(store);
}
END_TEST

START_TEST(test_bad_ids)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	char *longer = test_alloc(257);
	memset(longer, 'x', 256);
	for (size_t i = 0; i < KINDS; i++) {
		struct varve_failure failure = { 0 };
		if (!kinds[i].takes_id)
			continue;
		assert_refused(&kinds[i], store, "..", test_record, -EINVAL);
		assert_refused(&kinds[i], store, "a/b", test_record, -EINVAL);
		assert_refused(&kinds[i], store, longer, test_record, -ENAMETOOLONG);
		test_error(varve_refusal(store, &failure), 0);
		test_error(failure.error, -ENAMETOOLONG);
		ck_assert_str_eq(failure.operation, kinds[i].name);
		ck_assert_str_eq(failure.step, "CHECK");
	}
	test_close(store);
}
END_TEST

START_TEST(test_full)
{
	struct varve_config config = test_config(test_home());
	config.requests_max = 1;
	struct varve_store *store = open_with_layer(config);
	struct test_record record = { 0 };
	test_error(varve_noop(store, test_record, &record, NULL), 0);
	for (size_t i = 0; i < KINDS; i++) {
		struct varve_failure failure = { 0 };
		assert_refused(&kinds[i], store, "layer", test_record, -EAGAIN);
		test_error(varve_refusal(store, &failure), 0);
		test_error(failure.error, -EAGAIN);
		ck_assert_str_eq(failure.operation, kinds[i].name);
	}
	test_await(store, &record);
	test_close(store);
}
END_TEST

/* In a forked child. */
static int refused_in_child(void *store)
{
	for (size_t i = 0; i < KINDS; i++)
		assert_refused(&kinds[i], store, "layer", test_record, -ECHILD);
	return 0;
}

START_TEST(test_fork)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	test_in_child(refused_in_child, store);
	test_close(store);
}
END_TEST

/* In a callback that runs while the store is being closed. */
static void refused_while_closing(struct varve_store *store, const struct varve_result *result,
				  void *user_data)
{
	for (size_t i = 0; i < KINDS; i++)
		assert_refused(&kinds[i], store, "layer", test_record, -ESHUTDOWN);
	++*(unsigned *)user_data;
}

START_TEST(test_closing)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	unsigned calls = 0;
	test_error(varve_noop(store, refused_while_closing, &calls, NULL), 0);
	test_close(store);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

/* What a callback may get, beside the error: "Fields of other operations are 0 or NULL". */
static void check_fields(struct varve_store *store, const struct varve_result *result,
			 void *user_data)
{
	enum varve_operation operation = result->operation;
	bool batch = operation == VARVE_CREATE || operation == VARVE_REMOVE;
	bool bytes = operation == VARVE_DIFF || operation == VARVE_DIFF_SIZE ||
		     operation == VARVE_APPLY;
	ck_assert((result->failure != NULL) == (result->error != 0));
	ck_assert((result->outcomes != NULL) == batch);
	ck_assert_uint_eq(result->outcomes_count, batch);
	ck_assert((result->path != NULL) == (operation == VARVE_GET && !result->error));
	ck_assert(!result->exists || operation == VARVE_EXISTS);
	ck_assert(!result->ids_count || operation == VARVE_LIST);
	ck_assert((result->info != NULL) == (operation == VARVE_INFO && !result->error));
	ck_assert((result->sweep != NULL) == (operation == VARVE_SWEEP));
	ck_assert(!result->status_count || operation == VARVE_STATUS);
	ck_assert(!result->changes_count || operation == VARVE_CHANGES);
	ck_assert((result->usage != NULL) == (operation == VARVE_USAGE && !result->error));
	ck_assert(!result->quota || operation == VARVE_QUOTA);
	ck_assert((result->record != NULL) ==
		  (!result->error && (operation == VARVE_LABEL || operation == VARVE_RECORD ||
				      (operation == VARVE_INFO && result->record))));
	ck_assert(!result->records || operation == VARVE_LIST);
	ck_assert(!result->bytes || bytes);
	ck_assert(!result->skipped_count && !result->skipped_total);
	test_record(store, result, user_data);
}

START_TEST(test_one_callback)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	for (size_t i = 0; i < KINDS; i++) {
		struct test_record record = { 0 };
		varve_request request = 0;
		test_error(kinds[i].submit(store, "layer", check_fields, &record, &request), 0);
		ck_assert_uint_ne(request, 0);
		ck_assert_uint_eq(record.calls, 0);
		int error = test_await(store, &record);
		bool gone = kinds[i].submit == submit_remove_batch ||
			    kinds[i].submit == submit_rename || kinds[i].submit == submit_adopt;
		ck_assert_msg(error == (gone ? -ENOENT : 0), "%s: %s at %s", kinds[i].name,
			      test_errno_name(error), record.failure.step);
		ck_assert_int_eq(record.operation, kinds[i].operation);
		ck_assert_uint_eq(record.request, request);
		ck_assert_ptr_eq(record.store, store);
		/* It is over: its handle is stale. */
		test_error(varve_cancel(store, request), -ENOENT);
		test_error(varve_wait_for(store, request, -1), 0);
	}
	test_close(store);
}
END_TEST

START_TEST(test_no_handle_wanted)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	struct test_record records[KINDS] = { 0 };
	for (size_t i = 0; i < KINDS; i++)
		test_error(kinds[i].submit(store, "layer", test_record, &records[i], NULL), 0);
	test_await_all(store, records, KINDS);
	test_close(store);
}
END_TEST

START_TEST(test_missing_layer)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	for (size_t i = 0; i < KINDS; i++) {
		struct test_record record = { 0 };
		if (!kinds[i].takes_id || kinds[i].operation == VARVE_EXISTS)
			continue;
		test_error(kinds[i].submit(store, "missing", check_fields, &record, NULL), 0);
		int error = test_await(store, &record);
		/* Where SELinux is off there is nothing to label. */
		if (kinds[i].operation == VARVE_RELABEL && error == 0)
			continue;
		ck_assert_msg(error == -ENOENT, "%s: expected ENOENT, got %s", kinds[i].name,
			      test_errno_name(error));
		ck_assert_str_eq(record.failure.operation, kinds[i].name);
		ck_assert_uint_gt(strlen(record.failure.id), 0);
		ck_assert_ptr_nonnull(record.failure.step);
	}
	test_close(store);
}
END_TEST

START_TEST(test_close_ends_them)
{
	/* Each alone in flight, closed at once: its callback has run when close returns. */
	for (size_t i = 0; i < KINDS; i++) {
		struct varve_store *store = open_with_layer(test_config(test_home()));
		struct test_record record = { 0 };
		test_error(kinds[i].submit(store, "layer", test_record, &record, NULL), 0);
		test_close(store);
		ck_assert_msg(record.calls == 1, "%s: %u callbacks", kinds[i].name, record.calls);
		/* A layer cannot be adopted once more. */
		bool refused = kinds[i].submit == submit_adopt && record.error == -EEXIST;
		ck_assert_msg(record.error == 0 || record.error == -ECANCELED || refused, "%s: %s",
			      kinds[i].name, test_errno_name(record.error));
		close(sink);
	}
}
END_TEST

START_TEST(test_cancel_ends_them)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	for (size_t i = 0; i < KINDS; i++) {
		struct test_record record = { 0 };
		varve_request request;
		test_create(store, test_path("victim-%zu", i), "layer");
		test_error(kinds[i].submit(store, test_path("victim-%zu", i), test_record, &record,
					   &request),
			   0);
		test_error(varve_cancel(store, request), 0);
		int error = test_await(store, &record);
		ck_assert_msg(error == 0 || error == -ECANCELED ||
				      (kinds[i].operation == VARVE_ADOPT && error == -EEXIST),
			      "%s: %s", kinds[i].name, test_errno_name(error));
	}
	test_close(store);
}
END_TEST

START_TEST(test_counted)
{
	struct varve_store *store = open_with_layer(test_config(test_home()));
	struct varve_operation_statistics was = VARVE_OPERATION_STATISTICS_INIT,
					  is = VARVE_OPERATION_STATISTICS_INIT;
	for (size_t i = 0; i < KINDS; i++) {
		enum varve_operation operation = kinds[i].operation;
		struct test_record record = { 0 };
		test_error(varve_operation_statistics(store, operation, &was), 0);
		assert_refused(&kinds[i], store, "layer", NULL, -EINVAL);
		test_error(kinds[i].submit(store, "layer", test_record, &record, NULL), 0);
		bool succeeded = test_await(store, &record) == 0;
		test_error(varve_operation_statistics(store, operation, &is), 0);
		ck_assert_uint_eq(is.submitted, was.submitted + 1);
		ck_assert_uint_eq(is.refused, was.refused + 1);
		ck_assert_uint_eq(is.succeeded, was.succeeded + succeeded);
		ck_assert_uint_eq(is.failed, was.failed + !succeeded);
		ck_assert_uint_eq(is.latency.count, was.latency.count + 1);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("requests", test_all_are_here, test_null, test_bad_ids, test_full, test_fork,
	  test_closing, test_one_callback, test_no_handle_wanted, test_missing_layer,
	  test_close_ends_them, test_cancel_ends_them, test_counted)
