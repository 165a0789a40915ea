/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: `varve-serve`, which `varve serve` runs: containerd's proxy snapshotter on a store.
 *
 * The files, low to high:
 *
 *	limits.h	every bound, with its reason
 *	link.h		lists
 *	loop.c		descriptors, timers, tasks: the one loop
 *	wire.c		numbers and texts as gRPC writes them
 *	complain.c	messages on standard error
 *	connection.c	bytes <-> frames of HTTP/2; limits of one client
 *	call.c		frames <-> one call; what services see: grpc.h
 *	server.c	methods; all connections and calls
 *	health.c	the health service
 *	access.c	a line for each call
 *	metrics.c	counters and latencies of calls
 *	scrape.c	HTTP for those
 *	listener.c	sockets, made here or passed by systemd
 *	lock.c notify.c	one daemon a home; systemd's messages
 *	options.c	the command line
 *	text.c labels.c	bytes with a length; the labels of a snapshot
 *	index.c		the snapshots in memory
 *	record.c	a snapshot as the record of its layer, and back
 *	recover.c	all snapshots of a home
 *	filter.c	containerd's filters
 *	service*.c	the snapshots service
 *	check.c		what of the snapshots is not as it should be
 *	list.c		`varve serve list`, `varve serve check`
 *	config.c	lines for the configuration of containerd
 *	daemon.c	from the start to the end
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <varve.h>

#include "config.h"
#include "daemon.h"
#include "list.h"

/* Which argument is the word of a command, behind options alone? 0: none. */
static int main_word(int argc, char **argv)
{
	int i = 1;

	while (i < argc && *argv[i] == '-')
		i++;
	return i < argc && (!strcmp(argv[i], "list") || !strcmp(argv[i], "check")) ? i : 0;
}

/* Open the standard streams that are closed: else a file of the store would be one of them. */
static void main_open_streams(void)
{
	/* The lowest free descriptor is the missing one; to use it fails, as it did before. */
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
}

int main(int argc, char **argv)
{
	struct serve_options options;
	int status, word = main_word(argc, argv);

	main_open_streams();
	if (word) {
		bool check = !strcmp(argv[word], "check");

		/* The word goes, the options stay. */
		memmove(argv + word, argv + word + 1, (size_t)(argc - word) * sizeof(*argv));
		return list_main(argc - 1, argv, check);
	}
	if (argc > 0)
		argv[0] = (char *)(uintptr_t) "varve serve";
	status = options_parse(argc, argv, &options);
	if (!status && options.help)
		options_help();
	else if (!status && options.version)
		printf("varve %s\n", varve_version());
	else if (!status && options.print_config)
		status = config_print(options.print_config, options.containerd_version,
				      options.home, options.socket);
	else if (!status)
		status = daemon_run(&options);
	options_free(&options);
	return status;
}
