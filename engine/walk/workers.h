/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that walk trees, shared fairly by all walks and comparisons of a store.
 *
 * A job is work that can be split: a walk, a search, a comparison. It runs in slices of
 * WALK_SLICE_NS on threads of the walk lane; whenever a slice ends, the job that has waited longest
 * gets the next. So several jobs get equal shares, a small job does not wait for a large one, and a
 * cancel takes effect soon.
 *
 *	op: workers_admit() -> job_start() -> slices ... -> class->done(), on the reactor -> workers_leave()
 *
 * A walk is admitted before, as it reserves descriptors then. A comparison has reserved its own
 * when its operation began.
 */
#ifndef VARVE_WALK_WORKERS_H
#define VARVE_WALK_WORKERS_H

#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/base/yield.h"
#include "engine/core/op.h"
#include "engine/core/progress.h"
#include "engine/core/request.h"
#include "engine/dir/xattr.h"

struct job;
struct workers;

/*
 * The counts of one thread, until they are added to the job's: shared counters cost more than a
 * look at an entry.
 */
struct sums {
	uint64_t entries, inodes, bytes, disk_bytes;
};

/* One turn of one thread with one job. */
struct slice {
	struct call call;
	struct job *job;
	/* When to stop, at the next convenient moment. */
	uint64_t until_ns;
	/* How long it took, and how much of that the thread computed. */
	uint64_t wall_ns, cpu_ns;
	/* The thread's sleeps at the last check; those in this slice. */
	uint64_t sleeps_before, sleeps;
	/* How the thread yields its CPU to short requests. */
	struct yield yield;
	/* A buffer for the thread. */
	char *buffer;
	/* How its thread gets at extended attributes; reset at its end. */
	struct xattr_dir xattr_dir;
};

/* A kind of job. */
struct job_class {
	/* For the error record until the work sets a better one. */
	const char *name;
	/*
	 * Work, until slice->until_ns or nothing is left. 0, or -errno that ends the whole job. Any
	 * lane thread.
	 */
	int (*slice)(struct job *job, struct slice *slice);
	/* How many more threads would find work now. Any thread. */
	unsigned (*wanted)(struct job *job);
	/* Is something under way that is no slice? Reactor. NULL: never. */
	bool (*busy)(struct job *job);
	/* Called when the job is over: RESULT is 0, -ECANCELED or the error. Reactor. */
	void (*done)(struct job *job, int result);
};

struct job {
	/* Among the jobs of the workers, the one that waited longest first. */
	struct list link;
	const struct job_class *class;
	struct varve_store *store;
	/* Set by any thread to end the job early. */
	const _Atomic bool *cancelled;
	/* Slices under way; at most allowed. */
	unsigned running, width_max;
	/* Slices handed to the lane that have not begun. */
	_Atomic unsigned starting;
	/* The first error that ends it. */
	_Atomic int error;
	/* What was counted so far. */
	_Atomic uint64_t entries, inodes, bytes, disk_bytes;
	/* Where a request's progress is counted; NULL: nowhere. */
	struct progress *progress;
	/* Is it in the list? */
	bool started;
};

/* Give STORE its workers; 0 or -ENOMEM. */
int workers_init(struct varve_store *store);

/* A whole step, without a done(), which ends when OP may start a job. Reactor. */
int workers_admit(struct op *op);

/*
 * Must a walk that begins now use one thread, and keep no directory open that it does not need? Any
 * thread.
 */
bool workers_tight(const struct varve_store *store);

/* Also a step: the job of OP is over, if it was admitted. Admits the next. OP_END. Reactor. */
int workers_leave(struct op *op);

/* Start JOB, whose class, store, cancelled and width_max (0: no bound) are set. Reactor. */
void job_start(struct job *job);

/* JOB has more work than its threads can do: let others join. Any thread. */
void job_more(struct job *job);

/* Work that kept JOB busy has ended. Reactor. */
void job_turn(struct job *job);

/* Add BYTES of files, which may be sparse and of any size, to TOTAL. */
static inline void job_add_bytes(_Atomic uint64_t *total, uint64_t bytes)
{
	uint64_t now = atomic_load_explicit(total, memory_order_relaxed);

	while (bytes &&
	       !atomic_compare_exchange_weak_explicit(total, &now, bytes_add(now, bytes),
						      memory_order_relaxed, memory_order_relaxed))
		;
}

/* Add what a thread has counted to JOB, and begin anew. */
static inline void job_add(struct job *job, struct sums *sums)
{
	atomic_fetch_add_explicit(&job->entries, sums->entries, memory_order_relaxed);
	atomic_fetch_add_explicit(&job->inodes, sums->inodes, memory_order_relaxed);
	job_add_bytes(&job->bytes, sums->bytes);
	atomic_fetch_add_explicit(&job->disk_bytes, sums->disk_bytes, memory_order_relaxed);
	if (job->progress) {
		atomic_fetch_add_explicit(&job->progress->entries, sums->entries,
					  memory_order_relaxed);
		job_add_bytes(&job->progress->bytes, sums->bytes);
		progress_made(job->progress->request);
	}
	*sums = (struct sums){ 0 };
}

/* Is JOB to end early? Any thread. */
static inline bool job_over(const struct job *job)
{
	return atomic_load_explicit(job->cancelled, memory_order_relaxed) ||
	       atomic_load_explicit(&job->error, memory_order_relaxed);
}

/* Has the thread of SLICE slept since the last call? Waiting for a CPU is not a sleep. */
bool slice_slept(struct slice *slice);

/*
 * Do all of JOB's work on this thread, without a ring or other threads; class->done is not called.
 * 0 or the error.
 */
int job_run_here(struct job *job);

/*
 * For tests: take an entry as slow from THRESHOLD_NS on (0: all are); how long a slice is; the
 * method of extended attributes.
 */
void workers_set_slow(struct varve_store *store, uint64_t threshold_ns);
void workers_set_slice(struct varve_store *store, uint64_t slice_ns);
uint64_t workers_slice_ns(const struct varve_store *store);
void workers_set_xattr_method(struct varve_store *store, enum xattr_method xattr_method);
uint64_t workers_slow_ns(const struct varve_store *store);

#endif
