/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c: the command `usage`. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "flight.h"

/** The width of the keys in a block of `usage`. */
#define USAGE_KEY_WIDTH 19

static const struct option_spec usage_options[] = {
	{ .name = "method", .argument = "METHOD", .help = "walk: look at each file; search: search the trees" },
	{ 0 },
};

/** Submit the question about ID. */
static int usage_submit(struct flight *flight, const char *id, varve_callback *callback, void *user_data,
			varve_request *ret_request) {
	const uint64_t *flags = flight->data;

	return varve_layer_usage(flight->cli->store, id, *flags, callback, user_data, ret_request);
}

/** Keep the numbers. */
static void usage_take(struct flight_slot *slot, const struct varve_result *result) {
	if (!result->usage)
		return;
	slot->payload = output_memory(malloc(sizeof(*result->usage)));
	memcpy(slot->payload, result->usage, sizeof(*result->usage));
}

/** The name of the method that was used. */
static const char *usage_method(const struct varve_layer_usage *usage) {
	return usage->flags & VARVE_USAGE_SEARCH ? "search" : "walk";
}

/** Write the numbers as a JSON object. */
static void usage_json(struct output *output, const char *id, const struct varve_layer_usage *usage) {
	json_t *object = output_result(output, id, NULL);

	output_set_number(object, "bytes", usage->bytes);
	output_set_number(object, "inodes", usage->inodes);
	output_set_number(object, "disk_bytes", usage->disk_bytes);
	if (usage->flags & VARVE_USAGE_QUOTA) {
		output_set_number(object, "referenced_bytes", usage->referenced_bytes);
		output_set_number(object, "exclusive_bytes", usage->exclusive_bytes);
		output_set_number(object, "limit_bytes", usage->limit_bytes);
	}
	json_object_set_new(object, "method", json_string(usage_method(usage)));
	if (usage->flags & VARVE_USAGE_MOUNTS)
		json_object_set_new(object, "mounts_left_out", json_true());
	output_json(output, object);
}

/** Write a line of a block. */
static void usage_number(struct output *output, const char *key, uint64_t number) {
	output_text(output, "%-*s %" PRIu64 "\n", USAGE_KEY_WIDTH, key, number);
}

/** Write the numbers of a layer; an empty line parts the blocks. */
static void usage_report(struct flight_slot *slot) {
	const struct varve_layer_usage *usage = slot->payload;
	struct output *output = &slot->flight->cli->output;

	if (slot->flight->cli->json) {
		usage_json(output, slot->id, usage);
		return;
	}
	if (slot->flight->done > 1)
		output_text(output, "\n");
	output_pair(output, "ID:", USAGE_KEY_WIDTH, slot->id);
	usage_number(output, "Bytes:", usage->bytes);
	usage_number(output, "Inodes:", usage->inodes);
	usage_number(output, "Disk bytes:", usage->disk_bytes);
	if (usage->flags & VARVE_USAGE_QUOTA) {
		usage_number(output, "Referenced bytes:", usage->referenced_bytes);
		usage_number(output, "Exclusive bytes:", usage->exclusive_bytes);
		if (usage->limit_bytes)
			usage_number(output, "Limit:", usage->limit_bytes);
		else
			output_pair(output, "Limit:", USAGE_KEY_WIDTH, "-");
	}
	output_pair(output, "Method:", USAGE_KEY_WIDTH, usage_method(usage));
	if (usage->flags & VARVE_USAGE_MOUNTS)
		output_pair(output, "Left out:", USAGE_KEY_WIDTH, "what lies beneath mounts");
}

static const struct flight_job usage_job = {
	.name = "usage",
	.past = "measured",
	.submit = usage_submit,
	.take = usage_take,
	.report = usage_report,
};

/** Measure layers. */
static int usage_run(struct cli *cli, const struct arguments *arguments) {
	const char *method = options_value(arguments, "method");
	uint64_t flags = 0;

	if (method && strcmp(method, "walk") != 0 && strcmp(method, "search") != 0) {
		output_complain(&cli->output, "usage: --method is walk or search, not '%s'", method);
		return CLI_USAGE;
	}
	if (method)
		flags = *method == 'w' ? VARVE_USAGE_WALK : VARVE_USAGE_SEARCH;
	return flight_run_operands(cli, &usage_job, arguments, &flags);
}

const struct command usage_command = {
	.name = "usage",
	.operands = "ID...",
	.summary = "tell how much layers take",
	.notes = "Bytes are the sizes of the files, disk bytes their space; an inode with several names counts once.\n"
		 "A layer is searched where the user has the privilege and nothing is mounted in it; otherwise it is walked.\n",
	.options = usage_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = usage_run,
};
