/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: the commands `pool create`, `pool mount` and `pool umount`. */
#include <errno.h>
#include <string.h>

#include "cli.h"

static const struct option_spec pool_create_options[] = {
	{ .name = "size",
	  .argument = "SIZE",
	  .help = "size of the image: 10g, 512m, ...",
	  .required = true },
	{ .name = "mount",
	  .argument = "DIR",
	  .help = "where to mount it; made when missing",
	  .required = true },
	{ 0 },
};

/* Report how a call ended: R, and FAILURE when that is negative. Return an exit status. */
static int pool_report(struct cli *cli, int r, const struct varve_failure *failure)
{
	if (r < 0)
		output_failure(&cli->output, failure);
	if (cli->json)
		output_json(&cli->output,
			    output_result(&cli->output, NULL, r < 0 ? failure : NULL));
	return r < 0 ? CLI_FAILED : CLI_DONE;
}

/* Make a pool. */
static int pool_create_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_failure failure = { 0 };
	const char *size = options_value(arguments, "size");
	uint64_t size_bytes;
	int r;

	r = varve_size_parse(size, &size_bytes);
	if (r < 0) {
		output_complain(&cli->output, "pool create: --size %s: %s", size,
				r == -ERANGE ? "too large" : "not a size, such as 512m or 10g");
		return CLI_USAGE;
	}
	r = varve_pool_create(arguments->operands[0], size_bytes, options_value(arguments, "mount"),
			      &failure);
	return pool_report(cli, r, &failure);
}

const struct command pool_create_command = {
	.name = "pool create",
	.operands = "FILE",
	.summary = "make a btrfs file system in an image file and mount it",
	.options = pool_create_options,
	.operands_min = 1,
	.operands_max = 1,
	.storeless = true,
	.run = pool_create_run,
};

/* Mount a pool. */
static int pool_mount_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_failure failure = { 0 };
	int r = varve_pool_mount(arguments->operands[0], arguments->operands[1], &failure);

	return pool_report(cli, r, &failure);
}

const struct command pool_mount_command = {
	.name = "pool mount",
	.operands = "FILE DIR",
	.summary = "mount a pool",
	.operands_min = 2,
	.operands_max = 2,
	.storeless = true,
	.run = pool_mount_run,
};

/* Unmount a pool. */
static int pool_umount_run(struct cli *cli, const struct arguments *arguments)
{
	struct varve_failure failure = { 0 };
	int r = varve_pool_umount(arguments->operands[0], &failure);

	if (!r && failure.detail[0])
		output_complain(&cli->output, "pool umount: %s: unmounted, but %s",
				arguments->operands[0], failure.detail);
	return pool_report(cli, r, &failure);
}

const struct command pool_umount_command = {
	.name = "pool umount",
	.operands = "DIR",
	.summary = "unmount a pool",
	.operands_min = 1,
	.operands_max = 1,
	.storeless = true,
	.run = pool_umount_run,
};
