/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long destroys hold up a create: engine/store/group_commit bounds them by time, which here is
 * the test's: each destroy takes as long as the test says.
 */
#include "test.h"

#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <btrfsutil.h>
#include <dlfcn.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the held clock goes on by at each look, so that waiting awake comes to an end. */
#define CLOCK_STEP_NS 1000

/* What the library meets. */
static struct {
	/* The time, while the test holds the clock; 0: it does not. */
	_Atomic uint64_t held_ns;
	/* What a destroy takes of it. */
	uint64_t destroy_ns;
	/* Destroys so far. */
	_Atomic unsigned destroyed;
	/* The next destroy waits for `go`, and says so. */
	_Atomic bool gate;
	sem_t waits, go;
} kernel;

/* In the place of libc's: a held clock goes on only when it is looked at. */
int clock_gettime(clockid_t id, struct timespec *time)
{
	if (!kernel.held_ns || id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, time);
	uint64_t now = kernel.held_ns += CLOCK_STEP_NS;
	*time = (struct timespec){ .tv_sec = (time_t)(now / 1000000000),
				   .tv_nsec = (long)(now % 1000000000) };
	return 0;
}

/* Wait for SEMAPHORE, by the real clock. */
static void await(sem_t *semaphore)
{
	struct timespec until;
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &until);
	until.tv_sec += TEST_WAIT_MS / 1000;
	while (sem_timedwait(semaphore, &until) < 0)
		ck_assert_int_eq(errno, EINTR);
}

/* In the place of libbtrfsutil's. */
enum btrfs_util_error btrfs_util_delete_subvolume_fd(int fd, const char *name, int flags)
{
	enum btrfs_util_error (*destroy)(int fd, const char *name, int flags) =
		(enum btrfs_util_error(*)(int, const char *,
					  int))dlsym(RTLD_NEXT, "btrfs_util_delete_subvolume_fd");
	if (atomic_exchange(&kernel.gate, false)) {
		sem_post(&kernel.waits);
		await(&kernel.go);
	}
	enum btrfs_util_error error = destroy(fd, name, flags);
	kernel.destroyed += error == BTRFS_UTIL_OK;
	if (kernel.held_ns)
		kernel.held_ns += kernel.destroy_ns;
	return error;
}

/* Hold the clock, on which each destroy takes DESTROY_NS; the next one waits for `go`. */
static void hold(uint64_t destroy_ns)
{
	sem_init(&kernel.waits, 0, 0);
	sem_init(&kernel.go, 0, 0);
	kernel.destroy_ns = destroy_ns;
	kernel.gate = true;
	kernel.held_ns = now_ns();
}

/* Destroys that had been made when the create's group began. */
static _Atomic unsigned before_create;
static _Atomic bool create_waits;

/* Calls that publish and destroy so far; destroys when the label was set. */
static _Atomic unsigned boundaries, before_label;

/* Take a line of the trace. */
static void watch_create(void *data, const char *line)
{
	if (strstr(line, ": boundary = "))
		boundaries++;
	else if (strstr(line, " label kept: end"))
		before_label = kernel.destroyed;
	else if (strstr(line, " create new: STAGE"))
		create_waits = true;
	else if (strstr(line, "commit: a group begins") && create_waits)
		before_create = kernel.destroyed;
}

/* A store with COUNT layers "0", "1", ..., of which *RET_IDS are the names. */
static struct varve_store *open_with(char *home, unsigned count, const char ***ret_ids)
{
	struct varve_config config = test_config(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char **ids = test_alloc(count * sizeof(*ids));
	config.debug = "op,lane";
	config.log = watch_create;
	config.flags |= VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	for (unsigned i = 0; i < count; i++)
		ids[i] = test_path("%u", i);
	test_error(varve_layer_create_batch_wait(store, ids, count, &options, NULL, NULL), 0);
	*ret_ids = ids;
	return store;
}

START_TEST(test_slow_destroys)
{
	/* Layers whose inodes are cached take long to destroy: a create waits for few of them. */
	enum { MANY = 64 };
	const char **ids;
	struct varve_store *store = open_with(test_home(), MANY, &ids);
	struct test_record removal = { 0 }, create = { 0 };
	hold(NS_PER_MS);
	test_error(varve_layer_remove_batch(store, ids, MANY, 0, test_record, &removal, NULL), 0);
	await(&kernel.waits);
	test_error(varve_layer_create(store, "new", NULL, test_record, &create, NULL), 0);
	/* It waits for its group once this is answered, which was submitted later. */
	test_error(varve_noop_wait(store, NULL), 0);
	sem_post(&kernel.go);
	test_error(test_await(store, &create), 0);
	test_error(test_await(store, &removal), 0);
	ck_assert_uint_ge(before_create, 1);
	ck_assert_uint_le(before_create, DESTROY_SLICE_NS / NS_PER_MS + 1);
	ck_assert_uint_eq(kernel.destroyed, MANY);
	kernel.held_ns = 0;
	test_close(store);
}
END_TEST

START_TEST(test_short_destroys)
{
	/* However short destroys are, a create waits for no more than DESTROYS_PER_GROUP_MAX. */
	enum { MANY = DESTROYS_PER_CALL_MAX + 2 * DESTROYS_PER_GROUP_MAX };
	const char **ids;
	struct varve_store *store = open_with(test_home(), MANY, &ids);
	struct test_record removal = { 0 }, create = { 0 };
	hold(0);
	test_error(varve_layer_remove_batch(store, ids, MANY, 0, test_record, &removal, NULL), 0);
	await(&kernel.waits);
	test_error(varve_layer_create(store, "new", NULL, test_record, &create, NULL), 0);
	test_error(varve_noop_wait(store, NULL), 0);
	sem_post(&kernel.go);
	test_error(test_await(store, &create), 0);
	ck_assert_uint_le(before_create, DESTROYS_PER_CALL_MAX + DESTROYS_PER_GROUP_MAX);
	test_error(test_await(store, &removal), 0);
	ck_assert_uint_eq(kernel.destroyed, MANY);
	kernel.held_ns = 0;
	test_close(store);
}
END_TEST

START_TEST(test_nobody_waits)
{
	/* Where nothing waits for the end of the call, all are destroyed in one. */
	enum { MANY = 64 };
	const char **ids;
	struct varve_store *store = open_with(test_home(), MANY, &ids);
	unsigned before = boundaries;
	hold(NS_PER_MS);
	kernel.gate = false;
	test_error(varve_layer_remove_batch_wait(store, ids, MANY, 0, NULL, NULL), 0);
	ck_assert_uint_eq(kernel.destroyed, MANY);
	ck_assert_uint_le(boundaries - before, 2);
	kernel.held_ns = 0;
	test_close(store);
}
END_TEST

START_TEST(test_label_between_slices)
{
	/* What is published waits for the slice before it, and for the one in the same call. */
	enum { MANY = 64 };
	const char **ids;
	struct varve_store *store = open_with(test_home(), MANY, &ids);
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct test_record removal = { 0 }, label = { 0 };
	test_create(store, "kept", NULL);
	options.labels = (const char *const[]){ "a=1", NULL };
	hold(NS_PER_MS);
	test_error(varve_layer_remove_batch(store, ids, MANY, 0, test_record, &removal, NULL), 0);
	await(&kernel.waits);
	test_error(varve_layer_label(store, "kept", &options, test_record, &label, NULL), 0);
	/* The reactor has taken it once it has answered this, which was submitted later. */
	test_error(varve_noop_wait(store, NULL), 0);
	sem_post(&kernel.go);
	test_error(test_await(store, &label), 0);
	ck_assert_uint_ge(before_label, 1);
	ck_assert_uint_le(before_label, 2 * (DESTROY_SLICE_NS / NS_PER_MS + 1));
	test_error(test_await(store, &removal), 0);
	kernel.held_ns = 0;
	test_close(store);
}
END_TEST

START_TEST(test_cancelled_between_slices)
{
	/* A cancel that comes while destroys run ends those whose turn has not come. */
	enum { MANY = 64 };
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, MANY, &ids);
	struct test_record removal = { 0 };
	varve_request request;
	hold(NS_PER_MS);
	test_error(varve_layer_remove_batch(store, ids, MANY, 0, test_record, &removal, &request),
		   0);
	await(&kernel.waits);
	test_error(varve_cancel(store, request), 0);
	/* The reactor has taken it once it has answered this, which was submitted later. */
	test_error(varve_noop_wait(store, NULL), 0);
	sem_post(&kernel.go);
	test_error(test_await(store, &removal), -ECANCELED);
	ck_assert_uint_le(kernel.destroyed, DESTROY_SLICE_NS / NS_PER_MS + 1);
	ck_assert_int_eq(test_layers(home), (int)(MANY - kernel.destroyed));
	kernel.held_ns = 0;
	test_close(store);
}
END_TEST

TEST_MAIN("pace", test_slow_destroys, test_short_destroys, test_nobody_waits,
	  test_label_between_slices, test_cancelled_between_slices)
