/* SPDX-License-Identifier: Apache-2.0 */
/* complain.h: messages of the daemon on standard error, each a line that begins with "varve serve: ". */
#ifndef VARVE_SERVE_COMPLAIN_H
#define VARVE_SERVE_COMPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Write LINES, COMPLAIN_BYTES_MAX at most, to FD, unless that would block: a log that nobody reads
 * must not stop the daemon. *DROPPED counts the lines that were not written since the last ones
 * that were, which a line in front of these says.
 */
void complain_write(int fd, const char *lines, size_t size, uint64_t *dropped);

/* Write a message, unless that would block. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
