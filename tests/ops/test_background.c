/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VARVE_REMOVE_BACKGROUND: such removals all end, also beside creates without an end; they can be
 * cancelled and the store be closed; another request for the id does not wait for their turn; and
 * what makes the library wait or hurry.
 */
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/store/store.h"
#include "test.h"

#include <btrfsutil.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What the library sees of the machine. */
static struct {
	/* The time, while the test holds the clock; 0: it does not. */
	_Atomic uint64_t held_ns;
	/* A destroy has taken its time. */
	_Atomic bool stepped;
	/* Little is free. */
	_Atomic bool full;
	/* Tasks wait for the disk; how often that was asked. */
	_Atomic bool pressed;
	_Atomic unsigned asked;
	/* The cleaner does nothing: so many removed layers await it, whatever there are. */
	_Atomic unsigned dead;
} machine;

/* In the place of libc's: a held clock stands still but for one destroy. */
int clock_gettime(clockid_t id, struct timespec *time)
{
	uint64_t now = machine.held_ns;
	if (!now || id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, time);
	*time = (struct timespec){ .tv_sec = (time_t)(now / 1000000000),
				   .tv_nsec = (long)(now % 1000000000) };
	return 0;
}

/* In the place of libbtrfsutil's: the first one takes a millisecond on the held clock. */
enum btrfs_util_error btrfs_util_delete_subvolume_fd(int fd, const char *name, int flags)
{
	enum btrfs_util_error (*destroy)(int fd, const char *name, int flags) =
		(enum btrfs_util_error(*)(int, const char *,
					  int))dlsym(RTLD_NEXT, "btrfs_util_delete_subvolume_fd");
	if (machine.held_ns && !atomic_exchange(&machine.stepped, true))
		machine.held_ns += NS_PER_MS;
	return destroy(fd, name, flags);
}

/* In the place of libc's. */
int fstatfs(int fd, struct statfs *buffer)
{
	int r = (int)syscall(SYS_fstatfs, fd, buffer);
	buffer->f_bavail = machine.full ? 0 : buffer->f_blocks;
	return r;
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request != ABI_SUBVOL_SYNC_WAIT || !machine.dead)
		return (int)syscall(SYS_ioctl, fd, request, argument);
	((struct abi_subvol_wait *)argument)->count = machine.dead;
	return 0;
}

/* In the place of libc's: tells of pressure where that is asked for. */
int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	/* glibc's header says that this only writes to FDS, and the compiler believes it. */
	__asm__ volatile("" : "+r"(fds) : : "memory");
	if (count == 1 && fds->events == POLLPRI) {
		machine.asked++;
		fds->revents = machine.pressed ? POLLPRI : 0;
		return machine.pressed;
	}
	return ppoll(fds, count,
		     timeout_ms < 0 ? NULL
				    : &(struct timespec){ timeout_ms / 1000,
							  timeout_ms % 1000 * 1000000l },
		     NULL);
}

enum { LAYERS = 40 };

/* Make LAYERS layers, whose names are *RET_IDS. */
static void make_layers(struct varve_store *store, const char ***ret_ids)
{
	const char **ids = test_alloc(LAYERS * sizeof(*ids));
	for (unsigned i = 0; i < LAYERS; i++)
		ids[i] = test_path("%u", i);
	test_error(varve_layer_create_batch_wait(store, ids, LAYERS, NULL, NULL, NULL), 0);
	*ret_ids = ids;
}

/* A relaxed store with LAYERS layers, whose names are *RET_IDS. */
static struct varve_store *open_with(const char *home, const char ***ret_ids)
{
	struct varve_store *store = test_open_relaxed(home);
	make_layers(store, ret_ids);
	return store;
}

/* How many removals wait. */
static uint64_t waiting(struct varve_store *store)
{
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	test_error(varve_statistics(store, &statistics), 0);
	return statistics.background_waiting;
}

/* Submit the removal of COUNT of IDS in the background, and let the reactor take it. */
static varve_request submit(struct varve_store *store, const char *const *ids, size_t count,
			    uint64_t flags, struct test_record *record)
{
	varve_request request;
	test_error(varve_layer_remove_batch(store, ids, count, flags | VARVE_REMOVE_BACKGROUND,
					    test_record, record, &request),
		   0);
	test_error(varve_noop_wait(store, NULL), 0);
	return request;
}

/* A create that waits for its archive. */
static struct {
	struct test_record record;
	int write_fd;
} busy;

/* Begin it, so that layers are being made. */
static void begin_busy(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int ends[2];
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	options.apply = &apply;
	options.apply_fd = ends[0];
	busy.write_fd = ends[1];
	test_error(varve_layer_create(store, "busy", &options, test_record, &busy.record, NULL), 0);
	close(ends[0]);
}

/* End it, in whatever way. */
static void end_busy(struct varve_store *store)
{
	close(busy.write_fd);
	test_await(store, &busy.record);
}

/*
 * The same, on a clock that stands still, while a layer is being made: the first one goes, and the
 * rest waits for as long as that took.
 */
static varve_request submit_held(struct varve_store *store, const char *home,
				 const char *const *ids, struct test_record *record)
{
	begin_busy(store);
	machine.held_ns = now_ns();
	varve_request request = submit(store, ids, LAYERS, 0, record);
	/* Until the first one has gone. */
	while (test_layer_exists(home, ids[0]))
		test_error(varve_noop_wait(store, NULL), 0);
	return request;
}

START_TEST(test_all_end)
{
	/* Whatever the durability, and however many creates there are. */
	static const uint64_t flags[] = { 0, VARVE_DURABLE };
	for (size_t i = 0; i < TEST_COUNT(flags); i++) {
		const char **ids;
		char *home = test_home();
		struct varve_store *store = open_with(home, &ids);
		struct test_record removal = { 0 };
		submit(store, ids, LAYERS, flags[i], &removal);
		for (unsigned made = 0; !removal.calls; made++) {
			struct test_record create = { 0 };
			test_error(varve_layer_create(store, test_path("new-%u", made), NULL,
						      test_record, &create, NULL),
				   0);
			test_error(test_await(store, &create), 0);
		}
		test_error(removal.error, 0);
		for (unsigned j = 0; j < LAYERS; j++)
			ck_assert(!test_layer_exists(home, ids[j]));
		ck_assert_uint_eq(waiting(store), 0);
		test_close(store);
	}
}
END_TEST

START_TEST(test_alone)
{
	/* Nothing else goes on, and no pressure is to be had: they end. */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	store->settings.pressure_path = "/nonexistent";
	test_error(varve_layer_remove_batch_wait(store, ids, LAYERS, VARVE_REMOVE_BACKGROUND, NULL,
						 NULL),
		   0);
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_uint_eq(machine.asked, 0);
	/* The command's way, one by one. */
	test_create(store, "one", NULL);
	test_error(varve_layer_remove_wait(store, "one", VARVE_REMOVE_BACKGROUND, NULL), 0);
	test_error(varve_layer_remove_wait(store, "one", VARVE_REMOVE_BACKGROUND, NULL), -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_cancel)
{
	/* Those that wait are spared. */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	struct test_record removal = { 0 };
	varve_request request = submit_held(store, home, ids, &removal);
	ck_assert_uint_gt(waiting(store), 0);
	test_error(varve_cancel(store, request), 0);
	test_error(test_await(store, &removal), -ECANCELED);
	ck_assert_uint_eq(waiting(store), 0);
	unsigned removed = 0;
	for (unsigned i = 0; i < LAYERS; i++) {
		removed += !removal.outcome_errors[i];
		ck_assert(test_layer_exists(home, ids[i]) == !!removal.outcome_errors[i]);
	}
	ck_assert_uint_lt(removed, LAYERS);
	machine.held_ns = 0;
	end_busy(store);
	/* Their ids are free. */
	test_remove_layer(store, ids[LAYERS - 1]);
	test_close(store);
}
END_TEST

START_TEST(test_close_cancels)
{
	/* The store is closed while they wait: the rest stays, whole. */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	struct test_record removal = { 0 };
	submit_held(store, home, ids, &removal);
	ck_assert_uint_gt(waiting(store), 0);
	test_close(store);
	ck_assert_uint_eq(removal.calls, 1);
	test_error(removal.error, -ECANCELED);
	for (unsigned i = 0; i < LAYERS; i++)
		ck_assert(test_layer_exists(home, ids[i]) == !!removal.outcome_errors[i]);
	ck_assert(test_layer_exists(home, ids[LAYERS - 1]));
}
END_TEST

START_TEST(test_order)
{
	/*
	 * The next request for an id comes after the removal, as always, and does not wait for its
	 * turn; nor for another removal in the background between them.
	 */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	struct test_record removal = { 0 }, again = { 0 }, create = { 0 }, snapshot = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *last = ids[LAYERS - 1];
	submit_held(store, home, ids, &removal);
	uint64_t waits = waiting(store);
	ck_assert_uint_gt(waits, 2);
	submit(store, &last, 1, 0, &again);
	ck_assert_uint_eq(waiting(store), waits);
	test_error(varve_layer_create(store, last, NULL, test_record, &create, NULL), 0);
	test_error(test_await(store, &create), 0);
	test_error(again.error, -ENOENT);
	ck_assert_uint_eq(again.calls, 1);
	ck_assert_uint_eq(waiting(store), waits - 1);
	/* The source of a snapshot is waited for, too. */
	options.parent = ids[LAYERS - 2];
	test_error(varve_layer_create(store, "new", &options, test_record, &snapshot, NULL), 0);
	test_error(test_await(store, &snapshot), -ENOENT);
	ck_assert_uint_eq(waiting(store), waits - 2);
	ck_assert_uint_eq(removal.calls, 0);
	machine.held_ns = 0;
	test_error(test_await(store, &removal), 0);
	ck_assert(test_layer_exists(home, last));
	end_busy(store);
	test_close(store);
}
END_TEST

START_TEST(test_full)
{
	/* Little is free: none waits, on a clock that stands still. */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	struct test_record removal = { 0 };
	machine.full = true;
	submit_held(store, home, ids, &removal);
	test_error(test_await(store, &removal), 0);
	ck_assert_uint_eq(waiting(store), 0);
	machine.held_ns = 0;
	end_busy(store);
	test_close(store);
}
END_TEST

START_TEST(test_blocked)
{
	/*
	 * A create waits for the cleaner, to which removals give more to do: after one has gone the
	 * rest waits on a clock that stands still; once the time is over the next one goes. When
	 * the cleaner is done, all end.
	 */
	const char **ids;
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.backlog_max = 1;
	config.flags |= VARVE_OPEN_RELAXED;
	struct varve_store *store = test_open_config(&config);
	struct test_record first = { 0 }, removal = { 0 }, create = { 0 };
	make_layers(store, &ids);
	test_create(store, "dead", NULL);
	machine.dead = 1;
	test_remove_layer(store, "dead");
	machine.held_ns = now_ns();
	test_error(varve_layer_create(store, "new", NULL, test_record, &create, NULL), 0);
	submit(store, ids, 1, 0, &first);
	test_error(test_await(store, &first), 0);
	submit(store, ids + 1, LAYERS - 1, 0, &removal);
	ck_assert_uint_eq(waiting(store), LAYERS - 1);
	machine.held_ns += PACE_WAIT_MAX_NS;
	while (test_layer_exists(home, ids[1]))
		test_error(varve_noop_wait(store, NULL), 0);
	ck_assert_uint_eq(waiting(store), LAYERS - 2);
	ck_assert_uint_eq(create.calls, 0);
	machine.dead = 0;
	machine.held_ns = 0;
	test_error(test_await(store, &create), 0);
	test_error(test_await(store, &removal), 0);
	test_close(store);
}
END_TEST

START_TEST(test_pressed)
{
	/* Pressure is asked for, where the kernel has it, and whatever it says they end. */
	const char **ids;
	char *home = test_home();
	struct varve_store *store = open_with(home, &ids);
	machine.pressed = true;
	store->settings.pressure_path = test_path("%s.pressure", home);
	test_write(store->settings.pressure_path, "");
	test_error(varve_layer_remove_batch_wait(store, ids, LAYERS, VARVE_REMOVE_BACKGROUND, NULL,
						 NULL),
		   0);
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_uint_gt(machine.asked, 0);
	test_close(store);
}
END_TEST

TEST_MAIN("background", test_all_end, test_alone, test_cancel, test_close_cancels, test_order,
	  test_full, test_blocked, test_pressed)
