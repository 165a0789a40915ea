/* SPDX-License-Identifier: Apache-2.0 */
/* health.h: the service grpc.health.v1.Health: all serve, until the daemon drains. */
#ifndef VARVE_SERVE_HEALTH_H
#define VARVE_SERVE_HEALTH_H

#include "server.h"

struct health;

/* Add the service to SERVER: 0 or -ENOMEM. */
int health_create(struct grpc_server *server, struct health **ret_health);

/* Nothing serves from now on: tell the watchers, and end their calls. */
void health_drain(struct health *health);

/* Free HEALTH (NULL: do nothing), after all of its calls. */
void health_destroy(struct health *health);

#endif
