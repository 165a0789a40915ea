/* SPDX-License-Identifier: Apache-2.0 */
/* remove.c: the command `rm`. */
#include <stdlib.h>

#include "cli.h"
#include "flight.h"
#include "interrupt.h"
#include "upkeep.h"

static const struct option_spec remove_options[] = {
	{ .letter = 'f', .name = "force", .help = "a layer that does not exist is no failure" },
	{ .letter = 'n',
	  .name = "dry-run",
	  .help = "remove nothing: print the ids of those that exist" },
	{ .name = "background", .help = "remove slowly, so that others are delayed little" },
	{ .name = "wait", .help = "wait until the space of all removed layers is free" },
	{ 0 },
};

/* Submit the removal of ID. */
static int remove_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	uint64_t flags = *(const bool *)flight->data ? VARVE_REMOVE_BACKGROUND : 0;

	return varve_layer_remove(flight->cli->store, id, flags, callback, user_data, ret_request);
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
	.forgive = flight_forgive_missing,
};

/* Submit the question whether there is a layer ID. */
static int remove_look_submit(struct flight *flight, const char *id, varve_callback *callback,
			      void *user_data, varve_request *ret_request)
{
	return varve_layer_info(flight->cli->store, id, callback, user_data, ret_request);
}

/* Write the id of a layer that would be removed. */
static void remove_look_report(struct flight_slot *slot)
{
	struct output *output = &slot->flight->cli->output;

	if (slot->flight->cli->json) {
		json_t *object = output_result(output, slot->id, NULL);

		json_object_set_new(object, "would_remove", json_boolean(slot->payload != NULL));
		output_json(output, object);
	} else if (slot->payload) {
		output_name(output, slot->id);
		output_end(output);
	}
}

/* Note that there is the layer. */
static void remove_look_take(struct flight_slot *slot, const struct varve_result *result)
{
	if (result->info)
		slot->payload = output_memory(malloc(1));
}

static const struct flight_job remove_look_job = {
	.name = "remove",
	.past = "looked for",
	.submit = remove_look_submit,
	.take = remove_look_take,
	.report = remove_look_report,
};

static const struct flight_job remove_look_force_job = {
	.name = "remove",
	.past = "looked for",
	.submit = remove_look_submit,
	.take = remove_look_take,
	.forgive = flight_forgive_missing,
	.report = remove_look_report,
};

/* Remove layers. */
static int remove_run(struct cli *cli, const struct arguments *arguments)
{
	bool force = options_has(arguments, "force");
	bool background = options_has(arguments, "background");
	int status;

	if (options_has(arguments, "dry-run"))
		return flight_run_operands(cli, force ? &remove_look_force_job : &remove_look_job,
					   arguments, NULL);
	status = flight_run_operands(cli, force ? &remove_force_job : &remove_job, arguments,
				     &background);
	if (options_has(arguments, "wait") && cli->store && !interrupt_signal())
		status |= upkeep_wait_clean(cli);
	return status;
}

const struct command remove_command = {
	.name = "rm",
	.operands = "ID...",
	.summary = "remove layers",
	.notes =
		"Nested subvolumes are removed, too, and so are layers with open files or bind mounts. A failed layer\n"
		"does not stop the others. --dry-run checks whether the layers exist, not whether they can be removed.\n",
	.options = remove_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = remove_run,
};
