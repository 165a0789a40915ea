/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: opens and closes the store as the global options say. */
#ifndef VARVE_CLI_STORE_H
#define VARVE_CLI_STORE_H

#include "cli.h"

/* The global options that are about the store and the output. */
extern const struct option_spec store_options[];

/* Take the global options from ARGUMENTS into CLI. Return 0, or -EINVAL after a message. */
int store_configure(struct cli *cli, const struct arguments *arguments);

/* Open the store, with COMMAND's flags, too. Return 0, or -errno after a message. */
int store_open(struct cli *cli, const struct command *command);

/* Close the store, if it is open, and free what store_configure() took. */
void store_close(struct cli *cli);

#endif
