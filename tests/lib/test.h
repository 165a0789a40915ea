/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test.h: what the Check programs of this project share. A program looks like this:
 *
 *	#include "test.h"
 *
 *	START_TEST(test_something) {
 *		struct varve_store *store = test_open(test_home());
 *		...
 *		test_close(store);
 *	}
 *	END_TEST
 *
 *	TEST_MAIN("open", test_something)
 *
 * It is run by tests/run, which gives it a fresh btrfs; or by hand as root, and then makes one in
 * an image of its own, in a mount namespace of its own. Each START_TEST runs in a process of its
 * own. Map of the files:
 *
 *	mount.c		the file system, fresh homes, and the guard over every path that a test removes
 *	tree.c		files, directories and subvolumes
 *	system.c	freezing the file system, what is on the device, threads and descriptors
 *	store.c		stores of the wanted backend; waiting
 *	record.c	callbacks that remember their results
 *	memory.c	what a test allocates and need not free
 *	process.c	code that runs in a child, as another user
 *	tar.c		archives made entry by entry: see tar.h
 *	suite.c		main(): exit status 0, 1, or 77 for skipped
 */
#ifndef TEST_H
#define TEST_H

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <varve.h>

#define TEST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Is this a sanitized build? */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED true
#else
#define TEST_SANITIZED false
#endif

/* Built with the thread sanitizer? */
#ifdef __SANITIZE_THREAD__
#define TEST_SANITIZED_THREADS true
#else
#define TEST_SANITIZED_THREADS false
#endif

/*
 * How long a test waits for what must come, in milliseconds. Not a performance limit: only a hang
 * reaches it.
 */
#define TEST_WAIT_MS test_scaled_ms(120000)

/* How long it is between two looks at what tells nobody, in milliseconds. */
#define TEST_LOOK_MS 20

/* A user and group without privilege. */
#define TEST_NOBODY 65534

/* ---- suite.c --------------------------------------------------------------------------------- */

/*
 * Run the TESTS, COUNT of them, as suite NAME; return the exit status. With MOUNT they have a btrfs
 * to work on.
 */
int test_main(const char *name, const TTest *const *tests, size_t count, bool mount);

/*
 * Say that this test (one START_TEST) cannot run here; it counts as passed, but a program of such
 * only is skipped.
 */
void test_skip(const char *reason);

/*
 * What this run chooses by: VARVE_TEST_SEED, or a number that is another one in each run. It is
 * printed, so that a run that failed can be repeated.
 */
uint64_t test_seed(void);

/* The next number of the sequence that *STATE is in (splitmix64). */
uint64_t test_random(uint64_t *state);

#define TEST_MAIN(name, ...) TEST_MAIN_(name, true, __VA_ARGS__)

/* A program that needs no file system. */
#define TEST_MAIN_UNIT(name, ...) TEST_MAIN_(name, false, __VA_ARGS__)

#define TEST_MAIN_(name, mount, ...)                                     \
	int main(void)                                                   \
	{                                                                \
		const TTest *const tests[] = { __VA_ARGS__ };            \
		return test_main(name, tests, TEST_COUNT(tests), mount); \
	}

/* ---- memory.c -------------------------------------------------------------------------------- */

/*
 * SIZE zeroed bytes that live as long as the process: never freed, and no leak either. Any thread.
 */
void *test_alloc(size_t size);

/* A copy of TEXT from test_alloc(). */
char *test_strdup(const char *text);

/* Print into a string from test_alloc(). */
char *test_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- mount.c --------------------------------------------------------------------------------- */

/* The mount point of the btrfs that this program may do with as it likes. */
const char *test_mount(void);

/* Find or make the btrfs; called by test_main(). Exits with 77 when there can be none. */
void test_mount_setup(void);

/* Unmount the btrfs, if it is our own. */
void test_mount_teardown(void);

/*
 * A path below the mount that does not exist yet, for a store's home. Lives as long as the process.
 */
char *test_home(void);

/* The same, made and owned by TEST_NOBODY. */
char *test_home_of_nobody(void);

/*
 * Abort unless PATH lies below the test's mount: on that very mount (by its number and by its
 * device), reached from its root without "..", symbolic link or other mount. Everything that
 * removes or overwrites goes through here. The root itself is refused, too. Returns an O_PATH
 * descriptor of the directory that holds PATH, to be closed by the caller.
 */
int test_guard(const char *path);

/* ---- tree.c ---------------------------------------------------------------------------------- */

/* Does PATH exist (a symbolic link is not followed)? */
bool test_exists(const char *path);

/* Is PATH the root of a subvolume? */
bool test_is_subvolume(const char *path);

/* Make a directory. */
void test_mkdir(const char *path);

/* Write TEXT to PATH, made or truncated. */
void test_write(const char *path, const char *text);

/* The content of PATH, up to its first NUL; NULL when it cannot be read. */
char *test_read(const char *path);

/* Below PATH, which must exist, make DIRS directories with FILES files of SIZE bytes in each. */
void test_make_tree(const char *path, unsigned dirs, unsigned files, size_t size);

/* Number of entries of the directory PATH, "." and ".." left out; -1 when it is none. */
int test_entries(const char *path);

/* Number of subvolumes below the directory PATH; 0 when it does not exist. */
unsigned test_subvolumes_below(const char *path);

/* Make a subvolume. */
void test_subvolume_create(const char *path);

/* Make a snapshot of SOURCE at PATH. */
void test_subvolume_snapshot(const char *source, const char *path, bool read_only);

/* Destroy the subvolume PATH, which must hold no other. */
void test_subvolume_destroy(const char *path);

/*
 * Make the subvolume PATH, or the mount's root, the file system's default one, which cannot be
 * destroyed.
 */
void test_subvolume_set_default(const char *path);

/* Remove PATH and all below it, nested subvolumes included; guarded. */
void test_remove(const char *path);

/* Fill the file system of the test with a file at PATH until nothing more goes in. */
void test_fill(const char *path);

/*
 * Fill the metadata of the file system of the test with what goes into the directory PATH, until a
 * directory cannot be made. It is quick on a small one: `varve-test: size=128M`.
 */
void test_fill_metadata(const char *path);

/*
 * Freeze the file system of the test: whatever writes to it waits, what reads goes on. A child
 * process thaws it when this process ends, or after TEST_WAIT_MS, so that a failing test cannot
 * hang.
 */
void test_freeze(void);

/* Thaw it. */
void test_thaw(void);

/* Generation of the last transaction that is on the device of the test's mount. */
uint64_t test_committed_generation(void);

/* Is this Linux MAJOR.MINOR, or later? Only for what the kernel gives no other way to ask. */
bool test_kernel_since(int major, int minor);

/*
 * Of the modes of quota that this kernel has, the one that suits churn: simple, or before Linux 6.7
 * full.
 */
enum varve_quota_mode test_quota_mode(void);

/* Number of threads of this process, the thread sanitizer's included. */
int test_threads(void);

/*
 * Fail the test unless this process has THREADS threads again, or fewer; one that was joined takes
 * a moment to vanish, and so can one that was counted in THREADS.
 */
void test_threads_are(int threads);

/* Number of open descriptors of this process. */
int test_descriptors(void);

/* ---- store.c --------------------------------------------------------------------------------- */

/* "uring" or "threads". */
const char *test_backend(void);

/* A configuration for HOME with the backend that this run is for; to be changed further. */
struct varve_config test_config(const char *home);

/* Open HOME with test_config(); the test fails when that fails. */
struct varve_store *test_open(const char *home);

/* Open with CONFIG; the test fails when that fails. */
struct varve_store *test_open_config(const struct varve_config *config);

/*
 * Open HOME, whose requests do not wait for the disk unless they say so; the test fails when that
 * fails.
 */
struct varve_store *test_open_relaxed(const char *home);

/* Close; the test fails when that fails. */
void test_close(struct varve_store *store);

/* Create a layer, wait; the test fails when that fails. PARENT may be NULL. */
void test_create(struct varve_store *store, const char *id, const char *parent);

/* Remove a layer, wait; the test fails when that fails. */
void test_remove_layer(struct varve_store *store, const char *id);

/* HOME/subvolumes/ID */
char *test_layer(const char *home, const char *id);

/* Is there something at HOME/subvolumes/ID? */
bool test_layer_exists(const char *home, const char *id);

/* Options of a comparison with PARENT, by FLAGS; they live as long as the block. */
#define TEST_CHANGES(parent_, flags_)                                                   \
	(&(struct varve_changes_options){ .size = sizeof(struct varve_changes_options), \
					  .parent = (parent_),                          \
					  .flags = (flags_) })

/* Number of layers and other entries in HOME/subvolumes. */
int test_layers(const char *home);

/* Number of subvolumes in HOME/.varve: what is being built or destroyed, and leftovers. */
unsigned test_leftovers(const char *home);

/*
 * Write the SIZE bytes at BYTES to REQUEST in pieces of at most PIECE, dispatching where there is
 * no room: 0 or the first error.
 */
int test_stream_feed(struct varve_store *store, varve_request request, const char *bytes,
		     size_t size, size_t piece);

/* Dispatch callbacks until *VALUE is at least TARGET; the test fails when that takes too long. */
void test_dispatch_until(struct varve_store *store, const unsigned *value, unsigned target);

/* Milliseconds of a clock that only goes forward. */
int64_t test_now_ms(void);

/*
 * TIME_MS on a machine and a build of usual speed; more where tests/run was given a
 * --timeout-scale.
 */
int test_scaled_ms(int time_ms);

/* Is DESCRIPTOR readable within TIMEOUT_MS? */
bool test_readable(int descriptor, int timeout_ms);

/*
 * Call LOOK(DATA) until it returns true: only for what the kernel tells nobody of. The test fails
 * where that takes longer than TEST_WAIT_MS.
 */
void test_until(bool (*look)(void *data), void *data);

/* The name of an errno ("ENOENT"), positive or negative. */
const char *test_errno_name(int error);

/* Fail the test unless ACTUAL is EXPECTED (both 0 or negative errno). */
#define test_error(actual, expected)                                                          \
	do {                                                                                  \
		int test_actual_ = (actual), test_expected_ = (expected);                     \
		ck_assert_msg(test_actual_ == test_expected_, "%s: expected %s, got %s (%d)", \
			      #actual, test_errno_name(test_expected_),                       \
			      test_errno_name(test_actual_), test_actual_);                   \
	} while (0)

/* Fail the test unless ACTUAL, a blocking call that was given &FAILURE, is 0. */
#define test_ok(actual, failure)                                                               \
	do {                                                                                   \
		int test_ok_ = (actual);                                                       \
		char test_text_[2048];                                                         \
		ck_assert_msg(test_ok_ == 0, "%s: %s: %s", #actual, test_errno_name(test_ok_), \
			      varve_strerror((failure), test_text_, sizeof(test_text_)));      \
	} while (0)

/* ---- record.c -------------------------------------------------------------------------------- */

/* What a callback got. Start from zeros. */
struct test_record {
	/* How often the callback ran: 0 or 1, or something is wrong. */
	unsigned calls;
	/* The how manieth callback of this process it was, from 1. */
	unsigned turn;
	/* Where it ran. */
	pthread_t thread;
	/* What it was given ... */
	struct varve_store *store;
	varve_request request;
	enum varve_operation operation;
	int error;
	bool has_failure;
	/* ... copied. */
	struct varve_failure failure;
	size_t outcomes_count;
	char **outcome_ids;
	int *outcome_errors;
	bool *outcome_has_failure;
	/* NULL for none. */
	char *path;
	bool exists;
	/* Of open_layer: the test's to close; negative for none. */
	int descriptor;
	char **ids;
	size_t ids_count;
	bool has_info;
	struct varve_layer_info info;
	bool has_sweep;
	struct varve_sweep_report sweep;
	char **status_keys;
	char **status_values;
	size_t status_count;
};

/* The callback: USER_DATA is a struct test_record. */
void test_record(struct varve_store *store, const struct varve_result *result, void *user_data);

/*
 * Dispatch until the record's callback has run; the test fails when that takes too long. Returns
 * its error.
 */
int test_await(struct varve_store *store, const struct test_record *record);

/* Submit the creation of COUNT layers "0", "1", ... from PARENT (may be NULL), with RECORDS. */
void test_submit_creates(struct varve_store *store, const char *parent, struct test_record *records,
			 size_t count);

/* Dispatch until COUNT records have been called back. */
void test_await_all(struct varve_store *store, const struct test_record *records, size_t count);

/* ---- process.c ------------------------------------------------------------------------------- */

/*
 * Run FUNCTION(DATA) in a child process and wait for it. The test fails when it does not return 0;
 * checks that fail in the child fail the test.
 */
void test_in_child(int (*function)(void *data), void *data);

/* The same, as the user and group TEST_NOBODY without supplementary groups and capabilities. */
void test_as_nobody(int (*function)(void *data), void *data);

/*
 * The same, on a home of TEST_NOBODY, which FUNCTION is given, on another file system that, unlike
 * the test's, does not let users destroy subvolumes.
 */
void test_as_nobody_denied(int (*function)(void *home));

/*
 * May a child that is forked while other threads allocate do so, too? If not, in a sanitized build,
 * the test is skipped.
 */
bool test_child_may_allocate(void);

/*
 * May a child of a threaded process start threads? If not, under the thread sanitizer, the test is
 * skipped.
 */
bool test_child_may_start_threads(void);

/* Start FUNCTION(DATA) in a child process; to be waited for with test_child_end(). */
int test_child_start(int (*function)(void *data), void *data);

/*
 * Start FUNCTION(DATA) in a child process that is to be ended with test_child_kill(). What it
 * asserts is not reported: a process that is killed while it reports leaves half a record in the
 * file that it shares with Check, which then fails the suite.
 */
int test_child_endless(int (*function)(void *data), void *data);

/* Kill the child PID, unless it has ended. Returns as test_child_end(). */
int test_child_kill(int pid);

/* Wait for the child PID. Returns its exit status, or 128 + the signal that ended it. */
int test_child_end(int pid);

/*
 * Run a program by its name (no shell); returns its exit status. What it prints goes to standard
 * output.
 */
int test_command(const char *const *argv);

#endif
