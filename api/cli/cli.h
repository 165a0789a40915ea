/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h: what all files of the command `varve` share: the run of one command, and the table of
 * commands.
 *
 * The files, low to high:
 *
 *	interrupt.c	SIGINT, SIGTERM and SIGHUP as a number and a descriptor
 *	progress.c	the line on a terminal with the progress
 *	sentence.c	failures in the words of the command line
 *	output.c	standard output (text, escaping, JSON) and failures on standard error
 *	destination.c	the file that -o names: written beside its place, then renamed
 *	table.c		tables for people
 *	options.c	tables of options: parsing, usage text
 *	ids.c		ids from the arguments and from standard input
 *	idmap.c		maps of ids from the arguments
 *	failures.c	failures, reported in few lines
 *	flight.c	many requests in flight, results in the order of the ids
 *	store.c		opens and closes the store as the global options say
 *	create.c remove.c label.c show.c changes.c diff.c apply.c usage.c rewrite.c upkeep.c fsck.c quota.c pool.c serve.c	the commands
 *	main.c		global options; finds and runs the command
 *
 * To add a command: a file that defines `const struct command NAME_command`, and a row in
 * CLI_COMMANDS.
 */
#ifndef VARVE_CLI_H
#define VARVE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <varve.h>

#include "options.h"
#include "output.h"
#include "progress.h"

/* Exit status: all was done. */
#define CLI_DONE 0
/* Exit status: something failed, and standard error says what. */
#define CLI_FAILED 1
/* Exit status: the command line is wrong. */
#define CLI_USAGE 2
/* Exit status of a command that answers by its status: the answer is no. */
#define CLI_NO 1
/* Exit status of such a command: something failed, and there is no answer. */
#define CLI_UNKNOWN 2
/* Exit status after a signal is this plus its number. */
#define CLI_SIGNALLED 128

/* One run of the command. */
struct cli {
	bool json;                  /* One JSON object a line instead of text. */
	bool looks;                 /* The command changes nothing. */
	bool answers;               /* The exit status is an answer: see struct command. */
	const char *home;           /* The store's directory. */
	const char *debug;          /* What the library shall trace, or NULL. */
	const char **store_options; /* "KEY=VALUE" strings for varve_open(), NULL last. */
	uint64_t open_flags;        /* VARVE_OPEN_* bits of the global options. */
	struct varve_store *store;  /* Open while a command that needs it runs. */
	struct output output;       /* Where results and failures go. */
	struct progress progress;   /* The progress line. */
};

/* One command, in the words of its user. */
struct command {
	/* One word, or two: "pool create". */
	const char *name;
	/* Its operands in the usage line, or "". */
	const char *operands;
	/* What it does, in one line. */
	const char *summary;
	/* More about it for --help, or NULL. */
	const char *notes;
	/* Its options, or NULL. */
	const struct option_spec *options;
	/* Fewest operands. */
	size_t operands_min;
	/* Most operands. */
	size_t operands_max;
	/* It works without a store. */
	bool storeless;
	/* It takes what follows its name unparsed, "--help" as well. */
	bool passes;
	/* VARVE_OPEN_* bits that it wants. */
	uint64_t open_flags;
	/* It changes nothing. */
	bool looks;
	/* Its exit status is an answer: CLI_UNKNOWN instead of CLI_FAILED. */
	bool answers;
	/* Does the work; returns an exit status. */
	int (*run)(struct cli *cli, const struct arguments *arguments);
};

/* The table of commands, in the order of the usage text. */
#define CLI_COMMANDS(ROW)  \
	ROW(pool_create)   \
	ROW(pool_mount)    \
	ROW(pool_umount)   \
	ROW(create)        \
	ROW(remove)        \
	ROW(list)          \
	ROW(info)          \
	ROW(usage)         \
	ROW(chown)         \
	ROW(relabel)       \
	ROW(flush)         \
	ROW(freeze)        \
	ROW(thaw)          \
	ROW(rename)        \
	ROW(label)         \
	ROW(get)           \
	ROW(exists)        \
	ROW(changes)       \
	ROW(diff)          \
	ROW(diffsize)      \
	ROW(apply)         \
	ROW(status)        \
	ROW(sync)          \
	ROW(quota_status)  \
	ROW(quota_enable)  \
	ROW(quota_disable) \
	ROW(quota_limit)   \
	ROW(quota_rescan)  \
	ROW(quota_gc)      \
	ROW(check)         \
	ROW(gc)            \
	ROW(serve)         \
	ROW(help)          \
	ROW(version)

#define CLI_DECLARE(name) extern const struct command name##_command;
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

/* Flags for commands that only look: nothing is made, nothing is swept. */
#define CLI_OPEN_LOOK (VARVE_OPEN_EXISTING | VARVE_OPEN_NO_SWEEP)

#endif
