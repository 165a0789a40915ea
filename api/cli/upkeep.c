/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep.c: the commands `status`, `sync`, `gc` and `version`. */
#include "upkeep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flight.h"
#include "interrupt.h"
#include "metrics.h"

/* ---- status ---------------------------------------------------------------------------------- */

/* A copy of the status, in one piece of memory. */
struct upkeep_status {
	size_t count;                        /* How many entries. */
	struct varve_status_entry entries[]; /* The entries; their strings follow. */
};

/* Submit the question for the status. */
static int status_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_status(flight->cli->store, callback, user_data, ret_request);
}

/* Keep the status. */
static void status_take(struct flight_slot *slot, const struct varve_result *result)
{
	size_t entries_size = sizeof(struct upkeep_status) +
			      result->status_count * sizeof(struct varve_status_entry);
	size_t strings_size = 0;
	struct upkeep_status *status;
	char *end;

	for (size_t i = 0; i < result->status_count; i++)
		strings_size += strlen(result->status[i].key) + strlen(result->status[i].value) + 2;
	status = output_memory(malloc(entries_size + strings_size));
	status->count = result->status_count;
	end = (char *)status + entries_size;
	for (size_t i = 0; i < status->count; i++) {
		status->entries[i].key = end;
		end = stpcpy(end, result->status[i].key) + 1;
		status->entries[i].value = end;
		end = stpcpy(end, result->status[i].value) + 1;
	}
	slot->payload = status;
}

/* Set the member of OBJECT that ENTRY is: a number, where its value is one. */
static void status_set(json_t *object, const struct varve_status_entry *entry)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(entry->value, &end, 10);
	if (*entry->value >= '0' && *entry->value <= '9' && !*end && !errno &&
	    (*entry->value != '0' || !entry->value[1]))
		json_object_set_new(object, entry->key, json_integer(number));
	else
		output_set_name(object, entry->key, entry->value);
}

/* Write the status. */
static void status_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	const struct upkeep_status *status = slot->payload;
	json_t *object = cli->json ? output_result(&cli->output, NULL, NULL) : NULL;
	int width = 0;

	for (size_t i = 0; i < status->count; i++) {
		int length = (int)strlen(status->entries[i].key);

		width = length > width ? length : width;
	}
	for (size_t i = 0; i < status->count; i++) {
		if (cli->json)
			status_set(object, &status->entries[i]);
		else
			output_pair(&cli->output, status->entries[i].key, width + 1,
				    status->entries[i].value);
	}
	if (cli->json)
		output_json(&cli->output, object);
}

static const struct flight_job status_job = {
	.name = "status",
	.single = true,
	.submit = status_submit,
	.take = status_take,
	.report = status_report,
};

static const struct option_spec status_options[] = {
	{ .name = "metrics", .help = "write OpenMetrics text for a monitor" },
	{ .letter = 'o',
	  .name = "output",
	  .argument = "FILE",
	  .help = "write to FILE instead of standard output (needs --metrics)" },
	{ 0 },
};

/* Print the state of store, kernel and library. */
static int status_run(struct cli *cli, const struct arguments *arguments)
{
	const char *file = options_value(arguments, "output");

	if (options_has(arguments, "metrics"))
		return metrics_run(cli, file);
	if (file) {
		output_complain(&cli->output, "status: --output needs --metrics");
		return CLI_USAGE;
	}
	return flight_run_single(cli, &status_job, NULL);
}

const struct command status_command = {
	.name = "status",
	.operands = "",
	.summary = "print versions, kernel features, privileges, limits and backlog",
	.options = status_options,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = status_run,
};

/* ---- sync ------------------------------------------------------------------------------------ */

static const struct option_spec sync_options[] = {
	{ .name = "wait-clean", .help = "also wait until the space of all removed layers is free" },
	{ 0 },
};

/* Submit a sync; the job's data are its flags. */
static int sync_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	const uint64_t *flags = flight->data;

	return varve_sync(flight->cli->store, *flags, callback, user_data, ret_request);
}

static const struct flight_job sync_job = {
	.name = "sync",
	.single = true,
	.submit = sync_submit,
};

static const struct flight_job sync_quiet_job = {
	.name = "sync",
	.single = true,
	.submit = sync_submit,
	.report = flight_report_nothing,
};

int upkeep_wait_clean(struct cli *cli)
{
	uint64_t flags = VARVE_SYNC_CLEAN;

	return flight_run_single(cli, &sync_quiet_job, &flags);
}

/* Make all that was done durable. */
static int sync_run(struct cli *cli, const struct arguments *arguments)
{
	uint64_t flags = options_has(arguments, "wait-clean") ? VARVE_SYNC_CLEAN : 0;

	return flight_run_single(cli, &sync_job, &flags);
}

const struct command sync_command = {
	.name = "sync",
	.operands = "",
	.summary = "make all earlier changes durable",
	.options = sync_options,
	.open_flags = CLI_OPEN_LOOK,
	.run = sync_run,
};

/* ---- gc -------------------------------------------------------------------------------------- */

/* Submit a sweep. */
static int gc_submit(struct flight *flight, const char *id, varve_callback *callback,
		     void *user_data, varve_request *ret_request)
{
	return varve_sweep(flight->cli->store, callback, user_data, ret_request);
}

/* Keep the report, which a sweep that failed in part has, too. */
static void gc_take(struct flight_slot *slot, const struct varve_result *result)
{
	if (!result->sweep)
		return;
	slot->payload = output_memory(malloc(sizeof(*result->sweep)));
	memcpy(slot->payload, result->sweep, sizeof(*result->sweep));
}

/* Write what the sweep did. */
static void gc_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	const struct varve_sweep_report *sweep = slot->payload;
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{ "staging_removed", sweep->staging_removed },
		{ "trash_removed", sweep->trash_removed },
		{ "quota_files_removed", sweep->quota_files_removed },
		{ "quota_groups_removed", sweep->quota_groups_removed },
		{ "records_removed", sweep->records_removed },
		{ "failures", sweep->failures },
	};
	json_t *object = cli->json ? output_result(&cli->output, NULL, slot->failure) : NULL;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (cli->json)
			output_set_number(object, rows[i].key, rows[i].value);
		else
			output_text(&cli->output, "%-20s %" PRIu64 "\n", rows[i].key,
				    rows[i].value);
	}
	if (cli->json)
		output_json(&cli->output, object);
}

static const struct flight_job gc_job = {
	.name = "sweep",
	.single = true,
	.submit = gc_submit,
	.take = gc_take,
	.report = gc_report,
	.report_failed = true,
};

static const struct option_spec gc_options[] = {
	{ .name = "adopt", .help = "turn plain directories in the places of layers into layers" },
	{ 0 },
};

/* Submit the adoption of the directory ID. */
static int adopt_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_adopt(flight->cli->store, id, 0, callback, user_data, ret_request);
}

/* Report that the directory is a layer now. */
static void adopt_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	json_t *object;

	if (!cli->json) {
		output_text(&cli->output, "%-20s ", "adopted");
		output_name(&cli->output, slot->id);
		output_end(&cli->output);
		return;
	}
	object = output_result(&cli->output, slot->id, NULL);
	json_object_set_new(object, "adopted", json_true());
	output_json(&cli->output, object);
}

static const struct flight_job adopt_job = {
	.name = "adopt",
	.past = "adopted",
	.submit = adopt_submit,
	.report = adopt_report,
};

/* The plain directories that a check finds; it keeps no more than a number of them. */
struct gc_directories {
	struct varve_finding *findings; /* On the heap; their strings are in it. */
	const char **ids;               /* On the heap. */
	size_t count;                   /* How many. */
};

/* Find plain directories: 0, or -errno, which was reported. */
static int gc_find(struct cli *cli, struct gc_directories *directories)
{
	static const char place[] = "subvolumes/";
	struct varve_failure failure;
	size_t count = 0;
	int r = varve_check_wait(cli->store, &directories->findings, &count, &failure);

	if (r != 0) {
		output_failure(&cli->output, &failure);
		return r;
	}
	directories->ids = output_memory(calloc(count + 1, sizeof(*directories->ids)));
	directories->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(directories->findings[i].kind, "directory") == 0)
			directories->ids[directories->count++] = directories->findings[i].path +
								 strlen(place);
	}
	return 0;
}

/* Free the findings. */
static void gc_forget(struct gc_directories *directories)
{
	free(directories->ids);
	free(directories->findings);
	*directories = (struct gc_directories){ 0 };
}

/*
 * Adopt plain directories until a check finds none, or until one cannot be adopted: then report how
 * many are left.
 */
static int gc_adopt(struct cli *cli)
{
	struct gc_directories directories = { 0 };
	int status = CLI_DONE, r = gc_find(cli, &directories);

	while (r == 0 && directories.count > 0 && status == CLI_DONE) {
		status = flight_run(cli, &adopt_job, directories.ids, directories.count, NULL);
		gc_forget(&directories);
		/* After a loop that failed the store is closed. */
		if (cli->store == NULL || interrupt_signal())
			break;
		r = gc_find(cli, &directories);
	}
	if (r == 0 && directories.count > 0)
		output_complain(&cli->output,
				"plain directories in the places of layers are left: at least %zu",
				directories.count);
	gc_forget(&directories);
	return r == 0 ? status : CLI_FAILED;
}

/* Sweep, and adopt where that is asked for. */
static int gc_run(struct cli *cli, const struct arguments *arguments)
{
	int status = flight_run_single(cli, &gc_job, NULL), adopted;

	if (!options_has(arguments, "adopt") || interrupt_signal())
		return status;
	adopted = gc_adopt(cli);
	return status == CLI_DONE ? adopted : status;
}

const struct command gc_command = {
	.name = "gc",
	.operands = "",
	.summary = "remove leftovers of crashed processes",
	.options = gc_options,
	.open_flags = CLI_OPEN_LOOK,
	.run = gc_run,
};

/* ---- version --------------------------------------------------------------------------------- */

/* Print the version. */
static int version_run(struct cli *cli, const struct arguments *arguments)
{
	json_t *object;

	if (!cli->json) {
		output_text(&cli->output, "varve %s\n", varve_version());
		return CLI_DONE;
	}
	object = output_result(&cli->output, NULL, NULL);
	json_object_set_new(object, "version", json_string(varve_version()));
	output_json(&cli->output, object);
	return CLI_DONE;
}

const struct command version_command = {
	.name = "version",
	.operands = "",
	.summary = "print the version",
	.storeless = true,
	.run = version_run,
};
