/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c: the commands `chown`, `flush`, `freeze`, `thaw`, `rename` and `relabel`. */
#include <errno.h>

#include "apply.h"
#include "cli.h"
#include "flight.h"
#include "idmap.h"

/* ---- chown ----------------------------------------------------------------------------------- */

static const struct option_spec chown_options[] = {
	{ .name = "uidmap",
	  .argument = "MAP",
	  .help = "users, as CONTAINER:HOST:COUNT (repeatable)" },
	{ .name = "gidmap", .argument = "MAP", .help = "groups, likewise" },
	{ .name = "overflow-ids", .help = "an owner that is in no map becomes 65534" },
	{ .name = "uidmap-from", .argument = "MAP", .help = "the present map of users" },
	{ .name = "gidmap-from", .argument = "MAP", .help = "the present map of groups" },
	{ 0 },
};

/* Submit the shift of ID. */
static int chown_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_chown(flight->cli->store, id, flight->data, callback, user_data,
				 ret_request);
}

static const struct flight_job chown_job = {
	.name = "chown",
	.past = "shifted",
	.submit = chown_submit,
	.take = apply_take_skipped,
	.report = apply_report,
};

/* Shift layers. */
static int chown_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_chown_options options;
	int status = CLI_USAGE;

	if (idmap_read(cli, "chown", arguments, &options) < 0)
		return status;
	if (options_has(arguments, "overflow-ids"))
		options.flags |= VARVE_OVERFLOW_IDS;
	if (idmap_any(&options))
		status = flight_run_operands(cli, &chown_job, arguments, &options);
	else
		output_complain(&cli->output, "chown: no map is given");
	idmap_free(&options);
	return status;
}

const struct command chown_command = {
	.name = "chown",
	.operands = "ID...",
	.summary = "shift the ownership of layers by maps of ids",
	.notes = "Setuid bits and capabilities are kept.\n",
	.options = chown_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = chown_run,
};

/* ---- flush ----------------------------------------------------------------------------------- */

/* Submit the flush of ID. */
static int flush_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return varve_layer_flush(flight->cli->store, id, 0, callback, user_data, ret_request);
}

static const struct flight_job flush_job = {
	.name = "flush",
	.past = "flushed",
	.submit = flush_submit,
};

/* Make the data of layers durable. */
static int flush_run(struct cli *cli, const struct arguments *arguments)
{
	return flight_run_operands(cli, &flush_job, arguments, NULL);
}

const struct command flush_command = {
	.name = "flush",
	.operands = "ID...",
	.summary = "make the data of layers durable",
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = flush_run,
};

/* ---- freeze, thaw ---------------------------------------------------------------------------- */

/* Submit the freezing, or thawing, of ID; the job's data are the flags. */
static int freeze_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	const uint64_t *flags = flight->data;

	return varve_layer_freeze(flight->cli->store, id, *flags, callback, user_data, ret_request);
}

static const struct flight_job freeze_job = {
	.name = "freeze",
	.past = "frozen",
	.submit = freeze_submit,
};

static const struct flight_job thaw_job = {
	.name = "freeze",
	.past = "thawed",
	.submit = freeze_submit,
};

/* Make layers read-only. */
static int freeze_run(struct cli *cli, const struct arguments *arguments)
{
	uint64_t flags = 0;

	return flight_run_operands(cli, &freeze_job, arguments, &flags);
}

/* Make layers writable. */
static int thaw_run(struct cli *cli, const struct arguments *arguments)
{
	uint64_t flags = VARVE_FREEZE_THAW;

	return flight_run_operands(cli, &thaw_job, arguments, &flags);
}

const struct command freeze_command = {
	.name = "freeze",
	.operands = "ID...",
	.summary = "make layers read-only",
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = freeze_run,
};

const struct command thaw_command = {
	.name = "thaw",
	.operands = "ID...",
	.summary = "make layers writable",
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = thaw_run,
};

/* ---- rename ---------------------------------------------------------------------------------- */

/* Submit the renaming of ID; the job's data are the new name. */
static int rename_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_rename(flight->cli->store, id, flight->data, 0, callback, user_data,
				  ret_request);
}

static const struct flight_job rename_job = {
	.name = "rename",
	.past = "renamed",
	.submit = rename_submit,
};

/* Rename a layer. */
static int rename_run(struct cli *cli, const struct arguments *arguments)
{
	struct arguments first = *arguments;

	first.operands_count = 1;
	return flight_run_operands(cli, &rename_job, &first, arguments->operands[1]);
}

const struct command rename_command = {
	.name = "rename",
	.operands = "ID NEW",
	.summary = "give a layer another name",
	.notes =
		"The recorded size is renamed as well; the layer remains the parent of its snapshots.\n",
	.operands_min = 2,
	.operands_max = 2,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = rename_run,
};

/* ---- relabel --------------------------------------------------------------------------------- */

static const struct option_spec relabel_options[] = {
	{ .name = "shared", .help = "several containers share the layer: the level is s0" },
	{ 0 },
};

/* The arguments of `relabel`. */
struct relabel {
	const char *label; /* The label. */
	uint64_t flags;    /* VARVE_RELABEL_* bits. */
};

/* Submit the relabelling of ID. */
static int relabel_submit(struct flight *flight, const char *id, varve_callback *callback,
			  void *user_data, varve_request *ret_request)
{
	const struct relabel *relabel = flight->data;

	return varve_layer_relabel(flight->cli->store, id, relabel->label, relabel->flags, callback,
				   user_data, ret_request);
}

static const struct flight_job relabel_job = {
	.name = "relabel",
	.past = "relabelled",
	.submit = relabel_submit,
};

/* Relabel a layer. */
static int relabel_run(struct cli *cli, const struct arguments *arguments)
{
	struct relabel relabel = { .label = arguments->operands[1],
				   .flags = options_has(arguments, "shared") ? VARVE_RELABEL_SHARED
									     : 0 };
	struct arguments first = *arguments;

	first.operands_count = 1;
	return flight_run_operands(cli, &relabel_job, &first, &relabel);
}

const struct command relabel_command = {
	.name = "relabel",
	.operands = "ID LABEL",
	.summary = "set an SELinux label on everything in a layer",
	.notes =
		"The label is USER:ROLE:TYPE:LEVEL. Where SELinux is off there is nothing to do.\n",
	.options = relabel_options,
	.operands_min = 2,
	.operands_max = 2,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = relabel_run,
};
