/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The histogram keeps the error bound of its header, merges without loss, and is exact where it
 * says so.
 */
/* varve-test: backend=any root=no */
#include "load/random.h"
#include "load/histogram.h"
#include "load/stats.h"
#include "test.h"
#include "load/workload.h"

#include <math.h>

#define VALUES 20000

/* The bound that the header derives. */
static const double error_max = 1.0 / (2 << HISTOGRAM_SUB_BITS);

/* Is READ within the bound of VALUE? */
static bool is_close(uint64_t value, uint64_t read)
{
	double difference = fabs((double)read - (double)value);

	return difference <= error_max * (double)value;
}

START_TEST(test_buckets)
{
	/* All around each power of two, where the width changes, and the small ones one by one. */
	for (uint64_t value = 0; value < 4096; value++)
		ck_assert(is_close(value, histogram_value(histogram_index(value))));
	for (int bit = 12; bit < HISTOGRAM_VALUE_BITS; bit++) {
		for (int64_t off = -3; off <= 3; off++) {
			uint64_t value = (1ull << bit) + (uint64_t)off;

			ck_assert_msg(is_close(value, histogram_value(histogram_index(value))),
				      "2^%d%+d", bit, (int)off);
		}
	}
	/*
	 * The bound is tight: some value comes near to it, so a coarser histogram would fail above.
	 */
	ck_assert(!is_close(1ull << 20, histogram_value(histogram_index(1ull << 20)) * 101 / 100));
}
END_TEST

START_TEST(test_order)
{
	uint32_t last = 0;
	uint64_t random = 7;

	for (uint64_t value = 0; value < 1ull << HISTOGRAM_VALUE_BITS; value = value * 9 / 8 + 1) {
		ck_assert_uint_ge(histogram_index(value), last);
		last = histogram_index(value);
		ck_assert_uint_lt(last, HISTOGRAM_BUCKETS);
	}
	for (int i = 0; i < VALUES; i++)
		ck_assert_uint_lt(histogram_index(random_next(&random)), HISTOGRAM_BUCKETS);
	ck_assert_uint_eq(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

/* Order two numbers. */
static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

START_TEST(test_percentiles)
{
	static const double percents[] = { 0, 0.01, 1, 10, 50, 90, 99, 99.9, 99.99, 100 };
	uint64_t *values = test_alloc(VALUES * sizeof(*values)), random = 3;
	struct histogram *histogram = test_alloc(sizeof(*histogram));

	for (int i = 0; i < VALUES; i++) {
		values[i] = random_next(&random) >> (24 + random_next(&random) % 30);
		histogram_add(histogram, values[i], 1);
	}
	qsort(values, VALUES, sizeof(*values), by_value);
	for (size_t i = 0; i < TEST_COUNT(percents); i++) {
		size_t rank = (size_t)ceil(percents[i] / 100 * VALUES);
		uint64_t exact = values[rank ? rank - 1 : 0];
		uint64_t read = histogram_percentile(histogram, percents[i]);

		ck_assert_msg(is_close(exact, read), "p%g: %llu, read %llu", percents[i],
			      (unsigned long long)exact, (unsigned long long)read);
	}
	ck_assert_uint_eq(histogram_percentile(histogram, 0), values[0]);
	ck_assert_uint_eq(histogram_percentile(histogram, 100), values[VALUES - 1]);
	ck_assert_uint_eq(histogram_between(histogram, 0, UINT64_MAX), VALUES);
}
END_TEST

START_TEST(test_merge)
{
	struct histogram *all = test_alloc(sizeof(*all)), *parts = test_alloc(4 * sizeof(*parts));
	struct histogram *merged = test_alloc(sizeof(*merged));
	uint64_t random = 11;

	for (int i = 0; i < VALUES; i++) {
		uint64_t value = random_next(&random) >> 30;

		histogram_add(all, value, 1);
		histogram_add(&parts[i % 3], value, 1);
	}
	for (int i = 0; i < 4; i++)
		histogram_merge(merged, &parts[i]);
	ck_assert_mem_eq(merged, all, sizeof(*all));
}
END_TEST

START_TEST(test_moments)
{
	struct histogram *histogram = test_alloc(sizeof(*histogram));

	ck_assert_uint_eq(histogram_percentile(histogram, 50), 0);
	ck_assert(histogram_mean(histogram) == 0 && histogram_deviation(histogram) == 0);
	histogram_add(histogram, 1000000, 1);
	histogram_add(histogram, 2000000, 2);
	histogram_add(histogram, 3000000, 1);
	ck_assert(histogram_mean(histogram) == 2000000);
	ck_assert(fabs(histogram_deviation(histogram) - sqrt(0.5) * 1e6) < 1);
	ck_assert_uint_eq(histogram->min, 1000000);
	ck_assert_uint_eq(histogram->max, 3000000);
	ck_assert_uint_eq(histogram->count, 4);
}
END_TEST

START_TEST(test_series)
{
	struct series *series = test_alloc(sizeof(*series)), *other = test_alloc(sizeof(*other));
	uint64_t end = SERIES_WIDTH_NS * SERIES_SLOTS * 5, sum = 0;
	struct stats_rate rate;

	/* One a width, five times beyond the end: folded three times, nothing lost. */
	for (uint64_t time = 0; time < end; time += SERIES_WIDTH_NS)
		series_add(series, time, 1);
	ck_assert_uint_eq(series->width_ns, SERIES_WIDTH_NS * 8);
	for (uint64_t i = 0; i < series->end_slot; i++)
		sum += series->slots[i];
	ck_assert_uint_eq(sum, SERIES_SLOTS * 5);
	rate = series_rate(series, end);
	ck_assert(fabs(rate.mean - 1e9 / (double)SERIES_WIDTH_NS) < 2 && rate.deviation < 10);
	series_add(other, 0, 7);
	series_merge(other, series);
	sum = 0;
	for (uint64_t i = 0; i < other->end_slot; i++)
		sum += other->slots[i];
	ck_assert_uint_eq(sum, SERIES_SLOTS * 5 + 7);
}
END_TEST

START_TEST(test_levels)
{
	static const uint64_t depths[] = { 1, 2, 3, 4, 8, 63, 64, 1000 };
	static const uint32_t depth_slots[] = { 0, 1, 1, 2, 3, 5, 6, 6 };
	static const uint64_t bursts[] = { 0, 1, 4, 5, 8, 9, 64, 65 };
	static const uint32_t burst_slots[] = { 0, 1, 1, 2, 2, 3, 5, 6 };

	for (size_t i = 0; i < TEST_COUNT(depths); i++) {
		ck_assert_uint_eq(stats_depth_slot(depths[i]), depth_slots[i]);
		ck_assert_uint_eq(stats_burst_slot(bursts[i]), burst_slots[i]);
	}
}
END_TEST

TEST_MAIN_UNIT("histogram", test_buckets, test_order, test_percentiles, test_merge, test_moments,
	       test_series, test_levels)
