/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs that run without arguments: about a minute, in an image of their own.
 */
#ifndef BENCH_TOUR_H
#define BENCH_TOUR_H

#include "job/command.h"

/*
 * Give COMMAND the tour's jobs and image. Returns 0 or -errno with an explanation in ERROR
 * (OPTIONS_ERROR_SIZE bytes).
 */
int tour_prepare(struct command *command, char *error);

/* Remove the image that COMMAND's tour worked in. */
void tour_finish(const struct command *command);

#endif
