/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: see server.h. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct server_limits server_limits_default = {
	.streams_max = GRPC_STREAMS_MAX,
	.connections_max = GRPC_CONNECTIONS_MAX,
	.working_max = GRPC_WORKING_MAX,
	.resets_max = GRPC_RESETS_MAX,
	.resets_per_second = GRPC_RESETS_PER_SECOND,
	.stall_ms = GRPC_STALL_MS,
	.input_bytes_max = GRPC_INPUT_BYTES_MAX,
	.output_bytes_max = GRPC_OUTPUT_BYTES_MAX,
	.held_bytes_max = GRPC_HELD_BYTES_MAX,
};

int grpc_server_create(struct loop *loop, const struct server_limits *limits,
		       struct grpc_server **ret_server)
{
	struct grpc_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->limits = limits ? *limits : server_limits_default;
	link_init(&server->connections);
	*ret_server = server;
	return 0;
}

void grpc_server_destroy(struct grpc_server *server)
{
	free(server);
}

int grpc_server_add(struct grpc_server *server, const struct grpc_method *methods, void *service)
{
	unsigned count = 0;

	while (methods[count].path)
		count++;
	if (server->tables_count == GRPC_TABLES_MAX ||
	    count > GRPC_METHODS_MAX - server->methods_count)
		return -ENOMEM;
	server->tables[server->tables_count++] = (struct server_table){
		.methods = methods, .service = service, .first = server->methods_count
	};
	server->methods_count += count;
	return 0;
}

const struct grpc_method *server_method(const struct grpc_server *server, const char *path,
					size_t length, void **ret_service, unsigned *ret_number)
{
	for (unsigned i = 0; i < server->tables_count; i++) {
		const struct server_table *table = &server->tables[i];

		for (unsigned j = 0; table->methods[j].path; j++) {
			const char *known = table->methods[j].path;

			if (strlen(known) != length || memcmp(known, path, length) != 0)
				continue;
			*ret_service = table->service;
			*ret_number = table->first + j;
			return &table->methods[j];
		}
	}
	return NULL;
}

bool server_allows(size_t mine, size_t all, size_t most, size_t count)
{
	size_t left = most - all;

	return count <= left && mine <= left - count && count <= left - count - mine;
}

struct server_share *server_share_create(void (*begin)(void *share))
{
	struct server_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->connected = true;
	link_init(&share->waiting);
	loop_task_init(&share->beginning, begin, share);
	return share;
}

void server_share_release(struct server_share *share)
{
	if (share->connected || share->calls)
		return;
	loop_task_stop(&share->beginning);
	free(share);
}

bool server_idle(const struct grpc_server *server)
{
	return link_alone(&server->connections) && server->calls_owned == 0;
}
