/* SPDX-License-Identifier: Apache-2.0 */
/* engine/store/pace: how many removals in the background may go, by what is seen. */
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/store/pace.h"
#include "test.h"

/* Some time. */
#define NOW (1000 * NS_PER_MS)

/* What a destroy takes here. */
#define DESTROY_NS (NS_PER_MS / 10)

/* A pace to which creates take CREATE_NS on a quiet store; slices of ten destroys ended at NOW. */
static struct pace paced(uint64_t create_ns)
{
	struct pace pace = { 0 };
	if (create_ns)
		pace_created(&pace, create_ns, false);
	pace_sliced(&pace, NOW, 10, 10 * DESTROY_NS);
	return pace;
}

/* When the next slice may begin after one of 10 destroys, and that it may then. */
static uint64_t gap(const struct pace *pace, struct pace_view view)
{
	uint64_t at_ns = 0, again_ns;
	view.now_ns = NOW;
	if (pace_slice(pace, &view, &at_ns))
		return 0;
	view.now_ns = at_ns - 1;
	ck_assert_uint_eq(pace_slice(pace, &view, &again_ns), 0);
	ck_assert_uint_eq(again_ns, at_ns);
	view.now_ns = at_ns;
	ck_assert_uint_gt(pace_slice(pace, &view, &again_ns), 0);
	return at_ns - NOW;
}

START_TEST(test_idle)
{
	/* As fast as it goes, in slices that a create can wait for. */
	struct pace pace = paced(0);
	uint64_t at_ns;
	ck_assert_uint_eq(gap(&pace, (struct pace_view){ 0 }), 0);
	ck_assert_uint_eq(pace_slice(&pace, &(struct pace_view){ .now_ns = NOW }, &at_ns),
			  DESTROY_SLICE_NS / DESTROY_NS);
	/* The first slice tells what a destroy takes. */
	pace = (struct pace){ 0 };
	ck_assert_uint_eq(pace_slice(&pace, &(struct pace_view){ .now_ns = NOW }, &at_ns), 1);
	/* However short, or long, they are. */
	pace_sliced(&pace, NOW, 1, 0);
	ck_assert_uint_eq(pace_slice(&pace, &(struct pace_view){ .now_ns = NOW }, &at_ns), 1);
	pace_sliced(&pace, NOW, 1, 1);
	ck_assert_uint_eq(pace_slice(&pace, &(struct pace_view){ .now_ns = NOW }, &at_ns),
			  PACE_SLICE_MAX);
	pace.destroy_ns = 1000 * DESTROY_SLICE_NS;
	ck_assert_uint_eq(pace_slice(&pace, &(struct pace_view){ .now_ns = NOW }, &at_ns), 1);
}
END_TEST

START_TEST(test_creates)
{
	/* Layers are made: part of what a create takes, and four fifths of the time. */
	const uint64_t create_ns = 4 * NS_PER_MS;
	struct pace pace = paced(create_ns);
	struct pace_view view = { .busy = true };
	uint64_t at_ns;
	ck_assert_uint_eq(gap(&pace, view), 10 * DESTROY_NS / PACE_GAP_PART);
	view.now_ns = NOW + 10 * DESTROY_NS;
	ck_assert_uint_eq(pace_slice(&pace, &view, &at_ns),
			  create_ns / PACE_CREATE_PART / DESTROY_NS);
	/* Between two of them there is no gap, and a slice is as long as a create can wait for. */
	view.busy = false;
	ck_assert_uint_eq(gap(&pace, view), 0);
	view.now_ns = NOW;
	ck_assert_uint_eq(pace_slice(&pace, &view, &at_ns), DESTROY_SLICE_NS / DESTROY_NS);
	/* Slow creates do not make long slices. */
	pace = paced(1000 * NS_PER_MS);
	view.busy = true;
	view.now_ns = NOW + 10 * DESTROY_NS;
	ck_assert_uint_eq(pace_slice(&pace, &view, &at_ns), DESTROY_SLICE_NS / DESTROY_NS);
}
END_TEST

START_TEST(test_slow_creates)
{
	/* Creates that take longer than on a quiet store lengthen the gap ... */
	const uint64_t create_ns = 4 * NS_PER_MS, short_ns = 10 * DESTROY_NS / PACE_GAP_PART;
	struct pace pace = paced(create_ns);
	struct pace_view view = { .busy = true };
	pace_created(&pace, create_ns + create_ns / 2, true);
	ck_assert_uint_eq(gap(&pace, view), short_ns);
	for (int i = 0; i < PACE_AVERAGE_PARTS; i++)
		pace_created(&pace, 4 * create_ns, true);
	ck_assert_uint_eq(gap(&pace, view), 10 * DESTROY_NS);
	/* ... not when they are as fast as before ... */
	struct pace fast = pace;
	for (int i = 0; i < 8 * PACE_AVERAGE_PARTS; i++)
		pace_created(&fast, create_ns, true);
	ck_assert_uint_eq(gap(&fast, view), short_ns);
	/* ... nor for ever, when the store has become a slower one. */
	for (int i = 0; i < 8 * PACE_FORGET_PARTS; i++)
		pace_created(&pace, 4 * create_ns, true);
	ck_assert_uint_eq(gap(&pace, view), short_ns);
	/* What is measured once no removal waits is the quiet store again. */
	pace_created(&pace, create_ns, false);
	ck_assert_uint_eq(pace.loaded_ns, 0);
}
END_TEST

START_TEST(test_pressure)
{
	/*
	 * Tasks wait for the disk: a gap, where no create tells more. Beside creates they may be
	 * those that commit.
	 */
	struct pace pace = paced(4 * NS_PER_MS), idle = paced(0);
	struct pace_view view = { .busy = true, .pressed = true };
	ck_assert_uint_eq(gap(&pace, view), 10 * DESTROY_NS / PACE_GAP_PART);
	view.busy = false;
	ck_assert_uint_eq(gap(&idle, view), 10 * DESTROY_NS);
}
END_TEST

START_TEST(test_bounds)
{
	/* Whatever comes together, a removal goes after PACE_WAIT_MAX_NS. */
	struct pace pace = paced(NS_PER_MS);
	struct pace_view view = { .busy = true, .pressed = true };
	uint64_t at_ns;
	pace_sliced(&pace, NOW, 1, 1000 * NS_PER_MS);
	for (int i = 0; i < 2 * PACE_AVERAGE_PARTS; i++)
		pace_created(&pace, 1000 * NS_PER_MS, true);
	ck_assert_uint_eq(gap(&pace, view), PACE_WAIT_MAX_NS);
	/* While a create waits for the cleaner it is one, whatever else is seen. */
	pace = paced(0);
	view = (struct pace_view){ .blocked = true };
	ck_assert_uint_eq(gap(&pace, view), PACE_WAIT_MAX_NS);
	view.now_ns = NOW + PACE_WAIT_MAX_NS;
	ck_assert_uint_eq(pace_slice(&pace, &view, &at_ns), 1);
	/* What cannot wait does not. */
	view.urgent = true;
	view.now_ns = NOW;
	ck_assert_uint_eq(pace_slice(&pace, &view, &at_ns), UINT_MAX);
}
END_TEST

TEST_MAIN_UNIT("pace", test_idle, test_creates, test_slow_creates, test_pressure, test_bounds)
