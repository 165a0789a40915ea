/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h: what the connections and calls of a gRPC server share.
 *
 *	daemon.c, listener.c	a descriptor of a client
 *	  connection.c		  bytes <-> frames (nghttp2)
 *	    call.c		    frames <-> one call; implements grpc.h
 *	      server.c		      which methods there are; limits, counters
 *	      health.c, ...	      services, which see grpc.h alone
 */
#ifndef VARVE_SERVE_SERVER_H
#define VARVE_SERVE_SERVER_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "grpc.h"
#include "limits.h"
#include "link.h"
#include "loop.h"

/* Limits of a server, as limits.h has them; tests set smaller ones. */
struct server_limits {
	unsigned streams_max, connections_max, working_max;
	unsigned resets_max, resets_per_second;
	unsigned stall_ms;
	size_t input_bytes_max, output_bytes_max, held_bytes_max;
};

/* The limits of limits.h. */
extern const struct server_limits server_limits_default;

/* What happened to a call that has ended: for the access log and the metrics. */
struct server_record {
	uint64_t number;
	/* NULL: a method that there is not. */
	const struct grpc_method *method;
	/* Its place among all methods; GRPC_METHODS_MAX for NULL. */
	unsigned method_number;
	/* What the client asked for, cut off at GRPC_PATH_BYTES_MAX. */
	const char *path;
	/* NULL when none was read. */
	const ProtobufCMessage *message;
	enum grpc_status status;
	/* The message of the status, or "". */
	const char *text;
	uint64_t duration_ns;
	/* Of the client. */
	pid_t pid;
};

/*
 * What one connection has of what all connections share: see server_allows(). It lives as long as
 * the connection, or as one of its calls, which a service may still have when the connection ends.
 */
struct server_share {
	bool connected;
	unsigned calls;
	size_t input_bytes, output_bytes, held_bytes;
	/* Calls that a service works on, and those that wait until it works on fewer. */
	unsigned working;
	struct link waiting;
	/* Begins the next ones. */
	struct loop_task beginning;
};

/* A table of methods. */
struct server_table {
	const struct grpc_method *methods;
	void *service;
	/* The number of its first method among all. */
	unsigned first;
};

struct grpc_server {
	struct loop *loop;
	struct server_limits limits;
	struct server_table tables[GRPC_TABLES_MAX];
	unsigned tables_count, methods_count;
	struct link connections;
	unsigned connections_count;
	/* Calls that are not freed: of open streams, and those that a service still has. */
	unsigned calls_count;
	/* Of which services have so many. */
	unsigned calls_owned;
	/* Calls since the start. */
	uint64_t calls_total;
	/* Bytes of requests and answers in memory. */
	size_t input_bytes, output_bytes;
	/* Bytes of the requests of calls under way, as fields. */
	size_t held_bytes;
	/* Take no new calls, and end when none is left. */
	bool draining;
	/* Run with RECORDED_DATA for each call that has ended; may be NULL. */
	void (*recorded)(void *data, const struct server_record *record);
	void *recorded_data;
	/* Run with ENDED_DATA each time a connection has ended; may be NULL. */
	void (*ended)(void *data);
	void *ended_data;
	/* What all connections read into and send from: one at a time. */
	uint8_t input[CONNECTION_READ_BYTES];
	uint8_t output[CONNECTION_WRITE_BYTES + CONNECTION_FRAME_BYTES_MAX];
};

/* One connection. */
struct connection {
	struct link link;
	struct grpc_server *server;
	struct server_share *share;
	nghttp2_session *session;
	struct loop_source source;
	/* Sends what nghttp2 has to send. */
	struct loop_task writing;
	/* Due when the client has taken nothing, or has sent no frame at all, for too long. */
	struct loop_timer stall;
	/* The client has sent a frame. */
	bool greeted;
	/* The open streams. */
	struct link calls;
	/* Frames that the socket did not take: a copy. */
	uint8_t *pending;
	size_t pending_size, pending_at;
	/* Resets that the client may still send, and when they were counted. */
	uint64_t resets_left, resets_ns;
	pid_t pid;
	/* The last GOAWAY is on its way: end when all is sent. */
	bool leaving;
	/* All is sent, and the sending side is shut: it waits until the client closes. */
	bool lingering;
	/* Send what there is, and end. */
	bool broken;
};

/* Make a server on LOOP with LIMITS (NULL: the default): 0 or -ENOMEM. */
int grpc_server_create(struct loop *loop, const struct server_limits *limits,
		       struct grpc_server **ret_server);

/* Free SERVER (NULL: do nothing), which is idle: see server_idle(). */
void grpc_server_destroy(struct grpc_server *server);

/* Find the method of the path of LENGTH bytes, its service and its number. NULL: none. */
const struct grpc_method *server_method(const struct grpc_server *server, const char *path,
					size_t length, void **ret_service, unsigned *ret_number);

/*
 * May a connection that has MINE of something take COUNT more, where all have ALL, of MOST? It has
 * to leave as much as it has then. So one connection has half of it at most, and however many take
 * what they may, there is something left for another one.
 */
bool server_allows(size_t mine, size_t all, size_t most, size_t count);

/* The share of a new connection, whose task runs BEGIN with it. NULL: no memory. */
struct server_share *server_share_create(void (*begin)(void *share));

/* Free SHARE when neither its connection nor a call of that has it. */
void server_share_release(struct server_share *share);

/* Is nothing in flight, neither a connection nor a call that a service has? */
bool server_idle(const struct grpc_server *server);

#endif
