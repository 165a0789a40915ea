/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of a job, for one thread or merged over several. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>

#include "engine.h"
#include "load/histogram.h"

#define SERIES_SLOTS 2048
#define SERIES_WIDTH_NS (10 * 1000 * 1000ull)
/*
 * Depths are counted in 1, 2, 4, 8, 16, 32, 64 and more; submissions and completions in 0, 4, 8,
 * 16, 32, 64 and more.
 */
#define STATS_LEVELS 7
#define STATS_ERROR_SIZE 512
#define STATS_FIGURES_MAX 20
#define STATS_FIGURE_NAME_SIZE 48

/*
 * Operations over time: how many ended in each slot. When time outgrows it, pairs of slots are
 * added together.
 */
struct series {
	uint64_t width_ns;            /* Time of one slot; 0: nothing recorded. */
	uint64_t end_slot;            /* One past the last slot in use. */
	uint32_t slots[SERIES_SLOTS]; /* Operations in each. */
};

/* What is known of one kind of operation. */
struct kind_stats {
	/* From submission to acceptance; only for asynchronous engines. */
	struct histogram slat;
	/* From acceptance to the end. */
	struct histogram clat;
	/* From the time the operation was due to the end. */
	struct histogram lat;
	/* Layers over time. */
	struct series series;
	/* Layers (of noop: calls); a request of a batch is several. */
	uint64_t units;
	/* Requests that failed. */
	uint64_t errors;
};

/* One number of an engine, merged. */
struct stats_figure {
	char name[STATS_FIGURE_NAME_SIZE]; /* As in struct bench_figure. */
	double value;                      /* Sum, or largest. */
	bool maximum;                      /* Which of them. */
};

/* Everything of one thread, or of several. */
struct stats {
	/* The counters of each kind; NULL where the job does not do it. */
	struct kind_stats *kinds[BENCH_KINDS];
	/* How many were in flight when each was submitted. */
	uint64_t depth_level[STATS_LEVELS];
	/* How many were submitted at a time. */
	uint64_t submit_level[STATS_LEVELS];
	/* How many ended in one wait. */
	uint64_t complete_level[STATS_LEVELS];
	/* When the measured time began. */
	uint64_t start_ns;
	/* When the measured time ended. */
	uint64_t end_ns;
	/* The first failure, 0 of none. */
	int error;
	/* The kind of operation that failed. */
	enum bench_kind error_kind;
	/* The layer that it failed on. */
	char error_id[64];
	/* What the engine says of it; "" when nothing. */
	char error_text[STATS_ERROR_SIZE];
	/* Layers done, including those of the ramp time. */
	uint64_t units_total;
	/* The engine's own figures. */
	struct stats_figure figures[STATS_FIGURES_MAX];
	/* How many. */
	uint32_t figures_count;
};

/* How a rate varied over the measured time. */
struct stats_rate {
	double min;       /* Slowest sample. */
	double max;       /* Fastest. */
	double mean;      /* Mean of the samples. */
	double deviation; /* Their standard deviation. */
	uint64_t samples; /* How many. */
};

/* Make room for the kinds in the BENCH_BIT()s of KINDS. Returns 0 or -ENOMEM. */
int stats_init(struct stats *stats, uint32_t kinds);

/* Forget all that was counted; the measured time begins at NOW. */
void stats_reset(struct stats *stats, uint64_t now);

/* Record UNITS at TIME_NS after the beginning. */
void series_add(struct series *series, uint64_t time_ns, uint32_t units);

/* Add FROM to SERIES, at the coarser width of the two. */
void series_merge(struct series *series, const struct series *from);

/* The names of the slots of depth_level, and of submit_level and complete_level. */
extern const char *const stats_depth_names[STATS_LEVELS], *const stats_burst_names[STATS_LEVELS];

/* Return the slot of 0, 1, 2, 4, ... that COUNT falls into, as depth_level has them. */
uint32_t stats_depth_slot(uint64_t count);

/* Return the slot of 0, 4, 8, 16, ... that COUNT falls into, as submit_level has them. */
uint32_t stats_burst_slot(uint64_t count);

/* Add FROM to STATS. Returns 0 or -ENOMEM. */
int stats_merge(struct stats *stats, const struct stats *from);

/* Add FIGURE to those of STATS. */
void stats_figure(struct stats *stats, const struct bench_figure *figure);

/* Find the figure NAME, NULL when there is none. */
const struct stats_figure *stats_find_figure(const struct stats *stats, const char *name);

/* Return how long the measured time was, in nanoseconds; at least 1. */
uint64_t stats_duration(const struct stats *stats);

/* Sum up the layers of all kinds. */
uint64_t stats_units(const struct stats *stats);

/* Return how the rate of the series varied over DURATION_NS. */
struct stats_rate series_rate(const struct series *series, uint64_t duration_ns);

/* Free what STATS holds. */
void stats_destroy(struct stats *stats);

#endif
