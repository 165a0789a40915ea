/* SPDX-License-Identifier: Apache-2.0 */
/* Compute README's table of claims from the page of results. */
#include "report/claims.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"

/* The line before the table. */
#define MARK "<!-- results -->"

/* What a cell has until the page has its figure: that there is none, or where it is from. */
#define CELL_NONE "not measured"
#define CELL_FROM "](docs/measurements.md"

/* Most bytes of a measured cell. */
#define CELL_SIZE (2 * PAGE_NAME_SIZE)

/*
 * Below this a ratio is written with few digits: its range is that of all numbers that are rounded
 * to these digits.
 */
#define ROUNDED_BELOW 0.01

/* One comparison of a README with a page. */
struct claims {
	const char *name;   /* The README. */
	bool write;         /* Correct the rows that differ. */
	struct page page;   /* The page of results. */
	FILE *out;          /* The README as it should be. */
	unsigned line;      /* Number of the current line. */
	unsigned rows;      /* Claims found. */
	unsigned differing; /* ... whose range is not the measured one. */
	unsigned bad;       /* ... that are no claims. */
};

/* A figure over all machines. */
struct claim_range {
	const struct page_figure *min; /* The machine that has the smallest. */
	const struct page_figure *max; /* ... the largest. */
};

/* Write "N times" with no more digits than N deserves: two where it is close to 1. */
static void format_factor(double factor, char *ret)
{
	if (factor < 100)
		snprintf(ret, FORMAT_SIZE, "%.*f",
			 factor < 1.995  ? 2
			 : factor < 9.95 ? 1
					 : 0,
			 factor);
	else
		snprintf(ret, FORMAT_SIZE, "%.0f",
			 round(factor / pow(10, floor(log10(factor)) - 1)) *
				 pow(10, floor(log10(factor)) - 1));
}

/* Return half a unit of the last digit of TEXT. */
static double half_unit(const char *text)
{
	const char *dot = strchr(text, '.');

	return pow(10, dot ? -(double)strspn(dot + 1, "0123456789") : 0) / 2;
}

/*
 * Write the range of a ratio against ENGINE to RET: how many times as fast. Returns false when it
 * has 1 in it.
 */
static bool relative_cell(const struct claim_range *range, const char *engine, char *ret)
{
	double low = spread_min(&range->min->spread), high = spread_max(&range->max->spread);
	char from[FORMAT_SIZE], to[FORMAT_SIZE];
	bool sided = low > 1 || high < 1;

	/* Of latencies the smallest is the fastest. */
	if (strstr(range->min->what, "lat_")) {
		double slow = high < ROUNDED_BELOW ? high + half_unit(range->max->max_text) : high;
		double fast = low < ROUNDED_BELOW ? low - half_unit(range->min->min_text) : low;

		high = fast > 0 ? 1 / fast : INFINITY;
		low = 1 / slow;
	}
	format_factor(low, from);
	if (isinf(high)) {
		snprintf(ret, CELL_SIZE, "more than %s times as fast as %s", from, engine);
		return sided;
	}
	format_factor(high, to);
	snprintf(ret, CELL_SIZE, "%s%s%s times as fast as %s", from, strcmp(from, to) ? " to " : "",
		 strcmp(from, to) ? to : "", engine);
	return sided;
}

/* Report that the current row is wrong. */
static void complain(struct claims *claims, const char *what, const char *why)
{
	fprintf(stderr, "%s:%u: %s: %s\n", claims->name, claims->line, what, why);
}

/* Find the range of WHAT of JOB over all machines. Returns whether any has it. */
static bool find_range(const struct page *page, const char *job, const char *what,
		       struct claim_range *ret)
{
	*ret = (struct claim_range){ 0 };
	for (size_t i = 0; i < page->count; i++) {
		/* WHAT may be "": then the first machine decides which claim of the job it is. */
		const struct page_figure *figure = page_figure(&page->sections[i], job,
							       ret->min ? ret->min->what : what);

		if (!figure)
			continue;
		if (!ret->min || spread_min(&figure->spread) < spread_min(&ret->min->spread))
			ret->min = figure;
		if (!ret->max || spread_max(&figure->spread) > spread_max(&ret->max->spread))
			ret->max = figure;
	}
	return ret->min;
}

/*
 * Compute the measured cell, which now is IS, of the row whose last cell is KEY. Returns whether
 * the row is a claim that can be made.
 */
static bool compute_cell(struct claims *claims, const char *is, const char *key, char *ret)
{
	const char *tick = *key == '`' ? strchr(key + 1, '`') : NULL, *engine;
	char job[PAGE_NAME_SIZE];
	struct claim_range range;

	if (!tick) {
		complain(claims, key, "the row names no job");
		return false;
	}
	snprintf(job, sizeof(job), "%.*s", (int)(tick - key - 1), key + 1);
	if (!find_range(&claims->page, job, tick + 1 + strspn(tick + 1, " "), &range)) {
		if (!strcmp(is, CELL_NONE) || strstr(is, CELL_FROM)) {
			strcpy(ret, is);
			return true;
		}
		complain(claims, key, "not measured on any machine");
		return false;
	}
	engine = strstr(range.min->what, PAGE_AGAINST);
	if (!engine) {
		const char *from = range.min->min_text, *to = range.max->max_text;

		snprintf(ret, CELL_SIZE, "%s%s%s", from, strcmp(from, to) ? " to " : "",
			 strcmp(from, to) ? to : "");
		return true;
	}
	if (relative_cell(&range, engine + strlen(PAGE_AGAINST), ret))
		return true;
	complain(claims, key, "a ratio whose range contains 1 is not a claim");
	complain(claims, key, ret);
	return false;
}

/* Check LINE of the table, and write it as it should be. */
static void check_row(struct claims *claims, const char *line)
{
	const char *measured = strstr(line, " | "),
		   *key = measured ? strstr(measured + 3, " | ") : NULL;
	const char *end = key ? strstr(key + 3, " |") : NULL;
	char job[PAGE_NAME_SIZE], is[CELL_SIZE], should[CELL_SIZE] = "";

	if (!end || end[2]) {
		complain(claims, line, "not a row of three cells");
		claims->bad++;
	} else {
		snprintf(is, sizeof(is), "%.*s", (int)(key - measured - 3), measured + 3);
		snprintf(job, sizeof(job), "%.*s", (int)(end - key - 3), key + 3);
		claims->rows++;
		if (!compute_cell(claims, is, job, should)) {
			claims->bad++;
		} else if (strcmp(is, should)) {
			claims->differing++;
			if (!claims->write)
				complain(claims, job, should);
			fprintf(claims->out, "%.*s%s%s\n", (int)(measured + 3 - line), line, should,
				key);
			return;
		}
	}
	fprintf(claims->out, "%s\n", line);
}

/* Check all lines of TEXT, which is cut up. */
static void check_text(struct claims *claims, char *text)
{
	bool inside = false;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		claims->line++;
		if (!text && !*line)
			break;
		inside = inside ? strncmp(line, "## ", 3) : !strcmp(line, MARK);
		if (inside && !strncmp(line, "| ", 2) && strncmp(line, "| ---", 5) &&
		    strncmp(line, "| Claim |", 9))
			check_row(claims, line);
		else
			fprintf(claims->out, "%s\n", line);
	}
}

/* Write TEXT of SIZE bytes to the file NAME. Returns 0 or -errno. */
static int write_text(const char *name, const char *text, size_t size)
{
	FILE *file = fopen(name, "we");
	bool whole = file && fwrite(text, 1, size, file) == size;

	if (!file)
		return -errno;
	return fclose(file) == 0 && whole ? 0 : -EIO;
}

/* Compare README with the page RESULTS. Returns the exit status. */
static int compare(struct claims *claims, const char *results)
{
	char *text = NULL, *written = NULL;
	size_t size = 0;
	int r = page_read(&claims->page, results);

	if (r == 0 && !claims->page.count)
		r = -ENODATA;
	if (r < 0) {
		fprintf(stderr, "varve-bench: %s: %s\n", results, strerror(-r));
		return CLAIMS_EXIT_UNUSABLE;
	}
	r = page_text(claims->name, &text);
	claims->out = r == 0 && text ? open_memstream(&written, &size) : NULL;
	if (claims->out) {
		check_text(claims, text);
		r = fclose(claims->out) == 0 ? 0 : -ENOMEM;
	} else if (r == 0) {
		r = text ? -ENOMEM : -ENOENT;
	}
	if (r == 0 && !claims->rows)
		r = -ENODATA;
	if (r == 0 && claims->write && claims->differing)
		r = write_text(claims->name, written, size);
	if (r < 0)
		fprintf(stderr, "varve-bench: %s: %s\n", claims->name,
			r == -ENODATA ? "no table after " MARK : strerror(-r));
	free(text);
	free(written);
	if (r < 0)
		return CLAIMS_EXIT_UNUSABLE;
	return claims->bad || (claims->differing && !claims->write) ? CLAIMS_EXIT_DIFFER
								    : EXIT_SUCCESS;
}

int claims_main(int argc, char **argv)
{
	struct claims claims = { .write = argc == 3 && !strcmp(argv[2], "--write") };
	int status;

	if (argc != 2 + claims.write || argv[0][0] == '-' || argv[1][0] == '-') {
		fprintf(stderr, "usage: varve-bench claims RESULTS.md README.md [--write]\n");
		return CLAIMS_EXIT_UNUSABLE;
	}
	claims.name = argv[1];
	status = compare(&claims, argv[0]);
	page_destroy(&claims.page);
	return status;
}
