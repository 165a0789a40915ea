/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Few descriptors: whatever is asked for at once is done, with fewer at a time. The limit is low,
 * or the program has most of what it allows, or it becomes low later.
 *
 * varve-test: timeout=180
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Creates in flight, more than there are descriptors: with 256 of them, with fewer; other
 * operations in flight.
 */
#define CREATES 300
#define CREATES_FEW 120
#define OTHERS 40
/* Archives in flight, and bytes of the large files in each. */
#define DIFFS 24
#define LARGE_BYTES (10 * 70000)

/* Descriptors that a program leaves to the store, of its 1024. */
#define LEFT 48

/* What is submitted, for layer ID. */
typedef int submit(struct varve_store *store, const char *id, struct test_record *record);

static int submit_create(struct varve_store *store, const char *id, struct test_record *record)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "base";
	return varve_layer_create(store, id, &options, test_record, record, NULL);
}

static int submit_empty(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_create(store, test_path("empty-%s", id), NULL, test_record, record,
				  NULL);
}

static const struct varve_id_map map = { 0, 100000, 65536 };

static int submit_shifted(struct varve_store *store, const char *id, struct test_record *record)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	shift.uid_to = &map;
	shift.uid_to_count = 1;
	options.parent = "base";
	options.chown = &shift;
	return varve_layer_create(store, test_path("shifted-%s", id), &options, test_record, record,
				  NULL);
}

static int submit_get(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_get(store, id, NULL, test_record, record, NULL);
}

static int submit_info(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_info(store, id, test_record, record, NULL);
}

static int submit_list(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_list(store, test_record, record, NULL);
}

static int submit_walk(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_usage(store, id, VARVE_USAGE_WALK, test_record, record, NULL);
}

static int submit_usage(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_usage(store, id, 0, test_record, record, NULL);
}

static int submit_chown(struct varve_store *store, const char *id, struct test_record *record)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	options.uid_to = &map;
	options.uid_to_count = 1;
	return varve_layer_chown(store, id, &options, test_record, record, NULL);
}

static int submit_changes(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_changes(store, id, TEST_CHANGES("", VARVE_CHANGES_WALK), test_record,
				   record, NULL);
}

static int submit_diff_size(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_diff_size(store, id, TEST_CHANGES("", 0), test_record, record, NULL);
}

/* A sink that takes all. */
static int take_all(struct varve_store *store, varve_request request, const void *bytes,
		    size_t size, void *data)
{
	return 0;
}

static int submit_diff(struct varve_store *store, const char *id, struct test_record *record)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	options.parent = "";
	options.sink = take_all;
	return varve_layer_diff(store, id, &options, VARVE_STREAM, test_record, record, NULL);
}

static int submit_remove(struct varve_store *store, const char *id, struct test_record *record)
{
	return varve_layer_remove(store, id, 0, test_record, record, NULL);
}

static int submit_remove_shifted(struct varve_store *store, const char *id,
				 struct test_record *record)
{
	return varve_layer_remove(store, test_path("shifted-%s", id), 0, test_record, record, NULL);
}

/* Submit COUNT at once, for layers "0", "1", ..., and see that all succeed. */
static void all_succeed(struct varve_store *store, const char *name, submit *function,
			unsigned count)
{
	struct test_record *records = test_alloc(count * sizeof(*records));
	char text[1024];
	memset(records, 0, count * sizeof(*records));
	for (unsigned i = 0; i < count; i++)
		test_error(function(store, test_path("%u", i), &records[i]), 0);
	test_await_all(store, records, count);
	for (unsigned i = 0; i < count; i++)
		ck_assert_msg(records[i].error == 0, "%s %u: %s: %s", name, i,
			      test_errno_name(records[i].error),
			      varve_strerror(&records[i].failure, text, sizeof(text)));
}

/* Let this process have LIMIT descriptors. */
static void limit_to(unsigned limit)
{
	struct rlimit rlimit;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rlimit), 0);
	rlimit.rlim_cur = limit;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rlimit), 0);
}

/* Open descriptors until only COUNT are free below the limit. */
static void hold_all_but(int count)
{
	int last, fds[4096];
	for (last = 0; last < 4096; last++) {
		fds[last] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fds[last] < 0)
			break;
	}
	while (count--)
		close(fds[--last]);
}

/* An archive of a whole layer is complete. */
static void check_archive(struct varve_store *store, uint64_t expected)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	uint64_t bytes = 0, skipped = 0;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	options.parent = "";
	test_ok(varve_layer_diff_wait(store, "0", &options, fd, &bytes, &skipped, &failure),
		&failure);
	ck_assert_uint_eq(skipped, 0);
	ck_assert_uint_ge(bytes, expected);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	test_create(store, "unpacked", NULL);
	test_ok(varve_layer_apply_wait(store, "unpacked", NULL, fd, NULL, NULL, &failure),
		&failure);
	close(fd);
}

/* All operations, many at once: CREATES of those that are many. */
static void run_all(struct varve_store *store, const char *home, unsigned creates)
{
	int before = test_descriptors();
	all_succeed(store, "create", submit_create, creates);
	all_succeed(store, "create empty", submit_empty, creates);
	all_succeed(store, "create shifted", submit_shifted, OTHERS);
	all_succeed(store, "get", submit_get, creates);
	all_succeed(store, "info", submit_info, creates);
	all_succeed(store, "list", submit_list, OTHERS);
	all_succeed(store, "usage by walk", submit_walk, OTHERS);
	all_succeed(store, "usage", submit_usage, OTHERS);
	all_succeed(store, "changes", submit_changes, OTHERS);
	all_succeed(store, "diff size", submit_diff_size, OTHERS);
	all_succeed(store, "diff", submit_diff, DIFFS);
	check_archive(store, LARGE_BYTES);
	all_succeed(store, "chown", submit_chown, OTHERS);
	all_succeed(store, "remove", submit_remove, creates);
	all_succeed(store, "remove shifted", submit_remove_shifted, OTHERS);
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* No more than the slots' directories. */
	ck_assert_int_le(test_descriptors(), before + 256);
}

/*
 * A layer with some directories (made here: the test's own way wants them on its own mount), each
 * with a file of which more than a beginning has to be read, and a small one.
 */
static void prepare_base(struct varve_store *store, const char *home)
{
	test_create(store, "base", NULL);
	for (int i = 0; i < 10; i++) {
		char *dir = test_path("%s/subvolumes/base/dir-%d", home, i);
		ck_assert_int_eq(mkdir(dir, 0755), 0);
		for (int j = 0; j < 2; j++) {
			int fd = open(test_path("%s/file-%d", dir, j),
				      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
			ck_assert_int_ge(fd, 0);
			for (int k = 0; k < (j ? 1 : 70); k++)
				ck_assert_int_eq(write(fd, test_alloc(1000), 1000), 1000);
			close(fd);
		}
	}
}

/* With LIMIT, of which the program leaves LEFT_FREE (0: all). */
static void with_limit(unsigned limit, int left_free)
{
	char *home = test_home();
	struct varve_store *store;
	limit_to(limit);
	if (left_free)
		hold_all_but(left_free);
	store = test_open_relaxed(home);
	prepare_base(store, home);
	run_all(store, home, limit > CREATES_FEW && !left_free ? CREATES : CREATES_FEW);
	test_close(store);
}

START_TEST(test_256)
{
	with_limit(256, 0);
}
END_TEST

START_TEST(test_64)
{
	with_limit(64, 0);
}
END_TEST

START_TEST(test_held)
{
	with_limit(1024, LEFT);
}
END_TEST

/* The limit is lowered, or the program takes most, while the store is open. */
START_TEST(test_later)
{
	char *home = test_home();
	struct varve_store *store;
	limit_to(1024);
	store = test_open_relaxed(home);
	prepare_base(store, home);
	hold_all_but(LEFT);
	run_all(store, home, CREATES_FEW);
	test_close(store);
}
END_TEST

START_TEST(test_lowered)
{
	char *home = test_home();
	struct varve_store *store;
	limit_to(1024);
	store = test_open_relaxed(home);
	prepare_base(store, home);
	limit_to(96);
	run_all(store, home, CREATES_FEW);
	test_close(store);
}
END_TEST

/* Threads that sleep in commits are as many as descriptors allow: each keeps one. */
START_TEST(test_commit_threads)
{
	struct varve_status_entry *entries;
	struct varve_failure failure;
	unsigned long threads = 0;
	size_t count;
	limit_to(64);
	struct varve_store *store = test_open_relaxed(test_home());
	test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].key, "commit_threads_max"))
			threads = strtoul(entries[i].value, NULL, 10);
	free(entries);
	ck_assert_uint_ge(threads, 1);
	ck_assert_uint_lt(threads, 64);
	test_close(store);
}
END_TEST

/* Without privilege: layers are emptied. */
static int remove_as_nobody(void *home)
{
	struct varve_store *store;
	limit_to(64);
	store = test_open_relaxed(home);
	prepare_base(store, home);
	all_succeed(store, "create", submit_create, OTHERS);
	all_succeed(store, "usage by walk", submit_walk, OTHERS);
	all_succeed(store, "remove", submit_remove, OTHERS);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	return 0;
}

START_TEST(test_nobody)
{
	test_as_nobody(remove_as_nobody, test_home_of_nobody());
}
END_TEST

START_TEST(test_nobody_denied)
{
	test_as_nobody_denied(remove_as_nobody);
}
END_TEST

/* None is left: the error says what to do, and nothing stays behind. */
START_TEST(test_none)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	test_create(store, "base", NULL);
	options.parent = "base";
	limit_to((unsigned)test_descriptors());
	hold_all_but(0);
	test_error(varve_layer_create_wait(store, "layer", &options, &failure), -EMFILE);
	ck_assert_ptr_nonnull(strstr(failure.detail, "ulimit -n"));
	limit_to(1024);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_create(store, "layer", "base");
	test_close(store);
}
END_TEST

/*
 * How many usages have asked to be let in; whether the thread that opens their layers is held up.
 */
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lines_changed = PTHREAD_COND_INITIALIZER;
static unsigned asked;
static bool held;

/* Take a line of the trace. */
static void take_line(void *log_data, const char *line)
{
	(void)log_data;
	pthread_mutex_lock(&lines_lock);
	asked += strstr(line, "usage base: ADMIT") != NULL;
	pthread_cond_broadcast(&lines_changed);
	while (held && strstr(line, "lane commit: "))
		pthread_cond_wait(&lines_changed, &lines_lock);
	pthread_mutex_unlock(&lines_lock);
}

/* Wait until COUNT usages have asked, with LIMIT descriptors from then on; let the thread go on. */
static void await_asked(unsigned count, unsigned limit)
{
	pthread_mutex_lock(&lines_lock);
	while (asked < count)
		pthread_cond_wait(&lines_changed, &lines_lock);
	limit_to(limit);
	held = false;
	pthread_cond_broadcast(&lines_changed);
	pthread_mutex_unlock(&lines_lock);
}

/*
 * Walks that were let in find no descriptor while others wait to be let in: none waits for one that
 * waits for it.
 */
START_TEST(test_waiting_walks)
{
	/* More than are let in at once. */
	enum { WALKS = 12 };
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_config config = test_config(test_home());
	struct test_record records[WALKS] = { 0 };
	limit_to(1024);
	config.debug = "op,lane";
	config.log = take_line;
	config.commit_threads_max = 1;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "base", NULL);
	pthread_mutex_lock(&lines_lock);
	held = true;
	pthread_mutex_unlock(&lines_lock);
	for (int i = 0; i < WALKS; i++)
		test_error(varve_layer_usage(store, "base", VARVE_USAGE_WALK, test_record,
					     &records[i], NULL),
			   0);
	await_asked(WALKS, 3);
	for (int i = 0; i < WALKS; i++) {
		int error = test_await(store, &records[i]);
		ck_assert_msg(error == 0 || error == -EMFILE, "%s", test_errno_name(error));
	}
	limit_to(1024);
	test_error(varve_layer_usage_wait(store, "base", VARVE_USAGE_WALK, &usage, NULL), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("descriptors", test_waiting_walks, test_256, test_64, test_held, test_later, test_lowered,
	  test_commit_threads, test_nobody, test_nobody_denied, test_none)
