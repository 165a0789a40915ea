/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* Clients that mean harm, or are broken: each is bounded or cut, and the others are served. */
#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "rig.h"
#include "test.h"
#include "wire.h"

/* How much memory a client may make the server take beyond its messages. */
#define MEMORY_BYTES_MAX (8u << 20)
/* Bytes of the head of a frame. */
#define HEAD_BYTES 9

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* Bytes that a raw client sends. */
struct raw {
	uint8_t bytes[1 << 16];
	size_t size;
};

/* Add SIZE bytes. */
static void raw_add(struct raw *raw, const void *bytes, size_t size)
{
	ck_assert_uint_le(raw->size + size, sizeof(raw->bytes));
	memcpy(raw->bytes + raw->size, bytes, size);
	raw->size += size;
}

/* Add a frame. */
static void raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream,
		      const void *payload, size_t size)
{
	const uint8_t head[HEAD_BYTES] = { (uint8_t)(size >> 16),
					   (uint8_t)(size >> 8),
					   (uint8_t)size,
					   type,
					   flags,
					   (uint8_t)(stream >> 24),
					   (uint8_t)(stream >> 16),
					   (uint8_t)(stream >> 8),
					   (uint8_t)stream };

	raw_add(raw, head, sizeof(head));
	if (size)
		raw_add(raw, payload, size);
}

/* Add a header as a literal that goes into no table. */
static void raw_header(struct raw *raw, const char *name, const char *value)
{
	const uint8_t name_head[] = { 0, (uint8_t)strlen(name) };
	const uint8_t value_head[] = { (uint8_t)strlen(value) };

	raw_add(raw, name_head, sizeof(name_head));
	raw_add(raw, name, strlen(name));
	raw_add(raw, value_head, sizeof(value_head));
	raw_add(raw, value, strlen(value));
}

/* Add the headers of a call of METHOD. */
static void raw_call(struct raw *raw, uint32_t stream, const char *method, uint8_t flags)
{
	struct raw headers = { .size = 0 };

	raw_header(&headers, ":method", "POST");
	raw_header(&headers, ":scheme", "http");
	raw_header(&headers, ":path", method);
	raw_header(&headers, ":authority", "x");
	raw_header(&headers, "content-type", "application/grpc");
	raw_frame(raw, NGHTTP2_HEADERS, flags, stream, headers.bytes, headers.size);
}

/* Begin with the preface and empty settings. */
static void raw_begin(struct raw *raw)
{
	raw->size = 0;
	raw_add(raw, preface, strlen(preface));
	raw_frame(raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

/* Send RAW, and let the server read, as long as it does. Return whether all went out. */
static bool raw_send(struct rig *rig, int fd, const struct raw *raw)
{
	size_t sent = 0;

	while (sent < raw->size) {
		ssize_t part = send(fd, raw->bytes + sent, raw->size - sent,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (part > 0)
			sent += (size_t)part;
		if (loop_turn(rig->loop, 0) <= 0 && part < 0)
			return false;
	}
	return true;
}

/* Run until FD, of which nothing is read, is closed by the server. */
static void raw_wait_cut(struct rig *rig, int fd)
{
	const int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	uint8_t bytes[4096];

	while (rig->server->connections_count > 0) {
		ck_assert_int_ge(loop_turn(rig->loop, 10), 0);
		ck_assert_msg(test_now_ms() < end_ms, "the connection is not cut");
	}
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	close(fd);
}

/* Bytes that are allocated. */
static size_t memory(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* Fail the test if much more is allocated than BEFORE. */
static void expect_memory(size_t before)
{
	ck_assert_uint_lt(memory(), before + MEMORY_BYTES_MAX);
}

/* The server of RIG still answers. */
static void expect_alive(struct rig *rig)
{
	struct rig_client *client = rig_connect(rig);
	struct rig_call *call = rig_call(client, "Echo", "alive");

	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_die(client);
	rig_run(rig);
}

START_TEST(test_no_preface)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/1.0",
					     "\x16\x03\x01\x02" };
	struct rig *rig = rig_create(NULL);

	for (size_t i = 0; i < TEST_COUNT(texts); i++) {
		struct raw raw = { .size = 0 };
		int fd = rig_connect_raw(rig);

		raw_add(&raw, texts[i], strlen(texts[i]));
		raw_send(rig, fd, &raw);
		raw_wait_cut(rig, fd);
	}
	expect_alive(rig);
	rig_destroy(rig);
}
END_TEST

/* A client that begins may be idle then; those that do not begin keep none out for long. */
START_TEST(test_silent_clients)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client;
	struct rig_call *call;
	struct rig *rig;
	int fds[3];

	limits.connections_max = 4;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	rig_run(rig);
	/* From now on: a machine that is busy may need longer than this for a client that talks. */
	rig->server->limits.stall_ms = 50;
	for (size_t i = 0; i < TEST_COUNT(fds); i++)
		fds[i] = rig_connect_raw(rig);
	ck_assert_int_eq(send(fds[1], preface, strlen(preface), MSG_NOSIGNAL), strlen(preface));
	ck_assert_int_eq(send(fds[2], preface, 5, MSG_NOSIGNAL), 5);
	while (rig->server->connections_count > 1)
		ck_assert_int_ge(loop_turn(rig->loop, 10), 0);
	for (size_t i = 0; i < TEST_COUNT(fds); i++)
		close(fds[i]);
	rig->server->limits.stall_ms = GRPC_STALL_MS;
	call = rig_call(client, "Echo", "x");
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_half_frames)
{
	struct rig *rig = rig_create(NULL);
	struct raw whole, part;

	raw_begin(&whole);
	raw_call(&whole, 1, "/test.Test/Echo", NGHTTP2_FLAG_END_HEADERS);
	raw_frame(&whole, NGHTTP2_DATA, 0, 1, "\0\0\0\0\4\12", 6);
	raw_frame(&whole, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\2hi", 3);
	/* Cut off at each byte, and the client dies. */
	for (size_t size = 1; size <= whole.size; size++) {
		int fd = rig_connect_raw(rig);

		part = whole;
		part.size = size;
		ck_assert(raw_send(rig, fd, &part));
		rig_run(rig);
		ck_assert_uint_eq(rig->ended[GRPC_OK], size == whole.size);
		close(fd);
		rig_run(rig);
		ck_assert_uint_eq(rig->server->connections_count, 0);
		ck_assert_uint_eq(rig->server->calls_count, 0);
	}
	rig_destroy(rig);
}
END_TEST

START_TEST(test_reset_storm)
{
	struct server_limits limits = server_limits_default;
	struct rig *rig;
	struct raw raw;
	int fd;

	limits.resets_max = 100;
	limits.resets_per_second = 0;
	rig = rig_create(&limits);
	fd = rig_connect_raw(rig);
	raw_begin(&raw);
	for (uint32_t stream = 1; stream < 20000; stream += 2) {
		raw_call(&raw, stream, "/test.Test/Hold", NGHTTP2_FLAG_END_HEADERS);
		raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, "\0\0\0\0\0", 5);
		raw_frame(&raw, NGHTTP2_RST_STREAM, 0, stream, "\0\0\0\10", 4);
		if (!raw_send(rig, fd, &raw))
			break;
		raw.size = 0;
	}
	raw_wait_cut(rig, fd);
	/* The work of those that were begun is still there, and counts. */
	ck_assert_uint_eq(rig->held_total, limits.resets_max + 1);
	ck_assert_uint_eq(rig->server->calls_owned, limits.resets_max + 1);
	expect_alive(rig);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_resets_at_once)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	struct rig_call *last;

	/* All streams that it may have, as after a common deadline: no storm yet. */
	for (unsigned i = 0; i < GRPC_STREAMS_MAX / 2; i++)
		rig_call(client, "Hold", "x");
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, GRPC_STREAMS_MAX / 2);
	for (unsigned i = 0; i < GRPC_STREAMS_MAX / 2; i++)
		rig_reset(client, client->calls[i]);
	rig_run(rig);
	ck_assert_int_eq(client->goaway, -1);
	ck_assert_uint_eq(rig->cancels, GRPC_STREAMS_MAX / 2);
	rig_release(rig);
	last = rig_call(client, "Echo", "x");
	rig_wait(rig, last);
	rig_expect(last, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_resets_between_answers)
{
	struct server_limits limits = server_limits_default;
	struct rig *rig;
	struct rig_client *client;

	limits.resets_max = 10;
	limits.resets_per_second = 0;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	/* As many resets as answers are no storm. */
	for (unsigned i = 0; i < 100; i++) {
		struct rig_call *call = rig_call(client, "Hold", "x");

		rig_run(rig);
		rig_reset(client, call);
		rig_wait(rig, rig_call(client, "Echo", "x"));
		rig_release(rig);
	}
	ck_assert_uint_eq(rig->ended[GRPC_OK], 100);
	ck_assert(!client->gone);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_refused_storm)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client;
	struct rig *rig;
	struct raw raw;
	size_t before;
	int fd;

	/* Streams that are reset by the client, while the service cannot stop their work. */
	limits.streams_max = 8;
	limits.resets_max = UINT32_MAX;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	fd = rig_connect_raw(rig);
	raw_begin(&raw);
	before = memory();
	for (uint32_t stream = 1; stream < 20000; stream += 2) {
		raw_call(&raw, stream, "/test.Test/Hold", NGHTTP2_FLAG_END_HEADERS);
		raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, "\0\0\0\0\0", 5);
		raw_frame(&raw, NGHTTP2_RST_STREAM, 0, stream, "\0\0\0\10", 4);
		if (!raw_send(rig, fd, &raw))
			break;
		raw.size = 0;
	}
	ck_assert_uint_le(rig->held_total, 8);
	expect_memory(before);
	close(fd);
	rig_release(rig);
	rig_run(rig);
	rig_wait(rig, rig_call(client, "Echo", "x"));
	ck_assert_uint_eq(rig->ended[GRPC_OK], 1);
	rig_destroy(rig);
}
END_TEST

/* Send frames of TYPE without reading until the server takes no more; it cuts the client. */
static void flood(uint8_t type, uint8_t flags, const void *payload, size_t size)
{
	struct server_limits limits = server_limits_default;
	struct rig *rig;
	struct raw raw;
	size_t before;
	int fd;

	limits.stall_ms = 50;
	rig = rig_create(&limits);
	fd = rig_connect_raw(rig);
	raw_begin(&raw);
	raw_send(rig, fd, &raw);
	before = memory();
	raw.size = 0;
	for (unsigned i = 0; i < 1000; i++)
		raw_frame(&raw, type, flags, 0, payload, size);
	for (unsigned i = 0; i < 10000 && raw_send(rig, fd, &raw); i++)
		;
	expect_memory(before);
	raw_wait_cut(rig, fd);
	expect_alive(rig);
	rig_destroy(rig);
}

START_TEST(test_ping_flood)
{
	flood(NGHTTP2_PING, 0, "12345678", 8);
}
END_TEST

START_TEST(test_settings_flood)
{
	flood(NGHTTP2_SETTINGS, 0, "\0\4\0\1\0\0", 6);
}
END_TEST

/* Send COUNT frames of TYPE on STREAM, the last with the flags LAST. Is the client cut then? */
static bool cut_after(unsigned count, uint8_t type, uint8_t last, uint32_t stream,
		      const void *payload, size_t size)
{
	struct rig *rig = rig_create(NULL);
	struct raw raw;
	int fd = rig_connect_raw(rig);
	bool cut;

	raw_begin(&raw);
	if (stream)
		raw_call(&raw, stream, "/test.Test/Echo", 0);
	for (unsigned i = 1; i <= count; i++)
		raw_frame(&raw, type, i < count ? 0 : last, stream, payload, size);
	raw_send(rig, fd, &raw);
	rig_run(rig);
	cut = rig->server->connections_count == 0;
	close(fd);
	rig_destroy(rig);
	return cut;
}

/* The bounds of one frame and of one block of headers are those of limits.h. */
START_TEST(test_frame_bounds)
{
	static const uint8_t entry[] = { 0, 4, 0, 1, 0, 0 };
	uint8_t entries[(CONNECTION_SETTINGS_MAX + 1) * sizeof(entry)];

	for (size_t i = 0; i <= CONNECTION_SETTINGS_MAX; i++)
		memcpy(entries + i * sizeof(entry), entry, sizeof(entry));
	ck_assert(!cut_after(1, NGHTTP2_SETTINGS, 0, 0, entries, sizeof(entries) - sizeof(entry)));
	ck_assert(cut_after(1, NGHTTP2_SETTINGS, 0, 0, entries, sizeof(entries)));
	ck_assert(!cut_after(CONNECTION_CONTINUATIONS_MAX, NGHTTP2_CONTINUATION,
			     NGHTTP2_FLAG_END_HEADERS, 1, NULL, 0));
	ck_assert(cut_after(CONNECTION_CONTINUATIONS_MAX + 1, NGHTTP2_CONTINUATION,
			    NGHTTP2_FLAG_END_HEADERS, 1, NULL, 0));
}
END_TEST

START_TEST(test_continuation_flood)
{
	struct rig *rig = rig_create(NULL);
	struct raw raw, headers = { .size = 0 };
	int fd = rig_connect_raw(rig);
	size_t before;

	raw_begin(&raw);
	raw_call(&raw, 1, "/test.Test/Echo", 0);
	raw_send(rig, fd, &raw);
	before = memory();
	/* Headers without an end. */
	raw_header(&headers, "x-more", "and more");
	raw.size = 0;
	for (unsigned i = 0; i < 1000; i++)
		raw_frame(&raw, NGHTTP2_CONTINUATION, 0, 1, headers.bytes, headers.size);
	for (unsigned i = 0; i < 1000 && raw_send(rig, fd, &raw); i++)
		;
	expect_memory(before);
	raw_wait_cut(rig, fd);
	expect_alive(rig);
	rig_destroy(rig);
}
END_TEST

/* What no client's library sends: pseudo-headers twice, or behind others; capital letters. */
START_TEST(test_pseudo_headers)
{
	static const char *const last[] = { ":path", ":authority", "Upper" };
	static const char *const texts[] = { "twice", "behind", "name" };
	struct rig *rig = rig_create(NULL);

	for (size_t i = 0; i < TEST_COUNT(last); i++) {
		struct raw raw, headers = { .size = 0 };
		int fd = rig_connect_raw(rig);

		raw_header(&headers, ":method", "POST");
		raw_header(&headers, ":scheme", "http");
		raw_header(&headers, ":path", "/test.Test/Echo");
		if (i)
			raw_header(&headers, "content-type", "application/grpc");
		raw_header(&headers, last[i], "/test.Test/Hold");
		raw_begin(&raw);
		raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
			  1, headers.bytes, headers.size);
		ck_assert(raw_send(rig, fd, &raw));
		rig_run(rig);
		ck_assert_uint_eq(rig->ended[GRPC_INTERNAL], i + 1);
		ck_assert_msg(strstr(rig->text, texts[i]), "%s", rig->text);
		close(fd);
	}
	ck_assert_uint_eq(rig->held_total, 0);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_large_headers)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	char *value = test_alloc(GRPC_HEADERS_BYTES_MAX + 1);
	const struct rig_header headers[] = { { "x-large", value }, { 0 } };
	struct rig_call *call;

	memset(value, 'x', GRPC_HEADERS_BYTES_MAX);
	call = rig_call_raw(client, "/test.Test/Echo", "\0\0\0\0\0", 5, headers);
	rig_wait(rig, call);
	rig_expect(call, GRPC_RESOURCE_EXHAUSTED, "headers of more than 32768 bytes");
	ck_assert(!client->gone);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_deaf_client)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client;
	struct rig *rig;

	limits.stall_ms = 50;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	rig_run(rig);
	rig->flood_bytes = 1u << 30;
	for (unsigned i = 0; i < 10; i++)
		rig_call(client, "Flood", "x");
	/* It says that it takes all, and reads nothing. */
	ck_assert_int_eq(nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE,
							       0, INT32_MAX),
			 0);
	client->deaf = true;
	rig_run(rig);
	while (rig->server->connections_count > 0)
		ck_assert_int_ge(loop_turn(rig->loop, 10), 0);
	rig_run(rig);
	ck_assert_uint_eq(rig->flood_total, 10);
	ck_assert_uint_lt(rig->flood_waiting_max, 10 * (GRPC_BUFFER_BYTES + RIG_FLOOD_BYTES));
	ck_assert_uint_eq(rig->flooding, 0);
	ck_assert_uint_eq(rig->server->output_bytes, 0);
	expect_alive(rig);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_closed_window)
{
	struct server_limits limits = server_limits_default;
	struct raw raw;
	struct rig *rig;
	int fd;

	limits.stall_ms = 50;
	rig = rig_create(&limits);
	rig->flood_bytes = 1u << 20;
	fd = rig_connect_raw(rig);
	/* Windows of streams of no bytes at all: the answer never goes, the connection is fine. */
	raw.size = 0;
	raw_add(&raw, preface, strlen(preface));
	raw_frame(&raw, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
	raw_call(&raw, 1, "/test.Test/Flood", NGHTTP2_FLAG_END_HEADERS);
	raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\0", 5);
	ck_assert(raw_send(rig, fd, &raw));
	rig_run(rig);
	while (rig->flooding > 0)
		ck_assert_int_ge(loop_turn(rig->loop, 10), 0);
	ck_assert_uint_eq(rig->flood_total, 1);
	ck_assert_uint_eq(rig->server->connections_count, 1);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	ck_assert_uint_eq(rig->ended[GRPC_CANCELLED], 1);
	close(fd);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_stalled_request)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client;
	struct rig_call *call;
	struct rig *rig;

	limits.stall_ms = 50;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	call = rig_call_raw(client, "/test.Test/Echo", "\0\0\0\0\7x", 6, NULL);
	call->open = true;
	rig_wait(rig, call);
	rig_expect(call, GRPC_DEADLINE_EXCEEDED, "did not send the rest of its request");
	ck_assert_uint_eq(rig->server->calls_count, 0);
	/* A call that waits for its service is no stalled one. */
	call = rig_call(client, "Hold", "x");
	rig_wait(rig, rig_call_raw(client, "/test.Test/Echo", "", 0, NULL));
	call = rig_call_raw(client, "/test.Test/Echo", "\0", 1, NULL);
	call->open = true;
	rig_wait(rig, call);
	rig_expect(call, GRPC_DEADLINE_EXCEEDED, "");
	ck_assert_uint_eq(rig->held_count, 1);
	ck_assert_uint_eq(rig->cancels, 0);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_input_bound)
{
	struct server_limits limits = server_limits_default;
	struct rig_call *calls[4], *last;
	struct rig_client *client;
	struct rig *rig;
	unsigned refused = 0;
	uint8_t *body;

	/* Messages of 1 MiB, of which the last byte is missing. */
	limits.input_bytes_max = 6u << 20;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	body = test_alloc(1 << 20);
	wire_prefix(body, 1 << 20);
	for (unsigned i = 0; i < 4; i++) {
		calls[i] = rig_call_raw(client, "/test.Test/Echo", body, 1 << 20, NULL);
		calls[i]->open = true;
	}
	rig_run(rig);
	ck_assert_uint_le(rig->server->input_bytes, limits.input_bytes_max);
	for (unsigned i = 0; i < 4; i++) {
		if (!calls[i]->closed) {
			rig_reset(client, calls[i]);
			continue;
		}
		rig_expect(calls[i], GRPC_RESOURCE_EXHAUSTED, "being received");
		refused++;
	}
	ck_assert_uint_eq(refused, 1);
	last = rig_call(client, "Echo", "x");
	rig_wait(rig, last);
	rig_expect(last, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_output_bound)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client, *deaf;
	struct rig_call *call;
	struct rig *rig;
	char name[RIG_FLOOD_BYTES];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	limits.output_bytes_max = 8u << 20;
	rig = rig_create(&limits);
	rig->flood_bytes = 3u << 20;
	client = rig_connect(rig);
	deaf = rig_connect(rig);
	rig_run(rig);
	/* What waits for one client is missing for others, which are told; some room is left. */
	rig_call(deaf, "Pour", name);
	deaf->deaf = true;
	call = rig_call(client, "Pour", name);
	rig_wait(rig, call);
	rig_expect(call, GRPC_RESOURCE_EXHAUSTED, "no room");
	call = rig_call(client, "Echo", name);
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_die(deaf);
	rig_run(rig);
	call = rig_call(client, "Pour", name);
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_unpacked_bound)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	uint8_t *body = test_alloc(GRPC_MESSAGE_BYTES_MAX + WIRE_PREFIX_BYTES);
	struct rig_call *call;
	uint32_t size = GRPC_MESSAGE_BYTES_MAX / 3 * 3;

	/* Millions of unknown fields of three bytes. */
	wire_prefix(body, size);
	for (uint32_t i = 0; i < size; i += 3)
		memcpy(body + WIRE_PREFIX_BYTES + i, "\xa0\x38\x05", 3);
	call = rig_call_raw(client, "/test.Test/Echo", body, WIRE_PREFIX_BYTES + size, NULL);
	rig_wait(rig, call);
	rig_expect(call, GRPC_RESOURCE_EXHAUSTED, "need more than");
	rig_destroy(rig);
}
END_TEST

/* Requests that are under way for as long as the client wants. */
START_TEST(test_held_bound)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *client;
	struct rig_call *last;
	struct rig *rig;
	size_t before;
	char *name;

	limits.held_bytes_max = 5u << 20;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	name = test_alloc((1 << 20) + 1);
	memset(name, 'x', 1 << 20);
	rig_run(rig);
	before = memory();
	for (unsigned i = 0; i < 20; i++) {
		last = rig_call(client, "Hold", name);
		rig_run(rig);
	}
	ck_assert_uint_eq(rig->held_count, 2);
	rig_expect(last, GRPC_RESOURCE_EXHAUSTED, "under way");
	expect_memory(before + 20 * (1 << 20));
	/* One that has ended gives its bytes back, also when its client takes no answer. */
	rig_release(rig);
	ck_assert_uint_eq(rig->server->held_bytes, 0);
	last = rig_call(client, "Echo", name);
	rig_wait(rig, last);
	rig_expect(last, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

START_TEST(test_no_memory)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	printf("not with a sanitizer, which has its own way to be out of memory\n");
#else
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);
	size_t size = GRPC_MESSAGE_BYTES_MAX - WIRE_PREFIX_BYTES;
	uint8_t *body = test_alloc(WIRE_PREFIX_BYTES + GRPC_MESSAGE_BYTES_MAX);
	struct rlimit limit = { 0, RLIM_INFINITY };
	unsigned long pages;
	struct rig_call *call;
	FILE *file;

	wire_prefix(body, GRPC_MESSAGE_BYTES_MAX);
	memcpy(body + WIRE_PREFIX_BYTES, "\12\xfb\xff\xff\7", 5);
	memset(body + WIRE_PREFIX_BYTES + 5, 'x', size);
	rig_run(rig);
	/* Room for the bytes of the message, not for its fields as well. */
	file = fopen("/proc/self/statm", "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + GRPC_MESSAGE_BYTES_MAX / 2 * 3;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	call = rig_call_raw(client, "/test.Test/Echo", body,
			    WIRE_PREFIX_BYTES + GRPC_MESSAGE_BYTES_MAX, NULL);
	rig_wait(rig, call);
	rig_expect(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	expect_alive(rig);
	rig_destroy(rig);
#endif
}
END_TEST

/* Let CLIENT have all of what it may: calls that stay, with large messages, and half messages. */
static void be_greedy(struct rig *rig, struct rig_client *client, const char *name,
		      const uint8_t *half)
{
	rig->flood_bytes = 1u << 20;
	for (unsigned i = 0; i < 10; i++) {
		struct rig_call *call;

		rig_call(client, "Hold", name);
		rig_call(client, "Pour", name);
		call = rig_call_raw(client, "/test.Test/Echo", half, 1 << 17, NULL);
		call->open = true;
	}
	for (unsigned i = 0; i < 100; i++)
		rig_call(client, "Hold", "x");
	rig_run(rig);
	client->deaf = true;
}

/* Clients that take all that they may, and read no answers, leave others a share. */
START_TEST(test_fair_share)
{
	struct server_limits limits = server_limits_default;
	char *name = test_alloc(RIG_FLOOD_BYTES);
	uint8_t *half = test_alloc(1 << 18);
	struct rig_client *client;
	struct rig_call *call;
	struct rig *rig;

	memset(name, 'x', RIG_FLOOD_BYTES - 1);
	wire_prefix(half, 1 << 18);
	limits.streams_max = 256;
	limits.input_bytes_max = limits.output_bytes_max = limits.held_bytes_max = 1 << 20;
	limits.resets_max = UINT32_MAX;
	rig = rig_create(&limits);
	client = rig_connect(rig);
	for (unsigned i = 0; i < 4; i++) {
		struct rig_client *greedy = rig_connect(rig);

		greedy->deaf = i % 2;
		rig_run(rig);
		be_greedy(rig, greedy, name, half);
		call = rig_call(client, "Echo", name);
		rig_wait(rig, call);
		rig_expect(call, GRPC_OK, "");
	}
	/* Calls that one resets are still its own while their service has them. */
	for (unsigned i = 0; i < 1000; i++) {
		rig_reset(rig->clients, rig_call(rig->clients, "Hold", "x"));
		rig_run(rig);
	}
	call = rig_call(client, "Echo", name);
	rig_wait(rig, call);
	rig_expect(call, GRPC_OK, "");
	rig_destroy(rig);
}
END_TEST

/* Work that one client has begun is in the way of others only up to a bound. */
START_TEST(test_fair_turns)
{
	enum { CALLS = 100, WORKING = 8 };
	struct server_limits limits = server_limits_default;
	struct rig_client *greedy, *client;
	struct rig_call *call;
	struct rig *rig;

	limits.working_max = WORKING;
	limits.resets_per_second = 0;
	rig = rig_create(&limits);
	greedy = rig_connect(rig);
	client = rig_connect(rig);
	for (unsigned i = 0; i < CALLS; i++)
		rig_call(greedy, "Work", "x");
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, WORKING);
	/* Another client's is begun at once, and so is what takes no work. */
	call = rig_call(client, "Work", "x");
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, WORKING + 1);
	rig_wait(rig, rig_call(greedy, "Echo", "x"));
	/* A reset ends no work, but a call that waits is gone. */
	for (unsigned i = 0; i < CALLS / 2; i++)
		rig_reset(greedy, greedy->calls[i]);
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, WORKING + 1);
	ck_assert_uint_eq(rig->cancels, WORKING);
	ck_assert_uint_eq(rig->server->calls_count, CALLS / 2 + WORKING + 1);
	while (rig->held_count) {
		ck_assert_uint_le(rig->held_count, WORKING + 1);
		rig_release(rig);
		rig_run(rig);
	}
	rig_expect(call, GRPC_OK, "");
	for (unsigned i = CALLS / 2; i < CALLS; i++)
		rig_expect(greedy->calls[i], GRPC_OK, "");
	ck_assert_uint_eq(rig->held_total, WORKING + 1 + CALLS / 2);
	/* One that goes takes what waits with it. */
	for (unsigned i = 0; i < CALLS; i++)
		rig_call(greedy, "Work", "x");
	rig_run(rig);
	rig_die(greedy);
	rig_run(rig);
	ck_assert_uint_eq(rig->server->calls_count, WORKING);
	rig_release(rig);
	rig_run(rig);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_many_connections)
{
	struct server_limits limits = server_limits_default;
	struct rig_client *clients[8];
	struct rig *rig;
	int fd[2];

	limits.connections_max = 8;
	rig = rig_create(&limits);
	for (unsigned i = 0; i < 8; i++)
		clients[i] = rig_connect(rig);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	test_error(connection_accept(rig->server, fd[1], 0), -EAGAIN);
	ck_assert_int_eq(recv(fd[0], &limits, 1, 0), 0);
	for (unsigned i = 0; i < 8; i++) {
		struct rig_call *call = rig_call(clients[i], "Echo", "x");

		rig_wait(rig, call);
		rig_expect(call, GRPC_OK, "");
	}
	rig_die(clients[3]);
	rig_run(rig);
	expect_alive(rig);
	close(fd[0]);
	rig_destroy(rig);
}
END_TEST

START_TEST(test_call_while_draining)
{
	struct rig *rig = rig_create(NULL);
	struct raw raw;
	int fd = rig_connect_raw(rig);

	raw_begin(&raw);
	raw_call(&raw, 1, "/test.Test/Hold", NGHTTP2_FLAG_END_HEADERS);
	raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\0", 5);
	ck_assert(raw_send(rig, fd, &raw));
	connection_drain_all(rig->server);
	rig_run(rig);
	/* The client did not see in time that it should go. */
	raw.size = 0;
	raw_call(&raw, 3, "/test.Test/Echo", NGHTTP2_FLAG_END_HEADERS);
	raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "\0\0\0\0\0", 5);
	ck_assert(raw_send(rig, fd, &raw));
	rig_run(rig);
	ck_assert_uint_eq(rig->ended[GRPC_UNAVAILABLE], 1);
	ck_assert_uint_eq(rig->server->connections_count, 1);
	rig_release(rig);
	rig_run(rig);
	ck_assert_uint_eq(rig->ended[GRPC_OK], 1);
	/* The socket stays until the client has closed it. */
	ck_assert_uint_eq(rig->server->connections_count, 1);
	close(fd);
	rig_run(rig);
	ck_assert_uint_eq(rig->server->connections_count, 0);
	rig_destroy(rig);
}
END_TEST

/* Answers to a call when another is cancelled: its client may be gone as well. */
static void answer_all(struct grpc_call *call, void *data)
{
	rig_release(data);
}

START_TEST(test_answers_while_it_dies)
{
	struct rig *rig = rig_create(NULL);
	struct rig_client *client = rig_connect(rig);

	for (unsigned i = 0; i < 10; i++)
		rig_call(client, "Hold", "x");
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, 10);
	grpc_call_on_cancel(rig->held[3], answer_all, rig);
	rig_die(client);
	rig_run(rig);
	ck_assert_uint_eq(rig->held_count, 0);
	ck_assert_uint_eq(rig->server->calls_count, 0);
	rig_destroy(rig);
}
END_TEST

TEST_MAIN_UNIT("hostile", test_no_preface, test_silent_clients, test_half_frames, test_reset_storm,
	       test_resets_at_once, test_resets_between_answers, test_refused_storm,
	       test_ping_flood, test_settings_flood, test_frame_bounds, test_continuation_flood,
	       test_pseudo_headers, test_large_headers, test_deaf_client, test_closed_window,
	       test_stalled_request, test_input_bound, test_output_bound, test_unpacked_bound,
	       test_held_bound, test_no_memory, test_fair_share, test_fair_turns,
	       test_many_connections, test_call_while_draining, test_answers_while_it_dies)
