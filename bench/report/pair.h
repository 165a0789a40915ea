/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare the engines of a pair. Each repetition runs them one after the other on the same image.
 * The ratio is taken within each repetition, and the result is the median of those ratios: a
 * machine that is slower in one repetition does not move it.
 */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <stdio.h>

#include "job/claim.h"
#include "report/result.h"
#include "report/spread.h"

/* How a claim came out. */
struct verdict {
	struct claim claim;     /* What was claimed. */
	struct spread measured; /* Of each repetition. */
	bool measurable;        /* There were results for it. */
	bool kept;              /* The median is within its bound. */
};

/* Judge CLAIM by the results of JOB. */
void claim_judge(const struct results *results, const struct job *job, const struct claim *claim,
		 struct verdict *ret);

/* Collect METRIC of ENGINE in the results of JOB, one value a repetition. */
void pair_collect(const struct results *results, const struct job *job, const char *engine,
		  const char *metric, struct spread *ret);

/* Collect the ratio of METRIC between engines A and B of JOB, one a repetition. */
void pair_ratio(const struct results *results, const struct job *job, const char *metric,
		const char *a, const char *b, struct spread *ret);

/* Write the ratios and claims of the pairs in SET. Returns how many claims were not kept. */
unsigned pair_report(FILE *file, const struct job_set *set, const struct results *results);

#endif
