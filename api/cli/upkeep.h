/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep.h: what other commands need of upkeep.c. */
#ifndef VARVE_CLI_UPKEEP_H
#define VARVE_CLI_UPKEEP_H

#include "cli.h"

/* Wait until the space of all removed layers is free; writes no result. Return an exit status. */
int upkeep_wait_clean(struct cli *cli);

#endif
