/* SPDX-License-Identifier: Apache-2.0 */
/* Show live rates and the time to go, in one line on standard error that rewrites itself. */
#include "report/eta.h"

#include <stdio.h>

#include "load/clock.h"

void eta_begin(struct eta *eta, bool shown)
{
	*eta = (struct eta){ .shown = shown, .begin_ns = clock_ns() };
	eta->last_ns = eta->begin_ns;
}

void eta_clear(struct eta *eta)
{
	eta->units = 0;
	eta->threads = 0;
	eta->done = 1;
}

void eta_add(struct eta *eta, struct worker *worker)
{
	const struct options *options = worker->options;
	uint64_t units = atomic_load_explicit(&worker->progress, memory_order_relaxed);
	double done = 0, share;

	eta->units += units;
	eta->threads++;
	eta->name = options->name;
	eta->engine = worker->engine->name;
	if (options->runtime) {
		done = (double)(clock_ns() - eta->begin_ns) /
		       (double)(options->runtime + options->ramp_time + options->startdelay);
	}
	if (!options->time_based && worker->work != UINT64_MAX && worker->work) {
		share = (double)units / (double)worker->work;
		if (share > done)
			done = share;
	}
	if (done < eta->done)
		eta->done = done;
}

void eta_show(struct eta *eta)
{
	uint64_t now = clock_ns();
	double passed = (double)(now - eta->begin_ns) / (double)NS_PER_S, rate = 0;

	if (now > eta->last_ns)
		rate = (double)(eta->units - eta->last_units) * (double)NS_PER_S /
		       (double)(now - eta->last_ns);
	eta->last_ns = now;
	eta->last_units = eta->units;
	fprintf(stderr, "\r\033[K%s (%s): jobs: %u  [%3.0f%%]  %.0f/s  ", eta->name, eta->engine,
		eta->threads, eta->done * 100, rate);
	if (eta->done > 0.01)
		fprintf(stderr, "eta %.0fs", passed / eta->done - passed);
	fflush(stderr);
}

void eta_end(struct eta *eta)
{
	if (eta->shown)
		fprintf(stderr, "\r\033[K");
}
