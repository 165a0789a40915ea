/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* Calls: what is answered to what, deadlines, cancels, flow control, draining. */
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "rig.h"
#include "test.h"
#include "wire.h"

START_TEST(test_echo)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call(client, "Echo", "hello");

	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	ck_assert_int_eq(call->http, 200);
	ck_assert_uint_eq(call->headers, 2);
	ck_assert_uint_eq(call->body_size, call->request_size);
	ck_assert_mem_eq(call->body, call->request, call->body_size);
	ck_assert_uint_eq(rig->ended[GRPC_OK], 1);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_empty_message)
{
	static const uint8_t prefix[WIRE_PREFIX_BYTES];
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call_raw(client, "/test.Test/Echo", prefix, sizeof(prefix),
					     NULL);

	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	ck_assert_uint_eq(call->body_size, WIRE_PREFIX_BYTES);
	rig_destroy(rig);
}
END_TEST

/* A bad request, and its answer. */
struct bad {
	const char *path;
	struct rig_header header;
	const char *body;
	size_t size;
	int http;
	enum grpc_status status;
	const char *text;
};

START_TEST(test_bad_requests)
{
	static const struct bad bads[] = {
		{ "/test.Test/Nothing",
		  { 0 },
		  "\0\0\0\0\0",
		  5,
		  200,
		  GRPC_UNIMPLEMENTED,
		  "/test.Test/Nothing" },
		{ "/", { 0 }, "\0\0\0\0\0", 5, 200, GRPC_UNIMPLEMENTED, "no method" },
		{ "/test.Test/Echo/", { 0 }, "\0\0\0\0\0", 5, 200, GRPC_UNIMPLEMENTED, "" },
		{ "/test.Test/Echo",
		  { ":method", "PUT" },
		  "\0\0\0\0\0",
		  5,
		  405,
		  GRPC_INTERNAL,
		  "POST" },
		{ "/test.Test/Echo",
		  { "content-type", "text/plain" },
		  "\0\0\0\0\0",
		  5,
		  415,
		  GRPC_INTERNAL,
		  "content type" },
		{ "/test.Test/Echo",
		  { "content-type", NULL },
		  "\0\0\0\0\0",
		  5,
		  415,
		  GRPC_INTERNAL,
		  "content type" },
		{ "/test.Test/Echo",
		  { "grpc-encoding", "gzip" },
		  "\0\0\0\0\0",
		  5,
		  200,
		  GRPC_UNIMPLEMENTED,
		  "compressed" },
		{ "/test.Test/Echo",
		  { "grpc-timeout", "soon" },
		  "\0\0\0\0\0",
		  5,
		  200,
		  GRPC_INTERNAL,
		  "grpc-timeout" },
		/* Compressed without a header that says so. */
		{ "/test.Test/Echo",
		  { 0 },
		  "\1\0\0\0\0",
		  5,
		  200,
		  GRPC_UNIMPLEMENTED,
		  "compressed" },
		/* No message, two, half a prefix, half a message, none that parses. */
		{ "/test.Test/Echo", { 0 }, "", 0, 200, GRPC_UNIMPLEMENTED, "none was sent" },
		{ "/test.Test/Echo",
		  { 0 },
		  "\0\0\0\0\0\0\0\0\0\0",
		  10,
		  200,
		  GRPC_UNIMPLEMENTED,
		  "more were sent" },
		{ "/test.Test/Echo", { 0 }, "\0\0", 2, 200, GRPC_INTERNAL, "cut off" },
		{ "/test.Test/Echo", { 0 }, "\0\0\0\0\7\12", 6, 200, GRPC_INTERNAL, "cut off" },
		{ "/test.Test/Echo",
		  { 0 },
		  "\0\0\0\0\2\12\5",
		  7,
		  200,
		  GRPC_INTERNAL,
		  "is no grpc.health.v1.HealthCheckRequest" },
		{ "/test.Test/Echo", { 0 }, "\0\0\0\0\1\377", 6, 200, GRPC_INTERNAL, "is no" },
		/* More than is taken, said in the prefix. */
		{ "/test.Test/Echo",
		  { 0 },
		  "\0\1\0\0\1",
		  5,
		  200,
		  GRPC_RESOURCE_EXHAUSTED,
		  "16777217 bytes" },
		{ "/test.Test/Echo",
		  { 0 },
		  "\0\377\377\377\377",
		  5,
		  200,
		  GRPC_RESOURCE_EXHAUSTED,
		  "4294967295 bytes" },
	};
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);

	for (size_t i = 0; i < TEST_COUNT(bads); i++) {
		const struct rig_header headers[] = { bads[i].header, { 0 } };
		struct rig_call *call = rig_call_raw(client, bads[i].path, bads[i].body,
						     bads[i].size, headers);

		rig_wait(rig, call);
		rig_expect(call, bads[i].status, bads[i].text);
		ck_assert_int_eq(call->http, bads[i].http);
		ck_assert(call->trailers_only);
		ck_assert_uint_eq(call->error, NGHTTP2_NO_ERROR);
	}
	/* The connection lives on. */
	rig_wait(rig, rig_call(client, "Echo", "still there"));
	ck_assert_uint_eq(rig->ended[GRPC_OK], 1);
	rig_destroy(rig);
}
END_TEST

/* The name of the server says nothing on a socket of this machine, and clients send anything. */
START_TEST(test_authority)
{
	static const char *const names[] = { "localhost",        "",
					     "%2Frun%2Fx.sock",  "/run/x.sock",
					     "unix:/run/x.sock", NULL };
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);

	for (size_t i = 0; i < TEST_COUNT(names); i++) {
		const struct rig_header headers[] = { { ":authority", names[i] }, { 0 } };
		struct rig_call *call = rig_call_raw(client, "/test.Test/Echo", "\0\0\0\0\0", 5,
						     headers);

		rig_wait(rig, call);
		rig_expect(call, GRPC_OK, "");
	}
	rig_destroy(rig);
}
END_TEST

/* What HTTP/2 forbids in headers. */
START_TEST(test_malformed_headers)
{
	static const struct {
		struct rig_header header;
		const char *text;
	} cases[] = {
		{ { ":method", NULL }, "without" },
		{ { ":scheme", NULL }, "without" },
		{ { ":path", NULL }, "without" },
		{ { ":status", "200" }, "no request has" },
		{ { ":protocol", "x" }, "no request has" },
		{ { "a b", "x" }, "name" },
		{ { "", "x" }, "name" },
		{ { "x", "a\nb" }, "value" },
		{ { "x", "a\1b" }, "value" },
		{ { "connection", "close" }, "HTTP/1" },
		{ { "transfer-encoding", "chunked" }, "HTTP/1" },
	};
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call;

	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		const struct rig_header headers[] = { cases[i].header, { 0 } };

		call = rig_call_raw(client, "/test.Test/Echo", "\0\0\0\0\0", 5, headers);
		rig_wait(rig, call);
		rig_expect(call, GRPC_INTERNAL, cases[i].text);
		ck_assert_int_eq(call->http, 400);
	}
	/* The connection lives on. */
	call = rig_call(client, "Echo", "still there");
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_unknown_fields)
{
	/* Field 900, of each wire type, before and behind "hi" in field 1. */
	static const uint8_t body[] = { 0,    0, 0,   0,   21,   0xa2, 0x38, 1,    'x',
					0x0a, 2, 'h', 'i', 0xa0, 0x38, 5,    0xa1, 0x38,
					1,    2, 3,   4,   5,    6,    7,    8 };
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call_raw(client, "/test.Test/Echo", body, sizeof(body), NULL);

	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	ck_assert_uint_eq(call->body_size, sizeof(body));
	rig_destroy(rig);
}
END_TEST

START_TEST(test_large_messages)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	size_t size = GRPC_MESSAGE_BYTES_MAX - 5;
	char *name = test_alloc(size + 2);
	struct rig_call *call;

	/* Key and size of the field are five bytes: 16 MiB in all. */
	memset(name, 'x', size);
	call = rig_call(client, "Echo", name);
	ck_assert_uint_eq(call->request_size, WIRE_PREFIX_BYTES + GRPC_MESSAGE_BYTES_MAX);
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	ck_assert_uint_eq(call->body_size, call->request_size);
	ck_assert_int_eq(memcmp(call->body, call->request, call->body_size), 0);
	/* One byte more. */
	name[size] = 'x';
	call = rig_call(client, "Echo", name);
	rig_wait(rig, call);
	rig_expect(call, GRPC_RESOURCE_EXHAUSTED, "16777217 bytes; at most 16777216");
	/* The rest of the body is not read into memory, and the stream is closed. */
	ck_assert_uint_eq(rig->server->input_bytes, 0);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_deadline)
{
	static const struct rig_header soon[] = { { "grpc-timeout", "5m" }, { 0 } };
	static const struct rig_header at_once[] = { { "grpc-timeout", "0n" }, { 0 } };
	static const struct rig_header late[] = { { "grpc-timeout", "99999999H" }, { 0 } };
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	size_t size;
	uint8_t *message = rig_message("x", &size);
	struct rig_call *call = rig_call_raw(client, "/test.Test/Hold", message, size, soon);

	rig_wait(rig, call);
	rig_expect(call, GRPC_DEADLINE_EXCEEDED, "deadline");
	ck_assert(call->trailers_only);
	/* The service was asked to end, and still has the call. */
	ck_assert_uint_eq(rig->cancels, rig->held_total);
	ck_assert_uint_eq(rig->server->calls_owned, rig->held_count);
	rig_release(rig);
	ck_assert_uint_eq(rig->server->calls_owned, 0);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	/* What the client saw is what is recorded. */
	ck_assert_uint_eq(rig->ended[GRPC_DEADLINE_EXCEEDED], 1);
	call = rig_call_raw(client, "/test.Test/Hold", message, size, at_once);
	rig_wait(rig, call);
	rig_expect(call, GRPC_DEADLINE_EXCEEDED, "deadline");
	call = rig_call_raw(client, "/test.Test/Echo", message, size, late);
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_deadline_before_message)
{
	static const struct rig_header soon[] = { { "grpc-timeout", "5m" }, { 0 } };
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call_raw(client, "/test.Test/Hold", "\0\0", 2, soon);

	call->open = true;
	rig_wait(rig, call);
	rig_expect(call, GRPC_DEADLINE_EXCEEDED, "deadline");
	ck_assert_uint_eq(rig->held_total, 0);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_reset)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call(client, "Hold", "x");

	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, 1);
	rig_reset(client, call);
	rig_run(rig);
	ck_assert_uint_eq(rig->cancels, 1);
	ck_assert_uint_eq(rig->server->calls_owned, 1);
	rig_release(rig);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	ck_assert_uint_eq(rig->ended[GRPC_CANCELLED], 1);
	/* Before the message is complete. */
	call = rig_call_raw(client, "/test.Test/Hold", "\0\0\0\0\7x", 6, NULL);
	call->open = true;
	rig_run(rig);
	ck_assert_uint_eq(rig->server->calls_count, 1);
	rig_reset(client, call);
	rig_run(rig);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	ck_assert_uint_eq(rig->held_total, 1);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_client_dies)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_client *other = rig_connect(rig);
	struct rig_call *kept = rig_call(other, "Hold", "other");

	rig_run(rig);
	rig->flood_bytes = 4 << 20;
	for (unsigned i = 0; i < 100; i++) {
		rig_call(client, "Hold", "x");
		rig_call(client, "Flood", "x");
		rig_call_raw(client, "/test.Test/Hold", "\0\0", 2, NULL)->open = true;
	}
	client->deaf = true;
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, 101);
	ck_assert_uint_eq(rig->flooding, 100);
	rig_die(client);
	rig_run(rig);
	ck_assert_uint_eq(rig->cancels, 100);
	ck_assert_uint_eq(rig->flooding, 0);
	ck_assert_uint_eq(rig->server->connections_count, 1);
	ck_assert_uint_eq(rig->server->output_bytes, 0);
	rig_release(rig);
	rig_wait(rig, kept);
	rig_expect(kept, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_room)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call;

	/* Far more than windows and sockets take at once: the service sends as room allows. */
	rig->flood_bytes = 8 << 20;
	call = rig_call(client, "Flood", "x");
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	ck_assert_uint_gt(call->body_size, rig->flood_bytes);
	ck_assert_uint_lt(rig->flood_waiting_max, GRPC_BUFFER_BYTES + 2 * RIG_FLOOD_BYTES);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_many_streams)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *clients[5];
	struct rig_call *calls[GRPC_STREAMS_MAX], *more;
	unsigned held, refused = 0;

	for (unsigned i = 0; i < 5; i++)
		clients[i] = rig_connect(rig);
	rig_run(rig);
	for (unsigned i = 0; i < GRPC_STREAMS_MAX; i++)
		calls[i] = rig_call(clients[i % 4], "Hold", "x");
	rig_run(rig);
	/* Four connections in turn have four of five equal parts, one after the other more. */
	held = rig->held_count;
	ck_assert_uint_ge(held, GRPC_STREAMS_MAX / 5 * 4);
	ck_assert_uint_lt(held, GRPC_STREAMS_MAX);
	/* There is room for one more. */
	more = rig_call(clients[4], "Echo", "x");
	rig_wait(rig, more);
	rig_expect(more, GRPC_OK, "");
	rig_release(rig);
	/* Those above are refused before they begin: clients repeat them. */
	for (unsigned i = 0; i < GRPC_STREAMS_MAX; i++) {
		rig_wait(rig, calls[i]);
		if (calls[i]->status == -1) {
			ck_assert_uint_eq(calls[i]->error, NGHTTP2_REFUSED_STREAM);
			refused++;
		} else {
			rig_expect(calls[i], GRPC_OK, "");
		}
	}
	ck_assert_uint_eq(held + refused, GRPC_STREAMS_MAX);
	more = rig_call(clients[0], "Echo", "x");
	rig_wait(rig, more);
	rig_expect(more, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_drain)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *busy = rig_connect(rig), *idle = rig_connect(rig);
	struct rig_call *held = rig_call(busy, "Hold", "x");
	int fds[2];

	rig_run(rig);
	connection_drain_all(rig->server);
	rig_run(rig);
	/* Asked to go, without an error; the idle one is closed. */
	ck_assert_int_eq(idle->goaway, NGHTTP2_NO_ERROR);
	ck_assert_int_eq(busy->goaway, NGHTTP2_NO_ERROR);
	ck_assert(idle->gone);
	ck_assert(!busy->gone);
	ck_assert(!server_idle(rig->server));
	/* New connections are closed. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	test_error(connection_accept(rig->server, fds[1], 0), -EAGAIN);
	ck_assert_int_eq(recv(fds[0], fds, 1, 0), 0);
	close(fds[0]);
	rig_release(rig);
	rig_wait(rig, held);
	rig_expect(held, GRPC_OK, "");
	rig_wait_for(rig, &busy->gone);
	/* Both have the end of the connection, and close it. */
	rig_die(idle);
	rig_die(busy);
	rig_run(rig);
	ck_assert(server_idle(rig->server));
	rig_destroy(rig);
}
END_TEST

/* Check the health of SERVICE by METHOD. */
static struct rig_call *call_health(struct rig_client *client, const char *method,
				    const char *service)
{
	size_t size;
	uint8_t *message = rig_message(service, &size);

	return rig_call_raw(client, test_path("/grpc.health.v1.Health/%s", method), message, size,
			    NULL);
}

START_TEST(test_health)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *all = call_health(client, "Check", "");
	struct rig_call *one = call_health(client, "Check", "test.Test");
	struct rig_call *none = call_health(client, "Check", "test");
	struct rig_call *watch = call_health(client, "Watch", "test.Test");

	rig_run(rig);
	rig_expect(all, GRPC_OK, "");
	rig_expect(one, GRPC_OK, "");
	rig_expect(none, GRPC_NOT_FOUND, "no such service");
	ck_assert_uint_eq(all->body_size, 7);
	ck_assert_mem_eq(all->body, "\0\0\0\0\2\10\1", 7);
	ck_assert(!watch->closed);
	ck_assert_uint_eq(watch->body_size, 7);
	/* The watchers do not keep the daemon from ending. */
	health_drain(rig->health);
	connection_drain_all(rig->server);
	rig_wait_for(rig, &client->gone);
	ck_assert_int_eq(watch->status, GRPC_UNAVAILABLE);
	ck_assert_uint_eq(watch->body_size, 14);
	ck_assert_mem_eq(watch->body + 7, "\0\0\0\0\2\10\2", 7);
	rig_destroy(rig);
}
END_TEST

TEST_MAIN_UNIT("calls", test_echo, test_empty_message, test_bad_requests, test_authority,
	       test_malformed_headers, test_unknown_fields, test_large_messages, test_deadline,
	       test_deadline_before_message, test_reset, test_client_dies, test_room,
	       test_many_streams, test_drain, test_health)
