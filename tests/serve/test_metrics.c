/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon counts, as text: each method, what is no method, each class of latency. */
#include "metrics.h"
#include "rig.h"
#include "test.h"

/* Count a call of method NUMBER that took DURATION_NS. */
static void record(struct metrics *metrics, unsigned number, enum grpc_status status,
		   uint64_t duration_ns)
{
	const struct server_record record = { .method_number = number,
					      .path = "",
					      .text = "",
					      .status = status,
					      .duration_ns = duration_ns };

	metrics_record(metrics, &record);
}

/* TEXT has LINE. */
static void expect_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	ck_assert_msg(at && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n',
		      "no line '%s' in\n%s", line, text);
}

START_TEST(test_text)
{
	struct rig *rig = rig_create(NULL);
	struct varve_store *store = test_open(test_home());
	const unsigned last = rig->server->methods_count - 1;
	struct metrics *metrics;
	char *text;
	size_t size;

	test_error(metrics_create(rig->server, store, &metrics), 0);
	record(metrics, 0, GRPC_OK, 0);
	record(metrics, 0, GRPC_OK, 100000);
	record(metrics, 0, GRPC_NOT_FOUND, 100001);
	record(metrics, last, GRPC_OK, UINT64_MAX);
	record(metrics, GRPC_METHODS_MAX, GRPC_UNIMPLEMENTED, 2500000000);
	/* A code that gRPC does not have. */
	record(metrics, last, (enum grpc_status)1000, 0);
	rig_run(rig);
	test_error(metrics_text(metrics, &text, &size), 0);
	ck_assert_uint_eq(strlen(text), size);
	expect_line(text, "varve_serve_rpcs_total{method=\"grpc.health.v1.Health/Check\","
			  "code=\"OK\"} 2");
	expect_line(text, "varve_serve_rpcs_total{method=\"grpc.health.v1.Health/Check\","
			  "code=\"NOT_FOUND\"} 1");
	expect_line(text, "varve_serve_rpcs_total{method=\"test.Test/Pour\",code=\"UNKNOWN\"} 1");
	expect_line(text, "varve_serve_rpcs_total{method=\"unknown\",code=\"UNIMPLEMENTED\"} 1");
	expect_line(text, "varve_serve_rpc_seconds_bucket{method=\"grpc.health.v1.Health/Check\","
			  "le=\"0.0001\"} 2");
	expect_line(text, "varve_serve_rpc_seconds_bucket{method=\"grpc.health.v1.Health/Check\","
			  "le=\"0.0003\"} 3");
	expect_line(text,
		    "varve_serve_rpc_seconds_bucket{method=\"test.Test/Pour\",le=\"100.0\"} 1");
	expect_line(text,
		    "varve_serve_rpc_seconds_bucket{method=\"test.Test/Pour\",le=\"+Inf\"} 2");
	expect_line(text, "varve_serve_rpc_seconds_sum{method=\"unknown\"} 2.500000000");
	expect_line(text, "varve_serve_calls 0");
	/* Methods that were not called take no room. */
	ck_assert_ptr_null(strstr(text, "Echo"));
	ck_assert_str_eq(text + size - strlen("# EOF\n"), "# EOF\n");
	free(text);
	metrics_destroy(metrics);
	test_close(store);
	rig_destroy(rig);
}
END_TEST

TEST_MAIN("metrics", test_text)
