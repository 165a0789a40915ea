/* SPDX-License-Identifier: Apache-2.0 */
/* Count and merge what a job's threads did. */
#include "load/stats.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "load/clock.h"

/*
 * Make empty counters of a kind; NULL without memory. They have pages of their own: most buckets
 * stay empty, and a page that no thread writes to takes none of the memory that is measured.
 */
static struct kind_stats *kind_new(void)
{
	void *memory = mmap(NULL, sizeof(struct kind_stats), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int stats_init(struct stats *stats, uint32_t kinds)
{
	memset(stats, 0, sizeof(*stats));
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++) {
		if (!(kinds & BENCH_BIT(kind)))
			continue;
		stats->kinds[kind] = kind_new();
		if (!stats->kinds[kind])
			return -ENOMEM;
	}
	return 0;
}

void stats_reset(struct stats *stats, uint64_t now)
{
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (stats->kinds[kind] && (stats->kinds[kind]->units || stats->kinds[kind]->errors))
			memset(stats->kinds[kind], 0, sizeof(*stats->kinds[kind]));
	memset(stats->depth_level, 0, sizeof(stats->depth_level));
	memset(stats->submit_level, 0, sizeof(stats->submit_level));
	memset(stats->complete_level, 0, sizeof(stats->complete_level));
	stats->start_ns = stats->end_ns = now;
}

/* Double the width of SERIES' slots. */
static void series_fold(struct series *series)
{
	for (size_t i = 0; i < SERIES_SLOTS / 2; i++)
		series->slots[i] = series->slots[2 * i] + series->slots[2 * i + 1];
	memset(series->slots + SERIES_SLOTS / 2, 0, sizeof(series->slots) / 2);
	series->width_ns *= 2;
	series->end_slot = (series->end_slot + 1) / 2;
}

void series_add(struct series *series, uint64_t time_ns, uint32_t units)
{
	uint64_t slot;

	if (!series->width_ns)
		series->width_ns = SERIES_WIDTH_NS;
	while ((slot = time_ns / series->width_ns) >= SERIES_SLOTS)
		series_fold(series);
	series->slots[slot] += units;
	if (slot >= series->end_slot)
		series->end_slot = slot + 1;
}

void series_merge(struct series *series, const struct series *from)
{
	for (uint64_t i = 0; i < from->end_slot; i++)
		if (from->slots[i])
			series_add(series, i * from->width_ns, from->slots[i]);
}

const char *const stats_depth_names[STATS_LEVELS] = { "1", "2", "4", "8", "16", "32", ">=64" };
const char *const stats_burst_names[STATS_LEVELS] = { "0", "4", "8", "16", "32", "64", ">=64" };

uint32_t stats_depth_slot(uint64_t count)
{
	uint32_t slot = 0;

	while (count > 1 && slot < STATS_LEVELS - 1) {
		count >>= 1;
		slot++;
	}
	return slot;
}

uint32_t stats_burst_slot(uint64_t count)
{
	uint32_t slot = count ? 1 : 0;

	for (uint64_t limit = 4; count > limit && slot < STATS_LEVELS - 1; limit *= 2)
		slot++;
	return slot;
}

int stats_merge(struct stats *stats, const struct stats *from)
{
	bool first = !stats->start_ns;

	for (uint32_t i = 0; i < BENCH_KINDS; i++) {
		const struct kind_stats *source = from->kinds[i];
		struct kind_stats *kind;

		if (!source)
			continue;
		if (!stats->kinds[i])
			stats->kinds[i] = kind_new();
		kind = stats->kinds[i];
		if (!kind)
			return -ENOMEM;
		histogram_merge(&kind->slat, &source->slat);
		histogram_merge(&kind->clat, &source->clat);
		histogram_merge(&kind->lat, &source->lat);
		series_merge(&kind->series, &source->series);
		kind->units += source->units;
		kind->errors += source->errors;
	}
	for (size_t i = 0; i < STATS_LEVELS; i++) {
		stats->depth_level[i] += from->depth_level[i];
		stats->submit_level[i] += from->submit_level[i];
		stats->complete_level[i] += from->complete_level[i];
	}
	if (first || from->start_ns < stats->start_ns)
		stats->start_ns = from->start_ns;
	if (first || from->end_ns > stats->end_ns)
		stats->end_ns = from->end_ns;
	stats->units_total += from->units_total;
	if (!stats->error) {
		stats->error = from->error;
		stats->error_kind = from->error_kind;
		memcpy(stats->error_id, from->error_id, sizeof(stats->error_id));
		memcpy(stats->error_text, from->error_text, sizeof(stats->error_text));
	}
	for (uint32_t i = 0; i < from->figures_count; i++) {
		const struct stats_figure *figure = &from->figures[i];

		stats_figure(stats, &(struct bench_figure){ figure->name, figure->value,
							    figure->maximum });
	}
	return 0;
}

/* Find the figure NAME, NULL when there is none. */
static struct stats_figure *figure_find(struct stats *stats, const char *name)
{
	for (uint32_t i = 0; i < stats->figures_count; i++)
		if (!strcmp(stats->figures[i].name, name))
			return &stats->figures[i];
	return NULL;
}

void stats_figure(struct stats *stats, const struct bench_figure *figure)
{
	struct stats_figure *found = figure_find(stats, figure->name);

	if (!found) {
		if (stats->figures_count == STATS_FIGURES_MAX)
			return;
		found = &stats->figures[stats->figures_count++];
		snprintf(found->name, sizeof(found->name), "%s", figure->name);
		found->maximum = figure->maximum;
		found->value = figure->value;
		return;
	}
	if (!found->maximum)
		found->value += figure->value;
	else if (figure->value > found->value)
		found->value = figure->value;
}

const struct stats_figure *stats_find_figure(const struct stats *stats, const char *name)
{
	return figure_find((struct stats *)stats, name);
}

uint64_t stats_duration(const struct stats *stats)
{
	return stats->end_ns > stats->start_ns ? stats->end_ns - stats->start_ns : 1;
}

uint64_t stats_units(const struct stats *stats)
{
	uint64_t units = 0;

	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (stats->kinds[kind])
			units += stats->kinds[kind]->units;
	return units;
}

struct stats_rate series_rate(const struct series *series, uint64_t duration_ns)
{
	struct stats_rate rate = { 0 };
	uint64_t sample_ns = duration_ns >= NS_PER_S ? NS_PER_S / 2 : duration_ns / 2, per, samples;
	double sum = 0, squares = 0;

	if (!series->width_ns)
		return rate;
	per = sample_ns > series->width_ns ? sample_ns / series->width_ns : 1;
	samples = duration_ns / (per * series->width_ns);
	/* A time too short for a sample is one sample as a whole. */
	if (!samples) {
		per = series->end_slot;
		samples = 1;
		duration_ns = duration_ns ? duration_ns : 1;
	} else {
		duration_ns = per * series->width_ns;
	}
	for (uint64_t i = 0; i < samples; i++) {
		uint64_t units = 0;
		double value;

		for (uint64_t k = i * per; k < (i + 1) * per && k < series->end_slot; k++)
			units += series->slots[k];
		value = (double)units * (double)NS_PER_S / (double)duration_ns;
		if (!i || value < rate.min)
			rate.min = value;
		if (value > rate.max)
			rate.max = value;
		sum += value;
		squares += value * value;
	}
	rate.samples = samples;
	if (samples) {
		rate.mean = sum / (double)samples;
		rate.deviation = sqrt(fmax(0, squares / (double)samples - rate.mean * rate.mean));
	}
	return rate;
}

void stats_destroy(struct stats *stats)
{
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (stats->kinds[kind])
			munmap(stats->kinds[kind], sizeof(*stats->kinds[kind]));
	memset(stats, 0, sizeof(*stats));
}
