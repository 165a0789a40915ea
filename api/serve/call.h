/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h: one call, from the first header to the last trailer.
 *
 *	stream	  created ── headers ── message ── END_STREAM ── closed, by the end of the answer, a reset, or with the connection
 *	service				   start() ── sends ── grpc_call_end()
 *	status	  none yet ─────────────────────────────────────── decided: by the service, or before it by a cancel
 *
 * The stream and the service end in either order. A call is freed when its stream is closed and no
 * service has it. Once the status is decided, nothing else is sent.
 */
#ifndef VARVE_SERVE_CALL_H
#define VARVE_SERVE_CALL_H

#include <nghttp2/nghttp2.h>

#include "server.h"
#include "wire.h"

/* A message of an answer, behind its prefix. */
struct call_piece {
	struct call_piece *next;
	size_t size;
	uint8_t bytes[];
};

struct grpc_call {
	/* Among the streams of the connection. */
	struct link link;
	/* Among those of the connection that wait for their beginning; else alone. */
	struct link turn;
	struct grpc_server *server;
	/* Of the connection, also when the stream is closed. */
	struct server_share *share;
	/* NULL: the stream is closed. */
	struct connection *connection;
	int32_t stream;
	uint64_t number;
	uint64_t began_ns;
	/* Of the client. */
	pid_t pid;

	/* NULL: there is none of that path. */
	const struct grpc_method *method;
	unsigned method_number;
	void *service;
	/* The path, where it is unknown. */
	char *path;
	/* Bytes of the headers so far. */
	size_t headers_bytes;
	/* Which pseudo-headers there were, as bits of call.c, and whether others began. */
	unsigned pseudo_headers;
	bool plain_headers;
	/* What HTTP/2 forbids and the headers have: a phrase, or NULL. */
	const char *headers_fault;
	/* What the headers said. */
	bool is_post, is_grpc, is_compressed, bad_timeout, has_timeout, headers_ended;
	uint64_t timeout_ns;

	/* The client has sent all. */
	bool received;
	uint8_t prefix[WIRE_PREFIX_BYTES];
	size_t prefix_size;
	/* Bytes of the message, and the room for them. */
	uint8_t *input;
	size_t input_size, input_room;
	/* The message, and what allocates its fields, of GRPC_UNPACKED_BYTES_MAX at most. */
	ProtobufCMessage *message;
	ProtobufCAllocator allocator;
	size_t unpacked_bytes;
	/* The limit that the message exceeded; 0: none. */
	size_t limit;
	/* Memory ran out for it. */
	bool starved;

	/* Messages that wait to be sent, and how much of the first has been. */
	struct call_piece *output, **output_end;
	size_t output_at, output_bytes;
	/* The headers of the answer are sent or about to be. */
	bool answered;

	/* The service has it, and works on it. */
	bool owned, working;
	/* The client has gone, or its deadline has passed. */
	bool cancelled;
	/* The status is decided. */
	bool decided;
	enum grpc_status status;
	unsigned http_status;
	/* NULL: none. */
	char *text;

	struct loop_timer deadline;
	/* Due when the client may have stalled, and the last time it did something. */
	struct loop_timer stall;
	uint64_t progress_ns;
	/* Runs the two below. */
	struct loop_task task;
	void (*on_cancel)(struct grpc_call *call, void *data);
	void *on_cancel_data;
	void (*on_room)(struct grpc_call *call, void *data);
	void *on_room_data;
};

/* Make the call of STREAM of CONNECTION. NULL: it must be refused. */
struct grpc_call *call_create(struct connection *connection, int32_t stream);

/* Begin the calls of SHARE that wait, as many as may be worked on. */
void call_begin_waiting(void *share);

/* Take a header of CALL, or a trailer. */
void call_header(struct grpc_call *call, const uint8_t *name, size_t name_length,
		 const uint8_t *value, size_t value_length);

/* The headers of CALL are complete. */
void call_headers_end(struct grpc_call *call);

/* Take SIZE bytes of the body of CALL. */
void call_data(struct grpc_call *call, const uint8_t *bytes, size_t size);

/* The client has sent all of CALL. */
void call_received(struct grpc_call *call);

/* The stream of CALL is closed; CALL may be gone then. */
void call_closed(struct grpc_call *call);

#endif
