/* SPDX-License-Identifier: Apache-2.0 */
/* What the examples share: the command line `PROGRAM HOME [uring|threads]`, and an end when something fails. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <varve.h>

/* Requests that an example's store takes at once: few, so that a full queue is met, too. */
#define EXAMPLE_REQUESTS_MAX 64

/* Open the store in HOME with FLAGS (VARVE_OPEN_*); tell why not and exit. */
struct varve_store *open_store(const char *home, uint64_t flags);

/* Open the store that the command line names; tell why not and exit. */
struct varve_store *example_open(int argc, char **argv);

/* Print one line about FAILURE and exit with 1. */
void example_die(const struct varve_failure *failure);

/* Print why STORE refused a request and exit with 1. */
void example_refused(struct varve_store *store);

#endif
