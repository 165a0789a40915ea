/* SPDX-License-Identifier: Apache-2.0 */
/* health.c: see health.h. */
#include "health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/serve/health.pb-c.h"

struct health {
	const struct grpc_server *server;
	/* The calls of Watch. */
	struct link watchers;
	bool draining;
};

/* A call of Watch. */
struct health_watcher {
	struct link link;
	struct grpc_call *call;
};

/* Does the server have a service NAME ("": the daemon itself)? */
static bool health_knows(const struct grpc_server *server, const char *name)
{
	size_t length = strlen(name);

	if (!length)
		return true;
	for (unsigned i = 0; i < server->tables_count; i++) {
		const char *path = server->tables[i].methods[0].path;

		if (path && !strncmp(path + 1, name, length) && path[1 + length] == '/')
			return true;
	}
	return false;
}

/* Send the status of the service NAME on CALL: 0 or -ENOMEM. */
static int health_send(const struct health *health, struct grpc_call *call, const char *name)
{
	Grpc__Health__V1__HealthCheckResponse response =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	if (!health_knows(health->server, name))
		response.status =
			GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
	else if (health->draining)
		response.status =
			GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
	else
		response.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	return grpc_call_send(call, &response.base);
}

/* The method Check: answer with the status of a service. */
static void health_check(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
	const struct health *health = service;

	if (!health_knows(health->server, request->service))
		grpc_call_end(call, GRPC_NOT_FOUND, "there is no such service");
	else if (health_send(health, call, request->service) < 0)
		grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
	else
		grpc_call_end(call, GRPC_OK, NULL);
}

/* The client of a Watch has gone. */
static void health_cancelled(struct grpc_call *call, void *data)
{
	struct health_watcher *watcher = data;

	link_remove(&watcher->link);
	free(watcher);
	grpc_call_end(call, GRPC_CANCELLED, NULL);
}

/* The method Watch: the same, and again when that changes. */
static void health_watch(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
	struct health *health = service;
	struct health_watcher *watcher = malloc(sizeof(*watcher));

	if (!watcher || health_send(health, call, request->service) < 0) {
		free(watcher);
		grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "no memory");
		return;
	}
	watcher->call = call;
	link_init(&watcher->link);
	link_append(&health->watchers, &watcher->link);
	grpc_call_on_cancel(call, health_cancelled, watcher);
}

static const struct grpc_method health_methods[] = {
	{ "/grpc.health.v1.Health/Check", &grpc__health__v1__health_check_request__descriptor,
	  health_check, false },
	{ "/grpc.health.v1.Health/Watch", &grpc__health__v1__health_check_request__descriptor,
	  health_watch, false },
	{ 0 },
};

int health_create(struct grpc_server *server, struct health **ret_health)
{
	struct health *health = calloc(1, sizeof(*health));
	int r;

	if (!health)
		return -ENOMEM;
	health->server = server;
	link_init(&health->watchers);
	r = grpc_server_add(server, health_methods, health);
	if (r < 0) {
		free(health);
		return r;
	}
	*ret_health = health;
	return 0;
}

void health_drain(struct health *health)
{
	health->draining = true;
	while (!link_alone(&health->watchers)) {
		struct health_watcher *watcher = link_entry(health->watchers.next,
							    struct health_watcher, link);
		struct grpc_call *call = watcher->call;

		link_remove(&watcher->link);
		free(watcher);
		/* Where that fails, the status of the call says the same. */
		health_send(health, call, "");
		grpc_call_end(call, GRPC_UNAVAILABLE, "the daemon is about to end");
	}
}

void health_destroy(struct health *health)
{
	free(health);
}
