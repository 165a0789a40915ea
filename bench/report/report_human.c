/* SPDX-License-Identifier: Apache-2.0 */
/* The report as text, in fio's terse form. */
#include <math.h>
#include <string.h>

#include "load/clock.h"
#include "report/format.h"
#include "report/report.h"

#define PERCENTILES_A_LINE 4

/* Write one line of a latency: its extremes, mean and deviation. */
static void latency_line(FILE *file, const char *name, const struct histogram *histogram)
{
	struct time_unit unit = format_time_unit(histogram->min, histogram->max);
	double ns = (double)unit.ns;
	char min[FORMAT_SIZE], max[FORMAT_SIZE];

	if (!histogram->count)
		return;
	fprintf(file, "   %5s (%s): min=%s, max=%s, avg=%.2f, stdev=%.2f\n", name, unit.name,
		format_count((double)histogram->min / ns, min),
		format_count((double)histogram->max / ns, max), histogram_mean(histogram) / ns,
		histogram_deviation(histogram) / ns);
}

/* Write the percentiles of LAT. */
static void percentile_lines(FILE *file, const struct percentiles *list,
			     const struct histogram *lat)
{
	struct time_unit unit = format_time_unit(lat->min, histogram_percentile(lat, 99));
	unsigned width = 1;

	if (!lat->count || !list->count)
		return;
	for (uint64_t value = lat->max / unit.ns; value >= 10; value /= 10)
		width++;
	fprintf(file, "    lat percentiles (%s):\n", unit.name);
	for (uint32_t i = 0; i < list->count; i++) {
		bool last = i + 1 == list->count;

		fprintf(file, "%s%5.2fth=[%*llu]%s", i % PERCENTILES_A_LINE ? " " : "     | ",
			list->values[i], (int)width,
			(unsigned long long)(histogram_percentile(lat, list->values[i]) / unit.ns),
			last                           ? "\n"
			: (i + 1) % PERCENTILES_A_LINE ? ","
						       : ",\n");
	}
}

/* Write the lines of one kind. */
static void kind_lines(FILE *file, const struct result *result, enum bench_kind kind)
{
	const struct kind_stats *stats = result->stats.kinds[kind];
	uint64_t duration = stats_duration(&result->stats);
	struct stats_rate rate = series_rate(&stats->series, duration);
	char iops[FORMAT_SIZE];

	if (!stats->units && !stats->errors)
		return;
	fprintf(file, "  %s: IOPS=%s, %llu layers in %llu msec%s\n", engine_kind_name(kind),
		format_count((double)stats->units * (double)NS_PER_S / (double)duration, iops),
		(unsigned long long)stats->units, (unsigned long long)(duration / NS_PER_MS),
		stats->errors ? "; with errors" : "");
	latency_line(file, "slat", &stats->slat);
	latency_line(file, "clat", &stats->clat);
	latency_line(file, "lat", &stats->lat);
	percentile_lines(file, &result->options.percentiles, &stats->lat);
	fprintf(file, "   iops        : min=%.0f, max=%.0f, avg=%.2f, stdev=%.2f, samples=%llu\n",
		rate.min, rate.max, rate.mean, rate.deviation, (unsigned long long)rate.samples);
}

/* Write how the latencies are spread over decades. */
static void distribution_lines(FILE *file, const struct histogram *lat)
{
	static const struct {
		const char *name;
		uint64_t unit;
		uint32_t limits[10];
	} rows[] = {
		{ "nsec", 1, { 2, 4, 10, 20, 50, 100, 250, 500, 750, 1000 } },
		{ "usec", NS_PER_US, { 2, 4, 10, 20, 50, 100, 250, 500, 750, 1000 } },
		{ "msec", NS_PER_MS, { 2, 4, 10, 20, 50, 100, 250, 500, 750, 1000 } },
	};
	uint64_t low = 0, rest;

	if (!lat->count)
		return;
	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		bool any = false;

		for (size_t i = 0; i < 10; i++) {
			uint64_t high = rows[row].limits[i] * rows[row].unit;
			uint64_t count = histogram_between(lat, low, high);

			low = high;
			if (!count)
				continue;
			fprintf(file, "%s%u=%.2f%%",
				any        ? ", "
				: row == 0 ? "  lat (nsec)   : "
				: row == 1 ? "  lat (usec)   : "
					   : "  lat (msec)   : ",
				rows[row].limits[i], 100.0 * (double)count / (double)lat->count);
			any = true;
		}
		if (any)
			fputc('\n', file);
	}
	rest = histogram_between(lat, NS_PER_S, UINT64_MAX);
	if (rest)
		fprintf(file, "  lat (sec)    : >=1=%.2f%%\n",
			100.0 * (double)rest / (double)lat->count);
}

/* Write a line of percentages of LEVELS. */
static void level_line(FILE *file, const char *title, const uint64_t *levels,
		       const char *const *names)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < STATS_LEVELS; i++)
		sum += levels[i];
	fprintf(file, "%s", title);
	for (size_t i = 0; i < STATS_LEVELS; i++)
		fprintf(file, "%s%s=%.1f%%", i ? ", " : "", names[i],
			sum ? 100.0 * (double)levels[i] / (double)sum : 0.0);
	fputc('\n', file);
}

/* Write commits, the cleaner's backlog, and the engine's own figures. */
static void engine_lines(FILE *file, const struct result *result)
{
	uint64_t units = stats_units(&result->stats);
	char time[FORMAT_SIZE];

	if (result->has_commits)
		fprintf(file, "  commits      : %llu, operations per commit=%.1f\n",
			(unsigned long long)result->commits,
			result->commits ? (double)units / (double)result->commits : 0.0);
	if (result->has_backlog)
		fprintf(file, "  cleaner      : backlog=%llu at the end, %s%s\n",
			(unsigned long long)result->backlog,
			result->drained ? "drained in " : "not waited for",
			result->drained ? format_time((double)result->drain_ns, time) : "");
	for (uint32_t i = 0; i < result->stats.figures_count; i++) {
		const struct stats_figure *figure = &result->stats.figures[i];

		fprintf(file, "%s%s=%.10g%s", i ? ", " : "  engine       : ", figure->name,
			figure->value, i + 1 == result->stats.figures_count ? "\n" : "");
	}
}

/* Write one result. */
static void result_lines(FILE *file, const struct results *results, const struct result *result)
{
	struct histogram lat = { 0 };
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&results->when, &tm))
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &tm);
	fprintf(file,
		"%s: (groupid=%u, jobs=%u): err=%2d%s%s: engine=%s, rw=%s, iodepth=%llu: %s\n",
		result->options.name, result->group, result->threads, -result->stats.error,
		result->stats.error ? ": " : "",
		result->stats.error ? strerror(-result->stats.error) : "", result_engine(result),
		options_workload_name(result->options.rw),
		(unsigned long long)result->options.iodepth, when);
	if (result->stats.error)
		fprintf(file, "  failed: %s %s%s%s\n", engine_kind_name(result->stats.error_kind),
			result->stats.error_id, *result->stats.error_text ? ": " : "",
			result->stats.error_text);
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
		if (result->stats.kinds[kind])
			kind_lines(file, result, kind);
	result_latency(result, DIRECTIONS, &lat);
	distribution_lines(file, &lat);
	fprintf(file,
		"  cpu          : usr=%.2f%%, sys=%.2f%%, ctx=%llu, majf=%llu, minf=%llu, rss=%lluKiB\n",
		result->usr_cpu, result->sys_cpu, (unsigned long long)result->context_switches,
		(unsigned long long)result->major_faults, (unsigned long long)result->minor_faults,
		(unsigned long long)result->rss_kib);
	level_line(file, "  IO depths    : ", result->stats.depth_level, stats_depth_names);
	level_line(file, "     submit    : ", result->stats.submit_level, stats_burst_names);
	level_line(file, "     complete  : ", result->stats.complete_level, stats_burst_names);
	engine_lines(file, result);
}

void report_human(FILE *file, const struct results *results)
{
	bool interrupted = false;

	for (size_t i = 0; i < results->count; i++) {
		if (i)
			fputc('\n', file);
		result_lines(file, results, &results->items[i]);
		interrupted |= results->items[i].interrupted;
	}
	fprintf(file, "\nRun status:\n");
	for (size_t i = 0; i < results->count; i++) {
		const struct result *result = &results->items[i];
		char iops[FORMAT_SIZE];

		fprintf(file, "  %s (%s): iops=%s, layers=%llu, run=%llumsec\n",
			result->options.name, result_engine(result),
			format_count(result_iops(result), iops),
			(unsigned long long)stats_units(&result->stats),
			(unsigned long long)(stats_duration(&result->stats) / NS_PER_MS));
	}
	if (interrupted)
		fprintf(file, "  interrupted: these are the results up to then\n");
}
