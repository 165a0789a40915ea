/* SPDX-License-Identifier: Apache-2.0 */
/* What came out of a run: the one structure that all reports are written from. */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <time.h>

#include "job/job.h"
#include "load/stats.h"

/* One line of the report: a job, or one thread of it. */
struct result {
	/* The section. */
	const struct job *job;
	/* Its options, as they applied. */
	struct options options;
	/* The engine that did the work. */
	const struct bench_engine *engine;
	/* Jobs of one group ran at the same time. */
	uint32_t group;
	/* Which repetition, from 0. */
	uint32_t round;
	/* How many threads are merged here. */
	uint32_t threads;
	/* Bytes of files in the parent layer. */
	uint64_t bytes_each;
	/* What was counted. */
	struct stats stats;
	/* Percent of one processor in user mode: of the whole group. */
	double usr_cpu;
	/* ... and in the kernel. */
	double sys_cpu;
	/* ... voluntary and not. */
	uint64_t context_switches;
	/* ... page faults that read. */
	uint64_t major_faults;
	/* ... page faults that did not. */
	uint64_t minor_faults;
	/* Largest resident memory of the process during the group. */
	uint64_t rss_kib;
	/* The kernel counts commits. */
	bool has_commits;
	/* Transactions that the file system committed meanwhile. */
	uint64_t commits;
	/* The cleaner's queue could be read. */
	bool has_backlog;
	/* Removed layers that awaited the cleaner at the end. */
	uint64_t backlog;
	/* The cleaner has dropped all of them. */
	bool drained;
	/* Time until then. */
	uint64_t drain_ns;
	/* A signal cut it short. */
	bool interrupted;
};

/* A job that could not be run on an engine. */
struct failure {
	const struct job *job; /* The section. */
	const char *engine;    /* On which engine, as pair= has it. */
	char *reason;          /* Why. */
};

/* All results of a run. */
struct results {
	/* In the order they ended. */
	struct result *items;
	/* How many. */
	size_t count;
	/* Failures, in the order they came. */
	struct failure *failures;
	/* How many. */
	size_t failures_count;
	/* When the run began. */
	time_t when;
	/* Why not all jobs have run as often as they should; NULL: they have. */
	const char *unfinished;
};

/* The directions of fio's reports. */
enum direction { DIRECTION_READ, DIRECTION_WRITE, DIRECTION_TRIM, DIRECTIONS };

/*
 * Return the direction that stands for KIND in fio's reports: a kind that makes or changes writes,
 * one that removes trims, the others read.
 */
enum direction result_direction(enum bench_kind kind);

/* Return the layers a second of RESULT, all kinds together. */
double result_iops(const struct result *result);

/*
 * Merge the latencies of all kinds (or of DIRECTION, when it is below DIRECTIONS) into RET, which
 * must be empty.
 */
void result_latency(const struct result *result, enum direction direction, struct histogram *ret);

/* Append an empty result. NULL when memory ran out. */
struct result *results_add(struct results *results);

/* Keep REASON as why JOB could not be run on ENGINE. Returns 0 or -ENOMEM. */
int results_fail(struct results *results, const struct job *job, const char *engine,
		 const char *reason);

/*
 * Return why JOB could not be run on ENGINE, or failed on it; NULL when it went well, or has not
 * been run.
 */
const char *results_failure(const struct results *results, const struct job *job,
			    const char *engine);

/* Return the name of RESULT's engine, with its label when it has one. */
const char *result_engine(const struct result *result);

/* Return how many repetitions of a job there are at most. */
uint32_t results_rounds(const struct results *results);

/* Free what RESULTS holds. */
void results_destroy(struct results *results);

#endif
