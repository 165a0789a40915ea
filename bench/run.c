/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carry out jobs. A group goes through these steps:
 *
 *	set up		parents, layers that must be there, engines, threads      (not timed)
 *	settle		wait for the cleaner, commit                              (not timed)
 *	measure		all threads begin at once; the main thread watches
 *	collect		figures of engines, commits, the cleaner's backlog and the time to drain it
 *	clean up	remove the layers
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "load/clock.h"
#include "engines/engines.h"
#include "report/eta.h"
#include "load/guard.h"
#include "report/log.h"

#define WATCH_NS (250 * NS_PER_MS)

/* How long the threads of a late job may take to return from their engine, by signals. */
#define LATE_NS (5 * NS_PER_S)
/* The signal: it ends a sleep in a system call, and does nothing else. */
#define LATE_SIGNAL SIGUSR1

/* Before a job begins, at least 1/ROOM_PART of a pool is free. */
#define ROOM_PART 2

/* One job while it runs. */
struct running {
	struct job *job;                   /* The section. */
	const struct bench_engine *engine; /* The engine that does the work. */
	struct place *place;               /* Where it works; NULL when it needs no place. */
	struct worker *workers;            /* Its threads. */
	uint32_t count;                    /* How many have been set up. */
};

/* A group while it runs. */
struct running_group {
	struct running *jobs;        /* Its jobs. */
	size_t count;                /* How many. */
	uint32_t threads;            /* Threads of all jobs. */
	struct worker_shared shared; /* What the threads share. */
	struct rusage before;        /* The process's usage when the clock began to run. */
	struct rusage children;      /* ... and that of its children. */
	uint64_t begin_ns;           /* When the clock began to run. */
	uint64_t elapsed_ns;         /* How long it ran. */
	uint64_t trapped;            /* File-system calls that were trapped before it. */
	uint64_t units;              /* Layers done when the watch looked last. */
	uint64_t moved_ns;           /* When that had grown. */
	uint64_t late_ns;            /* When the group became late; 0: it is not. */
	bool over_runtime;           /* Late since its runtime was over, not since nothing ended. */
	bool stuck;                  /* A thread does not return from its engine. */
};

/* Write an explanation to RUN and return R. */
__attribute__((format(printf, 3, 4))) static int fail(struct run *run, int r, const char *format,
						      ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(run->error, sizeof(run->error), format, arguments);
	va_end(arguments);
	return r;
}

/* Free PLACE, NULL is fine; its directory stays. */
static void run_place_free(struct run_place *place)
{
	if (place)
		free(place->directory);
	free(place);
}

/* Find or make the place for DIRECTORY. */
static int run_place(struct run *run, const char *directory, struct place **ret)
{
	struct run_place *at;
	int r;

	for (size_t i = 0; i < run->places_count; i++) {
		if (!strcmp(run->places[i]->directory, directory)) {
			*ret = &run->places[i]->place;
			return 0;
		}
	}
	if (run->places_count == RUN_PLACES_MAX)
		return fail(run, -E2BIG, "more than %d directories", RUN_PLACES_MAX);
	at = calloc(1, sizeof(*at));
	if (at)
		at->directory = strdup(directory);
	if (!at || !at->directory)
		r = fail(run, -ENOMEM, "out of memory");
	else
		r = place_make(&at->place, directory, run->config->fixtures, run->error);
	if (r < 0) {
		run_place_free(at);
		return r;
	}
	run->places[run->places_count++] = at;
	*ret = &at->place;
	return 0;
}

/* Find the engine and the place of JOB. */
static int running_find(struct run *run, struct running *running, struct job *job)
{
	const struct options *options = &job->options;
	const char *directory = options->directory ? options->directory : run->config->directory;
	uint32_t kinds = workload_kinds(options), missing;

	running->job = job;
	running->engine = engine_find(options->ioengine, run->error, sizeof(run->error));
	if (!running->engine)
		return -ENOENT;
	missing = kinds & ~running->engine->kinds;
	if (missing)
		return fail(run, -EOPNOTSUPP, "job %.100s: engine %s does no %s", job->name,
			    running->engine->name,
			    engine_kind_name((enum bench_kind)__builtin_ctz(missing)));
	if (options->quota && (!run->config->fixtures || options->directory))
		return fail(run, -EINVAL,
			    "job %.100s: quota belongs to a whole file system: it needs --pool",
			    job->name);
	if ((options->cold || options->unprivileged) && (!run->config->pool || options->directory))
		return fail(
			run, -EINVAL,
			"job %.100s: cold and unprivileged mount a whole file system anew: they need --pool",
			job->name);
	if (running->engine->homeless && (kinds == BENCH_BIT(BENCH_NOOP) || !directory))
		return 0;
	if (!directory)
		return fail(
			run, -EINVAL,
			"job %.100s: no place to work: give --directory=DIR (on btrfs) or --pool=FILE,SIZE",
			job->name);
	return run_place(run, directory, &running->place);
}

/* Fill, nest in and edit the layers that WORKER has at the start, as its job says. */
static int worker_edit(const struct worker *worker, uint64_t seed)
{
	char name[WORKLOAD_NAME_SIZE];
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < worker->workload.prepared; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s%llu", worker->workload.prefix,
			 (unsigned long long)i);
		if (worker->options->fill)
			r = place_layer_fill(worker->place, name, worker->options->fill);
		if (r < 0 || !(worker->options->edits || worker->options->nested))
			continue;
		fd = openat(worker->place->subvolumes_fd, name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		for (uint64_t k = 0; r == 0 && k < worker->options->nested; k++) {
			snprintf(name, sizeof(name), "nested-%llu", (unsigned long long)k);
			r = layer_create(fd, name);
		}
		if (r == 0 && worker->options->edits)
			r = fixture_edit(fd, worker->options, worker->options->edits, seed + i);
		close(fd);
	}
	return r;
}

/* Make the layers that must be there for RUNNING, from the parent that FD has open. */
static int running_layers(const struct running *running, int fd)
{
	const struct options *options = &running->job->options;
	const struct place *place = running->place;
	char name[FIXTURE_NAME_SIZE];
	int r = 0;

	fixture_name(options, name);
	if (faccessat(place->subvolumes_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = layer_snapshot(place->subvolumes_fd, name, fd);
	for (uint32_t i = 0; r == 0 && i < running->count; i++) {
		const struct workload *workload = &running->workers[i].workload;

		r = place_layers_make(place, workload->prefix, workload->prepared, fd);
		if (r == 0)
			r = worker_edit(&running->workers[i], i + 1);
	}
	return r;
}

/*
 * Make the parent of RUNNING's job, turn quota on, and make the layers that must be there, so that
 * quota counts them.
 */
static int running_prepare(struct run *run, struct running *running)
{
	const struct options *options = &running->job->options;
	const struct place *place = running->place;
	uint32_t kinds = workload_kinds(options);
	int fd, r;

	if (!place || kinds == BENCH_BIT(BENCH_NOOP))
		return 0;
	fd = fixture_open(place->fixtures_fd, options, run->stop);
	if (fd < 0)
		return fail(run, fd, "job %.100s: parent layer: %s", options->name, strerror(-fd));
	r = kinds & BENCH_BIT(BENCH_APPLY) ? fixture_archive(place->fixtures, options) : 0;
	if (r < 0)
		fail(run, r, "job %.100s: archive: %s", options->name, strerror(-r));
	if (r == 0 && options->quota) {
		r = place_set_quota(place, options->quota);
		if (r < 0)
			fail(run, r, "job %.100s: quota: %s", options->name, strerror(-r));
	}
	if (r == 0) {
		r = running_layers(running, fd);
		if (r < 0)
			fail(run, r, "job %.100s: layers: %s", options->name, strerror(-r));
	}
	close(fd);
	return r;
}

/* Set up the threads of RUNNING, which is the INDEX-th job of its group. */
static int running_threads(struct run *run, struct running_group *group, struct running *running,
			   size_t index)
{
	const struct options *options = &running->job->options;
	char prefix[WORKLOAD_PREFIX_SIZE];

	running->workers = calloc(options->numjobs, sizeof(*running->workers));
	if (!running->workers)
		return fail(run, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < options->numjobs; i++) {
		struct worker *worker = &running->workers[i];
		int r;

		*worker = (struct worker){ .options = options,
					   .engine = running->engine,
					   .place = running->place,
					   .shared = &group->shared };
		running->count++;
		snprintf(prefix, sizeof(prefix), "j%zu.t%u.", index, i);
		r = worker_init(worker, prefix, options->randseed + i);
		if (r < 0)
			return fail(run, r, "job %.100s: %s", options->name, strerror(-r));
	}
	return 0;
}

/* Open the engines of RUNNING's threads. */
static int running_open(struct run *run, struct running *running)
{
	for (uint32_t i = 0; i < running->count; i++) {
		struct worker *worker = &running->workers[i];
		char reason[512] = "";
		int r = running->engine->open(&worker->env, &worker->context, reason,
					      sizeof(reason));

		if (r < 0)
			return fail(run, r, "job %.100s: engine %s: %s", running->job->name,
				    running->engine->name, *reason ? reason : strerror(-r));
	}
	return 0;
}

/*
 * Let the kernel finish what was begun before, so that it does not run on the time that is
 * measured.
 */
static int group_settle(struct run *run, struct running_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		uint64_t ns;
		bool done;
		int r;

		if (!group->jobs[i].place)
			continue;
		r = run->config->drain ? place_drain(group->jobs[i].place, run->stop, &ns, &done)
				       : place_sync(group->jobs[i].place);
		if (r < 0)
			return fail(run, r, "waiting for the cleaner: %s", strerror(-r));
	}
	return 0;
}

/* Begin to measure the process's memory anew. */
static void rss_reset(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	/* The memory that making the parent took is freed, but not yet returned to the kernel. */
	malloc_trim(0);
	if (fd < 0)
		return;
	/* 5: the peak becomes what is resident now. */
	if (write(fd, "5", 1) != 1) {
		/* The peak is then that of the whole process, which is larger. */
	}
	close(fd);
}

/* Return the peak of the process's resident memory, in KiB. */
static uint64_t rss_peak(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

/* Show how far GROUP has come. */
static void group_show(struct running_group *group, struct eta *eta)
{
	if (!eta->shown)
		return;
	eta_clear(eta);
	for (size_t i = 0; i < group->count; i++)
		for (uint32_t k = 0; k < group->jobs[i].count; k++)
			eta_add(eta, &group->jobs[i].workers[k]);
	eta_show(eta);
}

/* Return the longest time of any job of GROUP that overtime= gives; 0: one has no bound. */
static uint64_t group_overtime(const struct running_group *group)
{
	uint64_t overtime = 0;

	for (size_t i = 0; i < group->count; i++) {
		uint64_t own = group->jobs[i].job->options.overtime;

		if (!own)
			return 0;
		overtime = own > overtime ? own : overtime;
	}
	return overtime;
}

/* Note whether GROUP is late: nothing has ended, or its runtime has been over, for its overtime. */
static void group_watch(struct running_group *group)
{
	uint64_t overtime = group_overtime(group), now = clock_ns(), units = 0, pause = 0,
		 planned = 0;
	bool bounded = true;

	for (size_t i = 0; i < group->count; i++) {
		const struct options *options = &group->jobs[i].job->options;
		uint64_t own = options->startdelay + options->ramp_time + options->runtime;

		for (uint32_t k = 0; k < group->jobs[i].count; k++)
			units += atomic_load_explicit(&group->jobs[i].workers[k].progress,
						      memory_order_relaxed);
		bounded &= options->runtime > 0;
		planned = own > planned ? own : planned;
		if (options->startdelay + options->thinktime > pause)
			pause = options->startdelay + options->thinktime;
	}
	if (units != group->units)
		group->moved_ns = now;
	group->units = units;
	if (!overtime || group->late_ns)
		return;
	group->over_runtime = bounded && now - group->begin_ns > planned + overtime;
	if (group->over_runtime || now - group->moved_ns > overtime + pause)
		group->late_ns = now;
}

/* Do nothing: the signal has ended what its thread slept in. */
static void on_late(int number)
{
	(void)number;
}

/* Wait for the first COUNT threads of GROUP; when it is late, no longer than LATE_NS. */
static void group_join(struct running_group *group, uint32_t count, struct eta *eta)
{
	for (size_t i = 0; i < group->count; i++) {
		for (uint32_t k = 0; k < group->jobs[i].count && count; k++, count--) {
			pthread_t thread = group->jobs[i].workers[k].thread;

			for (;;) {
				uint64_t wake = clock_ns() + WATCH_NS;
				struct timespec until = { (time_t)(wake / NS_PER_S),
							  (long)(wake % NS_PER_S) };

				group_show(group, eta);
				if (!pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until))
					break;
				group_watch(group);
				if (!group->late_ns)
					continue;
				atomic_store(&group->shared.late, true);
				if (clock_ns() - group->late_ns > LATE_NS) {
					group->stuck = true;
					break;
				}
				/* Again each time: the thread may sleep after the signal. */
				pthread_kill(thread, LATE_SIGNAL);
			}
		}
	}
}

/*
 * Fail GROUP, which is late. Where its engines still have operations, they and what they use are
 * left as they are: RUN ends.
 */
static int group_late(struct run *run, const struct running_group *group)
{
	const struct running *running = &group->jobs[0];
	uint32_t abandoned = 0;
	char left[64] = "";

	for (size_t i = 0; i < group->count && !group->stuck; i++)
		for (uint32_t k = 0; k < group->jobs[i].count; k++)
			abandoned += group->jobs[i].workers[k].abandoned;
	run->stalled = group->stuck || abandoned;
	if (group->stuck)
		snprintf(left, sizeof(left), "; a thread does not return");
	else if (abandoned)
		snprintf(left, sizeof(left), "; %u in flight", abandoned);
	return fail(run, -ETIMEDOUT, "job %.100s: engine %s: %s for %llu s%s", running->job->name,
		    running->engine->name,
		    group->over_runtime ? "its runtime has been over" : "no operation has ended",
		    (unsigned long long)(group_overtime(group) / NS_PER_S), left);
}

/* Start the threads and wait until they have ended. */
static int group_measure(struct run *run, struct running_group *group)
{
	struct eta eta = { 0 };
	uint32_t started = 0;
	int r = 0;

	pthread_mutex_init(&group->shared.mutex, NULL);
	pthread_cond_init(&group->shared.opened, NULL);
	rss_reset();
	group->trapped = guard_count();
	for (size_t i = 0; r == 0 && i < group->count; i++)
		for (uint32_t k = 0; r == 0 && k < group->jobs[i].count; k++, started += r == 0)
			r = worker_start(&group->jobs[i].workers[k]);
	getrusage(RUSAGE_SELF, &group->before);
	getrusage(RUSAGE_CHILDREN, &group->children);
	if (r == 0)
		eta_begin(&eta, run->config->eta);
	else
		fail(run, r, "cannot start thread %u of %u: %s", started + 1, group->threads,
		     strerror(-r));
	sigaction(LATE_SIGNAL, &(struct sigaction){ .sa_handler = on_late }, NULL);
	group->begin_ns = group->moved_ns = clock_ns();
	worker_gate(&group->shared, r == 0 ? 1 : -1);
	group_join(group, started, &eta);
	group->elapsed_ns = clock_ns() - group->begin_ns;
	eta_end(&eta);
	pthread_cond_destroy(&group->shared.opened);
	pthread_mutex_destroy(&group->shared.mutex);
	return group->late_ns ? group_late(run, group) : r;
}

/* Return the seconds of TIME. */
static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Fill in what the process used while GROUP ran. */
static void collect_usage(const struct running_group *group, struct result *result)
{
	struct rusage now, children;
	double elapsed = (double)group->elapsed_ns / (double)NS_PER_S;

	getrusage(RUSAGE_SELF, &now);
	getrusage(RUSAGE_CHILDREN, &children);
	result->usr_cpu = 100 / elapsed *
			  (seconds(now.ru_utime) - seconds(group->before.ru_utime) +
			   seconds(children.ru_utime) - seconds(group->children.ru_utime));
	result->sys_cpu = 100 / elapsed *
			  (seconds(now.ru_stime) - seconds(group->before.ru_stime) +
			   seconds(children.ru_stime) - seconds(group->children.ru_stime));
	result->context_switches = (uint64_t)(now.ru_nvcsw - group->before.ru_nvcsw +
					      now.ru_nivcsw - group->before.ru_nivcsw +
					      children.ru_nvcsw - group->children.ru_nvcsw +
					      children.ru_nivcsw - group->children.ru_nivcsw);
	result->major_faults = (uint64_t)(now.ru_majflt - group->before.ru_majflt);
	result->minor_faults = (uint64_t)(now.ru_minflt - group->before.ru_minflt);
	result->rss_kib = rss_peak();
}

/* Read the figures of WORKER's engine into its statistics. */
static void collect_figures(const struct running_group *group, struct worker *worker)
{
	struct bench_figure figure;

	for (unsigned i = 0;
	     worker->engine->figure && worker->engine->figure(worker->context, i, &figure); i++)
		stats_figure(&worker->stats, &figure);
	if (worker->options->guard_calls) {
		figure = (struct bench_figure){ "caller_fs_calls",
						(double)(guard_count() - group->trapped), true };
		stats_figure(&worker->stats, &figure);
	}
}

/* Add one result for COUNT threads of RUNNING, from FIRST on. */
static int collect_result(struct run *run, const struct running_group *group,
			  const struct running *running, uint32_t first, uint32_t count,
			  const struct result *common)
{
	struct result *result = results_add(run->results);
	int r = 0;

	if (!result)
		return fail(run, -ENOMEM, "out of memory");
	*result = *common;
	result->job = running->job;
	result->options = running->job->options;
	result->engine = running->engine;
	result->threads = count;
	result->bytes_each = running->place ? fixture_bytes(&result->options) : 0;
	for (uint32_t i = first; r == 0 && i < first + count; i++)
		r = stats_merge(&result->stats, &running->workers[i].stats);
	return r < 0 ? fail(run, r, "out of memory") : 0;
}

/*
 * Read the cleaner's backlog, close the engines (open files would hold it up), and time how long it
 * takes to drain.
 */
static void collect_cleaner(struct run *run, struct running_group *group, struct result *result)
{
	const struct place *place = group->jobs[0].place;

	if (place)
		result->has_backlog = place_backlog(place, &result->backlog) == 0;
	for (size_t i = 0; i < group->count; i++) {
		for (uint32_t k = 0; k < group->jobs[i].count; k++) {
			collect_figures(group, &group->jobs[i].workers[k]);
			worker_close(&group->jobs[i].workers[k]);
		}
	}
	if (place && run->config->drain &&
	    place_drain(place, run->stop, &result->drain_ns, &result->drained) < 0)
		result->has_backlog = false;
}

/* Add the results of RUNNING, and write its logs. */
static int collect_job(struct run *run, const struct running_group *group,
		       const struct running *running, const struct result *common)
{
	const struct options *options = &running->job->options;
	bool merged = options->group_reporting || options->claim || running->job->engines;
	uint32_t step = merged ? running->count : 1;
	int r = 0;

	for (uint32_t k = 0; r == 0 && k < running->count; k += step)
		r = collect_result(run, group, running, k, step, common);
	for (uint32_t k = 0; r == 0 && k < running->count; k++) {
		r = log_write(&running->workers[k], ++run->logs);
		if (r < 0)
			fail(run, r, "job %.100s: logs: %s", running->job->name, strerror(-r));
	}
	return r;
}

/*
 * Turn what the threads of GROUP counted into results. COMMITS is the count at the beginning,
 * UINT64_MAX: unknown.
 */
static int group_collect(struct run *run, struct running_group *group, uint64_t commits,
			 uint32_t round)
{
	struct result common = { .group = run->groups, .round = round, .interrupted = *run->stop };
	const struct place *place = group->jobs[0].place;
	int r = 0;

	collect_usage(group, &common);
	if (place && place_commits(place, &common.commits) == 0) {
		common.has_commits = commits != UINT64_MAX;
		common.commits -= commits;
	}
	collect_cleaner(run, group, &common);
	for (size_t i = 0; r == 0 && i < group->count; i++)
		r = collect_job(run, group, &group->jobs[i], &common);
	return r;
}

/* Close engines, free threads, remove layers. What a stalled engine may use stays. */
static int group_close(struct run *run, struct running_group *group)
{
	int first = 0;

	for (size_t i = 0; i < group->count && !run->stalled; i++) {
		for (uint32_t k = 0; k < group->jobs[i].count; k++)
			worker_destroy(&group->jobs[i].workers[k]);
		free(group->jobs[i].workers);
	}
	for (size_t i = 0; i < group->count; i++) {
		const struct place *place = group->jobs[i].place;
		int r = place ? place_layers_remove(place) : 0;

		if (r == 0 && place && group->jobs[i].job->options.quota)
			r = place_set_quota(place, PLACE_QUOTA_OFF);
		if (r < 0 && !first)
			first = fail(run, r, "removing layers: %s", strerror(-r));
	}
	if (!run->stalled) {
		free(group->jobs);
		free(group);
	}
	return first;
}

/* Return whether a job of GROUP sets the number KEY. */
static bool group_has(const struct running_group *group, const char *key)
{
	for (size_t i = 0; i < group->count; i++)
		if (options_number(&group->jobs[i].job->options, key))
			return true;
	return false;
}

/*
 * Let the pool settle, then unmount and mount it: all places are in it, and no engine is open yet.
 */
static int group_remount(struct run *run, struct running_group *group)
{
	int r = group_settle(run, group);

	if (r < 0)
		return r;
	for (size_t i = 0; i < run->places_count; i++)
		place_leave(&run->places[i]->place);
	r = pool_remount(run->config->pool, group_has(group, "unprivileged"), run->error,
			 sizeof(run->error));
	for (size_t i = 0; i < run->places_count; i++) {
		int last = place_return(&run->places[i]->place, run->config->fixtures);

		if (r == 0 && last < 0)
			r = fail(run, last, "the pool, mounted again: %s", strerror(-last));
	}
	return r;
}

/*
 * Make room for GROUP in the pool: where less than half of it is free, remove the parents of other
 * jobs. A later job that needs one makes it again.
 */
static int group_room(struct run *run, struct running_group *group)
{
	const struct place *place = group->jobs[0].place;
	const struct options **used;
	struct statvfs space;
	uint64_t ns;
	bool done;
	int r;

	if (!run->config->pool || !place)
		return 0;
	if (fstatvfs(place->fixtures_fd, &space) < 0)
		return fail(run, -errno, "the pool's space: %s", strerror(errno));
	if (space.f_bavail >= space.f_blocks / ROOM_PART)
		return 0;
	used = calloc(group->count, sizeof(*used));
	if (!used)
		return fail(run, -ENOMEM, "out of memory");
	for (size_t i = 0; i < group->count; i++)
		used[i] = &group->jobs[i].job->options;
	r = fixture_drop(place->fixtures_fd, used, group->count);
	free(used);
	if (r == 0)
		r = place_drain(place, run->stop, &ns, &done);
	return r < 0 ? fail(run, r, "parents of other jobs: %s", strerror(-r)) : 0;
}

/* Set up all jobs of GROUP. */
static int group_open(struct run *run, struct running_group *group, struct job *const *jobs)
{
	bool remount;
	int r = 0;

	for (size_t i = 0; r == 0 && i < group->count; i++)
		r = running_find(run, &group->jobs[i], jobs[i]);
	if (r == 0)
		r = group_room(run, group);
	for (size_t i = 0; r == 0 && i < group->count; i++) {
		r = running_threads(run, group, &group->jobs[i], i);
		if (r == 0)
			r = running_prepare(run, &group->jobs[i]);
		group->threads += group->jobs[i].count;
	}
	remount = group_has(group, "cold") || group_has(group, "unprivileged");
	if (r == 0 && remount)
		r = group_remount(run, group);
	for (size_t i = 0; r == 0 && i < group->count; i++)
		r = running_open(run, &group->jobs[i]);
	return r == 0 && !remount ? group_settle(run, group) : r;
}

int run_group(struct run *run, struct job *const *jobs, size_t count, uint32_t round)
{
	struct running_group *group = calloc(1, sizeof(*group));
	uint64_t commits = UINT64_MAX;
	char reason[RUN_ERROR_SIZE];
	int r, last;

	if (group)
		*group = (struct running_group){ .jobs = calloc(count, sizeof(*group->jobs)),
						 .count = count,
						 .shared.stop = run->stop };
	if (!group || !group->jobs) {
		free(group);
		return fail(run, -ENOMEM, "out of memory");
	}
	r = group_open(run, group, jobs);
	if (r == 0 && group->jobs[0].place && place_commits(group->jobs[0].place, &commits) < 0)
		commits = UINT64_MAX;
	if (r == 0)
		r = group_measure(run, group);
	if (r == 0)
		r = group_collect(run, group, commits, round);
	run->groups++;
	memcpy(reason, run->error, sizeof(reason));
	last = group_close(run, group);
	if (r < 0)
		memcpy(run->error, reason, sizeof(reason));
	return r < 0 ? r : last;
}

/* Run JOB on ENGINE as repetition ROUND; keep the reason in the results when it fails. */
static int run_engine(struct run *run, struct job *job, const char *engine, uint32_t round)
{
	int r = job_select(run->set, job, engine, run->error);

	if (r == 0)
		r = run_group(run, &job, 1, round);
	if (r < 0 && results_fail(run->results, job, engine, run->error) < 0)
		return -ENOMEM;
	if (r < 0)
		fprintf(stderr, "varve-bench: %s on %s: %s\n", job->name, engine, run->error);
	return r == -ENOPKG || r == -EOPNOTSUPP ? 0 : r;
}

int run_pair(struct run *run, struct job *job, char *const *engines, uint32_t repeat,
	     uint64_t share_ns)
{
	uint64_t begin = clock_ns();
	size_t count = 0;
	int first = 0;

	while (engines[count])
		count++;
	for (uint32_t round = 0; round < repeat && !run_ends(run); round++) {
		for (size_t i = 0; i < count && !run_ends(run); i++) {
			/*
			 * Reverse every other round, so that a drift of the machine favours no
			 * engine.
			 */
			const char *engine = engines[round & 1 ? count - 1 - i : i];
			int r = results_failure(run->results, job, engine)
					? 0
					: run_engine(run, job, engine, round);

			if (r == -ENOMEM)
				return r;
			first = first ? first : r;
		}
		job->took_ns = clock_ns() - begin;
		/* Without the first engine there is nothing to compare the others with. */
		if (job->took_ns / (round + 1) * (round + 2) > share_ns ||
		    results_failure(run->results, job, engines[0]))
			break;
	}
	return first;
}

/* Run the jobs of the set once. */
static int run_round(struct run *run, struct job **jobs, uint32_t round)
{
	const struct job_set *set = run->set;
	size_t begin = 0;

	while (begin < set->count && !*run->stop) {
		size_t count = 0;
		int r;

		do
			jobs[count] = &set->jobs[begin + count];
		while (++count < set->count - begin && !set->jobs[begin + count].options.stonewall);
		r = run_group(run, jobs, count, round);
		if (r < 0)
			return r;
		begin += count;
	}
	return 0;
}

int run_all(struct run *run, uint32_t repeat)
{
	struct job **jobs = calloc(run->set->count, sizeof(*jobs));
	int r = jobs ? 0 : fail(run, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < run->set->count; i++)
		r = job_select(run->set, &run->set->jobs[i], NULL, run->error);
	for (uint32_t round = 0; r == 0 && round < repeat && !*run->stop; round++)
		r = run_round(run, jobs, round);
	free(jobs);
	return r;
}

int run_finish(struct run *run)
{
	int first = 0;

	for (size_t i = 0; i < run->places_count; i++) {
		int r = place_remove(&run->places[i]->place);

		if (r < 0 && !first)
			first = fail(run, r, "%.500s: could not remove what the run made: %s",
				     run->places[i]->place.root.path, strerror(-r));
		run_place_free(run->places[i]);
	}
	run->places_count = 0;
	return first;
}
