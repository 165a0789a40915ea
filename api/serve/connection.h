/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection.h: connections: bytes from and to the client, frames by nghttp2, and what keeps one
 * client from harming the others:
 *
 *	a client that sends no frame	is cut after GRPC_STALL_MS, so that it keeps no others out
 *	a client that does not read	is not read from while frames wait for it, and is cut after
 *					GRPC_STALL_MS without progress
 *	resets in a storm		have a budget: GRPC_RESETS_MAX
 *	PING and SETTINGS in a storm	CONNECTION_ACKS_MAX, CONNECTION_SETTINGS_MAX
 *	headers without an end		CONNECTION_CONTINUATIONS_MAX
 *	streams				GRPC_STREAMS_MAX of all connections: more are refused,
 *					before they begin
 *	streams, requests and answers	one connection has half of what there may be at most,
 *	of one client			and the less the more others have: server_allows()
 *	work for one client		GRPC_WORKING_MAX calls are begun at once, the next ones
 *					wait
 *
 * nghttp2 forgets its streams without a callback when the session ends: so the connection has a
 * list of its calls.
 */
#ifndef VARVE_SERVE_CONNECTION_H
#define VARVE_SERVE_CONNECTION_H

#include "server.h"

/* Take the connection FD, which is then the server's, of process PID: 0 or -errno. */
int connection_accept(struct grpc_server *server, int fd, pid_t pid);

/* Take no more calls: clients are asked to go, and are left when their calls have ended. */
void connection_drain_all(struct grpc_server *server);

/* End all connections at once, which cancels their calls. */
void connection_cut_all(struct grpc_server *server);

#endif
