/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spare copies (VARVE_OPEN_SPARES) beside calls that fail: those that make, prove, take and drop a
 * copy, each with each errno that it may have, alone or with all after it. A create that meets one
 * succeeds, and then its layer is what its parent was when it was asked for, or it tells that errno
 * and there is no layer. The store goes on, and no copy is left when it is closed; or, where all
 * calls failed, when it is opened once more. A seed chooses some failures, others in each run;
 * VARVE_TEST_SOAK: all.
 *
 * varve-test: timeout=300 options=nobarrier
 */
#include "calls.h"
#include "test.h"

#include "engine/store/store.h"

#include <limits.h>

/* Failures of each scenario, without VARVE_TEST_SOAK. */
#define SAMPLES 24

/* Turns of the reactor, after which a refill or a drop has begun and ended, or does not come. */
#define TURNS 400

/* Kinds of calls, and behind them the points of engine/base/fault.h. */
enum { KINDS = CALL_NAMES + FAULT_LANE + 1 };

/* The home; the parent's file, and how often it was written. */
static char *home;
static unsigned version, number;

/* ---- a store with spare copies --------------------------------------------------------------- */

static struct varve_statistics statistics(struct varve_store *store)
{
	struct varve_statistics seen = VARVE_STATISTICS_INIT;
	test_error(varve_statistics(store, &seen), 0);
	return seen;
}

/* Let the reactor turn until nothing is made or dropped any more. */
static void settle(struct varve_store *store)
{
	for (int i = 0; i < TURNS && test_leftovers(home) != statistics(store).spares; i++)
		test_error(varve_noop_wait(store, NULL), 0);
}

/* Write to the parent what was never in it. */
static void change(void)
{
	test_write(test_path("%s/file", test_layer(home, "parent")), test_path("%u", ++version));
}

static struct varve_store *open_spares(void)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SPARES | VARVE_OPEN_RELAXED;
	struct varve_store *store = test_open_config(&config);
	/* A machine may stand still for long. */
	store->settings.stock_idle_ns = UINT64_MAX / 4;
	return store;
}

/* Create a layer from "parent": it is that, or there is none, and the error is ERROR. */
static int create(struct varve_store *store, int error, const char *what)
{
	char *id = test_path("layer%u", number++);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	options.parent = "parent";
	int r = varve_layer_create_wait(store, id, &options, &failure);
	ck_assert_msg(!r || r == error, "%s: %s at %s", what, test_errno_name(r), failure.step);
	ck_assert_msg(test_layer_exists(home, id) == !r, "%s: a layer after %s", what,
		      test_errno_name(r));
	if (r)
		return r;
	char *text = test_read(test_path("%s/file", test_layer(home, id)));
	ck_assert_msg(text && atoi(text) == (int)version, "%s: %s instead of %u", what, text,
		      version);
	return 0;
}

/* ---- scenarios ------------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	/* Before a call is made to fail. */
	void (*prepare)(struct varve_store *store);
	/* While one fails; a create may fail with ERROR. */
	void (*run)(struct varve_store *store, int error, const char *what);
};

/* The next create makes copies. */
static void prepare_make(struct varve_store *store)
{
	create(store, 0, "before");
}

/* Any request may meet the failure. */
static void run_make(struct varve_store *store, int error, const char *what)
{
	uint64_t made = statistics(store).spares_made;
	create(store, error, what);
	for (int i = 0; i < TURNS && statistics(store).spares_made == made; i++)
		varve_noop_wait(store, NULL);
}

/* There are copies. */
static void prepare_take(struct varve_store *store)
{
	int64_t end = test_now_ms() + TEST_WAIT_MS;
	while (!statistics(store).spares) {
		ck_assert_int_lt(test_now_ms(), end);
		create(store, 0, "before");
		for (int i = 0; i < TURNS && !statistics(store).spares; i++)
			test_error(varve_noop_wait(store, NULL), 0);
	}
	settle(store);
}

static void run_take(struct varve_store *store, int error, const char *what)
{
	create(store, error, what);
}

/* There are copies, and none fits. */
static void prepare_misfit(struct varve_store *store)
{
	prepare_take(store);
	change();
}

/* All copies are dropped. */
static void run_drop(struct varve_store *store, int error, const char *what)
{
	int r = varve_layer_rename_wait(store, "parent", "renamed", 0, NULL);
	ck_assert_msg(!r || r == error, "%s: rename: %s", what, test_errno_name(r));
	for (int i = 0; i < TURNS && test_leftovers(home); i++)
		varve_noop_wait(store, NULL);
	if (!r)
		test_error(rename(test_layer(home, "renamed"), test_layer(home, "parent")), 0);
}

static const struct scenario scenarios[] = {
	{ "make", prepare_make, run_make },
	{ "take", prepare_take, run_take },
	{ "misfit", prepare_misfit, run_take },
	{ "drop", prepare_take, run_drop },
};

/* ---- failures -------------------------------------------------------------------------------- */

static const int errors[] = { EIO, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EINTR };

/* Can what is of KIND fail with ERROR? */
static bool can_fail(int kind, int error)
{
	int flags = kind < CALL_NAMES ? call_flags[kind] : 0;
	if (kind >= CALL_NAMES)
		return error == ENOMEM;
	if (error == EIO)
		return !(flags & CALL_DISKLESS);
	if (error == ENOMEM)
		return true;
	return (error == EINTR                       ? flags & CALL_SLEEPS
		: error == EMFILE || error == ENFILE ? flags & CALL_OPENS
						     : flags & CALL_TAKES_ROOM) != 0;
}

/* Let what is of KIND fail in STORE, the NTH time, or PERSISTENTLY; 0: never. */
static void arm(struct varve_store *store, int kind, long nth, int error, bool persistent)
{
	if (kind < CALL_NAMES)
		calls_arm((enum call_name)kind, nth, error, persistent);
	else
		fault_arm(&store->core.io.fault, (enum fault_point)(kind - CALL_NAMES), nth, -error,
			  persistent);
}

static void disarm(struct varve_store *store)
{
	calls_disarm();
	fault_arm(&store->core.io.fault, FAULT_ALLOCATION, 0, 0, false);
}

/* Count what SCENARIO does of each kind where nothing fails. */
static void learn(const struct scenario *scenario, long made[KINDS])
{
	struct varve_store *store = open_spares();
	scenario->prepare(store);
	fault_arm(&store->core.io.fault, FAULT_LANE, LONG_MAX, -EIO, false);
	calls_arm(CALL_NAMES, 0, 0, false);
	scenario->run(store, 0, scenario->name);
	for (int i = 0; i < KINDS; i++)
		made[i] = i < CALL_NAMES
				  ? calls_made[i]
				  : atomic_load(&store->core.io.fault.passed[i - CALL_NAMES]);
	disarm(store);
	test_close(store);
}

/* Let SCENARIO meet one failure. */
static void meet(const struct scenario *scenario, int kind, long nth, int error, bool persistent)
{
	char what[128];
	struct varve_store *store = open_spares();
	snprintf(what, sizeof(what), "%s: %s %ld%s: %s", scenario->name,
		 kind < CALL_NAMES ? call_names[kind] : "fault point", nth,
		 persistent ? " and all after it" : "", test_errno_name(error));
	scenario->prepare(store);
	arm(store, kind, nth, error, persistent);
	scenario->run(store, -error, what);
	disarm(store);
	/* It goes on, and sees a change. */
	create(store, 0, what);
	change();
	create(store, 0, what);
	test_close(store);
	/* Where all failed, so did what undoes; that is left to the sweep. */
	if (persistent)
		test_close(test_open(home));
	ck_assert_msg(!test_leftovers(home), "%s: leftovers", what);
	ck_assert_msg(!calls_closed_wrong, "%s: what is not open was closed", what);
}

/* Let SCENARIO meet all, or what the seed chooses. */
static void meet_some(const struct scenario *scenario, uint64_t *random)
{
	long made[KINDS], all = 0;
	learn(scenario, made);
	for (int pass = 0; pass < 2; pass++) {
		for (int kind = 0; kind < KINDS; kind++)
			for (size_t e = 0; e < TEST_COUNT(errors); e++)
				for (long nth = 2; nth < 2 * (made[kind] + 1); nth++) {
					bool persistent = nth % 2;
					if (!can_fail(kind, errors[e]) ||
					    (persistent && errors[e] == EINTR))
						continue;
					if (!pass)
						all++;
					else if (getenv("VARVE_TEST_SOAK") ||
						 test_random(random) % (uint64_t)all < SAMPLES)
						meet(scenario, kind, nth / 2, errors[e],
						     persistent);
				}
	}
}

/* Each of the scenarios. */
static void scenario_run(int i)
{
	uint64_t random = test_seed() + (uint64_t)i;
	home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "parent", NULL);
	change();
	test_close(store);
	calls_own(false);
	meet_some(&scenarios[i], &random);
}

START_TEST(test_make)
{
	scenario_run(0);
}
END_TEST

START_TEST(test_take)
{
	scenario_run(1);
}
END_TEST

START_TEST(test_misfit)
{
	scenario_run(2);
}
END_TEST

START_TEST(test_drop)
{
	scenario_run(3);
}
END_TEST

TEST_MAIN("spares", test_make, test_take, test_misfit, test_drop)
