/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h: what home and kernel know of a store, as OpenMetrics text. */
#ifndef VARVE_CLI_METRICS_H
#define VARVE_CLI_METRICS_H

#include "cli.h"

/*
 * Write the metrics of the store of CLI to FILE (NULL or "-": standard output), which takes the
 * place of what was there once it is whole. Return an exit status.
 */
int metrics_run(struct cli *cli, const char *file);

#endif
