/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Count latencies in constant memory: a log-linear histogram.
 *
 * With S = HISTOGRAM_SUB_BITS, a value v below 2^S has a bucket of its own. A larger one with its
 * highest bit at position m lies in one of the 2^S buckets that divide [2^m, 2^(m+1)) evenly, each
 * 2^(m-S) wide.
 *
 * Error bound: a value is read back as the middle of its bucket, so it is off by at most half a
 * width, 2^(m-S) / 2. Since v >= 2^m, the relative error is at most 2^(m-S-1) / 2^m = 2^-(S+1):
 * 1/128 for S = 6, under 0.8 %. Minimum, maximum, sum and the sum of squares are exact, and a
 * percentile is clamped to [min, max], so the lowest and the highest are exact too. Values from
 * 2^HISTOGRAM_VALUE_BITS on share the last bucket (their maximum stays exact).
 *
 * Histograms of several threads are added bucket by bucket: merging loses nothing.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_VALUE_BITS 42 /* 2^42 ns: 73 minutes */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* Latencies of one kind; all zeros is an empty one. */
struct histogram {
	uint64_t count;                      /* Values recorded: the sum of all buckets. */
	uint64_t sum;                        /* Sum of the values. */
	unsigned __int128 sum_squares;       /* Sum of their squares. */
	uint64_t min;                        /* Smallest; 0 when empty. */
	uint64_t max;                        /* Largest; 0 when empty. */
	uint64_t buckets[HISTOGRAM_BUCKETS]; /* How many values lie in each bucket. */
};

/* Return the bucket that VALUE lies in. */
static inline uint32_t histogram_index(uint64_t value)
{
	uint32_t shift;

	if (value >= 1ull << HISTOGRAM_VALUE_BITS)
		return HISTOGRAM_BUCKETS - 1;
	if (value < 1ull << HISTOGRAM_SUB_BITS)
		return (uint32_t)value;
	shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* Record VALUE, COUNT times. */
static inline void histogram_add(struct histogram *histogram, uint64_t value, uint64_t count)
{
	if (!histogram->count || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->count += count;
	histogram->sum += value * count;
	histogram->sum_squares += (unsigned __int128)value * value * count;
	histogram->buckets[histogram_index(value)] += count;
}

/* Return the value that stands for bucket INDEX: its middle. */
uint64_t histogram_value(uint32_t index);

/* Add all that FROM has recorded to HISTOGRAM. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/* Return the mean of the values, 0 of none. */
double histogram_mean(const struct histogram *histogram);

/* Return the standard deviation of the values, 0 of none. */
double histogram_deviation(const struct histogram *histogram);

/*
 * Return the smallest value that at least PERCENT (0..100) of the values do not exceed, 0 of none.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Count the values in [LOW, HIGH), to the precision of the buckets. */
uint64_t histogram_between(const struct histogram *histogram, uint64_t low, uint64_t high);

#endif
