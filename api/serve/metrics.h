/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h: what the daemon counts, as OpenMetrics text. */
#ifndef VARVE_SERVE_METRICS_H
#define VARVE_SERVE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include <varve.h>

#include "server.h"

struct metrics;

/* Count the calls of SERVER, on STORE: 0 or -ENOMEM. */
int metrics_create(const struct grpc_server *server, struct varve_store *store,
		   struct metrics **ret_metrics);

/* Free METRICS (NULL: do nothing). */
void metrics_destroy(struct metrics *metrics);

/* Count a call that has ended. */
void metrics_record(struct metrics *metrics, const struct server_record *record);

/*
 * Write all that is counted, and behind it what the store counts: *RET_TEXT, to be freed, of
 * *RET_SIZE bytes. 0 or -errno.
 */
int metrics_text(const struct metrics *metrics, char **ret_text, size_t *ret_size);

#endif
