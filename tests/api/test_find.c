/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve_find_options.found: each layer once, with what it has, before the callback; few records in
 * memory at once; the function ends the request, cancels it and closes the store.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <malloc.h>

#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* More than are passed on together, three times. */
#define LAYERS 800
/* More finds than there are threads for what takes long. */
#define STALLED 40

/* What a function for layers has got, what it says to that, and how the request ended. */
struct seen {
	/* Of layer "l-N": how often it came. */
	unsigned layers[LAYERS];
	unsigned count, plain;
	/* Most bytes of memory while it ran. */
	size_t bytes;
	/* Returned from layer number `turn` on, counted from 1. */
	int answer;
	unsigned turn;
	/* Does something about the store in that layer. */
	void (*act)(struct varve_store *store, varve_request request);
	unsigned ended;
	int error;
	size_t ids_count;
};

static int see(struct varve_store *store, varve_request request, const char *id,
	       const struct varve_layer_record *record, void *data)
{
	struct seen *seen = data;
	unsigned number = 0;
	size_t now = mallinfo2().uordblks + mallinfo2().hblkhd;
	char label[32];

	ck_assert_uint_eq(seen->ended, 0);
	if (now > seen->bytes)
		seen->bytes = now;
	if (sscanf(id, "l-%u", &number) == 1) {
		seen->layers[number]++;
		snprintf(label, sizeof(label), "n=%u", number);
		ck_assert_uint_eq(record->labels_count, 1);
		ck_assert_str_eq(record->labels[0], label);
		ck_assert_int_eq(((const char *)record->bytes)[record->bytes_count - 1], 'r');
	} else {
		ck_assert_str_eq(id, "plain");
		ck_assert_ptr_null(record);
		seen->plain++;
	}
	if (++seen->count != seen->turn)
		return 0;
	if (seen->act)
		seen->act(store, request);
	return seen->answer;
}

static void end(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct seen *seen = data;

	ck_assert_ptr_null(result->records);
	seen->ids_count = result->ids_count;
	seen->error = result->error;
	seen->ended++;
}

/* Count another create that has succeeded. */
static void count_created(struct varve_store *store, const struct varve_result *result, void *data)
{
	test_error(result->error, 0);
	++*(unsigned *)data;
}

/* Make COUNT layers "l-N" with a label and SIZE bytes, and "plain", which has none. */
static void make(struct varve_store *store, unsigned count, size_t size)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char *bytes = memset(test_alloc(size), 'r', size);
	unsigned ended = 0;

	test_create(store, "plain", NULL);
	options.flags = VARVE_RELAXED;
	options.record = bytes;
	options.record_bytes = size;
	for (unsigned i = 0; i < count; i++) {
		options.labels = STRINGS(test_path("n=%u", i));
		while (varve_layer_create(store, test_path("l-%u", i), &options, count_created,
					  &ended, NULL) == -EAGAIN)
			varve_wait(store, -1);
	}
	test_dispatch_until(store, &ended, count);
}

/* Find all layers of STORE, or those with LABELS. */
static int find(struct varve_store *store, const char *const *labels, struct seen *seen)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;

	options.flags = VARVE_FIND_RECORDS;
	options.labels = labels;
	options.found = see;
	options.found_data = seen;
	return varve_layer_find(store, &options, end, seen, NULL);
}

/* Each layer of STORE comes once. */
static void check_each(struct varve_store *store, unsigned count)
{
	struct seen seen = { 0 };

	test_error(find(store, NULL, &seen), 0);
	test_dispatch_until(store, &seen.ended, 1);
	test_error(seen.error, 0);
	ck_assert_uint_eq(seen.plain, 1);
	ck_assert_uint_eq(seen.count, count + 1);
	ck_assert_uint_eq(seen.ids_count, count + 1);
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(seen.layers[i], 1);
	seen = (struct seen){ 0 };
	test_error(find(store, STRINGS("n=7"), &seen), 0);
	test_dispatch_until(store, &seen.ended, 1);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_uint_eq(seen.layers[7], 1);
}

START_TEST(test_each)
{
	struct varve_store *store = test_open(test_home());
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct varve_layer_record **records;
	struct seen seen = { 0 };
	struct varve_failure failure;
	char **ids;
	size_t count;

	make(store, LAYERS, 300);
	check_each(store, LAYERS);
	/* The blocking twin runs it, too. */
	options.flags = VARVE_FIND_RECORDS;
	options.found = see;
	options.found_data = &seen;
	test_ok(varve_layer_find_wait(store, &options, &ids, &records, &count, &failure), &failure);
	ck_assert_uint_eq(seen.count, count);
	ck_assert_str_eq(ids[1], "l-1");
	for (size_t i = 0; i < count; i++)
		ck_assert_ptr_null(records[i]);
	free(ids);
	free(records);
	options.flags = 0;
	test_error(varve_layer_find_wait(store, &options, NULL, NULL, &count, &failure), -EINVAL);
	ck_assert_str_ne(failure.detail, "");
	test_close(store);
}
END_TEST

static int use_unprivileged(void *home)
{
	struct varve_store *store = test_open(home);

	make(store, 20, 300);
	check_each(store, 20);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(use_unprivileged, test_home_of_nobody());
}
END_TEST

START_TEST(test_memory)
{
	enum { MANY = 64 };
	struct varve_store *store = test_open(test_home());
	struct seen seen = { 0 };
	size_t before;

	make(store, MANY, VARVE_RECORD_BYTES_MAX);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	test_error(find(store, NULL, &seen), 0);
	test_dispatch_until(store, &seen.ended, 1);
	ck_assert_uint_eq(seen.count, MANY + 1);
	/* Two batches of some 128 KiB in blocks that grow, what reads, and a channel. */
	ck_assert_uint_lt(seen.bytes, before + MANY * (size_t)VARVE_RECORD_BYTES_MAX / 2);
	test_close(store);
}
END_TEST

START_TEST(test_answer)
{
	static const int answers[][2] = { { -EDOM, -EDOM }, { 1, -EINVAL } };
	struct varve_store *store = test_open(test_home());

	make(store, LAYERS, 10);
	/* At once, within a batch, and in a later one. */
	for (unsigned turn = 1; turn <= LAYERS; turn += 333)
		for (size_t i = 0; i < TEST_COUNT(answers); i++) {
			struct seen seen = { .turn = turn, .answer = answers[i][0] };

			test_error(find(store, NULL, &seen), 0);
			test_dispatch_until(store, &seen.ended, 1);
			test_error(seen.error, answers[i][1]);
			ck_assert_uint_eq(seen.count, turn);
		}
	test_close(store);
}
END_TEST

static void cancel(struct varve_store *store, varve_request request)
{
	test_error(varve_cancel(store, request), 0);
}

static void close_store(struct varve_store *store, varve_request request)
{
	test_error(varve_close(store), 0);
}

START_TEST(test_acts)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct seen seen = { .act = cancel, .turn = 400 };

	make(store, LAYERS, 10);
	test_error(find(store, NULL, &seen), 0);
	test_dispatch_until(store, &seen.ended, 1);
	test_error(seen.error, -ECANCELED);
	ck_assert_uint_eq(seen.count, 400);
	seen = (struct seen){ .act = close_store, .turn = 3 };
	test_error(find(store, NULL, &seen), 0);
	while (!seen.ended)
		varve_wait(store, -1);
	ck_assert_uint_ge(seen.count, 3);
}
END_TEST

START_TEST(test_stalled)
{
	struct varve_store *store = test_open(test_home());
	struct seen *seen = test_alloc(STALLED * sizeof(*seen));
	struct varve_failure failure;
	size_t count;

	make(store, 20, 10);
	for (unsigned i = 0; i < STALLED; i++)
		test_error(find(store, NULL, &seen[i]), 0);
	/* Nobody takes what those have found; others are not held up. */
	test_ok(varve_layer_find_wait(store, NULL, NULL, NULL, &count, &failure), &failure);
	ck_assert_uint_eq(count, 21);
	test_create(store, "another", NULL);
	/* The store is closed with all of them in flight. */
	test_close(store);
	for (unsigned i = 0; i < STALLED; i++)
		ck_assert_uint_eq(seen[i].ended, 1);
}
END_TEST

TEST_MAIN("find", test_each, test_unprivileged, test_memory, test_answer, test_acts, test_stalled)
