/* SPDX-License-Identifier: Apache-2.0 */
/* varve-bench compare A.json B.json: how much faster B is than A, job by job. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

/* Exit status when a ratio is below --fail-below. */
#define COMPARE_EXIT_BELOW 1
/* Exit status when the files cannot be compared. */
#define COMPARE_EXIT_UNUSABLE 2

/* Carry out `compare` with the arguments after it. Returns the exit status. */
int compare_main(int argc, char **argv);

#endif
