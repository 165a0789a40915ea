/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write logs: one line a sample, `milliseconds, value, direction, size, offset`, where direction is
 * 0 (read), 1 (write) or 2 (trim). Latencies are in nanoseconds. With log_avg_msec a line is the
 * mean over that time.
 */
#include "report/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "load/clock.h"
#include "place/fixture.h"
#include "report/result.h"

#define RATE_WINDOW_MS 500

/* The latency of an entry that a log is written of. */
enum latency { LATENCY_SLAT, LATENCY_CLAT, LATENCY_LAT };

/* A sum that becomes the mean of a window. */
struct window {
	uint64_t sum;   /* Sum of the values. */
	uint64_t count; /* How many. */
};

/* Read the latency WHICH of ENTRY. */
static uint64_t entry_value(const struct log_entry *entry, enum latency which)
{
	return which == LATENCY_SLAT   ? entry->slat_ns
	       : which == LATENCY_CLAT ? entry->clat_ns
				       : entry->lat_ns;
}

/* Write one line. */
static void line(FILE *file, uint64_t time_ms, uint64_t value, enum direction direction)
{
	fprintf(file, "%llu, %llu, %d, 0, 0\n", (unsigned long long)time_ms,
		(unsigned long long)value, direction);
}

/* Write the means of WINDOWS, which ended at TIME_MS, and empty them. */
static void windows_flush(FILE *file, struct window *windows, uint64_t time_ms)
{
	for (int direction = 0; direction < DIRECTIONS; direction++) {
		if (windows[direction].count)
			line(file, time_ms, windows[direction].sum / windows[direction].count,
			     direction);
		windows[direction] = (struct window){ 0 };
	}
}

/* Write the latencies WHICH of WORKER. */
static void write_latencies(FILE *file, const struct worker *worker, enum latency which)
{
	uint64_t step = worker->options->log_avg_ms, end = step;
	struct window windows[DIRECTIONS] = { 0 };

	for (uint64_t i = 0; i < worker->log_count; i++) {
		const struct log_entry *entry = &worker->log[i];
		enum direction direction = result_direction(entry->kind);

		if (!step) {
			line(file, entry->time_ms, entry_value(entry, which), direction);
			continue;
		}
		while (entry->time_ms >= end) {
			windows_flush(file, windows, end);
			end += step;
		}
		windows[direction].sum += entry_value(entry, which);
		windows[direction].count++;
	}
	windows_flush(file, windows, end);
}

/* Write rates of WORKER: of each layer, or of BYTES in each (then in KiB). */
static void write_rates(FILE *file, const struct worker *worker, uint64_t bytes)
{
	uint64_t step = worker->options->log_avg_ms ? worker->options->log_avg_ms : RATE_WINDOW_MS;
	uint64_t end_ms = (stats_duration(&worker->stats) + NS_PER_MS - 1) / NS_PER_MS;

	for (uint64_t begin = 0; begin < end_ms; begin += step) {
		uint64_t length = end_ms - begin < step ? end_ms - begin : step;

		for (uint32_t kind = 0; kind < BENCH_KINDS; kind++) {
			const struct kind_stats *stats = worker->stats.kinds[kind];
			uint64_t units = 0, width;

			if (!stats || !stats->units)
				continue;
			width = stats->series.width_ns / NS_PER_MS;
			/* A slot belongs to the window that it begins in. */
			for (uint64_t i = (begin + width - 1) / width; i < stats->series.end_slot;
			     i++) {
				if (i * width >= begin + length)
					break;
				units += stats->series.slots[i];
			}
			if (bytes)
				units = units * bytes / 1024;
			line(file, begin + length, units * 1000 / length, result_direction(kind));
		}
	}
}

/* Open PREFIX_WHAT.NUMBER.log for writing. */
static FILE *log_open(const char *prefix, const char *what, uint32_t number)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s_%s.%u.log", prefix, what, number) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "we");
}

/* Close FILE. Returns 0 or -errno. */
static int log_close(FILE *file)
{
	int failed = ferror(file);

	return fclose(file) != 0 || failed ? -EIO : 0;
}

int log_write(const struct worker *worker, uint32_t number)
{
	static const char *const names[] = { "slat", "clat", "lat" };
	const struct options *options = worker->options;
	FILE *file;
	int r = 0;

	for (int i = LATENCY_SLAT; options->lat_log && r == 0 && i <= LATENCY_LAT; i++) {
		file = log_open(options->lat_log, names[i], number);
		if (!file)
			return -errno;
		write_latencies(file, worker, i);
		r = log_close(file);
	}
	if (r == 0 && options->iops_log) {
		file = log_open(options->iops_log, "iops", number);
		if (!file)
			return -errno;
		write_rates(file, worker, 0);
		r = log_close(file);
	}
	if (r == 0 && options->bw_log) {
		file = log_open(options->bw_log, "bw", number);
		if (!file)
			return -errno;
		write_rates(file, worker, fixture_bytes(options));
		r = log_close(file);
	}
	return r;
}
