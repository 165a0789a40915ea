/* SPDX-License-Identifier: Apache-2.0 */
/* create.c: the command `create`. */
#include <stdlib.h>

#include "cli.h"
#include "flight.h"
#include "idmap.h"

static const struct option_spec create_options[] = {
	{ .name = "parent", .argument = "ID", .help = "start from this layer instead of an empty one" },
	{ .name = "template", .argument = "ID", .help = "start from this layer, whatever the parent" },
	{ .name = "read-only", .help = "make the layers read-only" },
	{ .name = "uidmap", .argument = "MAP", .help = "shift users, CONTAINER:HOST:COUNT; may be repeated" },
	{ .name = "gidmap", .argument = "MAP", .help = "shift groups, likewise" },
	{ .name = "label", .argument = "LABEL", .help = "give all in them this SELinux label" },
	{ .name = "opt", .argument = "K=V", .help = "storage option of the layers, as size=10g (repeatable)" },
	{ 0 },
};

/** Submit the creation of ID. */
static int create_submit(struct flight *flight, const char *id, varve_callback *callback, void *user_data,
			 varve_request *ret_request) {
	return varve_layer_create(flight->cli->store, id, flight->data, callback, user_data, ret_request);
}

static const struct flight_job create_job = {
	.name = "create",
	.past = "created",
	.submit = create_submit,
};

/** Create layers. */
static int create_run(struct cli *cli, const struct arguments *arguments) {
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char **storage_options = output_memory(options_values(arguments, "opt"));
	struct varve_chown_options shift;
	int status;

	if (idmap_read(cli, "create", arguments, &shift) < 0) {
		free(storage_options);
		return CLI_USAGE;
	}
	if (idmap_any(&shift))
		options.chown = &shift;
	options.label = options_value(arguments, "label");
	options.parent = options_value(arguments, "parent");
	options.template_id = options_value(arguments, "template");
	options.storage_options = storage_options;
	if (options_has(arguments, "read-only"))
		options.flags |= VARVE_CREATE_READ_ONLY;
	status = flight_run_operands(cli, &create_job, arguments, &options);
	idmap_free(&shift);
	free(storage_options);
	return status;
}

const struct command create_command = {
	.name = "create",
	.operands = "ID...",
	.summary = "create layers, empty or from another layer",
	.notes = "The store's directory is made when it is missing. A layer that fails does not keep the others from\n"
		 "being made.\n",
	.options = create_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.run = create_run,
};
