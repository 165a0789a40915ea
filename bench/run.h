/* SPDX-License-Identifier: Apache-2.0 */
/* Run jobs: make places, parents, engines and threads; then collect the counters and clean up. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "place/place.h"
#include "place/pool.h"
#include "report/result.h"
#include "load/worker.h"

#define RUN_PLACES_MAX 8
#define RUN_ERROR_SIZE 1024

/* How a run behaves. */
struct run_config {
	/* For jobs that name none; NULL: they must. */
	const char *directory;
	/* Where parents are kept; NULL: with the place. */
	const char *fixtures;
	/* Where directory lies; NULL: not in a pool. */
	struct pool *pool;
	/* Show live rates on standard error. */
	bool eta;
	/* Wait for the cleaner after each group, so that the next begins clean. */
	bool drain;
};

/* One place with the directory it was asked for. */
struct run_place {
	char *directory;    /* As the job named it. */
	struct place place; /* The place. */
};

/* A run. */
struct run {
	const struct run_config *config;          /* How it behaves. */
	const struct job_set *set;                /* Where the jobs come from. */
	struct results *results;                  /* Where results go. */
	const volatile int *stop;                 /* Set by a signal: end early. */
	bool stalled;                             /* An engine keeps operations: end now. */
	struct run_place *places[RUN_PLACES_MAX]; /* Places made so far. */
	size_t places_count;                      /* How many. */
	uint32_t groups;                          /* Groups run so far. */
	uint32_t logs;                            /* Threads that have written logs so far. */
	char error[RUN_ERROR_SIZE];               /* Why something failed. */
};

/*
 * Run the COUNT jobs at JOBS at the same time, as repetition ROUND. Returns 0, or -errno with an
 * explanation in run->error when it could not be run; an operation that fails is in its result.
 */
int run_group(struct run *run, struct job *const *jobs, size_t count, uint32_t round);

/*
 * Run JOB alone on each of the engines ENGINES (NULL last), in turn: REPEAT times, or less often
 * when that would take more than SHARE_NS. An engine that cannot run it is left out from then on,
 * with the reason in the results. Returns 0, or -errno of the first failure; that an engine is not
 * there, or cannot do it (-ENOPKG, -EOPNOTSUPP), is none.
 */
int run_pair(struct run *run, struct job *job, char *const *engines, uint32_t repeat,
	     uint64_t share_ns);

/*
 * Run all jobs of the set in the order of the file, REPEAT times: those between two stonewalls
 * together.
 */
int run_all(struct run *run, uint32_t repeat);

/* Does RUN end before all its jobs have run? */
static inline bool run_ends(const struct run *run)
{
	return *run->stop || run->stalled;
}

/* Remove what the run made. Returns the first failure, with an explanation in run->error, or 0. */
int run_finish(struct run *run);

#endif
