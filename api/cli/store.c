/* SPDX-License-Identifier: Apache-2.0 */
/* store.c: opens and closes the store as the global options say. */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct option_spec store_options[] = {
	{ .name = "home",
	  .argument = "DIR",
	  .help = "the store's directory (else $VARVE_HOME, else /var/lib/varve)" },
	{ .name = "json", .help = "write one JSON object a line" },
	{ .letter = 'z',
	  .name = "null",
	  .help = "ids and paths, read and written, end with a NUL byte" },
	{ .name = "relaxed", .help = "do not wait until the result would survive a power cut" },
	{ .name = "no-uring", .help = "do not use io_uring" },
	{ .name = "allow-shared-home",
	  .help = "use a store's directory that other users can change" },
	{ .name = "private-mount",
	  .help = "bind-mount the store's directory privately on itself for the command" },
	{ .name = "store-opt",
	  .argument = "K=V",
	  .help = "option of the store, as btrfs.min_space=1g (repeatable)" },
	{ .name = "keep-quota", .help = "fail rather than turn quota on for a size or a group" },
	{ .name = "debug",
	  .argument = "LIST",
	  .help = "trace op,ring,lane,btrfs or all on standard error" },
	{ .letter = 'V', .name = "version", .help = "show the version" },
	{ .letter = 'h', .name = "help", .help = "show this help, or that of the command" },
	{ 0 },
};

/* Say that the store has turned quota on, and what stays of that. */
static void store_tell_quota(struct cli *cli)
{
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;

	if (!cli->store || varve_statistics(cli->store, &statistics) < 0)
		return;
	if (statistics.quota_turned_on == VARVE_QUOTA_SIMPLE)
		output_complain(
			&cli->output,
			"note: simple quotas were turned on, for the whole file system, and stay on; its feature "
			"flag simple_quota stays even after 'varve quota disable'. Linux before 6.7 does "
			"not mount such a file system, btrfs-progs before 6.7 do not check it. "
			"--keep-quota refuses instead");
	else if (statistics.quota_turned_on == VARVE_QUOTA_FULL)
		output_complain(
			&cli->output,
			"note: full quotas were turned on, for the whole file system, and stay on until 'varve "
			"quota disable'; they make creating and removing layers many times slower. "
			"--keep-quota refuses instead");
}

int store_configure(struct cli *cli, const struct arguments *arguments)
{
	static const struct {
		const char *option;
		uint64_t flag;
	} flags[] = {
		{ "relaxed", VARVE_OPEN_RELAXED },
		{ "no-uring", VARVE_OPEN_NO_URING },
		{ "private-mount", VARVE_OPEN_PRIVATE_MOUNT },
		{ "allow-shared-home", VARVE_OPEN_SHARED_HOME },
	};
	size_t count = 0;

	cli->json = options_has(arguments, "json");
	cli->debug = options_value(arguments, "debug");
	cli->output.end = options_has(arguments, "null") ? '\0' : '\n';
	cli->output.debug = cli->debug != NULL;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (options_has(arguments, flags[i].option))
			cli->open_flags |= flags[i].flag;
	}
	cli->home = options_value(arguments, "home");
	if (cli->home && !*cli->home) {
		output_complain(&cli->output, "--home: no directory named");
		return -EINVAL;
	}
	if (!cli->home)
		cli->home = getenv("VARVE_HOME");
	if (cli->home && !*cli->home)
		cli->home = NULL;
	cli->store_options = output_memory(options_values(arguments, "store-opt"));
	if (!options_has(arguments, "keep-quota"))
		return 0;
	/* Add the option that keeps the store from turning quota on; the last of a kind counts. */
	while (cli->store_options[count])
		count++;
	cli->store_options = output_memory(
		reallocarray(cli->store_options, count + 2, sizeof(*cli->store_options)));
	cli->store_options[count] = "quota=keep";
	cli->store_options[count + 1] = NULL;
	return 0;
}

int store_open(struct cli *cli, const struct command *command)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure = { 0 };
	int r;

	config.home = cli->home;
	config.options = cli->store_options;
	config.flags = cli->open_flags | command->open_flags;
	config.debug = cli->debug;
	r = varve_open(&config, &cli->store, &failure);
	/* Looking is no danger: warn, and continue. */
	if (r == -EPERM && command->looks && strcmp(failure.step, "TRUST") == 0) {
		output_failure(&cli->output, &failure);
		config.flags |= VARVE_OPEN_SHARED_HOME;
		r = varve_open(&config, &cli->store, &failure);
	}
	if (r < 0) {
		output_failure(&cli->output, &failure);
		if (cli->json)
			output_json(&cli->output, output_result(&cli->output, NULL, &failure));
	}
	return r;
}

void store_close(struct cli *cli)
{
	store_tell_quota(cli);
	varve_close(cli->store);
	cli->store = NULL;
	free(cli->store_options);
	cli->store_options = NULL;
}
