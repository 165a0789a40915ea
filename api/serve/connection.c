/* SPDX-License-Identifier: Apache-2.0 */
/* connection.c: see connection.h. Frames are made and read by nghttp2, on memory. */
#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call.h"
#include "limits.h"

/* Bytes of a stream, and of a connection, that a client may send ahead. */
#define CONNECTION_STREAM_WINDOW (256 << 10)
#define CONNECTION_WINDOW (4 << 20)

/* ---- the end --------------------------------------------------------------------------------- */

/*
 * Cancel the calls of CONNECTION. A service may answer another one meanwhile: the session takes
 * that, and drops it.
 */
static void connection_end_calls(struct connection *connection)
{
	while (!link_alone(&connection->calls))
		call_closed(link_entry(connection->calls.next, struct grpc_call, link));
}

/* End CONNECTION at once; cancel its calls. */
static void connection_destroy(struct connection *connection)
{
	struct grpc_server *server = connection->server;

	loop_remove(server->loop, &connection->source);
	close(connection->source.fd);
	connection_end_calls(connection);
	nghttp2_session_del(connection->session);
	loop_task_stop(&connection->writing);
	loop_timer_stop(server->loop, &connection->stall);
	link_remove(&connection->link);
	connection->share->connected = false;
	server_share_release(connection->share);
	server->connections_count--;
	free(connection->pending);
	free(connection);
	if (server->ended)
		server->ended(server->ended_data);
}

/* The client has taken nothing, or not begun to talk, for too long. */
static void connection_stalled(void *data)
{
	connection_destroy(data);
}

/*
 * The session is over because the server drains, and all is sent; the client may not have read it.
 * If the socket were closed now, what the client sends meanwhile would fail, and with it calls
 * whose answers are there. So only the sending side ends: wait until the client closes, but not
 * long.
 */
static void connection_linger(struct connection *connection)
{
	struct loop *loop = connection->server->loop;

	connection->lingering = true;
	connection_end_calls(connection);
	if (shutdown(connection->source.fd, SHUT_WR) < 0 ||
	    loop_timer_after(loop, &connection->stall, CONNECTION_LINGER_MS) < 0)
		connection_destroy(connection);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Wait until the client takes more, or (not BLOCKED) for what it sends. */
static void connection_block(struct connection *connection, bool blocked)
{
	loop_change(connection->server->loop, &connection->source, blocked ? EPOLLOUT : EPOLLIN);
	loop_timer_stop(connection->server->loop, &connection->stall);
}

/* The client has taken a part at most: watch that it goes on. Return 0 or -ENOMEM. */
static int connection_watch(struct connection *connection)
{
	return loop_timer_after(connection->server->loop, &connection->stall,
				connection->server->limits.stall_ms);
}

/* Send SIZE bytes. Return how many the socket took, or -errno when the client has gone. */
static ssize_t connection_send(struct connection *connection, const uint8_t *bytes, size_t size)
{
	ssize_t sent = send(connection->source.fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Send what is pending. Return 0 when all is sent, 1 when some is left, or -errno. */
static int connection_send_pending(struct connection *connection)
{
	size_t left = connection->pending_size - connection->pending_at;
	ssize_t sent;

	if (!connection->pending)
		return 0;
	sent = connection_send(connection, connection->pending + connection->pending_at, left);
	if (sent < 0)
		return (int)sent;
	connection->pending_at += (size_t)sent;
	if ((size_t)sent < left)
		return sent > 0 && connection_watch(connection) < 0 ? -ENOMEM : 1;
	free(connection->pending);
	connection->pending = NULL;
	connection_block(connection, false);
	return 0;
}

/* Put the frames to be sent into the server's buffer. Return how many bytes, or -EPROTO. */
static ssize_t connection_gather(struct connection *connection)
{
	uint8_t *output = connection->server->output;
	size_t size = 0;

	while (size < CONNECTION_WRITE_BYTES) {
		const uint8_t *frames;
		ssize_t length = nghttp2_session_mem_send(connection->session, &frames);

		if (length == 0)
			break;
		if (length < 0 || (size_t)length > sizeof(connection->server->output) - size)
			return -EPROTO;
		memcpy(output + size, frames, (size_t)length);
		size += (size_t)length;
	}
	return (ssize_t)size;
}

/* Send what there is, or as much as the client takes: 0 or -errno when it has to end. */
static int connection_flush(struct connection *connection)
{
	const uint8_t *output = connection->server->output;
	ssize_t size, sent;
	int r;

	while ((r = connection_send_pending(connection)) == 0) {
		size = connection_gather(connection);
		if (size <= 0)
			return (int)size;
		sent = connection_send(connection, output, (size_t)size);
		if (sent < 0)
			return (int)sent;
		if (sent == size)
			continue;
		connection->pending_size = (size_t)(size - sent);
		connection->pending_at = 0;
		connection->pending = malloc(connection->pending_size);
		if (!connection->pending)
			return -ENOMEM;
		memcpy(connection->pending, output + sent, connection->pending_size);
		connection_block(connection, true);
		return connection_watch(connection);
	}
	return r < 0 ? r : 0;
}

/* The task `writing`: send, and end the connection where it is over. */
static void connection_write(void *data)
{
	struct connection *connection = data;
	nghttp2_session *session = connection->session;
	int r;

	if (connection->lingering)
		return;
	r = connection_flush(connection);
	if (!r && !connection->broken && connection->server->draining && !connection->leaving &&
	    link_alone(&connection->calls)) {
		connection->leaving = true;
		r = nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR);
		if (!r)
			r = connection_flush(connection);
	}
	if (!r && !connection->broken &&
	    (connection->pending || nghttp2_session_want_read(session) ||
	     nghttp2_session_want_write(session)))
		return;
	if (!r && !connection->broken && connection->leaving)
		connection_linger(connection);
	else
		connection_destroy(connection);
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* The call of the stream that FRAME belongs to, or NULL. */
static struct grpc_call *connection_call(nghttp2_session *session, const nghttp2_frame *frame)
{
	return nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
}

/* A stream of a request begins: make its call. */
static int connection_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
				       void *user_data)
{
	struct grpc_call *call;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	call = call_create(user_data, frame->hd.stream_id);
	if (call)
		return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
	return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					 NGHTTP2_REFUSED_STREAM);
}

/* Pass a header to its call. */
static int connection_on_header(nghttp2_session *session, const nghttp2_frame *frame,
				const uint8_t *name, size_t name_length, const uint8_t *value,
				size_t value_length, uint8_t flags, void *user_data)
{
	struct grpc_call *call = connection_call(session, frame);

	if (call)
		call_header(call, name, name_length, value, value_length);
	return 0;
}

/* Pass bytes of a body to its call. */
static int connection_on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
			      const uint8_t *bytes, size_t size, void *user_data)
{
	struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);

	if (call)
		call_data(call, bytes, size);
	return 0;
}

/* A whole frame came: end the headers, or the request, that end with it. */
static int connection_on_frame(nghttp2_session *session, const nghttp2_frame *frame,
			       void *user_data)
{
	struct connection *connection = user_data;
	struct grpc_call *call;

	/* From now on the client may be idle for ever. */
	if (!connection->greeted && !connection->pending)
		loop_timer_stop(connection->server->loop, &connection->stall);
	connection->greeted = true;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	call = connection_call(session, frame);
	if (call && frame->hd.type == NGHTTP2_HEADERS)
		call_headers_end(call);
	if (call && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call_received(call);
	return 0;
}

/* A frame was sent. Where it ends an answer whose request has not ended, stop the client. */
static int connection_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct grpc_call *call;

	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	call = connection_call(session, frame);
	if (!call || call->received)
		return 0;
	return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					 NGHTTP2_NO_ERROR);
}

/* Count a stream that ended; RESET: before it had an answer. Is the budget exceeded? */
static bool connection_count_reset(struct connection *connection, bool reset)
{
	const struct server_limits *limits = &connection->server->limits;
	uint64_t now_ns, back;

	if (!reset) {
		if (connection->resets_left < limits->resets_max)
			connection->resets_left++;
		return false;
	}
	if (connection->resets_left-- > 0)
		return false;
	now_ns = loop_now();
	back = (now_ns - connection->resets_ns) / NS_PER_S * limits->resets_per_second;
	connection->resets_ns = now_ns;
	connection->resets_left = back < limits->resets_max ? back : limits->resets_max;
	return connection->resets_left == 0;
}

/* A stream is closed: so is its call. Too many resets end the connection. */
static int connection_on_close(nghttp2_session *session, int32_t stream, uint32_t error,
			       void *user_data)
{
	struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
	struct connection *connection = user_data;
	bool reset;

	if (!call)
		return 0;
	reset = !call->decided;
	nghttp2_session_set_stream_user_data(session, stream, NULL);
	call_closed(call);
	if (!connection_count_reset(connection, reset))
		return 0;
	connection->broken = true;
	nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* The socket is ready. */
static void connection_ready(void *data, uint32_t events)
{
	struct connection *connection = data;
	uint8_t *input = connection->server->input;
	ssize_t size;

	/* What is sent first makes room for what is read. */
	if (connection->pending) {
		if (events & (EPOLLHUP | EPOLLERR))
			connection_destroy(connection);
		else
			loop_defer(connection->server->loop, &connection->writing);
		return;
	}
	size = recv(connection->source.fd, input, CONNECTION_READ_BYTES, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		connection_destroy(connection);
		return;
	}
	if (connection->lingering)
		return;
	if (nghttp2_session_mem_recv(connection->session, input, (size_t)size) < 0)
		connection->broken = true;
	loop_defer(connection->server->loop, &connection->writing);
}

/* Make the session of CONNECTION: 0 or -ENOMEM. */
static int connection_start_session(struct connection *connection)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	int r;

	if (nghttp2_session_callbacks_new(&callbacks) < 0)
		return -ENOMEM;
	if (nghttp2_option_new(&option) < 0) {
		nghttp2_session_callbacks_del(callbacks);
		return -ENOMEM;
	}
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
								connection_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, connection_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, connection_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, connection_on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, connection_on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, connection_on_close);
	nghttp2_option_set_max_outbound_ack(option, CONNECTION_ACKS_MAX);
	nghttp2_option_set_max_settings(option, CONNECTION_SETTINGS_MAX);
	nghttp2_option_set_max_continuations(option, CONNECTION_CONTINUATIONS_MAX);
	/* connection_count_reset() counts: nghttp2 would not know which streams had answers. */
	nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
	/* The headers are checked in call.c. */
	nghttp2_option_set_no_http_messaging(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	r = nghttp2_session_server_new2(&connection->session, callbacks, connection, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return r < 0 ? -ENOMEM : 0;
}

/* Tell the client of the limits: 0 or -ENOMEM. */
static int connection_submit_settings(struct connection *connection)
{
	const nghttp2_settings_entry settings[] = {
		/* As server_allows() lets one connection have alone. */
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		  connection->server->limits.streams_max / 2 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CONNECTION_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADERS_BYTES_MAX },
	};
	nghttp2_session *session = connection->session;

	if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(settings[0])) < 0 ||
	    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
						  CONNECTION_WINDOW) < 0)
		return -ENOMEM;
	return 0;
}

/* Make a connection of FD, which is then its own, to process PID: 0 or -errno. */
static int connection_create(struct grpc_server *server, int fd, pid_t pid)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int r = -ENOMEM;

	if (!connection)
		goto fail;
	connection->share = server_share_create(call_begin_waiting);
	if (!connection->share)
		goto fail;
	connection->server = server;
	connection->pid = pid;
	connection->source = (struct loop_source){ fd, connection_ready, connection };
	connection->stall.due = connection_stalled;
	connection->stall.data = connection;
	connection->resets_left = server->limits.resets_max;
	connection->resets_ns = loop_now();
	loop_task_init(&connection->writing, connection_write, connection);
	link_init(&connection->link);
	link_init(&connection->calls);
	r = connection_start_session(connection);
	if (!r)
		r = connection_submit_settings(connection);
	/* A client that says nothing would keep others out. */
	if (!r)
		r = connection_watch(connection);
	if (!r)
		r = loop_add(server->loop, &connection->source, EPOLLIN);
	if (r < 0)
		goto fail;
	link_append(&server->connections, &connection->link);
	server->connections_count++;
	loop_defer(connection->server->loop, &connection->writing);
	return 0;
fail:
	if (connection) {
		loop_timer_stop(server->loop, &connection->stall);
		nghttp2_session_del(connection->session);
		free(connection->share);
	}
	free(connection);
	close(fd);
	return r;
}

/* ---- all ------------------------------------------------------------------------------------- */

int connection_accept(struct grpc_server *server, int fd, pid_t pid)
{
	if (server->draining || server->connections_count >= server->limits.connections_max) {
		close(fd);
		return -EAGAIN;
	}
	return connection_create(server, fd, pid);
}

void connection_drain_all(struct grpc_server *server)
{
	server->draining = true;
	for (struct link *link = server->connections.next; link != &server->connections;
	     link = link->next) {
		struct connection *connection = link_entry(link, struct connection, link);

		if (nghttp2_submit_shutdown_notice(connection->session) < 0)
			connection->broken = true;
		loop_defer(server->loop, &connection->writing);
	}
}

void connection_cut_all(struct grpc_server *server)
{
	while (!link_alone(&server->connections))
		connection_destroy(link_entry(server->connections.next, struct connection, link));
}
