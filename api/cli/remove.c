/* SPDX-License-Identifier: Apache-2.0 */
/* remove.c: the command `rm`. */
#include <errno.h>

#include "cli.h"
#include "flight.h"
#include "interrupt.h"
#include "upkeep.h"

static const struct option_spec remove_options[] = {
	{ .letter = 'f', .name = "force", .help = "a layer that does not exist is no failure" },
	{ .name = "wait", .help = "wait until the space of all removed layers is free" },
	{ 0 },
};

/** Submit the removal of ID. */
static int remove_submit(struct flight *flight, const char *id, varve_callback *callback, void *user_data,
			 varve_request *ret_request) {
	return varve_layer_remove(flight->cli->store, id, 0, callback, user_data, ret_request);
}

/** Is it gone anyway? */
static bool remove_forgive(const struct flight_slot *slot) {
	return slot->error == -ENOENT;
}

static const struct flight_job remove_job = {
	.name = "remove",
	.past = "removed",
	.submit = remove_submit,
};

static const struct flight_job remove_force_job = {
	.name = "remove",
	.past = "removed",
	.submit = remove_submit,
	.forgive = remove_forgive,
};

/** Remove layers. */
static int remove_run(struct cli *cli, const struct arguments *arguments) {
	bool force = options_has(arguments, "force");
	int status = flight_run_operands(cli, force ? &remove_force_job : &remove_job, arguments, NULL);

	if (options_has(arguments, "wait") && cli->store && !interrupt_signal())
		status |= upkeep_wait_clean(cli);
	return status;
}

const struct command remove_command = {
	.name = "rm",
	.operands = "ID...",
	.summary = "remove layers",
	.notes = "Layers that are nested in a removed one go with it. Open files and bind mounts do not keep a layer\n"
		 "from being removed. One that fails does not keep the others from being removed.\n",
	.options = remove_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = remove_run,
};
