/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: tables of options: parsing, usage text. */
#ifndef VARVE_CLI_OPTIONS_H
#define VARVE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The most options that one command can have, the global ones included. */
#define OPTIONS_MAX 48

/* One option. A table of them ends with one whose name is NULL. */
struct option_spec {
	/* Its short form, or 0. */
	char letter;
	/* Its long form, without the dashes. */
	const char *name;
	/* What its argument is called ("ID", "DIR", ...), or NULL when it takes none. */
	const char *argument;
	/* What it does, in a few words. */
	const char *help;
	/* The command does not work without it. */
	bool required;
};

/* What stood on the command line. Begins zeroed. */
struct arguments {
	const struct option_spec **given; /* The options, in order. */
	const char **values;              /* The argument of each, or NULL. */
	size_t given_count;               /* How many. */
	char *const *operands;            /* What is not an option. */
	size_t operands_count;            /* How many. */
};

/* Free what ARGUMENTS holds. */
void options_free(struct arguments *arguments);

/*
 * Parse ARGV by the tables SPECS and MORE (either may be NULL), adding to what ARGUMENTS holds.
 * ARGV[0] begins the messages about mistakes. With FIRST stop at the first operand, otherwise
 * options may follow operands. Return 0, or -errno with *RET_MESSAGE, which is to be freed, in
 * words.
 */
int options_parse(struct arguments *arguments, int argc, char **argv,
		  const struct option_spec *specs, const struct option_spec *more, bool first,
		  char **ret_message);

/* Was option NAME given? */
bool options_has(const struct arguments *arguments, const char *name);

/*
 * Return the argument of option NAME, the last one if it was given repeatedly; NULL when it was not
 * given.
 */
const char *options_value(const struct arguments *arguments, const char *name);

/* Return all arguments of option NAME, NULL last; the array is to be freed. NULL: no memory. */
const char **options_values(const struct arguments *arguments, const char *name);

/* Write one line of help for each option of SPECS. */
void options_help(FILE *file, const struct option_spec *specs);

/*
 * Write the part of a usage line that is about SPECS: "[OPTION]...", and those that are required.
 */
void options_usage(FILE *file, const struct option_spec *specs);

#endif
