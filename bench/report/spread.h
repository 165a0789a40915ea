/* SPDX-License-Identifier: Apache-2.0 */
/* Repeated measurements: their median, and how far they lie apart. */
#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include <stddef.h>

#define SPREAD_VALUES_MAX 1024

/* Repeated measurements of one thing. */
struct spread {
	/* Each, in the order they came; those beyond the limit are dropped. */
	double values[SPREAD_VALUES_MAX];
	/* How many. */
	size_t count;
};

/* Add VALUE. */
void spread_add(struct spread *spread, double value);

/* Return the median, 0 of none. */
double spread_median(const struct spread *spread);

/* Return the smallest, 0 of none. */
double spread_min(const struct spread *spread);

/* Return the largest, 0 of none. */
double spread_max(const struct spread *spread);

#endif
