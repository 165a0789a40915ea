/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: timeout=120 kernel-says=rescan.is.already.in.progress
 *
 * Size limits: they are recorded, in force, and enforced, in both modes; they come and go with their layers; and where they
 * cannot be had nothing is made.
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MIB (1024 * 1024)

/** Make two tests of the function NAME: one for each mode. */
#define TEST_BOTH(name)                                                                                                \
	START_TEST(test_##name##_simple) {                                                                             \
		if (have_simple())                                                                                     \
			name(VARVE_QUOTA_SIMPLE);                                                                      \
	}                                                                                                              \
	END_TEST                                                                                                       \
	START_TEST(test_##name##_full) {                                                                               \
		name(VARVE_QUOTA_FULL);                                                                                \
	}                                                                                                              \
	END_TEST

/* Open HOME on a file system whose quota runs in MODE; what an earlier test has left is forgotten. */
static struct varve_store *open_in_mode(const char *home, enum varve_quota_mode mode) {
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_ok(varve_quota_disable_wait(store, &failure), &failure);
	if (mode != VARVE_QUOTA_OFF)
		test_ok(varve_quota_enable_wait(store, mode, &failure), &failure);
	if (mode == VARVE_QUOTA_FULL)
		test_ok(varve_quota_rescan_wait(store, VARVE_QUOTA_WAIT, &failure), &failure);
	return store;
}

/* Open HOME with the option OPTION, which must fail with ERROR, or not at all (0). */
static struct varve_store *open_option(const char *home, const char *option, int error) {
	const char *const options[] = { option, NULL };
	struct varve_config config = test_config(home);
	struct varve_store *store = NULL;
	config.options = options;
	test_error(varve_open(&config, &store, NULL), error);
	return store;
}

/* Create ID from PARENT with the storage option OPTION (may be NULL) and FLAGS; returns the error. */
static int create_with(struct varve_store *store, const char *id, const char *parent, const char *option, uint32_t flags) {
	const char *const options_list[] = { option, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = parent;
	options.storage_options = options_list;
	options.flags = flags;
	return varve_layer_create_wait(store, id, &options, NULL);
}

static struct varve_layer_info info_of(struct varve_store *store, const char *id) {
	struct varve_layer_info info;
	struct varve_failure failure;
	test_ok(varve_layer_info_wait(store, id, &info, &failure), &failure);
	return info;
}

static struct varve_quota quota_of(struct varve_store *store) {
	struct varve_quota quota;
	struct varve_failure failure;
	test_ok(varve_quota_status_wait(store, &quota, &failure), &failure);
	return quota;
}

/* Has this kernel simple quotas? Where it has not, they are refused, nothing is changed, and the test is skipped. */
static bool have_simple(void) {
	if (test_quota_mode() == VARVE_QUOTA_SIMPLE)
		return true;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_OFF);
	struct varve_failure failure = { 0 };
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_SIMPLE, &failure), -ENOTSUP);
	ck_assert_str_ne(failure.detail, "");
	open_option(home, "quota=simple", -ENOTSUP);
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_OFF);
	test_close(store);
	test_skip("no simple quotas before Linux 6.7");
	return false;
}

/* Assert that the limit in force of ID is BYTES, and that it is recorded (or, 0, that nothing is). */
static void assert_limit(struct varve_store *store, const char *home, const char *id, uint64_t bytes) {
	struct varve_layer_info info = info_of(store, id);
	char *record = test_read(test_path("%s/quotas/%s", home, id));
	ck_assert(info.flags & VARVE_LAYER_QUOTA);
	ck_assert_uint_eq(info.quota_limit, bytes);
	if (bytes)
		ck_assert_str_eq(record, test_path("%llu", (unsigned long long)bytes));
	else
		ck_assert_ptr_null(record);
}

/* Write into the new file PATH until SIZE bytes are there; returns 0 or what stopped it. */
static int write_bytes(const char *path, size_t size) {
	static const char block[MIB];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), error = 0;
	if (fd < 0)
		return -errno;
	for (size_t at = 0; !error && at < size; at += MIB)
		error = write(fd, block, MIB) < 0 ? -errno : 0;
	if (!error && fsync(fd) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Assert that layer ID takes LESS bytes and no more than MORE. */
static void assert_enforced(const char *home, const char *id, size_t less, size_t more) {
	char *path = test_path("%s/%s", test_layer(home, id), "less");
	test_error(write_bytes(path, less), 0);
	test_error(write_bytes(test_path("%s/more", test_layer(home, id)), more), -EDQUOT);
}

/* Wait until all removed layers are dropped. */
static void clean(struct varve_store *store) {
	struct varve_failure failure;
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	/* The kernel removes the group after the drop, in a commit of its own. */
	test_ok(varve_quota_gc_wait(store, NULL, &failure), &failure);
}

static void enforced(enum varve_quota_mode mode) {
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	test_error(create_with(store, "base", NULL, "size=8m", 0), 0);
	assert_limit(store, home, "base", 8 * MIB);
	assert_enforced(home, "base", 3 * MIB, 16 * MIB);
	test_create(store, "parent", NULL);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "parent")), 4 * MIB), 0);
	/* Full: what is inherited counts. Simple: it does not. */
	test_error(create_with(store, "child", "parent", "SIZE=8M", 0), 0);
	assert_limit(store, home, "child", 8 * MIB);
	struct varve_layer_info info = info_of(store, "child");
	ck_assert_msg(mode == VARVE_QUOTA_FULL ? info.quota_referenced > 4 * MIB : info.quota_referenced < MIB, "%llu",
		      (unsigned long long)info.quota_referenced);
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

static void read_only(enum varve_quota_mode mode) {
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

START_TEST(test_batch) {
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
	test_ok(varve_layer_create_batch_wait(store, ids, COUNT, &options, NULL, &failure), &failure);
	for (int i = 0; i < COUNT; i++)
		assert_limit(store, home, ids[i], 5 * MIB);
	ck_assert_uint_eq(quota_of(store).records, COUNT);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_existing_keeps_its_record) {
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, test_quota_mode());
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	test_error(create_with(store, "layer", NULL, "size=9m", 0), -EEXIST);
	test_error(create_with(store, "layer", NULL, NULL, 0), -EEXIST);
	assert_limit(store, home, "layer", 8 * MIB);
	/* A layer of the same name later on has nothing of it. */
	test_remove_layer(store, "layer");
	test_write(test_path("%s/quotas/layer", home), "8388608");
	test_create(store, "layer", NULL);
	assert_limit(store, home, "layer", 0);
	test_close(store);
}
END_TEST

START_TEST(test_options) {
	char *home = test_home();
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
	ck_assert(!test_layer_exists(home, "small"));
	test_close(store);
	test_error(!!open_option(test_home(), "quota=frob", -EINVAL), 0);
	const char *const bad[][3] = { { "btrfs.size=1m", "btrfs.min_space=2m" }, { "btrfs.size=1m", "quota=off" } };
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		config.options = bad[i];
		test_error(varve_open(&config, &store, NULL), -EINVAL);
	}
}
END_TEST

START_TEST(test_policies) {
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
START_TEST(test_changed_by_others) {
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

static void get_applies(enum varve_quota_mode mode) {
	char *home = test_home(), *path;
	struct varve_store *store = open_in_mode(home, mode);
	struct varve_failure failure;
	static const char *const passed_over[] = { "8388608\n", "", "x", "-1", " 1", "0", "99999999999999999999" };
	test_create(store, "layer", NULL);
	for (size_t i = 0; i < TEST_COUNT(passed_over); i++) {
		test_write(test_path("%s/quotas/layer", home), passed_over[i]);
		test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
		ck_assert_uint_eq(info_of(store, "layer").quota_limit, 0);
		free(path);
	}
	test_write(test_path("%s/quotas/layer", home), "8388608");
	test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
	assert_limit(store, home, "layer", 8 * MIB);
	assert_enforced(home, "layer", 3 * MIB, 9 * MIB);
	free(path);
	test_close(store);
}
TEST_BOTH(get_applies)

static void limit(enum varve_quota_mode mode) {
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

/* What is written to a subvolume inside a layer has a group of its own: documented. Removal takes it along. */
static void nested(enum varve_quota_mode mode) {
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

/* Under simple quotas the group of a removed layer lives on while a snapshot shares its space. */
START_TEST(test_shared_group) {
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	struct varve_quota quota = { 0 };
	uint64_t groups = quota_of(store).groups;
	test_error(create_with(store, "base", NULL, "size=8m", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_error(create_with(store, "child", "base", "size=8m", 0), 0);
	test_remove_layer(store, "base");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_ok(varve_quota_gc_wait(store, &quota, &failure), &failure);
	ck_assert_uint_eq(quota.groups_removed, 0);
	ck_assert_uint_eq(quota_of(store).groups_stale, 1);
	test_remove_layer(store, "child");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_ok(varve_quota_gc_wait(store, &quota, &failure), &failure);
	ck_assert_uint_ge(quota.groups_removed, 1);
	ck_assert_uint_eq(quota_of(store).groups, groups);
	ck_assert_uint_eq(quota_of(store).groups_stale, 0);
	test_close(store);
}
END_TEST

/* What is left over goes with the sweep, too; the living stay. */
START_TEST(test_sweep) {
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	struct varve_sweep_report report = { 0 };
	test_error(create_with(store, "layer", NULL, "size=8m", 0), 0);
	uint64_t groups = quota_of(store).groups;
	test_error(create_with(store, "base", NULL, NULL, 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 4 * MIB), 0);
	test_create(store, "child", "base");
	test_remove_layer(store, "base");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_remove_layer(store, "child");
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_write(test_path("%s/quotas/ghost", home), "8388608");
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_ge(report.quota_groups_removed, 1);
	ck_assert_uint_eq(report.quota_files_removed, 1);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_uint_eq(quota_of(store).groups, groups);
	assert_limit(store, home, "layer", 8 * MIB);
	test_close(store);
}
END_TEST

/* Layers with limits come and go; the groups afterwards are those of before. */
START_TEST(test_leak) {
	enum { ROUND = 250 };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, test_quota_mode());
	const char *const size[] = { "size=8m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	const char *ids[ROUND];
	/* One is enough where each layer takes a commit, and its group stays until the sweep. */
	int rounds = test_quota_mode() == VARVE_QUOTA_FULL ? 1 : getenv("VARVE_TEST_SOAK") ? 40 : 4;
	test_create(store, "base", NULL);
	uint64_t groups = quota_of(store).groups;
	options.parent = "base";
	options.storage_options = size;
	for (int i = 0; i < ROUND; i++)
		ids[i] = test_path("layer-%d", i);
	for (int round = 0; round < rounds; round++) {
		test_ok(varve_layer_create_batch_wait(store, ids, ROUND, &options, NULL, &failure), &failure);
		ck_assert_uint_eq(quota_of(store).records, ROUND);
		test_write(test_path("%s/file", test_layer(home, ids[round])), "content");
		test_ok(varve_layer_remove_batch_wait(store, ids, ROUND, VARVE_RELAXED, NULL, &failure), &failure);
	}
	clean(store);
	struct varve_quota quota = quota_of(store);
	ck_assert_uint_eq(quota.groups, groups);
	ck_assert_uint_eq(quota.groups_stale, 0);
	ck_assert_uint_eq(quota.records, 0);
	test_close(store);
}
END_TEST

/* How many groups of level 1 the file system has, by its directory in sysfs. */
static unsigned groups_of_level_1(struct varve_store *store) {
	struct varve_status_entry *entries;
	struct dirent *entry;
	char *path = NULL;
	size_t count;
	unsigned found = 0;
	test_error(varve_status_wait(store, &entries, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].key, "filesystem"))
			path = test_path("/sys/fs/btrfs/%s/qgroups", entries[i].value);
	free(entries);
	DIR *directory = opendir(path);
	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)))
		found += !strncmp(entry->d_name, "1_", 2);
	closedir(directory);
	return found;
}

/* Create ID from PARENT with the two storage options; returns the error. */
static int create_with_two(struct varve_store *store, const char *id, const char *parent, const char *one, const char *two) {
	const char *const options_list[] = { one, two, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = parent;
	options.storage_options = options_list;
	return varve_layer_create_wait(store, id, &options, NULL);
}

/* Layers of one group share its limit, and the group goes with the last of them. */
START_TEST(test_groups) {
	if (!have_simple())
		return;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_failure failure;
	test_create(store, "parent", NULL);
	test_error(create_with_two(store, "a", "parent", "group=job:8m", "group=all"), 0);
	test_error(create_with_two(store, "b", "parent", "group=job", "size=4m"), 0);
	test_error(create_with(store, "c", NULL, "GROUP=job", VARVE_CREATE_READ_ONLY), 0);
	ck_assert_uint_eq(groups_of_level_1(store), 2);
	assert_limit(store, home, "a", 0);
	assert_limit(store, home, "b", 4 * MIB);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "a")), 5 * MIB), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "b")), 5 * MIB), -EDQUOT);
	test_error(write_bytes(test_path("%s/more", test_layer(home, "a")), 5 * MIB), -EDQUOT);
	/* A new size holds for all. */
	test_error(create_with(store, "d", "parent", "group=job:20m", 0), 0);
	test_error(write_bytes(test_path("%s/again", test_layer(home, "a")), 8 * MIB), 0);
	/* What a layer holds no longer counts when it is removed, and the group of a layer that is alone goes with it. */
	test_remove_layer(store, "a");
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "d")), 12 * MIB), 0);
	test_remove_layer(store, "b");
	test_remove_layer(store, "d");
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_remove_layer(store, "c");
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_ok(varve_quota_gc_wait(store, NULL, &failure), &failure);
	test_close(store);
}
END_TEST

/* Many layers that come and go at once, in one group. */
START_TEST(test_group_churn) {
	if (!have_simple())
		return;
	enum { COUNT = 120 };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.storage_options = (const char *const[]){ "group=job:1g", NULL };
	for (int round = 0; round < 3; round++) {
		struct test_record records[COUNT] = { 0 }, removals[COUNT] = { 0 };
		for (int i = 0; i < COUNT; i++) {
			char *id = test_path("layer-%d", i);
			test_error(varve_layer_create(store, id, &options, test_record, &records[i], NULL), 0);
			test_error(varve_layer_remove(store, id, VARVE_RELAXED, test_record, &removals[i], NULL), 0);
		}
		test_await_all(store, records, COUNT);
		test_await_all(store, removals, COUNT);
		for (int i = 0; i < COUNT; i++) {
			test_error(records[i].error, 0);
			test_error(removals[i].error, 0);
		}
		ck_assert_uint_eq(groups_of_level_1(store), 0);
	}
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_close(store);
}
END_TEST

START_TEST(test_groups_refused) {
	static const char *const bad[] = { "group=", "group=a/b", "group=.varve", "group=x:", "group=x:y", "group=x:0" };
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *nine[10];
	for (size_t i = 0; i < TEST_COUNT(bad); i++)
		test_error(create_with(store, "layer", NULL, bad[i], 0), -EINVAL);
	for (size_t i = 0; i < TEST_COUNT(nine); i++)
		nine[i] = i < 9 ? test_path("group=g%zu", i) : NULL;
	options.storage_options = nine;
	test_error(varve_layer_create_wait(store, "layer", &options, NULL), -EINVAL);
	ck_assert_int_eq(test_layers(home), 0);
	/* Full: base layers can, snapshots cannot; and quota stays consistent. */
	test_error(create_with(store, "base", NULL, "group=job:4m", 0), 0);
	test_error(create_with(store, "child", "base", "group=job", 0), -ENOTSUP);
	ck_assert_int_eq(test_layers(home), 1);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), 6 * MIB), -EDQUOT);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	test_remove_layer(store, "base");
	clean(store);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/groups", home)), 0);
	test_close(store);
}
END_TEST

/* Without privilege: an error that says so, before anything is made; layers without sizes work. */
static int nobody_off(void *home) {
	struct varve_failure failure = { 0 };
	struct varve_store *store = test_open(home);
	test_error(create_with(store, "layer", NULL, "size=8m", 0), -EPERM);
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

static int nobody_simple(void *home) {
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

static int nobody_layer(void *home) {
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	return 0;
}

static int nobody_full(void *home) {
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

START_TEST(test_unprivileged) {
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

TEST_MAIN("quota", test_enforced_simple, test_enforced_full, test_read_only_simple, test_read_only_full,
	  test_batch, test_existing_keeps_its_record, test_options, test_policies, test_changed_by_others,
	  test_get_applies_simple, test_get_applies_full, test_limit_simple, test_limit_full, test_nested_simple,
	  test_nested_full, test_shared_group, test_sweep, test_leak,
	  test_groups, test_group_churn, test_groups_refused, test_unprivileged)
