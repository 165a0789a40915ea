/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page with charts: throughput over time, latency percentiles, scaling with depth. Inline SVG,
 * no script, nothing from elsewhere, so that the file can be mailed and opened anywhere.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"
#include "report/format.h"
#include "place/machine.h"
#include "report/pair.h"
#include "report/report.h"

#define ENTRIES_MAX 64
#define WIDTH 860
#define HEIGHT_MIN 340
#define LEFT 80
#define RIGHT 230
#define TOP 40
#define BOTTOM 52
#define LEGEND_LINE 17
#define TICKS 5
#define TIME_POINTS_MAX 120
/* Rates that differ by more than this factor are drawn on a logarithmic axis. */
#define LOG_FACTOR 30

static const char *const colors[] = { "#1f5fa8", "#d1495b", "#2e8b57", "#e08e1b",
				      "#6a4c93", "#1b998b", "#8d5524", "#7a7a7a",
				      "#c2185b", "#00838f", "#558b2f", "#5d4037" };

/* One job on one engine, all its threads and repetitions together. */
struct entry {
	const struct result *first; /* The first of its results. */
	char label[160];            /* "job (engine)". */
	struct histogram lat;       /* Of all kinds and repetitions. */
	struct series series;       /* Of all kinds, in the first repetition. */
	struct spread iops;         /* Of each repetition. */
	uint64_t depth;             /* Operations in flight in all. */
};

/* A chart's axes. */
struct axes {
	int height;       /* Of the whole chart: with many lines it must hold their names. */
	double x_max;     /* Value at the right end. */
	bool logarithmic; /* The y axis is. */
	double y_max;     /* Value at the top. */
	double y_min;     /* Value at the bottom. */
};

/* Write TEXT with the characters of HTML's markup escaped. */
static void escape(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", file);
		else if (*text == '>')
			fputs("&gt;", file);
		else if (*text == '&')
			fputs("&amp;", file);
		else if (*text == '"')
			fputs("&quot;", file);
		else
			fputc(*text, file);
	}
}

/* Return whether ENTRY is of ENGINE. */
static bool is_of(const struct entry *entry, const char *engine)
{
	return !strcmp(result_engine(entry->first), engine);
}

/* Find or add the entry for RESULT. NULL when there is no room. */
static struct entry *entry_find(struct entry *entries, size_t *count, const struct result *result)
{
	struct entry *entry;

	for (size_t i = 0; i < *count; i++)
		if (entries[i].first->job == result->job &&
		    is_of(&entries[i], result_engine(result)))
			return &entries[i];
	if (*count == ENTRIES_MAX)
		return NULL;
	entry = &entries[(*count)++];
	entry->first = result;
	entry->depth = (result->engine->wait ? result->options.iodepth : 1) *
		       result->options.numjobs;
	snprintf(entry->label, sizeof(entry->label), "%.110s (%.40s)", result->options.name,
		 result_engine(result));
	return entry;
}

/* Sum up RESULTS by job and engine. Returns how many entries there are. */
static size_t entries_collect(const struct results *results, struct entry *entries)
{
	size_t count = 0;

	for (size_t i = 0; i < results->count; i++) {
		const struct result *result = &results->items[i];
		struct entry *entry = entry_find(entries, &count, result);

		if (!entry)
			continue;
		result_latency(result, DIRECTIONS, &entry->lat);
		/* Threads that are reported one by one belong to one repetition. */
		if (entry->iops.count <= result->round)
			spread_add(&entry->iops, result_iops(result));
		else
			entry->iops.values[result->round] += result_iops(result);
		for (uint32_t kind = 0; result->round == 0 && kind < BENCH_KINDS; kind++)
			if (result->stats.kinds[kind])
				series_merge(&entry->series, &result->stats.kinds[kind]->series);
	}
	return count;
}

/* Round VALUE up to 1, 2 or 5 times a power of ten. */
static double round_up(double value)
{
	double power = pow(10, floor(log10(value > 0 ? value : 1)));

	for (double factor = 1; factor < 10; factor = factor == 1 ? 2 : factor == 2 ? 5 : 10)
		if (value <= factor * power)
			return factor * power;
	return 10 * power;
}

/* Return the position of value X. */
static double x_at(const struct axes *axes, double x)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * (axes->x_max > 0 ? x / axes->x_max : 0);
}

/* Return the position of value Y. */
static double y_at(const struct axes *axes, double y)
{
	double share = 0;

	if (axes->logarithmic)
		share = log(fmax(y, axes->y_min) / axes->y_min) / log(axes->y_max / axes->y_min);
	else if (axes->y_max > axes->y_min)
		share = (y - axes->y_min) / (axes->y_max - axes->y_min);
	return axes->height - BOTTOM - (axes->height - TOP - BOTTOM) * share;
}

/* Choose the y axis for values from LOW (above 0) to HIGH; LOGARITHMIC: it must be. */
static void axes_choose(struct axes *axes, double low, double high, bool logarithmic)
{
	axes->logarithmic = logarithmic || (low > 0 && high / low > LOG_FACTOR);
	if (!axes->logarithmic) {
		axes->y_max = round_up(high);
		return;
	}
	axes->y_min = pow(10, floor(log10(fmax(low, 1e-3))));
	axes->y_max = pow(10, ceil(log10(fmax(high, axes->y_min * 1.1))));
}

/* Begin a chart called ID-WHAT. */
static void chart_begin(FILE *file, const struct axes *axes, const char *id, const char *what,
			const char *title, const char *x_label, const char *y_label)
{
	int middle = TOP + (axes->height - TOP - BOTTOM) / 2;

	fprintf(file, "<svg id=\"%s-%s\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
		id, what, WIDTH, axes->height, title);
	fprintf(file, "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", LEFT, title);
	fprintf(file, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		LEFT + (WIDTH - LEFT - RIGHT) / 2, axes->height - 10, x_label);
	fprintf(file,
		"<text class=\"label\" x=\"16\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 16 %d)\">%s</text>\n",
		middle, middle, y_label);
	fprintf(file, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
		LEFT, TOP, WIDTH - LEFT - RIGHT, axes->height - TOP - BOTTOM);
}

/* Write a mark TEXT on the x axis at X. */
static void tick_x(FILE *file, const struct axes *axes, double x, const char *text)
{
	fprintf(file, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		x_at(axes, x), axes->height - BOTTOM + 16, text);
}

/* Write a mark on the y axis at Y, with a line across. FORMAT writes its number. */
static void tick_y(FILE *file, const struct axes *axes, double y,
		   const char *(*format)(double value, char *buffer))
{
	double at = y_at(axes, y);
	char text[FORMAT_SIZE];

	fprintf(file, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
		WIDTH - RIGHT, at, at);
	fprintf(file, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
		LEFT - 6, at + 4, format(y, text));
}

/* Write marks on the y axis: even ones, or one a decade. */
static void ticks_y(FILE *file, const struct axes *axes,
		    const char *(*format)(double value, char *buffer))
{
	for (int i = 0; !axes->logarithmic && i <= TICKS; i++)
		tick_y(file, axes, axes->y_max * i / TICKS, format);
	for (double y = axes->y_min; axes->logarithmic && y <= axes->y_max * 1.01; y *= 10)
		tick_y(file, axes, y, format);
}

/* Return how high a chart with COUNT lines must be. */
static int chart_height(size_t count)
{
	int wanted = TOP + 16 + (int)count * LEGEND_LINE;

	return wanted > HEIGHT_MIN ? wanted : HEIGHT_MIN;
}

/* Write the name of series INDEX beside the chart. */
static void legend(FILE *file, size_t index, const char *label)
{
	int y = TOP + 8 + (int)index * LEGEND_LINE;

	fprintf(file, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"4\" fill=\"%s\"/>",
		WIDTH - RIGHT + 12, y, colors[index % (sizeof(colors) / sizeof(*colors))]);
	fprintf(file, "<text class=\"tick\" x=\"%d\" y=\"%d\">", WIDTH - RIGHT + 30, y + 6);
	escape(file, label);
	fprintf(file, "</text>\n");
}

/* Begin the line of series INDEX. */
static void line_begin(FILE *file, size_t index)
{
	fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
		colors[index % (sizeof(colors) / sizeof(*colors))]);
}

/* Sum up SERIES from SLOT for PER slots, as a rate. */
static double series_at(const struct series *series, uint64_t slot, uint64_t per)
{
	uint64_t units = 0;

	for (uint64_t i = slot; i < slot + per && i < series->end_slot; i++)
		units += series->slots[i];
	return (double)units * (double)NS_PER_S / (double)(per * series->width_ns);
}

/* Return how many slots of SERIES make one point of its line. */
static uint64_t series_step(const struct series *series)
{
	return series->end_slot / TIME_POINTS_MAX + 1 > 5 ? series->end_slot / TIME_POINTS_MAX + 1
							  : 5;
}

/* Draw throughput over time. */
static void chart_time(FILE *file, const char *what, const struct entry *entries, size_t count)
{
	struct axes axes = { .height = chart_height(count) };
	double low = 0, high = 0;

	for (size_t i = 0; i < count; i++) {
		const struct series *series = &entries[i].series;
		uint64_t step = series_step(series);
		double iops = spread_median(&entries[i].iops);

		axes.x_max = fmax(axes.x_max,
				  (double)(series->end_slot * series->width_ns) / (double)NS_PER_S);
		for (uint64_t k = 0; k + step <= series->end_slot; k += step)
			high = fmax(high, series_at(series, k, step));
		if (iops > 0 && (low == 0 || iops < low))
			low = iops;
	}
	axes_choose(&axes, low, high, false);
	chart_begin(file, &axes, "throughput", what, "Throughput over time", "seconds",
		    "layers a second");
	ticks_y(file, &axes, format_count);
	for (int i = 0; i <= TICKS; i++) {
		char text[FORMAT_SIZE];

		snprintf(text, sizeof(text), "%.2g", axes.x_max * i / TICKS);
		tick_x(file, &axes, axes.x_max * i / TICKS, text);
	}
	for (size_t i = 0; i < count; i++) {
		const struct series *series = &entries[i].series;
		uint64_t step = series_step(series);

		line_begin(file, i);
		for (uint64_t k = 0; k + step <= series->end_slot; k += step)
			fprintf(file, "%.1f,%.1f ",
				x_at(&axes, ((double)k + (double)step / 2) *
						    (double)series->width_ns / (double)NS_PER_S),
				y_at(&axes, series_at(series, k, step)));
		fprintf(file, "\"/>\n");
		legend(file, i, entries[i].label);
	}
	fprintf(file, "</svg>\n");
}

/* Draw latency percentiles, on a logarithmic axis. */
static void chart_latency(FILE *file, const char *what, const struct entry *entries, size_t count)
{
	static const double percents[] = { 1, 25, 50, 75, 90, 99, 99.9, 100 };
	static const char *const names[] = { "1", "25", "50", "75", "90", "99", "99.9", "max" };
	const size_t points = sizeof(percents) / sizeof(*percents);
	struct axes axes = { .height = chart_height(count), .x_max = (double)points - 1 };
	double low = 0, high = 1;

	for (size_t i = 0; i < count; i++) {
		if (!entries[i].lat.count)
			continue;
		high = fmax(high, (double)entries[i].lat.max);
		if (low == 0 || (double)entries[i].lat.min < low)
			low = fmax(1, (double)entries[i].lat.min);
	}
	axes_choose(&axes, fmax(low, 1), high, true);
	chart_begin(file, &axes, "latency", what, "Latency percentiles by engine", "percentile",
		    "latency");
	ticks_y(file, &axes, format_time);
	for (size_t k = 0; k < points; k++)
		tick_x(file, &axes, (double)k, names[k]);
	for (size_t i = 0; i < count; i++) {
		line_begin(file, i);
		for (size_t k = 0; entries[i].lat.count && k < points; k++)
			fprintf(file, "%.1f,%.1f ", x_at(&axes, (double)k),
				y_at(&axes,
				     (double)histogram_percentile(&entries[i].lat, percents[k])));
		fprintf(file, "\"/>\n");
		legend(file, i, entries[i].label);
	}
	fprintf(file, "</svg>\n");
}

/* Find the entry of ENGINE with the least depth above LAST. NULL when there is none. */
static const struct entry *next_depth(const struct entry *entries, size_t count, const char *engine,
				      uint64_t last)
{
	const struct entry *next = NULL;

	for (size_t i = 0; i < count; i++)
		if (is_of(&entries[i], engine) && entries[i].depth > last &&
		    (!next || entries[i].depth < next->depth))
			next = &entries[i];
	return next;
}

/* Draw the line of ENGINE, by depth, as series INDEX, with a point for each of its jobs. */
static void line_depth(FILE *file, const struct axes *axes, const struct entry *entries,
		       size_t count, const char *engine, size_t index)
{
	const struct entry *entry = NULL;

	line_begin(file, index);
	while ((entry = next_depth(entries, count, engine, entry ? entry->depth : 0)))
		fprintf(file, "%.1f,%.1f ", x_at(axes, log2((double)entry->depth)),
			y_at(axes, spread_median(&entry->iops)));
	fprintf(file, "\"/>\n");
	for (size_t i = 0; i < count; i++)
		if (is_of(&entries[i], engine))
			fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n",
				x_at(axes, log2((double)entries[i].depth)),
				y_at(axes, spread_median(&entries[i].iops)),
				colors[index % (sizeof(colors) / sizeof(*colors))]);
	legend(file, index, engine);
}

/* Draw the rate by the number of operations in flight, a line for each engine. */
static void chart_depth(FILE *file, const char *what, const struct entry *entries, size_t count)
{
	struct axes axes = { .height = HEIGHT_MIN, .x_max = 1 };
	double low = 0, high = 0;
	size_t lines = 0;

	for (size_t i = 0; i < count; i++) {
		double iops = spread_median(&entries[i].iops);

		axes.x_max = fmax(axes.x_max, ceil(log2((double)entries[i].depth)));
		high = fmax(high, iops);
		if (iops > 0 && (low == 0 || iops < low))
			low = iops;
	}
	axes_choose(&axes, low, high, false);
	chart_begin(file, &axes, "scaling", what, "Scaling with depth", "operations in flight",
		    "layers a second");
	ticks_y(file, &axes, format_count);
	for (double x = 0; x <= axes.x_max; x++) {
		char text[FORMAT_SIZE];

		snprintf(text, sizeof(text), "%.0f", exp2(x));
		tick_x(file, &axes, x, text);
	}
	for (size_t i = 0; i < count; i++) {
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen |= is_of(&entries[k], result_engine(entries[i].first));
		if (!seen)
			line_depth(file, &axes, entries, count, result_engine(entries[i].first),
				   lines++);
	}
	fprintf(file, "</svg>\n");
}

/* Order entries by workload, those of one workload as the results are. */
static int by_workload(const void *a, const void *b)
{
	const struct result *x = ((const struct entry *)a)->first,
			    *y = ((const struct entry *)b)->first;

	if (x->options.rw != y->options.rw)
		return x->options.rw < y->options.rw ? -1 : 1;
	return (x > y) - (x < y);
}

/* Draw the charts of all entries; those of one workload share a chart. */
static void charts(FILE *file, struct entry *entries, size_t count)
{
	size_t begin = 0, end;

	qsort(entries, count, sizeof(*entries), by_workload);
	for (; begin < count; begin = end) {
		uint32_t rw = entries[begin].first->options.rw;
		const char *what = options_workload_name(rw);

		for (end = begin; end < count && entries[end].first->options.rw == rw; end++)
			;
		fprintf(file, "<h2>%s</h2>\n", what);
		chart_time(file, what, entries + begin, end - begin);
		chart_latency(file, what, entries + begin, end - begin);
		chart_depth(file, what, entries + begin, end - begin);
	}
}

/* Write the figures as a table. */
static void table(FILE *file, const struct entry *entries, size_t count)
{
	fprintf(file,
		"<table><tr><th>job</th><th>engine</th><th>in flight</th><th>layers/s</th><th>p50</th><th>p99</th>"
		"<th>max</th><th>runs</th></tr>\n");
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];
		char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE], d[FORMAT_SIZE];

		fprintf(file, "<tr><td>");
		escape(file, entry->first->options.name);
		fprintf(file,
			"</td><td>%s</td><td>%llu</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%zu</td></tr>\n",
			result_engine(entry->first), (unsigned long long)entry->depth,
			format_count(spread_median(&entry->iops), a),
			format_time((double)histogram_percentile(&entry->lat, 50), b),
			format_time((double)histogram_percentile(&entry->lat, 99), c),
			format_time((double)entry->lat.max, d), entry->iops.count);
	}
	fprintf(file, "</table>\n");
}

int report_html(FILE *file, const struct job_set *set, const struct results *results)
{
	struct entry *entries = calloc(ENTRIES_MAX, sizeof(*entries));
	struct machine machine;
	size_t count;

	if (!entries)
		return -ENOMEM;
	count = entries_collect(results, entries);
	machine_describe(&machine);
	fprintf(file,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>varve-bench</title>\n<style>"
		"body{font:15px sans-serif;max-width:900px;margin:24px auto;padding:0 16px;color:#222;background:#fff}"
		"svg{display:block;width:100%%;margin:18px 0}.title{font-size:17px;font-weight:bold}"
		".label{font-size:13px}.tick{font-size:11px;fill:#444}.frame{fill:none;stroke:#999}"
		".grid{stroke:#e4e4e4}table{border-collapse:collapse}td,th{padding:4px 10px;border-bottom:1px solid "
		"#ddd;text-align:right}td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}"
		"</style></head><body>\n<h1>varve-bench</h1>\n<p>");
	escape(file, machine.cpu);
	fprintf(file, ", %ld cores, %.0f GiB; %s; varve %s</p>\n", machine.cores,
		(double)machine.memory_mib / 1024, machine.kernel, machine.library);
	charts(file, entries, count);
	table(file, entries, count);
	fprintf(file, "</body></html>\n");
	free(entries);
	return 0;
}
