/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of results in Markdown: what stands before the first "## ", then a section for each
 * machine that was measured. The heading of a section is the machine's name (machine.h); its first
 * table has a row for each claim. Comparisons with earlier results and with other machines read
 * that table back: there is no second record.
 */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <stdio.h>

#include "report/format.h"
#include "report/spread.h"

/* Largest page that is read. */
#define PAGE_BYTES_MAX (16u << 20)
/* Longest name of a job, longest "METRIC against ENGINE". */
#define PAGE_NAME_SIZE 160

/* What is between a metric and the engine that it is divided by, in the column of claims. */
#define PAGE_AGAINST " against "

/* What was measured for one claim. */
struct page_figure {
	char job[PAGE_NAME_SIZE];   /* The job. */
	char what[PAGE_NAME_SIZE];  /* "iops against ioctl", "p50_ns". */
	char text[FORMAT_SIZE];     /* The median as it is written. */
	char min_text[FORMAT_SIZE]; /* The smallest. */
	char max_text[FORMAT_SIZE]; /* The largest. */
	struct spread spread;       /* All three; the median alone where the page has no more. */
};

/* What was measured on one machine. */
struct page_section {
	/* The heading. */
	char *name;
	/* All of it, with the heading. */
	char *text;
	/* In the order of the page; claims that were not measured have none. */
	struct page_figure *figures;
	/* How many. */
	size_t count;
};

/* A page. */
struct page {
	struct page_section *sections; /* In the order of the page. */
	size_t count;                  /* How many. */
};

/*
 * Read the file NAME into *RET, to be freed: NULL when there is none, or it is empty or no regular
 * file. Returns 0 or -errno.
 */
int page_text(const char *name, char **ret);

/*
 * Read the page NAME; PAGE is empty when there is none, or when it is no regular file. Returns 0 or
 * -errno; free PAGE then, too.
 */
int page_read(struct page *page, const char *name);

/*
 * Put the sections of TEXT into PAGE; each replaces the section with its heading, or is added last.
 * Returns 0 or -ENOMEM.
 */
int page_put(struct page *page, const char *text);

/* Find the section NAME, NULL: there is none. */
const struct page_section *page_find(const struct page *page, const char *name);

/* Find the figure WHAT of JOB in SECTION; "" is the first of the job. NULL: it was not measured. */
const struct page_figure *page_figure(const struct page_section *section, const char *job,
				      const char *what);

/* Write all sections to FILE. */
void page_write(const struct page *page, FILE *file);

/* Free what PAGE holds. */
void page_destroy(struct page *page);

#endif
