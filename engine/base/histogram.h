/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear latency histograms: see struct varve_histogram. */
#ifndef VARVE_BASE_HISTOGRAM_H
#define VARVE_BASE_HISTOGRAM_H

#include "varve.h"

/* Record one latency. */
void histogram_record(struct varve_histogram *histogram, uint64_t latency_ns);

/* As varve_histogram_percentile(). */
uint64_t histogram_percentile(const struct varve_histogram *histogram, double percent);

#endif
