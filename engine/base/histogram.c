/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bucket of a value v: below 16, v itself; else, with e the position of its highest bit, the 16
 * buckets of the power 2^e differ in the 4 bits below that one. A bucket of power e is 2^(e-4) wide
 * and begins at 2^e or above, so its upper end exceeds any of its values by less than 1/16.
 */
#include "engine/base/histogram.h"
#include "engine/base/util.h"

#include <assert.h>

#define HISTOGRAM_BITS 4
#define HISTOGRAM_SUB (1u << HISTOGRAM_BITS)
/* Powers 4..39 have 16 buckets each; powers 0..3 share the first 16. */
#define HISTOGRAM_POWERS 40

static_assert(VARVE_HISTOGRAM_BUCKETS == HISTOGRAM_SUB * (HISTOGRAM_POWERS - HISTOGRAM_BITS + 1),
	      "bucket count");

/* The bucket that VALUE falls into. */
static unsigned histogram_bucket(uint64_t value)
{
	unsigned power;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	power = 63u - (unsigned)__builtin_clzll(value);
	if (power >= HISTOGRAM_POWERS)
		return VARVE_HISTOGRAM_BUCKETS - 1;
	return (power - HISTOGRAM_BITS + 1) * HISTOGRAM_SUB +
	       (unsigned)(value >> (power - HISTOGRAM_BITS) & (HISTOGRAM_SUB - 1));
}

/* The largest value of BUCKET. */
static uint64_t histogram_bucket_end(unsigned bucket)
{
	unsigned power = bucket / HISTOGRAM_SUB + HISTOGRAM_BITS - 1;

	if (bucket < HISTOGRAM_SUB)
		return bucket;
	return (((uint64_t)HISTOGRAM_SUB + bucket % HISTOGRAM_SUB + 1)
		<< (power - HISTOGRAM_BITS)) -
	       1;
}

void histogram_record(struct varve_histogram *histogram, uint64_t latency_ns)
{
	if (!histogram->count || latency_ns < histogram->min_ns)
		histogram->min_ns = latency_ns;
	histogram->max_ns = MAX(histogram->max_ns, latency_ns);
	histogram->count++;
	histogram->sum_ns += latency_ns;
	histogram->buckets[histogram_bucket(latency_ns)]++;
}

uint64_t histogram_percentile(const struct varve_histogram *histogram, double percent)
{
	double rank = percent / 100.0 * (double)histogram->count;
	uint64_t seen = 0, end_ns;

	if (!histogram->count)
		return 0;
	for (unsigned i = 0; i < VARVE_HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (!seen || (double)seen < rank)
			continue;
		end_ns = i == VARVE_HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : histogram_bucket_end(i);
		return MIN(end_ns, histogram->max_ns);
	}
	return histogram->max_ns;
}
