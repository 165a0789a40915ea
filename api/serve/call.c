/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: see call.h; and what services call, of grpc.h. */
#include "call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for the first bytes of a message. */
#define CALL_INPUT_BYTES 4096

/* ---- the end --------------------------------------------------------------------------------- */

/* Drop the messages of CALL that wait to be sent. */
static void call_drop_output(struct grpc_call *call)
{
	struct call_piece *next;

	for (struct call_piece *piece = call->output; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	call->output = NULL;
	call->output_end = &call->output;
	call->output_at = 0;
	call->server->output_bytes -= call->output_bytes;
	call->share->output_bytes -= call->output_bytes;
	call->output_bytes = 0;
}

/* Drop the bytes of the message of CALL. */
static void call_drop_input(struct grpc_call *call)
{
	call->server->input_bytes -= call->input_room;
	call->share->input_bytes -= call->input_room;
	call->input_room = 0;
	free(call->input);
	call->input = NULL;
}

/* Drop the message of CALL as fields. */
static void call_drop_message(struct grpc_call *call)
{
	protobuf_c_message_free_unpacked(call->message, &call->allocator);
	call->message = NULL;
	call->server->held_bytes -= call->unpacked_bytes;
	call->share->held_bytes -= call->unpacked_bytes;
	call->unpacked_bytes = 0;
}

/* Free CALL once its stream is closed and no service has it. */
static void call_release(struct grpc_call *call)
{
	struct grpc_server *server = call->server;

	if (call->owned || call->connection)
		return;
	loop_timer_stop(server->loop, &call->deadline);
	loop_timer_stop(server->loop, &call->stall);
	loop_task_stop(&call->task);
	call_drop_output(call);
	call_drop_input(call);
	call_drop_message(call);
	server->calls_count--;
	call->share->calls--;
	server_share_release(call->share);
	free(call->path);
	free(call->text);
	free(call);
}

/* Report CALL, which no service has and whose status is decided. */
static void call_report(const struct grpc_call *call)
{
	const struct grpc_server *server = call->server;
	const struct server_record record = {
		.number = call->number,
		.method = call->method,
		.method_number = call->method ? call->method_number : GRPC_METHODS_MAX,
		.path = call->method ? call->method->path
			: call->path ? call->path
				     : "",
		.message = call->message,
		.status = call->status,
		.text = call->text ? call->text : "",
		.duration_ns = loop_now() - call->began_ns,
		.pid = call->pid,
	};

	if (server->recorded)
		server->recorded(server->recorded_data, &record);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* A header as nghttp2 takes it, which copies the strings. */
static nghttp2_nv call_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
			     NGHTTP2_NV_FLAG_NONE };
}

/* Where R, of a call of nghttp2 for CALL, is an error, end the connection, and CALL with it. */
static void call_broken(struct grpc_call *call, int r)
{
	if (r >= 0)
		return;
	call->connection->broken = true;
	loop_defer(call->server->loop, &call->connection->writing);
}

/* Write the status of CALL as headers, of which there are *COUNT, using TEXT and NUMBER. */
static void call_status_headers(const struct grpc_call *call, nghttp2_nv *headers, size_t *count,
				char text[GRPC_STATUS_BYTES_MAX], char number[16])
{
	snprintf(number, 16, "%d", (int)call->status);
	headers[(*count)++] = call_nv("grpc-status", number);
	if (!call->text)
		return;
	wire_percent(call->text, text, GRPC_STATUS_BYTES_MAX);
	headers[(*count)++] = call_nv("grpc-message", text);
}

/* Give nghttp2 the next bytes of the answer; behind the last message the trailers. */
static ssize_t call_read(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
			 uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct grpc_call *call = source->ptr;
	char text[GRPC_STATUS_BYTES_MAX], number[16];
	nghttp2_nv headers[2];
	size_t length = 0, count = 0;

	while (call->output && length < size) {
		struct call_piece *piece = call->output;
		size_t part = piece->size - call->output_at;

		if (part > size - length)
			part = size - length;
		memcpy(out + length, piece->bytes + call->output_at, part);
		length += part;
		call->output_at += part;
		call->output_bytes -= part;
		call->server->output_bytes -= part;
		call->share->output_bytes -= part;
		if (call->output_at < piece->size)
			break;
		call->output = piece->next;
		call->output_at = 0;
		if (!call->output)
			call->output_end = &call->output;
		free(piece);
	}
	call->progress_ns = loop_now();
	if (call->on_room && call->output_bytes < GRPC_BUFFER_BYTES)
		loop_defer(call->server->loop, &call->task);
	if (call->output)
		return (ssize_t)length;
	if (!call->decided)
		return length ? (ssize_t)length : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	call_status_headers(call, headers, &count, text, number);
	if (nghttp2_submit_trailer(session, stream, headers, count) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return (ssize_t)length;
}

/* Begin the answer of CALL: with WHOLE its status alone, else messages follow. */
static void call_answer(struct grpc_call *call, bool whole)
{
	nghttp2_data_provider provider = { .source.ptr = call, .read_callback = call_read };
	char text[GRPC_STATUS_BYTES_MAX], number[16], http[16];
	nghttp2_nv headers[5];
	size_t count = 0;

	call->answered = true;
	snprintf(http, sizeof(http), "%u", call->http_status);
	headers[count++] = call_nv(":status", http);
	headers[count++] = call_nv("content-type", "application/grpc");
	headers[count++] = call_nv("grpc-accept-encoding", "identity");
	if (whole)
		call_status_headers(call, headers, &count, text, number);
	call_broken(call, nghttp2_submit_response(call->connection->session, call->stream, headers,
						  count, whole ? NULL : &provider));
}

/* See that what CALL has for its client is sent. */
static void call_push(struct grpc_call *call)
{
	int r = 0;

	if (!call->connection)
		return;
	if (!call->answered)
		call_answer(call, call->decided && !call->output);
	else
		r = nghttp2_session_resume_data(call->connection->session, call->stream);
	/* It need not be deferred. */
	if (r != NGHTTP2_ERR_INVALID_ARGUMENT)
		call_broken(call, r);
	loop_defer(call->server->loop, &call->connection->writing);
}

/* Decide the status of CALL, whose text is TEXT or NULL, to be freed with it. */
static void call_decide(struct grpc_call *call, enum grpc_status status, char *text)
{
	call->decided = true;
	call->status = status;
	call->text = text;
	link_remove(&call->turn);
	loop_timer_stop(call->server->loop, &call->deadline);
	call_drop_input(call);
	if (!call->owned) {
		call_report(call);
		/* The client may take the answer late. */
		call_drop_message(call);
	}
	call_push(call);
}

/* Refuse CALL, which no service has, with TEXT. */
__attribute__((format(printf, 3, 4))) static void call_refuse(struct grpc_call *call,
							      enum grpc_status status,
							      const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	call_decide(call, status, text);
}

/* ---- cancels and stalls ---------------------------------------------------------------------- */

/*
 * Cancel CALL with STATUS, unless that is decided. The service is asked to end it; CALL may be gone
 * then.
 */
static void call_cancel(struct grpc_call *call, enum grpc_status status, const char *text)
{
	void (*on_cancel)(struct grpc_call * call, void *data) = call->on_cancel;

	if (call->decided)
		return;
	call->cancelled = true;
	call_drop_output(call);
	call_decide(call, status, strdup(text));
	/* A service that waits for room would wait for ever. */
	if (call->on_room)
		loop_defer(call->server->loop, &call->task);
	call->on_cancel = NULL;
	if (on_cancel)
		on_cancel(call, call->on_cancel_data);
}

/* The deadline of CALL has passed. */
static void call_deadline_due(void *data)
{
	call_cancel(data, GRPC_DEADLINE_EXCEEDED, "the deadline of the client has passed");
}

/* The client of CALL may have stalled: with the rest of its request, or with taking the answer. */
static void call_stall_due(void *data)
{
	struct grpc_call *call = data;
	uint64_t stall_ns = call->server->limits.stall_ms * LOOP_NS_PER_MS;
	uint64_t now_ns = loop_now();

	if (!call->connection || (call->received && !call->output))
		return;
	if (now_ns < call->progress_ns + stall_ns) {
		loop_timer_set(call->server->loop, &call->stall, call->progress_ns + stall_ns);
	} else if (!call->decided && !call->received) {
		call_cancel(call, GRPC_DEADLINE_EXCEEDED,
			    "the client did not send the rest of its request");
	} else {
		call_broken(call,
			    nghttp2_submit_rst_stream(call->connection->session, NGHTTP2_FLAG_NONE,
						      call->stream, NGHTTP2_CANCEL));
		loop_defer(call->server->loop, &call->connection->writing);
	}
}

/* Watch for a stall of CALL's client: 0 or -ENOMEM. */
static int call_watch(struct grpc_call *call)
{
	call->progress_ns = loop_now();
	if (call->stall.slot)
		return 0;
	return loop_timer_after(call->server->loop, &call->stall, call->server->limits.stall_ms);
}

/* Run what waits for the end of the turn; CALL may be gone then. */
static void call_task_run(void *data)
{
	struct grpc_call *call = data;
	void (*callback)(struct grpc_call * call, void *data) = call->on_cancel;

	if (call->cancelled && callback) {
		call->on_cancel = NULL;
		if (call->on_room)
			loop_defer(call->server->loop, &call->task);
		callback(call, call->on_cancel_data);
		return;
	}
	callback = call->on_room;
	call->on_room = NULL;
	if (callback)
		callback(call, call->on_room_data);
}

/* ---- the request ----------------------------------------------------------------------------- */

/* Allocate SIZE bytes for the message of a call, unless that takes too much. */
static void *call_allocate(void *data, size_t size)
{
	struct grpc_call *call = data;
	struct grpc_server *server = call->server;
	void *memory;

	if (size > GRPC_UNPACKED_BYTES_MAX - call->unpacked_bytes)
		call->limit = GRPC_UNPACKED_BYTES_MAX;
	else if (!server_allows(call->share->held_bytes, server->held_bytes,
				server->limits.held_bytes_max, size))
		call->limit = server->limits.held_bytes_max;
	if (call->limit)
		return NULL;
	memory = malloc(size);
	if (!memory) {
		call->starved = true;
		return NULL;
	}
	call->unpacked_bytes += size;
	call->share->held_bytes += size;
	server->held_bytes += size;
	return memory;
}

/* Free what call_allocate() gave. */
static void call_deallocate(void *data, void *pointer)
{
	free(pointer);
}

struct grpc_call *call_create(struct connection *connection, int32_t stream)
{
	struct grpc_server *server = connection->server;
	struct grpc_call *call;

	if (!server_allows(connection->share->calls, server->calls_count,
			   server->limits.streams_max, 1))
		return NULL;
	call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	call->server = server;
	call->share = connection->share;
	call->stream = stream;
	call->pid = connection->pid;
	call->http_status = 200;
	call->output_end = &call->output;
	call->allocator = (ProtobufCAllocator){ call_allocate, call_deallocate,
						.allocator_data = call };
	call->deadline.due = call_deadline_due;
	call->stall.due = call_stall_due;
	call->deadline.data = call->stall.data = call;
	if (call_watch(call) < 0) {
		free(call);
		return NULL;
	}
	call->began_ns = call->progress_ns;
	call->connection = connection;
	call->number = ++server->calls_total;
	server->calls_count++;
	call->share->calls++;
	loop_task_init(&call->task, call_task_run, call);
	link_init(&call->link);
	link_init(&call->turn);
	link_append(&connection->calls, &call->link);
	return call;
}

/* Is the text AT, of LENGTH bytes, NAME? */
static bool call_is(const uint8_t *at, size_t length, const char *name)
{
	return length == strlen(name) && !memcmp(at, name, length);
}

/* The pseudo-headers of a request; all but the last one have to be there. */
static const char *const call_pseudo_headers[] = { ":method", ":scheme", ":path", ":authority" };

#define CALL_PSEUDO_HEADERS (sizeof(call_pseudo_headers) / sizeof(call_pseudo_headers[0]))
#define CALL_PSEUDO_NEEDED ((1u << (CALL_PSEUDO_HEADERS - 1)) - 1)

/* Take note of a pseudo-header: what is wrong with it, or NULL. */
static const char *call_pseudo_header(struct grpc_call *call, const uint8_t *name, size_t length)
{
	unsigned number = 0;

	while (number < CALL_PSEUDO_HEADERS && !call_is(name, length, call_pseudo_headers[number]))
		number++;
	if (number == CALL_PSEUDO_HEADERS)
		return "has a pseudo-header that no request has";
	if (call->plain_headers)
		return "has a pseudo-header behind other headers";
	if (call->pseudo_headers & 1u << number)
		return "has a pseudo-header twice";
	call->pseudo_headers |= 1u << number;
	return NULL;
}

/*
 * What HTTP/2 forbids in a header: a phrase, or NULL. nghttp2 is not asked to look, as it would
 * refuse requests whose authority is missing, empty or a path, which some clients send over Unix
 * sockets (grpcurl, grpc-java).
 */
static const char *call_header_fault(struct grpc_call *call, const uint8_t *name,
				     size_t name_length, const uint8_t *value, size_t value_length)
{
	static const char *const connection[] = { "connection", "keep-alive", "proxy-connection",
						  "transfer-encoding", "upgrade" };

	if (!nghttp2_check_header_value(value, value_length))
		return "has a header with a value that is not allowed";
	if (name_length > 0 && *name == ':')
		return call_pseudo_header(call, name, name_length);
	call->plain_headers = true;
	if (!nghttp2_check_header_name(name, name_length))
		return "has a header with a name that is not allowed";
	for (size_t i = 0; i < sizeof(connection) / sizeof(connection[0]); i++) {
		if (call_is(name, name_length, connection[i]))
			return "has a header that belongs to HTTP/1";
	}
	return NULL;
}

void call_header(struct grpc_call *call, const uint8_t *name, size_t name_length,
		 const uint8_t *value, size_t value_length)
{
	const char *text = (const char *)value;

	if (call->headers_ended)
		return;
	call->headers_bytes += name_length + value_length;
	/* A header from HPACK's table costs the client a byte: what is refused is not looked at. */
	if (call->headers_fault || call->headers_bytes > GRPC_HEADERS_BYTES_MAX)
		return;
	call->headers_fault = call_header_fault(call, name, name_length, value, value_length);
	if (call->headers_fault)
		return;
	if (call_is(name, name_length, ":path")) {
		call->method = server_method(call->server, text, value_length, &call->service,
					     &call->method_number);
		if (!call->method && !call->path)
			call->path = strndup(text, value_length < GRPC_PATH_BYTES_MAX
							   ? value_length
							   : GRPC_PATH_BYTES_MAX);
	} else if (call_is(name, name_length, ":method")) {
		call->is_post = call_is(value, value_length, "POST");
	} else if (call_is(name, name_length, "content-type")) {
		call->is_grpc = wire_is_grpc(text, value_length);
	} else if (call_is(name, name_length, "grpc-encoding")) {
		call->is_compressed = !call_is(value, value_length, "identity");
	} else if (call_is(name, name_length, "grpc-timeout")) {
		call->has_timeout = true;
		call->bad_timeout = wire_timeout(text, value_length, &call->timeout_ns) < 0;
	}
}

void call_headers_end(struct grpc_call *call)
{
	if (call->headers_ended)
		return;
	call->headers_ended = true;
	if (call->headers_bytes > GRPC_HEADERS_BYTES_MAX) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED, "headers of more than %u bytes",
			    GRPC_HEADERS_BYTES_MAX);
	} else if (call->headers_fault) {
		call->http_status = 400;
		call_refuse(call, GRPC_INTERNAL, "the request %s", call->headers_fault);
	} else if ((call->pseudo_headers & CALL_PSEUDO_NEEDED) != CALL_PSEUDO_NEEDED) {
		call->http_status = 400;
		call_refuse(call, GRPC_INTERNAL, "a request without :method, :scheme or :path");
	} else if (!call->is_post) {
		call->http_status = 405;
		call_refuse(call, GRPC_INTERNAL, "the method of HTTP is not POST");
	} else if (!call->is_grpc) {
		call->http_status = 415;
		call_refuse(call, GRPC_INTERNAL, "the content type is not application/grpc");
	} else if (call->server->draining) {
		call_refuse(call, GRPC_UNAVAILABLE, "the daemon is about to end");
	} else if (!call->method) {
		call_refuse(call, GRPC_UNIMPLEMENTED, "there is no method %s",
			    call->path ? call->path : "");
	} else if (call->is_compressed) {
		call_refuse(call, GRPC_UNIMPLEMENTED, "compressed messages are not taken");
	} else if (call->bad_timeout) {
		call_refuse(call, GRPC_INTERNAL, "grpc-timeout does not parse");
	} else if (call->has_timeout) {
		uint64_t due_ns;

		if (__builtin_add_overflow(call->began_ns, call->timeout_ns, &due_ns))
			return;
		if (loop_timer_set(call->server->loop, &call->deadline, due_ns) < 0)
			call_refuse(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
	}
}

/* Make room for more of the message of CALL: 0, or -ENOMEM after the refusal. */
static int call_make_room(struct grpc_call *call, size_t message_size)
{
	struct grpc_server *server = call->server;
	size_t room = call->input_room ? 2 * call->input_room : CALL_INPUT_BYTES;
	uint8_t *input;

	if (room > message_size)
		room = message_size;
	if (!server_allows(call->share->input_bytes, server->input_bytes,
			   server->limits.input_bytes_max, room - call->input_room)) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED,
			    "no room: of %zu bytes of requests that are being received "
			    "one client may have half",
			    server->limits.input_bytes_max);
		return -ENOMEM;
	}
	input = realloc(call->input, room);
	if (!input) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
		return -ENOMEM;
	}
	server->input_bytes += room - call->input_room;
	call->share->input_bytes += room - call->input_room;
	call->input = input;
	call->input_room = room;
	return 0;
}

/* Look at the prefix of the message of CALL: 0, or -EINVAL after the refusal. */
static int call_check_prefix(struct grpc_call *call)
{
	uint32_t size = wire_size(call->prefix);

	if (call->prefix[0]) {
		call_refuse(call, GRPC_UNIMPLEMENTED, "compressed messages are not taken");
		return -EINVAL;
	}
	if (size > GRPC_MESSAGE_BYTES_MAX) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED,
			    "a message of %u bytes; at most %u are taken", size,
			    GRPC_MESSAGE_BYTES_MAX);
		return -EINVAL;
	}
	return 0;
}

void call_data(struct grpc_call *call, const uint8_t *bytes, size_t size)
{
	size_t part, message_size;

	call->progress_ns = loop_now();
	while (size > 0 && !call->decided) {
		if (call->prefix_size < WIRE_PREFIX_BYTES) {
			call->prefix[call->prefix_size++] = *bytes++;
			size--;
			if (call->prefix_size == WIRE_PREFIX_BYTES && call_check_prefix(call) < 0)
				return;
			continue;
		}
		message_size = wire_size(call->prefix);
		if (call->input_size == message_size) {
			call_refuse(call, GRPC_UNIMPLEMENTED,
				    "the method takes one message; more were sent");
			return;
		}
		if (call->input_size == call->input_room && call_make_room(call, message_size) < 0)
			return;
		part = call->input_room - call->input_size;
		if (part > size)
			part = size;
		memcpy(call->input + call->input_size, bytes, part);
		call->input_size += part;
		bytes += part;
		size -= part;
	}
}

/* Let the service begin CALL, whose message is there. */
static void call_begin(struct grpc_call *call)
{
	call->owned = true;
	call->server->calls_owned++;
	call->working = call->method->works;
	call->share->working += call->working;
	call->method->start(call, call->message, call->service);
}

void call_begin_waiting(void *data)
{
	struct server_share *share = data;

	while (!link_alone(&share->waiting)) {
		struct grpc_call *call = link_entry(share->waiting.next, struct grpc_call, turn);

		if (share->working >= call->server->limits.working_max)
			return;
		link_remove(&call->turn);
		call_begin(call);
	}
}

/* CALL is not worked on any more: another one may be. */
static void call_rest(struct grpc_call *call)
{
	struct server_share *share = call->share;

	share->working -= call->working;
	call->working = false;
	if (!link_alone(&share->waiting))
		loop_defer(call->server->loop, &share->beginning);
}

void call_received(struct grpc_call *call)
{
	call->received = true;
	if (call->decided)
		return;
	if (!call->prefix_size) {
		call_refuse(call, GRPC_UNIMPLEMENTED,
			    "the method takes one message; none was sent");
		return;
	}
	if (call->prefix_size < WIRE_PREFIX_BYTES || call->input_size < wire_size(call->prefix)) {
		call_refuse(call, GRPC_INTERNAL, "the message is cut off");
		return;
	}
	call->message = protobuf_c_message_unpack(call->method->request, &call->allocator,
						  call->input_size, call->input);
	if (!call->message && call->limit) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED,
			    call->limit == GRPC_UNPACKED_BYTES_MAX
				    ? "the fields of the message need more than %zu bytes"
				    : "no room: of %zu bytes of requests under way one client "
				      "may have half",
			    call->limit);
		return;
	}
	if (!call->message && call->starved) {
		call_refuse(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
		return;
	}
	if (!call->message) {
		call_refuse(call, GRPC_INTERNAL, "the message is no %s",
			    call->method->request->name);
		return;
	}
	call_drop_input(call);
	if (call->method->works && call->share->working >= call->server->limits.working_max)
		link_append(&call->share->waiting, &call->turn);
	else
		call_begin(call);
}

void call_closed(struct grpc_call *call)
{
	bool owned = call->owned;

	call->connection = NULL;
	link_remove(&call->link);
	call_drop_output(call);
	if (!call->decided)
		call_cancel(call, GRPC_CANCELLED, "the client has gone");
	else if (call->on_room)
		loop_defer(call->server->loop, &call->task);
	/* A service that had it frees it, at once or later. */
	if (!owned)
		call_release(call);
}

/* ---- what services call ---------------------------------------------------------------------- */

void grpc_call_on_cancel(struct grpc_call *call,
			 void (*cancelled)(struct grpc_call *call, void *data), void *data)
{
	call->on_cancel = cancelled;
	call->on_cancel_data = data;
	if (cancelled && call->cancelled)
		loop_defer(call->server->loop, &call->task);
}

bool grpc_call_cancelled(const struct grpc_call *call)
{
	return call->cancelled;
}

int grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message)
{
	struct grpc_server *server = call->server;
	size_t size = protobuf_c_message_get_packed_size(message);
	struct call_piece *piece;

	if (call->decided)
		return 0;
	if (size > UINT32_MAX - WIRE_PREFIX_BYTES ||
	    !server_allows(call->share->output_bytes, server->output_bytes,
			   server->limits.output_bytes_max, size + WIRE_PREFIX_BYTES) ||
	    call_watch(call) < 0)
		return -ENOMEM;
	piece = malloc(sizeof(*piece) + WIRE_PREFIX_BYTES + size);
	if (!piece)
		return -ENOMEM;
	piece->next = NULL;
	piece->size = WIRE_PREFIX_BYTES + size;
	wire_prefix(piece->bytes, (uint32_t)size);
	protobuf_c_message_pack(message, piece->bytes + WIRE_PREFIX_BYTES);
	*call->output_end = piece;
	call->output_end = &piece->next;
	call->output_bytes += piece->size;
	call->share->output_bytes += piece->size;
	server->output_bytes += piece->size;
	call_push(call);
	return 0;
}

void grpc_call_on_room(struct grpc_call *call, void (*room)(struct grpc_call *call, void *data),
		       void *data)
{
	call->on_room = room;
	call->on_room_data = data;
	if (room && (call->decided || call->output_bytes < GRPC_BUFFER_BYTES))
		loop_defer(call->server->loop, &call->task);
}

void grpc_call_end(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	call->owned = false;
	call_rest(call);
	call->on_cancel = call->on_room = NULL;
	call->server->calls_owned--;
	if (call->decided) {
		call_report(call);
		call_release(call);
		return;
	}
	if (format) {
		va_start(arguments, format);
		if (vasprintf(&text, format, arguments) < 0)
			text = NULL;
		va_end(arguments);
	}
	call_decide(call, status, text);
}
