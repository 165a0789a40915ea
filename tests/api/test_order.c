/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on one id run in the order they were submitted, also when it is another's parent; on
 * different ids they do not wait for each other. So whatever is submitted at once has the results
 * of a run one by one: that is the oracle.
 */
#include "test.h"

START_TEST(test_one_id)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[8] = { 0 };
	test_error(varve_layer_exists(store, "a", test_record, &records[0], NULL), 0);
	test_error(varve_layer_create(store, "a", NULL, test_record, &records[1], NULL), 0);
	test_error(varve_layer_create(store, "a", NULL, test_record, &records[2], NULL), 0);
	test_error(varve_layer_get(store, "a", NULL, test_record, &records[3], NULL), 0);
	test_error(varve_layer_remove(store, "a", 0, test_record, &records[4], NULL), 0);
	test_error(varve_layer_remove(store, "a", 0, test_record, &records[5], NULL), 0);
	test_error(varve_layer_exists(store, "a", test_record, &records[6], NULL), 0);
	test_error(varve_layer_create(store, "a", NULL, test_record, &records[7], NULL), 0);
	test_await_all(store, records, 8);
	static const int errors[] = { 0, 0, -EEXIST, 0, 0, -ENOENT, 0, 0 };
	for (int i = 0; i < 8; i++)
		test_error(records[i].error, errors[i]);
	ck_assert(!records[0].exists);
	ck_assert(!records[6].exists);
	test_close(store);
}
END_TEST

START_TEST(test_chain_of_parents)
{
	enum { DEPTH = 60 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[DEPTH] = { 0 };
	test_create(store, "layer-0", NULL);
	test_write(test_path("%s/file", test_layer(home, "layer-0")), "inherited");
	for (int i = 1; i < DEPTH; i++) {
		options.parent = test_path("layer-%d", i - 1);
		test_error(varve_layer_create(store, test_path("layer-%d", i), &options,
					      test_record, &records[i], NULL),
			   0);
	}
	test_await_all(store, records + 1, DEPTH - 1);
	for (int i = 1; i < DEPTH; i++) {
		struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
		test_error(records[i].error, 0);
		test_error(varve_layer_info_wait(store, test_path("layer-%d", i), &info, NULL), 0);
		ck_assert_str_eq(info.parent, test_path("layer-%d", i - 1));
		ck_assert_str_eq(test_read(test_path("%s/file",
						     test_layer(home, test_path("layer-%d", i)))),
				 "inherited");
	}
	test_close(store);
}
END_TEST

START_TEST(test_chain_breaks)
{
	/* When one cannot be made, neither can those that are made from it. */
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[3] = { 0 };
	options.parent = "missing";
	test_error(varve_layer_create(store, "a", &options, test_record, &records[0], NULL), 0);
	options.parent = "a";
	test_error(varve_layer_create(store, "b", &options, test_record, &records[1], NULL), 0);
	options.parent = "b";
	test_error(varve_layer_create(store, "c", &options, test_record, &records[2], NULL), 0);
	test_await_all(store, records, 3);
	for (int i = 0; i < 3; i++)
		test_error(records[i].error, -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_parent_being_removed)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "parent";
	for (int round = 0; round < 20; round++) {
		struct test_record before = { 0 }, removal = { 0 }, after = { 0 }, again = { 0 };
		test_create(store, "parent", NULL);
		test_write(test_path("%s/file", test_layer(home, "parent")), "whole");
		char *child = test_path("child-%d", round);
		test_error(varve_layer_create(store, child, &options, test_record, &before, NULL),
			   0);
		test_error(varve_layer_remove(store, "parent", 0, test_record, &removal, NULL), 0);
		test_error(varve_layer_create(store, test_path("late-%d", round), &options,
					      test_record, &after, NULL),
			   0);
		test_error(varve_layer_remove(store, "parent", 0, test_record, &again, NULL), 0);
		test_error(test_await(store, &before), 0);
		test_error(test_await(store, &removal), 0);
		test_error(test_await(store, &after), -ENOENT);
		test_error(test_await(store, &again), -ENOENT);
		ck_assert_str_eq(test_read(test_path("%s/file", test_layer(home, child))), "whole");
		ck_assert(!test_layer_exists(home, test_path("late-%d", round)));
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_own_parent)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record record = { 0 };
	options.parent = "a";
	test_error(varve_layer_create(store, "a", &options, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), -ENOENT);
	test_create(store, "a", NULL);
	record = (struct test_record){ 0 };
	test_error(varve_layer_create(store, "a", &options, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), -EEXIST);
	test_close(store);
}
END_TEST

START_TEST(test_batches_in_order)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[4] = { 0 };
	const char *parents[] = { "p", "q" }, *children[] = { "c", "d", "e" },
		   *mixed[] = { "p", "c", "x" };
	options.parent = "q";
	test_error(varve_layer_create_batch(store, parents, 2, NULL, test_record, &records[0],
					    NULL),
		   0);
	test_error(varve_layer_create_batch(store, children, 3, &options, test_record, &records[1],
					    NULL),
		   0);
	test_error(varve_layer_remove_batch(store, mixed, 3, 0, test_record, &records[2], NULL), 0);
	test_error(varve_layer_list(store, test_record, &records[3], NULL), 0);
	test_await_all(store, records, 4);
	test_error(records[0].error, 0);
	test_error(records[1].error, 0);
	test_error(records[2].error, -ENOENT);
	test_error(records[2].outcome_errors[0], 0);
	test_error(records[2].outcome_errors[1], 0);
	test_error(records[2].outcome_errors[2], -ENOENT);
	char **ids;
	size_t count;
	test_error(varve_layer_list_wait(store, &ids, &count, NULL), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert_str_eq(ids[0], "d");
	ck_assert_str_eq(ids[1], "e");
	ck_assert_str_eq(ids[2], "q");
	free(ids);
	test_close(store);
}
END_TEST

START_TEST(test_others_do_not_wait)
{
	struct varve_store *store = test_open(test_home());
	struct test_record blocked = { 0 }, behind = { 0 }, other = { 0 };
	test_create(store, "b", NULL);
	test_freeze();
	test_error(varve_layer_create(store, "a", NULL, test_record, &blocked, NULL), 0);
	test_error(varve_layer_exists(store, "a", test_record, &behind, NULL), 0);
	test_error(varve_layer_exists(store, "b", test_record, &other, NULL), 0);
	test_error(test_await(store, &other), 0);
	ck_assert_uint_eq(blocked.calls, 0);
	ck_assert_uint_eq(behind.calls, 0);
	test_thaw();
	test_error(test_await(store, &blocked), 0);
	test_error(test_await(store, &behind), 0);
	ck_assert(behind.exists);
	ck_assert_uint_lt(blocked.turn, behind.turn);
	test_close(store);
}
END_TEST

/* ---- the oracle ------------------------------------------------------------------------------ */

#define ORACLE_IDS 6
#define ORACLE_STEPS 400
#define ORACLE_ROUNDS 4

/* One request of a random run, and what is expected of it. */
struct step {
	struct test_record record;
	int error;
	bool exists;
};

/* A small generator of numbers, the same everywhere. */
static unsigned next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(*state >> 33);
}

/*
 * Submit one random request and set what is expected, given which ids EXIST at that point of the
 * order.
 */
static void submit_step(struct varve_store *store, struct step *step, bool *exist, uint64_t *random)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	unsigned id = next_random(random) % ORACLE_IDS,
		 parent = next_random(random) % (ORACLE_IDS + 2);
	unsigned kind = next_random(random) % 10;
	char *name = test_path("layer-%u", id);
	options.flags = next_random(random) % 8 ? VARVE_RELAXED : VARVE_DURABLE;
	if (kind < 5) {
		/*
		 * The parent is looked for before the name is found to be taken; where both fail
		 * either may be reported.
		 */
		bool has_parent = parent >= ORACLE_IDS || exist[parent];
		options.parent = parent < ORACLE_IDS ? test_path("layer-%u", parent) : NULL;
		step->error = exist[id] && has_parent ? -EEXIST
			      : has_parent            ? 0
			      : exist[id]             ? 1
						      : -ENOENT;
		test_error(varve_layer_create(store, name, &options, test_record, &step->record,
					      NULL),
			   0);
		exist[id] |= has_parent;
	} else if (kind < 8) {
		step->error = exist[id] ? 0 : -ENOENT;
		test_error(varve_layer_remove(store, name, options.flags, test_record,
					      &step->record, NULL),
			   0);
		exist[id] = false;
	} else if (kind == 8) {
		step->exists = exist[id];
		test_error(varve_layer_exists(store, name, test_record, &step->record, NULL), 0);
	} else {
		step->error = exist[id] ? 0 : -ENOENT;
		test_error(varve_layer_get(store, name, NULL, test_record, &step->record, NULL), 0);
	}
}

/* Compare the result of a request with the expected one. */
static void check_step(unsigned number, const struct step *step)
{
	const struct test_record *record = &step->record;
	bool either = step->error == 1 && (record->error == -EEXIST || record->error == -ENOENT);
	ck_assert_msg(either || record->error == step->error,
		      "step %u, operation %d: expected %s, got %s at %s", number, record->operation,
		      test_errno_name(step->error), test_errno_name(record->error),
		      record->has_failure ? record->failure.step : "");
	ck_assert_msg(record->exists == step->exists, "step %u, operation %d: expected exists %d",
		      number, record->operation, step->exists);
}

START_TEST(test_oracle)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	bool exist[ORACLE_IDS] = { false };
	for (uint64_t round = 1; round <= ORACLE_ROUNDS; round++) {
		struct step *steps = test_alloc(ORACLE_STEPS * sizeof(*steps));
		uint64_t random = round;
		for (unsigned i = 0; i < ORACLE_STEPS; i++)
			submit_step(store, &steps[i], exist, &random);
		for (unsigned i = 0; i < ORACLE_STEPS; i++) {
			test_await(store, &steps[i].record);
			check_step(i, &steps[i]);
		}
		for (unsigned i = 0; i < ORACLE_IDS; i++)
			ck_assert_int_eq(test_is_subvolume(
						 test_layer(home, test_path("layer-%u", i))),
					 exist[i]);
		ck_assert_uint_eq(test_leftovers(home), 0);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("order", test_one_id, test_chain_of_parents, test_chain_breaks, test_parent_being_removed,
	  test_own_parent, test_batches_in_order, test_others_do_not_wait, test_oracle)
