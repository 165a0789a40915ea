/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that was stopped while it holds the lock of the records holds up only what needs that
 * lock.
 */
#include "quota.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines of the trace that say that something waits for the lock. */
static atomic_uint waits;

/* Take a line of the trace. */
static void take_line(void *log_data, const char *line)
{
	if (strstr(line, "another process holds the lock"))
		atomic_fetch_add(&waits, 1);
}

/* Lock the records of the home DATA, and stop. */
static int lock_and_stop(void *data)
{
	int file = open(test_path("%s/.varve/records", (char *)data), O_RDWR | O_CREAT | O_CLOEXEC,
			0600);
	if (file < 0 || flock(file, LOCK_EX | LOCK_NB) < 0)
		return 1;
	raise(SIGSTOP);
	return 0;
}

/* Start a process that holds the lock of HOME and is stopped. */
static int start_holder(const char *home)
{
	if (!test_exists(test_path("%s/.varve", home)))
		test_mkdir(test_path("%s/.varve", home));
	int pid = test_child_start(lock_and_stop, (void *)home), status = 0;
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_msg(WIFSTOPPED(status), "the holder has ended: %d", status);
	return pid;
}

/* Let the holder PID go on, and end. */
static void end_holder(int pid)
{
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(test_child_end(pid), 0);
}

/* Open HOME such that waits are counted. */
static struct varve_store *open_counted(const char *home)
{
	struct varve_config config = test_config(home);
	config.debug = "op";
	config.log = take_line;
	atomic_store(&waits, 0);
	return test_open_config(&config);
}

/* Dispatch until the request of RECORD waits for the lock. */
static void await_wait(struct varve_store *store, const struct test_record *record)
{
	unsigned before = atomic_load(&waits);
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	while (atomic_load(&waits) < before + 2) {
		ck_assert_msg(record->calls == 0, "ended with %s", test_errno_name(record->error));
		ck_assert_int_lt(test_now_ms(), end_ms);
		ck_assert_int_ge(varve_wait(store, 1), 0);
	}
}

/* Assert that the status of STORE says VALUE of the lock. */
static void assert_lock(struct varve_store *store, const char *value)
{
	struct varve_status_entry *entries;
	struct varve_failure failure;
	size_t count;
	bool found = false;
	test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].key, "records_lock") != 0)
			continue;
		ck_assert_str_eq(entries[i].value, value);
		found = true;
	}
	ck_assert(found);
	free(entries);
}

/* Submit the creation of ID with a size. */
static varve_request submit_sized(struct varve_store *store, const char *id,
				  struct test_record *record)
{
	static const char *const sizes[] = { "size=8m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	varve_request request;
	options.storage_options = sizes;
	test_error(varve_layer_create(store, id, &options, test_record, record, &request), 0);
	return request;
}

START_TEST(test_stopped_holder)
{
	char *home = test_home(), **ids;
	struct varve_failure failure;
	size_t count;
	test_close(open_in_mode(home, test_quota_mode()));
	/* Something that the sweep would need the lock for. */
	record_size(home, "ghost", "8388608");
	int holder = start_holder(home);
	struct varve_store *store = open_counted(home);
	assert_lock(store, test_path("held by process %d", holder));
	/* What needs no lock is not held up. */
	test_create(store, "base", NULL);
	test_create(store, "layer", "base");
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 2);
	free(ids);
	test_remove_layer(store, "layer");
	/* What does waits, and can be cancelled. */
	struct test_record sized = { 0 }, sweep = { 0 }, later = { 0 };
	varve_request request = submit_sized(store, "sized", &sized), sweeping;
	await_wait(store, &sized);
	test_create(store, "other", "base");
	test_error(varve_cancel(store, request), 0);
	test_error(test_await(store, &sized), -ECANCELED);
	ck_assert(!test_layer_exists(home, "sized"));
	test_error(varve_sweep(store, test_record, &sweep, &sweeping), 0);
	await_wait(store, &sweep);
	test_error(varve_cancel(store, sweeping), 0);
	test_error(test_await(store, &sweep), -ECANCELED);
	/* Closing ends it, too; and once the holder goes on, so does what waits. */
	submit_sized(store, "later", &later);
	await_wait(store, &later);
	test_close(store);
	test_error(later.error, -ECANCELED);
	ck_assert_uint_eq(test_leftovers(home), 0);
	store = open_counted(home);
	memset(&later, 0, sizeof(later));
	submit_sized(store, "later", &later);
	await_wait(store, &later);
	end_holder(holder);
	test_error(test_await(store, &later), 0);
	assert_limit(store, home, "later", 8 * MIB);
	assert_lock(store, "free");
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.quota_files_removed, 1);
	test_close(store);
}
END_TEST

/* Submit the removal of ID, and wait until that waits for the lock: the layer is gone by then. */
static varve_request submit_removal(struct varve_store *store, const char *home, const char *id,
				    struct test_record *record)
{
	varve_request request;
	test_error(varve_layer_remove(store, id, 0, test_record, record, &request), 0);
	await_wait(store, record);
	ck_assert(!test_layer_exists(home, id));
	ck_assert(test_exists(test_path("%s/quotas/%s", home, id)));
	return request;
}

/* Assert that a check of STORE finds COUNT. */
static void assert_findings(struct varve_store *store, size_t expected)
{
	struct varve_finding *findings;
	size_t count;
	test_error(varve_check_wait(store, &findings, &count, NULL), 0);
	ck_assert_msg(count == expected, "%zu findings: %s", count, count ? findings[0].path : "");
	free(findings);
}

/* A removal leaves no record: it waits for the lock, and a check finds nothing meanwhile. */
START_TEST(test_removal_waits)
{
	static const char *const ids[] = { "waits", "cancelled", "closed" };
	const char *const sizes[] = { "size=8m", NULL }, *const labels[] = { "a=1", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[TEST_COUNT(ids)] = { 0 };
	char *home = test_home();
	struct varve_store *store = open_counted(home);
	options.storage_options = sizes;
	options.labels = labels;
	for (size_t i = 0; i < TEST_COUNT(ids); i++)
		test_error(varve_layer_create_wait(store, ids[i], &options, NULL), 0);
	int holder = start_holder(home);
	submit_removal(store, home, "waits", &records[0]);
	assert_findings(store, 0);
	end_holder(holder);
	test_error(test_await(store, &records[0]), 0);
	ck_assert(!test_exists(test_path("%s/quotas/waits", home)));
	ck_assert(!test_exists(test_path("%s/.varve/layers/waits", home)));
	/* The layer is gone: a cancel ends the wait, and so does closing; a sweep does the rest. */
	holder = start_holder(home);
	varve_request request = submit_removal(store, home, "cancelled", &records[1]);
	test_error(varve_cancel(store, request), 0);
	test_error(test_await(store, &records[1]), 0);
	submit_removal(store, home, "closed", &records[2]);
	test_close(store);
	test_error(records[2].error, 0);
	end_holder(holder);
	store = open_counted(home);
	assert_findings(store, 0);
	ck_assert(!test_exists(test_path("%s/quotas/cancelled", home)));
	test_close(store);
}
END_TEST

/* Nothing to do: the lock is not even looked for. */
START_TEST(test_no_need)
{
	char *home = test_home();
	test_close(test_open(home));
	struct varve_store *store = open_counted(home);
	test_create(store, "base", NULL);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	test_error(varve_quota_gc_wait(store, NULL, NULL), 0);
	test_remove_layer(store, "base");
	ck_assert(!test_exists(test_path("%s/.varve/records", home)));
	test_close(store);
}
END_TEST

TEST_MAIN("locks", test_stopped_holder, test_removal_waits, test_no_need)
