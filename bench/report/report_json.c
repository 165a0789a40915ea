/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as JSON, with fio's field names, so that programs that read fio's JSON read this.
 *
 * fio knows three directions. Kinds that make or change layers are reported as write, those that
 * remove them as trim, the others as read; `operations` has each kind by its own name. An "I/O" is a
 * layer. Bytes are those of the files in the layer, which a snapshot handles without touching them.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"
#include "report/pair.h"
#include "report/report.h"

static const char *const direction_names[DIRECTIONS] = { "read", "write", "trim" };

/* Set KEY of OBJECT to a whole number. */
static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* Set KEY of OBJECT to a real number. */
static void put_real(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, json_real(value));
}

/* Describe HISTOGRAM; LIST: the percentiles to give, NULL for none; BINS: with its buckets. */
static json_t *latency_object(const struct histogram *histogram, const struct percentiles *list,
			      bool bins)
{
	json_t *object = json_object(), *inner;
	char key[32];

	put(object, "min", histogram->min);
	put(object, "max", histogram->max);
	put_real(object, "mean", histogram_mean(histogram));
	put_real(object, "stddev", histogram_deviation(histogram));
	put(object, "N", histogram->count);
	if (list && histogram->count) {
		inner = json_object();
		for (uint32_t i = 0; i < list->count; i++) {
			snprintf(key, sizeof(key), "%f", list->values[i]);
			put(inner, key, histogram_percentile(histogram, list->values[i]));
		}
		json_object_set_new(object, "percentile", inner);
	}
	/* fio's own converter takes an empty object of buckets for a mistake. */
	if (!bins || !histogram->count)
		return object;
	inner = json_object();
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!histogram->buckets[i])
			continue;
		snprintf(key, sizeof(key), "%llu", (unsigned long long)histogram_value(i));
		put(inner, key, histogram->buckets[i]);
	}
	json_object_set_new(object, "bins", inner);
	return object;
}

/* Set fio's figures of rate variation in OBJECT. */
static void put_rate(json_t *object, const struct series *series, uint64_t duration,
		     uint64_t bytes_each)
{
	struct stats_rate rate = series_rate(series, duration);
	double kib = (double)bytes_each / 1024;

	put(object, "bw_min", (uint64_t)(rate.min * kib));
	put(object, "bw_max", (uint64_t)(rate.max * kib));
	put_real(object, "bw_agg", rate.samples ? 100.0 : 0.0);
	put_real(object, "bw_mean", rate.mean * kib);
	put_real(object, "bw_dev", rate.deviation * kib);
	put(object, "bw_samples", rate.samples);
	put(object, "iops_min", (uint64_t)rate.min);
	put(object, "iops_max", (uint64_t)rate.max);
	put_real(object, "iops_mean", rate.mean);
	put_real(object, "iops_stddev", rate.deviation);
	put(object, "iops_samples", rate.samples);
}

/* Describe what STATS counted over DURATION. */
static json_t *kind_object(const struct kind_stats *stats, const struct result *result, bool bins)
{
	const struct percentiles *list = &result->options.percentiles;
	uint64_t duration = stats_duration(&result->stats),
		 bytes = stats->units * result->bytes_each;
	double seconds = (double)duration / (double)NS_PER_S;
	json_t *object = json_object();

	put(object, "io_bytes", bytes);
	put(object, "io_kbytes", bytes / 1024);
	put(object, "bw_bytes", (uint64_t)((double)bytes / seconds));
	put(object, "bw", (uint64_t)((double)bytes / seconds / 1024));
	put_real(object, "iops", (double)stats->units / seconds);
	put(object, "runtime", stats->units ? duration / NS_PER_MS : 0);
	put(object, "total_ios", stats->units);
	put(object, "short_ios", 0);
	put(object, "drop_ios", 0);
	put(object, "errors", stats->errors);
	json_object_set_new(object, "slat_ns", latency_object(&stats->slat, NULL, bins));
	json_object_set_new(object, "clat_ns", latency_object(&stats->clat, list, bins));
	json_object_set_new(object, "lat_ns", latency_object(&stats->lat, list, bins));
	put_rate(object, &stats->series, duration, result->bytes_each);
	return object;
}

/*
 * Add the three directions of RESULT, and each kind by its name, to OBJECT. Returns 0 or -ENOMEM.
 */
static int put_directions(json_t *object, const struct result *result, bool bins)
{
	json_t *operations = json_object();

	for (int direction = 0; direction < DIRECTIONS; direction++) {
		struct stats merged = { 0 }, part = { 0 };
		uint32_t to = direction == DIRECTION_READ    ? BENCH_NOOP
			      : direction == DIRECTION_WRITE ? BENCH_CREATE
							     : BENCH_REMOVE;
		int r = stats_init(&merged, BENCH_BIT(to));

		for (uint32_t kind = 0; r == 0 && kind < BENCH_KINDS; kind++) {
			if (!result->stats.kinds[kind] ||
			    result_direction(kind) != (enum direction)direction)
				continue;
			part.kinds[to] = result->stats.kinds[kind];
			r = stats_merge(&merged, &part);
			json_object_set_new(operations, engine_kind_name(kind),
					    kind_object(result->stats.kinds[kind], result, false));
		}
		if (r == 0)
			json_object_set_new(object, direction_names[direction],
					    kind_object(merged.kinds[to], result, bins));
		stats_destroy(&merged);
		if (r < 0) {
			json_decref(operations);
			return r;
		}
	}
	json_object_set_new(object, "operations", operations);
	return 0;
}

/* Describe LEVELS as percentages under NAMES. */
static json_t *level_object(const uint64_t *levels, const char *const *names)
{
	json_t *object = json_object();
	uint64_t sum = 0;

	for (size_t i = 0; i < STATS_LEVELS; i++)
		sum += levels[i];
	for (size_t i = 0; i < STATS_LEVELS; i++)
		put_real(object, names[i], sum ? 100.0 * (double)levels[i] / (double)sum : 0);
	return object;
}

/* Add how the latencies of RESULT are spread over decades. */
static void put_distribution(json_t *object, const struct result *result)
{
	static const uint64_t limits[] = { 2, 4, 10, 20, 50, 100, 250, 500, 750, 1000 };
	static const char *const names[] = { "latency_ns", "latency_us", "latency_ms" };
	struct histogram lat = { 0 };
	uint64_t low = 0, unit = 1;

	result_latency(result, DIRECTIONS, &lat);
	for (size_t row = 0; row < 3; row++, unit *= 1000) {
		json_t *inner = json_object();
		char key[32];

		for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
			uint64_t count = histogram_between(&lat, low, limits[i] * unit);

			low = limits[i] * unit;
			snprintf(key, sizeof(key), "%llu", (unsigned long long)limits[i]);
			put_real(inner, key,
				 lat.count ? 100.0 * (double)count / (double)lat.count : 0);
		}
		if (row == 2) {
			put_real(inner, "2000",
				 lat.count ? 100.0 *
						     (double)histogram_between(&lat, low,
									       2 * NS_PER_S) /
						     (double)lat.count
					   : 0);
			put_real(inner, ">=2000",
				 lat.count ? 100.0 *
						     (double)histogram_between(&lat, 2 * NS_PER_S,
									       UINT64_MAX) /
						     (double)lat.count
					   : 0);
		}
		json_object_set_new(object, names[row], inner);
	}
}

/* Describe the options of RESULT as they were written. */
static json_t *options_object(const struct job_set *set, const struct result *result)
{
	json_t *object = json_object();
	const struct job_pair *pair;

	json_object_set_new(object, "name", json_string(result->options.name));
	for (size_t i = 0; (pair = job_pair_at(set, result->job, i)); i++)
		if (strcmp(pair->key, "directory"))
			json_object_set_new(object, pair->key,
					    json_string(pair->value ? pair->value : "1"));
	json_object_set_new(object, "ioengine", json_string(result_engine(result)));
	json_object_set_new(object, "rw", json_string(options_workload_name(result->options.rw)));
	json_object_set_new(object, "iodepth",
			    json_sprintf("%llu", (unsigned long long)result->options.iodepth));
	json_object_set_new(object, "numjobs",
			    json_sprintf("%llu", (unsigned long long)result->options.numjobs));
	return object;
}

/* Add what fio does not have: commits, the cleaner, the engine's figures. */
static void put_extras(json_t *object, const struct result *result)
{
	json_t *figures = json_object();
	uint64_t units = stats_units(&result->stats);

	json_object_set_new(object, "engine", json_string(result_engine(result)));
	put(object, "round", result->round);
	put(object, "threads", result->threads);
	put_real(object, "iops_total", result_iops(result));
	put(object, "rss_kib", result->rss_kib);
	if (result->has_commits) {
		put(object, "commits", result->commits);
		put_real(object, "ops_per_commit",
			 result->commits ? (double)units / (double)result->commits : 0);
	}
	if (result->has_backlog) {
		put(object, "cleaner_backlog", result->backlog);
		if (result->drained)
			put(object, "cleaner_drain_ns", result->drain_ns);
	}
	for (uint32_t i = 0; i < result->stats.figures_count; i++)
		put_real(figures, result->stats.figures[i].name, result->stats.figures[i].value);
	json_object_set_new(object, "figures", figures);
}

/* Describe RESULT. NULL when memory ran out. */
static json_t *result_object(const struct job_set *set, const struct result *result, bool bins)
{
	json_t *object = json_object();

	json_object_set_new(object, "jobname", json_string(result->options.name));
	put(object, "groupid", result->group);
	put(object, "error", (uint64_t) - (int64_t)result->stats.error);
	put(object, "eta", 0);
	put(object, "elapsed", stats_duration(&result->stats) / NS_PER_S + 1);
	json_object_set_new(object, "job options", options_object(set, result));
	if (put_directions(object, result, bins) < 0) {
		json_decref(object);
		return NULL;
	}
	put(object, "job_runtime", stats_duration(&result->stats) / NS_PER_MS);
	put_real(object, "usr_cpu", result->usr_cpu);
	put_real(object, "sys_cpu", result->sys_cpu);
	put(object, "ctx", result->context_switches);
	put(object, "majf", result->major_faults);
	put(object, "minf", result->minor_faults);
	json_object_set_new(object, "iodepth_level",
			    level_object(result->stats.depth_level, stats_depth_names));
	json_object_set_new(object, "iodepth_submit",
			    level_object(result->stats.submit_level, stats_burst_names));
	json_object_set_new(object, "iodepth_complete",
			    level_object(result->stats.complete_level, stats_burst_names));
	put_distribution(object, result);
	put(object, "latency_depth", result->options.iodepth);
	put(object, "latency_target", 0);
	put_real(object, "latency_percentile", 100);
	put(object, "latency_window", 0);
	put_extras(object, result);
	return object;
}

/* Describe SPREAD. */
static json_t *spread_object(const struct spread *spread)
{
	return json_pack("{s:f, s:f, s:f, s:i}", "median", spread_median(spread), "min",
			 spread_min(spread), "max", spread_max(spread), "runs", (int)spread->count);
}

/* Describe the ratios of all pairs in SET. */
static json_t *pairs_array(const struct job_set *set, const struct results *results)
{
	json_t *array = json_array();

	for (size_t i = 0; i < set->count; i++) {
		const struct job *job = &set->jobs[i];

		for (size_t k = 1; job->engines && job->engines[k]; k++) {
			struct spread iops = { 0 }, p50 = { 0 };

			pair_ratio(results, job, "iops", job->engines[0], job->engines[k], &iops);
			pair_ratio(results, job, "lat_p50", job->engines[0], job->engines[k], &p50);
			json_array_append_new(array,
					      json_pack("{s:s, s:s, s:s, s:o, s:o}", "jobname",
							job->name, "engine", job->engines[0],
							"against", job->engines[k], "iops_ratio",
							spread_object(&iops), "lat_p50_ratio",
							spread_object(&p50)));
		}
	}
	return array;
}

int report_json(FILE *file, const struct job_set *set, const struct results *results, bool bins)
{
	json_t *root = json_object(), *jobs = json_array(), *pairs;
	char when[64] = "";
	struct tm tm;
	int r = 0;

	if (localtime_r(&results->when, &tm))
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &tm);
	json_object_set_new(root, "fio version", json_string(REPORT_VERSION));
	put(root, "timestamp", (uint64_t)results->when);
	put(root, "timestamp_ms", (uint64_t)results->when * 1000);
	json_object_set_new(root, "time", json_string(when));
	for (size_t i = 0; r == 0 && i < results->count; i++) {
		json_t *object = result_object(set, &results->items[i], bins);

		if (!object)
			r = -ENOMEM;
		json_array_append_new(jobs, object);
	}
	json_object_set_new(root, "jobs", jobs);
	pairs = pairs_array(set, results);
	if (json_array_size(pairs))
		json_object_set(root, "pairs", pairs);
	json_decref(pairs);
	if (r == 0 && json_dumpf(root, file, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) < 0)
		r = -EIO;
	if (r == 0)
		fputc('\n', file);
	json_decref(root);
	return r;
}
