/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over HTTP/2, served on one thread: what a service sees. Connections, frames, flow control,
 * deadlines, limits and the access log are in connection.c and call.c; a service gets one parsed
 * message a call, and answers with messages and one status.
 *
 * A call belongs to its service from start() until grpc_call_end(), which is called exactly once,
 * also after a cancel. A client that goes away, resets the stream or lets its deadline pass
 * cancels the call: cancelled() runs at once, and what is sent from then on is dropped.
 */
#ifndef VARVE_SERVE_GRPC_H
#define VARVE_SERVE_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* The codes of gRPC. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
};

struct grpc_server;
struct grpc_call;

/* One method of a service. A table of them ends with a path of NULL. */
struct grpc_method {
	/* "/containerd.services.snapshots.v1.Snapshots/Prepare". */
	const char *path;
	/* The type of the request. */
	const ProtobufCMessageDescriptor *request;
	/* Begin the call. MESSAGE lives until grpc_call_end(). */
	void (*start)(struct grpc_call *call, const ProtobufCMessage *message, void *service);
	/* It takes work: of one connection GRPC_WORKING_MAX such calls are begun at once. */
	bool works;
};

/* Serve METHODS, whose start() gets SERVICE: 0 or -ENOMEM. METHODS live as long as the server. */
int grpc_server_add(struct grpc_server *server, const struct grpc_method *methods, void *service);

/* Call CANCELLED with DATA when CALL is cancelled; NULL: no longer. */
void grpc_call_on_cancel(struct grpc_call *call,
			 void (*cancelled)(struct grpc_call *call, void *data), void *data);

/* Has CALL been cancelled? */
bool grpc_call_cancelled(const struct grpc_call *call);

/* Queue MESSAGE, which is packed at once: 0, -ENOMEM. */
int grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message);

/*
 * Call ROOM with DATA once less than GRPC_BUFFER_BYTES of the answer wait for the client, which may
 * be at once, from the loop. A service with a long answer sends a message, and asks for room.
 */
void grpc_call_on_room(struct grpc_call *call, void (*room)(struct grpc_call *call, void *data),
		       void *data);

/* End CALL with STATUS, and a message for a person (NULL: none). CALL must not be used then. */
void grpc_call_end(struct grpc_call *call, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
