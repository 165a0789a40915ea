/* SPDX-License-Identifier: Apache-2.0 */
/* A callback that copies all that it is told, for a test to look at afterwards. */
#include "test.h"

#include <stdatomic.h>

/* Callbacks so far, in this process. */
static atomic_uint turns;

/* Copy COUNT strings. */
static char **copy_strings(const char *const *strings, size_t count) {
	char **copy = calloc(count + 1, sizeof(*copy));
	ck_assert_ptr_nonnull(copy);
	for (size_t i = 0; i < count; i++)
		copy[i] = strdup(strings[i]);
	return copy;
}

/* Free COUNT strings and what holds them. */
static void free_strings(char **strings, size_t count) {
	if (!strings)
		return;
	for (size_t i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

/* Copy the outcomes of a batch. */
static void record_outcomes(struct test_record *record, const struct varve_result *result) {
	size_t count = result->outcomes_count;
	record->outcomes_count = count;
	record->outcome_ids = calloc(count + 1, sizeof(*record->outcome_ids));
	record->outcome_errors = calloc(count + 1, sizeof(*record->outcome_errors));
	record->outcome_has_failure = calloc(count + 1, sizeof(*record->outcome_has_failure));
	ck_assert(record->outcome_ids && record->outcome_errors && record->outcome_has_failure);
	for (size_t i = 0; i < count; i++) {
		record->outcome_ids[i] = strdup(result->outcomes[i].id);
		record->outcome_errors[i] = result->outcomes[i].error;
		record->outcome_has_failure[i] = result->outcomes[i].failure != NULL;
	}
}

/* Copy the lines of a status. */
static void record_status(struct test_record *record, const struct varve_result *result) {
	size_t count = result->status_count;
	record->status_count = count;
	record->status_keys = calloc(count + 1, sizeof(*record->status_keys));
	record->status_values = calloc(count + 1, sizeof(*record->status_values));
	ck_assert(record->status_keys && record->status_values);
	for (size_t i = 0; i < count; i++) {
		record->status_keys[i] = strdup(result->status[i].key);
		record->status_values[i] = strdup(result->status[i].value);
	}
}

void test_record(struct varve_store *store, const struct varve_result *result, void *user_data) {
	struct test_record *record = user_data;
	record->turn = atomic_fetch_add(&turns, 1) + 1;
	record->thread = pthread_self();
	record->store = store;
	record->request = result->request;
	record->operation = result->operation;
	record->error = result->error;
	record->has_failure = result->failure != NULL;
	if (result->failure)
		record->failure = *result->failure;
	record_outcomes(record, result);
	record->path = result->path ? strdup(result->path) : NULL;
	record->exists = result->exists;
	record->ids_count = result->ids_count;
	record->ids = copy_strings(result->ids, result->ids_count);
	record->has_info = result->info != NULL;
	if (result->info)
		record->info = *result->info;
	record->has_sweep = result->sweep != NULL;
	if (result->sweep)
		record->sweep = *result->sweep;
	record_status(record, result);
	record->calls++;
}

int test_await(struct varve_store *store, const struct test_record *record) {
	test_dispatch_until(store, &record->calls, 1);
	ck_assert_uint_eq(record->calls, 1);
	return record->error;
}

void test_await_all(struct varve_store *store, const struct test_record *records, size_t count) {
	for (size_t i = 0; i < count; i++)
		test_await(store, &records[i]);
}

void test_record_clear(struct test_record *record) {
	free_strings(record->outcome_ids, record->outcomes_count);
	free(record->outcome_errors);
	free(record->outcome_has_failure);
	free(record->path);
	free_strings(record->ids, record->ids_count);
	free_strings(record->status_keys, record->status_count);
	free_strings(record->status_values, record->status_count);
	*record = (struct test_record){ 0 };
}
