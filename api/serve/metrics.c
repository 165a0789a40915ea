/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c: see metrics.h. The labels are names of methods and codes, of which there are few. */
#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "access.h"
#include "limits.h"

/* Codes of gRPC. */
#define METRICS_CODES 17

/* The upper bounds of the classes of latency; the last one has none. */
static const struct {
	uint64_t ns;
	const char *text;
} metrics_bounds[] = {
	{ 100000, "0.0001" },      { 300000, "0.0003" },    { 1000000, "0.001" },
	{ 3000000, "0.003" },      { 10000000, "0.01" },    { 30000000, "0.03" },
	{ 100000000, "0.1" },      { 300000000, "0.3" },    { 1000000000, "1.0" },
	{ 3000000000, "3.0" },     { 10000000000, "10.0" }, { 30000000000, "30.0" },
	{ 100000000000, "100.0" }, { UINT64_MAX, "+Inf" },
};

#define METRICS_BOUNDS (sizeof(metrics_bounds) / sizeof(metrics_bounds[0]))

/* The calls of one method. */
struct metrics_method {
	uint64_t codes[METRICS_CODES];
	/* How many were of each class of latency, not cumulative. */
	uint64_t classes[METRICS_BOUNDS];
	uint64_t sum_ns;
};

struct metrics {
	const struct grpc_server *server;
	struct varve_store *store;
	/* The last one is for what is no method. */
	struct metrics_method methods[GRPC_METHODS_MAX + 1];
};

int metrics_create(const struct grpc_server *server, struct varve_store *store,
		   struct metrics **ret_metrics)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	metrics->server = server;
	metrics->store = store;
	*ret_metrics = metrics;
	return 0;
}

void metrics_destroy(struct metrics *metrics)
{
	free(metrics);
}

void metrics_record(struct metrics *metrics, const struct server_record *record)
{
	struct metrics_method *method = &metrics->methods[record->method_number];
	unsigned code = (unsigned)record->status, class = 0;

	method->codes[code < METRICS_CODES ? code : GRPC_UNKNOWN]++;
	while (record->duration_ns > metrics_bounds[class].ns)
		class ++;
	method->classes[class]++;
	method->sum_ns += record->duration_ns;
}

/* The name of the method NUMBER. */
static const char *metrics_name(const struct grpc_server *server, unsigned number)
{
	for (unsigned i = server->tables_count; i-- > 0;) {
		if (number < server->methods_count && number >= server->tables[i].first)
			return server->tables[i].methods[number - server->tables[i].first].path + 1;
	}
	return "unknown";
}

/* Write the calls by method and code. */
static void metrics_codes(const struct metrics *metrics, FILE *file)
{
	fputs("# TYPE varve_serve_rpcs counter\n"
	      "# HELP varve_serve_rpcs Calls that have ended.\n",
	      file);
	for (unsigned i = 0; i <= GRPC_METHODS_MAX; i++) {
		for (unsigned j = 0; j < METRICS_CODES; j++) {
			if (metrics->methods[i].codes[j])
				fprintf(file,
					"varve_serve_rpcs_total{method=\"%s\",code=\"%s\"} %" PRIu64
					"\n",
					metrics_name(metrics->server, i),
					access_status_name((enum grpc_status)j),
					metrics->methods[i].codes[j]);
		}
	}
}

/* Write the latencies by method. */
static void metrics_latencies(const struct metrics *metrics, FILE *file)
{
	fputs("# TYPE varve_serve_rpc_seconds histogram\n# UNIT varve_serve_rpc_seconds seconds\n"
	      "# HELP varve_serve_rpc_seconds Time from the first header to the end of the work.\n",
	      file);
	for (unsigned i = 0; i <= GRPC_METHODS_MAX; i++) {
		const struct metrics_method *method = &metrics->methods[i];
		const char *name = metrics_name(metrics->server, i);
		uint64_t count = 0;

		for (size_t j = 0; j < METRICS_BOUNDS; j++)
			count += method->classes[j];
		if (!count)
			continue;
		count = 0;
		for (size_t j = 0; j < METRICS_BOUNDS; j++) {
			count += method->classes[j];
			fprintf(file,
				"varve_serve_rpc_seconds_bucket{method=\"%s\",le=\"%s\"} %" PRIu64
				"\n",
				name, metrics_bounds[j].text, count);
		}
		fprintf(file, "varve_serve_rpc_seconds_count{method=\"%s\"} %" PRIu64 "\n", name,
			count);
		fprintf(file, "varve_serve_rpc_seconds_sum{method=\"%s\"} %.9f\n", name,
			(double)method->sum_ns / NS_PER_S);
	}
}

/* Write the gauge NAME. */
static void metrics_gauge(FILE *file, const char *name, const char *unit, const char *help,
			  uint64_t value)
{
	fprintf(file, "# TYPE varve_serve_%s gauge\n", name);
	if (unit)
		fprintf(file, "# UNIT varve_serve_%s %s\n", name, unit);
	fprintf(file, "# HELP varve_serve_%s %s\nvarve_serve_%s %" PRIu64 "\n", name, help, name,
		value);
}

int metrics_text(const struct metrics *metrics, char **ret_text, size_t *ret_size)
{
	const struct grpc_server *server = metrics->server;
	char *store_text = NULL, *text = NULL;
	size_t size = 0;
	FILE *file;
	int r = varve_metrics(metrics->store, &store_text);

	if (r < 0)
		return r;
	file = open_memstream(&text, &size);
	if (!file) {
		free(store_text);
		return -ENOMEM;
	}
	metrics_codes(metrics, file);
	metrics_latencies(metrics, file);
	metrics_gauge(file, "connections", NULL, "Connections of clients.",
		      server->connections_count);
	metrics_gauge(file, "calls", NULL,
		      "Calls that have not ended, of open streams or with work under way.",
		      server->calls_count);
	metrics_gauge(file, "request_bytes", "bytes", "Bytes of requests that are being received.",
		      server->input_bytes);
	metrics_gauge(file, "answer_bytes", "bytes", "Bytes of answers that wait for clients.",
		      server->output_bytes);
	/* It ends with the mark of the end. */
	fputs(store_text, file);
	free(store_text);
	r = ferror(file) ? -ENOMEM : 0;
	if (fclose(file) != 0)
		r = -ENOMEM;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}
