/* SPDX-License-Identifier: Apache-2.0 */
/* varve_metrics(): the numbers of the store, in text that an OpenMetrics parser takes. */
#include <errno.h>
#include <unistd.h>

#include "test.h"

/* What parses a file; fails where a histogram is none, or a metric says nothing of itself. */
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
	" if family.type == 'histogram':\n"                                                     \
	"  assert family.unit == family.name.split('_')[-1], family\n"                          \
	"assert 'varve_commit_group_snapshots' in [family.name for family in families]\n"

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

/* The value of the sample that begins with NAME in TEXT; -1: there is none. */
static long long value(const char *text, const char *name)
{
	const char *line = strstr(text, test_path("\n%s ", name));

	return line ? atoll(line + strlen(name) + 2) : -1;
}

START_TEST(test_groups)
{
	/* Each snapshot is in one group, and what makes none is in no group that counts. */
	enum { MANY = 40 };
	char *home = test_home(), *text = NULL;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_store *store = test_open_relaxed(home);
	const char *ids[MANY], *bucket = "varve_commit_group_snapshots_bucket{le=\"%s\"}";

	test_create(store, "a", NULL);
	test_error(varve_metrics(store, &text), 0);
	ck_assert_int_eq(value(text, "varve_commit_group_snapshots_count"), 0);
	ck_assert_int_eq(value(text, test_path(bucket, "+Inf")), 0);
	free(text);
	test_create(store, "b", "a");
	for (unsigned i = 0; i < MANY; i++)
		ids[i] = test_path("%u", i);
	options.parent = "a";
	test_error(varve_layer_create_batch_wait(store, ids, MANY, &options, NULL, NULL), 0);
	/* One that fails before the snapshot. */
	test_error(varve_layer_create_wait(store, "b", &options, NULL), -EEXIST);
	test_error(varve_metrics(store, &text), 0);
	ck_assert_int_eq(value(text, "varve_commit_group_snapshots_sum"), 1 + MANY);
	ck_assert_int_ge(value(text, test_path(bucket, "1.0")), 1);
	ck_assert_int_ge(value(text, "varve_commit_group_snapshots_count"), 2);
	ck_assert_int_le(value(text, "varve_commit_group_snapshots_count"), 1 + MANY);
	ck_assert_int_eq(value(text, test_path(bucket, "512.0")),
			 value(text, "varve_commit_group_snapshots_count"));
	free(text);
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

TEST_MAIN("metrics", test_numbers, test_groups, test_parsed)
