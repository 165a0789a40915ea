/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels and records where others act in the home: other processes, other users, a full quota.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Where the record of layer ID is. */
static char *record_path(const char *home, const char *id)
{
	return test_path("%s/.varve/layers/%s", home, id);
}

/* Create ID with LABELS, NULL last, and SIZE bytes of record. Returns the error. */
static int create_labelled(struct varve_store *store, const char *id, const char *const *labels,
			   size_t size)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	static char bytes[VARVE_RECORD_BYTES_MAX];
	options.labels = labels;
	options.record = size ? bytes : NULL;
	options.record_bytes = size;
	return varve_layer_create_wait(store, id, &options, NULL);
}

/* Has layer ID the label LABEL, and no other? -errno: it cannot be read. */
static int has_label(struct varve_store *store, const char *id, const char *label)
{
	struct varve_layer_record *record;
	int error = varve_layer_record_wait(store, id, &record, NULL);
	if (error)
		return error;
	int has = record->labels_count == 1 && !strcmp(record->labels[0], label);
	free(record);
	return has;
}

#define FOUND 64

/* What a find has and how much memory is in use while its result lives. */
struct found {
	unsigned ended;
	size_t ids_count, bytes;
};

static void note_found(struct varve_store *store, const struct varve_result *result,
		       void *user_data)
{
	struct found *found = user_data;
	found->ids_count = result->ids_count;
	found->bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
	found->ended = 1;
}

START_TEST(test_find_memory)
{
	struct varve_store *store = test_open(test_home());
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct found found = { 0 };
	for (int i = 0; i < FOUND; i++)
		test_error(create_labelled(store, test_path("layer-%d", i), STRINGS("a=1"),
					   VARVE_RECORD_BYTES_MAX),
			   0);
	options.labels = STRINGS("a");
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	test_error(varve_layer_find(store, &options, note_found, &found, NULL), 0);
	test_dispatch_until(store, &found.ended, 1);
	ck_assert_uint_eq(found.ids_count, FOUND);
	/* The bytes of records that nobody asked for are not kept. */
	ck_assert_uint_lt(found.bytes, before + FOUND * (size_t)VARVE_RECORD_BYTES_MAX / 4);
	test_close(store);
}
END_TEST

static int use_umask(void *data)
{
	struct varve_store *store = test_open(data);
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	/* The directories are made now. */
	test_error(create_labelled(store, "layer", STRINGS("a=1"), 10), 0);
	mode_t before = umask(0777);
	options.labels = STRINGS("a=2");
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, NULL), 0);
	test_error(has_label(store, "layer", "a=2"), 1);
	umask(before);
	test_close(store);
	return 0;
}

START_TEST(test_umask)
{
	test_as_nobody(use_umask, test_home_of_nobody());
}
END_TEST

/* Rename a layer whose record belongs to another user. */
static int rename_foreign(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_ok(varve_layer_rename_wait(store, "layer", "renamed", 0, &failure), &failure);
	test_error(has_label(store, "renamed", "a=1"), 1);
	ck_assert(!test_exists(record_path(home, "layer")));
	ck_assert(!test_exists(test_path("%s/quotas/layer", home)));
	ck_assert_str_eq(test_read(test_path("%s/quotas/renamed", home)), "1048576");
	test_close(store);
	return 0;
}

static int create_own(void *data)
{
	struct varve_store *store = test_open(data);
	test_error(create_labelled(store, "layer", STRINGS("a=1"), VARVE_RECORD_BYTES_MAX), 0);
	test_close(store);
	return 0;
}

START_TEST(test_foreign)
{
	char *home = test_home_of_nobody();
	test_as_nobody(create_own, home);
	ck_assert_int_eq(chown(record_path(home, "layer"), 0, 0), 0);
	/* As an administrator leaves it. */
	test_mkdir(test_path("%s/quotas", home));
	ck_assert_int_eq(chown(test_path("%s/quotas", home), 65534, 65534), 0);
	test_write(test_path("%s/quotas/layer", home), "1048576");
	test_as_nobody(rename_foreign, home);
}
END_TEST

static int use_directory(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_create(store, "layer", NULL);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	test_mkdir(test_path("%s/.varve/layers", home));
	test_mkdir(record_path(home, "layer"));
	test_mkdir(test_path("%s/sub", record_path(home, "layer")));
	test_error(has_label(store, "layer", ""), -EUCLEAN);
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_uint_eq(report.records_removed, 1);
	test_error(has_label(store, "layer", ""), 0);
	test_close(store);
	return 0;
}

START_TEST(test_directory)
{
	test_as_nobody(use_directory, test_home_of_nobody());
}
END_TEST

/* What the processes of test_processes do: how often, with how many ids. */
#define ROUNDS 150
#define IDS 3

/* A process that creates, labels, renames and removes. */
struct user {
	char *home;
	int number;
};

static int use_others(void *data)
{
	const struct user *user = data;
	struct varve_store *store = test_open(user->home);
	uint64_t random = test_seed() + (uint64_t)user->number;
	char *mine = test_path("user=%d", user->number);
	char *own = test_path("own-%d", user->number);
	unsigned made = 0;
	for (int i = 0; i < ROUNDS; i++) {
		char *id = test_path("layer-%d", (int)(test_random(&random) % IDS));
		int error = create_labelled(store, id, STRINGS(mine),
					    test_random(&random) % VARVE_RECORD_BYTES_MAX);
		if (error) {
			test_error(error, -EEXIST);
			continue;
		}
		made++;
		/* Only its maker renames or removes it. */
		test_error(has_label(store, id, mine), 1);
		struct varve_failure failure;
		error = varve_layer_rename_wait(store, id, own, 0, &failure);
		test_ok(error, &failure);
		test_error(has_label(store, own, mine), 1);
		/* Back, unless another has the name now. */
		error = varve_layer_rename_wait(store, own, id, 0, NULL);
		ck_assert(!error || error == -EEXIST);
		id = error ? own : id;
		test_error(has_label(store, id, mine), 1);
		test_remove_layer(store, id);
	}
	test_close(store);
	return made ? 0 : 1;
}

START_TEST(test_processes)
{
	char *home = test_home();
	struct user users[3];
	int pids[TEST_COUNT(users)];
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_close(test_open(home));
	for (size_t i = 0; i < TEST_COUNT(users); i++) {
		users[i] = (struct user){ home, (int)i };
		pids[i] = test_child_start(use_others, &users[i]);
	}
	for (size_t i = 0; i < TEST_COUNT(users); i++)
		ck_assert_int_eq(test_child_end(pids[i]), 0);
	struct varve_store *store = test_open(home);
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("labels_shared", test_find_memory, test_umask, test_foreign, test_directory,
	  test_processes)
