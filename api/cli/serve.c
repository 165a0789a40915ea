/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c: the command `serve`. The daemon is a program of its own, varve-serve, so that the
 * command needs none of its libraries: this finds and runs it, with the arguments as they stand.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/** Where varve-serve is, seen from the directory of the command: as built, and as installed. */
static const char *const serve_places[] = { "varve-serve", "../libexec/varve/varve-serve" };

/** What the build lacked for varve-serve, or "". */
static const char serve_missing[] = SERVE_MISSING;

/** Copy the directory of this program, with a "/" at the end, into DIRECTORY: 0 or -errno. */
static int serve_directory(char directory[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);

	if (length < 0)
		return -errno;
	directory[length] = '\0';
	*(strrchr(directory, '/') + 1) = '\0';
	return 0;
}

/** Return the arguments of varve-serve: the options given before "serve", then what followed it. */
static char **serve_arguments(const struct arguments *arguments)
{
	char **argv = output_memory(
		calloc(arguments->given_count + arguments->operands_count + 2, sizeof(*argv)));
	size_t count = 0;

	argv[count++] = (char *)(uintptr_t) "varve serve";
	for (size_t i = 0; i < arguments->given_count; i++) {
		const char *value = arguments->values[i];
		char *text;

		if (asprintf(&text, "--%s%s%s", arguments->given[i]->name, value ? "=" : "",
			     value ? value : "") < 0)
			output_memory(NULL);
		argv[count++] = text;
	}
	for (size_t i = 0; i < arguments->operands_count; i++)
		argv[count++] = arguments->operands[i];
	return argv;
}

/** Become varve-serve. Return an exit status where that fails. */
static int serve_run(struct cli *cli, const struct arguments *arguments)
{
	char directory[PATH_MAX], path[PATH_MAX + 64];
	char **argv = serve_arguments(arguments);
	int r = serve_directory(directory);

	for (size_t i = 0; !r && i < sizeof(serve_places) / sizeof(serve_places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, serve_places[i]);
		execv(path, argv);
		if (errno != ENOENT && errno != ENOTDIR)
			r = -errno;
	}
	if (r < 0)
		output_complain(&cli->output, "serve: varve-serve: %s", strerror(-r));
	else if (*serve_missing)
		output_complain(&cli->output, "serve: varve-serve was not built, for want of: %s",
				serve_missing);
	else
		output_complain(
			&cli->output,
			"serve: varve-serve is neither beside the command nor in %s../libexec/varve",
			directory);
	return CLI_FAILED;
}

const struct command serve_command = {
	.name = "serve",
	.operands = "[ARGUMENT]...",
	.summary = "serve the store to containerd, as a proxy snapshotter",
	.notes =
		"The daemon is a program of its own, varve-serve, which knows its options; it could not be run.\n",
	.storeless = true,
	.passes = true,
	.run = serve_run,
};
