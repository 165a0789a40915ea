/* SPDX-License-Identifier: Apache-2.0 */
/* engine/btrfs/name_hash: the hash of btrfs, and a batch that makes its layers in that order. */
#include <dirent.h>

#include "test.h"

#include "engine/btrfs/name_hash.h"

START_TEST(test_known)
{
	/* The entry of each file system's default subvolume, as btrfs inspect-internal shows it. */
	ck_assert_uint_eq(name_hash("default"), 2378154706u);
	ck_assert_uint_eq(name_hash(""), 0xfffffffeu);
}
END_TEST

/* Layers of the batch; how many are made at once. */
#define LAYERS 256
#define THREADS 4

START_TEST(test_batch_in_order)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char *home = test_home(), names[LAYERS][16];
	struct varve_config config = test_config(home);
	struct varve_failure failure = { 0 };
	const char *ids[LAYERS];
	struct dirent *entry;
	uint32_t before = 0;
	unsigned seen = 0, back = 0;

	config.commit_threads_max = THREADS;
	struct varve_store *store = test_open_config(&config);
	for (unsigned i = 0; i < LAYERS; i++) {
		snprintf(names[i], sizeof(names[i]), "layer-%u", i);
		ids[i] = names[i];
	}
	test_ok(varve_layer_create_batch_wait(store, ids, LAYERS, &options, NULL, &failure),
		&failure);
	/* btrfs lists a directory in the order in which the entries were made. */
	DIR *dir = opendir(test_path("%s/subvolumes", home));
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		back += name_hash(entry->d_name) < before;
		before = name_hash(entry->d_name);
		seen++;
	}
	closedir(dir);
	test_close(store);
	ck_assert_uint_eq(seen, LAYERS);
	/* Once around, and what ends in another order of those that are made at once. */
	ck_assert_uint_le(back, LAYERS / 3);
}
END_TEST

TEST_MAIN("name_hash", test_known, test_batch_in_order)
