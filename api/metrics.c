/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_metrics(): what varve_statistics() and varve_operation_statistics() tell, as OpenMetrics
 * text. Nothing is counted for this alone. Label values are names of the library, so that none has
 * to be escaped.
 */
#include "api/check.h"
#include "engine/core/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The buckets of the text end below 2^10 ns (1 us), 2^12 ns, ..., 2^38 ns (275 s). The
 * histogram has 16 buckets for each power of two from 2^4 on, so each of these ends where one of
 * those does.
 */
#define METRICS_POWER_MIN 10
#define METRICS_POWER_MAX 38
#define METRICS_POWER_STEP 2
#define METRICS_NS_PER_S UINT64_C(1000000000)
#define METRICS_BUCKETS(power) (((power)-3) * 16)

static_assert(METRICS_BUCKETS(METRICS_POWER_MAX) < VARVE_HISTOGRAM_BUCKETS, "bucket of the end");

/* Write the head of metric NAME. */
static void metrics_head(FILE *file, const char *name, const char *type, const char *help)
{
	fprintf(file, "# TYPE varve_%s %s\n# HELP varve_%s %s\n", name, type, name, help);
}

/* Write a counter without labels. */
static void metrics_counter(FILE *file, const char *name, const char *help, uint64_t value)
{
	metrics_head(file, name, "counter", help);
	fprintf(file, "varve_%s_total %" PRIu64 "\n", name, value);
}

/* Write a gauge without labels. */
static void metrics_gauge(FILE *file, const char *name, const char *help, uint64_t value)
{
	metrics_head(file, name, "gauge", help);
	fprintf(file, "varve_%s %" PRIu64 "\n", name, value);
}

/* Write NS nanoseconds as seconds. */
static void metrics_seconds(FILE *file, uint64_t ns)
{
	fprintf(file, "%" PRIu64 ".%09" PRIu64, ns / METRICS_NS_PER_S, ns % METRICS_NS_PER_S);
}

/* Write the latencies of the operation NAME. */
static void metrics_latency(FILE *file, const char *name, const struct varve_histogram *histogram)
{
	uint64_t seen = 0;
	unsigned bucket = 0;

	for (unsigned power = METRICS_POWER_MIN; power <= METRICS_POWER_MAX;
	     power += METRICS_POWER_STEP) {
		for (; bucket < METRICS_BUCKETS(power); bucket++)
			seen += histogram->buckets[bucket];
		fprintf(file, "varve_operation_duration_seconds_bucket{operation=\"%s\",le=\"",
			name);
		metrics_seconds(file, (UINT64_C(1) << power) - 1);
		fprintf(file, "\"} %" PRIu64 "\n", seen);
	}
	fprintf(file,
		"varve_operation_duration_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %" PRIu64
		"\nvarve_operation_duration_seconds_count{operation=\"%s\"} %" PRIu64
		"\nvarve_operation_duration_seconds_sum{operation=\"%s\"} ",
		name, histogram->count, name, histogram->count, name);
	metrics_seconds(file, histogram->sum_ns);
	fputc('\n', file);
}

/* Write what was counted for each operation. 0 or -errno. */
static int metrics_operations(FILE *file, struct varve_store *store)
{
	struct varve_operation_statistics *all = calloc(OPERATION_COUNT, sizeof(*all));
	int r = all ? 0 : -ENOMEM;

	for (unsigned i = 0; !r && i < OPERATION_COUNT; i++) {
		all[i].size = sizeof(all[i]);
		r = varve_operation_statistics(store, (enum varve_operation)i, &all[i]);
	}
	if (r) {
		free(all);
		return r;
	}
	metrics_head(file, "requests", "counter", "Requests, by whether they were accepted.");
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		fprintf(file,
			"varve_requests_total{operation=\"%s\",outcome=\"accepted\"} %" PRIu64
			"\nvarve_requests_total{operation=\"%s\",outcome=\"refused\"} %" PRIu64
			"\n",
			operation_name(i), all[i].submitted, operation_name(i), all[i].refused);
	metrics_head(file, "operations", "counter",
		     "Operations that have ended; a batch counts each id.");
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const char *outcomes[] = { "succeeded", "failed", "cancelled" };
		uint64_t counts[] = { all[i].succeeded, all[i].failed, all[i].cancelled };

		for (unsigned j = 0; j < ARRAY_SIZE(counts); j++)
			fprintf(file,
				"varve_operations_total{operation=\"%s\",outcome=\"%s\"} %" PRIu64
				"\n",
				operation_name(i), outcomes[j], counts[j]);
	}
	metrics_head(file, "operation_duration_seconds", "histogram",
		     "Time from submission to completion of a request.");
	fputs("# UNIT varve_operation_duration_seconds seconds\n", file);
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		metrics_latency(file, operation_name(i), &all[i].latency);
	free(all);
	return 0;
}

/* Write how many snapshots were made together. */
static void metrics_groups(FILE *file, struct varve_store *store)
{
	struct group_sizes sizes;
	uint64_t seen = 0;

	pthread_mutex_lock(&store->core.counting);
	sizes = store->core.group_sizes;
	pthread_mutex_unlock(&store->core.counting);
	metrics_head(file, "commit_group_snapshots", "histogram",
		     "Snapshots made in one group, which is one commit for the first of them and "
		     "one for the rest.");
	fputs("# UNIT varve_commit_group_snapshots snapshots\n", file);
	for (unsigned i = 0; i < GROUP_SIZE_BUCKETS; i++) {
		seen += sizes.buckets[i];
		fprintf(file, "varve_commit_group_snapshots_bucket{le=\"%u.0\"} %" PRIu64 "\n",
			1u << i, seen);
	}
	fprintf(file,
		"varve_commit_group_snapshots_bucket{le=\"+Inf\"} %" PRIu64
		"\nvarve_commit_group_snapshots_count %" PRIu64
		"\nvarve_commit_group_snapshots_sum %" PRIu64 "\n",
		seen, seen, sizes.snapshots);
}

/* Write what the whole store has counted. */
static void metrics_store(FILE *file, const struct varve_statistics *statistics)
{
	metrics_gauge(file, "requests_in_flight", "Requests in flight.", statistics->requests);
	metrics_gauge(file, "requests_in_flight_peak", "The most requests in flight.",
		      statistics->requests_peak);
	metrics_counter(file, "commits",
			"Transactions of the file system for groups of snapshots and for syncs.",
			statistics->commits);
	metrics_counter(file, "commit_groups", "Groups of snapshots that were made together.",
			statistics->beats);
	metrics_counter(file, "commit_calls",
			"Commits while no snapshot waited, and flushes of all data.",
			statistics->syncs);
	metrics_counter(file, "snapshots", "Snapshots made.", statistics->snapshots);
	metrics_counter(file, "snapshots_direct", "Snapshots made directly in their place.",
			statistics->snapshots_direct);
	metrics_gauge(file, "spare_copies", "Spare copies held.", statistics->spares);
	metrics_counter(file, "spare_copies_made", "Spare copies made.", statistics->spares_made);
	metrics_counter(file, "spare_copies_taken", "Spare copies that creates have taken.",
			statistics->spares_taken);
	metrics_counter(file, "spare_copies_dropped", "Spare copies that were dropped.",
			statistics->spares_dropped);
	metrics_gauge(file, "commit_group_snapshots_peak", "The most snapshots in one group.",
		      statistics->group_max);
	metrics_gauge(file, "cleaner_backlog_subvolumes",
		      "Removed subvolumes that awaited the kernel's cleaner at the last look.",
		      statistics->cleaner_backlog);
	metrics_head(file, "calls", "counter", "System calls, by what made them.");
	fprintf(file,
		"varve_calls_total{by=\"ring\"} %" PRIu64
		"\nvarve_calls_total{by=\"lane\"} %" PRIu64 "\n",
		statistics->ring_calls, statistics->lane_calls);
	metrics_gauge(file, "ring_depth_peak", "The most calls in the io_uring at once.",
		      statistics->ring_depth_peak);
	metrics_head(file, "lane_threads_peak", "gauge", "The most threads of a lane.");
	fprintf(file,
		"varve_lane_threads_peak{lane=\"fs\"} %" PRIu32
		"\nvarve_lane_threads_peak{lane=\"commit\"} %" PRIu32 "\n",
		statistics->fs_threads_peak, statistics->commit_threads_peak);
}

int varve_metrics(struct varve_store *store, char **ret_text)
{
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	char *text = NULL;
	size_t size = 0;
	FILE *file;
	int r = ret_text ? varve_statistics(store, &statistics) : -EINVAL;

	if (r)
		return r;
	file = open_memstream(&text, &size);
	if (!file)
		return -ENOMEM;
	r = metrics_operations(file, store);
	metrics_store(file, &statistics);
	metrics_groups(file, store);
	fputs("# EOF\n", file);
	if ((ferror(file) | fclose(file)) && !r)
		r = -ENOMEM;
	if (r)
		free(text);
	else
		*ret_text = text;
	return r;
}
