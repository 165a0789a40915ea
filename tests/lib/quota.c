/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c: see quota.h. */
#include "quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * Open HOME on a file system whose quota runs in MODE; what an earlier test has left is forgotten.
 */
struct varve_store *open_in_mode(const char *home, enum varve_quota_mode mode)
{
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

/*
 * Create ID from PARENT with the storage option OPTION (may be NULL) and FLAGS; returns the error.
 */
int create_with(struct varve_store *store, const char *id, const char *parent, const char *option,
		uint64_t flags)
{
	const char *const options_list[] = { option, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = parent;
	options.storage_options = options_list;
	options.flags = flags;
	return varve_layer_create_wait(store, id, &options, NULL);
}

struct varve_layer_info info_of(struct varve_store *store, const char *id)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_failure failure;
	test_ok(varve_layer_info_wait(store, id, &info, &failure), &failure);
	return info;
}

struct varve_quota quota_of(struct varve_store *store)
{
	struct varve_quota quota = VARVE_QUOTA_INIT;
	struct varve_failure failure;
	test_ok(varve_quota_status_wait(store, &quota, &failure), &failure);
	return quota;
}

/*
 * Assert that the limit in force of ID is BYTES, and that it is recorded (or, 0, that nothing is).
 */
void assert_limit(struct varve_store *store, const char *home, const char *id, uint64_t bytes)
{
	struct varve_layer_info info = info_of(store, id);
	char *record = test_read(test_path("%s/quotas/%s", home, id));
	ck_assert(info.flags & VARVE_LAYER_QUOTA);
	ck_assert_uint_eq(info.quota_limit, bytes);
	if (bytes)
		ck_assert_str_eq(record, test_path("%llu", (unsigned long long)bytes));
	else
		ck_assert_ptr_null(record);
}

/*
 * Has this kernel simple quotas? Where it has not, they are refused, nothing is changed, and the
 * test is skipped.
 */
bool have_simple(void)
{
	if (test_quota_mode() == VARVE_QUOTA_SIMPLE)
		return true;
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_OFF), *other = NULL;
	struct varve_config config = test_config(home);
	struct varve_failure failure = { 0 };
	test_error(varve_quota_enable_wait(store, VARVE_QUOTA_SIMPLE, &failure), -ENOTSUP);
	ck_assert_str_ne(failure.detail, "");
	config.options = (const char *const[]){ "quota=simple", NULL };
	test_error(varve_open(&config, &other, NULL), -ENOTSUP);
	ck_assert_int_eq(quota_of(store).mode, VARVE_QUOTA_OFF);
	test_close(store);
	test_skip("no simple quotas before Linux 6.7");
	return false;
}

/* Record TEXT as the size of ID, as another program may have done. */
void record_size(const char *home, const char *id, const char *text)
{
	if (!test_exists(test_path("%s/quotas", home)))
		test_mkdir(test_path("%s/quotas", home));
	test_write(test_path("%s/quotas/%s", home, id), text);
}

/* Write into the new file PATH until SIZE bytes are there; returns 0 or what stopped it. */
int write_bytes(const char *path, size_t size)
{
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

/* Wait until all removed layers are dropped. */
void clean(struct varve_store *store)
{
	struct varve_failure failure;
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	/* The kernel removes the group after the drop, in a commit of its own. */
	test_ok(varve_quota_gc_wait(store, NULL, &failure), &failure);
}

char *groups_directory(struct varve_store *store)
{
	struct varve_status_entry *entries;
	char *path = NULL;
	size_t count;
	test_error(varve_status_wait(store, &entries, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].key, "filesystem"))
			path = test_path("/sys/fs/btrfs/%s/qgroups", entries[i].value);
	free(entries);
	ck_assert_ptr_nonnull(path);
	return path;
}

/* How many groups of level 1 the file system has, by its directory in sysfs. */
unsigned groups_of_level_1(struct varve_store *store)
{
	DIR *directory = opendir(groups_directory(store));
	struct dirent *entry;
	unsigned found = 0;
	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)))
		found += !strncmp(entry->d_name, "1_", 2);
	closedir(directory);
	return found;
}
