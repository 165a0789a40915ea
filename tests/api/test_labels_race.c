/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels that many threads and processes change at once: none is lost, and the largest records are
 * read whole. On a file system with small nodes, where a record has the most attributes.
 *
 * varve-test: nodes=4096 timeout=120
 */
#include "test.h"

#include <pthread.h>

#define THREADS 8
#define PROCESSES 4
/* Changes of each. */
#define CHANGES 25

/* One that changes layer "layer" of a store. */
struct racer {
	const char *home;
	struct varve_store *store;
	unsigned number;
	pthread_t thread;
	bool failed;
};

/* Set label KEY=NUMBER, unless the layer has another revision. Returns the error. */
static int set(struct varve_store *store, const char *key, unsigned number, uint64_t flags,
	       uint64_t revision)
{
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	char label[64];
	const char *labels[] = { label, NULL };
	snprintf(label, sizeof(label), "%s=%u", key, number);
	options.flags = flags;
	options.revision = revision;
	options.labels = labels;
	return varve_layer_label_wait(store, "layer", &options, NULL, NULL);
}

/* The number in the label KEY of RECORD; 0: there is none. */
static unsigned number_of(const struct varve_layer_record *record, const char *key)
{
	size_t length = strlen(key);
	for (size_t i = 0; i < record->labels_count; i++)
		if (!strncmp(record->labels[i], key, length) && record->labels[i][length] == '=')
			return (unsigned)atoi(record->labels[i] + length + 1);
	return 0;
}

/* Count up the label "count", which the others do, too, and a label of one's own. */
static bool race(struct varve_store *store, const char *own)
{
	for (unsigned i = 1; i <= CHANGES; i++) {
		int r;
		do {
			struct varve_layer_record *record;
			if (varve_layer_record_wait(store, "layer", &record, NULL))
				return false;
			r = set(store, "count", number_of(record, "count") + 1, VARVE_LABEL_COMPARE,
				record->revision);
			/* What is read is whole, whatever the others do. */
			if (record->bytes_count != 30000 ||
			    ((const char *)record->bytes)[29999] != 'r')
				r = -EBADMSG;
			free(record);
		} while (r == -ESTALE);
		if (r || set(store, own, i, 0, 0))
			return false;
	}
	return true;
}

static void *race_thread(void *data)
{
	struct racer *racer = data;
	char own[16];
	snprintf(own, sizeof(own), "thread-%u", racer->number);
	racer->failed = !race(racer->store, own);
	return NULL;
}

static int race_process(void *data)
{
	struct racer *racer = data;
	struct varve_store *store = test_open_relaxed(racer->home);
	bool whole = race(store, test_path("process-%u", racer->number));
	test_close(store);
	return !whole;
}

/* A store with the layer, which has a record of several attributes. */
static struct varve_store *open_raced(const char *home)
{
	static char bytes[30000];
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	memset(bytes, 'r', sizeof(bytes));
	options.record = bytes;
	options.record_bytes = sizeof(bytes);
	test_ok(varve_layer_create_wait(store, "layer", &options, &failure), &failure);
	return store;
}

/* Check that COUNT of KIND have lost no change. */
static void check_raced(struct varve_store *store, const char *kind, unsigned count)
{
	struct varve_layer_record *record;
	test_error(varve_layer_record_wait(store, "layer", &record, NULL), 0);
	ck_assert_uint_eq(number_of(record, "count"), count * CHANGES);
	for (unsigned i = 0; i < count; i++)
		ck_assert_uint_eq(number_of(record, test_path("%s-%u", kind, i)), CHANGES);
	free(record);
}

START_TEST(test_race_of_threads)
{
	struct varve_store *store = open_raced(test_home());
	struct racer racers[THREADS] = { 0 };
	for (unsigned i = 0; i < THREADS; i++) {
		racers[i].store = store;
		racers[i].number = i;
		ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race_thread, &racers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(racers[i].thread, NULL);
		ck_assert(!racers[i].failed);
	}
	check_raced(store, "thread", THREADS);
	test_close(store);
}
END_TEST

START_TEST(test_race_of_processes)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	test_close(open_raced(home));
	struct racer racers[PROCESSES];
	int pids[PROCESSES];
	for (unsigned i = 0; i < PROCESSES; i++) {
		racers[i] = (struct racer){ .home = home, .number = i };
		pids[i] = test_child_start(race_process, &racers[i]);
	}
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(test_child_end(pids[i]), 0);
	struct varve_store *store = test_open(home);
	check_raced(store, "process", PROCESSES);
	test_close(store);
}
END_TEST

START_TEST(test_small_nodes)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_layer_record *record;
	struct varve_failure failure;
	const char *labels[VARVE_LABELS_MAX + 1] = { NULL };
	char *bytes = test_alloc(VARVE_RECORD_BYTES_MAX);
	for (int i = 0; i < VARVE_RECORD_BYTES_MAX; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	for (int i = 0; i < VARVE_LABELS_MAX; i++)
		labels[i] = test_path("key-%03d=%0*d", i,
				      VARVE_LABELS_BYTES_MAX / VARVE_LABELS_MAX - 8, i);
	options.labels = labels;
	options.record = bytes;
	options.record_bytes = VARVE_RECORD_BYTES_MAX;
	test_ok(varve_layer_create_wait(store, "layer", &options, &failure), &failure);
	test_ok(varve_layer_record_wait(store, "layer", &record, &failure), &failure);
	ck_assert_uint_eq(record->labels_count, VARVE_LABELS_MAX);
	for (int i = 0; i < VARVE_LABELS_MAX; i++)
		ck_assert_str_eq(record->labels[i], labels[i]);
	ck_assert_uint_eq(record->bytes_count, VARVE_RECORD_BYTES_MAX);
	ck_assert_mem_eq(record->bytes, bytes, VARVE_RECORD_BYTES_MAX);
	free(record);
	test_close(store);
}
END_TEST

TEST_MAIN("labels race", test_race_of_threads, test_race_of_processes, test_small_nodes)
