/* SPDX-License-Identifier: Apache-2.0 */
/* changes.c: the command `changes`. */
#include "cli.h"
#include "compare.h"
#include "flight.h"

static const struct option_spec changes_options[] = {
	COMPARE_OPTIONS,
	{ 0 },
};

/* Submit the comparison of ID. */
static int changes_submit(struct flight *flight, const char *id, varve_callback *callback,
			  void *user_data, varve_request *ret_request)
{
	return varve_layer_changes(flight->cli->store, id, flight->data, callback, user_data,
				   ret_request);
}

/* Write the changes at once: there may be a million of them, not to be kept twice. */
static void changes_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct cli *cli = slot->flight->cli;

	for (size_t i = 0; i < result->changes_count; i++) {
		const struct varve_change *change = &result->changes[i];
		char kind[2] = { (char)change->kind };

		if (cli->json) {
			json_t *object = output_result(&cli->output, slot->id, NULL);

			json_object_set_new(object, "kind", json_string(kind));
			output_set_name(object, "path", change->path);
			output_json(&cli->output, object);
			continue;
		}
		output_text(&cli->output, "%s ", kind);
		output_name(&cli->output, change->path);
		output_end(&cli->output);
	}
}

static const struct flight_job changes_job = {
	.name = "changes",
	.past = "compared",
	.submit = changes_submit,
	.take = changes_take,
	.report = flight_report_nothing,
};

/* Print the changes in a layer. */
static int changes_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_changes_options options;
	int status;

	if (compare_read(cli, "changes", arguments, &options) < 0)
		return CLI_USAGE;
	status = flight_run(cli, &changes_job, (const char *const *)arguments->operands, 1,
			    &options);
	compare_free(&options);
	return status;
}

const struct command changes_command = {
	.name = "changes",
	.operands = "ID",
	.summary = "list the paths of a layer that differ from its parent's",
	.notes =
		"Each line is A (added), M (modified) or D (deleted), a space, and the path. The directories above a\n"
		"changed path are modified; a deleted directory is listed without its content. Without --parent the\n"
		"layer is compared with the source of the snapshot; in a layer that is no snapshot everything is new.\n"
		"Where the source is gone the command fails: name another layer, or \"\" for the whole layer.\n",
	.options = changes_options,
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = changes_run,
};
