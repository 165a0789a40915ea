/* SPDX-License-Identifier: Apache-2.0 */
/* show.c: the commands `ls`, `info`, `get` and `exists`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "flight.h"
#include "label.h"
#include "table.h"

/* The width of the keys in a block of `info`. */
#define INFO_KEY_WIDTH 19
/* Decimals of a time to the second. */
#define SHOW_SECONDS 0
/* Decimals of a time to the nanosecond. */
#define SHOW_NANOSECONDS 9

/* What is known of a layer. */
struct info {
	struct varve_layer_info info; /* All but its labels. */
	json_t *labels;               /* Its labels; NULL: none. */
	char text[];                  /* The same, joined by commas. */
};

/* ---- info ------------------------------------------------------------------------------------ */

/* Submit the question about ID. */
static int info_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_layer_info(flight->cli->store, id, callback, user_data, ret_request);
}

/* Keep what is known of the layer. */
static void info_take(struct flight_slot *slot, const struct varve_result *result)
{
	char *text;
	struct info *info;

	if (!result->info)
		return;
	text = label_text(result->record);
	info = output_memory(malloc(sizeof(*info) + strlen(text) + 1));
	info->info = *result->info;
	info->labels = *text ? label_json(result->record) : NULL;
	strcpy(info->text, text);
	free(text);
	slot->payload = info;
}

/* Set member KEY of OBJECT to TEXT, or to null when that is NULL. */
static void info_set(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, text ? json_string(text) : json_null());
}

/* Write KNOWN as a JSON object. */
static void info_json(struct output *output, const struct info *known)
{
	const struct varve_layer_info *info = &known->info;
	char time[OUTPUT_TIME_SIZE], uuid[OUTPUT_UUID_SIZE];
	json_t *object = output_result(output, info->id, NULL);

	if (info->parent[0])
		output_set_name(object, "parent", info->parent);
	else
		info_set(object, "parent", NULL);
	output_set_number(object, "subvolume_id", info->subvolume_id);
	info_set(object, "uuid", output_uuid(uuid, info->uuid));
	info_set(object, "parent_uuid", output_uuid(uuid, info->parent_uuid));
	output_set_number(object, "generation", info->generation);
	output_set_number(object, "created_generation", info->created_generation);
	info_set(object, "created",
		 output_time(time, info->created_s, info->created_ns, SHOW_NANOSECONDS));
	info_set(object, "changed",
		 output_time(time, info->changed_s, info->changed_ns, SHOW_NANOSECONDS));
	json_object_set_new(object, "read_only", json_boolean(info->flags & VARVE_LAYER_READ_ONLY));
	if (info->flags & VARVE_LAYER_QUOTA) {
		output_set_number(object, "quota_referenced", info->quota_referenced);
		output_set_number(object, "quota_exclusive", info->quota_exclusive);
		output_set_number(object, "quota_limit", info->quota_limit);
	}
	if (known->labels)
		json_object_set(object, "labels", known->labels);
	output_json(output, object);
}

/* Write KNOWN as a block of lines. */
static void info_text(struct output *output, const struct info *known)
{
	const struct varve_layer_info *info = &known->info;
	char time[OUTPUT_TIME_SIZE], uuid[OUTPUT_UUID_SIZE];
	const char *text;

	output_pair(output, "ID:", INFO_KEY_WIDTH, info->id);
	output_pair(output, "Parent:", INFO_KEY_WIDTH, info->parent[0] ? info->parent : "-");
	output_pair_number(output, "Subvolume ID:", INFO_KEY_WIDTH, info->subvolume_id);
	text = output_uuid(uuid, info->uuid);
	output_pair(output, "UUID:", INFO_KEY_WIDTH, text ? text : "-");
	text = output_uuid(uuid, info->parent_uuid);
	output_pair(output, "Parent UUID:", INFO_KEY_WIDTH, text ? text : "-");
	output_pair_number(output, "Generation:", INFO_KEY_WIDTH, info->generation);
	output_pair_number(output, "Created generation:", INFO_KEY_WIDTH, info->created_generation);
	text = output_time(time, info->created_s, info->created_ns, SHOW_NANOSECONDS);
	output_pair(output, "Created:", INFO_KEY_WIDTH, text);
	text = output_time(time, info->changed_s, info->changed_ns, SHOW_NANOSECONDS);
	output_pair(output, "Changed:", INFO_KEY_WIDTH, text);
	output_pair(output, "Read-only:", INFO_KEY_WIDTH,
		    info->flags & VARVE_LAYER_READ_ONLY ? "yes" : "no");
	if (*known->text)
		output_pair(output, "Labels:", INFO_KEY_WIDTH, known->text);
	if (!(info->flags & VARVE_LAYER_QUOTA))
		return;
	output_pair_number(output, "Referenced:", INFO_KEY_WIDTH, info->quota_referenced);
	output_pair_number(output, "Exclusive:", INFO_KEY_WIDTH, info->quota_exclusive);
	if (info->quota_limit)
		output_pair_number(output, "Limit:", INFO_KEY_WIDTH, info->quota_limit);
	else
		output_pair(output, "Limit:", INFO_KEY_WIDTH, "-");
}

/* The columns of a table of layers, in the order of info_columns. */
enum info_column {
	INFO_SUBVOLUME,
	INFO_CREATED,
	INFO_MODE,
	INFO_REFERENCED,
	INFO_EXCLUSIVE,
	INFO_LIMIT,
	INFO_UUID,
	INFO_PARENT_UUID,
	INFO_GENERATION,
	INFO_CREATED_GENERATION,
	INFO_CHANGED,
	INFO_ID,
	INFO_PARENT,
	INFO_LABELS,
	INFO_COLUMNS,
};

static const struct table_column info_columns[INFO_COLUMNS + 1] = {
	[INFO_SUBVOLUME] = { .name = "SUBVOLUME", .usual = true, .number = true },
	[INFO_CREATED] = { .name = "CREATED", .usual = true },
	[INFO_MODE] = { .name = "MODE", .usual = true },
	[INFO_REFERENCED] = { .name = "REFERENCED", .number = true },
	[INFO_EXCLUSIVE] = { .name = "EXCLUSIVE", .number = true },
	[INFO_LIMIT] = { .name = "LIMIT", .number = true },
	[INFO_UUID] = { .name = "UUID" },
	[INFO_PARENT_UUID] = { .name = "PARENT-UUID" },
	[INFO_GENERATION] = { .name = "GENERATION", .number = true },
	[INFO_CREATED_GENERATION] = { .name = "CREATED-GENERATION", .number = true },
	[INFO_CHANGED] = { .name = "CHANGED" },
	[INFO_ID] = { .name = "ID", .usual = true },
	[INFO_PARENT] = { .name = "PARENT", .usual = true },
	[INFO_LABELS] = { .name = "LABELS" },
};

/* Add a row with KNOWN to TABLE. */
static void info_row(struct table *table, const struct info *known)
{
	const struct varve_layer_info *info = &known->info;
	char subvolume[TABLE_NUMBER_SIZE], generation[TABLE_NUMBER_SIZE],
		created_generation[TABLE_NUMBER_SIZE];
	char referenced[TABLE_NUMBER_SIZE], exclusive[TABLE_NUMBER_SIZE], limit[TABLE_NUMBER_SIZE];
	char created[OUTPUT_TIME_SIZE], changed[OUTPUT_TIME_SIZE], uuid[OUTPUT_UUID_SIZE],
		parent_uuid[OUTPUT_UUID_SIZE];
	const char *cells[INFO_COLUMNS] = {
		[INFO_SUBVOLUME] = subvolume,
		[INFO_CREATED] = output_time(created, info->created_s, info->created_ns,
					     SHOW_SECONDS),
		[INFO_MODE] = info->flags & VARVE_LAYER_READ_ONLY ? "ro" : "rw",
		[INFO_UUID] = output_uuid(uuid, info->uuid),
		[INFO_PARENT_UUID] = output_uuid(parent_uuid, info->parent_uuid),
		[INFO_GENERATION] = generation,
		[INFO_CREATED_GENERATION] = created_generation,
		[INFO_CHANGED] = output_time(changed, info->changed_s, info->changed_ns,
					     SHOW_SECONDS),
		[INFO_ID] = info->id,
		[INFO_PARENT] = info->parent,
		[INFO_LABELS] = known->text,
	};

	snprintf(subvolume, sizeof(subvolume), "%" PRIu64, info->subvolume_id);
	snprintf(generation, sizeof(generation), "%" PRIu64, info->generation);
	snprintf(created_generation, sizeof(created_generation), "%" PRIu64,
		 info->created_generation);
	if (info->flags & VARVE_LAYER_QUOTA) {
		cells[INFO_REFERENCED] = table_size(table, referenced, info->quota_referenced);
		cells[INFO_EXCLUSIVE] = table_size(table, exclusive, info->quota_exclusive);
		if (info->quota_limit)
			cells[INFO_LIMIT] = table_size(table, limit, info->quota_limit);
	}
	table_row(table, cells);
}

static const struct option_spec info_options[] = {
	TABLE_OPTIONS,
	{ 0 },
};

/* Write the properties of a layer: an object, a row of the table of the job, or else a block. */
static void info_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	struct info *info = slot->payload;

	if (!info)
		return;
	if (cli->json)
		info_json(&cli->output, info);
	else if (slot->flight->data)
		info_row(slot->flight->data, info);
	else
		info_text(&cli->output, info);
	json_decref(info->labels);
}

static const struct flight_job info_job = {
	.name = "info",
	.past = "shown",
	.submit = info_submit,
	.take = info_take,
	.report = info_report,
};

/* Print layers: one in a block; several, or where columns are asked for, in a table. */
static int info_run(struct cli *cli, const struct arguments *arguments)
{
	bool many = arguments->operands_count > 1 || strcmp(arguments->operands[0], "-") == 0;
	struct table table;
	int status;

	if (table_begin(&table, &cli->output, "info", info_columns, arguments) < 0)
		return CLI_USAGE;
	for (size_t i = 0; !many && info_options[i].name; i++)
		many = options_has(arguments, info_options[i].name);
	status = flight_run_operands(cli, &info_job, arguments, many ? &table : NULL);
	table_end(&table);
	return status;
}

const struct command info_command = {
	.name = "info",
	.operands = "ID...",
	.summary = "print the properties of layers",
	.options = info_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = info_run,
};

/* ---- ls -------------------------------------------------------------------------------------- */

/* The prefix of a filter, which is about labels. */
#define LIST_FILTER "label="

/* A copy of the names of layers, in one piece of memory. */
struct list_names {
	size_t count;        /* How many. */
	json_t **labels;     /* Their labels, where those are wanted; NULL: none. */
	const char *names[]; /* The names; their bytes follow. */
};

/* What is listed, and what is found. */
struct list_job {
	struct varve_find_options options;
	struct list_names *names;
};

static const struct option_spec list_options[] = {
	{ .letter = 'l',
	  .name = "long",
	  .help = "a table: subvolume, time of creation, ro or rw, id, parent" },
	{ .name = "filter",
	  .argument = "F",
	  .help = "only layers with a label: label=KEY or label=KEY=VALUE (repeatable)" },
	TABLE_OPTIONS,
	{ 0 },
};

/* Submit the question for the names. */
static int list_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	const struct list_job *job = flight->data;

	return varve_layer_find(flight->cli->store, &job->options, callback, user_data,
				ret_request);
}

/* Keep the names, in the job's data. */
static void list_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct list_job *job = slot->flight->data;
	size_t size = sizeof(struct list_names) + result->ids_count * sizeof(char *);
	struct list_names *names;
	char *end;

	if (result->error)
		return;
	for (size_t i = 0; i < result->ids_count; i++)
		size += strlen(result->ids[i]) + 1;
	names = output_memory(malloc(size));
	names->count = result->ids_count;
	names->labels = result->records
				? output_memory(calloc(names->count, sizeof(*names->labels)))
				: NULL;
	end = (char *)&names->names[names->count];
	for (size_t i = 0; i < names->count; i++) {
		names->names[i] = end;
		end = stpcpy(end, result->ids[i]) + 1;
		if (result->records && result->records[i] && result->records[i]->labels_count)
			names->labels[i] = label_json(result->records[i]);
	}
	job->names = names;
}

static const struct flight_job list_names_job = {
	.name = "list",
	.single = true,
	.submit = list_submit,
	.take = list_take,
	/* list_run() writes. */
	.report = flight_report_nothing,
};

static const struct flight_job list_long_job = {
	.name = "list",
	.past = "shown",
	.submit = info_submit,
	.take = info_take,
	/* It may have been removed since its name was read. */
	.forgive = flight_forgive_missing,
	.report = info_report,
};

/* Write NAME; as JSON with its LABELS, unless they are NULL. */
static void list_name(struct cli *cli, const char *name, json_t *labels)
{
	json_t *object;

	if (!cli->json) {
		output_name(&cli->output, name);
		output_end(&cli->output);
		return;
	}
	object = output_result(&cli->output, name, NULL);
	if (labels)
		json_object_set(object, "labels", labels);
	output_json(&cli->output, object);
}

/* Free NAMES, which may be NULL. */
static void list_free(struct list_names *names)
{
	for (size_t i = 0; names && names->labels && i < names->count; i++)
		json_decref(names->labels[i]);
	if (names)
		free(names->labels);
	free(names);
}

/* Parse the filters of ARGUMENTS into FILTERS, which has room. Return 0, or -1 after a message. */
static int list_filters(struct cli *cli, const struct arguments *arguments, const char **filters)
{
	for (size_t i = 0; i < arguments->given_count; i++) {
		const char *value = arguments->values[i];

		if (strcmp(arguments->given[i]->name, "filter") != 0)
			continue;
		if (strncmp(value, LIST_FILTER, strlen(LIST_FILTER)) != 0) {
			output_complain(&cli->output,
					"ls: --filter %s: a filter is label=KEY or label=KEY=VALUE",
					value);
			return -1;
		}
		*filters++ = value + strlen(LIST_FILTER);
	}
	return 0;
}

/* List the layers. */
static int list_run(struct cli *cli, const struct arguments *arguments)
{
	const char **filters = output_memory(calloc(arguments->given_count + 1, sizeof(*filters)));
	bool table_wanted = options_has(arguments, "long") || options_has(arguments, "output");
	struct list_job job = { .options = VARVE_FIND_OPTIONS_INIT };
	struct table table;
	int status = CLI_USAGE;

	if (list_filters(cli, arguments, filters) < 0 ||
	    table_begin(&table, &cli->output, "ls", info_columns, arguments) < 0) {
		free(filters);
		return CLI_USAGE;
	}
	job.options.labels = filters;
	if (cli->json && !table_wanted)
		job.options.flags = VARVE_FIND_RECORDS;
	status = flight_run_single(cli, &list_names_job, &job);
	free(filters);
	if (status != CLI_DONE)
		goto out;
	if (table_wanted)
		status = flight_run(cli, &list_long_job, job.names->names, job.names->count,
				    &table);
	else
		for (size_t i = 0; i < job.names->count && !cli->output.error; i++)
			list_name(cli, job.names->names[i],
				  job.names->labels ? job.names->labels[i] : NULL);
out:
	table_end(&table);
	list_free(job.names);
	return status;
}

const struct command list_command = {
	.name = "ls",
	.operands = "",
	.summary = "list the layers",
	.options = list_options,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = list_run,
};

/* ---- get ------------------------------------------------------------------------------------- */

static const struct option_spec get_options[] = {
	{ .letter = 'o',
	  .name = "mount-opt",
	  .argument = "OPT",
	  .help = "mount option; ro is accepted (repeatable)" },
	{ 0 },
};

/* Submit the question for the path of ID; the job's data are the mount options. */
static int get_submit(struct flight *flight, const char *id, varve_callback *callback,
		      void *user_data, varve_request *ret_request)
{
	return varve_layer_get(flight->cli->store, id, flight->data, callback, user_data,
			       ret_request);
}

/* Keep the path. */
static void get_take(struct flight_slot *slot, const struct varve_result *result)
{
	if (result->path)
		slot->payload = output_memory(strdup(result->path));
}

/* Write the path. */
static void get_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	json_t *object;

	if (!cli->json) {
		output_name(&cli->output, slot->payload);
		output_end(&cli->output);
		return;
	}
	object = output_result(&cli->output, slot->id, NULL);
	output_set_name(object, "path", slot->payload);
	output_json(&cli->output, object);
}

static const struct flight_job get_job = {
	.name = "get",
	.past = "shown",
	.submit = get_submit,
	.take = get_take,
	.report = get_report,
};

/* Print the path of a layer. */
static int get_run(struct cli *cli, const struct arguments *arguments)
{
	const char **options = output_memory(options_values(arguments, "mount-opt"));
	int status = flight_run_operands(cli, &get_job, arguments, options);

	free(options);
	return status;
}

const struct command get_command = {
	.name = "get",
	.operands = "ID",
	.summary = "print the path of a layer",
	.options = get_options,
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = get_run,
};

/* ---- exists ---------------------------------------------------------------------------------- */

/* Submit the question whether ID exists. */
static int exists_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_exists(flight->cli->store, id, callback, user_data, ret_request);
}

/* Keep the answer. */
static void exists_take(struct flight_slot *slot, const struct varve_result *result)
{
	bool *exists = output_memory(malloc(sizeof(*exists)));

	*exists = result->exists;
	slot->payload = exists;
}

/* Write the answer in JSON; without --json the exit status is the answer. */
static void exists_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	const bool *exists = slot->payload;
	bool *all = slot->flight->data;
	json_t *object;

	*all = *all && *exists;
	if (!cli->json)
		return;
	object = output_result(&cli->output, slot->id, NULL);
	json_object_set_new(object, "exists", json_boolean(*exists));
	output_json(&cli->output, object);
}

static const struct flight_job exists_job = {
	.name = "exists",
	.past = "looked for",
	.submit = exists_submit,
	.take = exists_take,
	.report = exists_report,
};

/* Is there such a layer? */
static int exists_run(struct cli *cli, const struct arguments *arguments)
{
	bool all = true;
	int status = flight_run_operands(cli, &exists_job, arguments, &all);

	if (status == CLI_FAILED)
		return CLI_UNKNOWN;
	return status == CLI_DONE && !all ? CLI_NO : status;
}

const struct command exists_command = {
	.name = "exists",
	.operands = "ID",
	.summary = "check whether a layer exists",
	.notes = "Exit status: 0 the layer exists; 1 it does not; 2 an error.\n",
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.answers = true,
	.run = exists_run,
};
