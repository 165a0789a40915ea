/* SPDX-License-Identifier: Apache-2.0 */
/* varve_sync(): durable afterwards; and with VARVE_SYNC_CLEAN the kernel's cleaner is done. */
#include "test.h"

#include <btrfsutil.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Number of subvolumes of the file system that are removed and not yet cleaned. */
static size_t dead_subvolumes(void)
{
	uint64_t *ids = NULL;
	size_t count = 0;
	ck_assert_int_eq(btrfs_util_deleted_subvolumes(test_mount(), &ids, &count), BTRFS_UTIL_OK);
	free(ids);
	return count;
}

START_TEST(test_makes_durable)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct test_record record = { 0 };
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	varve_request request;
	test_create(store, "base", NULL);
	uint64_t before = test_committed_generation();
	test_error(varve_sync(store, 0, test_record, &record, &request), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_SYNC);
	ck_assert_uint_eq(record.request, request);
	ck_assert_uint_gt(test_committed_generation(), before);
	test_error(varve_layer_info_wait(store, "base", &info, NULL), 0);
	ck_assert_uint_ge(test_committed_generation(), info.created_generation);
	test_close(store);
}
END_TEST

START_TEST(test_nothing_to_do)
{
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure;
	for (int i = 0; i < 5; i++) {
		test_ok(varve_sync_wait(store, 0, &failure), &failure);
		test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	}
	test_close(store);
}
END_TEST

START_TEST(test_clean)
{
	enum { LAYERS = 50 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	const char *ids[LAYERS];
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 10, 20, 4000);
	for (int i = 0; i < LAYERS; i++)
		ids[i] = test_path("%d", i);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "base";
	test_ok(varve_layer_create_batch_wait(store, ids, LAYERS, &options, NULL, &failure),
		&failure);
	test_ok(varve_layer_remove_batch_wait(store, ids, LAYERS, VARVE_RELAXED, NULL, &failure),
		&failure);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	ck_assert_uint_eq(dead_subvolumes(), 0);
	test_close(store);
}
END_TEST

START_TEST(test_clean_frees_space)
{
	enum { SIZE_MB = 64 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	struct statvfs before, full, after;
	test_create(store, "layer", NULL);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	ck_assert_int_eq(statvfs(test_mount(), &before), 0);
	FILE *file = fopen(test_path("%s/big", test_layer(home, "layer")), "we");
	ck_assert_ptr_nonnull(file);
	char *block = test_alloc(1 << 20);
	for (int i = 0; i < SIZE_MB; i++) {
		memset(block, i + 1, 1 << 20);
		ck_assert_uint_eq(fwrite(block, 1 << 20, 1, file), 1);
	}
	ck_assert_int_eq(fclose(file), 0);
	/* What is in memory only takes no space yet: the sync writes it out. */
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	ck_assert_int_eq(statvfs(test_mount(), &full), 0);
	test_remove_layer(store, "layer");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	ck_assert_int_eq(statvfs(test_mount(), &after), 0);
	uint64_t used = (before.f_bfree - full.f_bfree) * before.f_bsize,
		 back = (after.f_bfree - full.f_bfree) * after.f_bsize;
	ck_assert_uint_ge(used, (uint64_t)SIZE_MB << 20);
	ck_assert_msg(back >= used - (8u << 20), "of %llu bytes %llu came back",
		      (unsigned long long)used, (unsigned long long)back);
	test_close(store);
}
END_TEST

START_TEST(test_many_together)
{
	struct varve_store *store = test_open(test_home());
	struct test_record records[50] = { 0 };
	for (int i = 0; i < 50; i++)
		test_error(varve_sync(store, 0, test_record, &records[i], NULL), 0);
	test_await_all(store, records, 50);
	for (int i = 0; i < 50; i++)
		test_error(records[i].error, 0);
	test_close(store);
}
END_TEST

START_TEST(test_flags)
{
	struct varve_store *store = test_open(test_home());
	struct test_record record = { 0 };
	test_error(varve_sync(store, 1u << 31, test_record, &record, NULL), -EINVAL);
	test_error(varve_sync(store, 0, NULL, &record, NULL), -EINVAL);
	test_error(varve_sync(NULL, 0, test_record, &record, NULL), -EINVAL);
	test_close(store);
}
END_TEST

/* Sync without privilege. */
static int sync_unprivileged(void *home)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	struct utsname names;
	int major = 0, minor = 0;
	ck_assert_int_eq(uname(&names), 0);
	ck_assert_int_eq(sscanf(names.release, "%d.%d", &major, &minor), 2);
	test_create(store, "layer", NULL);
	test_remove_layer(store, "layer");
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	int error = varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure);
	test_error(error, major > 6 || (major == 6 && minor >= 13) ? 0 : -EPERM);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(sync_unprivileged, test_home_of_nobody());
}
END_TEST

TEST_MAIN("sync", test_makes_durable, test_nothing_to_do, test_clean, test_clean_frees_space,
	  test_many_together, test_flags, test_unprivileged)
