/* SPDX-License-Identifier: Apache-2.0 */
/* The page of claims: what is promised, what was measured, on what. */
#include <string.h>

#include "format.h"
#include "machine.h"
#include "pair.h"
#include "report.h"

/* Write on what machine it was measured, and when. */
static void machine_lines(FILE *file, const struct results *results)
{
	struct machine machine;
	char date[32] = "";
	struct tm tm;

	machine_describe(&machine);
	if (gmtime_r(&results->when, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	fprintf(file, "- processor: %s, %ld cores; memory: %.0f GiB\n", machine.cpu, machine.cores,
		(double)machine.memory_mib / 1024);
	fprintf(file, "- kernel: %s; varve %s\n", machine.kernel, machine.library);
	fprintf(file, "- btrfs in an image file on a loop device, 16 KiB nodes; measured %s\n\n", date);
}

/* Write ENGINE's rate and latency in JOB as one cell. */
static void engine_cell(FILE *file, const struct results *results, const struct job *job, const char *engine)
{
	struct spread iops = {0}, p50 = {0};
	char a[FORMAT_SIZE], b[FORMAT_SIZE];

	pair_collect(results, job, engine, "iops", &iops);
	pair_collect(results, job, engine, "lat_p50", &p50);
	fprintf(file, "%s: %s/s, p50 %s", engine, format_count(spread_median(&iops), a),
		format_time(spread_median(&p50), b));
}

/* Write what was measured for VERDICT. */
static void measured_cell(FILE *file, const struct verdict *verdict)
{
	const struct spread *measured = &verdict->measured;

	if (!verdict->measurable)
		fprintf(file, "not measured");
	else if (claim_is_relative(verdict->claim.metric))
		fprintf(file, "%.2f (%.2f to %.2f)", spread_median(measured), spread_min(measured),
			spread_max(measured));
	else
		fprintf(file, "%.0f (%.0f to %.0f)", spread_median(measured), spread_min(measured),
			spread_max(measured));
}

/* Has JOB been run at all? A run that was interrupted has not come to all. */
static bool has_run(const struct results *results, const struct job *job)
{
	for (size_t i = 0; i < results->count; i++)
		if (results->items[i].job == job)
			return true;
	return false;
}

/* Write the rows of JOB, one a claim. */
static void job_rows(FILE *file, const struct results *results, const struct job *job)
{
	const char *text = job->options.claim;
	struct verdict verdict;
	struct claim claim;

	while (text && claim_parse(&text, &claim) > 0) {
		claim_judge(results, job, &claim, &verdict);
		fprintf(file, "| %s | %s | %s%s%s %s %g", job->name,
			job->options.description ? job->options.description : "", claim.metric,
			*claim.engine ? " against " : "", claim.engine, claim.at_least ? "at least" : "at most",
			claim.bound);
		if (claim.extra_ns > 0)
			fprintf(file, " + %g us", claim.extra_ns / 1e3);
		fprintf(file, " | ");
		measured_cell(file, &verdict);
		fprintf(file, " | %s | ", verdict.kept ? "yes" : "**no**");
		for (size_t i = 0; job->engines && job->engines[i]; i++) {
			fprintf(file, "%s", i ? "; " : "");
			engine_cell(file, results, job, job->engines[i]);
		}
		if (!job->engines)
			engine_cell(file, results, job, job->options.ioengine);
		fprintf(file, " |\n");
	}
}

int report_markdown(FILE *file, const struct job_set *set, const struct results *results)
{
	uint32_t rounds = 0;

	for (size_t i = 0; i < results->count; i++)
		if (results->items[i].round >= rounds)
			rounds = results->items[i].round + 1;
	fprintf(file, "# Results\n\n`make bench` wrote this page: the jobs of bench/jobs, one for each claim, each %u times.\n"
		      "The engines of a job run in turn on the same image. A ratio is the median of the ratios of the\n"
		      "repetitions, with the smallest and the largest beside it; rates and latencies are medians.\n\n",
		rounds);
	machine_lines(file, results);
	fprintf(file, "| job | what | claim | measured | kept | medians |\n| --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < set->count; i++)
		if (has_run(results, &set->jobs[i]))
			job_rows(file, results, &set->jobs[i]);
	return 0;
}
