/* SPDX-License-Identifier: Apache-2.0 */
/* varve_metrics(): the numbers of the store, in text that an OpenMetrics parser takes. */
#include <errno.h>
#include <unistd.h>

#include "test.h"

/** What parses a file; fails where a histogram is none, or a metric says nothing of itself. */
#define PARSER                                                                                  \
	"import sys\n"                                                                          \
	"try: from prometheus_client.openmetrics.parser import text_string_to_metric_families " \
	"as parse\n"                                                                            \
	"except ImportError: sys.exit(77)\n"                                                    \
	"families = list(parse(open(sys.argv[1]).read()))\n"                                    \
	"assert len(families) > 10\n"                                                           \
	"for family in families:\n"                                                             \
	" assert family.documentation and family.type != 'unknown', family\n"                   \
	" assert family.samples, family\n"                                                      \
	" if family.type == 'histogram': assert family.unit == 'seconds', family\n"

/* Is LINE a line of TEXT? */
static bool has(const char *text, const char *line)
{
	return strstr(text, test_path("\n%s\n", line)) != NULL;
}

START_TEST(test_numbers)
{
	char *home = test_home(), *text = NULL;
	struct varve_store *store = test_open(home);
	struct varve_failure failure;

	test_create(store, "a", NULL);
	test_create(store, "b", "a");
	test_error(varve_layer_create_wait(store, "b", NULL, &failure), -EEXIST);
	test_error(varve_layer_create_wait(store, "", NULL, &failure), -EINVAL);
	test_error(varve_metrics(store, &text), 0);
	ck_assert(has(text, "varve_requests_total{operation=\"create\",outcome=\"accepted\"} 3"));
	ck_assert(has(text, "varve_requests_total{operation=\"create\",outcome=\"refused\"} 1"));
	ck_assert(
		has(text, "varve_operations_total{operation=\"create\",outcome=\"succeeded\"} 2"));
	ck_assert(has(text, "varve_operations_total{operation=\"create\",outcome=\"failed\"} 1"));
	ck_assert(has(text, "varve_operation_duration_seconds_bucket{operation=\"create\","
			    "le=\"+Inf\"} 3"));
	ck_assert(has(text, "varve_operation_duration_seconds_bucket{operation=\"create\","
			    "le=\"274.877906943\"} 3"));
	ck_assert(has(text, "varve_operation_duration_seconds_count{operation=\"remove\"} 0"));
	ck_assert(has(text, "varve_requests_in_flight 0"));
	ck_assert(!strcmp(text + strlen(text) - strlen("\n# EOF\n"), "\n# EOF\n"));
	free(text);
	test_error(varve_metrics(store, NULL), -EINVAL);
	test_error(varve_metrics(NULL, &text), -EINVAL);
	test_close(store);
}
END_TEST

START_TEST(test_parsed)
{
	char *home = test_home(), *text = NULL, *path = test_path("%s.metrics", home);
	const char *command[] = { "/usr/bin/python3", "-c", PARSER, path, NULL };
	struct varve_store *store = test_open(home);
	int status;

	test_create(store, "a", NULL);
	test_error(varve_metrics(store, &text), 0);
	test_write(path, text);
	free(text);
	test_close(store);
	status = test_command(command);
	if (status == 77 || status == 127)
		test_skip("python3-prometheus-client is missing");
	else
		ck_assert_int_eq(status, 0);
}
END_TEST

TEST_MAIN("metrics", test_numbers, test_parsed)
