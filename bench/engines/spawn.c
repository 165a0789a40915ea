/* SPDX-License-Identifier: Apache-2.0 */
/* Start a program and wait for it: for the engines that are commands. No shell is involved. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines.h"

extern char **environ;

int program_find(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH");

	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		size_t length = strcspn(path, ":");

		if (snprintf(ret, size, "%.*s/%s", (int)length, path, name) < (int)size && access(ret, X_OK) == 0)
			return 0;
		path += length + (path[length] == ':');
	}
	return -ENOENT;
}

int program_run(char *const *arguments)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status, r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	r = -posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EREMOTEIO;
}
