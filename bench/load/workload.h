/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sequence of operations of a thread, as rw= asks for it, and the layers that are alive in it.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "place/fixture.h"
#include "job/options.h"

#define WORKLOAD_NAME_SIZE 64
#define WORKLOAD_PREFIX_SIZE 32
/* Layers, calls and walks of one loop of a job with neither number_ios nor runtime. */
#define WORKLOAD_LAYERS_DEFAULT 1000
#define WORKLOAD_NOOPS_DEFAULT 1000000
#define WORKLOAD_WALKS_DEFAULT 10

/* One of the operations in flight. */
struct slot {
	/* What the engine sees; must be the first. */
	struct bench_op op;
	/* When it was due. */
	uint64_t due_ns;
	/* When it was handed to the engine. */
	uint64_t issued_ns;
	/* When the engine had taken it; 0: not yet. */
	uint64_t queued_ns;
	/* create, snapshot: the number of the first layer. */
	uint64_t first;
	/* forkjoin, pipeline: the group it belongs to. */
	uint32_t group;
	/* churn=set: this slot removes next. */
	bool remove_next;
	/* Room for the names of a batch, which op.ids points to, and, last, for the parent's. */
	char **names;
};

/* Numbers of layers, in the order they were made. */
struct live {
	uint64_t *items;   /* Ring of CAPACITY. */
	uint64_t head;     /* Index of the oldest. */
	uint64_t count;    /* How many. */
	uint64_t capacity; /* A power of two, or 0. */
};

/* One fork or pipeline. */
struct group {
	bool removing;     /* It is in the phase that removes its layers. */
	bool has_base;     /* The fork is from a layer of its own. */
	uint32_t issued;   /* Operations handed out in this phase. */
	uint32_t done;     /* ... and ended. */
	uint64_t base;     /* Number of that layer. */
	uint64_t first;    /* Number of the first layer of this generation. */
	uint64_t old_base; /* Base of the one before, to be removed with it. */
	bool has_old_base; /* Whether there is one. */
};

/* The sequence of one thread. */
struct workload {
	const struct options *options;     /* The job. */
	uint32_t kinds;                    /* BENCH_BIT()s of what it will do. */
	char prefix[WORKLOAD_PREFIX_SIZE]; /* How the names of its layers begin. */
	char parent[FIXTURE_NAME_SIZE];    /* The layer that the run prepared to start from. */
	uint64_t random;                   /* State of the random numbers, never 0. */
	uint64_t prepared;                 /* Layers that are to be there at the start. */
	uint64_t left;                     /* Layers (or calls) to go; UINT64_MAX: no limit. */
	uint64_t number;                   /* Number of the next layer. */
	uint64_t flushed;                  /* Layers that were handed out to be flushed. */
	struct live live;                  /* Layers that may be used and removed. */
	struct group *groups;              /* Forks or pipelines. */
	uint32_t *ready;                   /* Those that have an operation to hand out. */
	uint32_t ready_count;              /* How many. */
	uint32_t groups_count;             /* How many there are in all. */
};

/* What workload_next() found. */
enum workload_next {
	WORKLOAD_OPERATION, /* The slot is filled. */
	WORKLOAD_WAIT,      /* Nothing can be done before something in flight has ended. */
	WORKLOAD_END,       /* All is done. */
};

/* Return the BENCH_BIT()s of the kinds of a job of OPTIONS. */
uint32_t workload_kinds(const struct options *options);

/*
 * Prepare the sequence of OPTIONS for a thread whose layers begin with PREFIX; SEED starts its
 * random numbers.
 */
int workload_init(struct workload *workload, const struct options *options, const char *prefix,
		  uint64_t seed);

/* Make room in SLOT for what WORKLOAD may put there. Returns 0 or -ENOMEM. */
int workload_slot_init(const struct workload *workload, struct slot *slot);

/* Fill SLOT with the next operation. */
enum workload_next workload_next(struct workload *workload, struct slot *slot);

/* Count SLOT's operation, which has ended with op.error. Returns 0 or -ENOMEM. */
int workload_ended(struct workload *workload, struct slot *slot);

/* Free what SLOT holds. */
void workload_slot_destroy(struct slot *slot);

/* Free what WORKLOAD holds. */
void workload_destroy(struct workload *workload);

#endif
