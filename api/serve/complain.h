/* SPDX-License-Identifier: Apache-2.0 */
/* complain.h: messages of the daemon on standard error, each a line that begins with "varve serve: ". */
#ifndef VARVE_SERVE_COMPLAIN_H
#define VARVE_SERVE_COMPLAIN_H

#include <stdbool.h>

/**
 * Can PIPE_BUF bytes be written to FD without a wait? A standard error that nobody reads must not
 * stop the daemon.
 */
bool complain_can(int fd);

/** Write a message, unless that would block. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
