/* SPDX-License-Identifier: Apache-2.0 */
/* Collect results, and the figures that several reports need. */
#include "result.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum direction result_direction(enum bench_kind kind)
{
	switch (kind) {
	case BENCH_CREATE:
	case BENCH_SNAPSHOT:
	case BENCH_CHOWN:
	case BENCH_RELABEL:
	case BENCH_QUOTA:
		return DIRECTION_WRITE;
	case BENCH_REMOVE:
		return DIRECTION_TRIM;
	default:
		return DIRECTION_READ;
	}
}

double result_iops(const struct result *result)
{
	return (double)stats_units(&result->stats) * (double)NS_PER_S / (double)stats_duration(&result->stats);
}

void result_latency(const struct result *result, enum direction direction, struct histogram *ret)
{
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (result->stats.kinds[kind] &&
		    (direction == DIRECTIONS || result_direction(kind) == direction))
			histogram_merge(ret, &result->stats.kinds[kind]->lat);
}

struct result *results_add(struct results *results)
{
	struct result *items = realloc(results->items, (results->count + 1) * sizeof(*items));

	if (!items)
		return NULL;
	results->items = items;
	memset(&items[results->count], 0, sizeof(*items));
	return &items[results->count++];
}

void results_destroy(struct results *results)
{
	for (size_t i = 0; i < results->count; i++)
		stats_destroy(&results->items[i].stats);
	free(results->items);
	*results = (struct results){0};
}
