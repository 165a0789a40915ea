/* SPDX-License-Identifier: Apache-2.0 */
/* The page of results: the claims, the measured figures, and the machine. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"
#include "engines/engines.h"
#include "report/compare.h"
#include "report/format.h"
#include "report/page.h"
#include "place/machine.h"
#include "report/pair.h"
#include "report/report.h"

/* Write the versions of the programs that the jobs are compared with. */
static void peer_lines(FILE *file)
{
	static const char *const names[] = { "du", "tar", "bfs", "fdfind", "gdu", "btrfs" };
	char program[PATH_MAX], line[128], *arguments[] = { program, "--version", NULL };
	const char *text;
	bool any = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (program_find(names[i], program, sizeof(program)) < 0 ||
		    program_line(arguments, line, sizeof(line)) < 0)
			continue;
		text = line + (strncmp(line, "Version:", 8) ? 0 : 8);
		text += strspn(text, " \t");
		/* gdu prints a number alone. */
		fprintf(file, "%s%s%s",
			any ? "; " : "- compared with: ", text == line ? "" : names[i],
			text == line ? "" : " ");
		fprintf(file, "%s", text);
		any = true;
	}
	if (any)
		fprintf(file, "\n");
}

/* Write the heading of the section of MACHINE, and how it was measured. */
static void machine_lines(FILE *file, const struct machine *machine, const struct results *results)
{
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&results->when, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	fprintf(file, "## %s\n\n- processor: %s, %ld cores; memory: %.0f GiB\n", machine->name,
		machine->cpu, machine->cores, (double)machine->memory_mib / 1024);
	fprintf(file, "- kernel: %s; varve %s\n", machine->kernel, machine->library);
	peer_lines(file);
	fprintf(file,
		"- btrfs in an image file on a loop device, 16 KiB nodes; measured %s, each job up to %u times\n\n",
		date, results_rounds(results));
}

/* Write VALUE of METRIC in its unit. Returns BUFFER (FORMAT_SIZE bytes). */
static const char *format_metric(const char *metric, double value, char *buffer)
{
	size_t length = strlen(metric);

	if (claim_is_relative(metric))
		snprintf(buffer, FORMAT_SIZE,
			 value < 0.01  ? "%.6f"
			 : value < 0.1 ? "%.4f"
				       : "%.2f",
			 value);
	else if (length > 3 && !strcmp(metric + length - 3, "_ns"))
		return format_time(value, buffer);
	else if (length > 4 && !strcmp(metric + length - 4, "_kib"))
		snprintf(buffer, FORMAT_SIZE, "%.1f MiB", value / 1024);
	else if (!strcmp(metric, "rate"))
		return format_count(value, buffer);
	else
		snprintf(buffer, FORMAT_SIZE, "%.0f", value);
	return buffer;
}

/* Return whether JOB has results or failures, or the run was unfinished. */
static bool has_run(const struct results *results, const struct job *job)
{
	for (size_t i = 0; i < results->count; i++)
		if (results->items[i].job == job)
			return true;
	for (size_t i = 0; i < results->failures_count; i++)
		if (results->failures[i].job == job)
			return true;
	return results->unfinished;
}

/* Write why CLAIM of JOB could not be judged. */
static void reason_cell(FILE *file, const struct results *results, const struct job *job,
			const struct claim *claim)
{
	const char *own = job->options.ioengine, *reason;

	if (!job->engines) {
		reason = results_failure(results, job, own);
		reason = reason ? reason : results->unfinished;
		fprintf(file, "not measured: %s",
			reason ? reason : "the engine does not report it");
		return;
	}
	for (size_t i = 0; job->engines[i]; i++) {
		bool wanted = i == 0 ||
			      (*claim->engine ? !strcmp(claim->engine, job->engines[i]) : i == 1);

		reason = wanted ? results_failure(results, job, job->engines[i]) : NULL;
		if (reason) {
			fprintf(file, "not measured: %s: ", job->engines[i]);
			/* A bar would end the cell. */
			for (; *reason; reason++)
				fputc(*reason == '|' || *reason == '\n' ? ' ' : *reason, file);
			return;
		}
	}
	fprintf(file, "not measured%s%s", results->unfinished ? ": " : "",
		results->unfinished ? results->unfinished : "");
}

/* Write the rows of JOB's claims. */
static void claim_rows(FILE *file, const struct results *results, const struct job *job)
{
	const char *text = job->options.claim;
	char bound[FORMAT_SIZE], median[FORMAT_SIZE], min[FORMAT_SIZE], max[FORMAT_SIZE];
	const struct spread *measured;
	struct verdict verdict;
	struct claim claim;

	while (text && claim_parse(&text, &claim) > 0) {
		const char *other = *claim.engine  ? claim.engine
				    : job->engines ? job->engines[1]
						   : "";
		bool relative = claim_is_relative(claim.metric);

		claim_judge(results, job, &claim, &verdict);
		fprintf(file, "| %s | %s | %s%s%s %s %s", job->name,
			job->options.description ? job->options.description : "", claim.metric,
			relative ? " against " : "", relative ? other : "",
			claim.at_least ? "at least" : "at most",
			format_metric(claim.metric, claim.bound, bound));
		if (claim.extra_ns > 0)
			fprintf(file, " + %g us", claim.extra_ns / 1e3);
		fprintf(file, " | ");
		measured = &verdict.measured;
		if (verdict.measurable)
			fprintf(file, "%s (%s to %s)",
				format_metric(claim.metric, spread_median(measured), median),
				format_metric(claim.metric, spread_min(measured), min),
				format_metric(claim.metric, spread_max(measured), max));
		else
			reason_cell(file, results, job, &claim);
		fprintf(file, " | %s |\n",
			verdict.kept         ? "yes"
			: verdict.measurable ? "**no**"
					     : "?");
	}
}

/* Write the figure METRIC of ENGINE in JOB as a cell, by FORMAT (NULL: with one digit). */
static void metric_cell(FILE *file, const struct results *results, const struct job *job,
			const char *engine, const char *metric,
			const char *(*format)(double value, char *buffer))
{
	struct spread spread = { 0 };
	char text[FORMAT_SIZE];

	pair_collect(results, job, engine, metric, &spread);
	if (!spread.count)
		fprintf(file, " |");
	else if (format)
		fprintf(file, " %s |", format(spread_median(&spread), text));
	else
		fprintf(file, " %.1f |", spread_median(&spread));
}

/* Write the row of JOB on ENGINE. */
static void engine_row(FILE *file, const struct results *results, const struct job *job,
		       const char *engine, bool first)
{
	struct spread runs = { 0 };

	pair_collect(results, job, engine, "rate", &runs);
	fprintf(file, "| %s | %s | %zu |", first ? job->name : "", engine, runs.count);
	metric_cell(file, results, job, engine, "rate", format_count);
	metric_cell(file, results, job, engine, "p50_ns", format_time);
	metric_cell(file, results, job, engine, "p99_ns", format_time);
	metric_cell(file, results, job, engine, "commits", NULL);
	metric_cell(file, results, job, engine, "ops_per_commit", NULL);
	metric_cell(file, results, job, engine, "backlog", NULL);
	metric_cell(file, results, job, engine, "drain_ns", format_time);
	fprintf(file, " %.1f |\n", first ? (double)job->took_ns / (double)NS_PER_S : 0.0);
}

/* Write what each engine of the jobs in SET reached. */
static void engines_table(FILE *file, const struct job_set *set, const struct results *results)
{
	fprintf(file,
		"\n### By engine\n\n"
		"Medians of the runs. Commits are those of the whole file system, other programs included. The backlog is what the\n"
		"kernel's cleaner had not dropped yet at the end; drain is how long it took to. The time in seconds is that of\n"
		"the whole job, all engines, preparations and waits included.\n\n"
		"| job | engine | runs | layers/s | p50 | p99 | commits | operations per commit | backlog | drain | time |\n"
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < set->count; i++) {
		const struct job *job = &set->jobs[i];

		if (!has_run(results, job))
			continue;
		for (size_t k = 0; job->engines && job->engines[k]; k++)
			engine_row(file, results, job, job->engines[k], k == 0);
		if (!job->engines)
			engine_row(file, results, job, job->options.ioengine, true);
	}
}

/* Write the section of MACHINE: the claims of SET, and what RESULTS say of them. */
static void write_section(FILE *file, const struct machine *machine, const struct job_set *set,
			  const struct results *results)
{
	machine_lines(file, machine, results);
	fprintf(file,
		"| job | what | claim | measured | kept |\n| --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < set->count; i++)
		if (has_run(results, &set->jobs[i]))
			claim_rows(file, results, &set->jobs[i]);
	engines_table(file, set, results);
}

/* Write PAGE to the file NAME: in place, as it may be a device. Returns 0 or -errno. */
static int write_page(const struct page *page, const char *name)
{
	FILE *file = fopen(name, "we");
	int failed;

	if (!file)
		return -errno;
	fputs("# Results\n\n"
	      "`make bench` writes this page: the jobs of bench/jobs, one for each claim, each several times. There is a section for\n"
	      "each machine that was measured; a run replaces that of its own and leaves the others. The engines of a job run in turn on\n"
	      "the same image. A ratio is the median of the ratios of the repetitions, with the smallest and the largest beside it; rates\n"
	      "and latencies are medians.\n\n",
	      file);
	page_write(page, file);
	failed = ferror(file);
	return fclose(file) != 0 || failed ? -EIO : 0;
}

int report_page(const char *name, FILE *moved, const struct job_set *set,
		const struct results *results)
{
	struct page page = { 0 }, own = { 0 };
	struct machine machine;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	int r = file ? 0 : -ENOMEM;

	machine_describe(&machine);
	if (file) {
		write_section(file, &machine, set, results);
		r = fclose(file) == 0 ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = page_put(&own, text);
	if (r == 0)
		r = page_read(&page, name);
	if (r == 0) {
		compare_sections(moved, page_find(&page, machine.name), &own.sections[0]);
		r = page_put(&page, text);
	}
	if (r == 0)
		r = write_page(&page, name);
	page_destroy(&page);
	page_destroy(&own);
	free(text);
	return r;
}
