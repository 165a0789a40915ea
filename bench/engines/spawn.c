/* SPDX-License-Identifier: Apache-2.0 */
/* Start a program and wait for it: for the engines that are commands. No shell is involved. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

		if (snprintf(ret, size, "%.*s/%s", (int)length, path, name) < (int)size &&
		    access(ret, X_OK) == 0)
			return 0;
		path += length + (path[length] == ':');
	}
	return -ENOENT;
}

pid_t program_start(char *const *arguments, int out, int err)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	r = -posix_spawn(&pid, arguments[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r < 0 ? r : pid;
}

int program_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EREMOTEIO;
}

int program_run(char *const *arguments, char *why)
{
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	/* A file, not a pipe: a pipe would have to be emptied while the program runs. */
	int errors = memfd_create("errors", MFD_CLOEXEC),
	    r = null_fd < 0 || errors < 0 ? -errno : 0;
	ssize_t n = 0;

	if (r == 0)
		r = program_start(arguments, null_fd, errors);
	if (r > 0)
		r = program_wait(r);
	if (r < 0 && errors >= 0)
		n = pread(errors, why, PROGRAM_WHY_SIZE - 1, 0);
	why[n < 0 ? 0 : n] = '\0';
	why[strcspn(why, "\n")] = '\0';
	if (r < 0 && !*why)
		snprintf(why, PROGRAM_WHY_SIZE, "%s", strerror(-r));
	if (errors >= 0)
		close(errors);
	if (null_fd >= 0)
		close(null_fd);
	return r;
}

int program_line(char *const *arguments, char *ret, size_t size)
{
	int fds[2];
	FILE *file;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = program_start(arguments, fds[1], STDERR_FILENO);
	close(fds[1]);
	file = pid < 0 ? NULL : fdopen(fds[0], "r");
	*ret = '\0';
	if (file && fgets(ret, (int)size, file))
		ret[strcspn(ret, "\n")] = '\0';
	/* Read the rest, too: a program whose pipe is full does not end. */
	while (file && fgetc(file) != EOF)
		;
	if (file)
		fclose(file);
	else
		close(fds[0]);
	return pid < 0 ? (int)pid : program_wait(pid);
}
