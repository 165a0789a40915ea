/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: see options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <varve.h>

#include "complain.h"

#define OPTIONS_SOCKET "/run/varve/varve.sock"
/* The column in which the help of an option begins. */
#define OPTIONS_COLUMN 30

/* The options; those with a short form have it as number. */
enum {
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
	OPTION_HOME = 256,
	OPTION_SOCKET,
	OPTION_METRICS,
	OPTION_ACCESS_LOG,
	OPTION_COMMIT,
	OPTION_QUOTA,
	OPTION_USAGE,
	OPTION_NO_URING,
	OPTION_NO_SPARES,
	OPTION_SHARED_HOME,
	OPTION_STORE_OPT,
	OPTION_DEBUG,
	OPTION_PRINT_CONFIG,
	OPTION_CONTAINERD_VERSION,
};

/* One option. */
static const struct {
	int number;
	const char *name, *argument, *help;
} options_table[] = {
	{ OPTION_HOME, "home", "DIR",
	  "the store's directory (else $VARVE_HOME, else " OPTIONS_HOME ")" },
	{ OPTION_SOCKET, "socket", "FILE", "where clients connect (" OPTIONS_SOCKET ")" },
	{ OPTION_METRICS, "metrics", "ADDRESS",
	  "serve metrics on the socket FILE, 127.0.0.1:PORT or [::1]:PORT" },
	{ OPTION_ACCESS_LOG, "access-log", "LEVEL",
	  "log calls on standard error: all, failures or none (failures)" },
	{ OPTION_COMMIT, "commit", "HOW",
	  "Commit answers when all is on disk, durable, or before, relaxed (durable)" },
	{ OPTION_QUOTA, "quota", "MODE",
	  "for the label max-size: simple, full, off, or as it runs: keep (keep)" },
	{ OPTION_USAGE, "usage", "HOW",
	  "Usage counts what is on disk, written, or flushes first, exact (written)" },
	{ OPTION_NO_URING, "no-uring", NULL, "do not use io_uring" },
	{ OPTION_NO_SPARES, "no-spares", NULL, "make no snapshots ahead for Prepare and View" },
	{ OPTION_SHARED_HOME, "allow-shared-home", NULL,
	  "use a store's directory that other users can change" },
	{ OPTION_STORE_OPT, "store-opt", "K=V",
	  "option of the store, as btrfs.min_space=1g (repeatable)" },
	{ OPTION_DEBUG, "debug", "LIST", "trace op,ring,lane,btrfs or all on standard error" },
	{ OPTION_PRINT_CONFIG, "print-config", "CLIENT",
	  "print the lines of configuration for containerd, and end" },
	{ OPTION_CONTAINERD_VERSION, "containerd-version", "VERSION",
	  "... of this version (else of the one that is installed)" },
	{ OPTION_VERSION, "version", NULL, "show the version" },
	{ OPTION_HELP, "help", NULL, "show this help" },
};

#define OPTIONS_COUNT (sizeof(options_table) / sizeof(options_table[0]))

void options_help(void)
{
	printf("Usage: varve serve [OPTION]...\n"
	       "Serve the store to containerd, as a proxy snapshotter.\n\nOptions:\n");
	for (size_t i = 0; i < OPTIONS_COUNT; i++) {
		const char *argument = options_table[i].argument;
		int width = options_table[i].number < 256
				    ? printf("  -%c, ", options_table[i].number)
				    : printf("      ");

		width += printf("--%s%s%s", options_table[i].name, argument ? " " : "",
				argument ? argument : "");
		printf("%*s%s\n", width + 2 < OPTIONS_COLUMN ? OPTIONS_COLUMN - width : 2, "",
		       options_table[i].help);
	}
	printf("\nSockets that systemd passes ($LISTEN_FDS) take the place of --socket; one that is named\n"
	       "\"metrics\" takes that of --metrics. SIGTERM lets the calls in flight end.\n"
	       "\nExit status: 0 ended by a signal; 1 failure; 2 usage.\n");
}

/* Add TEXT to the options of the store: 0 or -ENOMEM. */
static int options_add(struct serve_options *options, const char *text)
{
	const char **array = reallocarray(options->store_options, options->store_options_count + 2,
					  sizeof(*array));

	if (!array)
		return -ENOMEM;
	array[options->store_options_count++] = text;
	array[options->store_options_count] = NULL;
	options->store_options = array;
	return 0;
}

/* Open the store with quota=MODE: 0 or OPTIONS_USAGE. */
static int options_add_quota(struct serve_options *options, const char *mode)
{
	static const char *const known[] = { "quota=keep", "quota=simple", "quota=full",
					     "quota=off" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i] + strlen("quota="), mode) != 0)
			continue;
		if (options_add(options, known[i]) == 0)
			return 0;
		complain("no memory");
		return OPTIONS_USAGE;
	}
	complain("--quota %s: not simple, full, off or keep", mode);
	return OPTIONS_USAGE;
}

/* Take the option NUMBER, whose argument is in optarg: 0 or OPTIONS_USAGE. */
static int options_take(struct serve_options *options, int number)
{
	int level;

	switch (number) {
	case OPTION_HELP:
		options->help = true;
		return 0;
	case OPTION_VERSION:
		options->version = true;
		return 0;
	case OPTION_HOME:
		options->home = optarg;
		return 0;
	case OPTION_SOCKET:
		options->socket = optarg;
		options->socket_named = true;
		return 0;
	case OPTION_METRICS:
		options->metrics = optarg;
		return 0;
	case OPTION_ACCESS_LOG:
		level = access_level(optarg);
		if (level < 0) {
			complain("--access-log %s: not all, failures or none", optarg);
			return OPTIONS_USAGE;
		}
		options->access = (enum access_level)level;
		return 0;
	case OPTION_COMMIT:
		options->commit_relaxed = !strcmp(optarg, "relaxed");
		if (options->commit_relaxed || !strcmp(optarg, "durable"))
			return 0;
		complain("--commit %s: not durable or relaxed", optarg);
		return OPTIONS_USAGE;
	case OPTION_QUOTA:
		return options_add_quota(options, optarg);
	case OPTION_USAGE:
		options->usage_exact = !strcmp(optarg, "exact");
		if (options->usage_exact || !strcmp(optarg, "written"))
			return 0;
		complain("--usage %s: not written or exact", optarg);
		return OPTIONS_USAGE;
	case OPTION_NO_URING:
		options->store_flags |= VARVE_OPEN_NO_URING;
		return 0;
	case OPTION_NO_SPARES:
		options->store_flags &= ~VARVE_OPEN_SPARES;
		return 0;
	case OPTION_SHARED_HOME:
		options->store_flags |= VARVE_OPEN_SHARED_HOME;
		return 0;
	case OPTION_STORE_OPT:
		if (options_add(options, optarg) == 0)
			return 0;
		complain("no memory");
		return OPTIONS_USAGE;
	case OPTION_DEBUG:
		options->debug = optarg;
		return 0;
	case OPTION_PRINT_CONFIG:
		options->print_config = optarg;
		return 0;
	case OPTION_CONTAINERD_VERSION:
		options->containerd_version = optarg;
		return 0;
	default:
		fprintf(stderr, "Try 'varve serve --help' for more.\n");
		return OPTIONS_USAGE;
	}
}

int options_parse(int argc, char **argv, struct serve_options *ret_options)
{
	struct serve_options options = { .socket = OPTIONS_SOCKET,
					 .access = ACCESS_FAILURES,
					 .store_flags = VARVE_OPEN_SPARES };
	struct option longs[OPTIONS_COUNT + 1] = { { 0 } };
	int number, r = 0;

	for (size_t i = 0; i < OPTIONS_COUNT; i++)
		longs[i] = (struct option){ options_table[i].name,
					    options_table[i].argument ? required_argument
								      : no_argument,
					    NULL, options_table[i].number };
	options.home = getenv("VARVE_HOME");
	if (!options.home || !*options.home)
		options.home = OPTIONS_HOME;
	/* A client does not turn quota on, for all of the file system. A later one counts. */
	r = options_add_quota(&options, "keep");
	while (!r && (number = getopt_long(argc, argv, "hV", longs, NULL)) != -1)
		r = options_take(&options, number);
	if (!r && optind < argc) {
		complain("one operand too many: '%s'", argv[optind]);
		r = OPTIONS_USAGE;
	}
	if (!r && (!*options.home || !*options.socket)) {
		complain("%s",
			 *options.home ? "--socket: no file named" : "--home: no directory named");
		r = OPTIONS_USAGE;
	}
	*ret_options = options;
	return r;
}

void options_free(struct serve_options *options)
{
	free(options->store_options);
}
