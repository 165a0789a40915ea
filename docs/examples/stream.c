/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Send a layer through a socket and create another layer from it, in a loop around epoll(7) that never blocks: the example
 * of varve_stream_write(3).
 */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes read from the socket at once. */
#define PIECE_BYTES 65536

/* One end: the bytes that are still to be sent or written, and the result of its request. */
struct end {
	struct varve_store *store;
	varve_request request;
	int fd;
	char bytes[VARVE_STREAM_BYTES];
	size_t begin, end;
	bool over;
	int error;
};

/* Record the result of a request. */
static void ended(struct varve_store *store, const struct varve_result *result,
		  void *user_data)
{
	struct end *end = user_data;

	end->over = true;
	end->error = result->error;
}

/* example: begin */
/* Take a chunk: send what fits into the socket, keep the rest and pause. */
static int send_chunk(struct varve_store *store, varve_request request,
		      const void *bytes, size_t size, void *sink_data)
{
	struct end *out = sink_data;
	ssize_t sent = send(out->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return -errno;
	if (sent == (ssize_t)size)
		return 0;
	out->begin = 0;
	out->end = size - (size_t)(sent < 0 ? 0 : sent);
	memcpy(out->bytes, (const char *)bytes + size - out->end, out->end);
	return VARVE_PAUSE;
}

/* The socket has room again: send the rest, then let the sink be called again. */
static int send_rest(struct end *out)
{
	ssize_t sent = send(out->fd, out->bytes + out->begin,
			    out->end - out->begin, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	out->begin += (size_t)sent;
	if (out->begin == out->end && !out->over)
		return varve_stream_resume(out->store, out->request);
	return 0;
}

/* Move what the socket has to the request, until either has no more. */
static int receive(struct end *in)
{
	for (;;) {
		ssize_t length;
		size_t taken;
		int ret;

		while (in->begin < in->end) {
			ret = varve_stream_write(in->store, in->request,
						 in->bytes + in->begin,
						 in->end - in->begin, &taken);
			if (ret == -EAGAIN) /* have_room() continues */
				return 0;
			if (ret < 0)
				return ret;
			in->begin += taken;
		}
		length = recv(in->fd, in->bytes, PIECE_BYTES, MSG_DONTWAIT);
		if (length < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (length == 0)
			return varve_stream_end(in->store, in->request, 0);
		in->begin = 0;
		in->end = (size_t)length;
	}
}

/* There is room again. */
static void have_room(struct varve_store *store, varve_request request,
		      size_t size, void *room_data)
{
	struct end *in = room_data;
	int ret;

	in->request = request;
	ret = receive(in);
	/* The request fails with the error of the socket. */
	if (ret < 0 && ret != -EPIPE)
		varve_stream_end(store, request, ret);
}
/* example: end */

/* Submit both requests. */
static int begin(struct end *out, struct end *in)
{
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	int ret;

	diff.sink = send_chunk;
	diff.sink_data = out;
	apply.room = have_room;
	apply.room_data = in;
	create.apply = &apply;
	create.apply_fd = VARVE_STREAM;
	ret = varve_layer_create(in->store, "copy", &create, ended, in,
				 &in->request);
	if (ret < 0)
		return ret;
	return varve_layer_diff(out->store, "base", &diff, VARVE_STREAM, ended,
				out, &out->request);
}

/* Watch FD for EVENTS. */
static int watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Serve both ends until their requests have ended. */
static int loop(int epoll_fd, struct end *out, struct end *in)
{
	int ret = 0;

	/* Edge-triggered: each end is used until it would block. */
	if (watch(epoll_fd, varve_fd(out->store), EPOLLIN) < 0 ||
	    watch(epoll_fd, out->fd, EPOLLOUT | EPOLLET) < 0 ||
	    watch(epoll_fd, in->fd, EPOLLIN | EPOLLET) < 0)
		return -errno;
	while (ret >= 0 && (!out->over || !in->over)) {
		struct epoll_event event;

		if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == in->fd)
			ret = in->over ? 0 : receive(in);
		else if (event.data.fd == out->fd)
			ret = out->begin < out->end ? send_rest(out) : 0;
		else
			ret = varve_dispatch(out->store, 16);
		/* A second end would be refused. */
		if (ret == -EPIPE)
			ret = 0;
		if (out->over && out->begin == out->end)
			shutdown(out->fd, SHUT_WR);
	}
	return ret < 0 ? ret : out->error ? out->error : in->error;
}

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	static struct end out, in;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), fds[2];
	int ret = varve_layer_create_wait(store, "base", NULL, NULL);

	if (ret < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return 1;
	out.store = in.store = store;
	out.fd = fds[0];
	in.fd = fds[1];
	ret = begin(&out, &in);
	if (ret < 0)
		example_refused(store);
	ret = loop(epoll_fd, &out, &in);
	close(epoll_fd);
	varve_close(store);
	close(fds[0]);
	close(fds[1]);
	if (ret < 0)
		fprintf(stderr, "copy: %s\n", strerror(-ret));
	return ret ? 1 : 0;
}
