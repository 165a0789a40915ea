/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c: the command `apply`. */
#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idmap.h"

/* What `apply` works on. */
struct apply_work {
	struct varve_apply_options options; /* Options for the library. */
	int fd;                             /* The archive. */
};

static const struct option_spec apply_options[] = {
	{ .letter = 'i',
	  .name = "input",
	  .argument = "FILE",
	  .help = "read FILE instead of standard input" },
	{ .name = "uidmap",
	  .argument = "MAP",
	  .help = "users, as CONTAINER:HOST:COUNT (repeatable)" },
	{ .name = "gidmap", .argument = "MAP", .help = "groups, likewise" },
	{ .name = "overflow-ids", .help = "an owner that is in no map becomes 65534" },
	{ .name = "skip-devices", .help = "leave out devices that you may not make" },
	{ .name = "ignore-owners",
	  .help = "become the owner of files whose owner you may not set" },
	{ .name = "force-mode",
	  .argument = "MODE",
	  .help = "set this mode on all files; an attribute has their own" },
	{ .name = "writeback",
	  .help = "begin to write to disk at once: use it where a flush follows" },
	APPLY_DIGESTS,
	{ 0 },
};

int apply_open(struct cli *cli, const char *command, const char *file)
{
	int fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	fd = -errno;
	output_complain(&cli->output, "%s: %s: %s", command, file, strerror(-fd));
	return fd;
}

int apply_flags(struct cli *cli, const char *command, const struct arguments *arguments,
		struct varve_apply_options *options)
{
	const char *mode = options_value(arguments, "force-mode");
	char *end = NULL;

	if (options_has(arguments, "overflow-ids"))
		options->flags |= VARVE_OVERFLOW_IDS;
	if (options_has(arguments, "skip-devices"))
		options->flags |= VARVE_APPLY_SKIP_DEVICES;
	if (options_has(arguments, "ignore-owners"))
		options->flags |= VARVE_APPLY_IGNORE_OWNERS;
	if (options_has(arguments, "digests"))
		options->flags |= VARVE_DIGESTS;
	options->expect = options_value(arguments, "expect");
	options->expect_diff_id = options_value(arguments, "expect-diff-id");
	if (!mode)
		return 0;
	options->force_mode = strtoul(mode, &end, 8);
	if (end > mode && *end == '\0' && options->force_mode && options->force_mode <= 07777)
		return 0;
	output_complain(&cli->output, "%s: --force-mode is an octal number up to 7777, not '%s'",
			command, mode);
	return -EINVAL;
}

void apply_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct cli *cli = slot->flight->cli;

	output_skipped(&cli->output, result);
	if (cli->json)
		slot->payload = output_archive(&cli->output, result, true);
	else if (result->digests && result->error == 0)
		slot->payload = output_digests(result->digests);
}

void apply_take_skipped(struct flight_slot *slot, const struct varve_result *result)
{
	output_skipped(&slot->flight->cli->output, result);
	if (slot->flight->cli->json && result->skipped_total > 0)
		slot->payload = output_archive(&slot->flight->cli->output, result, false);
}

void apply_report(struct flight_slot *slot)
{
	struct cli *cli = slot->flight->cli;
	json_t *object;

	if (!cli->json && slot->payload)
		output_text(&cli->output, "%s", (char *)slot->payload);
	if (!cli->json)
		return;
	object = output_result(&cli->output, slot->id, NULL);
	if (slot->payload)
		output_set_archive(object, slot->payload);
	output_json(&cli->output, object);
}

/* Submit the request for ID. */
static int apply_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	const struct apply_work *work = flight->data;

	return varve_layer_apply(flight->cli->store, id, &work->options, work->fd, callback,
				 user_data, ret_request);
}

static const struct flight_job apply_job = {
	.name = "apply",
	.past = "applied",
	.submit = apply_submit,
	.take = apply_take,
	.report = apply_report,
};

/* Unpack an archive into a layer. */
static int apply_run(struct cli *cli, const struct arguments *arguments)
{
	struct apply_work work = { .options = VARVE_APPLY_OPTIONS_INIT, .fd = -EBADF };
	const char *file = options_value(arguments, "input");
	int status = CLI_USAGE;

	if (idmap_option(cli, "apply", arguments, "uidmap", &work.options.uids,
			 &work.options.uids_count) == 0 &&
	    idmap_option(cli, "apply", arguments, "gidmap", &work.options.gids,
			 &work.options.gids_count) == 0 &&
	    apply_flags(cli, "apply", arguments, &work.options) == 0) {
		if (options_has(arguments, "writeback"))
			work.options.flags |= VARVE_APPLY_WRITEBACK;
		work.fd = apply_open(cli, "apply", file ? file : "-");
		status = CLI_FAILED;
	}
	if (work.fd >= 0) {
		status = flight_run(cli, &apply_job, (const char *const *)arguments->operands, 1,
				    &work);
		close(work.fd);
	}
	free((void *)work.options.uids);
	free((void *)work.options.gids);
	return status;
}

const struct command apply_command = {
	.name = "apply",
	.operands = "ID",
	.summary = "unpack a tar archive into a layer",
	.notes =
		"A file .wh.NAME in the archive deletes NAME. A failure leaves the archive unpacked in part; to have a\n"
		"layer whole or not at all use create --apply.\n",
	.options = apply_options,
	.operands_min = 1,
	.operands_max = 1,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = apply_run,
};
