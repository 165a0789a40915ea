/* SPDX-License-Identifier: Apache-2.0 */
/* complain.h: messages of the daemon on standard error, each a line that begins with "varve serve: ". */
#ifndef VARVE_SERVE_COMPLAIN_H
#define VARVE_SERVE_COMPLAIN_H

/** Write a message. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
