/* SPDX-License-Identifier: Apache-2.0 */
/* compare.h: the options of a comparison, from the command line. */
#ifndef VARVE_CLI_COMPARE_H
#define VARVE_CLI_COMPARE_H

#include <varve.h>

#include "cli.h"

/* The options that compare_read() reads, for the list of a command that takes them. */
#define COMPARE_OPTIONS                                                                           \
	{ .name = "parent",                                                                       \
	  .argument = "ID",                                                                       \
	  .help = "compare with this layer (\"\": none, so that everything is new)" },            \
		{ .name = "walk", .help = "walk both trees even where they can be searched" },    \
		{ .name = "uidmap",                                                               \
		  .argument = "MAP",                                                              \
		  .help = "users of the layer, as CONTAINER:HOST:COUNT (repeatable)" },           \
		{ .name = "gidmap", .argument = "MAP", .help = "groups of the layer, likewise" }, \
		{ .name = "parent-uidmap",                                                        \
		  .argument = "MAP",                                                              \
		  .help = "users of the parent, likewise" },                                      \
	{                                                                                         \
		.name = "parent-gidmap", .argument = "MAP",                                       \
		.help = "groups of the parent, likewise"                                          \
	}

/*
 * Read COMPARE_OPTIONS into *RET_OPTIONS, whose maps compare_free() frees. Return 0, or -EINVAL
 * after a message that begins with COMMAND.
 */
int compare_read(struct cli *cli, const char *command, const struct arguments *arguments,
		 struct varve_changes_options *ret_options);

/* Free the maps of OPTIONS. */
void compare_free(struct varve_changes_options *options);

#endif
