/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h: run varve-serve for another command. */
#ifndef VARVE_CLI_SERVE_H
#define VARVE_CLI_SERVE_H

#include <stdio.h>
#include <sys/types.h>

#include "cli.h"

/*
 * Start varve-serve's command WORD on the home of CLI: *RET_PID, whose standard output is
 * *RET_OUTPUT. Return 0 or -errno; -ENOENT: varve-serve is not there.
 */
int serve_start(const struct cli *cli, const char *word, pid_t *ret_pid, FILE **ret_output);

/* Complain that WHAT cannot be done without varve-serve, which could not be run for ERROR. */
void serve_complain(struct cli *cli, const char *what, int error);

#endif
