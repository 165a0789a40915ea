/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c: the command `usage`. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "flight.h"
#include "sentence.h"
#include "table.h"

/* The width of the keys in a block of `usage`. */
#define USAGE_KEY_WIDTH 19

/* Where TABLE_OPTIONS begin in usage_options. */
#define USAGE_TABLE_OPTIONS 3

static const struct option_spec usage_options[] = {
	{ .name = "method",
	  .argument = "METHOD",
	  .help = "walk: look at each file; search: search the trees" },
	{ .name = "delta", .help = "only what was added to a layer since it was made" },
	{ .name = "no-flush", .help = "do not flush first: count what is on disk" },
	TABLE_OPTIONS,
	{ 0 },
};

/* The columns of the table, in the order of usage_columns. */
enum usage_column {
	USAGE_BYTES,
	USAGE_INODES,
	USAGE_DISK,
	USAGE_REFERENCED,
	USAGE_EXCLUSIVE,
	USAGE_LIMIT,
	USAGE_METHOD,
	USAGE_ID,
	USAGE_COLUMNS,
};

static const struct table_column usage_columns[USAGE_COLUMNS + 1] = {
	[USAGE_BYTES] = { .name = "BYTES", .usual = true, .number = true },
	[USAGE_INODES] = { .name = "INODES", .usual = true, .number = true },
	[USAGE_DISK] = { .name = "DISK", .usual = true, .number = true },
	[USAGE_REFERENCED] = { .name = "REFERENCED", .number = true },
	[USAGE_EXCLUSIVE] = { .name = "EXCLUSIVE", .number = true },
	[USAGE_LIMIT] = { .name = "LIMIT", .number = true },
	[USAGE_METHOD] = { .name = "METHOD" },
	[USAGE_ID] = { .name = "ID", .usual = true },
};

/* What `usage` works on. */
struct usage_job {
	uint64_t flags;                 /* VARVE_USAGE_* bits. */
	bool many;                      /* The numbers go into the table. */
	struct table table;             /* The table. */
	struct varve_layer_usage total; /* The sums of bytes, inodes and disk bytes. */
};

/* Submit the question about ID. */
static int usage_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	const struct usage_job *job = flight->data;

	return varve_layer_usage(flight->cli->store, id, job->flags, callback, user_data,
				 ret_request);
}

/* Keep the numbers. */
static void usage_take(struct flight_slot *slot, const struct varve_result *result)
{
	if (!result->usage)
		return;
	slot->payload = output_memory(malloc(sizeof(*result->usage)));
	memcpy(slot->payload, result->usage, sizeof(*result->usage));
}

/* The name of the method that was used. */
static const char *usage_method(const struct varve_layer_usage *usage)
{
	return usage->flags & VARVE_USAGE_SEARCH ? "search" : "walk";
}

/* Write the numbers as a JSON object. */
static void usage_json(struct output *output, const char *id, const struct varve_layer_usage *usage)
{
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
	if (usage->flags & VARVE_USAGE_REMEMBERED)
		json_object_set_new(object, "remembered", json_true());
	if (usage->flags & VARVE_USAGE_MOUNTS)
		json_object_set_new(object, "mounts_left_out", json_true());
	output_json(output, object);
}

/* Add a row to the table of JOB: USAGE of ID. The total has no METHOD, nor numbers of quota. */
static void usage_row(struct usage_job *job, const char *id, const struct varve_layer_usage *usage,
		      bool total)
{
	char bytes[TABLE_NUMBER_SIZE], inodes[TABLE_NUMBER_SIZE], disk[TABLE_NUMBER_SIZE],
		referenced[TABLE_NUMBER_SIZE];
	char exclusive[TABLE_NUMBER_SIZE], limit[TABLE_NUMBER_SIZE];
	const char *cells[USAGE_COLUMNS] = {
		[USAGE_BYTES] = table_size(&job->table, bytes, usage->bytes),
		[USAGE_INODES] = inodes,
		[USAGE_DISK] = table_size(&job->table, disk, usage->disk_bytes),
		[USAGE_METHOD] = total ? NULL : usage_method(usage),
		[USAGE_ID] = id,
	};

	snprintf(inodes, sizeof(inodes), "%" PRIu64, usage->inodes);
	if (usage->flags & VARVE_USAGE_QUOTA) {
		cells[USAGE_REFERENCED] = table_size(&job->table, referenced,
						     usage->referenced_bytes);
		cells[USAGE_EXCLUSIVE] = table_size(&job->table, exclusive, usage->exclusive_bytes);
		if (usage->limit_bytes)
			cells[USAGE_LIMIT] = table_size(&job->table, limit, usage->limit_bytes);
	}
	table_row(&job->table, cells);
}

/* Write the numbers of a layer: an object, a row or a block. */
static void usage_report(struct flight_slot *slot)
{
	const struct varve_layer_usage *usage = slot->payload;
	struct output *output = &slot->flight->cli->output;
	struct usage_job *job = slot->flight->data;

	if (slot->flight->cli->json) {
		usage_json(output, slot->id, usage);
		return;
	}
	if (job->many) {
		job->total.bytes += usage->bytes;
		job->total.inodes += usage->inodes;
		job->total.disk_bytes += usage->disk_bytes;
		usage_row(job, slot->id, usage, false);
		if (usage->flags & VARVE_USAGE_MOUNTS) {
			char id[4 * VARVE_ID_MAX + 1];

			sentence_escape(id, sizeof(id), slot->id);
			output_complain(output, "usage %s: content beneath mounts is left out", id);
		}
		return;
	}
	output_pair(output, "ID:", USAGE_KEY_WIDTH, slot->id);
	output_pair_number(output, "Bytes:", USAGE_KEY_WIDTH, usage->bytes);
	output_pair_number(output, "Inodes:", USAGE_KEY_WIDTH, usage->inodes);
	output_pair_number(output, "Disk bytes:", USAGE_KEY_WIDTH, usage->disk_bytes);
	if (usage->flags & VARVE_USAGE_QUOTA) {
		output_pair_number(output, "Referenced bytes:", USAGE_KEY_WIDTH,
				   usage->referenced_bytes);
		output_pair_number(output, "Exclusive bytes:", USAGE_KEY_WIDTH,
				   usage->exclusive_bytes);
		if (usage->limit_bytes)
			output_pair_number(output, "Limit:", USAGE_KEY_WIDTH, usage->limit_bytes);
		else
			output_pair(output, "Limit:", USAGE_KEY_WIDTH, "-");
	}
	output_pair(output, "Method:", USAGE_KEY_WIDTH, usage_method(usage));
	if (usage->flags & VARVE_USAGE_MOUNTS)
		output_pair(output, "Left out:", USAGE_KEY_WIDTH, "content beneath mounts");
}

static const struct flight_job usage_job = {
	.name = "usage",
	.past = "measured",
	.submit = usage_submit,
	.take = usage_take,
	.report = usage_report,
};

/* Measure layers. */
static int usage_run(struct cli *cli, const struct arguments *arguments)
{
	const char *method = options_value(arguments, "method");
	struct usage_job job = { .many = arguments->operands_count > 1 ||
					 strcmp(arguments->operands[0], "-") == 0 };
	int status;

	if (method && strcmp(method, "walk") != 0 && strcmp(method, "search") != 0) {
		output_complain(&cli->output, "usage: --method is walk or search, not '%s'",
				method);
		return CLI_USAGE;
	}
	if (method)
		job.flags = *method == 'w' ? VARVE_USAGE_WALK : VARVE_USAGE_SEARCH;
	if (options_has(arguments, "delta"))
		job.flags |= VARVE_USAGE_DELTA;
	if (options_has(arguments, "no-flush"))
		job.flags |= VARVE_USAGE_NO_FLUSH;
	if (table_begin(&job.table, &cli->output, "usage", usage_columns, arguments) < 0)
		return CLI_USAGE;
	for (size_t i = USAGE_TABLE_OPTIONS; !job.many && usage_options[i].name; i++)
		job.many = options_has(arguments, usage_options[i].name);
	status = flight_run_operands(cli, &usage_job, arguments, &job);
	if (job.table.rows > 1 && job.table.headings && cli->output.end)
		usage_row(&job, "total", &job.total, true);
	table_end(&job.table);
	return status;
}

const struct command usage_command = {
	.name = "usage",
	.operands = "ID...",
	.summary = "measure layers",
	.notes =
		"Bytes are the sizes of the files, disk bytes their space; an inode with several names counts once.\n"
		"A layer is searched where the user has CAP_SYS_ADMIN; otherwise it is walked.\n",
	.options = usage_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = usage_run,
};
