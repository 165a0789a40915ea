/* SPDX-License-Identifier: Apache-2.0 */
/* interrupt.h: SIGINT, SIGTERM and SIGHUP as a number and a descriptor. */
#ifndef VARVE_CLI_INTERRUPT_H
#define VARVE_CLI_INTERRUPT_H

#include <stdbool.h>

/*
 * Catch SIGINT, SIGTERM and SIGHUP from now on. The second of a kind kills the process. Return 0 or
 * -errno.
 */
int interrupt_catch(void);

/* Let a signal end a system call that waits, or (again) not. */
void interrupt_breaks(bool breaks);

/* Remove the file PATH if a signal kills the process; NULL: none. PATH must outlive that. */
void interrupt_unlink(const char *path);

/* Return the signal that came, or 0. */
int interrupt_signal(void);

/* Return a descriptor that is readable once a signal came. */
int interrupt_fd(void);

#endif
