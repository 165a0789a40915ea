/* SPDX-License-Identifier: Apache-2.0 */
/* diff.c: the commands `diff` and `diffsize`. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "cli.h"
#include "compare.h"
#include "destination.h"
#include "flight.h"

/* What `diff` works on. */
struct diff_job {
	/* Options for the library. */
	struct varve_diff_options options;
	/* The part that selects what is compared, and owns the maps. */
	struct varve_changes_options compared;
	/* The output. */
	struct destination destination;
	/* Entries were left out, or changed meanwhile. */
	bool skipped;
};

static const struct option_spec diff_options[] = {
	COMPARE_OPTIONS,
	{ .name = "overflow-ids",
	  .help = "an owner that is in no map becomes 65534 in the archive" },
	{ .name = "max-file-size",
	  .argument = "SIZE",
	  .help = "fail when a file is larger, holes counted (for registries)" },
	{ .name = "compress",
	  .argument = "HOW",
	  .help = "compress by gzip or zstd; gzip:9, zstd:19: at that level" },
	{ .name = "digests",
	  .help = "write the digest, the diff id and the sizes (needs --output)" },
	{ .letter = 'o',
	  .name = "output",
	  .argument = "FILE",
	  .help = "write to FILE instead of standard output" },
	{ 0 },
};

/* Submit the request for the archive of ID. */
static int diff_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	struct diff_job *job = flight->data;

	return varve_layer_diff(flight->cli->store, id, &job->options, job->destination.fd,
				callback, user_data, ret_request);
}

/*
 * Name the output where the failure of SLOT is one of writing to it: the library knows no name for
 * a descriptor.
 */
static void diff_name_output(struct flight_slot *slot)
{
	const struct diff_job *job = slot->flight->data;
	struct varve_failure *failure = slot->failure;

	if (!failure || strcmp(failure->step, "STREAM") != 0 || !failure->call ||
	    strcmp(failure->call, "write") != 0)
		return;
	snprintf(failure->path, sizeof(failure->path), "%s", job->destination.name);
	if (failure->error == -EPIPE && !job->destination.file)
		slot->flight->cli->output.error = -EPIPE;
}

/* Report the entries that were left out, and keep the list. */
static void diff_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct diff_job *job = slot->flight->data;

	diff_name_output(slot);
	job->skipped = result->skipped_total > 0;
	apply_take(slot, result);
}

/* Write a JSON object, or the digests, where the archive went elsewhere. */
static void diff_report(struct flight_slot *slot)
{
	const struct diff_job *job = slot->flight->data;

	if (job->destination.file)
		apply_report(slot);
}

static const struct flight_job diff_job = {
	.name = "diff",
	.past = "written",
	.submit = diff_submit,
	.take = diff_take,
	.report = diff_report,
};

/* Take what is compared from ARGUMENTS. Return 0, or -EINVAL after a message. */
static int diff_compare(struct cli *cli, const struct arguments *arguments, struct diff_job *job)
{
	const struct varve_changes_options *compared = &job->compared;
	int r = compare_read(cli, "diff", arguments, &job->compared);

	job->options = (struct varve_diff_options){
		.size = sizeof(job->options),
		.parent = compared->parent,
		.flags = compared->flags,
		.uids = compared->uids,
		.uids_count = compared->uids_count,
		.gids = compared->gids,
		.gids_count = compared->gids_count,
		.parent_uids = compared->parent_uids,
		.parent_uids_count = compared->parent_uids_count,
		.parent_gids = compared->parent_gids,
		.parent_gids_count = compared->parent_gids_count,
	};
	return r;
}

/*
 * Take the size of the largest file from ARGUMENTS. Return 0, or an exit status after a message.
 */
static int diff_size_max(struct cli *cli, const struct arguments *arguments, struct diff_job *job)
{
	const char *size = options_value(arguments, "max-file-size");
	int r = size ? varve_size_parse(size, &job->options.file_size_max) : 0;

	if (r == 0 && (!size || job->options.file_size_max > 0))
		return CLI_DONE;
	output_complain(&cli->output, "diff: --max-file-size %s: %s", size,
			r == -ERANGE ? "too large" : "not a size, such as 512m or 10g");
	return CLI_USAGE;
}

/* Take how to compress from ARGUMENTS. Return 0, or an exit status after a message. */
static int diff_compression(struct cli *cli, const struct arguments *arguments,
			    struct diff_job *job)
{
	const char *how = options_value(arguments, "compress"), *level;
	char *end = NULL;

	if (!how)
		return CLI_DONE;
	level = strchr(how, ':');
	if (strcspn(how, ":") == 4 && strncmp(how, "gzip", 4) == 0)
		job->options.compress = VARVE_COMPRESS_GZIP;
	if (strcspn(how, ":") == 4 && strncmp(how, "zstd", 4) == 0)
		job->options.compress = VARVE_COMPRESS_ZSTD;
	if (level)
		job->options.compress_level = strtoul(level + 1, &end, 10);
	if (job->options.compress &&
	    (!level || (end > level + 1 && *end == '\0' && job->options.compress_level)))
		return CLI_DONE;
	output_complain(&cli->output,
			"diff: --compress is gzip or zstd, with a level as in gzip:9, not '%s'",
			how);
	return CLI_USAGE;
}

/* Take whether digests are asked for. Return 0, or an exit status after a message. */
static int diff_digests(struct cli *cli, const struct arguments *arguments, struct diff_job *job)
{
	const char *file = options_value(arguments, "output");

	if (!options_has(arguments, "digests"))
		return CLI_DONE;
	job->options.flags |= VARVE_DIGESTS;
	if (file && strcmp(file, "-") != 0)
		return CLI_DONE;
	output_complain(&cli->output,
			"diff: --digests needs --output: standard output has the archive");
	return CLI_USAGE;
}

/* Open the output. Return 0, or an exit status after a message. */
static int diff_open(struct cli *cli, const char *file, struct diff_job *job)
{
	if (!file && isatty(STDOUT_FILENO)) {
		output_complain(&cli->output, "diff: will not write an archive to a terminal");
		return CLI_USAGE;
	}
	return destination_open(&job->destination, &cli->output, "diff", file) < 0 ? CLI_FAILED
										   : CLI_DONE;
}

/* Write an archive of what changed in a layer. */
static int diff_run(struct cli *cli, const struct arguments *arguments)
{
	struct diff_job *job = output_memory(calloc(1, sizeof(*job)));
	const char *file = options_value(arguments, "output");
	int status = CLI_USAGE;

	if (diff_compare(cli, arguments, job) == 0) {
		if (options_has(arguments, "overflow-ids"))
			job->options.flags |= VARVE_OVERFLOW_IDS;
		status = diff_size_max(cli, arguments, job);
	}
	if (status == CLI_DONE)
		status = diff_compression(cli, arguments, job);
	if (status == CLI_DONE)
		status = diff_digests(cli, arguments, job);
	if (status == CLI_DONE)
		status = diff_open(cli, file, job);
	if (status == CLI_DONE) {
		status = flight_run(cli, &diff_job, (const char *const *)arguments->operands, 1,
				    job);
		/* An archive with entries left out is valid. */
		if (destination_close(&job->destination, &cli->output, "diff", status == CLI_DONE) <
			    0 ||
		    job->skipped)
			status = CLI_FAILED;
	}
	compare_free(&job->compared);
	free(job);
	return status;
}

const struct command diff_command = {
	.name = "diff",
	.operands = "ID",
	.summary = "write the changes in a layer as a tar archive",
	.notes =
		"The archive is sorted, and the same layer gives the same bytes. An empty file .wh.NAME stands for a\n"
		"deleted NAME. Entries that vanish, or may not be read, are left out and reported on standard error;\n"
		"the exit status is 1 then, and the archive is valid. Holes take no room in the archive:\n"
		"use --max-file-size for readers that write holes as zeros, as registries do.\n",
	.options = diff_options,
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = diff_run,
};

/* ---- diffsize -------------------------------------------------------------------------------- */

static const struct option_spec diffsize_options[] = {
	COMPARE_OPTIONS,
	{ 0 },
};

/* Submit the question about ID. */
static int diffsize_submit(struct flight *flight, const char *id, varve_callback *callback,
			   void *user_data, varve_request *ret_request)
{
	return varve_layer_diff_size(flight->cli->store, id, flight->data, callback, user_data,
				     ret_request);
}

/* Keep the answer. */
static void diffsize_take(struct flight_slot *slot, const struct varve_result *result)
{
	uint64_t *bytes = output_memory(malloc(sizeof(*bytes)));

	*bytes = result->bytes;
	slot->payload = bytes;
}

/* Write the answer. */
static void diffsize_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	uint64_t bytes = *(uint64_t *)slot->payload;
	json_t *object;

	if (!cli->json) {
		output_text(&cli->output, "%" PRIu64 "\n", bytes);
		return;
	}
	object = output_result(&cli->output, slot->id, NULL);
	output_set_number(object, "bytes", bytes);
	output_json(&cli->output, object);
}

static const struct flight_job diffsize_job = {
	.name = "diff_size",
	.past = "measured",
	.submit = diffsize_submit,
	.take = diffsize_take,
	.report = diffsize_report,
};

/* Print the size of the changes in a layer. */
static int diffsize_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_changes_options options;
	int status;

	if (compare_read(cli, "diffsize", arguments, &options) < 0)
		return CLI_USAGE;
	status = flight_run(cli, &diffsize_job, (const char *const *)arguments->operands, 1,
			    &options);
	compare_free(&options);
	return status;
}

const struct command diffsize_command = {
	.name = "diffsize",
	.operands = "ID",
	.summary = "sum the sizes of the files that changed in a layer",
	.options = diffsize_options,
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.run = diffsize_run,
};
