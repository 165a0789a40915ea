/* SPDX-License-Identifier: Apache-2.0 */
/* options.h: the command line of `varve serve`. */
#ifndef VARVE_SERVE_OPTIONS_H
#define VARVE_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "access.h"

/* The home, where neither an option nor $VARVE_HOME names one. */
#define OPTIONS_HOME "/var/lib/varve"
/* Exit status: the command line is wrong. */
#define OPTIONS_USAGE 2

/* What the command line says. */
struct serve_options {
	/* The store's directory. */
	const char *home;
	/* Where clients connect. */
	const char *socket;
	/* The socket was named: it is made even where systemd passes others. */
	bool socket_named;
	/* Where metrics are read: a path or a loopback address; NULL: nowhere. */
	const char *metrics;
	/* Which calls are logged. */
	enum access_level access;
	/* Commit answers before the disk does. */
	bool commit_relaxed;
	/* Usage flushes the file system first. */
	bool usage_exact;
	/* Of varve_open(): flags, "KEY=VALUE" strings, NULL last, and what to trace. */
	uint64_t store_flags;
	const char **store_options;
	unsigned store_options_count;
	const char *debug;
	/* The client whose configuration is printed, or NULL; its version, or NULL. */
	const char *print_config;
	const char *containerd_version;
	/* Show the help, or the version, and end. */
	bool help, version;
};

/* Parse ARGV: 0, or OPTIONS_USAGE after a message. */
int options_parse(int argc, char **argv, struct serve_options *ret_options);

/* Free what options_parse() allocated. */
void options_free(struct serve_options *options);

/* Write the help, as the other commands of `varve` write theirs. */
void options_help(void);

#endif
