/* SPDX-License-Identifier: Apache-2.0 */
/* varve itself, through its public header: one store for each thread of a job. */
#include <varve.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "load/clock.h"
#include "engines.h"

/*
 * Most callbacks in one varve_dispatch(), which bounds how long a loop is away from its other work.
 * All jobs but the one with 10,000 have fewer operations in flight.
 */
#define DISPATCH_MAX 256

/* Ids that chown shifts by. */
#define SHIFT 100000
/* What relabel sets. */
#define LABEL "system_u:object_r:container_file_t:s0"
/* What quota sets: more than any layer of the bench holds. */
#define LIMIT_BYTES (64ull << 30)
/* Values of method=. */
enum method {
	METHOD_AUTO,
	METHOD_WALK,
	METHOD_SEARCH,
	METHOD_DELTA,
	METHOD_DELTA_EXACT,
	METHOD_DELTA_WALK
};

/*
 * The library's counters that are reported; all of them, with histograms, are too large to be kept.
 */
struct counters {
	/* Counters that grow. */
	uint64_t groups, commits, snapshots, snapshots_direct, syncs, ring_calls, lane_calls;
	/* Largest values. */
	uint64_t group_max, requests_peak, fs_threads_peak, commit_threads_peak;
};

/* A context. */
struct adapter {
	const struct bench_env *env;  /* What the harness said. */
	struct varve_store *store;    /* The store. */
	uint64_t method;              /* enum method. */
	int null_fd;                  /* Where archives go. */
	char size[32];                /* The storage option that limits new layers. */
	const char *storage[2];       /* That one; none when they have no limit. */
	uint64_t record;              /* Bytes of the record of new layers; 0: none. */
	bool selinux;                 /* The kernel has a policy. */
	uint64_t removes;             /* Flags of removals. */
	bool digests;                 /* Take the digests of archives. */
	unsigned completed;           /* Ended since wait() began. */
	uint64_t dispatches;          /* Calls of varve_dispatch() that ran callbacks. */
	uint64_t changes;             /* Changed paths in the results. */
	uint64_t dispatch_max_ns;     /* The longest call of varve_dispatch(). */
	uint64_t dispatch_cpu_max_ns; /* The one with the most processor time. */
	bool guarded;                 /* guard_calls: that is measured. */
	struct counters base;         /* The counters when the measured time began. */
	struct counters now;          /* ... and when the figures were asked for. */
};

/*
 * Take CAP_SYS_ADMIN from this thread's effective set, or give it back. Threads that are made
 * meanwhile go without it for good. Returns 0 or -errno.
 */
static int set_admin(bool admin)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	if (admin)
		data[0].effective |= data[0].permitted & (1u << CAP_SYS_ADMIN);
	else
		data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Open the store of CONFIG, its threads without privilege if UNPRIVILEGED. */
static int open_store(struct adapter *adapter, const struct varve_config *config, bool unprivileged,
		      char *error, size_t size)
{
	struct varve_failure failure;
	int r = unprivileged ? set_admin(false) : 0;

	if (r < 0) {
		snprintf(error, size, "capset: %s", strerror(-r));
		return r;
	}
	r = varve_open(config, &adapter->store, &failure);
	if (r < 0)
		varve_strerror(&failure, error, size);
	if (unprivileged && set_admin(true) < 0)
		snprintf(error, size, "capset: privilege does not come back");
	return r;
}

/* Open a store with FLAGS. */
static int adapter_open(const struct bench_env *env, uint64_t flags, void **ret_context,
			char *error, size_t size)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct adapter *adapter = calloc(1, sizeof(*adapter));
	int r;

	if (!adapter)
		return -ENOMEM;
	adapter->env = env;
	adapter->method = env->option(env, "method");
	adapter->removes = env->option(env, "background") ? VARVE_REMOVE_BACKGROUND : 0;
	adapter->digests = env->option(env, "digests");
	adapter->guarded = env->option(env, "guard_calls");
	adapter->selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
	adapter->record = env->option(env, "record");
	if (env->option(env, "limit")) {
		snprintf(adapter->size, sizeof(adapter->size), "size=%llu",
			 (unsigned long long)env->option(env, "limit"));
		adapter->storage[0] = adapter->size;
	}
	if (env->kinds & BENCH_BIT(BENCH_RELABEL) && !adapter->selinux) {
		snprintf(error, size, "SELinux is off: a label would not be written");
		free(adapter);
		return -EOPNOTSUPP;
	}
	config.home = env->home;
	config.flags = flags | VARVE_OPEN_NO_SWEEP |
		       (env->flags & BENCH_DURABLE ? 0 : VARVE_OPEN_RELAXED);
	/* A batch of flushes is as many requests. */
	config.requests_max = env->depth * (env->kinds & BENCH_BIT(BENCH_FLUSH)
						    ? (uint32_t)env->option(env, "batch")
						    : 1);
	config.ring_entries = (uint32_t)env->option(env, "ring_entries");
	config.fs_threads_max = (uint32_t)env->option(env, "fs_threads_max");
	config.commit_threads_max = (uint32_t)env->option(env, "commit_threads_max");
	config.backlog_max = (uint32_t)env->option(env, "backlog_max");
	adapter->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (adapter->null_fd < 0) {
		r = -errno;
		free(adapter);
		return r;
	}
	r = open_store(adapter, &config, env->option(env, "unprivileged"), error, size);
	if (r < 0) {
		close(adapter->null_fd);
		free(adapter);
		return r;
	}
	*ret_context = adapter;
	return 0;
}

static int adapter_open_ring(const struct bench_env *env, void **ret_context, char *error,
			     size_t size)
{
	return adapter_open(env, 0, ret_context, error, size);
}

static int adapter_open_threads(const struct bench_env *env, void **ret_context, char *error,
				size_t size)
{
	return adapter_open(env, VARVE_OPEN_NO_URING, ret_context, error, size);
}

/* Keep the reason of the failure of RESULT. */
static void adapter_explain(const struct adapter *adapter, const struct varve_result *result)
{
	char text[512];

	if (!result->failure)
		return;
	varve_strerror(result->failure, text, sizeof(text));
	adapter->env->explain(adapter->env->thread, text);
}

/* The callback of every request but flushes. */
static void adapter_ended(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct bench_op *op = user_data;
	struct adapter *adapter = op->engine_data;

	op->error = result->error;
	adapter_explain(adapter, result);
	adapter->completed++;
	adapter->changes += result->changes_count;
	adapter->env->complete(adapter->env->thread, op);
}

/* The flushes of one operation. */
struct flushing {
	struct bench_op *op; /* The operation. */
	uint32_t left;       /* Flushes that have not ended. */
};

/* The callback of each flush. */
static void adapter_flushed(struct varve_store *store, const struct varve_result *result,
			    void *user_data)
{
	struct flushing *flushing = user_data;
	struct bench_op *op = flushing->op;
	struct adapter *adapter = op->engine_data;

	if (result->error && !op->error)
		op->error = result->error;
	adapter_explain(adapter, result);
	if (--flushing->left)
		return;
	free(flushing);
	adapter->completed++;
	adapter->env->complete(adapter->env->thread, op);
}

/* Flush the layers of OP, all at once. */
static int adapter_flush(struct adapter *adapter, struct bench_op *op)
{
	struct flushing *flushing = malloc(sizeof(*flushing));
	int r = 0;

	if (!flushing)
		return -ENOMEM;
	*flushing = (struct flushing){ op, op->count };
	for (uint32_t i = 0; r == 0 && i < op->count; i++) {
		r = varve_layer_flush(adapter->store, op->ids[i], 0, adapter_flushed, flushing,
				      NULL);
		if (r == 0)
			continue;
		if (!i) {
			free(flushing);
			return r;
		}
		/* Those that were submitted end by themselves, and with the last of them OP. */
		flushing->left = i;
		op->error = r;
	}
	return 0;
}

/* Submit OP, which makes layers. */
static int adapter_make(struct adapter *adapter, struct bench_op *op)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	static const char *const labels[] = { "job=17", NULL };
	static const char bytes[VARVE_RECORD_BYTES_MAX];
	int r;

	options.parent = op->kind == BENCH_SNAPSHOT ? op->parent : NULL;
	options.storage_options = adapter->storage;
	if (adapter->record) {
		options.labels = labels;
		options.record = bytes;
		options.record_bytes = adapter->record;
	}
	if (op->kind == BENCH_APPLY) {
		apply.flags = adapter->digests ? VARVE_DIGESTS : 0;
		options.apply = &apply;
		options.apply_fd = open(adapter->env->archive, O_RDONLY | O_CLOEXEC);
		if (options.apply_fd < 0)
			return -errno;
	}
	if (op->count == 1)
		r = varve_layer_create(adapter->store, op->ids[0], &options, adapter_ended, op,
				       NULL);
	else
		r = varve_layer_create_batch(adapter->store, op->ids, op->count, &options,
					     adapter_ended, op, NULL);
	/* The library has a descriptor of its own by now. */
	if (op->kind == BENCH_APPLY)
		close(options.apply_fd);
	return r;
}

/* Submit OP. */
static int adapter_submit(struct adapter *adapter, struct bench_op *op)
{
	static const uint64_t usage_flags[] = {
		[METHOD_WALK] = VARVE_USAGE_WALK,
		[METHOD_SEARCH] = VARVE_USAGE_SEARCH,
		[METHOD_DELTA] = VARVE_USAGE_DELTA | VARVE_USAGE_NO_FLUSH,
		[METHOD_DELTA_EXACT] = VARVE_USAGE_DELTA,
		[METHOD_DELTA_WALK] = VARVE_USAGE_DELTA | VARVE_USAGE_WALK,
	};
	/*
	 * Two ranges trade places, so that every call has the same work, however often a layer is
	 * drawn.
	 */
	static const struct varve_id_map trade[] = { { 0, SHIFT, SHIFT }, { SHIFT, 0, SHIFT } };
	struct varve_chown_options swap = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_changes_options changes = VARVE_CHANGES_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_store *store = adapter->store;
	uint32_t walk = adapter->method == METHOD_WALK ? VARVE_CHANGES_WALK : 0;

	swap.uid_to = swap.gid_to = trade;
	swap.uid_to_count = swap.gid_to_count = 2;
	changes.parent = diff.parent = op->parent;
	changes.flags = diff.flags = walk;
	switch (op->kind) {
	case BENCH_NOOP:
		return varve_noop(store, adapter_ended, op, NULL);
	case BENCH_CREATE:
	case BENCH_SNAPSHOT:
	case BENCH_APPLY:
		return adapter_make(adapter, op);
	case BENCH_REMOVE:
		if (op->count == 1)
			return varve_layer_remove(store, op->ids[0], adapter->removes,
						  adapter_ended, op, NULL);
		return varve_layer_remove_batch(store, op->ids, op->count, adapter->removes,
						adapter_ended, op, NULL);
	case BENCH_CHANGES:
		return varve_layer_changes(store, op->ids[0], &changes, adapter_ended, op, NULL);
	case BENCH_DIFFSIZE:
		return varve_layer_diff_size(store, op->ids[0], &changes, adapter_ended, op, NULL);
	case BENCH_DIFF:
		return varve_layer_diff(store, op->ids[0], &diff, adapter->null_fd, adapter_ended,
					op, NULL);
	case BENCH_USAGE:
		return varve_layer_usage(store, op->ids[0], usage_flags[adapter->method],
					 adapter_ended, op, NULL);
	case BENCH_CHOWN:
		return varve_layer_chown(store, op->ids[0], &swap, adapter_ended, op, NULL);
	case BENCH_RELABEL:
		return varve_layer_relabel(store, op->ids[0], LABEL, 0, adapter_ended, op, NULL);
	case BENCH_QUOTA:
		return varve_quota_limit(store, op->ids[0], LIMIT_BYTES, adapter_ended, op, NULL);
	case BENCH_INFO:
		return varve_layer_info(store, op->ids[0], adapter_ended, op, NULL);
	case BENCH_EXISTS:
		return varve_layer_exists(store, op->ids[0], adapter_ended, op, NULL);
	case BENCH_LIST:
		return varve_layer_list(store, adapter_ended, op, NULL);
	case BENCH_SYNC:
		return varve_sync(store, 0, adapter_ended, op, NULL);
	case BENCH_SWEEP:
		return varve_sweep(store, adapter_ended, op, NULL);
	case BENCH_FLUSH:
		return adapter_flush(adapter, op);
	case BENCH_GET:
		return varve_layer_get(store, op->ids[0], NULL, adapter_ended, op, NULL);
	default:
		return -EOPNOTSUPP;
	}
}

static int adapter_queue(void *context, struct bench_op *op)
{
	int r;

	op->engine_data = context;
	r = adapter_submit(context, op);
	if (r == -EAGAIN)
		return BENCH_BUSY;
	return r < 0 ? r : BENCH_QUEUED;
}

/* Return the processor time of this thread, in nanoseconds. */
static uint64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/*
 * Run the callbacks that are ready, and time that. On a busy machine the thread may lose its
 * processor meanwhile; with guard_calls its processor time is taken, too, which costs a system call
 * for each dispatch.
 */
static int adapter_dispatch(struct adapter *adapter)
{
	uint64_t cpu = adapter->guarded ? thread_cpu_ns() : 0, begin = clock_ns(), took;
	int r = varve_dispatch(adapter->store, DISPATCH_MAX);

	took = clock_ns() - begin;
	if (adapter->guarded) {
		cpu = thread_cpu_ns() - cpu;
		if (cpu > adapter->dispatch_cpu_max_ns)
			adapter->dispatch_cpu_max_ns = cpu;
	}
	if (took > adapter->dispatch_max_ns)
		adapter->dispatch_max_ns = took;
	if (r > 0)
		adapter->dispatches++;
	return r;
}

/* Wait by the descriptor, as an event loop does, until MIN have ended or TIMEOUT_NS are over. */
static int adapter_wait_loop(struct adapter *adapter, unsigned min, uint64_t timeout_ns)
{
	struct pollfd pollfd = { .fd = varve_fd(adapter->store), .events = POLLIN };
	struct timespec timeout = { (time_t)(timeout_ns / NS_PER_S),
				    (long)(timeout_ns % NS_PER_S) };

	for (;;) {
		int r = adapter_dispatch(adapter);

		if (r < 0)
			return r;
		if (adapter->completed >= min)
			return 0;
		r = ppoll(&pollfd, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
	}
}

static int adapter_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct adapter *adapter = context;
	int r;

	adapter->completed = 0;
	/* The time of the caller's thread is taken between the calls of the library. */
	if (adapter->guarded || timeout_ns != UINT64_MAX)
		return adapter_wait_loop(adapter, min, timeout_ns);
	/* Let the library wait, as a program does that waits for nothing else. */
	do {
		r = varve_wait(adapter->store, -1);
		adapter->dispatches += r > 0;
	} while (r >= 0 && adapter->completed < min);
	return r < 0 ? r : 0;
}

/* Read the counters of STORE. */
static struct counters counters_read(struct varve_store *store)
{
	struct varve_statistics all = VARVE_STATISTICS_INIT;

	varve_statistics(store, &all);
	return (struct counters){
		.groups = all.beats,
		.commits = all.commits,
		.snapshots = all.snapshots,
		.snapshots_direct = all.snapshots_direct,
		.syncs = all.syncs,
		.ring_calls = all.ring_calls,
		.lane_calls = all.lane_calls,
		.group_max = all.group_max,
		.requests_peak = all.requests_peak,
		.fs_threads_peak = all.fs_threads_peak,
		.commit_threads_peak = all.commit_threads_peak,
	};
}

static void adapter_reset(void *context)
{
	struct adapter *adapter = context;

	adapter->base = counters_read(adapter->store);
	adapter->dispatch_max_ns = adapter->dispatch_cpu_max_ns = 0;
	adapter->dispatches = 0;
	adapter->changes = 0;
}

static bool adapter_figure(void *context, unsigned index, struct bench_figure *ret)
{
	struct adapter *adapter = context;
	const struct counters *now = &adapter->now, *base = &adapter->base;

	if (!index)
		adapter->now = counters_read(adapter->store);
#define SINCE(field) (double)(now->field - base->field)
	const struct bench_figure figures[] = {
		{ "dispatch_max_ns", (double)adapter->dispatch_max_ns, true },
		{ "dispatch_cpu_max_ns", (double)adapter->dispatch_cpu_max_ns, true },
		{ "dispatches", (double)adapter->dispatches, false },
		{ "changes_listed", (double)adapter->changes, false },
		{ "commit_groups", SINCE(groups), false },
		{ "engine_commits", SINCE(commits), false },
		{ "snapshots", SINCE(snapshots), false },
		{ "snapshots_direct", SINCE(snapshots_direct), false },
		{ "syncs", SINCE(syncs), false },
		{ "group_max", (double)now->group_max, true },
		{ "requests_peak", (double)now->requests_peak, false },
		{ "ring_calls", SINCE(ring_calls), false },
		{ "lane_calls", SINCE(lane_calls), false },
		{ "fs_threads_peak", (double)now->fs_threads_peak, false },
		{ "commit_threads_peak", (double)now->commit_threads_peak, false },
	};
#undef SINCE

	if (index >= sizeof(figures) / sizeof(*figures))
		return false;
	*ret = figures[index];
	return true;
}

static void adapter_close(void *context)
{
	struct adapter *adapter = context;

	varve_close(adapter->store);
	close(adapter->null_fd);
	free(adapter);
}

/* All but the plain walk, which the library does not have. */
#define KINDS ((BENCH_BIT(BENCH_KINDS) - 1) & ~BENCH_BIT(BENCH_WALK))

const struct bench_engine engine_varve = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = KINDS,
	.name = "varve",
	.description = "this library, with io_uring where the kernel has it",
	.open = adapter_open_ring,
	.queue = adapter_queue,
	.wait = adapter_wait,
	.reset = adapter_reset,
	.figure = adapter_figure,
	.close = adapter_close,
};

const struct bench_engine engine_varve_threads = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = KINDS,
	.name = "varve-threads",
	.description = "this library, with io_uring off",
	.open = adapter_open_threads,
	.queue = adapter_queue,
	.wait = adapter_wait,
	.reset = adapter_reset,
	.figure = adapter_figure,
	.close = adapter_close,
};
