/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of keys: one line each, used by job files, the command line, --help and the echo of a
 * job's options in the JSON output.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"

#define OPTIONS_PERCENTILES_MAX 20
#define OPTIONS_ERROR_SIZE 512
#define OPTIONS_KEY_MAX 128
#define OPTIONS_THREADS_MAX 512
#define OPTIONS_DEPTH_MAX 65536
#define OPTIONS_BATCH_MAX 65536
/* What overtime= is unless a job sets it: longer than the longest operation of the jobs here. */
#define OPTIONS_OVERTIME_NS (600 * NS_PER_S)

/* Most bytes of a layer's record, as the library has it. */
#define OPTIONS_RECORD_MAX 49152

/* Values of rw= beyond the kinds of operation. */
enum rw {
	WORKLOAD_CHURN = BENCH_KINDS, /* Arrivals and removals around a set of live layers. */
	WORKLOAD_MIX,                 /* Kinds by the percentages of rwmix. */
	WORKLOADS,
};

/* Values of churn=. */
enum churn_shape {
	/* Each arrival is followed by the removal of the oldest. */
	CHURN_SET,
	/* `width` layers from one, then all but one are removed, and that one is forked again. */
	CHURN_FORKJOIN,
	/* A layer from the one before, `width` times, then all are removed. */
	CHURN_PIPELINE,
};

/* Values of compress=. */
enum compression { COMPRESS_NONE, COMPRESS_GZIP, COMPRESS_ZSTD, COMPRESSIONS };

/* Values of fixture=. */
enum fixture_shape {
	FIXTURE_FLAT,  /* Even directories, sizes drawn evenly from filesize. */
	FIXTURE_IMAGE, /* Directories, depths and sizes as in published images. */
};

/* An inclusive range. */
struct range {
	uint64_t low;  /* Smallest value. */
	uint64_t high; /* Largest value. */
};

/* A list of percentiles. */
struct percentiles {
	uint32_t count;                         /* How many are set. */
	double values[OPTIONS_PERCENTILES_MAX]; /* Ascending, each 0..100. */
};

/* The options of a job. Times are in nanoseconds. Strings belong to the code that set them. */
struct options {
	/* The section. */
	const char *name;
	/* What it is for, in words. */
	const char *description;
	/* Name of the engine. */
	const char *ioengine;
	/* The directory in which the run makes its own. */
	const char *directory;
	/* Engines to run in turn, joined by ','. */
	const char *pair;
	/* What the pair must reach: see claim.h. */
	const char *claim;
	/* Prefix of the latency logs. */
	const char *lat_log;
	/* Prefix of the log of rates. */
	const char *iops_log;
	/* Prefix of the log of bandwidth. */
	const char *bw_log;
	/* An enum bench_kind or enum rw. */
	uint32_t rw;
	/* Percentages of each kind; their sum is 100. */
	uint8_t mix[BENCH_KINDS];
	/* Operations in flight on a thread. */
	uint64_t iodepth;
	/* Threads. */
	uint64_t numjobs;
	/* Longest time; 0: none. */
	uint64_t runtime;
	/*
	 * The job fails when no operation has ended for so long, or when its runtime was over so
	 * long ago; 0: never.
	 */
	uint64_t overtime;
	/* Go on until the runtime is over. */
	bool time_based;
	/* How often the work is done. */
	uint64_t loops;
	/* Operations a thread, in one loop. */
	uint64_t number_ios;
	/* Time before anything is counted. */
	uint64_t ramp_time;
	/* Operations a second on each thread; 0: as many as possible. */
	uint64_t rate_iops;
	/* Pause after each operation. */
	uint64_t thinktime;
	/* Pause before the first. */
	uint64_t startdelay;
	/* Bytes in the parent layer; 0: as the files make it. */
	uint64_t size;
	/* Files in the parent layer. */
	uint64_t nrfiles;
	/* Files in each directory of a flat one. */
	uint64_t dirfiles;
	/* Bytes in each file. */
	struct range filesize;
	/* Percent of zeros in files whose other content differs; 0: all files have the same. */
	uint64_t compressible;
	/* Bytes in each write that makes them. */
	uint64_t bs;
	/* Where the random numbers start. */
	uint64_t randseed;
	/* An enum fixture_shape. */
	uint32_t fixture;
	/* Rounds of churn that the parent goes through first. */
	uint64_t aged;
	/* Files that are rewritten in each of the live layers. */
	uint64_t edits;
	/* Subvolumes in each of the live layers. */
	uint64_t nested;
	/* Layers of each thread that are there before the clock runs. */
	uint64_t live;
	/* Layers in each request. */
	uint64_t batch;
	/* Bytes that each new layer may hold; 0: any. */
	uint64_t limit;
	/* Bytes of the record of each new layer, which then has a label, too; 0: neither. */
	uint64_t record;
	/* Bytes that are written into each new layer, and before each flush of a layer. */
	uint64_t fill;
	/* Unmount and mount the pool before the clock runs. */
	bool cold;
	/* For the engine: without CAP_SYS_ADMIN. */
	bool unprivileged;
	/* varve: apply gives digests. */
	bool digests;
	/* varve: removals run in the background. */
	bool background;
	/* Compare with nothing, not with the parent. */
	bool full;
	/* How the archive that is applied is compressed: an enum compression. */
	uint32_t compress;
	/* Layers in each removal of a mix. */
	uint64_t remove_batch;
	/* An enum churn_shape. */
	uint32_t churn;
	/* Layers of one fork or pipeline. */
	uint64_t width;
	/* 0 relaxed, 1 durable. */
	uint32_t durability;
	/* An enum place_quota. */
	uint32_t quota;
	/* Begin after all jobs above have ended. */
	bool stonewall;
	/* One report for all threads. */
	bool group_reporting;
	/* Milliseconds over which the logs are averaged; 0: log every operation. */
	uint64_t log_avg_ms;
	/* The percentiles that are reported. */
	struct percentiles percentiles;
	/* Trap file-system calls of the job's threads. */
	bool guard_calls;
	/* For the engine: 0 auto, 1 walk, 2 search. */
	uint32_t method;
	/* For the engine: the command that starts its server, or NULL. */
	const char *server;
	/* For the engine: the socket of its server, or NULL. */
	const char *socket;
	/* For the engine: varve_config.ring_entries. */
	uint64_t ring_entries;
	/* For the engine: varve_config.fs_threads_max. */
	uint64_t fs_threads_max;
	/* For the engine: varve_config.commit_threads_max. */
	uint64_t commit_threads_max;
	/* For the engine: varve_config.backlog_max. */
	uint64_t backlog_max;
};

/* Set OPTIONS to the defaults. */
void options_init(struct options *options);

/*
 * Set KEY to VALUE (NULL: the key stands alone). VALUE is kept, not copied. Returns 0, or -EINVAL /
 * -ERANGE / -ENOENT (no such key) with an explanation in ERROR (OPTIONS_ERROR_SIZE bytes).
 */
int options_set(struct options *options, const char *key, const char *value, char *error);

/* Return whether KEY is in the table, or is `ENGINE.KEY` with a KEY of the table. */
bool options_known(const char *key);

/* Return whether KEY is a switch, which may stand without a value. */
bool options_switch(const char *key);

/* Refuse what does not fit together. Returns 0 or -EINVAL with an explanation in ERROR. */
int options_check(const struct options *options, char *error);

/* Return the number of KEY (of a choice: its index); 0 when KEY has no number. */
uint64_t options_number(const struct options *options, const char *key);

/* Return the text of KEY; NULL when it is not set or KEY has no text. */
const char *options_text(const struct options *options, const char *key);

/*
 * Write the keys with their help to FILE; KEY: only that one, with its range. Returns -ENOENT when
 * there is none.
 */
int options_help(FILE *file, const char *key);

/* Return the name of an rw= value. */
const char *options_workload_name(uint32_t rw);

/*
 * Parse TEXT as a time, without a unit in seconds, into nanoseconds. Returns 0, -EINVAL or -ERANGE.
 */
int options_parse_time(const char *text, uint64_t *ret_ns);

/*
 * Parse TEXT as a whole number with an optional unit (k m g t: powers of 1024). Returns 0, -EINVAL
 * or -ERANGE.
 */
int options_parse_size(const char *text, uint64_t *ret);

#endif
