/* SPDX-License-Identifier: Apache-2.0 */
/* Read and merge latency histograms; the layout and its error bound are in the header. */
#include "load/histogram.h"

#include <math.h>
#include <stddef.h>

uint64_t histogram_value(uint32_t index)
{
	uint32_t shift;
	uint64_t low;

	if (index < 2u << HISTOGRAM_SUB_BITS)
		return index;
	shift = (index >> HISTOGRAM_SUB_BITS) - 1;
	low = ((uint64_t)index - ((uint64_t)shift << HISTOGRAM_SUB_BITS)) << shift;
	return low + (1ull << shift) / 2;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
	if (!from->count)
		return;
	if (!histogram->count || from->min < histogram->min)
		histogram->min = from->min;
	if (from->max > histogram->max)
		histogram->max = from->max;
	histogram->count += from->count;
	histogram->sum += from->sum;
	histogram->sum_squares += from->sum_squares;
	/* Only up to the largest value: a page that is not written to takes no memory. */
	for (uint32_t i = histogram_index(from->min); i <= histogram_index(from->max); i++)
		histogram->buckets[i] += from->buckets[i];
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->count ? (double)histogram->sum / (double)histogram->count : 0;
}

double histogram_deviation(const struct histogram *histogram)
{
	long double n = histogram->count, mean, variance;

	if (!histogram->count)
		return 0;
	mean = (long double)histogram->sum / n;
	variance = (long double)histogram->sum_squares / n - mean * mean;
	return variance > 0 ? (double)sqrtl(variance) : 0;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
	uint64_t rank, seen = 0;

	if (!histogram->count)
		return 0;
	rank = (uint64_t)ceil(percent / 100 * (double)histogram->count);
	if (rank <= 1)
		return histogram->min;
	if (rank >= histogram->count)
		return histogram->max;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen >= rank) {
			uint64_t value = histogram_value(i);

			if (value < histogram->min)
				return histogram->min;
			return value < histogram->max ? value : histogram->max;
		}
	}
	return histogram->max;
}

uint64_t histogram_between(const struct histogram *histogram, uint64_t low, uint64_t high)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t value;

		if (!histogram->buckets[i])
			continue;
		value = histogram_value(i);
		if (value >= low && value < high)
			seen += histogram->buckets[i];
	}
	return seen;
}
