/* SPDX-License-Identifier: Apache-2.0 */
/* One thread of a job, which keeps `iodepth` operations in flight and times each. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "place/place.h"
#include "load/stats.h"
#include "load/workload.h"

#define WORKER_LOG_ENTRIES_MAX (16u << 20)

/* One line of a latency log. */
struct log_entry {
	uint32_t time_ms; /* When it ended, since the thread began. */
	uint32_t kind;    /* What it was. */
	uint64_t slat_ns; /* As in struct kind_stats. */
	uint64_t clat_ns; /* ... */
	uint64_t lat_ns;  /* ... */
};

/* What the threads that run together share. */
struct worker_shared {
	pthread_mutex_t mutex;    /* Protects gate. */
	pthread_cond_t opened;    /* Signalled when gate changes. */
	int gate;                 /* 0: wait; 1: begin, all at once; -1: do not begin. */
	const volatile int *stop; /* Set: end early. */
	atomic_bool late;         /* The job is over its bound: end, and leave what is in flight. */
};

/* One thread. */
struct worker {
	/* The job. */
	const struct options *options;
	/* The engine that does the work. */
	const struct bench_engine *engine;
	/* The engine's context. */
	void *context;
	/* The engine's environment. */
	struct bench_env env;
	/* What env.archive points to. */
	char archive[PATH_MAX];
	/* Where it works; NULL when the job needs no place. */
	const struct place *place;
	/* What all threads share. */
	struct worker_shared *shared;
	/* The thread. */
	pthread_t thread;
	/* The sequence of its operations. */
	struct workload workload;
	/* Its operations, `depth` of them. */
	struct slot *slots;
	/* Indices of those not in flight. */
	uint32_t *free_slots;
	/* How many. */
	uint32_t free_count;
	/* Most in flight. */
	uint32_t depth;
	/* The ramp time is over. */
	bool measuring;
	/* Begin nothing more. */
	bool ended;
	/* Operations that were still in flight when the thread gave up because the job was late. */
	uint32_t abandoned;
	/* When the thread began. */
	uint64_t begin_ns;
	/* rate_iops, thinktime: when the next operation may begin. */
	uint64_t due_ns;
	/* Operations that have ended in the current wait. */
	uint64_t completed_now;
	/* What was counted. */
	struct stats stats;
	/* Layers done so far, for the display. */
	atomic_uint_fast64_t progress;
	/* Layers to be done, for the display; UINT64_MAX: no limit. */
	uint64_t work;
	/* Latency log, NULL when none is asked for. */
	struct log_entry *log;
	/* Entries in it. */
	uint64_t log_count;
	/* Room in it. */
	uint64_t log_capacity;
	/* The log has reached its limit, or memory ran out. */
	bool log_full;
};

/*
 * Prepare WORKER, whose options, engine, place and shared are set, as the thread whose layers begin
 * with PREFIX. SEED starts its random numbers. Returns 0 or -errno.
 */
int worker_init(struct worker *worker, const char *prefix, uint64_t seed);

/* Start the thread; it waits for the gate. Returns 0 or -errno. */
int worker_start(struct worker *worker);

/* Set the gate of SHARED to GATE, for all threads that wait. */
void worker_gate(struct worker_shared *shared, int gate);

/* Close WORKER's engine; what was counted stays. */
void worker_close(struct worker *worker);

/* Close the engine and free what WORKER holds. */
void worker_destroy(struct worker *worker);

#endif
