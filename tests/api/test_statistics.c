/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_statistics() counts what happened; varve_histogram_percentile() reads histograms as the
 * header describes them.
 *
 * varve-test: backend=both
 */
#include "test.h"

/* The counters of one operation of STORE. */
static struct varve_operation_statistics counters(struct varve_store *store,
						  enum varve_operation operation)
{
	struct varve_operation_statistics statistics = VARVE_OPERATION_STATISTICS_INIT;
	test_error(varve_operation_statistics(store, operation, &statistics), 0);
	return statistics;
}

/* Assert that a histogram is in itself sound. */
static void check_histogram(const struct varve_histogram *histogram)
{
	uint64_t count = 0;
	for (int i = 0; i < VARVE_HISTOGRAM_BUCKETS; i++)
		count += histogram->buckets[i];
	ck_assert_uint_eq(count, histogram->count);
	ck_assert_uint_le(histogram->min_ns, histogram->max_ns);
	ck_assert_uint_ge(histogram->sum_ns, histogram->min_ns * histogram->count);
	ck_assert_uint_le(histogram->sum_ns, histogram->max_ns * histogram->count);
}

START_TEST(test_counts)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	const char *ids[] = { "a", "b", "c" };
	for (int i = 0; i < 10; i++)
		test_error(varve_noop_wait(store, NULL), 0);
	struct varve_operation_statistics noop = counters(store, VARVE_NOOP);
	ck_assert_uint_eq(noop.submitted, 10);
	ck_assert_uint_eq(noop.succeeded, 10);
	ck_assert_uint_eq(noop.failed + noop.cancelled + noop.refused, 0);
	ck_assert_uint_eq(noop.latency.count, 10);
	ck_assert_uint_gt(noop.latency.min_ns, 0);
	check_histogram(&noop.latency);
	test_create(store, "a", NULL);
	test_error(varve_layer_create_batch_wait(store, ids, 3, NULL, NULL, NULL), -EEXIST);
	test_error(varve_layer_create(store, "..", NULL, test_record, &record, NULL), -EINVAL);
	struct varve_operation_statistics create = counters(store, VARVE_CREATE);
	ck_assert_uint_eq(create.submitted, 2);
	ck_assert_uint_eq(create.refused, 1);
	/* A batch counts each id. */
	ck_assert_uint_eq(create.succeeded, 3);
	ck_assert_uint_eq(create.failed, 1);
	check_histogram(&create.latency);
	test_remove_layer(store, "a");
	test_error(varve_layer_remove_wait(store, "a", 0, NULL), -ENOENT);
	struct varve_operation_statistics removal = counters(store, VARVE_REMOVE);
	ck_assert_uint_eq(removal.succeeded, 1);
	ck_assert_uint_eq(removal.failed, 1);
	ck_assert_uint_eq(counters(store, VARVE_GET).submitted, 0);
	test_close(store);
}
END_TEST

START_TEST(test_in_flight)
{
	struct varve_store *store = test_open(test_home());
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	struct test_record records[20] = { 0 };
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.requests, 0);
	for (int i = 0; i < 20; i++)
		test_error(varve_noop(store, test_record, &records[i], NULL), 0);
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.requests, 20);
	ck_assert_uint_ge(statistics.requests_peak, 20);
	test_await_all(store, records, 20);
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.requests, 0);
	ck_assert_uint_eq(statistics.requests_peak, 20);
	test_close(store);
}
END_TEST

START_TEST(test_cancelled)
{
	struct varve_config config = test_config(test_home());
	config.commit_threads_max = 1;
	struct varve_store *store = test_open_config(&config);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[30] = { 0 };
	varve_request requests[30];
	uint64_t cancelled = 0;
	test_create(store, "base", NULL);
	options.parent = "base";
	test_freeze();
	for (int i = 0; i < 30; i++)
		test_error(varve_layer_create(store, test_path("%d", i), &options, test_record,
					      &records[i], &requests[i]),
			   0);
	for (int i = 0; i < 30; i++)
		varve_cancel(store, requests[i]);
	test_thaw();
	test_await_all(store, records, 30);
	for (int i = 0; i < 30; i++)
		cancelled += records[i].error == -ECANCELED;
	struct varve_operation_statistics create = counters(store, VARVE_CREATE);
	ck_assert_uint_eq(create.cancelled, cancelled);
	ck_assert_uint_eq(create.succeeded, 31 - cancelled);
	ck_assert_uint_eq(create.failed, 0);
	test_close(store);
}
END_TEST

START_TEST(test_snapshots)
{
	enum { LAYERS = 100 };
	struct varve_store *store = test_open(test_home());
	struct test_record records[LAYERS] = { 0 };
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	test_create(store, "base", NULL);
	test_create(store, "alone", "base");
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.snapshots, 1);
	test_submit_creates(store, "base", records, LAYERS);
	test_await_all(store, records, LAYERS);
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.snapshots, LAYERS + 1);
	ck_assert_uint_le(statistics.snapshots_direct, statistics.snapshots);
	ck_assert_uint_gt(statistics.group_max, 1);
	ck_assert_uint_le(statistics.group_max, LAYERS);
	ck_assert_uint_gt(statistics.beats, 0);
	ck_assert_uint_gt(statistics.lane_calls, 0);
	if (!strcmp(test_backend(), "threads"))
		ck_assert_uint_eq(statistics.ring_calls, 0);
	test_close(store);
}
END_TEST

START_TEST(test_direct)
{
	/* Alone, a snapshot goes straight into its place. */
	struct varve_store *store = test_open(test_home());
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	test_create(store, "base", NULL);
	for (int i = 0; i < 5; i++)
		test_create(store, test_path("%d", i), "base");
	test_error(varve_statistics(store, &statistics), 0);
	ck_assert_uint_eq(statistics.snapshots, 5);
	ck_assert_uint_eq(statistics.snapshots_direct, 5);
	test_close(store);
}
END_TEST

START_TEST(test_own_store_only)
{
	char *home = test_home();
	struct varve_store *one = test_open(home), *two = test_open(home);
	test_create(one, "a", NULL);
	ck_assert_uint_eq(counters(one, VARVE_CREATE).submitted, 1);
	ck_assert_uint_eq(counters(two, VARVE_CREATE).submitted, 0);
	test_close(one);
	test_close(two);
}
END_TEST

/*
 * Put VALUE into HISTOGRAM, by the layout that the header gives: exact below 16, then 16 buckets a
 * power of two.
 */
static void put(struct varve_histogram *histogram, uint64_t value)
{
	unsigned bucket = value;
	if (value >= 16) {
		unsigned power = 63 - __builtin_clzll(value);
		bucket = power >= 40 ? VARVE_HISTOGRAM_BUCKETS - 1
				     : 16 + (power - 4) * 16 + ((value >> (power - 4)) & 15);
	}
	histogram->buckets[bucket]++;
	histogram->sum_ns += value;
	if (!histogram->count || value < histogram->min_ns)
		histogram->min_ns = value;
	if (value > histogram->max_ns)
		histogram->max_ns = value;
	histogram->count++;
}

START_TEST(test_percentile)
{
	struct varve_histogram *histogram = test_alloc(sizeof(*histogram));
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 50), 0);
	for (uint64_t i = 1; i <= 10; i++)
		put(histogram, i);
	/* Below 16 they are exact: the smallest that at least so many do not exceed. */
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 0), 1);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 10), 1);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 50), 5);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 51), 6);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 90), 9);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 100), 10);
}
END_TEST

START_TEST(test_percentile_error)
{
	/* A value read back is never too small, and at most 1/16 too large. */
	for (uint64_t value = 1; value < (1ull << 39); value += value / 5 + 1) {
		struct varve_histogram *histogram = test_alloc(sizeof(*histogram));
		put(histogram, 1);
		put(histogram, value);
		put(histogram, UINT64_C(1) << 39);
		uint64_t read = varve_histogram_percentile(histogram, 60);
		ck_assert_msg(read >= value && read <= value + value / 16, "%llu is read as %llu",
			      (unsigned long long)value, (unsigned long long)read);
	}
}
END_TEST

TEST_MAIN("statistics", test_counts, test_in_flight, test_cancelled, test_snapshots, test_direct,
	  test_own_store_only, test_percentile, test_percentile_error)
