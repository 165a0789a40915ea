/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of a job.
 *
 *	        due            issued           queued                     now
 *	         |--- late ------|---- slat -------|-------- clat -----------|
 *	         |------------------------- lat -----------------------------|
 *
 * Without rate_iops an operation is due when it is issued. With it, operation n is due at n / rate,
 * whether or not the ones before have ended. So a stall shows in the latency of all operations that
 * it delayed, not only of those in flight: a load that waits for a slow engine would hide how slow
 * it is. A synchronous engine has no slat.
 */
#include "load/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "load/clock.h"
#include "load/guard.h"

/* Large, because the reference engine has a path buffer for each level of a walk, as the driver. */
#define STACK_SIZE (2u << 20)
/* How often a thread that sleeps checks whether to stop. */
#define STOP_POLL_NS (100 * NS_PER_MS)

/* Sleep until the clock shows WHEN, or the run is stopped, or the job is late. */
static void sleep_until(const struct worker *worker, uint64_t when)
{
	uint64_t now = clock_ns();

	while (now < when && !*worker->shared->stop && !atomic_load(&worker->shared->late)) {
		uint64_t until = when - now > STOP_POLL_NS ? now + STOP_POLL_NS : when;
		struct timespec time = { (time_t)(until / NS_PER_S), (long)(until % NS_PER_S) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		now = clock_ns();
	}
}

/* Append what SLOT's operation took to the log. */
static void log_add(struct worker *worker, uint64_t now, enum bench_kind kind, uint64_t slat,
		    uint64_t clat, uint64_t lat)
{
	if (worker->log_count == worker->log_capacity) {
		uint64_t capacity = worker->log_capacity * 2;
		struct log_entry *log = NULL;

		if (capacity <= WORKER_LOG_ENTRIES_MAX)
			log = realloc(worker->log, capacity * sizeof(*log));
		if (!log) {
			worker->log_full = true;
			return;
		}
		worker->log = log;
		worker->log_capacity = capacity;
	}
	worker->log[worker->log_count++] = (struct log_entry){
		(uint32_t)((now - worker->stats.start_ns) / NS_PER_MS), kind, slat, clat, lat
	};
}

/* Keep the first failure, and begin nothing more. */
static void record_error(struct worker *worker, const struct slot *slot)
{
	struct stats *stats = &worker->stats;

	worker->ended = true;
	if (stats->error)
		return;
	stats->error = slot->op.error;
	stats->error_kind = slot->op.kind;
	snprintf(stats->error_id, sizeof(stats->error_id), "%s",
		 slot->op.ids ? slot->op.ids[0] : "");
}

/* Count SLOT's operation, which ended at NOW. */
static void record(struct worker *worker, const struct slot *slot, uint64_t now)
{
	struct stats *stats = &worker->stats;
	struct kind_stats *kind = stats->kinds[slot->op.kind];
	uint64_t lat = now - slot->due_ns, clat, slat = 0;

	stats->units_total += slot->op.count;
	atomic_store_explicit(&worker->progress, stats->units_total, memory_order_relaxed);
	if (!worker->measuring)
		return;
	stats->end_ns = now;
	if (slot->op.error) {
		kind->errors++;
		return;
	}
	if (slot->queued_ns) {
		slat = slot->queued_ns - slot->issued_ns;
		/*
		 * The engine may end it on another thread before queue() has returned to this one.
		 */
		clat = now > slot->queued_ns ? now - slot->queued_ns : 0;
		histogram_add(&kind->slat, slat, 1);
	} else {
		clat = now - slot->issued_ns;
	}
	histogram_add(&kind->clat, clat, 1);
	histogram_add(&kind->lat, lat, 1);
	kind->units += slot->op.count;
	series_add(&kind->series, now - stats->start_ns, slot->op.count);
	if (worker->log && !worker->log_full)
		log_add(worker, now, slot->op.kind, slat, clat, lat);
}

/* Write into the layers of SLOT's operation as fill= says. Returns 0 or -errno. */
static int fill(const struct worker *worker, const struct slot *slot)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < slot->op.count; i++)
		r = place_layer_fill(worker->place, slot->op.ids[i], worker->options->fill);
	return r;
}

/* Count SLOT's operation, which has ended, and free the slot. */
static void slot_ended(struct worker *worker, struct slot *slot)
{
	uint64_t now = clock_ns();
	bool made = !slot->op.error &&
		    (slot->op.kind == BENCH_CREATE || slot->op.kind == BENCH_SNAPSHOT ||
		     slot->op.kind == BENCH_APPLY);

	record(worker, slot, now);
	/* The writes of the layer's user are no part of the layer's cost. */
	if (made && worker->options->fill)
		slot->op.error = fill(worker, slot);
	if (slot->op.error)
		record_error(worker, slot);
	if (workload_ended(&worker->workload, slot) < 0) {
		slot->op.error = -ENOMEM;
		record_error(worker, slot);
	}
	if (worker->options->thinktime && !worker->options->rate_iops)
		worker->due_ns = now + worker->options->thinktime;
	worker->free_slots[worker->free_count++] = (uint32_t)(slot - worker->slots);
	worker->completed_now++;
}

/* Count OP, which has ended: complete() of struct bench_env. */
static void complete(void *thread, struct bench_op *op)
{
	slot_ended(thread, (struct slot *)op);
}

/* Keep the reason of the first failed operation: explain() of struct bench_env. */
static void explain(void *thread, const char *text)
{
	struct stats *stats = &((struct worker *)thread)->stats;

	if (!stats->error && !*stats->error_text)
		snprintf(stats->error_text, sizeof(stats->error_text), "%s", text);
}

/* Hand SLOT's operation to the engine, waiting where it has no room. */
static void issue(struct worker *worker, struct slot *slot, uint64_t now)
{
	int r;

	slot->issued_ns = now;
	slot->queued_ns = 0;
	slot->op.error = 0;
	if (worker->options->rate_iops)
		slot->due_ns = worker->due_ns;
	else
		slot->due_ns = now;
	if (worker->measuring)
		worker->stats.depth_level[stats_depth_slot(worker->depth - worker->free_count)]++;
	while ((r = worker->engine->queue(worker->context, &slot->op)) == BENCH_BUSY) {
		if (atomic_load(&worker->shared->late)) {
			r = -ETIMEDOUT;
			break;
		}
		r = worker->engine->wait(worker->context, 1, UINT64_MAX);
		if (r < 0)
			break;
	}
	if (r == BENCH_QUEUED) {
		slot->queued_ns = clock_ns();
		return;
	}
	if (r < 0)
		slot->op.error = r;
	slot_ended(worker, slot);
}

/*
 * Begin all that can begin now. Returns false when nothing may begin before something in flight has
 * ended.
 */
static bool issue_all(struct worker *worker, uint64_t *now)
{
	bool paced = worker->options->rate_iops || worker->options->thinktime;
	uint64_t issued = 0;

	while (worker->free_count && !worker->ended) {
		struct slot *slot = &worker->slots[worker->free_slots[worker->free_count - 1]];
		enum workload_next next;

		if (paced && worker->due_ns > *now)
			break;
		next = workload_next(&worker->workload, slot);
		if (next == WORKLOAD_END ||
		    (next == WORKLOAD_WAIT && worker->free_count == worker->depth))
			worker->ended = true;
		if (next != WORKLOAD_OPERATION)
			break;
		worker->free_count--;
		/* A flush needs something to write; that takes no part of its time. */
		if (worker->options->fill && slot->op.kind == BENCH_FLUSH) {
			slot->op.error = fill(worker, slot);
			if (slot->op.error)
				record_error(worker, slot);
			*now = clock_ns();
		}
		issue(worker, slot, *now);
		if (worker->options->rate_iops)
			worker->due_ns += NS_PER_S / worker->options->rate_iops;
		issued++;
		*now = clock_ns();
		if (!worker->engine->wait)
			break;
	}
	if (worker->measuring && issued)
		worker->stats.submit_level[stats_burst_slot(issued)]++;
	return issued;
}

/* Begin to count when the ramp time is over; end when the runtime is, or the run is stopped. */
static void check_time(struct worker *worker, uint64_t now)
{
	const struct options *options = worker->options;

	if (!worker->measuring && now - worker->begin_ns >= options->ramp_time) {
		worker->measuring = true;
		stats_reset(&worker->stats, now);
		if (worker->engine->reset)
			worker->engine->reset(worker->context);
	}
	if (*worker->shared->stop ||
	    (options->runtime && now - worker->begin_ns >= options->ramp_time + options->runtime))
		worker->ended = true;
}

/* Wait for something that is in flight, but no longer than until the next operation is due. */
static void wait_some(struct worker *worker, uint64_t now)
{
	uint64_t timeout = UINT64_MAX;
	int r;

	if (worker->free_count && worker->due_ns > now && !worker->ended)
		timeout = worker->due_ns - now;
	worker->completed_now = 0;
	r = worker->engine->wait(worker->context, 1, timeout);
	if (r < 0 && r != -EINTR) {
		worker->stats.error = r;
		worker->ended = true;
	}
	if (worker->measuring && worker->completed_now)
		worker->stats.complete_level[stats_burst_slot(worker->completed_now)]++;
}

/* Keep operations in flight until the work or the time is over, then wait for the last ones. */
static void run(struct worker *worker)
{
	uint64_t now = worker->begin_ns = worker->due_ns = clock_ns();

	for (;;) {
		bool issued;

		check_time(worker, now);
		if (atomic_load(&worker->shared->late)) {
			worker->abandoned = worker->depth - worker->free_count;
			break;
		}
		issued = issue_all(worker, &now);
		if (worker->free_count < worker->depth)
			wait_some(worker, now);
		else if (worker->ended)
			break;
		else if (!issued && worker->due_ns > now)
			sleep_until(worker, worker->due_ns);
		else if (worker->measuring)
			worker->stats.complete_level[stats_burst_slot(1)]++;
		now = worker->engine->wait || worker->due_ns > now ? clock_ns() : now;
	}
}

void worker_gate(struct worker_shared *shared, int gate)
{
	pthread_mutex_lock(&shared->mutex);
	shared->gate = gate;
	pthread_cond_broadcast(&shared->opened);
	pthread_mutex_unlock(&shared->mutex);
}

/* Wait for the gate, then run WORKER, which ARGUMENT points to. */
static void *worker_thread(void *argument)
{
	struct worker *worker = argument;
	struct worker_shared *shared = worker->shared;
	int gate, r = 0;

	prctl(PR_SET_NAME, "bench-job");
	pthread_mutex_lock(&shared->mutex);
	while (!(gate = shared->gate))
		pthread_cond_wait(&shared->opened, &shared->mutex);
	pthread_mutex_unlock(&shared->mutex);
	if (gate < 0)
		return NULL;
	if (worker->options->startdelay)
		sleep_until(worker, clock_ns() + worker->options->startdelay);
	if (worker->options->guard_calls)
		r = guard_install();
	if (r < 0)
		worker->stats.error = r;
	else
		run(worker);
	if (!worker->measuring)
		worker->stats.start_ns = worker->stats.end_ns = clock_ns();
	return NULL;
}

/* Return the value of an option of the job to its engine. */
static uint64_t env_option(const struct bench_env *env, const char *key)
{
	const struct worker *worker = env->harness;

	return options_number(worker->options, key);
}

/* Return an option of the job that is text to its engine. */
static const char *env_text(const struct bench_env *env, const char *key)
{
	const struct worker *worker = env->harness;

	return options_text(worker->options, key);
}

/* Let an engine destroy PATH only below the run's own directory. */
static int env_permit(const struct bench_env *env, const char *path)
{
	const struct worker *worker = env->harness;

	return worker->place ? safety_check(&worker->place->root, path) : -EPERM;
}

int worker_init(struct worker *worker, const char *prefix, uint64_t seed)
{
	int r = workload_init(&worker->workload, worker->options, prefix, seed);

	if (r < 0)
		return r;
	worker->work = worker->workload.left;
	worker->depth = worker->engine->wait ? (uint32_t)worker->options->iodepth : 1;
	worker->slots = calloc(worker->depth, sizeof(*worker->slots));
	worker->free_slots = calloc(worker->depth, sizeof(*worker->free_slots));
	if (!worker->slots || !worker->free_slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < worker->depth; i++) {
		r = workload_slot_init(&worker->workload, &worker->slots[i]);
		if (r < 0)
			return r;
		worker->free_slots[i] = worker->depth - 1 - i;
	}
	worker->free_count = worker->depth;
	if (worker->options->lat_log) {
		worker->log_capacity = 1024;
		worker->log = calloc(worker->log_capacity, sizeof(*worker->log));
		if (!worker->log)
			return -ENOMEM;
	}
	if (worker->place && worker->workload.kinds & BENCH_BIT(BENCH_APPLY) &&
	    snprintf(worker->archive, sizeof(worker->archive), "%s/%s%s", worker->place->fixtures,
		     worker->workload.parent,
		     fixture_archive_suffix(worker->options)) >= (int)sizeof(worker->archive))
		return -ENAMETOOLONG;
	worker->env = (struct bench_env){
		.home = worker->place ? worker->place->home : NULL,
		.subvolumes = worker->place ? worker->place->subvolumes : NULL,
		.parent = worker->place ? worker->workload.parent : NULL,
		.archive = *worker->archive ? worker->archive : NULL,
		.kinds = worker->workload.kinds,
		.depth = worker->depth,
		.flags = worker->options->durability ? BENCH_DURABLE : 0,
		.option = env_option,
		.complete = complete,
		.explain = explain,
		.permit = env_permit,
		.thread = worker,
		.harness = worker,
		.text = env_text,
	};
	return stats_init(&worker->stats, worker->workload.kinds);
}

int worker_start(struct worker *worker)
{
	pthread_attr_t attributes;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	r = -pthread_create(&worker->thread, &attributes, worker_thread, worker);
	pthread_attr_destroy(&attributes);
	return r;
}

void worker_close(struct worker *worker)
{
	if (!worker->context)
		return;
	for (uint32_t i = 0; worker->engine->forget && i < worker->depth; i++)
		if (worker->slots[i].op.engine_data)
			worker->engine->forget(worker->context, &worker->slots[i].op);
	worker->engine->close(worker->context);
	worker->context = NULL;
}

void worker_destroy(struct worker *worker)
{
	worker_close(worker);
	for (uint32_t i = 0; worker->slots && i < worker->depth; i++)
		workload_slot_destroy(&worker->slots[i]);
	free(worker->slots);
	free(worker->free_slots);
	free(worker->log);
	workload_destroy(&worker->workload);
	stats_destroy(&worker->stats);
}
