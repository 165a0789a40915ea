/* SPDX-License-Identifier: Apache-2.0 */
/* Compare the engines of a pair, and judge claims. */
#include "report/pair.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"
#include "report/format.h"

/* Merge the latencies that METRIC is about: of the kind before its ':', or of all. */
static void metric_latency(const struct result *result, const char *metric, struct histogram *ret)
{
	size_t length = (size_t)(claim_base(metric) - metric);

	if (!length) {
		result_latency(result, DIRECTIONS, ret);
		return;
	}
	for (uint32_t kind = 0; kind < BENCH_KINDS; kind++) {
		const char *name = engine_kind_name(kind);

		if (result->stats.kinds[kind] && strlen(name) + 1 == length &&
		    !strncmp(metric, name, length - 1))
			histogram_merge(ret, &result->stats.kinds[kind]->lat);
	}
}

/* Read METRIC of RESULT into *RET. Returns whether it has it. */
static bool metric_value(const struct result *result, const char *metric, double *ret)
{
	const struct stats_figure *figure;
	const char *base = claim_base(metric);
	struct histogram lat = { 0 };

	if (!strcmp(metric, "iops") || !strcmp(metric, "rate")) {
		*ret = result_iops(result);
		return stats_units(&result->stats) > 0;
	}
	if (!strcmp(metric, "rss_kib")) {
		*ret = (double)result->rss_kib;
		return result->rss_kib > 0;
	}
	if (!strcmp(metric, "ops_per_commit")) {
		*ret = result->commits
			       ? (double)stats_units(&result->stats) / (double)result->commits
			       : 0;
		return result->has_commits && result->commits;
	}
	if (!strcmp(metric, "backlog")) {
		*ret = (double)result->backlog;
		return result->has_backlog;
	}
	if (!strcmp(metric, "drain_ns")) {
		*ret = (double)result->drain_ns;
		return result->drained;
	}
	if (!strcmp(metric, "commits")) {
		*ret = (double)result->commits;
		return result->has_commits;
	}
	if (!strcmp(metric, "sustained")) {
		const struct kind_stats *removed = result->stats.kinds[BENCH_REMOVE];

		*ret = removed ? (double)removed->units * (double)NS_PER_S /
					 (double)(stats_duration(&result->stats) + result->drain_ns)
			       : 0;
		return result->drained && *ret > 0;
	}
	if (!strncmp(base, "lat_", 4)) {
		metric_latency(result, metric, &lat);
		if (!strcmp(base, "lat_mean"))
			*ret = histogram_mean(&lat);
		else if (base[4] == 'p')
			*ret = (double)histogram_percentile(&lat, strtod(base + 5, NULL));
		else
			return false;
		return lat.count > 0;
	}
	if (base[0] == 'p' && isdigit((unsigned char)base[1])) {
		metric_latency(result, metric, &lat);
		*ret = (double)histogram_percentile(&lat, strtod(base + 1, NULL));
		return lat.count > 0;
	}
	figure = stats_find_figure(&result->stats, metric);
	if (figure)
		*ret = figure->value;
	return figure;
}

/*
 * Find the result of JOB on ENGINE in repetition ROUND; NULL when it failed or was cut short.
 */
static const struct result *find_result(const struct results *results, const struct job *job,
					const char *engine, uint32_t round)
{
	for (size_t i = 0; i < results->count; i++) {
		const struct result *result = &results->items[i];

		if (result->job == job && result->round == round && !result->stats.error &&
		    !result->interrupted && !strcmp(result->options.ioengine, engine))
			return result;
	}
	return NULL;
}

void pair_collect(const struct results *results, const struct job *job, const char *engine,
		  const char *metric, struct spread *ret)
{
	double value;

	for (uint32_t round = 0; round < results_rounds(results); round++) {
		const struct result *result = find_result(results, job, engine, round);

		if (result && metric_value(result, metric, &value))
			spread_add(ret, value);
	}
}

void pair_ratio(const struct results *results, const struct job *job, const char *metric,
		const char *a, const char *b, struct spread *ret)
{
	double x, y;

	for (uint32_t round = 0; round < results_rounds(results); round++) {
		const struct result *first = find_result(results, job, a, round);
		const struct result *second = find_result(results, job, b, round);

		if (first && second && metric_value(first, metric, &x) &&
		    metric_value(second, metric, &y) && y > 0)
			spread_add(ret, x / y);
	}
}

/*
 * Collect by how much the first engine's latency exceeds CLAIM's multiple of the other's, one a
 * repetition.
 */
static void collect_excess(const struct results *results, const struct job *job,
			   const struct claim *claim, const char *a, const char *b,
			   struct spread *ret)
{
	double x, y;

	for (uint32_t round = 0; round < results_rounds(results); round++) {
		const struct result *first = find_result(results, job, a, round);
		const struct result *second = find_result(results, job, b, round);

		if (first && second && metric_value(first, claim->metric, &x) &&
		    metric_value(second, claim->metric, &y))
			spread_add(ret, x - claim->bound * y);
	}
}

void claim_judge(const struct results *results, const struct job *job, const struct claim *claim,
		 struct verdict *ret)
{
	const char *first = job->engines ? job->engines[0] : job->options.ioengine;
	const char *second = *claim->engine ? claim->engine : job->engines ? job->engines[1] : NULL;
	double median;

	*ret = (struct verdict){ .claim = *claim };
	if (!claim_is_relative(claim->metric))
		pair_collect(results, job, first, claim->metric, &ret->measured);
	else if (second)
		pair_ratio(results, job, claim->metric, first, second, &ret->measured);
	ret->measurable = ret->measured.count > 0;
	median = spread_median(&ret->measured);
	ret->kept = ret->measurable &&
		    (claim->at_least ? median >= claim->bound : median <= claim->bound);
	if (ret->measurable && claim->extra_ns > 0 && second) {
		struct spread excess = { 0 };

		collect_excess(results, job, claim, first, second, &excess);
		ret->kept = spread_median(&excess) <= claim->extra_ns;
	}
}

/* Write what ENGINE of JOB reached. */
static void engine_line(FILE *file, const struct results *results, const struct job *job,
			const char *engine)
{
	struct spread iops = { 0 }, p50 = { 0 }, p99 = { 0 }, commits = { 0 };
	char a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];

	pair_collect(results, job, engine, "iops", &iops);
	pair_collect(results, job, engine, "lat_p50", &p50);
	pair_collect(results, job, engine, "lat_p99", &p99);
	pair_collect(results, job, engine, "ops_per_commit", &commits);
	fprintf(file, "  %-14s iops=%s, lat p50=%s, p99=%s, operations per commit=%.1f, runs=%zu\n",
		engine, format_count(spread_median(&iops), a), format_time(spread_median(&p50), b),
		format_time(spread_median(&p99), c), spread_median(&commits), iops.count);
}

/* Write the verdicts on JOB's claims. Returns how many were not kept. */
static unsigned claim_lines(FILE *file, const struct results *results, const struct job *job)
{
	const char *text = job->options.claim;
	struct verdict verdict;
	struct claim claim;
	unsigned broken = 0;

	while (text && claim_parse(&text, &claim) > 0) {
		claim_judge(results, job, &claim, &verdict);
		fprintf(file, "  claim %s%s%s %s %g", claim.metric, *claim.engine ? "/" : "",
			claim.engine, claim.at_least ? ">=" : "<=", claim.bound);
		if (claim.extra_ns > 0)
			fprintf(file, " + %g us", claim.extra_ns / 1e3);
		fprintf(file, ": measured %.4g (%.4g..%.4g): %s\n",
			spread_median(&verdict.measured), spread_min(&verdict.measured),
			spread_max(&verdict.measured),
			verdict.kept         ? "kept"
			: verdict.measurable ? "NOT KEPT"
					     : "NOT MEASURED");
		broken += !verdict.kept;
	}
	return broken;
}

unsigned pair_report(FILE *file, const struct job_set *set, const struct results *results)
{
	unsigned broken = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct job *job = &set->jobs[i];

		if (!job->engines && !job->options.claim)
			continue;
		fprintf(file, "\npair %s:\n", job->name);
		for (size_t k = 0; job->engines && job->engines[k]; k++)
			engine_line(file, results, job, job->engines[k]);
		for (size_t k = 1; job->engines && job->engines[k]; k++) {
			struct spread iops = { 0 }, p50 = { 0 };

			pair_ratio(results, job, "iops", job->engines[0], job->engines[k], &iops);
			pair_ratio(results, job, "lat_p50", job->engines[0], job->engines[k], &p50);
			fprintf(file,
				"  %s / %s: iops %.2f (%.2f..%.2f), lat p50 %.2f (%.2f..%.2f)\n",
				job->engines[0], job->engines[k], spread_median(&iops),
				spread_min(&iops), spread_max(&iops), spread_median(&p50),
				spread_min(&p50), spread_max(&p50));
		}
		broken += claim_lines(file, results, job);
	}
	return broken;
}
