/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c: what a layer is compared with, from the command line. */
#include "compare.h"

#include <stdlib.h>

#include "idmap.h"

int compare_read(struct cli *cli, const char *command, const struct arguments *arguments,
		 struct varve_changes_options *ret_options)
{
	struct varve_changes_options options = VARVE_CHANGES_OPTIONS_INIT;
	int r;

	options.parent = options_value(arguments, "parent");
	options.flags = options_has(arguments, "walk") ? VARVE_CHANGES_WALK : 0;
	r = idmap_option(cli, command, arguments, "uidmap", &options.uids, &options.uids_count);
	if (r == 0)
		r = idmap_option(cli, command, arguments, "gidmap", &options.gids,
				 &options.gids_count);
	if (r == 0)
		r = idmap_option(cli, command, arguments, "parent-uidmap", &options.parent_uids,
				 &options.parent_uids_count);
	if (r == 0)
		r = idmap_option(cli, command, arguments, "parent-gidmap", &options.parent_gids,
				 &options.parent_gids_count);
	if (r < 0)
		compare_free(&options);
	else
		*ret_options = options;
	return r;
}

void compare_free(struct varve_changes_options *options)
{
	free((void *)options->uids);
	free((void *)options->gids);
	free((void *)options->parent_uids);
	free((void *)options->parent_gids);
}
