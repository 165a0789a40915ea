/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of gRPC on one connection to a Unix socket, with any number of calls in flight, on the
 * thread that calls it. For the engine that speaks to snapshotters of containerd.
 */
#ifndef BENCH_GRPC_CLIENT_H
#define BENCH_GRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes of a request, and of an answer that is kept; what is longer fails. */
#define GRPC_MESSAGE_MAX (16u << 10)
/* Most bytes of the server's explanation that are kept. */
#define GRPC_TEXT_SIZE 256

/* A connection. */
struct grpc_client;

/* One call, owned by the caller until ENDED has run. */
struct grpc_client_call {
	/* Run when it has ended, from grpc_client_wait(). */
	void (*ended)(struct grpc_client_call *call);
	/* The caller's. */
	void *data;
	/* The status of gRPC, 0 for success; negative before there is one: an errno. */
	int status;
	/* The server's explanation of a failure. */
	char text[GRPC_TEXT_SIZE];
	/* The request in its frame, its size, and how much of it was sent. */
	uint8_t request[GRPC_MESSAGE_MAX];
	size_t request_size;
	size_t request_sent;
	/* The answer with its frame. */
	uint8_t answer[GRPC_MESSAGE_MAX];
	size_t answer_size;
};

/* Connect to the Unix socket PATH. Returns 0 or -errno. */
int grpc_client_open(const char *path, struct grpc_client **ret);

/* Prepare CALL for a message that grpc_put() appends to. */
void grpc_begin(struct grpc_client_call *call);

/* Append the field NUMBER with TEXT to the request of CALL. Returns 0 or -EMSGSIZE. */
int grpc_put(struct grpc_client_call *call, unsigned number, const char *text);

/*
 * Find the field NUMBER, of bytes, in the SIZE bytes at MESSAGE, behind *AT, which moves on.
 * Returns its content, whose length goes to *RET_SIZE; NULL after the last.
 */
const uint8_t *grpc_get(const uint8_t *message, size_t size, unsigned number, size_t *at,
			size_t *ret_size);

/* Return the message of the answer of CALL, whose size goes to *RET_SIZE. */
const uint8_t *grpc_answer(const struct grpc_client_call *call, size_t *ret_size);

/* Start CALL of the method PATH. Returns 0 or -errno. */
int grpc_client_start(struct grpc_client *client, const char *path, struct grpc_client_call *call);

/*
 * Send, and receive for up to TIMEOUT_MS (-1: until something comes). Returns 0 or -errno; -EINTR:
 * a signal came.
 */
int grpc_client_wait(struct grpc_client *client, int timeout_ms);

/* Close the connection; calls in flight do not end any more. NULL is fine. */
void grpc_client_close(struct grpc_client *client);

#endif
