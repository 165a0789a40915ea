/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: timeout=120 kernel-says=rescan.is.already.in.progress
 *
 * What is reported of quota: that limits are not enforced, that a rescan runs, and what layers hold
 * of their limits.
 */
#include "quota.h"

/*
 * Extents that a rescan has to count, so that it takes some time; how often it is tried to see it.
 */
#define STATUS_FILES 3000
#define STATUS_FILE_BYTES 8192
#define STATUS_TRIES 100

/* Has the status of STORE an entry KEY whose value contains TEXT? */
static bool status_says(struct varve_store *store, const char *key, const char *text)
{
	struct varve_status_entry *entries;
	size_t count;
	bool found = false;
	test_error(varve_status_wait(store, &entries, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		found |= !strcmp(entries[i].key, key) && strstr(entries[i].value, text);
	free(entries);
	return found;
}

/*
 * A snapshot that is put into a group by hand makes quota inconsistent: we say so until a rescan,
 * and then limits hold.
 */
START_TEST(test_inconsistent)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_failure failure;
	test_create(store, "base", NULL);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_error(create_with(store, "child", "base", "size=8m", 0), 0);
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	ck_assert(!status_says(store, "quota_warning", ""));
	test_command((const char *[]){ "btrfs", "qgroup", "create", "1/100", test_mount(), NULL });
	/* It exits with 1 where a rescan would be needed. */
	test_command((const char *[]){
		"btrfs", "qgroup", "assign", "--no-rescan",
		test_path("0/%llu", (unsigned long long)info_of(store, "child").subvolume_id),
		"1/100", test_mount(), NULL });
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT,
			  VARVE_QUOTA_INCONSISTENT);
	ck_assert(status_says(store, "quota_warning", "not enforced"));
	test_ok(varve_quota_rescan_wait(store, VARVE_QUOTA_WAIT, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).flags &
				  (VARVE_QUOTA_INCONSISTENT | VARVE_QUOTA_RESCAN_RUNNING),
			  0);
	ck_assert(!status_says(store, "quota_warning", ""));
	test_error(write_bytes(test_path("%s/more", test_layer(home, "child")), 8 * MIB), -EDQUOT);
	test_close(store);
}
END_TEST

START_TEST(test_rescan_running)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_failure failure;
	bool seen = false;
	test_create(store, "layer", NULL);
	for (int i = 0; i < STATUS_FILES; i++) {
		static const char content[STATUS_FILE_BYTES + 1] = { [0 ... STATUS_FILE_BYTES -
								      1] = 'x' };
		test_write(test_path("%s/%d", test_layer(home, "layer"), i), content);
	}
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	for (int tries = 0; tries < STATUS_TRIES && !seen; tries++) {
		test_ok(varve_quota_rescan_wait(store, 0, &failure), &failure);
		seen = quota_of(store).flags & VARVE_QUOTA_RESCAN_RUNNING;
	}
	ck_assert(seen);
	test_ok(varve_quota_rescan_wait(store, VARVE_QUOTA_WAIT, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_RESCAN_RUNNING, 0);
	test_close(store);
}
END_TEST

/* usage tells what info tells: referenced, exclusive, and the limit. */
static void usage(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_failure failure;
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "layer")), 2 * MIB), 0);
	test_ok(varve_layer_usage_wait(store, "layer", 0, &usage, &failure), &failure);
	struct varve_layer_info info = info_of(store, "layer");
	ck_assert_uint_eq(usage.flags & VARVE_USAGE_QUOTA, VARVE_USAGE_QUOTA);
	ck_assert_uint_eq(usage.limit_bytes, 8 * MIB);
	ck_assert_uint_ge(usage.referenced_bytes, 2 * MIB);
	ck_assert_uint_eq(usage.referenced_bytes, info.quota_referenced);
	ck_assert_uint_eq(usage.exclusive_bytes, info.quota_exclusive);
	ck_assert_uint_eq(info.quota_limit, 8 * MIB);
	test_ok(varve_quota_limit_wait(store, "layer", 0, &failure), &failure);
	test_ok(varve_layer_usage_wait(store, "layer", VARVE_USAGE_WALK, &usage, &failure),
		&failure);
	ck_assert_uint_eq(usage.limit_bytes, 0);
	test_ok(varve_quota_disable_wait(store, &failure), &failure);
	test_ok(varve_layer_usage_wait(store, "layer", 0, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.flags & VARVE_USAGE_QUOTA, 0);
	test_close(store);
}
TEST_BOTH(usage)

TEST_MAIN("quota_status", test_inconsistent, test_rescan_running, test_usage_simple,
	  test_usage_full)
