/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota.c: the commands `quota status`, `quota enable`, `quota disable`, `quota limit`, `quota
 * rescan` and `quota gc`.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "flight.h"

/* The width of the keys of `quota status`. */
#define QUOTA_KEY_WIDTH 16

/* The word that stands for the absence of a limit. */
#define QUOTA_NONE "none"

/* A limit that is given on the command line. */
struct quota_size {
	uint64_t bytes; /* The limit; 0: none. */
};

/* Keep the answer, which a gc that failed in part has, too. */
static void quota_take(struct flight_slot *slot, const struct varve_result *result)
{
	if (!result->quota)
		return;
	slot->payload = output_memory(malloc(sizeof(*result->quota)));
	memcpy(slot->payload, result->quota, sizeof(*result->quota));
}

/* ---- quota status ---------------------------------------------------------------------------- */

/* Submit the question how quota runs. */
static int quota_status_submit(struct flight *flight, const char *id, varve_callback *callback,
			       void *user_data, varve_request *ret_request)
{
	return varve_quota_status(flight->cli->store, callback, user_data, ret_request);
}

/* Return the name of a mode. */
static const char *quota_mode_name(enum varve_quota_mode mode)
{
	return mode == VARVE_QUOTA_FULL ? "full" : mode == VARVE_QUOTA_SIMPLE ? "simple" : "off";
}

/* Write how quota runs as a JSON object. */
static void quota_status_json(struct output *output, const struct varve_quota *quota)
{
	json_t *object = output_result(output, NULL, NULL);

	output_set_name(object, "mode", quota_mode_name(quota->mode));
	json_object_set_new(object, "inconsistent",
			    json_boolean(quota->flags & VARVE_QUOTA_INCONSISTENT));
	json_object_set_new(object, "rescan_running",
			    json_boolean(quota->flags & VARVE_QUOTA_RESCAN_RUNNING));
	if (quota->flags & VARVE_QUOTA_RESCAN_RUNNING)
		output_set_number(object, "rescan_position", quota->rescan_position);
	if (quota->flags & VARVE_QUOTA_COUNTED) {
		output_set_number(object, "groups", quota->groups);
		output_set_number(object, "groups_stale", quota->groups_stale);
	}
	output_set_number(object, "records", quota->records);
	output_json(output, object);
}

/* Write how quota runs as lines, and warnings on standard error. */
static void quota_status_text(struct output *output, const struct varve_quota *quota)
{
	output_pair(output, "mode", QUOTA_KEY_WIDTH, quota_mode_name(quota->mode));
	if (quota->flags & VARVE_QUOTA_RESCAN_RUNNING)
		output_pair_number(output, "rescan_position", QUOTA_KEY_WIDTH,
				   quota->rescan_position);
	if (quota->flags & VARVE_QUOTA_COUNTED) {
		output_pair_number(output, "groups", QUOTA_KEY_WIDTH, quota->groups);
		output_pair_number(output, "groups_stale", QUOTA_KEY_WIDTH, quota->groups_stale);
	}
	output_pair_number(output, "records", QUOTA_KEY_WIDTH, quota->records);
	if (quota->flags & VARVE_QUOTA_INCONSISTENT)
		output_complain(
			output,
			"warning: quota is inconsistent: limits are not enforced until a rescan is done");
	if (quota->mode == VARVE_QUOTA_FULL)
		output_complain(
			output,
			"note: full quotas make creating and removing layers many times slower");
}

/* Write how quota runs. */
static void quota_status_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;

	if (cli->json)
		quota_status_json(&cli->output, slot->payload);
	else
		quota_status_text(&cli->output, slot->payload);
}

static const struct flight_job quota_status_job = {
	.name = "quota",
	.single = true,
	.submit = quota_status_submit,
	.take = quota_take,
	.report = quota_status_report,
};

/* Print the state of quota. */
static int quota_status_run(struct cli *cli, const struct arguments *arguments)
{
	return flight_run_single(cli, &quota_status_job, NULL);
}

const struct command quota_status_command = {
	.name = "quota status",
	.operands = "",
	.summary = "print the state of quota, and whether limits are enforced",
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = quota_status_run,
};

/* ---- quota enable, quota disable ------------------------------------------------------------- */

static const struct option_spec quota_enable_options[] = {
	{ .name = "simple",
	  .help = "simple quotas: each byte counts for the layer that wrote it (Linux 6.7)" },
	{ 0 },
};

/* Submit turning quota on; the job's data are the mode. */
static int quota_enable_submit(struct flight *flight, const char *id, varve_callback *callback,
			       void *user_data, varve_request *ret_request)
{
	const enum varve_quota_mode *mode = flight->data;

	return varve_quota_enable(flight->cli->store, *mode, callback, user_data, ret_request);
}

static const struct flight_job quota_enable_job = {
	.name = "quota",
	.single = true,
	.submit = quota_enable_submit,
};

/* Turn quota on. */
static int quota_enable_run(struct cli *cli, const struct arguments *arguments)
{
	enum varve_quota_mode mode = options_has(arguments, "simple") ? VARVE_QUOTA_SIMPLE
								      : VARVE_QUOTA_FULL;

	return flight_run_single(cli, &quota_enable_job, &mode);
}

const struct command quota_enable_command = {
	.name = "quota enable",
	.operands = "",
	.summary = "turn quota on, for the whole file system",
	.notes =
		"Without --simple, full quotas are turned on: these make creating and removing layers many times slower.\n"
		"With --simple, kernels before 6.7 cannot mount the file system afterwards.\n",
	.options = quota_enable_options,
	.open_flags = CLI_OPEN_LOOK,
	.run = quota_enable_run,
};

/* Submit turning quota off. */
static int quota_disable_submit(struct flight *flight, const char *id, varve_callback *callback,
				void *user_data, varve_request *ret_request)
{
	return varve_quota_disable(flight->cli->store, callback, user_data, ret_request);
}

static const struct flight_job quota_disable_job = {
	.name = "quota",
	.single = true,
	.submit = quota_disable_submit,
};

/* Turn quota off. */
static int quota_disable_run(struct cli *cli, const struct arguments *arguments)
{
	return flight_run_single(cli, &quota_disable_job, NULL);
}

const struct command quota_disable_command = {
	.name = "quota disable",
	.operands = "",
	.summary = "turn quota off, for the whole file system: all limits are lost",
	.notes = "Recorded sizes stay, and `get` applies them again.\n",
	.open_flags = CLI_OPEN_LOOK,
	.run = quota_disable_run,
};

/* ---- quota limit ----------------------------------------------------------------------------- */

/* Submit the limit of ID; the job's data are the size. */
static int quota_limit_submit(struct flight *flight, const char *id, varve_callback *callback,
			      void *user_data, varve_request *ret_request)
{
	const struct quota_size *size = flight->data;

	return varve_quota_limit(flight->cli->store, id, size->bytes, callback, user_data,
				 ret_request);
}

static const struct flight_job quota_limit_job = {
	.name = "quota",
	.past = "limited",
	.submit = quota_limit_submit,
};

static const struct option_spec quota_limit_options[] = {
	{ .name = "group", .help = "ID is the name of a group of layers (create --group)" },
	{ 0 },
};

/* Submit the limit of the group NAME; the job's data are the size. */
static int quota_limit_group_submit(struct flight *flight, const char *name,
				    varve_callback *callback, void *user_data,
				    varve_request *ret_request)
{
	const struct quota_size *size = flight->data;

	return varve_quota_limit_group(flight->cli->store, name, size->bytes, callback, user_data,
				       ret_request);
}

static const struct flight_job quota_limit_group_job = {
	.name = "quota",
	.past = "limited",
	.submit = quota_limit_group_submit,
};

/* Parse the size TEXT. Return 0, or -errno after a message. */
static int quota_size_parse(struct cli *cli, const char *text, struct quota_size *ret_size)
{
	int r;

	ret_size->bytes = 0;
	if (strcmp(text, QUOTA_NONE) == 0)
		return 0;
	r = varve_size_parse(text, &ret_size->bytes);
	if (r == 0 && ret_size->bytes == 0)
		r = -EINVAL;
	if (r < 0)
		output_complain(&cli->output, "quota limit: %s: %s", text,
				r == -ERANGE ? "too large"
					     : "not a size, such as 512m or 10g, nor " QUOTA_NONE);
	return r;
}

/* Limit a layer or a group. */
static int quota_limit_run(struct cli *cli, const struct arguments *arguments)
{
	const struct flight_job *job = options_has(arguments, "group") ? &quota_limit_group_job
								       : &quota_limit_job;
	struct arguments layer = *arguments;
	struct quota_size size;

	if (quota_size_parse(cli, arguments->operands[1], &size) < 0)
		return CLI_USAGE;
	layer.operands_count = 1;
	return flight_run_operands(cli, job, &layer, &size);
}

const struct command quota_limit_command = {
	.name = "quota limit",
	.operands = "ID SIZE",
	.summary = "limit a layer, or a group of layers, to 512m, 10g, ... or none",
	.options = quota_limit_options,
	.operands_min = 2,
	.operands_max = 2,
	.open_flags = CLI_OPEN_LOOK,
	.run = quota_limit_run,
};

/* ---- quota rescan ---------------------------------------------------------------------------- */

static const struct option_spec quota_rescan_options[] = {
	{ .name = "wait", .help = "wait until the rescan has ended" },
	{ 0 },
};

/* Submit a rescan; the job's data are its flags. */
static int quota_rescan_submit(struct flight *flight, const char *id, varve_callback *callback,
			       void *user_data, varve_request *ret_request)
{
	const uint64_t *flags = flight->data;

	return varve_quota_rescan(flight->cli->store, *flags, callback, user_data, ret_request);
}

static const struct flight_job quota_rescan_job = {
	.name = "quota",
	.single = true,
	.submit = quota_rescan_submit,
};

/* Count everything anew. */
static int quota_rescan_run(struct cli *cli, const struct arguments *arguments)
{
	uint64_t flags = options_has(arguments, "wait") ? VARVE_QUOTA_WAIT : 0;

	return flight_run_single(cli, &quota_rescan_job, &flags);
}

const struct command quota_rescan_command = {
	.name = "quota rescan",
	.operands = "",
	.summary = "count all quota groups anew, which ends an inconsistent state",
	.options = quota_rescan_options,
	.open_flags = CLI_OPEN_LOOK,
	.run = quota_rescan_run,
};

/* ---- quota gc -------------------------------------------------------------------------------- */

/* Submit a gc. */
static int quota_gc_submit(struct flight *flight, const char *id, varve_callback *callback,
			   void *user_data, varve_request *ret_request)
{
	return varve_quota_gc(flight->cli->store, callback, user_data, ret_request);
}

/* Write what was removed. */
static void quota_gc_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	const struct varve_quota *quota = slot->payload;
	json_t *object;

	if (!cli->json) {
		output_pair_number(&cli->output, "groups_removed", QUOTA_KEY_WIDTH,
				   quota->groups_removed);
		output_pair_number(&cli->output, "records_removed", QUOTA_KEY_WIDTH,
				   quota->records_removed);
		output_pair_number(&cli->output, "failures", QUOTA_KEY_WIDTH, quota->failures);
		return;
	}
	object = output_result(&cli->output, NULL, slot->failure);
	output_set_number(object, "groups_removed", quota->groups_removed);
	output_set_number(object, "records_removed", quota->records_removed);
	output_set_number(object, "failures", quota->failures);
	output_json(&cli->output, object);
}

static const struct flight_job quota_gc_job = {
	.name = "quota",
	.single = true,
	.submit = quota_gc_submit,
	.take = quota_take,
	.report = quota_gc_report,
	.report_failed = true,
};

/* Remove what is left over. */
static int quota_gc_run(struct cli *cli, const struct arguments *arguments)
{
	return flight_run_single(cli, &quota_gc_job, NULL);
}

const struct command quota_gc_command = {
	.name = "quota gc",
	.operands = "",
	.summary = "remove quota groups of subvolumes, and sizes of layers, that are gone",
	.open_flags = CLI_OPEN_LOOK,
	.run = quota_gc_run,
};
