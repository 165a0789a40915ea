/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read job files: sections of key=value lines in the format of fio, with [global], include and
 * comments.
 *
 * The files and the command line only collect keys; job_set_finish() then applies them to each job
 * in this order, so that the later one wins: defaults, [global] (what stood before the section),
 * the section, the command line. Keys written `ENGINE.KEY` come last, and only for the engine that
 * the job runs on.
 */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include "job/options.h"

#define JOB_LINE_MAX 4096
#define JOB_INCLUDE_DEPTH_MAX 16
#define JOB_INCLUDES_MAX 256
#define JOB_SECTIONS_MAX 1024
#define JOB_FILE_BYTES_MAX (1u << 20)

/* One key with its value, and where it stood. */
struct job_pair {
	char *key;   /* As written. */
	char *value; /* NULL: the key stood alone. */
	char *where; /* "FILE:LINE: ", or "" of the command line. */
};

/* A growing list of pairs. */
struct job_pairs {
	struct job_pair *items; /* Owned, with their strings. */
	size_t count;           /* How many. */
};

/* One job: a section of a file, or --name on the command line. */
struct job {
	/* Name of the section. */
	char *name;
	/* Where it begins; "" of the command line. */
	char *where;
	/* Begun by --name: its pairs already hold those of the command line. */
	bool on_line;
	/* What [global] held when it began, then its own keys. */
	struct job_pairs pairs;
	/* All pairs applied, for the engine given to job_select(). */
	struct options options;
	/* The engines of pair=, NULL last; NULL when the job has no pair=. */
	char **engines;
	/* How long it took in all, including what is not timed. */
	uint64_t took_ns;
};

/* All jobs of a run. */
struct job_set {
	/* The jobs, in the order of the files and the command line. */
	struct job *jobs;
	/* How many. */
	size_t count;
	/* What [global] holds so far. */
	struct job_pairs global;
	/* Keys of the command line, for all jobs. */
	struct job_pairs line;
	/* The section being read is [global]. */
	bool in_global;
	/* There is a section being read. */
	bool in_section;
	/* --name has begun a job: keys of the command line are its own. */
	bool on_line;
	/* Files read so far; a file that is read twice counts twice. */
	size_t files_read;
	/* Nesting of includes at present. */
	size_t files_depth;
	/* The files that include each other at present, to find cycles. */
	const char *files[JOB_INCLUDE_DEPTH_MAX];
};

/*
 * Read FILE (NAME in messages; "-" is standard input) into SET. Returns 0 or -errno with an
 * explanation in ERROR.
 */
int job_set_read(struct job_set *set, const char *name, char *error);

/* Read TEXT of LENGTH bytes as if it was the file NAME. */
int job_set_parse(struct job_set *set, const char *name, const char *text, size_t length,
		  char *error);

/* Take KEY and VALUE (may be NULL) from the command line. */
int job_set_argument(struct job_set *set, const char *key, const char *value, char *error);

/* Check and finish all jobs. Returns 0 or -errno with an explanation in ERROR. */
int job_set_finish(struct job_set *set, char *error);

/* Apply JOB's keys for the engine NAME; NULL: for the one that ioengine= says. */
int job_select(const struct job_set *set, struct job *job, const char *engine, char *error);

/*
 * Return the pair at INDEX as it applies to JOB: of the section first, then of the command line.
 * NULL after the last.
 */
const struct job_pair *job_pair_at(const struct job_set *set, const struct job *job, size_t index);

/* Free what SET holds. */
void job_set_destroy(struct job_set *set);

#endif
