/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page with charts: throughput over time, latency percentiles, scaling with depth. Inline SVG, no script, nothing
 * from elsewhere, so that the file can be mailed and opened anywhere.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "format.h"
#include "machine.h"
#include "pair.h"
#include "report.h"

#define ENTRIES_MAX 24
#define WIDTH 860
#define HEIGHT 340
#define LEFT 80
#define RIGHT 230
#define TOP 40
#define BOTTOM 52
#define TICKS 5
#define TIME_POINTS_MAX 120

static const char *const colors[] = {"#1f5fa8", "#d1495b", "#2e8b57", "#e08e1b", "#6a4c93", "#1b998b",
				     "#8d5524", "#7a7a7a", "#c2185b", "#00838f", "#558b2f", "#5d4037"};

/* One job on one engine, all its threads and repetitions together. */
struct entry {
	const struct result *first;	/* The first of its results. */
	char label[160];		/* "job (engine)". */
	struct histogram lat;		/* Of all kinds and repetitions. */
	struct series series;		/* Of all kinds, in the first repetition. */
	struct spread iops;		/* Of each repetition. */
	uint64_t depth;			/* Operations in flight in all. */
};

/* A chart's axes. */
struct axes {
	double x_max;		/* Value at the right end. */
	double y_max;		/* Value at the top; of a logarithmic axis its logarithm. */
	double y_min;		/* Value at the bottom, likewise. */
};

/* Write TEXT with what HTML would take for markup escaped. */
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

/* Find or add the entry for RESULT. NULL when there is no room. */
static struct entry *entry_find(struct entry *entries, size_t *count, const struct result *result)
{
	struct entry *entry;

	for (size_t i = 0; i < *count; i++)
		if (entries[i].first->job == result->job && entries[i].first->engine == result->engine)
			return &entries[i];
	if (*count == ENTRIES_MAX)
		return NULL;
	entry = &entries[(*count)++];
	entry->first = result;
	entry->depth = (result->engine->wait ? result->options.iodepth : 1) * result->options.numjobs;
	snprintf(entry->label, sizeof(entry->label), "%.110s (%.40s)", result->options.name, result->engine->name);
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

/* Tell where value X lies. */
static double x_at(const struct axes *axes, double x)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * (axes->x_max > 0 ? x / axes->x_max : 0);
}

/* Tell where value Y lies. */
static double y_at(const struct axes *axes, double y)
{
	double span = axes->y_max - axes->y_min;

	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (span > 0 ? (y - axes->y_min) / span : 0);
}

/* Begin a chart. */
static void chart_begin(FILE *file, const char *id, const char *title, const char *x_label, const char *y_label)
{
	fprintf(file, "<svg id=\"%s\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n", id, WIDTH, HEIGHT, title);
	fprintf(file, "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", LEFT, title);
	fprintf(file, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, x_label);
	fprintf(file,
		"<text class=\"label\" x=\"16\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 16 %d)\">%s</text>\n",
		TOP + (HEIGHT - TOP - BOTTOM) / 2, TOP + (HEIGHT - TOP - BOTTOM) / 2, y_label);
	fprintf(file, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP,
		WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
}

/* Write a mark TEXT on the x axis at X. */
static void tick_x(FILE *file, const struct axes *axes, double x, const char *text)
{
	fprintf(file, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x_at(axes, x),
		HEIGHT - BOTTOM + 16, text);
}

/* Write a mark TEXT on the y axis at Y, with a line across. */
static void tick_y(FILE *file, const struct axes *axes, double y, const char *text)
{
	double at = y_at(axes, y);

	fprintf(file, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT, at, at);
	fprintf(file, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, at + 4, text);
}

/* Write even marks of counts on the y axis. */
static void ticks_rate(FILE *file, const struct axes *axes)
{
	for (int i = 0; i <= TICKS; i++) {
		char text[FORMAT_SIZE];
		double value = axes->y_max * i / TICKS;

		tick_y(file, axes, value, format_count(value, text));
	}
}

/* Write the name of series INDEX beside the chart. */
static void legend(FILE *file, size_t index, const char *label)
{
	int y = TOP + 8 + (int)index * 17;

	fprintf(file, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"4\" fill=\"%s\"/>", WIDTH - RIGHT + 12, y,
		colors[index % (sizeof(colors) / sizeof(*colors))]);
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

/* Tell how many slots of SERIES make one point of its line. */
static uint64_t series_step(const struct series *series)
{
	return series->end_slot / TIME_POINTS_MAX + 1 > 5 ? series->end_slot / TIME_POINTS_MAX + 1 : 5;
}

/* Draw throughput over time. */
static void chart_time(FILE *file, const struct entry *entries, size_t count)
{
	struct axes axes = {0};

	for (size_t i = 0; i < count; i++) {
		const struct series *series = &entries[i].series;
		uint64_t step = series_step(series);

		axes.x_max = fmax(axes.x_max, (double)(series->end_slot * series->width_ns) / (double)NS_PER_S);
		for (uint64_t k = 0; k + step <= series->end_slot; k += step)
			axes.y_max = fmax(axes.y_max, series_at(series, k, step));
	}
	axes.y_max = round_up(axes.y_max);
	chart_begin(file, "throughput", "Throughput over time", "seconds", "layers a second");
	ticks_rate(file, &axes);
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
				x_at(&axes, ((double)k + (double)step / 2) * (double)series->width_ns / (double)NS_PER_S),
				y_at(&axes, series_at(series, k, step)));
		fprintf(file, "\"/>\n");
		legend(file, i, entries[i].label);
	}
	fprintf(file, "</svg>\n");
}

/* Draw latency percentiles, on a logarithmic axis. */
static void chart_latency(FILE *file, const struct entry *entries, size_t count)
{
	static const double percents[] = {1, 25, 50, 75, 90, 99, 99.9, 100};
	static const char *const names[] = {"1", "25", "50", "75", "90", "99", "99.9", "max"};
	const size_t points = sizeof(percents) / sizeof(*percents);
	struct axes axes = {.x_max = (double)points - 1, .y_min = 18};

	for (size_t i = 0; i < count; i++) {
		if (!entries[i].lat.count)
			continue;
		axes.y_max = fmax(axes.y_max, ceil(log10((double)entries[i].lat.max + 1)));
		axes.y_min = fmin(axes.y_min, floor(log10((double)entries[i].lat.min + 1)));
	}
	chart_begin(file, "latency", "Latency percentiles by engine", "percentile", "latency");
	for (double y = axes.y_min; y <= axes.y_max; y++) {
		char text[FORMAT_SIZE];

		tick_y(file, &axes, y, format_time(pow(10, y), text));
	}
	for (size_t k = 0; k < points; k++)
		tick_x(file, &axes, (double)k, names[k]);
	for (size_t i = 0; i < count; i++) {
		line_begin(file, i);
		for (size_t k = 0; entries[i].lat.count && k < points; k++)
			fprintf(file, "%.1f,%.1f ", x_at(&axes, (double)k),
				y_at(&axes, log10((double)histogram_percentile(&entries[i].lat, percents[k]) + 1)));
		fprintf(file, "\"/>\n");
		legend(file, i, entries[i].label);
	}
	fprintf(file, "</svg>\n");
}

/* Do A and B belong on one line: the same engine doing the same thing? */
static bool same_line(const struct entry *a, const struct entry *b)
{
	return a->first->engine == b->first->engine && a->first->options.rw == b->first->options.rw;
}

/* Draw the points of the line that entry INDEX begins, by depth. */
static void line_depth(FILE *file, const struct axes *axes, const struct entry *entries, size_t count, size_t index)
{
	uint64_t last = 0;

	line_begin(file, index);
	for (;;) {
		const struct entry *next = NULL;

		for (size_t i = 0; i < count; i++)
			if (same_line(&entries[i], &entries[index]) && entries[i].depth > last &&
			    (!next || entries[i].depth < next->depth))
				next = &entries[i];
		if (!next)
			break;
		last = next->depth;
		fprintf(file, "%.1f,%.1f ", x_at(axes, log2((double)last)), y_at(axes, spread_median(&next->iops)));
	}
	fprintf(file, "\"/>\n");
}

/* Draw the rate by the number of operations in flight. */
static void chart_depth(FILE *file, const struct entry *entries, size_t count)
{
	struct axes axes = {.x_max = 1};
	char text[FORMAT_SIZE];
	size_t lines = 0;

	for (size_t i = 0; i < count; i++) {
		axes.x_max = fmax(axes.x_max, ceil(log2((double)entries[i].depth)));
		axes.y_max = fmax(axes.y_max, spread_median(&entries[i].iops));
	}
	axes.y_max = round_up(axes.y_max);
	chart_begin(file, "scaling", "Scaling with depth", "operations in flight", "layers a second");
	ticks_rate(file, &axes);
	for (double x = 0; x <= axes.x_max; x++) {
		snprintf(text, sizeof(text), "%.0f", exp2(x));
		tick_x(file, &axes, x, text);
	}
	for (size_t i = 0; i < count; i++) {
		const char *color = colors[lines % (sizeof(colors) / sizeof(*colors))];
		char label[160];
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen |= same_line(&entries[i], &entries[k]);
		if (seen)
			continue;
		line_depth(file, &axes, entries, count, i);
		for (size_t k = i; k < count; k++)
			if (same_line(&entries[i], &entries[k]))
				fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n",
					x_at(&axes, log2((double)entries[k].depth)),
					y_at(&axes, spread_median(&entries[k].iops)), color);
		snprintf(label, sizeof(label), "%s %s", entries[i].first->engine->name,
			 options_workload_name(entries[i].first->options.rw));
		legend(file, lines++, label);
	}
	fprintf(file, "</svg>\n");
}

/* Write the figures as a table. */
static void table(FILE *file, const struct entry *entries, size_t count)
{
	fprintf(file, "<table><tr><th>job</th><th>engine</th><th>in flight</th><th>layers/s</th><th>p50</th><th>p99</th>"
		      "<th>max</th><th>runs</th></tr>\n");
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];
		char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE], d[FORMAT_SIZE];

		fprintf(file, "<tr><td>");
		escape(file, entry->first->options.name);
		fprintf(file, "</td><td>%s</td><td>%llu</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%zu</td></tr>\n",
			entry->first->engine->name, (unsigned long long)entry->depth,
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
	fprintf(file, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>varve-bench</title>\n<style>"
		      "body{font:15px sans-serif;max-width:900px;margin:24px auto;padding:0 16px;color:#222;background:#fff}"
		      "svg{display:block;width:100%%;margin:18px 0}.title{font-size:17px;font-weight:bold}"
		      ".label{font-size:13px}.tick{font-size:11px;fill:#444}.frame{fill:none;stroke:#999}"
		      ".grid{stroke:#e4e4e4}table{border-collapse:collapse}td,th{padding:4px 10px;border-bottom:1px solid "
		      "#ddd;text-align:right}td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}"
		      "</style></head><body>\n<h1>varve-bench</h1>\n<p>");
	escape(file, machine.cpu);
	fprintf(file, ", %ld cores, %.0f GiB; %s; varve %s</p>\n", machine.cores, (double)machine.memory_mib / 1024,
		machine.kernel, machine.library);
	chart_time(file, entries, count);
	chart_latency(file, entries, count);
	chart_depth(file, entries, count);
	table(file, entries, count);
	fprintf(file, "</body></html>\n");
	free(entries);
	return 0;
}
