/* SPDX-License-Identifier: Apache-2.0 */
/* idmap.h: maps of ids from the command line. */
#ifndef VARVE_CLI_IDMAP_H
#define VARVE_CLI_IDMAP_H

#include <varve.h>

#include "cli.h"

/*
 * Read all arguments of option NAME into a new array. Return 0, or -EINVAL after a message that
 * begins with COMMAND.
 */
int idmap_option(struct cli *cli, const char *command, const struct arguments *arguments,
		 const char *name, const struct varve_id_map **ret_maps, size_t *ret_count);

/*
 * Read the options "uidmap", "gidmap" and, where the command has them, "uidmap-from" and
 * "gidmap-from" into *RET_OPTIONS, whose maps idmap_free() frees. Return 0, or -EINVAL after a
 * message that begins with COMMAND.
 */
int idmap_read(struct cli *cli, const char *command, const struct arguments *arguments,
	       struct varve_chown_options *ret_options);

/* Free the maps of OPTIONS. */
void idmap_free(struct varve_chown_options *options);

/* Is there any map in OPTIONS? */
bool idmap_any(const struct varve_chown_options *options);

#endif
