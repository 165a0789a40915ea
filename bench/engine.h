/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine performs operations on layers, and the harness times them. This header is all that an
 * engine sees of the harness, and the whole interface of an external engine
 * (ioengine=external:PATH); engines/README.md describes how to write one, engines/skeleton.c is a
 * skeleton.
 *
 *	harness                         engine
 *	open()                     ->   once for each thread of a job, before the clock runs
 *	queue(op)                  ->   start one operation: BENCH_DONE, BENCH_QUEUED or BENCH_BUSY
 *	wait(min, timeout)         ->   sleep until `min` queued ones have ended, env->complete() each
 *	figure()                   ->   read a number of the engine's own
 *	close()                    ->   once, after all have ended
 *
 * open, figure and close run on the main thread; queue and wait on the thread of the job. Different
 * threads have different contexts, so an engine needs no lock unless it shares something by itself.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this interface; an external engine of another one is refused. */
#define BENCH_ENGINE_VERSION 1
/* Symbol of the struct bench_engine that an external engine exports. */
#define BENCH_ENGINE_SYMBOL "bench_engine"

/* The kinds of operation. */
enum bench_kind {
	BENCH_NOOP,     /* Do nothing. */
	BENCH_CREATE,   /* Make an empty layer. */
	BENCH_SNAPSHOT, /* Make a layer from op->parent. */
	BENCH_REMOVE,   /* Remove a layer. */
	BENCH_GET,      /* Find a layer's directory. */
	BENCH_USAGE,    /* Sum up a layer's sizes and count its inodes. */
	BENCH_WALK,     /* Visit every entry of a layer. */
	BENCH_CHOWN,    /* Give every entry another owner. */
	BENCH_RELABEL,  /* Give every entry a security label. */
	BENCH_CHANGES,  /* List the differences from op->parent. */
	BENCH_DIFF,     /* Write the differences from op->parent as an archive, discarded. */
	BENCH_QUOTA,    /* Limit the size of a layer. */
	BENCH_APPLY,    /* Make a layer from the archive env->archive. */
	BENCH_DIFFSIZE, /* Sum up the sizes of the files that differ from op->parent. */
	BENCH_INFO,     /* Describe a layer. */
	BENCH_EXISTS,   /* Check whether a layer exists. */
	BENCH_LIST,     /* Name all layers. */
	BENCH_SYNC,     /* Make all that has ended durable. */
	BENCH_SWEEP,    /* Remove the leftovers of dead processes. */
	BENCH_COMMIT,   /* Commit a snapshot, which is another one from then on. */
	BENCH_FLUSH,    /* Make the data of layers durable. */
	BENCH_KINDS,    /* How many there are; not one of them. */
};

/* Return the bit of KIND in bench_engine.kinds. */
#define BENCH_BIT(kind) (1u << (kind))

/* What queue() returns beside a negative errno, which ends the operation with that error. */
enum bench_queued {
	BENCH_DONE,   /* It has ended; op->error says how. */
	BENCH_QUEUED, /* env->complete() will be called for it, in a wait(). */
	BENCH_BUSY,   /* There is no room: wait(), then queue it again. */
};

/* One operation. The harness owns it; the engine reads it from queue() until it has ended. */
struct bench_op {
	/* The kind of the operation. */
	enum bench_kind kind;
	/* Set by the engine: 0 or negative errno, of a batch the first one. */
	int error;
	/* The number of layers; more than 1 is a batch. */
	uint32_t count;
	/* Their names in env->subvolumes. */
	const char *const *ids;
	/*
	 * snapshot: the layer to start from; changes, diff, diffsize: the layer to compare with,
	 * "": nothing.
	 */
	const char *parent;
	/* The engine's own; NULL when the slot is new, then kept from use to use. */
	void *engine_data;
};

/* Flags of bench_env. */
#define BENCH_DURABLE (1u << 0) /* An operation has ended when it would survive a power cut. */

/* The environment that an engine gets at open; lives until close() has returned. */
struct bench_env {
	/* The store's directory; NULL when no job of the run needs one. */
	const char *home;
	/* HOME/subvolumes: a layer is a subvolume in it. */
	const char *subvolumes;
	/* The parent layer's name; NULL when the job has none. */
	const char *parent;
	/* The parent layer as a tar archive, for apply; NULL when no job of it needs one. */
	const char *archive;
	/* BENCH_BIT()s of the kinds of the job: refuse at open (-ENOPKG) what cannot be done. */
	uint32_t kinds;
	/* Most operations in flight on this context. */
	uint32_t depth;
	/* BENCH_DURABLE. */
	uint32_t flags;
	/*
	 * Return the value of an option of the job that is for engines ("ring_entries"), 0 when it is
	 * not set.
	 */
	uint64_t (*option)(const struct bench_env *env, const char *key);
	/* Note that OP, which was queued on THREAD, has ended. */
	void (*complete)(void *thread, struct bench_op *op);
	/*
	 * Keep TEXT, the first one, as the reason why an operation of THREAD failed. On the job's
	 * thread.
	 */
	void (*explain)(void *thread, const char *text);
	/*
	 * Refuse (-EPERM) a PATH that the run did not make; to be called before a program is run on
	 * PATH.
	 */
	int (*permit)(const struct bench_env *env, const char *path);
	/* To be handed to complete() and explain(). */
	void *thread;
	/* The harness's own. */
	void *harness;
	/* Return an option of the job that is text ("socket"), NULL when it is not set. */
	const char *(*text)(const struct bench_env *env, const char *key);
};

/* A number of the engine's own, for the report. */
struct bench_figure {
	/* Lower case words joined by '_', with the unit at the end: "dispatch_max_ns". */
	const char *name;
	/* Its value over the measured time. */
	double value;
	/* Of several threads the largest value counts, not the sum. */
	bool maximum;
};

/* One engine. */
struct bench_engine {
	/* BENCH_ENGINE_VERSION. */
	uint32_t version;
	/* BENCH_BIT()s of what it can do. */
	uint32_t kinds;
	/* Its name in ioengine=. */
	const char *name;
	/* One line for --help=engines. */
	const char *description;
	/* Works without a btrfs directory when only noop is asked for. */
	bool homeless;
	/*
	 * Make a context in *RET_CONTEXT. Returns 0 or -errno, then with an explanation in ERROR
	 * (SIZE bytes).
	 */
	int (*open)(const struct bench_env *env, void **ret_context, char *error, size_t size);
	/* Start OP: an enum bench_queued, or negative errno. */
	int (*queue)(void *context, struct bench_op *op);
	/*
	 * Wait until at least MIN of the queued operations have been completed, TIMEOUT_NS are over
	 * (UINT64_MAX: never), or a signal came. Returns 0 or -errno. NULL: the engine is
	 * synchronous, the depth is 1.
	 */
	int (*wait)(void *context, unsigned min, uint64_t timeout_ns);
	/*
	 * Forget what was counted so far: the measured time begins now. On the job's thread. May be
	 * NULL.
	 */
	void (*reset)(void *context);
	/*
	 * Set *RET to the figure at INDEX (0, 1, ...) and return true; false after the last. May be
	 * NULL.
	 */
	bool (*figure)(void *context, unsigned index, struct bench_figure *ret);
	/* Drop what OP's slot holds in engine_data. May be NULL. */
	void (*forget)(void *context, struct bench_op *op);
	/* Free the context. Nothing is in flight. */
	void (*close)(void *context);
};

/*
 * Find the engine called NAME: "varve", "varve@anything" (the same one under a label, for pairs),
 * "external:PATH" (loads it). NULL with an explanation in ERROR (SIZE bytes).
 */
const struct bench_engine *engine_find(const char *name, char *error, size_t size);

/* Return the built-in engine at INDEX, NULL after the last. */
const struct bench_engine *engine_at(size_t index);

/* Return the name of KIND: "snapshot". */
const char *engine_kind_name(enum bench_kind kind);

#endif
