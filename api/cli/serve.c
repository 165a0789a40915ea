/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c: the command `serve`. The daemon is a program of its own, varve-serve, so that the
 * command needs none of its libraries: this finds and runs it, with the arguments as they stand.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* Where varve-serve is, seen from the directory of the command: as built, and as installed. */
static const char *const serve_places[] = { "varve-serve", "../libexec/varve/varve-serve" };

/* Bytes for a path of it. */
#define SERVE_PATH_SIZE (PATH_MAX + 64)

/* What the build lacked for varve-serve, or "". */
static const char serve_missing[] = SERVE_MISSING;

/* Copy the directory of this program, with a "/" at the end, into DIRECTORY: 0 or -errno. */
static int serve_directory(char directory[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);

	if (length < 0)
		return -errno;
	directory[length] = '\0';
	*(strrchr(directory, '/') + 1) = '\0';
	return 0;
}

/* Return the arguments of varve-serve: the options given before "serve", then what followed it. */
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

/* Find varve-serve: its PATH. Return 0 or -errno; -ENOENT: it is in neither place. */
static int serve_find(char path[SERVE_PATH_SIZE])
{
	char directory[PATH_MAX];
	int r = serve_directory(directory);

	for (size_t i = 0; !r && i < sizeof(serve_places) / sizeof(serve_places[0]); i++) {
		snprintf(path, SERVE_PATH_SIZE, "%s%s", directory, serve_places[i]);
		if (!access(path, F_OK))
			return 0;
		if (errno != ENOENT && errno != ENOTDIR)
			r = -errno;
	}
	return r ? r : -ENOENT;
}

void serve_complain(struct cli *cli, const char *what, int error)
{
	if (error != -ENOENT)
		output_complain(&cli->output, "%s: varve-serve: %s", what, strerror(-error));
	else if (*serve_missing)
		output_complain(&cli->output, "%s: varve-serve was not built, for want of: %s",
				what, serve_missing);
	else
		output_complain(
			&cli->output,
			"%s: varve-serve is neither beside the command nor in ../libexec/varve from there",
			what);
}

int serve_start(const struct cli *cli, const char *word, pid_t *ret_pid, FILE **ret_output)
{
	char path[SERVE_PATH_SIZE];
	const char *argv[16] = { "varve serve", word };
	posix_spawn_file_actions_t actions;
	size_t count = 2;
	int fds[2], r = serve_find(path);

	if (r)
		return r;
	if (cli->home) {
		argv[count++] = "--home";
		argv[count++] = cli->home;
	}
	if (cli->debug) {
		argv[count++] = "--debug";
		argv[count++] = cli->debug;
	}
	if (cli->open_flags & VARVE_OPEN_NO_URING)
		argv[count++] = "--no-uring";
	if (cli->open_flags & VARVE_OPEN_SHARED_HOME)
		argv[count++] = "--allow-shared-home";
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	r = -posix_spawn(ret_pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (r)
		close(fds[0]);
	else
		*ret_output = output_memory(fdopen(fds[0], "r"));
	return r;
}

/* Become varve-serve. Return an exit status where that fails. */
static int serve_run(struct cli *cli, const struct arguments *arguments)
{
	char path[SERVE_PATH_SIZE];
	char **argv = serve_arguments(arguments);
	int r = serve_find(path);

	if (!r) {
		execv(path, argv);
		r = -errno;
	}
	serve_complain(cli, "serve", r);
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
