/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h: the daemon from its start to its end. */
#ifndef VARVE_SERVE_DAEMON_H
#define VARVE_SERVE_DAEMON_H

#include "options.h"

/* Serve as OPTIONS say, until a signal ends it. Return an exit status. */
int daemon_run(const struct serve_options *options);

#endif
