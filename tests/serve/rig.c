/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c: see rig.h. */
#include "rig.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/serve/health.pb-c.h"
#include "test.h"
#include "wire.h"

#define RIG_READ_BYTES 65536
#define RIG_HEADERS_MAX 16

void rig_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

/* ---- the service ----------------------------------------------------------------------------- */

/* Echo. */
static void rig_echo(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	if (grpc_call_send(call, message) < 0)
		grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "no room");
	else
		grpc_call_end(call, GRPC_OK, NULL);
}

/* Take the call at INDEX out of those held. */
static void rig_drop(struct rig *rig, unsigned index)
{
	rig->held[index] = rig->held[--rig->held_count];
}

/* A held call is cancelled: it stays, as one whose work cannot be stopped at once. */
static void rig_cancelled(struct grpc_call *call, void *data)
{
	struct rig *rig = data;

	rig_require(grpc_call_cancelled(call));
	rig->cancels++;
}

/* Hold. */
static void rig_hold(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	struct rig *rig = service;

	rig_require(rig->held_count < RIG_CALLS_MAX);
	rig->held[rig->held_count++] = call;
	rig->held_total++;
	grpc_call_on_cancel(call, rig_cancelled, rig);
}

void rig_release(struct rig *rig)
{
	while (rig->held_count > 0) {
		struct grpc_call *call = rig->held[0];

		rig_drop(rig, 0);
		grpc_call_end(call, GRPC_OK, NULL);
	}
}

/* A call of Flood. */
struct rig_flood {
	struct rig *rig;
	size_t sent;
};

/* Send more of Flood, as long as there is room. */
static void rig_flood_room(struct grpc_call *call, void *data)
{
	static char bytes[RIG_FLOOD_BYTES];
	struct rig_flood *flood = data;
	struct rig *rig = flood->rig;
	Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

	memset(bytes, 'x', sizeof(bytes) - 1);
	message.service = bytes;
	if (flood->sent >= rig->flood_bytes || grpc_call_cancelled(call)) {
		rig->flooding--;
		grpc_call_end(call, GRPC_OK, NULL);
		return;
	}
	rig_require(grpc_call_send(call, &message.base) == 0);
	flood->sent += sizeof(bytes);
	if (rig->server->output_bytes > rig->flood_waiting_max)
		rig->flood_waiting_max = rig->server->output_bytes;
	grpc_call_on_room(call, rig_flood_room, flood);
}

/* Flood. */
static void rig_flood(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	struct rig_flood *flood = test_alloc(sizeof(*flood));

	flood->rig = service;
	flood->rig->flooding++;
	flood->rig->flood_total++;
	rig_flood_room(call, flood);
}

/* Pour. */
static void rig_pour(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	struct rig *rig = service;

	for (size_t sent = 0; sent < rig->flood_bytes; sent += RIG_FLOOD_BYTES) {
		if (grpc_call_send(call, message) < 0) {
			grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "no room");
			return;
		}
	}
	grpc_call_end(call, GRPC_OK, NULL);
}

static const struct grpc_method rig_methods[] = {
	{ "/test.Test/Echo", &grpc__health__v1__health_check_request__descriptor, rig_echo, false },
	{ "/test.Test/Hold", &grpc__health__v1__health_check_request__descriptor, rig_hold, false },
	{ "/test.Test/Work", &grpc__health__v1__health_check_request__descriptor, rig_hold, true },
	{ "/test.Test/Flood", &grpc__health__v1__health_check_request__descriptor, rig_flood,
	  false },
	{ "/test.Test/Pour", &grpc__health__v1__health_check_request__descriptor, rig_pour, false },
	{ 0 },
};

/* A call has ended. */
static void rig_recorded(void *data, const struct server_record *record)
{
	struct rig *rig = data;

	rig->ended[record->status]++;
	snprintf(rig->text, sizeof(rig->text), "%s", record->text);
}

/* ---- the server ------------------------------------------------------------------------------ */

struct rig *rig_create(const struct server_limits *limits)
{
	struct rig *rig = test_alloc(sizeof(*rig));

	rig_require(loop_create(&rig->loop) == 0);
	rig_require(grpc_server_create(rig->loop, limits, &rig->server) == 0);
	rig_require(health_create(rig->server, &rig->health) == 0);
	rig_require(grpc_server_add(rig->server, rig_methods, rig) == 0);
	rig->server->recorded = rig_recorded;
	rig->server->recorded_data = rig;
	return rig;
}

void rig_destroy(struct rig *rig)
{
	for (struct rig_client *client = rig->clients; client; client = client->next)
		rig_die(client);
	rig_run(rig);
	rig_release(rig);
	rig_run(rig);
	connection_cut_all(rig->server);
	rig_run(rig);
	rig_require(server_idle(rig->server));
	rig_require(rig->server->calls_count == 0);
	rig_require(rig->server->connections_count == 0);
	rig_require(rig->server->input_bytes == 0);
	rig_require(rig->server->output_bytes == 0);
	rig_require(rig->server->held_bytes == 0);
	grpc_server_destroy(rig->server);
	health_destroy(rig->health);
	loop_destroy(rig->loop);
}

int rig_connect_raw(struct rig *rig)
{
	int fds[2];

	rig_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	rig_require(connection_accept(rig->server, fds[1], getpid()) == 0);
	return fds[0];
}

/* ---- clients --------------------------------------------------------------------------------- */

/* The call of STREAM. */
static struct rig_call *rig_call_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

/* A header came. */
static int rig_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
			 size_t name_length, const uint8_t *value, size_t value_length,
			 uint8_t flags, void *data)
{
	struct rig_call *call = rig_call_of(session, frame->hd.stream_id);

	rig_require(call != NULL);
	if (!strcmp((const char *)name, ":status"))
		call->http = atoi((const char *)value);
	if (!strcmp((const char *)name, "grpc-status"))
		call->status = atoi((const char *)value);
	if (!strcmp((const char *)name, "grpc-message"))
		snprintf(call->text, sizeof(call->text), "%s", (const char *)value);
	return 0;
}

/* A frame came. */
static int rig_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct rig_client *client = data;
	struct rig_call *call;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		client->goaway = frame->goaway.error_code;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	call = rig_call_of(session, frame->hd.stream_id);
	call->headers++;
	if (call->headers == 1 && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call->trailers_only = true;
	return 0;
}

/* Bytes of an answer came. */
static int rig_on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
		       const uint8_t *bytes, size_t size, void *data)
{
	struct rig_call *call = rig_call_of(session, stream);

	if (call->body_size + size > call->body_room) {
		uint8_t *body = test_alloc(2 * (call->body_size + size));

		if (call->body_size)
			memcpy(body, call->body, call->body_size);
		call->body = body;
		call->body_room = 2 * (call->body_size + size);
	}
	memcpy(call->body + call->body_size, bytes, size);
	call->body_size += size;
	return 0;
}

/* A stream is closed. */
static int rig_on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *data)
{
	struct rig_call *call = rig_call_of(session, stream);

	call->closed = true;
	call->error = error;
	return 0;
}

/* Give more of a request. */
static ssize_t rig_read(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
			uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct rig_call *call = source->ptr;
	size_t part = call->request_size - call->request_at;

	if (part > size)
		part = size;
	if (!part && call->open)
		return NGHTTP2_ERR_DEFERRED;
	if (part)
		memcpy(out, call->request + call->request_at, part);
	call->request_at += part;
	if (call->request_at == call->request_size && !call->open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)part;
}

struct rig_client *rig_connect(struct rig *rig)
{
	const nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
	struct rig_client *client = test_alloc(sizeof(*client));
	nghttp2_session_callbacks *callbacks;

	client->rig = rig;
	client->goaway = -1;
	client->fd = rig_connect_raw(rig);
	rig_require(nghttp2_session_callbacks_new(&callbacks) == 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, rig_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, rig_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, rig_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, rig_on_close);
	rig_require(nghttp2_session_client_new(&client->session, callbacks, client) == 0);
	nghttp2_session_callbacks_del(callbacks);
	rig_require(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, &settings, 1) == 0);
	client->next = rig->clients;
	rig->clients = client;
	return client;
}

void rig_die(struct rig_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	nghttp2_session_del(client->session);
	client->session = NULL;
}

uint8_t *rig_message(const char *name, size_t *ret_size)
{
	Grpc__Health__V1__HealthCheckRequest message = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	size_t size;
	uint8_t *bytes;

	message.service = (char *)(uintptr_t)name;
	size = protobuf_c_message_get_packed_size(&message.base);
	bytes = test_alloc(WIRE_PREFIX_BYTES + size);
	wire_prefix(bytes, (uint32_t)size);
	protobuf_c_message_pack(&message.base, bytes + WIRE_PREFIX_BYTES);
	*ret_size = WIRE_PREFIX_BYTES + size;
	return bytes;
}

struct rig_call *rig_call_raw(struct rig_client *client, const char *path, const void *body,
			      size_t size, const struct rig_header *headers)
{
	struct rig_header all[RIG_HEADERS_MAX] = {
		{ ":method", "POST" },
		{ ":scheme", "http" },
		{ ":path", path },
		{ ":authority", "localhost" },
		{ "content-type", "application/grpc" },
		{ "te", "trailers" },
	};
	struct rig_call *call = test_alloc(sizeof(*call));
	nghttp2_data_provider provider = { .source.ptr = call, .read_callback = rig_read };
	nghttp2_nv nv[RIG_HEADERS_MAX];
	size_t count = 6, used = 0;

	for (; headers && headers->name; headers++) {
		size_t at = 0;

		while (at < count && strcmp(all[at].name, headers->name) != 0)
			at++;
		all[at] = *headers;
		if (at == count)
			count++;
	}
	for (size_t i = 0; i < count; i++) {
		if (all[i].value)
			nv[used++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)all[i].name,
						   (uint8_t *)(uintptr_t)all[i].value,
						   strlen(all[i].name), strlen(all[i].value),
						   NGHTTP2_NV_FLAG_NONE };
	}
	call->http = call->status = -1;
	call->request = body;
	call->request_size = size;
	/* What is not to end is said after this, before anything is sent. */
	call->stream = nghttp2_submit_request(client->session, NULL, nv, used, &provider, call);
	rig_require(call->stream > 0);
	rig_require(client->calls_count < RIG_CALLS_MAX);
	client->calls[client->calls_count++] = call;
	return call;
}

struct rig_call *rig_call(struct rig_client *client, const char *method, const char *name)
{
	char path[64];
	size_t size;
	uint8_t *bytes = rig_message(name, &size);

	snprintf(path, sizeof(path), "/test.Test/%s", method);
	return rig_call_raw(client, path, bytes, size, NULL);
}

void rig_reset(struct rig_client *client, struct rig_call *call)
{
	rig_require(nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, call->stream,
					      NGHTTP2_CANCEL) == 0);
}

/* Let CLIENT read and write. Return whether anything happened. */
static bool rig_client_run(struct rig_client *client)
{
	static uint8_t bytes[RIG_READ_BYTES];
	bool happened = false;
	const uint8_t *out;
	ssize_t size;

	if (client->fd < 0 || client->gone)
		return false;
	while ((size = nghttp2_session_mem_send(client->session, &out)) > 0) {
		ssize_t sent = 0;

		happened = true;
		/* The rest of a frame must follow: the server reads meanwhile. */
		while (sent < size) {
			ssize_t part = send(client->fd, out + sent, (size_t)(size - sent),
					    MSG_NOSIGNAL);

			if (part > 0) {
				sent += part;
			} else if (errno == EAGAIN) {
				loop_turn(client->rig->loop, 0);
			} else {
				client->gone = true;
				return true;
			}
		}
	}
	rig_require(size == 0);
	if (client->deaf)
		return happened;
	while ((size = recv(client->fd, bytes, sizeof(bytes), 0)) > 0) {
		happened = true;
		client->bytes += (uint64_t)size;
		rig_require(nghttp2_session_mem_recv(client->session, bytes, (size_t)size) == size);
	}
	if (size == 0 || errno != EAGAIN)
		client->gone = happened = true;
	return happened;
}

/* Let everything run once; wait for WAIT_MS where there is nothing. Return whether there was. */
static bool rig_step(struct rig *rig, int wait_ms)
{
	int count = loop_turn(rig->loop, wait_ms);
	bool happened;

	rig_require(count >= 0);
	happened = count > 0;
	for (struct rig_client *client = rig->clients; client; client = client->next)
		happened |= rig_client_run(client);
	return happened;
}

void rig_run(struct rig *rig)
{
	while (rig_step(rig, 0))
		;
}

void rig_wait_for(struct rig *rig, const bool *flag)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;

	rig_run(rig);
	while (!*flag) {
		rig_step(rig, 10);
		ck_assert_msg(test_now_ms() < end_ms, "nothing happens");
	}
}

void rig_wait(struct rig *rig, struct rig_call *call)
{
	rig_wait_for(rig, &call->closed);
}

void rig_expect(const struct rig_call *call, enum grpc_status status, const char *text)
{
	rig_require(call->closed);
	ck_assert_msg(call->status == (int)status, "status %d (%s), error %u, instead of %d",
		      call->status, call->text, call->error, (int)status);
	ck_assert_msg(strstr(call->text, text) != NULL, "'%s' has no '%s'", call->text, text);
}
