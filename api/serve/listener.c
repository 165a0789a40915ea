/* SPDX-License-Identifier: Apache-2.0 */
/* listener.c: see listener.h. */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "complain.h"

/* The first descriptor that systemd passes. */
#define LISTENER_PASSED_FIRST 3
/* The highest port. */
#define LISTENER_PORT_MAX 65535

/* An address of either kind. */
union listener_address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* ---- passed ---------------------------------------------------------------------------------- */

/*
 * Read the number that systemd gives in the environment variable NAME: *RET_NUMBER, 0 where it is
 * not set. 0, or -EINVAL after a message.
 */
static int listener_number(const char *name, unsigned long *ret_number)
{
	const char *text = getenv(name);
	unsigned long number = 0;
	char *end;

	if (text) {
		errno = 0;
		number = strtoul(text, &end, 10);
		if (*text < '0' || *text > '9' || *end || errno || number > INT32_MAX) {
			complain(
				"%s=%s is no number; systemd sets it for its sockets, and for a daemon "
				"that makes its own it must not be set",
				name, text);
			return -EINVAL;
		}
	}
	*ret_number = number;
	return 0;
}

/* Is FD a socket that listens? Make it ready for the loop: 0 or -errno. */
static int listener_prepare(int fd)
{
	int listens = 0, flags;
	socklen_t size = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return -errno;
	if (!listens)
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int listener_take_passed(struct listener_passed *ret_passed)
{
	const char *names = getenv("LISTEN_FDNAMES");
	struct listener_passed passed = { .first = LISTENER_PASSED_FIRST };
	unsigned long pid, count;
	char *rest;
	int r;

	*ret_passed = passed;
	r = listener_number("LISTEN_PID", &pid);
	if (r < 0 || pid != (unsigned long)getpid())
		return r;
	r = listener_number("LISTEN_FDS", &count);
	if (r < 0 || !count)
		return r;
	if (count > LISTENER_PASSED_MAX) {
		complain("LISTEN_FDS passes %lu sockets; at most %u are taken", count,
			 LISTENER_PASSED_MAX);
		return -E2BIG;
	}
	passed.text = rest = strdup(names ? names : "");
	if (!rest) {
		complain("no memory");
		return -ENOMEM;
	}
	for (; passed.count < count; passed.count++) {
		int fd = LISTENER_PASSED_FIRST + (int)passed.count;

		r = listener_prepare(fd);
		if (r < 0) {
			complain("LISTEN_FDS: descriptor %d is no socket that listens: %s", fd,
				 strerror(-r));
			free(passed.text);
			return r;
		}
		passed.names[passed.count] = rest ? strsep(&rest, ":") : "";
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_passed = passed;
	return 0;
}

/* ---- bound ----------------------------------------------------------------------------------- */

/* Remove the socket of PATH, if none listens on it: 0, also where there is none, or -errno. */
static int listener_replace(const char *path, const union listener_address *address)
{
	struct stat status;
	int fd, r;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, &address->any, sizeof(address->un)) < 0 ? -errno : 0;
	close(fd);
	/* With a full backlog, too, there is a listener. */
	if (r != -ECONNREFUSED)
		return r && r != -EAGAIN ? r : -EADDRINUSE;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Make the directory of PATH, if it is missing. */
static void listener_make_directory(const char *path)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	strcpy(directory, path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return;
	*slash = '\0';
	/* Where that fails, bind() says why. */
	mkdir(directory, 0755);
}

/* Bind to PATH: 0 or -errno. */
static int listener_bind_path(struct listener *listener, const char *path)
{
	union listener_address address = { .un.sun_family = AF_UNIX };
	struct stat status;
	int fd = listener->source.fd, r;

	if (strlen(path) >= sizeof(address.un.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.un.sun_path, path);
	listener_make_directory(path);
	r = listener_replace(path, &address);
	if (r < 0)
		return r;
	/* The file has the mode of the socket: no other user can connect in between. */
	if (fchmod(fd, 0600) < 0 || bind(fd, &address.any, sizeof(address.un)) < 0)
		return -errno;
	listener->path = strdup(path);
	if (!listener->path || lstat(path, &status) < 0) {
		unlink(path);
		return -ENOMEM;
	}
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	return 0;
}

/* Parse "127.0.0.1:PORT" or "[::1]:PORT". Return its length, or -EINVAL. */
static int listener_parse(const char *text, union listener_address *ret_address)
{
	union listener_address address = { 0 };
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	unsigned long port;
	size_t length;
	char *end;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	length = (size_t)(colon - text);
	if (*end || port > LISTENER_PORT_MAX || length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (!strcmp(host, "[::1]")) {
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_addr = in6addr_loopback;
		address.in6.sin6_port = htons((uint16_t)port);
		*ret_address = address;
		return sizeof(address.in6);
	}
	if (inet_pton(AF_INET, host, &address.in.sin_addr) != 1 ||
	    ntohl(address.in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return -EINVAL;
	address.in.sin_family = AF_INET;
	address.in.sin_port = htons((uint16_t)port);
	*ret_address = address;
	return sizeof(address.in);
}

/* Bind to the ADDRESS of SIZE bytes: 0 or -errno. */
static int listener_bind_loopback(struct listener *listener, const union listener_address *address,
				  int size)
{
	const int on = 1;

	if (setsockopt(listener->source.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(listener->source.fd, &address->any, (socklen_t)size) < 0)
		return -errno;
	return 0;
}

int listener_bind(struct listener *listener, const char *address, bool loopback)
{
	union listener_address parsed = { 0 };
	int size = 0, r = 0;

	if (*address != '/')
		size = loopback ? listener_parse(address, &parsed) : -EINVAL;
	if (size < 0) {
		complain("%s: no path%s", address,
			 loopback ? ", and no 127.0.0.1:PORT or [::1]:PORT" : "");
		return size;
	}
	listener->source.fd = socket(size ? parsed.any.sa_family : AF_UNIX,
				     SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->source.fd < 0)
		r = -errno;
	else if (size)
		r = listener_bind_loopback(listener, &parsed, size);
	else
		r = listener_bind_path(listener, address);
	if (!r && listen(listener->source.fd, LISTENER_BACKLOG) < 0)
		r = -errno;
	if (r == -EADDRINUSE)
		complain("%s: another process listens there", address);
	else if (r == -EEXIST)
		complain("%s exists and is not a socket", address);
	else if (r < 0)
		complain("%s: the socket cannot be made: %s", address, strerror(-r));
	return r;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* The pause is over. */
static void listener_pause_due(void *data)
{
	listener_resume(data);
}

/* Accept no more until a descriptor is free: the event would come again at once. */
static void listener_wait(struct listener *listener)
{
	loop_change(listener->loop, &listener->source, 0);
	loop_timer_after(listener->loop, &listener->pause, LISTENER_PAUSE_MS);
}

/* Accept those that connect. */
static void listener_ready(void *data, uint32_t events)
{
	struct listener *listener = data;

	for (unsigned i = 0; i < LOOP_EVENTS_MAX; i++) {
		int fd = accept4(listener->source.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			listener->accepted(listener->data, fd);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN)
			listener_wait(listener);
		return;
	}
}

int listener_start(struct listener *listener, struct loop *loop,
		   void (*accepted)(void *data, int fd), void *data)
{
	int r;

	listener->source.ready = listener_ready;
	listener->source.data = listener;
	listener->pause.due = listener_pause_due;
	listener->pause.data = listener;
	listener->accepted = accepted;
	listener->data = data;
	/* So that the pause can be set whenever it must. */
	r = loop_timer_set(loop, &listener->pause, UINT64_MAX);
	if (!r)
		r = loop_add(loop, &listener->source, EPOLLIN);
	if (!r)
		listener->loop = loop;
	return r;
}

void listener_resume(struct listener *listener)
{
	if (!listener->loop || listener->pause.at_ns == UINT64_MAX)
		return;
	loop_timer_set(listener->loop, &listener->pause, UINT64_MAX);
	loop_change(listener->loop, &listener->source, EPOLLIN);
}

void listener_stop(struct listener *listener)
{
	struct stat status;

	if (listener->loop) {
		loop_remove(listener->loop, &listener->source);
		loop_timer_stop(listener->loop, &listener->pause);
		listener->loop = NULL;
	}
	if (listener->path && lstat(listener->path, &status) == 0 &&
	    status.st_dev == listener->device && status.st_ino == listener->inode)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
	if (listener->source.fd >= 0)
		close(listener->source.fd);
	listener->source.fd = -1;
}

int listener_peer(int fd, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != 0 && peer.uid != geteuid())
		return -EPERM;
	*ret_pid = peer.pid;
	return 0;
}
