/* SPDX-License-Identifier: Apache-2.0 */
/* Write the logs of a thread in the form that fio2gnuplot and fio_generate_plots read. */
#ifndef BENCH_LOG_H
#define BENCH_LOG_H

#include "load/worker.h"

/* Write the logs that WORKER's options ask for, as number NUMBER. Returns 0 or -errno. */
int log_write(const struct worker *worker, uint32_t number);

#endif
