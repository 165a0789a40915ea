/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The claims of a job.
 *
 * A claim is METRIC OP BOUND, several joined by ','. OP is >= or <=.
 *	iops, lat_mean, lat_p50, lat_p99	the first engine's figure divided by the second's; METRIC/ENGINE divides by
 *						another's. A latency may have a constant on top: lat_p50<=1.3+100us
 *	sustained				the same of the removals a second over the time until the cleaner is done, too
 *	rate, p50_ns, rss_kib, backlog, commits,
 *	ops_per_commit, any figure of an engine	the first engine's own, not divided: rss_kib<=8192
 *
 * KIND:METRIC is the same of the latencies of one kind in a mix: info:p99_ns<=5000000
 */
#ifndef BENCH_CLAIM_H
#define BENCH_CLAIM_H

#include <stdbool.h>

#define CLAIM_NAME_SIZE 64

/* One claim. */
struct claim {
	char metric[CLAIM_NAME_SIZE]; /* What is measured. */
	char engine[CLAIM_NAME_SIZE]; /* What it is divided by; "": the second of the pair. */
	bool at_least;                /* >=, otherwise <=. */
	double bound;                 /* The factor, or the number. */
	double extra_ns;              /* On top of the factor. */
};

/* Return METRIC without the KIND: before it. */
const char *claim_base(const char *metric);

/* Return whether METRIC is divided by another engine's. */
bool claim_is_relative(const char *metric);

/* Parse the claim at *TEXT and step over it and its ','. Returns 1, 0 at the end, or -EINVAL. */
int claim_parse(const char **text, struct claim *ret);

#endif
