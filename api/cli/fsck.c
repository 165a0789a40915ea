/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.c: the command `check`. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "flight.h"

/** What `check` has found. */
struct fsck {
	uint64_t total; /**< How many findings. */
	uint64_t swept; /**< ... of which `gc` does something about. */
};

/** Submit a check. */
static int fsck_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_check(flight->cli->store, callback, user_data, ret_request);
}

/** Write the findings at once: there may be thousands, not to be kept twice. */
static void fsck_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct cli *cli = slot->flight->cli;
	struct fsck *fsck = slot->flight->data;

	fsck->total = result->findings_total;
	for (size_t i = 0; i < result->findings_count; i++) {
		const struct varve_finding *finding = &result->findings[i];
		json_t *object;

		fsck->swept += finding->sweep != NULL;
		if (!cli->json) {
			output_text(&cli->output, "%s ", finding->kind);
			output_name(&cli->output, *finding->path ? finding->path : "-");
			output_text(&cli->output, ": ");
			output_name(&cli->output, finding->detail);
			output_text(&cli->output, "; gc %s",
				    finding->sweep ? finding->sweep : "leaves it");
			output_end(&cli->output);
			continue;
		}
		object = output_result(&cli->output, NULL, NULL);
		json_object_set_new(object, "kind", json_string(finding->kind));
		output_set_name(object, "path", finding->path);
		output_set_name(object, "detail", finding->detail);
		json_object_set_new(object, "gc",
				    finding->sweep ? json_string(finding->sweep) : json_null());
		output_json(&cli->output, object);
	}
}

/** Write how many there are in JSON; as text nothing. */
static void fsck_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	const struct fsck *fsck = slot->flight->data;
	json_t *object;

	if (!cli->json)
		return;
	object = output_result(&cli->output, NULL, NULL);
	output_set_number(object, "findings", fsck->total);
	output_set_number(object, "gc_findings", fsck->swept);
	output_json(&cli->output, object);
}

static const struct flight_job fsck_job = {
	.name = "check",
	.single = true,
	.submit = fsck_submit,
	.take = fsck_take,
	.report = fsck_report,
};

/** Check the store for faults. */
static int fsck_run(struct cli *cli, const struct arguments *arguments)
{
	struct fsck fsck = { 0 };
	int status = flight_run_single(cli, &fsck_job, &fsck);

	if (status == CLI_FAILED)
		return CLI_UNKNOWN;
	return status == CLI_DONE && fsck.total ? CLI_NO : status;
}

const struct command check_command = {
	.name = "check",
	.operands = "",
	.summary = "check the store for faults",
	.notes =
		"Each line is a finding: its kind, the path below the home, the fault, and what `gc` does about it.\n"
		"Nothing is changed.\n"
		"Exit status: 0 no finding; 1 there are findings; 2 an error.\n",
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.answers = true,
	.run = fsck_run,
};
