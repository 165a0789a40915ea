/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h: sockets that clients connect to: made here, or passed by systemd. */
#ifndef VARVE_SERVE_LISTENER_H
#define VARVE_SERVE_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "limits.h"
#include "loop.h"

/* A socket. Begins zeroed, with a descriptor of -1. */
struct listener {
	struct loop *loop;
	struct loop_source source;
	/* Ends the pause that follows when the process has no descriptor left. */
	struct loop_timer pause;
	/* Take the connection FD, which is then the taker's. */
	void (*accepted)(void *data, int fd);
	void *data;
	/* Where the socket is bound to a path here; else NULL. */
	char *path;
	/* The file at the path, so that another daemon's is not removed. */
	dev_t device;
	ino_t inode;
};

/* The sockets that systemd passed. */
struct listener_passed {
	/* The first descriptor; the others follow. */
	int first;
	unsigned count;
	/* The name of each, as "grpc" or "metrics"; "" where it has none. */
	const char *names[LISTENER_PASSED_MAX];
	/* The names. */
	char *text;
};

/*
 * Take the sockets of $LISTEN_FDS, which are the descriptors 3, 4, ..., if they are for this
 * process: 0 or -errno after a message.
 */
int listener_take_passed(struct listener_passed *ret_passed);

/*
 * Bind a socket to ADDRESS: a path, on which a socket that nobody listens on is replaced, the mode
 * of which is 0600; or with LOOPBACK also "127.0.0.1:PORT" or "[::1]:PORT". 0, or -errno after a
 * message.
 */
int listener_bind(struct listener *listener, const char *address, bool loopback);

/* Accept on LISTENER, whose descriptor is set, from LOOP: 0 or -errno. */
int listener_start(struct listener *listener, struct loop *loop,
		   void (*accepted)(void *data, int fd), void *data);

/* A descriptor is free again. */
void listener_resume(struct listener *listener);

/* Accept no more; remove the socket if it was made here. */
void listener_stop(struct listener *listener);

/* Is the client of FD root, or this process's user? Its process is *RET_PID then; else -EPERM. */
int listener_peer(int fd, pid_t *ret_pid);

#endif
