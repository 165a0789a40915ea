/* SPDX-License-Identifier: Apache-2.0 */
/* engine/io: calls by the ring and by lanes, threads that come and go, posts that wake. */
#include "test.h"

#include "engine/io/io.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>

/* A call and what became of it. */
struct asked {
	struct call call;
	int calls, result;
	/* For lanes: what it waits for. */
	pthread_barrier_t *barrier;
};

static void done(struct call *call)
{
	struct asked *asked = container_of(call, struct asked, call);

	asked->calls++;
	asked->result = call->result;
}

static struct io_config config = { .ring_entries = 8, .threads_max = { 2, 4 } };

/* An io that runs on this thread. */
static struct io *start(bool no_uring)
{
	struct io *io = test_alloc(sizeof(*io));

	config.no_uring = no_uring;
	test_error(io_init(io), 0);
	test_error(io_start(io, &config), 0);
	return io;
}

static void stop(struct io *io)
{
	io_stop(io);
	io_free(io);
}

/* Turn until COUNT of ASKED are done. */
static void turn_until(struct io *io, struct asked *asked, int count)
{
	for (int ready = 0; ready < count;) {
		io_turn(io, -1);
		ready = 0;
		for (int i = 0; i < count; i++)
			ready += asked[i].calls;
	}
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(asked[i].calls, 1);
}

/* Make each kind of call through IO, more of them than the ring has room for. */
static void each_kind(struct io *io)
{
	enum { COUNT = 60 };
	static struct asked asked[COUNT];
	static struct statx statx[COUNT];
	int fds = test_descriptors();

	memset(asked, 0, sizeof(asked));
	for (int i = 0; i < COUNT; i++) {
		asked[i].call.done = done;
		if (i % 3 == 0)
			call_openat2(&asked[i].call, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
		else if (i % 3 == 1)
			call_statx(&asked[i].call, AT_FDCWD, i % 2 ? "/" : "/none", 0, STATX_TYPE,
				   &statx[i]);
		else
			call_unlinkat(&asked[i].call, AT_FDCWD, "/none/none", 0);
		io_submit(io, &asked[i].call);
	}
	turn_until(io, asked, COUNT);
	for (int i = 0; i < COUNT; i++)
		if (i % 3 == 0) {
			ck_assert_int_ge(asked[i].result, 0);
			ck_assert_int_eq(fcntl(asked[i].result, F_GETFD), FD_CLOEXEC);
			close(asked[i].result);
		} else if (i % 3 == 1) {
			test_error(asked[i].result, i % 2 ? 0 : -ENOENT);
			if (i % 2)
				ck_assert(S_ISDIR(statx[i].stx_mode));
		} else
			test_error(asked[i].result, -ENOENT);
	ck_assert_int_le(test_descriptors(), fds + 1);
}

START_TEST(test_ring)
{
	struct io *io = start(false);

	if (io->ring_error)
		test_skip("no io_uring here");
	else {
		each_kind(io);
		ck_assert_uint_gt(io->ring_calls, 0);
		ck_assert_uint_eq(io->lane_calls, 0);
		/* One entry is kept for the wake. */
		ck_assert_uint_lt(io->ring.in_flight_peak, 8);
	}
	stop(io);
}
END_TEST

START_TEST(test_lanes_only)
{
	struct io *io = start(true);

	test_error(io->ring_error, -ECANCELED);
	each_kind(io);
	ck_assert_uint_eq(io->ring_calls, 0);
	stop(io);
}
END_TEST

START_TEST(test_ring_without_opcodes)
{
	/* An opcode that the kernel has not: a lane makes the call. */
	struct io *io = start(false);

	io->ring.kinds = 1u << CALL_STATX;
	each_kind(io);
	ck_assert_uint_gt(io->lane_calls, 0);
	stop(io);
}
END_TEST

START_TEST(test_no_memory_for_ring)
{
	/* No descriptor left for a ring: it does without, and says why. */
	struct rlimit limit, none;
	struct io *io = test_alloc(sizeof(*io));

	config.no_uring = false;
	test_error(io_init(io), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)io->wake_fd + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	test_error(io_start(io, &config), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	test_error(io->ring_error, -EMFILE);
	each_kind(io);
	stop(io);
}
END_TEST

static int meet(struct call *call)
{
	pthread_barrier_wait(container_of(call, struct asked, call)->barrier);
	return 7;
}

START_TEST(test_lane_width)
{
	/*
	 * As many threads at once as the lane may have: they all have to be there for any to go on.
	 */
	struct io *io = start(true);
	struct asked asked[4] = { 0 };
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, TEST_COUNT(asked));
	for (size_t i = 0; i < TEST_COUNT(asked); i++) {
		asked[i].call.done = done;
		asked[i].barrier = &barrier;
		call_function(&asked[i].call, LANE_COMMIT, "meet", meet);
		io_submit(io, &asked[i].call);
	}
	turn_until(io, asked, TEST_COUNT(asked));
	ck_assert_int_eq(asked[3].result, 7);
	ck_assert_uint_eq(lane_threads_peak(&io->lanes[LANE_COMMIT]), TEST_COUNT(asked));
	stop(io);
	pthread_barrier_destroy(&barrier);
}
END_TEST

START_TEST(test_submission_fails)
{
	struct io *io = start(true);
	struct asked asked = { .call.done = done };

	fault_arm(&io->fault, FAULT_SUBMISSION, 1, -EIO, false);
	call_unlinkat(&asked.call, AT_FDCWD, "/none/none", 0);
	io_submit(io, &asked.call);
	ck_assert_int_eq(asked.calls, 0);
	turn_until(io, &asked, 1);
	test_error(asked.result, -EIO);
	stop(io);
}
END_TEST

/* ---- waking ---------------------------------------------------------------------------------- */

#define POSTS 20000

static int received;

static void receive(struct inbox_node *node)
{
	received++;
}

static void *post_all(void *data)
{
	struct inbox_node *nodes = test_alloc(POSTS * sizeof(*nodes));

	for (int i = 0; i < POSTS; i++) {
		nodes[i].receive = receive;
		io_post(data, &nodes[i]);
		/* Let it go to sleep now and then. */
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* No post is lost, however often IO goes to sleep between them: a lost one would hang here. */
static void wake(bool no_uring)
{
	struct io *io = start(no_uring);
	pthread_t thread;

	received = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, post_all, io), 0);
	while (received < POSTS)
		io_turn(io, -1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	stop(io);
}

START_TEST(test_wake_ring)
{
	wake(false);
}
END_TEST

START_TEST(test_wake_lanes)
{
	wake(true);
}
END_TEST

static void *interrupt(void *data)
{
	io_interrupt(data);
	return NULL;
}

START_TEST(test_interrupt)
{
	/* An interrupt before the sleep is not lost, and one during it ends it. */
	for (int i = 0; i < 2; i++) {
		struct io *io = start(i);
		pthread_t thread;

		io_interrupt(io);
		io_turn(io, -1);
		ck_assert_int_eq(pthread_create(&thread, NULL, interrupt, io), 0);
		io_turn(io, -1);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		stop(io);
	}
}
END_TEST

/* An interrupt ends one wait: the next turn sleeps again. */
START_TEST(test_interrupt_once)
{
	for (int i = 0; i < 2; i++) {
		struct io *io = start(i);

		io_interrupt(io);
		io_turn(io, -1);
		ck_assert(!io_turn(io, 5000000));
		stop(io);
	}
}
END_TEST

START_TEST(test_timeout)
{
	for (int i = 0; i < 2; i++) {
		struct io *io = start(i);
		int64_t before = test_now_ms();

		while (test_now_ms() < before + 5)
			ck_assert(!io_turn(io, 5000000));
		stop(io);
	}
}
END_TEST

TEST_MAIN_UNIT("io", test_ring, test_lanes_only, test_ring_without_opcodes, test_no_memory_for_ring,
	       test_lane_width, test_submission_fails, test_wake_ring, test_wake_lanes,
	       test_interrupt, test_interrupt_once, test_timeout)
