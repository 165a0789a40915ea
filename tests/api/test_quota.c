/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: timeout=120 kernel-says=rescan.is.already.in.progress
 *
 * Size limits: they are recorded, in force, and enforced, in both modes; they come and go with
 * their layers; and where they cannot be had nothing is made.
 */
#include "quota.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Open HOME with the option OPTION, which must fail with ERROR, or not at all (0). */
static struct varve_store *open_option(const char *home, const char *option, int error)
{
	const char *const options[] = { option, NULL };
	struct varve_config config = test_config(home);
	struct varve_store *store = NULL;
	config.options = options;
	test_error(varve_open(&config, &store, NULL), error);
	return store;
}

/* Assert that layer ID takes LESS bytes and no more than MORE. */
static void assert_enforced(const char *home, const char *id, size_t less, size_t more)
{
	char *path = test_path("%s/%s", test_layer(home, id), "less");
	test_error(write_bytes(path, less), 0);
	test_error(write_bytes(test_path("%s/more", test_layer(home, id)), more), -EDQUOT);
}

static void enforced(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	struct stat record;
	mode_t mask = umask(0077);
	test_error(create_with(store, "base", NULL, "size=8m", 0), 0);
	umask(mask);
	assert_limit(store, home, "base", 8 * MIB);
	ck_assert_int_eq(stat(test_path("%s/quotas/base", home), &record), 0);
	ck_assert_uint_eq(record.st_mode, S_IFREG | 0644);
	assert_enforced(home, "base", 3 * MIB, 16 * MIB);
	test_create(store, "parent", NULL);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "parent")), 4 * MIB), 0);
	/* Full: what is inherited counts. Simple: it does not. */
	test_error(create_with(store, "child", "parent", "SIZE=8M", 0), 0);
	assert_limit(store, home, "child", 8 * MIB);
	struct varve_layer_info info = info_of(store, "child");
	ck_assert_msg(mode == VARVE_QUOTA_FULL ? info.quota_referenced > 4 * MIB
					       : info.quota_referenced < MIB,
		      "%llu", (unsigned long long)info.quota_referenced);
	if (mode == VARVE_QUOTA_FULL)
		assert_enforced(home, "child", 2 * MIB, 5 * MIB);
	else
		assert_enforced(home, "child", 6 * MIB, 3 * MIB);
	/* Removal works where nothing more can be written. */
	test_remove_layer(store, "child");
	test_remove_layer(store, "base");
	ck_assert_int_eq(test_entries(test_path("%s/quotas", home)), 0);
	test_close(store);
}
TEST_BOTH(enforced)

static void read_only(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	test_error(create_with(store, "base", NULL, "size=8m", VARVE_CREATE_READ_ONLY), 0);
	test_error(create_with(store, "child", "base", "size=6m", VARVE_CREATE_READ_ONLY), 0);
	assert_limit(store, home, "base", 8 * MIB);
	assert_limit(store, home, "child", 6 * MIB);
	ck_assert(info_of(store, "base").flags & VARVE_LAYER_READ_ONLY);
	ck_assert(info_of(store, "child").flags & VARVE_LAYER_READ_ONLY);
	/* No limit asked for, none inherited. */
	test_error(create_with(store, "free", "base", NULL, 0), 0);
	assert_limit(store, home, "free", 0);
	test_close(store);
}
TEST_BOTH(read_only)

START_TEST(test_batch)
{
	enum { COUNT = 200 };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, test_quota_mode());
	const char *const size[] = { "size=5m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *ids[COUNT];
	struct varve_failure failure;
	test_create(store, "base", NULL);
	for (int i = 0; i < COUNT; i++)
		ids[i] = test_path("layer-%d", i);
	options.parent = "base";
	options.storage_options = size;
	test_ok(varve_layer_create_batch_wait(store, ids, COUNT, &options, NULL, &failure),
		&failure);
	for (int i = 0; i < COUNT; i++)
		assert_limit(store, home, ids[i], 5 * MIB);
	ck_assert_uint_eq(quota_of(store).records, COUNT);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_existing_keeps_its_record)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, test_quota_mode());
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	test_error(create_with(store, "layer", NULL, "size=9m", 0), -EEXIST);
	test_error(create_with(store, "layer", NULL, NULL, 0), -EEXIST);
	assert_limit(store, home, "layer", 8 * MIB);
	/* A layer of the same name later on has nothing of it. */
	test_remove_layer(store, "layer");
	record_size(home, "layer", "8388608");
	test_create(store, "layer", NULL);
	assert_limit(store, home, "layer", 0);
	test_close(store);
}
END_TEST

START_TEST(test_options)
{
	char *home = test_home(), *path;
	const char *const options[] = { "btrfs.size=20m", "btrfs.min_space=10m", NULL };
	struct varve_config config = test_config(home);
	test_close(open_in_mode(home, VARVE_QUOTA_OFF));
	config.options = options;
	struct varve_store *store = test_open_config(&config);
	/* It was turned on at open, and where there is a choice in the mode that suits churn. */
	ck_assert_int_ne(quota_of(store).mode, VARVE_QUOTA_OFF);
	test_create(store, "default", NULL);
	assert_limit(store, home, "default", 20 * MIB);
	test_error(varve_layer_create_wait(store, "without", NULL, NULL), 0);
	assert_limit(store, home, "without", 20 * MIB);
	test_error(create_with(store, "read-only", NULL, NULL, VARVE_CREATE_READ_ONLY), 0);
	assert_limit(store, home, "read-only", 0);
	test_error(create_with(store, "given", NULL, "size=10m", 0), 0);
	test_error(create_with(store, "small", NULL, "size=9m", 0), -EINVAL);
	test_error(varve_quota_limit_wait(store, "given", 9 * MIB, NULL), -EINVAL);
	/* A record of less, of times with another configuration, is passed over. */
	record_size(home, "read-only", "9437184");
	test_error(varve_layer_get_wait(store, "read-only", NULL, &path, NULL), 0);
	free(path);
	ck_assert_uint_eq(info_of(store, "read-only").quota_limit, 0);
	ck_assert(!test_layer_exists(home, "small"));
	test_close(store);
	test_error(!!open_option(test_home(), "quota=frob", -EINVAL), 0);
	const char *const bad[][3] = { { "btrfs.size=1m", "btrfs.min_space=2m" },
				       { "btrfs.size=1m", "quota=off" } };
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		config.options = bad[i];
		test_error(varve_open(&config, &store, NULL), -EINVAL);
	}
}
END_TEST

START_TEST(test_policies)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_OFF), *other;
	other = open_option(home, "quota=keep", 0);
	test_error(create_with(other, "layer", NULL, "size=8m", 0), -ENOTCONN);
	test_error(create_with(other, "free", NULL, NULL, 0), 0);
	test_close(other);
	other = open_option(home, "quota=off", 0);
	test_error(create_with(other, "layer", NULL, "size=8m", 0), -ENOTSUP);
	test_error(varve_quota_limit_wait(other, "free", 8 * MIB, NULL), -ENOTSUP);
	test_close(other);
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_OFF);
	ck_assert_int_eq(test_layers(home), 1);
	test_close(open_option(home, "quota=full", 0));
	/* Closing has not turned it off. */
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_FULL);
	open_option(home, "quota=simple", -EBUSY);
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_SIMPLE, NULL), -EBUSY);
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_OFF, NULL), -EINVAL);
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_FULL, NULL), 0);
	other = open_option(home, "quota=keep", 0);
	test_error(create_with(other, "layer", NULL, "size=8m", 0), 0);
	assert_limit(other, home, "layer", 8 * MIB);
	test_close(other);
	test_close(store);
}
END_TEST

/* Somebody else turns quota off and on while the store is open. */
START_TEST(test_changed_by_others)
{
	char *home = test_home(), *path;
	struct varve_store *store = open_in_mode(home, test_quota_mode());
	struct varve_failure failure;
	test_error(create_with(store, "one", NULL, "size=8m", 0), 0);
	test_command((const char *[]){ "btrfs", "quota", "disable", test_mount(), NULL });
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_OFF);
	ck_assert(!(info_of(store, "one").flags & VARVE_LAYER_QUOTA));
	test_error(create_with(store, "two", NULL, "size=9m", 0), 0);
	assert_limit(store, home, "two", 9 * MIB);
	/* What was made before has no limit until it is got. */
	ck_assert_uint_eq(info_of(store, "one").quota_limit, 0);
	test_ok(varve_layer_get_wait(store, "one", NULL, &path, &failure), &failure);
	free(path);
	assert_limit(store, home, "one", 8 * MIB);
	assert_enforced(home, "one", 3 * MIB, 9 * MIB);
	test_command((const char *[]){ "btrfs", "quota", "disable", test_mount(), NULL });
	test_command((const char *[]){ "btrfs", "quota", "enable", test_mount(), NULL });
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_FULL);
	test_ok(varve_layer_get_wait(store, "two", NULL, &path, &failure), &failure);
	free(path);
	assert_limit(store, home, "two", 9 * MIB);
	test_close(store);
}
END_TEST

static void get_applies(enum varve_quota_mode mode)
{
	char *home = test_home(), *path;
	struct varve_store *store = open_in_mode(home, mode);
	struct varve_failure failure;
	static const char *const passed_over[] = { "8388608\n",
						   "",
						   "x",
						   "-1",
						   " 1",
						   "0",
						   "99999999999999999999",
						   "000000000000000000000000838860812345" };
	test_create(store, "layer", NULL);
	for (size_t i = 0; i < TEST_COUNT(passed_over); i++) {
		record_size(home, "layer", passed_over[i]);
		test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
		ck_assert_uint_eq(info_of(store, "layer").quota_limit, 0);
		free(path);
	}
	record_size(home, "layer", "8388608");
	test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
	assert_limit(store, home, "layer", 8 * MIB);
	assert_enforced(home, "layer", 3 * MIB, 9 * MIB);
	free(path);
	test_close(store);
}
TEST_BOTH(get_applies)

static void limit(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "layer")), 6 * MIB), 0);
	test_ok(varve_quota_limit_wait(store, "layer", 4 * MIB, &failure), &failure);
	assert_limit(store, home, "layer", 4 * MIB);
	test_error(write_bytes(test_path("%s/more", test_layer(home, "layer")), MIB), -EDQUOT);
	test_ok(varve_quota_limit_wait(store, "layer", 0, &failure), &failure);
	assert_limit(store, home, "layer", 0);
	test_error(write_bytes(test_path("%s/again", test_layer(home, "layer")), 6 * MIB), 0);
	test_error(varve_quota_limit_wait(store, "nothing", 4 * MIB, NULL), -ENOENT);
	ck_assert(!test_exists(test_path("%s/quotas/nothing", home)));
	test_close(store);
}
TEST_BOTH(limit)

/*
 * What is written to a subvolume inside a layer has a group of its own: documented. Removal takes
 * it along.
 */
static void nested(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	uint64_t groups = quota_of(store).groups;
	test_error(create_with(store, "layer", NULL, "size=4m", 0), 0);
	test_subvolume_create(test_path("%s/nested", test_layer(home, "layer")));
	test_error(write_bytes(test_path("%s/nested/file", test_layer(home, "layer")), 8 * MIB), 0);
	assert_enforced(home, "layer", 2 * MIB, 8 * MIB);
	test_remove_layer(store, "layer");
	ck_assert(!test_exists(test_path("%s/quotas/layer", home)));
	clean(store);
	ck_assert_uint_eq(quota_of(store).groups, groups);
	test_close(store);
}
TEST_BOTH(nested)

/*
 * Leave a layer, "child", that shares space with "base", which is removed: its group is there
 * without a subvolume.
 */
static void share_group(struct varve_store *store, const char *home)
{
	struct varve_failure failure;
	test_error(create_with(store, "base", NULL, "size=8m", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_error(create_with(store, "child", "base", "size=8m", 0), 0);
	test_remove_layer(store, "base");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
}

/* Under simple quotas the group of a removed layer lives on while a snapshot shares its space. */
START_TEST(test_shared_group)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	struct varve_quota quota = VARVE_QUOTA_INIT;
	uint64_t groups = quota_of(store).groups;
	share_group(store, home);
	test_ok(varve_quota_gc_wait(store, &quota, &failure), &failure);
	ck_assert_uint_eq(quota.groups_removed, 0);
	ck_assert_uint_eq(quota_of(store).groups_stale, 1);
	test_remove_layer(store, "child");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	/* Whether this removes it or the store has, of its own accord: see test_stays_open. */
	test_ok(varve_quota_gc_wait(store, &quota, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).groups, groups);
	ck_assert_uint_eq(quota_of(store).groups_stale, 0);
	test_close(store);
}
END_TEST

/*
 * Let somebody else remove layers so that a group without a subvolume is left, as old kernels
 * always leave them.
 */
static void leave_group(struct varve_store *store, const char *home)
{
	static const char *const ids[] = { "base", "child" };
	struct varve_failure failure;
	test_error(create_with(store, "base", NULL, NULL, 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_create(store, "child", "base");
	for (size_t i = 0; i < TEST_COUNT(ids); i++) {
		test_command((const char *[]){ "btrfs", "subvolume", "delete", "-c",
					       test_layer(home, ids[i]), NULL });
		test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	}
}

/* What is left over goes with gc and with the sweep; the living stay. */
START_TEST(test_sweep)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_quota quota = VARVE_QUOTA_INIT;
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	uint64_t groups = quota_of(store).groups;
	leave_group(store, home);
	record_size(home, "ghost", "8388608");
	ck_assert_uint_eq(quota_of(store).groups_stale, 1);
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.quota_groups_removed, 1);
	ck_assert_uint_eq(report.quota_files_removed, 1);
	ck_assert_uint_eq(report.failures, 0);
	leave_group(store, home);
	test_ok(varve_quota_gc_wait(store, &quota, &failure), &failure);
	ck_assert_uint_eq(quota.groups_removed, 1);
	ck_assert_uint_eq(quota_of(store).groups, groups);
	assert_limit(store, home, "layer", 8 * MIB);
	test_close(store);
}
END_TEST

/* A store, and how many groups it is to have. */
struct groups {
	struct varve_store *store;
	uint64_t count;
};

/* Has it as many? */
static bool groups_gone(void *data)
{
	const struct groups *groups = data;

	return quota_of(groups->store).groups == groups->count;
}

/*
 * A store that stays open removes the groups that the kernel leaves: here that of a layer whose
 * space a snapshot shared.
 */
START_TEST(test_stays_open)
{
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	struct groups groups = { store, quota_of(store).groups };
	share_group(store, home);
	ck_assert_uint_eq(quota_of(store).groups_stale, 1);
	test_remove_layer(store, "child");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_until(groups_gone, &groups);
	test_close(store);
}
END_TEST

/*
 * Layers with limits come and go; the groups afterwards are those of before. In the soak there are
 * 10,000 of them.
 */
static void leak(enum varve_quota_mode mode)
{
	enum { ROUND = 250 };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	const char *const size[] = { "size=8m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	const char *ids[ROUND];
	int rounds = getenv("VARVE_TEST_SOAK") ? 40 : mode == VARVE_QUOTA_SIMPLE ? 4 : 1;
	test_create(store, "base", NULL);
	test_write(test_path("%s/file", test_layer(home, "base")), "content");
	uint64_t groups = quota_of(store).groups;
	options.parent = "base";
	options.storage_options = size;
	for (int i = 0; i < ROUND; i++)
		ids[i] = test_path("layer-%d", i);
	for (int round = 0; round < rounds; round++) {
		test_ok(varve_layer_create_batch_wait(store, ids, ROUND, &options, NULL, &failure),
			&failure);
		ck_assert_uint_eq(quota_of(store).records, ROUND);
		test_error(write_bytes(test_path("%s/big", test_layer(home, ids[round])), MIB), 0);
		test_ok(varve_layer_remove_batch_wait(store, ids, ROUND, VARVE_RELAXED, NULL,
						      &failure),
			&failure);
	}
	clean(store);
	struct varve_quota quota = quota_of(store);
	ck_assert_uint_eq(quota.groups, groups);
	ck_assert_uint_eq(quota.groups_stale, 0);
	ck_assert_uint_eq(quota.records, 0);
	test_close(store);
}
TEST_BOTH(leak)

/* Without privilege: an error that says so, before anything is made; layers without sizes work. */
static int nobody_off(void *home)
{
	struct varve_failure failure = { 0 };
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.storage_options = (const char *const[]){ "size=8m", NULL };
	test_error(varve_layer_create_wait(store, "layer", &options, &failure), -EPERM);
	ck_assert_ptr_nonnull(strstr(failure.detail, "CAP_SYS_ADMIN"));
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_FULL, &failure), -EPERM);
	ck_assert_str_ne(failure.detail, "");
	test_error(varve_quota_disable_wait(store, NULL), -EPERM);
	test_error(varve_quota_gc_wait(store, NULL, NULL), -EPERM);
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_error(create_with(store, "free", NULL, NULL, 0), 0);
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_OFF);
	test_close(store);
	return 0;
}

static int nobody_simple(void *home)
{
	struct varve_store *store = test_open(home);
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_SIMPLE);
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	test_error(create_with(store, "child", "layer", "size=6m", 0), 0);
	assert_limit(store, home, "layer", 8 * MIB);
	assert_limit(store, home, "child", 6 * MIB);
	assert_enforced(home, "child", 3 * MIB, 8 * MIB);
	test_error(varve_quota_limit_wait(store, "layer", 9 * MIB, NULL), -EPERM);
	assert_limit(store, home, "layer", 8 * MIB);
	test_close(store);
	return 0;
}

static int nobody_layer(void *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	return 0;
}

static int nobody_full(void *home)
{
	struct varve_store *store = test_open(home);
	int layers = test_layers(home);
	test_error(create_with(store, "snapshot", "layer", "size=8m", 0), -EPERM);
	ck_assert_int_eq(test_layers(home), layers);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_error(create_with(store, "full-base", NULL, "size=8m", 0), 0);
	assert_limit(store, home, "full-base", 8 * MIB);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	char *home = test_home(), *other = test_home();
	test_close(open_in_mode(other, VARVE_QUOTA_OFF));
	test_mkdir(home);
	ck_assert_int_eq(chown(home, TEST_NOBODY, TEST_NOBODY), 0);
	test_as_nobody(nobody_off, home);
	if (test_quota_mode() == VARVE_QUOTA_SIMPLE) {
		test_close(open_in_mode(other, VARVE_QUOTA_SIMPLE));
		test_as_nobody(nobody_simple, home);
	} else {
		test_as_nobody(nobody_layer, home);
	}
	test_close(open_in_mode(other, VARVE_QUOTA_FULL));
	test_as_nobody(nobody_full, home);
}
END_TEST

TEST_MAIN("quota", test_enforced_simple, test_enforced_full, test_read_only_simple,
	  test_read_only_full, test_batch, test_existing_keeps_its_record, test_options,
	  test_policies, test_changed_by_others, test_get_applies_simple, test_get_applies_full,
	  test_limit_simple, test_limit_full, test_nested_simple, test_nested_full,
	  test_shared_group, test_sweep, test_stays_open, test_leak_simple, test_leak_full,
	  test_unprivileged)
