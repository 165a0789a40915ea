/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processes on one home at once: for each id there is one winner, and nobody harms another.
 */
#include "test.h"

#include <unistd.h>

#define PROCESSES 4
#define LAYERS 60

/* What a child does: which home, which of the processes it is. */
struct job {
	const char *home;
	int number;
};

/* Start all children with FUNCTION, wait for them. */
static void run_all(const char *home, int (*function)(void *data))
{
	struct job jobs[PROCESSES];
	int pids[PROCESSES];
	for (int i = 0; i < PROCESSES; i++) {
		jobs[i] = (struct job){ home, i };
		pids[i] = test_child_start(function, &jobs[i]);
	}
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(test_child_end(pids[i]), 0);
}

/* Create LAYERS layers of PREFIX from "base" at once, keep the results in RECORDS. */
static void create_all(struct varve_store *store, const char *prefix, struct test_record *records)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "base";
	for (int i = 0; i < LAYERS; i++)
		test_error(varve_layer_create(store, test_path("%s-%d", prefix, i), &options,
					      test_record, &records[i], NULL),
			   0);
	test_await_all(store, records, LAYERS);
}

/* Make and remove layers of one's own. */
static int own_layers(void *data)
{
	struct job *job = data;
	struct varve_store *store = test_open(job->home);
	struct test_record creates[LAYERS] = { 0 }, removes[LAYERS] = { 0 };
	create_all(store, test_path("process-%d", job->number), creates);
	for (int i = 0; i < LAYERS; i++) {
		test_error(creates[i].error, 0);
		if (i % 2)
			test_error(varve_layer_remove(store,
						      test_path("process-%d-%d", job->number, i), 0,
						      test_record, &removes[i], NULL),
				   0);
	}
	for (int i = 1; i < LAYERS; i += 2)
		test_error(test_await(store, &removes[i]), 0);
	test_close(store);
	return 0;
}

START_TEST(test_own_layers)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	run_all(home, own_layers);
	ck_assert_int_eq(test_layers(home), 1 + PROCESSES * LAYERS / 2);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Note in a file which process has won what. */
static void note(const struct job *job, const char *what, int i)
{
	test_write(test_path("%s/won-%s-%d-by-%d", test_mount(), what, i, job->number), "x");
}

/* Race for the same layers. */
static int race(void *data)
{
	struct job *job = data;
	struct varve_store *store = test_open(job->home);
	struct test_record creates[LAYERS] = { 0 }, removes[LAYERS] = { 0 };
	create_all(store, "shared", creates);
	for (int i = 0; i < LAYERS; i++) {
		ck_assert_msg(creates[i].error == 0 || creates[i].error == -EEXIST, "create %d: %s",
			      i, test_errno_name(creates[i].error));
		if (!creates[i].error)
			note(job, "create", i);
	}
	/* Of layers that were there before all began. */
	for (int i = 0; i < LAYERS; i++)
		test_error(varve_layer_remove(store, test_path("old-%d", i), 0, test_record,
					      &removes[i], NULL),
			   0);
	test_await_all(store, removes, LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		ck_assert_msg(removes[i].error == 0 || removes[i].error == -ENOENT, "remove %d: %s",
			      i, test_errno_name(removes[i].error));
		if (!removes[i].error)
			note(job, "remove", i);
	}
	test_close(store);
	return 0;
}

/* How many have won layer I of WHAT? */
static int winners(const char *what, int i)
{
	int count = 0;
	for (int number = 0; number < PROCESSES; number++)
		count += test_exists(
			test_path("%s/won-%s-%d-by-%d", test_mount(), what, i, number));
	return count;
}

START_TEST(test_race)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	for (int i = 0; i < LAYERS; i++) {
		test_create(store, test_path("old-%d", i), NULL);
		if (i % 3 == 0)
			test_subvolume_create(
				test_path("%s/inner", test_layer(home, test_path("old-%d", i))));
	}
	run_all(home, race);
	for (int i = 0; i < LAYERS; i++) {
		ck_assert_msg(winners("create", i) == 1, "%d processes have created layer %d",
			      winners("create", i), i);
		ck_assert_msg(winners("remove", i) == 1, "%d processes have removed layer %d",
			      winners("remove", i), i);
	}
	ck_assert_int_eq(test_layers(home), 1 + LAYERS);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Open, do a little, close; again and again: the sweeps at open meet the others' work. */
static int open_and_close(void *data)
{
	struct job *job = data;
	for (int i = 0; i < 15; i++) {
		struct varve_store *store = test_open(job->home);
		struct varve_failure failure;
		char *id = test_path("%d-%d", job->number, i);
		test_create(store, id, "base");
		test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
		test_create(store, test_path("%s-child", id), id);
		test_remove_layer(store, id);
		test_close(store);
	}
	return 0;
}

START_TEST(test_opens)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_close(store);
	run_all(home, open_and_close);
	ck_assert_int_eq(test_layers(home), 1 + PROCESSES * 15);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* Open a home that may not exist yet. */
static int open_first(void *data)
{
	struct job *job = data;
	struct varve_store *store = test_open(job->home);
	test_create(store, test_path("%d", job->number), NULL);
	test_close(store);
	return 0;
}

START_TEST(test_first_open)
{
	for (int round = 0; round < 10; round++) {
		char *home = test_home();
		run_all(home, open_first);
		ck_assert_int_eq(test_layers(home), PROCESSES);
	}
}
END_TEST

TEST_MAIN("processes", test_own_layers, test_race, test_opens, test_first_open)
