/* SPDX-License-Identifier: Apache-2.0 */
/* A client of gRPC: HTTP/2 by nghttp2; the few messages that it takes are written by hand. */
#include "grpc_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

/* Bytes before each message: whether it is compressed, and its length. */
#define FRAME_SIZE 5
/* The window of a stream and of the connection: answers are short, and never wait for it. */
#define WINDOW_SIZE (1 << 20)
/* The wire type of bytes and text. */
#define WIRE_BYTES 2
#define WIRE_VARINT 0
/* Bytes of the longest number. */
#define VARINT_MAX 10

struct grpc_client {
	int fd;                   /* The socket. */
	nghttp2_session *session; /* HTTP/2 on it. */
};

/* Write NUMBER to AT, seven bits a byte. Returns one past its end. */
static uint8_t *varint_put(uint8_t *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (uint8_t)(number | 0x80);
	*at++ = (uint8_t)number;
	return at;
}

/* Read a number at *AT of the SIZE bytes at MESSAGE. Returns false at the end. */
static bool varint_get(const uint8_t *message, size_t size, size_t *at, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *at < size && shift < 64; shift += 7) {
		uint8_t byte = message[(*at)++];

		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

void grpc_begin(struct grpc_client_call *call)
{
	call->request_size = FRAME_SIZE;
	call->request_sent = 0;
	call->answer_size = 0;
	call->status = -EINPROGRESS;
	call->text[0] = '\0';
}

int grpc_put(struct grpc_client_call *call, unsigned number, const char *text)
{
	size_t length = strlen(text);
	uint8_t *at = call->request + call->request_size;

	if (!length)
		return 0;
	if (length + 2 * VARINT_MAX > sizeof(call->request) - call->request_size)
		return -EMSGSIZE;
	at = varint_put(at, number << 3 | WIRE_BYTES);
	at = varint_put(at, length);
	memcpy(at, text, length);
	call->request_size = (size_t)(at - call->request) + length;
	return 0;
}

const uint8_t *grpc_get(const uint8_t *message, size_t size, unsigned number, size_t *at,
			size_t *ret_size)
{
	uint64_t key, value;

	while (varint_get(message, size, at, &key) && varint_get(message, size, at, &value)) {
		const uint8_t *content = message + *at;

		if ((key & 7) == WIRE_VARINT)
			continue;
		if ((key & 7) != WIRE_BYTES || value > size - *at)
			break;
		*at += value;
		if (key >> 3 == number) {
			*ret_size = value;
			return content;
		}
	}
	return NULL;
}

const uint8_t *grpc_answer(const struct grpc_client_call *call, size_t *ret_size)
{
	*ret_size = call->answer_size < FRAME_SIZE ? 0 : call->answer_size - FRAME_SIZE;
	return call->answer + FRAME_SIZE;
}

/* Hand the request to nghttp2. */
static ssize_t request_read(nghttp2_session *session, int32_t stream, uint8_t *buffer,
			    size_t length, uint32_t *flags, nghttp2_data_source *source,
			    void *user_data)
{
	struct grpc_client_call *call = source->ptr;
	size_t left = call->request_size - call->request_sent;

	if (left <= length) {
		length = left;
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	memcpy(buffer, call->request + call->request_sent, length);
	call->request_sent += length;
	return (ssize_t)length;
}

/* Write to the socket. */
static ssize_t session_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags,
			    void *user_data)
{
	struct grpc_client *client = user_data;
	ssize_t n = send(client->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
						 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Keep the status and the text of the headers and trailers of an answer. */
static int header_received(nghttp2_session *session, const nghttp2_frame *frame,
			   const uint8_t *name, size_t name_length, const uint8_t *value,
			   size_t length, uint8_t flags, void *user_data)
{
	struct grpc_client_call *call = nghttp2_session_get_stream_user_data(session,
									     frame->hd.stream_id);

	if (!call)
		return 0;
	if (!strcmp((const char *)name, "grpc-status"))
		call->status = atoi((const char *)value);
	else if (!strcmp((const char *)name, "grpc-message"))
		snprintf(call->text, sizeof(call->text), "%s", (const char *)value);
	return 0;
}

/* Keep a part of an answer. */
static int data_received(nghttp2_session *session, uint8_t flags, int32_t stream,
			 const uint8_t *data, size_t length, void *user_data)
{
	struct grpc_client_call *call = nghttp2_session_get_stream_user_data(session, stream);

	if (!call)
		return 0;
	if (length > sizeof(call->answer) - call->answer_size)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	memcpy(call->answer + call->answer_size, data, length);
	call->answer_size += length;
	return 0;
}

/* End the call of a stream. */
static int stream_closed(nghttp2_session *session, int32_t stream, uint32_t error, void *user_data)
{
	struct grpc_client_call *call = nghttp2_session_get_stream_user_data(session, stream);

	if (!call)
		return 0;
	if (call->status == -EINPROGRESS)
		call->status = -ECONNRESET;
	call->ended(call);
	return 0;
}

/* Begin HTTP/2 on the connection of CLIENT. */
static int session_begin(struct grpc_client *client)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	nghttp2_session_callbacks *callbacks;
	int r;

	if (nghttp2_session_callbacks_new(&callbacks) < 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_send_callback(callbacks, session_send);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, header_received);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_received);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
	r = nghttp2_session_client_new(&client->session, callbacks, client);
	nghttp2_session_callbacks_del(callbacks);
	if (r < 0 ||
	    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(settings[0])) < 0 ||
	    nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0,
						  WINDOW_SIZE) < 0)
		return -ENOMEM;
	return 0;
}

int grpc_client_open(const char *path, struct grpc_client **ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct grpc_client *client;
	int r = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 || connect(client->fd, (void *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r == 0)
		r = session_begin(client);
	if (r < 0)
		grpc_client_close(client);
	else
		*ret = client;
	return r;
}

int grpc_client_start(struct grpc_client *client, const char *path, struct grpc_client_call *call)
{
#define HEADER(name, value, length)                                                \
	{                                                                          \
		(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, (length), \
			NGHTTP2_NV_FLAG_NO_COPY_NAME                               \
	}
#define FIXED(name, value) HEADER(name, value, sizeof(value) - 1)
	const nghttp2_nv headers[] = {
		FIXED(":method", "POST"),
		FIXED(":scheme", "http"),
		HEADER(":path", path, strlen(path)),
		FIXED(":authority", "localhost"),
		FIXED("content-type", "application/grpc"),
		FIXED("te", "trailers"),
	};
	nghttp2_data_provider provider = { .source.ptr = call, .read_callback = request_read };
	size_t length = call->request_size - FRAME_SIZE;

	call->request[0] = 0;
	for (int i = 0; i < 4; i++)
		call->request[1 + i] = (uint8_t)(length >> (24 - 8 * i));
	if (nghttp2_submit_request(client->session, NULL, headers,
				   sizeof(headers) / sizeof(headers[0]), &provider, call) < 0)
		return -ENOMEM;
	return nghttp2_session_send(client->session) < 0 ? -ECONNRESET : 0;
#undef FIXED
#undef HEADER
}

int grpc_client_wait(struct grpc_client *client, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	uint8_t buffer[64 << 10];
	ssize_t n;

	if (nghttp2_session_want_write(client->session))
		poll_fd.events |= POLLOUT;
	if (poll(&poll_fd, 1, timeout_ms) < 0)
		return -errno;
	if (poll_fd.revents & ~POLLOUT) {
		n = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0 && nghttp2_session_mem_recv(client->session, buffer, (size_t)n) < 0)
			return -EPROTO;
	}
	return nghttp2_session_send(client->session) < 0 ? -ECONNRESET : 0;
}

void grpc_client_close(struct grpc_client *client)
{
	if (!client)
		return;
	nghttp2_session_del(client->session);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}
