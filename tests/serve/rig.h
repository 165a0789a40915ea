/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h: a server and its clients in one thread, on socket pairs. Nothing happens but in
 * rig_run(), which turns the loop and lets the clients read and write: so that a test chooses what
 * is in flight when.
 *
 * The server has the health service, and "test.Test":
 *
 *	Echo	answers with its message
 *	Hold	keeps the call until rig_release(), and counts cancels
 *	Work	the same, and counts as work
 *	Flood	answers with messages of RIG_FLOOD_BYTES until `flood_bytes` are queued, as room allows
 *	Pour	the same, and asks for no room
 */
#ifndef TESTS_SERVE_RIG_H
#define TESTS_SERVE_RIG_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection.h"
#include "health.h"
#include "server.h"

/* Abort unless IS holds: this is used without Check, too. */
#define rig_require(is) ((is) ? (void)0 : rig_fail(__FILE__, __LINE__, #is))

/* Say that CONDITION, in LINE of FILE, does not hold, and abort. */
void rig_fail(const char *file, int line, const char *condition) __attribute__((noreturn));

#define RIG_CALLS_MAX 8192
#define RIG_FLOOD_BYTES 20000

struct rig {
	struct loop *loop;
	struct grpc_server *server;
	struct health *health;
	struct rig_client *clients;
	/* The calls of Hold that are not released. */
	struct grpc_call *held[RIG_CALLS_MAX];
	unsigned held_count, held_total, cancels;
	/* How much Flood sends, how much it has queued at most; its calls, now and in all. */
	size_t flood_bytes, flood_waiting_max;
	unsigned flooding, flood_total;
	/* The records of calls that have ended, by status. */
	unsigned ended[16];
	/* The last one's text. */
	char text[512];
};

/* A call of a client. */
struct rig_call {
	int32_t stream;
	/* The stream is closed, with the error code of HTTP/2. */
	bool closed;
	uint32_t error;
	/* Of the answer; -1: none yet. */
	int http, status;
	char text[8192];
	/* Header frames, and whether the first one ended the stream: trailers alone. */
	unsigned headers;
	bool trailers_only;
	/* The body. */
	uint8_t *body;
	size_t body_size, body_room;
	/* What is sent. */
	const uint8_t *request;
	size_t request_size, request_at;
	/* Do not end the stream after the request. */
	bool open;
};

struct rig_client {
	struct rig *rig;
	struct rig_client *next;
	int fd;
	nghttp2_session *session;
	/* The server has closed the connection. */
	bool gone;
	/* Do not read. */
	bool deaf;
	/* The error code of the last GOAWAY; -1: none. */
	int64_t goaway;
	/* How much came. */
	uint64_t bytes;
	struct rig_call *calls[RIG_CALLS_MAX];
	unsigned calls_count;
};

/* Make a server with LIMITS (NULL: the default). */
struct rig *rig_create(const struct server_limits *limits);

/* Close all, and see that nothing is left. */
void rig_destroy(struct rig *rig);

/* Connect a client. */
struct rig_client *rig_connect(struct rig *rig);

/* Connect a client that speaks bytes: return its end. */
int rig_connect_raw(struct rig *rig);

/* Close the connection of CLIENT, as a process that dies. */
void rig_die(struct rig_client *client);

/* Begin a call of METHOD ("Echo") with NAME in its message. */
struct rig_call *rig_call(struct rig_client *client, const char *method, const char *name);

/* A header beside the usual ones, or in place of the one of its name; VALUE NULL: without it. */
struct rig_header {
	const char *name, *value;
};

/* Begin a call of the path PATH with SIZE bytes of BODY, and HEADERS, which end with a NULL. */
struct rig_call *rig_call_raw(struct rig_client *client, const char *path, const void *body,
			      size_t size, const struct rig_header *headers);

/* Reset CALL. */
void rig_reset(struct rig_client *client, struct rig_call *call);

/* Run until nothing happens any more. */
void rig_run(struct rig *rig);

/* Run until CALL is closed; the test fails when that takes too long. */
void rig_wait(struct rig *rig, struct rig_call *call);

/* Run until *FLAG. */
void rig_wait_for(struct rig *rig, const bool *flag);

/* A message with NAME, behind its prefix, from test_alloc(). */
uint8_t *rig_message(const char *name, size_t *ret_size);

/* End all calls of Hold with OK. */
void rig_release(struct rig *rig);

/* Fail the test unless CALL ended with STATUS, and its text holds TEXT. */
void rig_expect(const struct rig_call *call, enum grpc_status status, const char *text);

#endif
