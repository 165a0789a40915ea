/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of varve-bench. */
#ifndef BENCH_COMMAND_H
#define BENCH_COMMAND_H

#include "job/job.h"

#define COMMAND_REPEAT_MAX 1000
#define COMMAND_REPEAT_PAIR 5

/* Bits of command.formats. */
#define COMMAND_NORMAL (1u << 0)
#define COMMAND_JSON (1u << 1)
#define COMMAND_JSON_PLUS (1u << 2)

/* What the command line asked for, beside the jobs. */
struct command {
	struct job_set set;	/* The jobs. */
	const char *output;	/* File for the report; NULL: standard output. */
	uint32_t formats;	/* COMMAND_NORMAL, ... */
	const char *report;	/* File for the page of HTML, or NULL. */
	const char *results;	/* Page of results to put this machine's into, or NULL. */
	const char *pool;	/* FILE,SIZE, or NULL. */
	uint64_t budget_ns;	/* When the run ends at the latest; 0: when it is done. */
	uint32_t repeat;	/* Repetitions; 0: COMMAND_REPEAT_PAIR of pairs, 1 of other jobs. */
	int eta;		/* 1 always, 0 on a terminal, -1 never. */
	bool drain;		/* Wait for the cleaner between groups. */
	bool parse_only;	/* Check the jobs and end. */
	bool tour;		/* It is the tour. */
	char *pool_text;	/* What pool points to, when it was made up; to be freed. */
	bool help;		/* Print help and end. */
	const char *help_topic;	/* About this, or NULL. */
	bool version;		/* Print the version and end. */
};

/* Take ARGV apart. Returns 0 or -errno with an explanation in ERROR (OPTIONS_ERROR_SIZE bytes). */
int command_parse(struct command *command, int argc, char **argv, char *error);

/* Write the help to FILE; TOPIC: "engines", a key, or NULL. Returns -ENOENT when there is no such topic. */
int command_help(FILE *file, const char *topic);

/* Free what COMMAND holds. */
void command_destroy(struct command *command);

#endif
