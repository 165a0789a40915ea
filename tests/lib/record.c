/* SPDX-License-Identifier: Apache-2.0 */
/* A callback that copies its result, for a test to look at afterwards. */
#include "test.h"

#include <stdatomic.h>

/* Callbacks so far, in this process. */
static atomic_uint turns;

/* Copy COUNT strings. */
static char **copy_strings(const char *const *strings, size_t count)
{
	char **copy = test_alloc((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = test_strdup(strings[i]);
	return copy;
}

/* Copy the outcomes of a batch. */
static void record_outcomes(struct test_record *record, const struct varve_result *result)
{
	size_t count = result->outcomes_count;
	record->outcomes_count = count;
	record->outcome_ids = test_alloc((count + 1) * sizeof(*record->outcome_ids));
	record->outcome_errors = test_alloc((count + 1) * sizeof(*record->outcome_errors));
	record->outcome_has_failure = test_alloc((count + 1) *
						 sizeof(*record->outcome_has_failure));
	for (size_t i = 0; i < count; i++) {
		record->outcome_ids[i] = test_strdup(result->outcomes[i].id);
		record->outcome_errors[i] = result->outcomes[i].error;
		record->outcome_has_failure[i] = result->outcomes[i].failure != NULL;
	}
}

/* Copy the lines of a status. */
static void record_status(struct test_record *record, const struct varve_result *result)
{
	size_t count = result->status_count;
	record->status_count = count;
	record->status_keys = test_alloc((count + 1) * sizeof(*record->status_keys));
	record->status_values = test_alloc((count + 1) * sizeof(*record->status_values));
	for (size_t i = 0; i < count; i++) {
		record->status_keys[i] = test_strdup(result->status[i].key);
		record->status_values[i] = test_strdup(result->status[i].value);
	}
}

void test_record(struct varve_store *store, const struct varve_result *result, void *user_data)
{
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
	record->path = result->path ? test_strdup(result->path) : NULL;
	record->exists = result->exists;
	record->descriptor = result->descriptor;
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

void test_submit_creates(struct varve_store *store, const char *parent, struct test_record *records,
			 size_t count)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = parent;
	for (size_t i = 0; i < count; i++)
		test_error(varve_layer_create(store, test_path("%zu", i), &options, test_record,
					      &records[i], NULL),
			   0);
}

int test_await(struct varve_store *store, const struct test_record *record)
{
	test_dispatch_until(store, &record->calls, 1);
	ck_assert_uint_eq(record->calls, 1);
	return record->error;
}

void test_await_all(struct varve_store *store, const struct test_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++)
		test_await(store, &records[i]);
}
