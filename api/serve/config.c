/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: the lines of configuration that make other programs use the daemon. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "complain.h"
#include "options.h"

/* Bytes of what `containerd --version` writes. */
#define CONFIG_VERSION_SIZE 256
/* The first containerd with a configuration of version 3. */
#define CONFIG_MAJOR_NEW 2

extern char **environ;

/* Start `containerd --version`, which writes to the pipe FDS. Returns its id or -errno. */
static pid_t version_start(const int fds[2])
{
	char *const words[] = { (char *)"containerd", (char *)"--version", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	r = -posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r < 0 ? r : pid;
}

/* Write the version of the containerd that is installed to RET: 0 or -errno. */
static int version_find(char ret[static CONFIG_VERSION_SIZE])
{
	char text[CONFIG_VERSION_SIZE];
	ssize_t n = -1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = version_start(fds);
	close(fds[1]);
	/* One line, written at once. */
	if (pid > 0)
		n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	if (pid < 0)
		return (int)pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return -EIO;
	text[n] = '\0';
	/* "containerd github.com/containerd/containerd 1.6.20 2806fc1..." */
	return sscanf(text, "%*s %*s %255s", ret) == 1 ? 0 : -EIO;
}

/* Write TEXT as a string of TOML. */
static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ')
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

/* Write the line "KEY = TEXT". */
static void print_line(const char *key, const char *text)
{
	printf("%s = ", key);
	print_string(text);
	putchar('\n');
}

/* Return what containerd calls this machine's architecture. */
static const char *platform(void)
{
	static const char *const names[][2] = {
		{ "x86_64", "linux/amd64" },    { "aarch64", "linux/arm64" },
		{ "riscv64", "linux/riscv64" }, { "ppc64le", "linux/ppc64le" },
		{ "s390x", "linux/s390x" },
	};
	struct utsname machine;

	if (uname(&machine) == 0)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(machine.machine, names[i][0]) == 0)
				return names[i][1];
	return "linux";
}

/* Write the lines for containerd 1.x. */
static void print_old(const char *socket)
{
	printf("version = 2\n\n[proxy_plugins.varve]\n");
	print_line("  type", "snapshot");
	print_line("  address", socket);
	printf("\n# Kubernetes: pods and their images, too.\n"
	       "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n");
	print_line("  snapshotter", "varve");
}

/* Write what lets images be unpacked for SNAPSHOTTER. One such table takes the default one away. */
static void print_unpack(const char *snapshotter)
{
	printf("[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\n");
	print_line("  platform", platform());
	print_line("  snapshotter", snapshotter);
	print_line("  differ", "walking");
}

/* Write the lines for containerd 2.x. */
static void print_new(const char *home, const char *socket)
{
	printf("version = 3\n\n[proxy_plugins.varve]\n");
	print_line("  type", "snapshot");
	print_line("  address", socket);
	print_line("  platform", platform());
	printf("  capabilities = [\"remap-ids\"]\n  [proxy_plugins.varve.exports]\n");
	print_line("    root", home);
	printf("\n# Images that are pulled and imported are unpacked for varve, too, and for "
	       "overlayfs as without these lines.\n");
	print_unpack("overlayfs");
	print_unpack("varve");
	printf("\n# Kubernetes: pods and their images, too.\n"
	       "[plugins.\"io.containerd.cri.v1.images\"]\n");
	print_line("  snapshotter", "varve");
}

int config_print(const char *client, const char *version, const char *home, const char *socket)
{
	char found[CONFIG_VERSION_SIZE];
	char *end;
	long major;

	if (strcmp(client, "containerd") != 0) {
		complain("--print-config=%s: only containerd is known", client);
		return OPTIONS_USAGE;
	}
	if (!version && version_find(found) < 0) {
		complain("containerd --version does not run: say which version it is, as in "
			 "--containerd-version=1.6");
		return EXIT_FAILURE;
	}
	version = version ? version : found;
	major = strtol(version + (*version == 'v'), &end, 10);
	if (*end != '.' || major < 1) {
		complain("%s is not a version of containerd", version);
		return OPTIONS_USAGE;
	}
	printf("# For /etc/containerd/config.toml of containerd %s.\n", version);
	if (major < CONFIG_MAJOR_NEW)
		print_old(socket);
	else
		print_new(home, socket);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("standard output: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
