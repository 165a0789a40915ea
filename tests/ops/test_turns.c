/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/store/group_commit: what waits has its turn though others follow each other without an
 * end, groups that commit nothing, or boundaries. No storm: of two requests that fail each one is
 * held in its call until the next one of the other waits, so at no turn is there nothing to begin.
 */
#include "test.h"

#include "engine/base/limits.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* So many of them end, and what waits has not had its turn: it never has. */
#define ENDS_MAX (4 * COMMIT_BOUNDARIES_MAX)

/* Begin request NUMBER (0 or 1) of its kind, which fails. */
static void (*begin)(unsigned number);
/* The lines of the trace that say that they wait; what the names begin with that they look at. */
static char waits_lines[2][64];
static const char *_Atomic looked_name;
static struct varve_store *store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* How often each waited, and has entered its call; all may leave it. */
static _Atomic unsigned waited[2], entered[2];
static _Atomic bool open_gate = true;
/* What the trace has shown; how many have ended since. */
static _Atomic bool durable_waits, commit_begun, group_begun;
static unsigned ends, running;

/* Hold the call of NUMBER until the other waits: the second one for the next one of the first. */
static void hold(unsigned number)
{
	pthread_mutex_lock(&lock);
	entered[number]++;
	pthread_cond_broadcast(&changed);
	while (!open_gate && waited[!number] < entered[number] + number)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* This stands for the C library's. */
__attribute__((visibility("default"))) int fstatat(int fd, const char *path, struct stat *stat,
						   int flags)
{
	const char *name = looked_name;

	if (name && !strncmp(path, name, strlen(name)))
		hold(path[strlen(name)] == '1');
	return (int)syscall(SYS_newfstatat, fd, path, stat, flags);
}

/* Take a line of the trace. */
static void take_line(void *data, const char *line)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < 2; i++) {
		const char *at = *waits_lines[i] ? strstr(line, waits_lines[i]) : NULL;
		if (at && !strstr(at, "failed"))
			waited[i]++;
	}
	durable_waits |= strstr(line, " rename one: DURABLE") != NULL;
	commit_begun |= strstr(line, "commit: commit") != NULL;
	group_begun |= strstr(line, "commit: a group begins") != NULL;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void ended(struct varve_store *ended_store, const struct varve_result *result, void *data)
{
	test_error(result->error, -EEXIST);
	ends++;
	running--;
	if (!open_gate)
		begin((unsigned)(uintptr_t)data);
}

/* A create that fails in its group: that makes no snapshot, and commits nothing. */
static void begin_create(unsigned number)
{
	running++;
	test_error(varve_layer_create(store, test_path("taken-%u", number), NULL, ended,
				      (void *)(uintptr_t)number, NULL),
		   0);
}

/* A rename that fails at its boundary. */
static void begin_rename(unsigned number)
{
	running++;
	test_error(varve_layer_rename(store, test_path("chain-%u", number),
				      test_path("taken-%u", number), VARVE_RELAXED, ended,
				      (void *)(uintptr_t)number, NULL),
		   0);
}

/* Open a store with layers for both kinds, and let two requests follow each other. */
static void start(void (*kind)(unsigned number), const char *line)
{
	struct varve_config config = test_config(test_home());
	config.debug = "op";
	config.log = take_line;
	store = test_open_config(&config);
	for (unsigned i = 0; i < 2; i++) {
		test_create(store, test_path("chain-%u", i), NULL);
		test_create(store, test_path("taken-%u", i), NULL);
	}
	test_create(store, "one", NULL);
	begin = kind;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < 2; i++)
		snprintf(waits_lines[i], sizeof(waits_lines[i]), line, i);
	pthread_mutex_unlock(&lock);
	looked_name = "taken-";
	open_gate = false;
	/* The first one is in its call before the second one is there: they share no boundary. */
	begin(0);
	while (!entered[0])
		ck_assert_int_ge(varve_wait(store, 1), 0);
	begin(1);
}

/* Wait until *SEEN, which has to be while they follow each other. */
static void await(const _Atomic bool *seen)
{
	for (ends = 0; !*seen;) {
		ck_assert_int_ge(varve_wait(store, -1), 0);
		ck_assert_uint_lt(ends, ENDS_MAX);
	}
}

/* Let them end, and RECORD. */
static void stop(const struct test_record *record)
{
	pthread_mutex_lock(&lock);
	open_gate = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	test_error(test_await(store, record), 0);
	while (running)
		ck_assert_int_ge(varve_wait(store, -1), 0);
	looked_name = NULL;
	test_close(store);
}

/* A rename that is to be durable waits among them, until a commit begins for it. */
static void durable_among(void (*kind)(unsigned number), const char *line)
{
	struct test_record record = { 0 };
	start(kind, line);
	test_error(varve_layer_rename(store, "one", "two", VARVE_DURABLE, test_record, &record,
				      NULL),
		   0);
	await(&durable_waits);
	commit_begun = false;
	await(&commit_begun);
	stop(&record);
}

START_TEST(test_durable_among_creates)
{
	durable_among(begin_create, " create taken-%u: STAGE");
}
END_TEST

START_TEST(test_durable_among_renames)
{
	durable_among(begin_rename, " rename chain-%u: RENAME");
}
END_TEST

START_TEST(test_create_among_renames)
{
	struct test_record record = { 0 };
	start(begin_rename, " rename chain-%u: RENAME");
	group_begun = false;
	test_error(varve_layer_create(store, "new", NULL, test_record, &record, NULL), 0);
	await(&group_begun);
	stop(&record);
}
END_TEST

TEST_MAIN("turns", test_durable_among_creates, test_durable_among_renames,
	  test_create_among_renames)
