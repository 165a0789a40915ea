/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "engines.h"

/* Most words of a server's command. */
#define WORDS_MAX 32
/* Most bytes of a message that a server is ready. */
#define NOTIFY_SIZE 4096

/* Write WORD to RET (SIZE bytes), with the names in braces replaced. */
static int expand(const struct server *server, const char *word, char *ret, size_t size)
{
	char bin[PATH_MAX];
	char socket[PATH_MAX];
	const char *from = NULL, *to = NULL, *at;
	ssize_t n = readlink("/proc/self/exe", bin, sizeof(bin) - 1);

	bin[n < 0 ? 0 : n] = '\0';
	if (strrchr(bin, '/'))
		*strrchr(bin, '/') = '\0';
	snprintf(socket, sizeof(socket), "%s/socket", server->directory);
	if ((at = strstr(word, "{root}")))
		from = "{root}", to = server->root;
	else if ((at = strstr(word, "{socket}")))
		from = "{socket}", to = socket;
	else if ((at = strstr(word, "{bin}")))
		from = "{bin}", to = bin;
	if (snprintf(ret, size, "%.*s%s%s", at ? (int)(at - word) : (int)strlen(word), word,
		     at ? to : "", at ? at + strlen(from) : "") >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

/*
 * Wait until the server reports on the socket NOTIFY that it is ready, as a service does to
 * systemd. Returns -ENOPKG when the server has ended before; its last STATUS= is the reason.
 */
static int server_wait(struct server *server, int notify)
{
	struct pollfd fds[] = { { .fd = notify, .events = POLLIN },
				{ .fd = (int)syscall(SYS_pidfd_open, server->pid, 0),
				  .events = POLLIN } };
	char message[NOTIFY_SIZE], status[256] = "the server has ended before it was ready";
	int r = fds[1].fd < 0 ? -errno : -EINPROGRESS;

	while (r == -EINPROGRESS) {
		ssize_t n = 0;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			r = -errno;
		else if (fds[0].revents)
			n = recv(notify, message, sizeof(message) - 1, MSG_DONTWAIT);
		else if (fds[1].revents)
			r = -ENOPKG;
		message[n > 0 ? n : 0] = '\0';
		if (n > 0 && sscanf(message, "STATUS=%255[^\n]", status) == 1)
			continue;
		if (r == -EINPROGRESS && strstr(message, "READY=1"))
			r = 0;
	}
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	if (r == -ENOPKG) {
		snprintf(server->error, server->error_size, "%s", status);
		program_wait(server->pid);
		server->pid = 0;
	}
	return r;
}

/* Run WORDS as the server, and wait until it is ready. Returns 0 or -errno. */
static int server_spawn(struct server *server, char *const *words)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", server->directory);
	if (notify < 0)
		return -errno;
	if (bind(notify, (void *)&address, sizeof(address)) < 0)
		r = -errno;
	/* No other thread runs yet. */
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	/* Its output goes to standard error, not into a report. */
	if (r == 0)
		r = program_start(words, STDERR_FILENO, STDERR_FILENO);
	unsetenv("NOTIFY_SOCKET");
	if (r > 0) {
		server->pid = r;
		r = server_wait(server, notify);
	}
	close(notify);
	unlink(address.sun_path);
	return r;
}

int server_begin(struct server *server)
{
	strcpy(server->directory, "/tmp/varve-bench-XXXXXX");
	if (mkdtemp(server->directory))
		return 0;
	*server->directory = '\0';
	return -errno;
}

int server_start(struct server *server, const char *command)
{
	char *words[WORDS_MAX] = { NULL }, *text = strdup(command), *save = NULL;
	char word[PATH_MAX];
	size_t count = 0;
	int r = text ? 0 : -ENOMEM;

	if (snprintf(server->root, sizeof(server->root), "%s/snapshotter.%d.XXXXXX",
		     server->env->home, (int)getpid()) >= (int)sizeof(server->root))
		r = -ENAMETOOLONG;
	if (r == 0 && !mkdtemp(server->root))
		r = -errno;
	for (char *at = r == 0 ? strtok_r(text, " ", &save) : NULL; at && r == 0;
	     at = strtok_r(NULL, " ", &save)) {
		r = count == WORDS_MAX - 1 ? -E2BIG : expand(server, at, word, sizeof(word));
		words[count] = r == 0 ? strdup(word) : NULL;
		if (r == 0 && !words[count++])
			r = -ENOMEM;
	}
	if (r == 0 && count == 0)
		r = -EINVAL;
	if (r == 0 && access(words[0], X_OK) < 0) {
		snprintf(server->error, server->error_size, "%s: %s", words[0], strerror(errno));
		r = -ENOPKG;
	}
	if (r == 0)
		r = server_spawn(server, words);
	for (size_t i = 0; i < count; i++)
		free(words[i]);
	free(text);
	return r < 0 ? r : 0;
}

void server_end(struct server *server)
{
	char path[PATH_MAX];

	if (server->pid) {
		kill(server->pid, SIGTERM);
		program_wait(server->pid);
	}
	if (*server->directory) {
		snprintf(path, sizeof(path), "%s/socket", server->directory);
		unlink(path);
		rmdir(server->directory);
	}
}
