/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-bench compare: how much faster the second of two reports is than the first, job by job;
 * what moved between two pages.
 */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "report/page.h"

/* Exit status when a ratio is below --fail-below. */
#define COMPARE_EXIT_BELOW 1
/* Exit status when the files cannot be compared. */
#define COMPARE_EXIT_UNUSABLE 2

/*
 * A figure that moved by less is not listed: one run has no spread, and figures are written with
 * two or three digits.
 */
#define COMPARE_MOVED_LEAST 0.05

/*
 * Write to FILE what moved from BEFORE to NOW, a line for each figure: job, figure, before, now,
 * ratio. A figure has moved when each of its medians lies outside of the other's smallest to
 * largest, and by COMPARE_MOVED_LEAST. Those that one of them lacks are listed, too. BEFORE is NULL
 * where the machine was not measured before; then the report says only that.
 */
void compare_sections(FILE *file, const struct page_section *before,
		      const struct page_section *now);

/* Carry out `compare` with the arguments after it. Returns the exit status. */
int compare_main(int argc, char **argv);

#endif
