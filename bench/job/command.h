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
	/* The jobs. */
	struct job_set set;
	/* File for the report; NULL: standard output. */
	const char *output;
	/* COMMAND_NORMAL, ... */
	uint32_t formats;
	/* File for the page of HTML, or NULL. */
	const char *report;
	/* Page of results that gets a section of this machine, or NULL. */
	const char *results;
	/* FILE,SIZE, or NULL. */
	const char *pool;
	/* How long the run may take; 0: no limit. */
	uint64_t budget_ns;
	/* Repetitions; 0: COMMAND_REPEAT_PAIR of pairs, 1 of other jobs. */
	uint32_t repeat;
	/* 1 always, 0 on a terminal, -1 never. */
	int eta;
	/* Wait for the cleaner between groups. */
	bool drain;
	/* Check the jobs and end. */
	bool parse_only;
	/* It is the tour. */
	bool tour;
	/* What pool points to, when the tour has chosen it; to be freed. */
	char *pool_text;
	/* Print help and end. */
	bool help;
	/* The key or topic of that help, or NULL. */
	const char *help_topic;
	/* Print the version and end. */
	bool version;
};

/* Take ARGV apart. Returns 0 or -errno with an explanation in ERROR (OPTIONS_ERROR_SIZE bytes). */
int command_parse(struct command *command, int argc, char **argv, char *error);

/*
 * Write the help to FILE; TOPIC: "engines", a key, or NULL. Returns -ENOENT when there is no such
 * topic.
 */
int command_help(FILE *file, const char *topic);

/* Free what COMMAND holds. */
void command_destroy(struct command *command);

#endif
