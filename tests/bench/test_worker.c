/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timing of a thread, on an engine whose behaviour is known: coordinated omission, queue depth,
 * ramp time, failures. The clock is the test's own: it goes on by sleeps, and a little at each
 * look, however busy the machine is.
 */
/* varve-test: backend=any root=no */
#include "load/clock.h"
#include "test.h"
#include "load/worker.h"

#include <time.h>

#define STALL_NS (200 * NS_PER_MS)
/* What a look at the clock takes. */
#define LOOK_NS 100

/* The time. */
static _Atomic uint64_t time_ns = NS_PER_S;

/* In the place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
	uint64_t now = time_ns += LOOK_NS;

	*time = (struct timespec){ (time_t)(now / NS_PER_S), (long)(now % NS_PER_S) };
	return 0;
}

/* In the place of libc's. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest)
{
	uint64_t until = (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;

	ck_assert_int_eq(flags, TIMER_ABSTIME);
	if (time_ns < until)
		time_ns = until;
	return 0;
}

/* An engine that stalls once, or fails, on request. */
struct fake {
	const struct bench_env *env; /* What the harness said. */
	uint64_t calls;              /* Operations so far. */
	struct bench_op *ops[64];    /* Those in flight. */
	unsigned count;              /* How many. */
	unsigned most;               /* Most there were. */
};

static uint64_t stall_at, fail_at;
static struct fake *last_fake;

static int fake_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	struct fake *fake = test_alloc(sizeof(*fake));

	fake->env = env;
	last_fake = fake;
	*ret_context = fake;
	return 0;
}

static int fake_queue(void *context, struct bench_op *op)
{
	struct fake *fake = context;

	fake->calls++;
	if (fake->calls == stall_at)
		time_ns += STALL_NS;
	if (fake->calls == fail_at)
		op->error = -EIO;
	return BENCH_DONE;
}

static int fake_queue_deep(void *context, struct bench_op *op)
{
	struct fake *fake = context;

	fake->ops[fake->count++] = op;
	if (fake->count > fake->most)
		fake->most = fake->count;
	return BENCH_QUEUED;
}

/* End one operation at a time, so that the queue stays as full as the harness keeps it. */
static int fake_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct fake *fake = context;

	fake->env->complete(fake->env->thread, fake->ops[--fake->count]);
	return 0;
}

static void fake_close(void *context)
{
}

static const struct bench_engine fake_engine = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP),
	.name = "fake",
	.homeless = true,
	.open = fake_open,
	.queue = fake_queue,
	.close = fake_close,
};

static const struct bench_engine deep_engine = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP),
	.name = "deep",
	.homeless = true,
	.open = fake_open,
	.queue = fake_queue_deep,
	.wait = fake_wait,
	.close = fake_close,
};

/* Run OPTIONS on ENGINE to the end; the worker's statistics stay. */
static struct worker *run_worker(const struct options *options, const struct bench_engine *engine)
{
	static const volatile int never;
	struct worker *worker = test_alloc(sizeof(*worker));
	struct worker_shared *shared = test_alloc(sizeof(*shared));
	char text[64];

	*shared = (struct worker_shared){ .mutex = PTHREAD_MUTEX_INITIALIZER,
					  .opened = PTHREAD_COND_INITIALIZER,
					  .stop = &never };
	worker->options = options;
	worker->engine = engine;
	worker->shared = shared;
	ck_assert_int_eq(worker_init(worker, "w.", 1), 0);
	ck_assert_int_eq(engine->open(&worker->env, &worker->context, text, sizeof(text)), 0);
	ck_assert_int_eq(worker_start(worker), 0);
	worker_gate(shared, 1);
	pthread_join(worker->thread, NULL);
	return worker;
}

START_TEST(test_coordinated_omission)
{
	struct options options;
	const struct histogram *lat, *clat;
	struct worker *worker;

	options_init(&options);
	options.rw = BENCH_NOOP;
	options.rate_iops = 1000;
	options.number_ios = 500;
	stall_at = 100;
	worker = run_worker(&options, &fake_engine);
	lat = &worker->stats.kinds[BENCH_NOOP]->lat;
	clat = &worker->stats.kinds[BENCH_NOOP]->clat;
	/*
	 * One call stalled; but the 200 that were due meanwhile were late, on average by half of
	 * the stall.
	 */
	ck_assert_uint_eq(lat->count, 500);
	ck_assert_uint_eq(histogram_between(clat, STALL_NS / 2, UINT64_MAX), 1);
	ck_assert_uint_ge(histogram_between(lat, STALL_NS / 2, UINT64_MAX), 99);
	ck_assert_uint_le(histogram_between(lat, STALL_NS / 2, UINT64_MAX), 103);
	ck_assert_uint_ge(lat->max, STALL_NS);
	worker_destroy(worker);
	/* Without a rate nothing is due while it waits. */
	options.rate_iops = 0;
	worker = run_worker(&options, &fake_engine);
	ck_assert_uint_eq(histogram_between(&worker->stats.kinds[BENCH_NOOP]->lat, STALL_NS / 2,
					    UINT64_MAX),
			  1);
	worker_destroy(worker);
}
END_TEST

START_TEST(test_rate)
{
	struct options options;
	struct worker *worker;
	double rate;

	options_init(&options);
	options.rw = BENCH_NOOP;
	options.rate_iops = 2000;
	options.number_ios = 1000;
	worker = run_worker(&options, &fake_engine);
	rate = (double)stats_units(&worker->stats) * 1e9 / (double)stats_duration(&worker->stats);
	ck_assert_msg(rate > 1990 && rate < 2010, "%g/s", rate);
	worker_destroy(worker);
	/* A pause of 1 ms after each: no more than 1000 a second. */
	options.rate_iops = 0;
	options.thinktime = NS_PER_MS;
	options.number_ios = 100;
	worker = run_worker(&options, &fake_engine);
	ck_assert_uint_ge(stats_duration(&worker->stats), 99 * NS_PER_MS);
	ck_assert_uint_le(stats_duration(&worker->stats), 101 * NS_PER_MS);
	worker_destroy(worker);
}
END_TEST

START_TEST(test_depth)
{
	struct options options;
	struct worker *worker;

	options_init(&options);
	options.rw = BENCH_NOOP;
	options.iodepth = 32;
	options.number_ios = 1000;
	worker = run_worker(&options, &deep_engine);
	ck_assert_uint_eq(last_fake->most, 32);
	ck_assert_uint_eq(stats_units(&worker->stats), 1000);
	/* All but the first 31 were issued at full depth. */
	ck_assert_uint_eq(worker->stats.depth_level[stats_depth_slot(32)], 1000 - 31);
	ck_assert_uint_eq(worker->stats.kinds[BENCH_NOOP]->slat.count, 1000);
	worker_destroy(worker);
	/* A synchronous engine has no submission latency, and a depth of 1. */
	worker = run_worker(&options, &fake_engine);
	ck_assert_uint_eq(worker->stats.depth_level[0], 1000);
	ck_assert_uint_eq(worker->stats.kinds[BENCH_NOOP]->slat.count, 0);
	worker_destroy(worker);
}
END_TEST

START_TEST(test_times)
{
	struct options options;
	struct worker *worker;

	options_init(&options);
	options.rw = BENCH_NOOP;
	options.runtime = 100 * NS_PER_MS;
	options.ramp_time = 200 * NS_PER_MS;
	options.time_based = true;
	options.rate_iops = 1000;
	worker = run_worker(&options, &fake_engine);
	/* What the ramp time saw is not counted: 100 of 300 are left. */
	ck_assert_uint_ge(stats_units(&worker->stats), 99);
	ck_assert_uint_le(stats_units(&worker->stats), 101);
	ck_assert_uint_ge(worker->stats.units_total, 299);
	ck_assert_uint_le(worker->stats.units_total, 301);
	worker_destroy(worker);
}
END_TEST

START_TEST(test_failure)
{
	struct options options;
	struct worker *worker;

	options_init(&options);
	options.rw = BENCH_NOOP;
	options.number_ios = 100;
	fail_at = 7;
	worker = run_worker(&options, &fake_engine);
	ck_assert_int_eq(worker->stats.error, -EIO);
	ck_assert_uint_eq(stats_units(&worker->stats), 6);
	ck_assert_uint_eq(worker->stats.kinds[BENCH_NOOP]->errors, 1);
	worker_destroy(worker);
}
END_TEST

TEST_MAIN_UNIT("worker", test_coordinated_omission, test_rate, test_depth, test_times, test_failure)
