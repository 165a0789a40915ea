/* SPDX-License-Identifier: Apache-2.0 */
/* Sum up repeated measurements. */
#include "report/spread.h"

#include <stdlib.h>
#include <string.h>

void spread_add(struct spread *spread, double value)
{
	if (spread->count < SPREAD_VALUES_MAX)
		spread->values[spread->count++] = value;
}

/* Order two doubles. */
static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double spread_median(const struct spread *spread)
{
	double sorted[SPREAD_VALUES_MAX];
	size_t half = spread->count / 2;

	if (!spread->count)
		return 0;
	memcpy(sorted, spread->values, spread->count * sizeof(*sorted));
	qsort(sorted, spread->count, sizeof(*sorted), by_value);
	return spread->count & 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double spread_min(const struct spread *spread)
{
	double min = spread->count ? spread->values[0] : 0;

	for (size_t i = 1; i < spread->count; i++)
		if (spread->values[i] < min)
			min = spread->values[i];
	return min;
}

double spread_max(const struct spread *spread)
{
	double max = spread->count ? spread->values[0] : 0;

	for (size_t i = 1; i < spread->count; i++)
		if (spread->values[i] > max)
			max = spread->values[i];
	return max;
}
