/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When engine/btrfs/cleaner wakes the kernel's cleaner: for a large backlog that nobody waits for
 * never while removals go on, because that commits, and once they rest; for a create that waits at
 * once, and again. And how many layers it lets be made under full quotas. The kernel is asked here:
 * it has dropped nothing, however often it is woken.
 */
#include "test.h"

#include "engine/base/limits.h"
#include "engine/btrfs/abi.h"
#include "engine/store/backlog.h"
#include "engine/store/store.h"

#include <btrfsutil.h>
#include <dlfcn.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The bound of the backlog, which is large from the half on; what is removed. */
#define BACKLOG 64
#define REMOVALS 512
/* What the held clock goes on by at each look, so that waiting awake comes to an end. */
#define CLOCK_STEP_NS 1000

/* What the library did in the kernel's eyes. */
static struct {
	/* Subvolumes destroyed, of which none is dropped. */
	_Atomic unsigned dead;
	/* How often that was asked, and the file system committed. */
	_Atomic unsigned looks, commits;
	/* The time, while the test holds the clock; 0: it does not. */
	_Atomic uint64_t held_ns;
	/* Counts the commits that have not been waited for. */
	sem_t committed;
} kernel;

/* Note a commit. */
static void kernel_commits(void)
{
	kernel.commits++;
	sem_post(&kernel.committed);
}

/*
 * In the place of libc's: a held clock goes on only when it is looked at, so that no time passes
 * while the machine is busy.
 */
int clock_gettime(clockid_t commits, struct timespec *time)
{
	if (!kernel.held_ns || commits != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, commits, time);
	uint64_t now = kernel.held_ns += CLOCK_STEP_NS;
	*time = (struct timespec){ .tv_sec = (time_t)(now / 1000000000),
				   .tv_nsec = (long)(now % 1000000000) };
	return 0;
}

/* Hold the clock. */
static void hold_clock(void)
{
	kernel.held_ns = now_ns();
}

/* Let MS pass on the held clock. */
static void let_pass_ms(unsigned ms)
{
	kernel.held_ns += ms * NS_PER_MS;
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == ABI_SUBVOL_SYNC_WAIT) {
		/*
		 * Others remove, too: it is more each time than the library can expect, so that
		 * nothing seems to be dropped.
		 */
		((struct abi_subvol_wait *)argument)->count = kernel.dead +
							      ++kernel.looks * REMOVALS;
		return 0;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* In the place of libc's. */
int fsync(int fd)
{
	kernel_commits();
	return (int)syscall(SYS_fsync, fd);
}

/* In the place of libbtrfsutil's: commits, and wakes the kernel's cleaner. */
enum btrfs_util_error btrfs_util_sync_fd(int fd)
{
	kernel_commits();
	return BTRFS_UTIL_OK;
}

/* In the place of libbtrfsutil's. */
enum btrfs_util_error btrfs_util_delete_subvolume_fd(int fd, const char *name, int flags)
{
	enum btrfs_util_error (*destroy)(int fd, const char *name, int flags) =
		(enum btrfs_util_error(*)(int, const char *,
					  int))dlsym(RTLD_NEXT, "btrfs_util_delete_subvolume_fd");
	enum btrfs_util_error error = destroy(fd, name, flags);
	kernel.dead += error == BTRFS_UTIL_OK;
	return error;
}

/* ---- step by step ---------------------------------------------------------------------------- */

/* A store whose reactor is this thread, so that its timer runs when the test says so. */
static struct varve_store *make_store(void)
{
	struct varve_store *store = store_new(&(const char *){ NULL });
	ck_assert_ptr_nonnull(store);
	store->settings.backlog_max = BACKLOG;
	const struct io_config config = { .no_uring = true, .threads_max = { 1, 1, 1, 1 } };
	test_error(io_start(&store->core.io, &config), 0);
	test_error(backlog_init(store), 0);
	return store;
}

/* Let the kernel answer what it was asked. */
static void await_answer(struct varve_store *store)
{
	while (store->core.background)
		io_turn(&store->core.io, -1);
}

/* Let the time come that the cleaner waits for, if it does. */
static bool let_time_come(struct varve_store *store)
{
	if (!store->core.timer_ns)
		return false;
	store->core.timer_ns = 0;
	store->core.timer(&store->core);
	await_answer(store);
	return true;
}

/* Destroy COUNT. */
static void destroy(struct varve_store *store, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		kernel.dead++;
		backlog_destroyed(store);
		await_answer(store);
	}
}

static void free_store(struct varve_store *store)
{
	io_stop(&store->core.io);
	store_free(store);
}

START_TEST(test_steps)
{
	sem_init(&kernel.committed, 0, 0);
	struct varve_store *store = make_store();
	/* A small one is nobody's business. */
	destroy(store, BACKLOG / 2 - 1);
	ck_assert(!let_time_come(store));
	ck_assert_uint_eq(kernel.looks, 0);
	/* However slowly one removal follows the other: there is one before each look. */
	for (int i = 0; i < REMOVALS; i++) {
		unsigned looks = kernel.looks;
		destroy(store, 1);
		if (kernel.looks == looks)
			let_time_come(store);
	}
	ck_assert_uint_gt(kernel.looks, REMOVALS / 2);
	ck_assert_uint_eq(kernel.commits, 0);
	/* Now they rest: woken once, and then let alone, because it does not get on. */
	for (int times = 0; let_time_come(store); times++)
		ck_assert_int_lt(times, 10);
	ck_assert_uint_eq(kernel.commits, 1);
	/* The same again. */
	destroy(store, BACKLOG / 4 + 1);
	ck_assert_uint_eq(kernel.commits, 1);
	free_store(store);
}
END_TEST

/*
 * A create that waits has the kernel's cleaner woken, and again because nothing is dropped; not at
 * each look.
 */
START_TEST(test_waiting)
{
	sem_init(&kernel.committed, 0, 0);
	struct varve_store *store = make_store();
	struct request request = { .core = &store->core };
	struct op op = { .request = &request };
	list_init(&op.link);
	destroy(store, BACKLOG);
	unsigned looks = kernel.looks;
	ck_assert(!backlog_may_make(store));
	test_error(backlog_wait_room(&op), OP_WAIT);
	for (unsigned commits = 1; commits < 4; commits++)
		while (kernel.commits < commits)
			ck_assert(let_time_come(store));
	ck_assert_uint_gt(kernel.looks - looks, 4);
	op.withdraw(&op);
	free_store(store);
}
END_TEST

/*
 * Under full quotas those that are dead and those that are being made are few; one alone passes
 * what is stuck.
 */
START_TEST(test_full_quota)
{
	struct varve_store *store = make_store();
	hold_clock();
	backlog_saw_quota(store, VARVE_QUOTA_FULL);
	/* As long as none is removed there is no churn to be paced. */
	for (unsigned i = 0; i < 2 * BACKLOG_FULL_QUOTA; i++) {
		ck_assert(backlog_may_make(store));
		backlog_make_begin(store);
	}
	for (unsigned i = 0; i < 2 * BACKLOG_FULL_QUOTA; i++)
		backlog_make_end(store);
	destroy(store, 1);
	for (unsigned i = 1; i < BACKLOG_FULL_QUOTA; i++) {
		ck_assert(backlog_may_make(store));
		backlog_make_begin(store);
	}
	ck_assert(!backlog_may_make(store));
	backlog_make_end(store);
	ck_assert(backlog_may_make(store));
	destroy(store, BACKLOG_FULL_QUOTA);
	for (unsigned i = 2; i < BACKLOG_FULL_QUOTA; i++) {
		/* However long others are being made ... */
		let_pass_ms(2 * BACKLOG_FULL_QUOTA_WAIT_MS);
		ck_assert(!backlog_may_make(store));
		backlog_make_end(store);
	}
	/* ... and then one, and the next one in a while. */
	ck_assert(backlog_may_make(store));
	backlog_make_begin(store);
	backlog_make_end(store);
	ck_assert(!backlog_may_make(store));
	let_pass_ms(BACKLOG_FULL_QUOTA_WAIT_MS);
	ck_assert(backlog_may_make(store));
	/* Once none has been removed for a while there is no churn. */
	backlog_make_begin(store);
	ck_assert(!backlog_may_make(store));
	let_pass_ms(BACKLOG_FULL_QUOTA_MS);
	ck_assert(backlog_may_make(store));
	destroy(store, 1);
	ck_assert(!backlog_may_make(store));
	backlog_saw_quota(store, VARVE_QUOTA_SIMPLE);
	ck_assert(backlog_may_make(store));
	free_store(store);
}
END_TEST

/* ---- a batch --------------------------------------------------------------------------------- */

/* Wait for a commit. */
static void await_commit(void)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TEST_WAIT_MS / 1000;
	while (sem_clockwait(&kernel.committed, CLOCK_MONOTONIC, &until) < 0)
		ck_assert_int_eq(errno, EINTR);
}

START_TEST(test_batch)
{
	struct varve_config config = test_config(test_home());
	config.backlog_max = BACKLOG;
	config.flags |= VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP;
	sem_init(&kernel.committed, 0, 0);
	struct varve_store *store = test_open_config(&config);
	/* It, too, looks at the backlog from time to time. */
	store->sweep = NULL;
	const char *ids[REMOVALS];
	struct test_record made = { 0 }, removed = { 0 };
	for (int i = 0; i < REMOVALS; i++)
		ids[i] = test_path("%d", i);
	test_error(varve_layer_create_batch(store, ids, REMOVALS, NULL, test_record, &made, NULL),
		   0);
	test_await_all(store, &made, 1);
	test_error(made.error, 0);
	while (!sem_trywait(&kernel.committed))
		;
	unsigned commits = kernel.commits;
	/*
	 * The time at which the cleaner is woken does not come meanwhile, however long the batch
	 * takes.
	 */
	hold_clock();
	test_error(varve_layer_remove_batch(store, ids, REMOVALS, 0, test_record, &removed, NULL),
		   0);
	test_await_all(store, &removed, 1);
	ck_assert_uint_eq(kernel.commits, commits);
	kernel.held_ns = 0;
	test_error(removed.error, 0);
	ck_assert_uint_eq(kernel.dead, REMOVALS);
	ck_assert_uint_gt(kernel.looks, 0);
	/* Now they rest. */
	await_commit();
	test_close(store);
}
END_TEST

TEST_MAIN("cleaner", test_steps, test_waiting, test_full_quota, test_batch)
