/* SPDX-License-Identifier: Apache-2.0 */
/* Collect results, and the figures that several reports need. */
#include "report/result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"

enum direction result_direction(enum bench_kind kind)
{
	switch (kind) {
	case BENCH_CREATE:
	case BENCH_SNAPSHOT:
	case BENCH_CHOWN:
	case BENCH_RELABEL:
	case BENCH_QUOTA:
	case BENCH_APPLY:
	case BENCH_SYNC:
	case BENCH_COMMIT:
	case BENCH_FLUSH:
		return DIRECTION_WRITE;
	case BENCH_REMOVE:
	case BENCH_SWEEP:
		return DIRECTION_TRIM;
	default:
		return DIRECTION_READ;
	}
}

double result_iops(const struct result *result)
{
	return (double)stats_units(&result->stats) * (double)NS_PER_S /
	       (double)stats_duration(&result->stats);
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

int results_fail(struct results *results, const struct job *job, const char *engine,
		 const char *reason)
{
	struct failure *failures = realloc(results->failures,
					   (results->failures_count + 1) * sizeof(*failures));
	char *copy = strdup(reason);

	if (failures)
		results->failures = failures;
	if (!failures || !copy) {
		free(copy);
		return -ENOMEM;
	}
	failures[results->failures_count++] = (struct failure){ job, engine, copy };
	return 0;
}

const char *results_failure(const struct results *results, const struct job *job,
			    const char *engine)
{
	for (size_t i = 0; i < results->failures_count; i++)
		if (results->failures[i].job == job && !strcmp(results->failures[i].engine, engine))
			return results->failures[i].reason;
	for (size_t i = 0; i < results->count; i++) {
		const struct result *result = &results->items[i];

		if (result->job == job && result->stats.error &&
		    !strcmp(result->options.ioengine, engine))
			return *result->stats.error_text ? result->stats.error_text
							 : strerror(-result->stats.error);
	}
	return NULL;
}

const char *result_engine(const struct result *result)
{
	const char *name = result->options.ioengine;

	/* A loaded engine is known by its own name, not by its path. */
	return strncmp(name, "external:", 9) ? name : result->engine->name;
}

uint32_t results_rounds(const struct results *results)
{
	uint32_t count = 0;

	for (size_t i = 0; i < results->count; i++)
		if (results->items[i].round >= count)
			count = results->items[i].round + 1;
	return count;
}

void results_destroy(struct results *results)
{
	for (size_t i = 0; i < results->count; i++)
		stats_destroy(&results->items[i].stats);
	for (size_t i = 0; i < results->failures_count; i++)
		free(results->failures[i].reason);
	free(results->failures);
	free(results->items);
	*results = (struct results){ 0 };
}
