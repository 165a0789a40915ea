/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system whose metadata is full, so that nothing can be renamed or made: layers are removed
 * all the same, those with nested subvolumes where they are, and what a crashed process left is
 * swept. A batch of creates fails group by group, not layer by layer.
 *
 * varve-test: size=128M varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

/* Make LAYER with nested subvolumes. */
static void make_nested(struct varve_store *store, const char *home, const char *layer)
{
	test_create(store, layer, NULL);
	test_subvolume_create(test_path("%s/a", test_layer(home, layer)));
	test_subvolume_create(test_path("%s/a/b", test_layer(home, layer)));
	test_subvolume_create(test_path("%s/c", test_layer(home, layer)));
}

START_TEST(test_full)
{
	char *home = test_home(), *left;
	struct varve_failure failure = { 0 };
	struct varve_store *store = test_open(home);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	char **ids;
	size_t count;
	test_create(store, "filler", NULL);
	test_create(store, "plain", NULL);
	for (int i = 0; i < 4; i++)
		make_nested(store, home, test_path("nested-%d", i));
	ck_assert_int_eq(test_command((const char *[]){ "btrfs", "property", "set",
							test_layer(home, "nested-1"), "ro", "true",
							NULL }),
			 0);
	if (!test_exists(test_path("%s/.varve", home)))
		test_mkdir(test_path("%s/.varve", home));
	if (!test_exists(test_path("%s/.varve/trash", home)))
		test_mkdir(test_path("%s/.varve/trash", home));
	left = test_path("%s/.varve/trash/1-0123456789abcdef.300", home);
	test_subvolume_create(left);
	test_subvolume_create(test_path("%s/a", left));
	test_close(store);
	test_fill_metadata(test_layer(home, "filler"));

	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	store = test_open_config(&config);
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	ck_assert_uint_eq(count, 6);
	free(ids);
	/* The first one meets the file system as full as it is. */
	for (int i = 0; i < 3; i++) {
		test_ok(varve_layer_remove_wait(store, test_path("nested-%d", i), VARVE_RELAXED,
						&failure),
			&failure);
		ck_assert(!test_layer_exists(home, test_path("nested-%d", i)));
	}
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.trash_removed, 1);
	test_ok(varve_layer_remove_wait(store, "plain", VARVE_RELAXED, &failure), &failure);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_ok(varve_layer_remove_wait(store, "nested-3", VARVE_DURABLE, &failure), &failure);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_int_eq(test_layers(home), 1);
	test_ok(varve_layer_remove_wait(store, "filler", VARVE_DURABLE, &failure), &failure);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_close(store);
}
END_TEST

/* Layers in a batch that finds no room: several groups. */
#define BATCH 600

START_TEST(test_batch_on_full)
{
	char *home = test_home();
	struct varve_failure failure = { 0 };
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;
	const char *ids[BATCH];
	int errors[BATCH], made = 0;
	test_create(store, "filler", NULL);
	test_create(store, "base", NULL);
	test_fill_metadata(test_layer(home, "filler"));
	for (int i = 0; i < BATCH; i++)
		ids[i] = test_path("layer-%d", i);
	options.parent = "base";
	varve_statistics(store, &before);
	test_error(varve_layer_create_batch_wait(store, ids, BATCH, &options, errors, &failure),
		   -ENOSPC);
	varve_statistics(store, &after);
	for (int i = 0; i < BATCH; i++) {
		made += !errors[i];
		ck_assert_msg(!errors[i] || errors[i] == -ENOSPC, "%s: %s", ids[i],
			      test_errno_name(errors[i]));
	}
	/* Of each group one tries again, alone. */
	ck_assert_uint_le(after.beats - before.beats, BATCH / 4);
	ck_assert_int_eq(test_layers(home), 2 + made);
	test_close(store);
}
END_TEST

TEST_MAIN("full", test_full, test_batch_on_full)
