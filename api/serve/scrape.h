/* SPDX-License-Identifier: Apache-2.0 */
/* scrape.h: the metrics by HTTP: one GET a connection, as Prometheus and curl make it. */
#ifndef VARVE_SERVE_SCRAPE_H
#define VARVE_SERVE_SCRAPE_H

#include "loop.h"
#include "metrics.h"

struct scraper;

/* Answer with METRICS: 0 or -ENOMEM. */
int scraper_create(struct loop *loop, const struct metrics *metrics, struct scraper **ret_scraper);

/* Take the connection FD, which is then the scraper's. */
void scraper_accept(struct scraper *scraper, int fd);

/* Close all connections, and free SCRAPER (NULL: do nothing). */
void scraper_destroy(struct scraper *scraper);

#endif
