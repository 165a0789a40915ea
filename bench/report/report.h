/* SPDX-License-Identifier: Apache-2.0 */
/* Write reports, all from struct results. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "report/result.h"

/* Version that the reports carry, in the form in which fio writes its own. */
#define REPORT_VERSION "varve-bench-" VARVE_VERSION

/* Write RESULTS as text, in fio's terse form. */
void report_human(FILE *file, const struct results *results);

/*
 * Write RESULTS as JSON with fio's field names; BINS: with the buckets of the histograms (json+).
 * Returns 0 or -errno.
 */
int report_json(FILE *file, const struct job_set *set, const struct results *results, bool bins);

/*
 * Write RESULTS as one page of HTML with charts, which needs nothing from elsewhere. Returns 0 or
 * -errno.
 */
int report_html(FILE *file, const struct job_set *set, const struct results *results);

/*
 * Write the claims of SET and what RESULTS say of them into the page of Markdown NAME, as the
 * section of this machine; those of others stay. Write to MOVED what moved against the section that
 * was there. Returns 0 or -errno.
 */
int report_page(const char *name, FILE *moved, const struct job_set *set,
		const struct results *results);

/* Write the table of the tour. */
void report_tour(FILE *file, const struct job_set *set, const struct results *results);

#endif
