/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane for short calls has only short ones: with one thread for it, a question about a layer is
 * answered while any long operation stands still in the middle; and no call on it takes more than
 * CALL_MAX_US of its own thread's time. Neither does a slice of a comparison, whose threads other
 * walks wait for. Threads that compute for long hand their processor over to those that a short
 * call waits for.
 *
 * varve-test: backend=both timeout=180
 */
#include "test.h"

#include "engine/store/store.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What a call on the short lane, and a slice, may take of its thread's processor time, in
 * microseconds; more under a sanitizer.
 */
#define CALL_MAX_US (TEST_SANITIZED ? 500000 : 50000)

/* Files of a layer whose comparison, search, sort and archive each take more than that. */
#define FILES 12000
/* Leftovers whose removal takes more than that. */
#define LEFTOVERS 3000
/*
 * Characters of each of the directories, one in the other, that the files are in: paths of some
 * length take long to sort.
 */
#define NAME_LENGTH 250
#define NAMES 3

/* ---- one thread is held up ------------------------------------------------------------------- */

/* Holds up threads of lanes, one at a time, at the end of their calls. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Hold the next one; one is held. */
	bool armed, holding;
	/* Readable when one is held. */
	int event;
	/* The line that it was to write. */
	char line[256];
};

/*
 * Take a line of the trace: hold its thread up, unless it has made a call of varve_layer_info().
 */
static void hold_up(void *data, const char *line)
{
	struct gate *gate = data;
	pthread_mutex_lock(&gate->lock);
	if (gate->armed && !strstr(line, ": openat2 = ") && !strstr(line, ": openat = ")) {
		gate->armed = false;
		gate->holding = true;
		snprintf(gate->line, sizeof(gate->line), "%s", line);
		ck_assert_int_eq(eventfd_write(gate->event, 1), 0);
		while (gate->holding)
			pthread_cond_wait(&gate->changed, &gate->lock);
	}
	pthread_mutex_unlock(&gate->lock);
}

/* Hold the next thread up, or let go of the one that is, and hold no other. */
static void set_gate(struct gate *gate, bool armed)
{
	pthread_mutex_lock(&gate->lock);
	gate->armed = armed;
	gate->holding = false;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

/* Ask about a layer while a thread is held up: the answer has to come. */
static void ask(struct varve_store *store, const struct gate *gate, const char *what)
{
	struct test_record record = { 0 };
	struct pollfd pollfd = { .fd = varve_fd(store), .events = POLLIN };
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	test_error(varve_layer_info(store, "alone", test_record, &record, NULL), 0);
	while (!record.calls) {
		ck_assert_msg(test_now_ms() < end_ms, "%s: no answer while a thread is at \"%s\"",
			      what, gate->line);
		poll(&pollfd, 1, 1000);
		ck_assert_int_ge(varve_dispatch(store, 0), 0);
	}
	test_error(record.error, 0);
}

/* Let RECORD's operation, WHAT, go on from one call to the next, and ask at the end of each. */
static void step_through(struct varve_store *store, struct gate *gate,
			 const struct test_record *record, const char *what)
{
	struct pollfd pollfds[2] = { { .fd = varve_fd(store), .events = POLLIN },
				     { .fd = gate->event, .events = POLLIN } };
	unsigned held = 0;
	eventfd_t count;
	while (!record->calls) {
		ck_assert_int_gt(poll(pollfds, TEST_COUNT(pollfds), TEST_WAIT_MS), 0);
		if (pollfds[1].revents) {
			ck_assert_int_eq(eventfd_read(gate->event, &count), 0);
			held++;
			ask(store, gate, what);
			set_gate(gate, true);
		}
		ck_assert_int_ge(varve_dispatch(store, 0), 0);
	}
	set_gate(gate, false);
	test_error(record->error, 0);
	ck_assert_msg(held, "%s: no call was seen", what);
}

static int start_changes(struct varve_store *store, struct test_record *record)
{
	return varve_layer_changes(store, "child", TEST_CHANGES(NULL, 0), test_record, record,
				   NULL);
}

static int start_changes_walk(struct varve_store *store, struct test_record *record)
{
	return varve_layer_changes(store, "child", TEST_CHANGES(NULL, VARVE_CHANGES_WALK),
				   test_record, record, NULL);
}

static int start_diff_size(struct varve_store *store, struct test_record *record)
{
	return varve_layer_diff_size(store, "child", TEST_CHANGES("", 0), test_record, record,
				     NULL);
}

static int start_list(struct varve_store *store, struct test_record *record)
{
	return varve_layer_list(store, test_record, record, NULL);
}

static int start_sweep(struct varve_store *store, struct test_record *record)
{
	return varve_sweep(store, test_record, record, NULL);
}

static int start_check(struct varve_store *store, struct test_record *record)
{
	return varve_check(store, test_record, record, NULL);
}

static int start_status(struct varve_store *store, struct test_record *record)
{
	return varve_status(store, test_record, record, NULL);
}

static int start_quota_status(struct varve_store *store, struct test_record *record)
{
	return varve_quota_status(store, test_record, record, NULL);
}

static int start_quota_gc(struct varve_store *store, struct test_record *record)
{
	return varve_quota_gc(store, test_record, record, NULL);
}

static int start_sync(struct varve_store *store, struct test_record *record)
{
	return varve_sync(store, VARVE_SYNC_CLEAN, test_record, record, NULL);
}

static int start_usage(struct varve_store *store, struct test_record *record)
{
	return varve_layer_usage(store, "child", VARVE_USAGE_SEARCH, test_record, record, NULL);
}

static const struct {
	const char *what;
	int (*start)(struct varve_store *store, struct test_record *record);
} starts[] = {
	{ "changes by search", start_changes },
	{ "changes by comparing all", start_changes_walk },
	{ "diff_size", start_diff_size },
	{ "list", start_list },
	{ "sweep", start_sweep },
	{ "check", start_check },
	{ "status", start_status },
	{ "quota status", start_quota_status },
	{ "quota gc", start_quota_gc },
	{ "sync", start_sync },
	{ "usage", start_usage },
};

/* Make "alone", which is a snapshot of nothing, and "child", which differs from its parent. */
static void make_layers(struct varve_store *store, const char *home)
{
	test_create(store, "alone", NULL);
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 3, 3, 10);
	test_create(store, "child", "base");
	test_write(test_path("%s/new", test_layer(home, "child")), "text");
}

START_TEST(test_held)
{
	static struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER,
				    .changed = PTHREAD_COND_INITIALIZER };
	char *home = test_home();
	struct varve_config config = test_config(home);
	gate.event = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(gate.event, 0);
	config.fs_threads_max = 1;
	config.debug = "lane";
	config.log = hold_up;
	config.log_data = &gate;
	struct varve_store *store = test_open_config(&config);
	make_layers(store, home);
	for (size_t i = 0; i < TEST_COUNT(starts); i++) {
		struct test_record record = { 0 };
		set_gate(&gate, true);
		test_error(starts[i].start(store, &record), 0);
		step_through(store, &gate, &record, starts[i].what);
	}
	test_close(store);
	close(gate.event);
}
END_TEST

/* ---- processor time -------------------------------------------------------------------------- */

/*
 * The longest call on the short lane, or slice, and what the trace said of it; guarded by the lock.
 */
static pthread_mutex_t longest_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long longest_us, calls;
static char longest_line[256];

/* Take a line of the trace. */
static void take_time(void *data, const char *line)
{
	bool fs = strstr(line, "lane fs: ") != NULL;
	const char *time = strrchr(line, ',');
	unsigned long took_us;
	(void)data;
	if (!fs && !strstr(line, "lane walk: "))
		return;
	ck_assert_msg(time && sscanf(time, ", %lu us", &took_us) == 1, "%s", line);
	pthread_mutex_lock(&longest_lock);
	calls += fs;
	if (took_us >= longest_us) {
		longest_us = took_us;
		snprintf(longest_line, sizeof(longest_line), "%s", line);
	}
	pthread_mutex_unlock(&longest_lock);
}

/* Assert that none was long while WHAT was done. */
static void assert_short(const char *what)
{
	pthread_mutex_lock(&longest_lock);
	ck_assert_msg(longest_us <= CALL_MAX_US, "%s: %s", what, longest_line);
	longest_us = 0;
	pthread_mutex_unlock(&longest_lock);
}

/* Make COUNT empty files in DIRECTORY. */
static void make_files(const char *directory, unsigned count)
{
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];
	ck_assert_int_ge(directory_fd, 0);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(mknodat(directory_fd, name, S_IFREG | 0644, 0), 0);
	}
	close(directory_fd);
}

/* Change the modes of the COUNT files in DIRECTORY. */
static void change_files(const char *directory, unsigned count)
{
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];
	ck_assert_int_ge(directory_fd, 0);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(fchmodat(directory_fd, name, 0600, 0), 0);
	}
	close(directory_fd);
}

/*
 * Make directories in PATH, one in the other, whose path is long, and open the last one by a short
 * name, which is returned.
 */
static char *make_deep(const char *path)
{
	int directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_LENGTH + 1];
	ck_assert_int_ge(directory_fd, 0);
	for (unsigned i = 0; i < NAMES; i++) {
		int next;
		memset(name, 'a', NAME_LENGTH);
		name[NAME_LENGTH] = '\0';
		if (mkdirat(directory_fd, name, 0755) < 0)
			ck_assert_int_eq(errno, EEXIST);
		next = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(directory_fd);
		directory_fd = next;
	}
	return test_path("/proc/self/fd/%d", directory_fd);
}

static void compare(struct varve_store *store, const char *parent, uint64_t flags, const char *what)
{
	struct varve_change *changes = NULL;
	struct varve_failure failure = { 0 };
	size_t count = 0;
	test_ok(varve_layer_changes_wait(store, "child", TEST_CHANGES(parent, flags), &changes,
					 &count, &failure),
		&failure);
	ck_assert_uint_ge(count, FILES);
	free(changes);
	assert_short(what);
}

START_TEST(test_cpu)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	char *home = test_home();
	struct varve_config config = test_config(home);
	struct varve_failure failure = { 0 };
	uint64_t bytes = 0;
	config.debug = "lane";
	config.log = take_time;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "base", NULL);
	make_files(make_deep(test_layer(home, "base")), FILES);
	test_create(store, "child", "base");
	change_files(make_deep(test_layer(home, "child")), FILES);
	compare(store, NULL, 0, "changes by search");
	compare(store, NULL, VARVE_CHANGES_WALK, "changes by comparing all");
	compare(store, "", 0, "all that is in a layer");
	test_ok(varve_layer_diff_size_wait(store, "child", TEST_CHANGES("", 0), &bytes, &failure),
		&failure);
	assert_short("diff_size");
	test_mkdir(test_path("%s/.varve/trash", home));
	test_mkdir(test_path("%s/.varve/trash/gone.1", home));
	make_files(test_path("%s/.varve/trash/gone.1", home), LEFTOVERS);
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.trash_removed, 1);
	assert_short("sweep");
	/* What the lane is for is seen. */
	calls = 0;
	test_ok(varve_layer_info_wait(store, "child", &info, &failure), &failure);
	ck_assert_uint_gt(calls, 0);
	test_close(store);
}
END_TEST

/* ---- processors handed over ------------------------------------------------------------------ */

/* Let this process run on one of its processors only. */
static void use_one_cpu(void)
{
	cpu_set_t all, one;
	int cpu = 0;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

START_TEST(test_look)
{
	struct wakes wakes = { 0 };
	struct yield none = { 0 }, yield = { .wakes = &wakes };
	uint64_t begin_ns;
	yield_look(&none);
	yield_look(&yield);
	ck_assert_uint_eq(wakes.yields, 0);
	wakes_add(&wakes);
	for (int i = 0; i < 3; i++)
		yield_look(&yield);
	ck_assert_uint_eq(wakes.yields, 1);
	/* However many are woken, no more often than it may. */
	begin_ns = now_ns();
	for (int i = 0; i < 10000; i++) {
		wakes_add(&wakes);
		yield_look(&yield);
	}
	ck_assert_uint_le(wakes.yields, 2 + (now_ns() - begin_ns) / YIELD_NS);
}
END_TEST

/* An archive of the whole layer, to nowhere. */
static int start_diff(struct varve_store *store, struct test_record *record)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	options.parent = "";
	return varve_layer_diff(store, "child", &options, open("/dev/null", O_WRONLY | O_CLOEXEC),
				test_record, record, NULL);
}

static int start_usage_walk(struct varve_store *store, struct test_record *record)
{
	return varve_layer_usage(store, "child", VARVE_USAGE_WALK, test_record, record, NULL);
}

static const struct {
	const char *what;
	int (*start)(struct varve_store *store, struct test_record *record);
} long_starts[] = {
	{ "changes by search", start_changes }, { "changes by comparing all", start_changes_walk },
	{ "diff_size", start_diff_size },       { "diff", start_diff },
	{ "usage by search", start_usage },     { "usage by walk", start_usage_walk },
};

/*
 * Ask about a layer again and again, until there were more yields than BEFORE, and wait for
 * RECORD's operation.
 */
static void ask_beside(struct varve_store *store, const struct test_record *record, unsigned before)
{
	struct pollfd pollfd = { .fd = varve_fd(store), .events = POLLIN };
	while (!record->calls && store->core.io.wakes.yields == before) {
		struct test_record answer = { 0 };
		test_error(varve_layer_info(store, "alone", test_record, &answer, NULL), 0);
		while (!answer.calls) {
			ck_assert_int_gt(poll(&pollfd, 1, TEST_WAIT_MS), 0);
			ck_assert_int_ge(varve_dispatch(store, 0), 0);
		}
		test_error(answer.error, 0);
	}
	test_error(test_await(store, record), 0);
}

START_TEST(test_yields)
{
	char *home = test_home();
	struct varve_store *store;
	use_one_cpu();
	store = test_open(home);
	test_create(store, "alone", NULL);
	test_create(store, "base", NULL);
	make_files(test_layer(home, "base"), FILES);
	test_create(store, "child", "base");
	change_files(test_layer(home, "child"), FILES);
	for (size_t i = 0; i < TEST_COUNT(long_starts); i++) {
		unsigned before = store->core.io.wakes.yields;
		/* A machine that has much else to do may let it run whole between two questions. */
		for (int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
		     store->core.io.wakes.yields == before;) {
			struct test_record record = { 0 };
			ck_assert_msg(test_now_ms() < end_ms,
				      "%s: the processor was never handed over",
				      long_starts[i].what);
			test_error(long_starts[i].start(store, &record), 0);
			ask_beside(store, &record, before);
		}
	}
	test_close(store);
}
END_TEST

TEST_MAIN("short_lane", test_held, test_cpu, test_look, test_yields)
