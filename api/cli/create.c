/* SPDX-License-Identifier: Apache-2.0 */
/* create.c: the command `create`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "cli.h"
#include "flight.h"
#include "idmap.h"
#include "label.h"

static const struct option_spec create_options[] = {
	{ .name = "parent",
	  .argument = "ID",
	  .help = "start from this layer instead of an empty one" },
	{ .name = "template",
	  .argument = "ID",
	  .help = "start from this layer instead of from the parent" },
	{ .name = "read-only", .help = "make the layers read-only" },
	{ .name = "uidmap",
	  .argument = "MAP",
	  .help = "shift users, as CONTAINER:HOST:COUNT (repeatable)" },
	{ .name = "gidmap", .argument = "MAP", .help = "shift groups, likewise" },
	{ .name = "overflow-ids", .help = "an owner that is in no map becomes 65534" },
	{ .name = "label",
	  .argument = "K=V",
	  .help = "give the layers this label, as job=17 (repeatable)" },
	{ .name = "record",
	  .argument = "FILE",
	  .help = "give the layers the content of FILE as their record" },
	{ .name = "selinux-label",
	  .argument = "LABEL",
	  .help = "set this SELinux label on all files" },
	{ .name = "size", .argument = "SIZE", .help = "limit of each layer: 512m, 10g, ..." },
	{ .name = "group",
	  .argument = "NAME",
	  .help = "put the layers into this group: NAME, or NAME:SIZE (repeatable)" },
	{ .name = "apply",
	  .argument = "FILE",
	  .help = "unpack this archive into the layer before it appears" },
	{ .name = "skip-devices", .help = "leave out devices that you may not make" },
	{ .name = "ignore-owners",
	  .help = "become the owner of files whose owner you may not set" },
	{ .name = "force-mode",
	  .argument = "MODE",
	  .help = "set this mode on all files; an attribute has their own" },
	APPLY_DIGESTS,
	{ .name = "opt",
	  .argument = "K=V",
	  .help = "storage option of the layers, as size=10g (repeatable)" },
	{ 0 },
};

/* Submit the creation of ID. */
static int create_submit(struct flight *flight, const char *id, varve_callback *callback,
			 void *user_data, varve_request *ret_request)
{
	return varve_layer_create(flight->cli->store, id, flight->data, callback, user_data,
				  ret_request);
}

/* Report losses of an archive, if any, and entries whose owner is in no map. */
static void create_take(struct flight_slot *slot, const struct varve_result *result)
{
	const struct varve_create_options *options = slot->flight->data;

	if (options->apply)
		apply_take(slot, result);
	else
		apply_take_skipped(slot, result);
}

static const struct flight_job create_job = {
	.name = "create",
	.past = "created",
	.submit = create_submit,
	.take = create_take,
	.report = apply_report,
};

/* Return the storage options in ARGUMENTS, NULL last; free each string and the array. */
static char **create_storage_options(const struct arguments *arguments)
{
	/* Options of the command, and the prefix that makes their values storage options. */
	static const struct {
		const char *option;
		const char *key;
	} rows[] = { { "opt", "" }, { "size", "size=" }, { "group", "group=" } };
	char **storage_options = output_memory(
		calloc(arguments->given_count + 1, sizeof(*storage_options)));
	size_t count = 0;

	for (size_t i = 0; i < arguments->given_count; i++) {
		for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
			if (strcmp(arguments->given[i]->name, rows[row].option) != 0)
				continue;
			if (asprintf(&storage_options[count], "%s%s", rows[row].key,
				     arguments->values[i]) < 0)
				output_memory(NULL);
			count++;
		}
	}
	return storage_options;
}

/* Free what create_storage_options() returned. */
static void create_free_options(char **storage_options)
{
	for (size_t i = 0; storage_options[i]; i++)
		free(storage_options[i]);
	free(storage_options);
}

/*
 * See that APPLY asks for no digests where there is no FILE. Return 0, or -EINVAL after a message.
 */
static int create_digests(struct cli *cli, const char *file,
			  const struct varve_apply_options *apply)
{
	if (file || (!apply->expect && !apply->expect_diff_id && !(apply->flags & VARVE_DIGESTS)))
		return 0;
	output_complain(&cli->output,
			"create: digests are those of an archive: give one by --apply");
	return -EINVAL;
}

/* Create layers. */
static int create_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char **storage_options = create_storage_options(arguments);
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	const char *file = options_value(arguments, "apply"), **labels;
	const char *record = options_value(arguments, "record");
	struct varve_chown_options shift;
	void *bytes = NULL;
	int status = CLI_DONE;

	if (idmap_read(cli, "create", arguments, &shift) < 0) {
		create_free_options(storage_options);
		return CLI_USAGE;
	}
	if (apply_flags(cli, "create", arguments, &apply) < 0 ||
	    create_digests(cli, file, &apply) < 0) {
		idmap_free(&shift);
		create_free_options(storage_options);
		return CLI_USAGE;
	}
	/* The archive has the container's ids; they are shifted once it is unpacked. */
	shift.flags = apply.flags & VARVE_OVERFLOW_IDS;
	if (idmap_any(&shift))
		options.chown = &shift;
	options.label = options_value(arguments, "selinux-label");
	labels = output_memory(options_values(arguments, "label"));
	options.labels = labels;
	options.parent = options_value(arguments, "parent");
	options.template_id = options_value(arguments, "template");
	options.storage_options = (const char *const *)storage_options;
	if (options.template_id)
		cli->output.source = "template";
	if (options_has(arguments, "read-only"))
		options.flags |= VARVE_CREATE_READ_ONLY;
	if (record && label_read_record(cli, "create", record, &bytes, &options.record_bytes) < 0)
		status = CLI_FAILED;
	options.record = bytes;
	if (file) {
		options.apply = &apply;
		options.apply_fd = apply_open(cli, "create", file);
		if (options.apply_fd < 0)
			status = CLI_FAILED;
	}
	if (status == CLI_DONE)
		status = flight_run_operands(cli, &create_job, arguments, &options);
	free(bytes);
	if (file && options.apply_fd >= 0)
		close(options.apply_fd);
	idmap_free(&shift);
	free(labels);
	create_free_options(storage_options);
	return status;
}

const struct command create_command = {
	.name = "create",
	.operands = "ID...",
	.summary = "create layers, empty or from another layer",
	.notes =
		"The store's directory is created when missing. A failed layer does not stop the others.\n",
	.options = create_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.run = create_run,
};
