/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number of threads. While they compute, one for each CPU is best: more only compete. While
 * they sleep for the disk, more of them keep more reads in flight. Each slice measures its time and
 * its CPU time; the smoothed quotient decides:
 *
 *	quotient > 2 * max(1, width / CPUs)	they sleep: twice as many
 *	quotient < 1.2 * max(1, width / CPUs)	they compute: half as many
 *
 * Threads that did not sleep wait for a CPU that others use, and are not doubled. With more threads
 * than CPUs they wait for a CPU, which raises the quotient even where none sleeps for the disk. The
 * factor width / CPUs makes up for that: without it a large width would grow further.
 */
#include "engine/walk/workers.h"
#include "engine/core/fds.h"
#include "engine/store/store.h"

#include <sys/resource.h>

/* Slices that can run at once: with more CPUs than threads that may sleep, one for each CPU. */
#define WALK_WIDTH_MAX MAX(WALK_THREADS_MAX, FS_THREADS_MAX)

struct workers {
	struct varve_store *store;
	/* Posted by a thread that has work for others; is it posted and not received yet? */
	struct inbox_node more;
	_Atomic bool more_posted;
	/* Jobs that have been started, the one that waited longest first; slices under way. */
	struct list jobs;
	unsigned running;
	/* Operations that were admitted; those that wait for that. */
	unsigned admitted;
	struct list waiting;
	/* The operation admitted last runs alone, because descriptors are short. */
	_Atomic bool tight;
	/* All slices, and the free ones. */
	struct slice slices[WALK_WIDTH_MAX], *free[WALK_WIDTH_MAX];
	unsigned free_count;
	/* CPUs; how many slices may run now; sums over the last slices. */
	unsigned cpus, width;
	uint64_t wall_ns, cpu_ns, sleeps;
	/* See workers_set_slow(), workers_set_slice(). */
	uint64_t slow_ns, slice_ns;
	/* How a thread of the library names entries for their attributes. */
	enum xattr_method xattr_method;
};

int workers_init(struct varve_store *store)
{
	struct workers *workers = calloc(1, sizeof(*workers));

	if (!workers)
		return -ENOMEM;
	workers->store = store;
	workers->cpus = workers->width = store->settings.io.threads_max[LANE_FS];
	workers->slow_ns = WALK_SLOW_NS;
	workers->slice_ns = WALK_SLICE_NS;
	workers->xattr_method = xattr_probe();
	while (workers->free_count < WALK_WIDTH_MAX) {
		workers->free[workers->free_count] = &workers->slices[workers->free_count];
		workers->free_count++;
	}
	list_init(&workers->jobs);
	list_init(&workers->waiting);
	store->workers = workers;
	return 0;
}

void workers_set_slow(struct varve_store *store, uint64_t threshold_ns)
{
	store->workers->slow_ns = threshold_ns;
}

void workers_set_slice(struct varve_store *store, uint64_t slice_ns)
{
	store->workers->slice_ns = slice_ns;
}

void workers_set_xattr_method(struct varve_store *store, enum xattr_method xattr_method)
{
	store->workers->xattr_method = xattr_method;
}

bool workers_tight(const struct varve_store *store)
{
	return atomic_load(&store->workers->tight);
}

uint64_t workers_slow_ns(const struct varve_store *store)
{
	return store->workers->slow_ns;
}

uint64_t workers_slice_ns(const struct varve_store *store)
{
	return store->workers->slice_ns;
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Take OP out of the queue of those that wait to be admitted. */
static void workers_withdraw(struct op *op)
{
	list_remove(&op->link);
	fds_idle(op, false);
}

/* Admit OP if there are descriptors for one more walk. A single walk is always admitted. */
static bool workers_try_admit(struct workers *workers, struct op *op)
{
	unsigned fds = workers->store->settings.walk_fds_max + FDS_RESERVE;

	if (workers->admitted >= WALKS_MAX)
		return false;
	if (fds_extend(op, fds, false))
		atomic_store(&workers->tight, false);
	else if (!workers->admitted && fds_extend(op, FDS_RESERVE, true))
		atomic_store(&workers->tight, true);
	else
		return false;
	workers->admitted++;
	op->admitted = true;
	return true;
}

int workers_admit(struct op *op)
{
	struct workers *workers = op_store(op)->workers;

	if (list_empty(&workers->waiting) && workers_try_admit(workers, op))
		return (int)op->state + 1;
	op->withdraw = workers_withdraw;
	fds_idle(op, true);
	list_append(&workers->waiting, &op->link);
	return OP_WAIT;
}

int workers_leave(struct op *op)
{
	struct workers *workers = op_store(op)->workers;
	struct list next = LIST_INIT(next), *link;

	if (!op->admitted)
		return OP_END;
	op->admitted = false;
	workers->admitted--;
	fds_shrink(op);
	while (!list_empty(&workers->waiting) &&
	       workers_try_admit(workers, list_entry(workers->waiting.next, struct op, link))) {
		link = list_pop(&workers->waiting);
		fds_idle(list_entry(link, struct op, link), false);
		list_append(&next, link);
	}
	while ((link = list_pop(&next)))
		op_done(list_entry(link, struct op, link), 0);
	return OP_END;
}

/* ---- slices ---------------------------------------------------------------------------------- */

bool slice_slept(struct slice *slice)
{
	struct rusage usage;
	uint64_t before = slice->sleeps_before;

	getrusage(RUSAGE_THREAD, &usage);
	slice->sleeps_before = (uint64_t)usage.ru_nvcsw;
	slice->sleeps += slice->sleeps_before - before;
	return slice->sleeps_before != before;
}

/* Run one slice. Lane thread. */
static int workers_slice_run(struct call *call)
{
	struct slice *slice = container_of(call, struct slice, call);
	uint64_t begin = now_ns(), cpu = thread_cpu_ns();
	int r = -ENOMEM;

	atomic_fetch_sub(&slice->job->starting, 1);
	slice->until_ns = begin + slice->job->store->workers->slice_ns;
	slice_slept(slice);
	slice->sleeps = 0;
	slice->yield.wakes = &slice->job->store->core.io.wakes;
	slice->xattr_dir = (struct xattr_dir){ .method = slice->job->store->workers->xattr_method };
	slice->buffer = fault_calloc(&slice->job->store->core.io.fault, 1, READDIR_BUFFER_BYTES);
	if (slice->buffer)
		r = slice->job->class->slice(slice->job, slice);
	free(slice->buffer);
	xattr_dir_leave(&slice->xattr_dir);
	slice_slept(slice);
	slice->wall_ns = now_ns() - begin;
	slice->cpu_ns = thread_cpu_ns() - cpu;
	return r;
}

/* Change the number of threads by what SLICE has measured. */
static void workers_adapt(struct workers *workers, const struct slice *slice)
{
	unsigned share = MAX(1, workers->width / workers->cpus);

	workers->wall_ns += slice->wall_ns;
	workers->cpu_ns += slice->cpu_ns;
	workers->sleeps += slice->sleeps;
	/* Wait for enough slices of this width. */
	if (workers->wall_ns < WALK_SLICE_NS * (uint64_t)workers->width)
		return;
	if (workers->wall_ns > 2 * share * workers->cpu_ns && workers->sleeps)
		workers->width = MAX(MIN(workers->width * 2, WALK_THREADS_MAX), workers->cpus);
	else if (workers->wall_ns * 10 < 12 * share * workers->cpu_ns)
		workers->width = MAX(workers->width / 2, workers->cpus);
	workers->wall_ns = workers->cpu_ns = workers->sleeps = 0;
}

static void workers_turn(struct workers *workers);

/* Is nothing of JOB under way? */
static bool workers_idle(struct job *job)
{
	return !job->running && !(job->class->busy && job->class->busy(job));
}

/* Take back a slice that has ended. */
static void workers_sliced(struct call *call)
{
	struct slice *slice = container_of(call, struct slice, call);
	struct job *job = slice->job;
	struct workers *workers = job->store->workers;
	int none = 0;

	job->running--;
	workers->running--;
	/* The lane refused the call: it did not run. */
	if (call->result < 0 && !slice->wall_ns)
		atomic_fetch_sub(&job->starting, 1);
	if (call->result < 0)
		atomic_compare_exchange_strong(&job->error, &none, call->result);
	workers_adapt(workers, slice);
	workers->free[workers->free_count++] = slice;
	workers_turn(workers);
}

/* Give JOB one more thread. */
static void workers_launch(struct workers *workers, struct job *job)
{
	struct slice *slice = workers->free[--workers->free_count];

	slice->job = job;
	slice->wall_ns = slice->cpu_ns = 0;
	job->running++;
	atomic_fetch_add(&job->starting, 1);
	workers->running++;
	call_function(&slice->call, LANE_WALK, job->class->name, workers_slice_run);
	slice->call.done = workers_sliced;
	io_submit(&workers->store->core.io, &slice->call);
}

/* Could JOB use one more thread, and may it have one? */
static bool workers_wants(struct job *job)
{
	bool room = !job->width_max || job->running < job->width_max;

	return room && !job_over(job) && job->class->wanted(job) > atomic_load(&job->starting);
}

/* Hand out threads, one to each job in turn; a job that got one goes behind the others. */
static bool workers_round(struct workers *workers)
{
	struct list kept = LIST_INIT(kept), served = LIST_INIT(served), *link;
	bool any = false;

	while ((link = list_pop(&workers->jobs))) {
		struct job *job = list_entry(link, struct job, link);
		bool serve = workers->running < workers->width && workers_wants(job);

		if (serve)
			workers_launch(workers, job);
		list_append(serve ? &served : &kept, link);
		any |= serve;
	}
	list_splice(&workers->jobs, &kept);
	list_splice(&workers->jobs, &served);
	return any;
}

/* Hand out threads, and end the jobs that are over. */
static void workers_turn(struct workers *workers)
{
	struct list over = LIST_INIT(over), *link;

	while (workers_round(workers))
		;
	list_for_each_safe(pos, &workers->jobs) {
		struct job *job = list_entry(pos, struct job, link);

		if (workers_idle(job) && (job_over(job) || !job->class->wanted(job))) {
			list_remove(pos);
			list_append(&over, pos);
		}
	}
	/* The end of a job may start another. */
	while ((link = list_pop(&over))) {
		struct job *job = list_entry(link, struct job, link);

		job->started = false;
		list_remove(&job->link);
		job->class->done(job, job->error                    ? job->error
				      : atomic_load(job->cancelled) ? -ECANCELED
								    : 0);
	}
}

void job_start(struct job *job)
{
	struct workers *workers = job->store->workers;

	job->started = true;
	list_append(&workers->jobs, &job->link);
	workers_turn(workers);
}

void job_turn(struct job *job)
{
	workers_turn(job->store->workers);
}

/* Hand out threads, as there is work for more. Reactor. */
static void workers_more(struct inbox_node *node)
{
	struct workers *workers = container_of(node, struct workers, more);

	atomic_store(&workers->more_posted, false);
	workers_turn(workers);
}

void job_more(struct job *job)
{
	struct workers *workers = job->store->workers;

	/* A job that runs here has no other threads. */
	if (!job->started || atomic_exchange(&workers->more_posted, true))
		return;
	workers->more.receive = workers_more;
	io_post(&job->store->core.io, &workers->more);
}

int job_run_here(struct job *job)
{
	struct slice slice = { .job = job,
			       .yield.wakes = &job->store->core.io.wakes,
			       .xattr_dir.method = job->store->workers->xattr_method };
	int r = 0;

	/* This thread belongs to the caller: its working directory stays. */
	if (slice.xattr_dir.method == XATTR_CWD)
		slice.xattr_dir.method = XATTR_PROC;
	slice.buffer = fault_calloc(&job->store->core.io.fault, 1, READDIR_BUFFER_BYTES);
	if (!slice.buffer)
		return -ENOMEM;
	while (!r && !job_over(job) && job->class->wanted(job)) {
		slice.until_ns = now_ns() + WALK_SLICE_NS;
		slice_slept(&slice);
		r = job->class->slice(job, &slice);
	}
	free(slice.buffer);
	if (r || job->error)
		return r ? r : job->error;
	return atomic_load(job->cancelled) ? -ECANCELED : 0;
}
