/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare two JSON reports. Jobs are matched by name and engine; a job that was repeated has
 * several results in each file. The ratio is that of the medians; its spread is that of each result
 * of B over the median of A. A job that A has and B lacks, or where nothing was done in B, is below
 * any ratio that is asked for.
 *
 * Two pages of results are compared section by section, claim by claim, and only figures that moved
 * are listed.
 */
#include "report/compare.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/spread.h"

/* What was asked for. */
struct comparison {
	const char *names[2]; /* The files. */
	json_t *jobs[2];      /* Their arrays of jobs. */
	json_t *roots[2];     /* The whole files. */
	double fail_below;    /* Smallest ratio that is accepted; 0: any. */
	unsigned compared;    /* Jobs found in both. */
	unsigned below;       /* Jobs below fail_below. */
};

/* Return the layers a second of JOB: of all directions. */
static double job_iops(const json_t *job)
{
	static const char *const directions[] = { "read", "write", "trim" };
	double sum = 0;

	for (size_t i = 0; i < 3; i++)
		sum += json_number_value(
			json_object_get(json_object_get(job, directions[i]), "iops"));
	return sum;
}

/*
 * Return the engine of JOB, "" when it does not say (a report of fio itself keeps it in the
 * options).
 */
static const char *job_engine(const json_t *job)
{
	const char *engine = json_string_value(json_object_get(job, "engine"));

	if (!engine)
		engine = json_string_value(
			json_object_get(json_object_get(job, "job options"), "ioengine"));
	return engine ? engine : "";
}

/* Return the name of JOB. */
static const char *job_name(const json_t *job)
{
	const char *name = json_string_value(json_object_get(job, "jobname"));

	return name ? name : "";
}

/* Return whether A and B have the same name and engine. */
static bool same_job(const json_t *a, const json_t *b)
{
	return !strcmp(job_name(a), job_name(b)) && !strcmp(job_engine(a), job_engine(b));
}

/* Collect the rates of all results in JOBS that are of the job of LIKE. */
static void collect(const json_t *jobs, const json_t *like, struct spread *ret)
{
	for (size_t i = 0; i < json_array_size(jobs); i++)
		if (same_job(json_array_get(jobs, i), like) &&
		    job_iops(json_array_get(jobs, i)) > 0)
			spread_add(ret, job_iops(json_array_get(jobs, i)));
}

/* Compare the job of JOB in both files, and write a line. */
static void compare_job(struct comparison *comparison, const json_t *job)
{
	struct spread a = { 0 }, b = { 0 };
	char from[FORMAT_SIZE], to[FORMAT_SIZE];
	double base, ratio;
	bool below;

	collect(comparison->jobs[0], job, &a);
	collect(comparison->jobs[1], job, &b);
	base = spread_median(&a);
	if (!a.count || !b.count) {
		below = comparison->fail_below > 0 && a.count;
		comparison->below += below;
		printf("%-28s %-14s only in %s%s\n", job_name(job), job_engine(job),
		       comparison->names[a.count ? 0 : 1], below ? "  BELOW" : "");
		return;
	}
	ratio = spread_median(&b) / base;
	below = comparison->fail_below > 0 && ratio < comparison->fail_below;
	comparison->compared++;
	comparison->below += below;
	printf("%-28s %-14s %8s/s -> %8s/s  %.3f (%.3f..%.3f, runs %zu and %zu)%s\n", job_name(job),
	       job_engine(job), format_count(base, from), format_count(spread_median(&b), to),
	       ratio, spread_min(&b) / base, spread_max(&b) / base, a.count, b.count,
	       below ? "  BELOW" : "");
}

/* Is the job at INDEX of FILE (0 or 1) the first with its name and engine in both? */
static bool is_first(const struct comparison *comparison, int file, size_t index)
{
	const json_t *job = json_array_get(comparison->jobs[file], index);

	for (int i = 0; i <= file; i++) {
		size_t end = i < file ? json_array_size(comparison->jobs[i]) : index;

		for (size_t k = 0; k < end; k++)
			if (same_job(json_array_get(comparison->jobs[i], k), job))
				return false;
	}
	return true;
}

/* Read file INDEX of COMPARISON. Returns 0 or -EINVAL, which is reported. */
static int load(struct comparison *comparison, int index)
{
	const char *name = comparison->names[index];
	json_error_t error;

	comparison->roots[index] = json_load_file(name, 0, &error);
	if (!comparison->roots[index]) {
		fprintf(stderr, "varve-bench: %s:%d: %s\n", name, error.line, error.text);
		return -EINVAL;
	}
	comparison->jobs[index] = json_object_get(comparison->roots[index], "jobs");
	if (!json_is_array(comparison->jobs[index]) || !json_array_size(comparison->jobs[index])) {
		fprintf(stderr, "varve-bench: %s: no jobs in it\n", name);
		return -EINVAL;
	}
	return 0;
}

/* Take VALUE as the smallest ratio. Returns 0 or -EINVAL, which is reported. */
static int parse_ratio(struct comparison *comparison, const char *value)
{
	char *end;

	comparison->fail_below = strtod(value, &end);
	if (end != value && !*end && isfinite(comparison->fail_below) && comparison->fail_below > 0)
		return 0;
	fprintf(stderr, "varve-bench: --fail-below=%s: not a ratio\n", value);
	return -EINVAL;
}

/* Take the arguments apart. Returns 0 or -EINVAL, which is reported. */
static int parse(struct comparison *comparison, int argc, char **argv)
{
	int files = 0, r = 0;

	for (int i = 0; r == 0 && i < argc; i++) {
		if (!strncmp(argv[i], "--fail-below=", 13))
			r = parse_ratio(comparison, argv[i] + 13);
		else if (!strcmp(argv[i], "--fail-below") && i + 1 < argc)
			r = parse_ratio(comparison, argv[++i]);
		else if (argv[i][0] == '-' || files >= 2)
			files = 3;
		else
			comparison->names[files++] = argv[i];
	}
	if (r == 0 && files != 2) {
		fprintf(stderr, "usage: varve-bench compare A.json B.json [--fail-below=RATIO]\n"
				"       varve-bench compare A.md B.md\n");
		r = -EINVAL;
	}
	return r;
}

/* Return whether MEDIAN lies outside of SPREAD, and by more than COMPARE_MOVED_LEAST. */
static bool is_outside(double median, const struct spread *spread)
{
	return (median < spread_min(spread) || median > spread_max(spread)) &&
	       fabs(median - spread_median(spread)) >
		       COMPARE_MOVED_LEAST * fabs(spread_median(spread));
}

/* Write the line of FIGURE, which only one side has, WHEN. */
static void lone_line(FILE *file, const struct page_figure *figure, const char *when)
{
	fprintf(file, "%-24s %-36s %s: %s\n", figure->job, figure->what, when, figure->text);
}

void compare_sections(FILE *file, const struct page_section *before, const struct page_section *now)
{
	unsigned printed = 0;

	if (!before) {
		fprintf(file, "no earlier results of %s: nothing to compare with\n", now->name);
		return;
	}
	fprintf(file, "moved on %s: job, figure, before, now, ratio\n", now->name);
	/* They come first: there are many where only a few jobs have run. */
	for (size_t i = 0; i < before->count; i++) {
		if (page_figure(now, before->figures[i].job, before->figures[i].what))
			continue;
		lone_line(file, &before->figures[i], "only before");
		printed++;
	}
	for (size_t i = 0; i < now->count; i++) {
		const struct page_figure *b = &now->figures[i],
					 *a = page_figure(before, b->job, b->what);
		double from = a ? spread_median(&a->spread) : 0, to = spread_median(&b->spread);

		if (!a) {
			lone_line(file, b, "only now");
		} else if (is_outside(to, &a->spread) && is_outside(from, &b->spread)) {
			fprintf(file, "%-24s %-36s %10s -> %-10s ", b->job, b->what, a->text,
				b->text);
			if (from > 0)
				fprintf(file, "%.3f\n", to / from);
			else
				fprintf(file, "-\n");
		} else {
			continue;
		}
		printed++;
	}
	if (!printed)
		fprintf(file, "nothing moved by more than its spread\n");
}

/* Return whether NAME is that of a page of results. */
static bool is_page(const char *name)
{
	size_t length = strlen(name);

	return length > 3 && !strcmp(name + length - 3, ".md");
}

/* Compare the sections of two pages by the names of their machines. Returns the exit status. */
static int compare_pages(const char *const *names)
{
	struct page pages[2] = { 0 };
	int r = 0;

	for (int i = 0; r == 0 && i < 2; i++) {
		r = page_read(&pages[i], names[i]);
		if (r == 0 && !pages[i].count)
			r = -ENODATA;
		if (r < 0)
			fprintf(stderr, "varve-bench: %s: %s\n", names[i],
				r == -ENODATA ? "no results in it" : strerror(-r));
	}
	for (size_t i = 0; r == 0 && i < pages[1].count; i++)
		compare_sections(stdout, page_find(&pages[0], pages[1].sections[i].name),
				 &pages[1].sections[i]);
	page_destroy(&pages[0]);
	page_destroy(&pages[1]);
	return r < 0 ? COMPARE_EXIT_UNUSABLE : EXIT_SUCCESS;
}

int compare_main(int argc, char **argv)
{
	struct comparison comparison = { 0 };
	int status = COMPARE_EXIT_UNUSABLE;

	if (parse(&comparison, argc, argv) < 0)
		return status;
	if (is_page(comparison.names[0]) && is_page(comparison.names[1]) && !comparison.fail_below)
		return compare_pages(comparison.names);
	if (load(&comparison, 0) == 0 && load(&comparison, 1) == 0) {
		for (int file = 0; file < 2; file++)
			for (size_t i = 0; i < json_array_size(comparison.jobs[file]); i++)
				if (is_first(&comparison, file, i))
					compare_job(&comparison,
						    json_array_get(comparison.jobs[file], i));
		if (!comparison.compared)
			fprintf(stderr, "varve-bench: the files have no job in common\n");
		else
			status = comparison.below ? COMPARE_EXIT_BELOW : EXIT_SUCCESS;
	}
	json_decref(comparison.roots[0]);
	json_decref(comparison.roots[1]);
	return status;
}
