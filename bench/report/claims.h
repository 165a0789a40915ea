/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-bench claims PAGE README: check that README's table has the ranges of the page of results.
 *
 * Rows of the table after "<!-- results -->" are "| claim | measured | `JOB` METRIC against ENGINE
 * |", the last without what follows the job where the first claim of the job is meant. The measured
 * range goes from the smallest to the largest repetition of all machines. A ratio whose range has 1
 * in it is faster here and slower there: that is no claim, and fails.
 *
 * A figure that the page does not have yet may be "not measured", or have a link to its place in
 * docs/measurements.md; that of the page replaces it.
 */
#ifndef BENCH_CLAIMS_H
#define BENCH_CLAIMS_H

/* Exit status when the table does not agree with the page. */
#define CLAIMS_EXIT_DIFFER 1
/* Exit status when a file cannot be read or written. */
#define CLAIMS_EXIT_UNUSABLE 2

/* Carry out `claims` with the arguments after it. Returns the exit status. */
int claims_main(int argc, char **argv);

#endif
