/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of an engine. server= of the job is its command, in words: {root} stands for its
 * directory, {socket} for its socket, {bin} for the directory of this program. The server reports
 * by sd_notify(3) that it is ready, or with STATUS= why it does not start.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#include "engine.h"

/* A server. */
struct server {
	const struct bench_env *env; /* What the harness said. */
	char *error;                 /* Where server_start() explains. */
	size_t error_size;           /* Bytes there. */
	pid_t pid;                   /* The process that was started, or 0. */
	char directory[64];          /* For the socket. */
	char root[PATH_MAX];         /* The directory of the server. */
};

/* Make the directory of SERVER, whose env and error are set. Returns 0 or -errno. */
int server_begin(struct server *server);

/* Start the server by COMMAND. Returns 0 or -errno; -ENOPKG: it is not installed, or has ended. */
int server_start(struct server *server, const char *command);

/* End the server, if it was started, and remove the directory of its socket. */
void server_end(struct server *server);

#endif
