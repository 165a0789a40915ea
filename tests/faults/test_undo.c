/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was taken from a layer, so that it can be destroyed or renamed, and is given back when that
 * fails after all: limits, groups, flags. And a removal without privilege of a layer in which
 * subvolumes are made as fast as they are destroyed.
 *
 * varve-test: backend=both timeout=120
 */
#include "quota.h"

#include "engine/base/limits.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What the next subvolumes that are destroyed by their number fail with: the first one, and all
 * after it. 0: they do not.
 */
static _Atomic int first_error, later_error;

/* Flags that are set fail. */
static _Atomic bool flags_fail;

/* A subvolume "inner" comes again as soon as it is destroyed: how often yet. */
static _Atomic unsigned again;

/* Stands for the C library's. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == BTRFS_IOC_SNAP_DESTROY_V2 &&
	    ((struct btrfs_ioctl_vol_args_v2 *)argument)->flags & BTRFS_SUBVOL_SPEC_BY_ID) {
		int error = atomic_exchange(&first_error, 0);
		if (!error)
			error = later_error;
		if (error) {
			errno = error;
			return -1;
		}
	}
	if (request == FS_IOC_SETFLAGS && flags_fail && *(int *)argument & FS_IMMUTABLE_FL) {
		errno = EIO;
		return -1;
	}
	int r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (!r && request == BTRFS_IOC_SNAP_DESTROY && again &&
	    !strcmp(((struct btrfs_ioctl_vol_args *)argument)->name, "inner")) {
		again--;
		syscall(SYS_ioctl, fd, BTRFS_IOC_SUBVOL_CREATE, argument);
	}
	return r;
}

/* The limit in force of the subvolume PATH. */
static uint64_t limit_of(struct varve_store *store, const char *path)
{
	struct btrfs_ioctl_ino_lookup_args lookup = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup), 0);
	close(fd);
	char *text = test_read(test_path("%s/0_%llu/max_referenced", groups_directory(store),
					 (unsigned long long)lookup.treeid));
	return text ? strtoull(text, NULL, 10) : 0;
}

/* A removal takes the limits away, and then cannot destroy a thing. */
START_TEST(test_limits_again)
{
	if (!have_simple())
		return;
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *inner = test_path("%s/inner", layer);
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_SIMPLE);
	const char *const storage[] = { "size=4m", "group=job:16m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	options.storage_options = storage;
	test_ok(varve_layer_create_wait(store, "layer", &options, &failure), &failure);
	test_subvolume_create(inner);
	const char *const limit[] = { "btrfs", "qgroup", "limit", "3m", inner, NULL };
	ck_assert_int_eq(test_command(limit), 0);
	ck_assert_uint_eq(limit_of(store, inner), 3 * MIB);
	first_error = EDQUOT;
	later_error = EPERM;
	test_error(varve_layer_remove_wait(store, "layer", 0, &failure), -EPERM);
	first_error = later_error = 0;
	ck_assert_msg(strstr(failure.detail, "put back"), "%s", failure.detail);
	ck_assert(test_is_subvolume(inner));
	assert_limit(store, home, "layer", 4 * MIB);
	ck_assert_uint_eq(limit_of(store, inner), 3 * MIB);
	ck_assert_uint_eq(groups_of_level_1(store), 1);
	test_error(create_with(store, "other", NULL, "group=job", 0), 0);
	/* It is a member again: with what it holds the other one has less. */
	test_error(write_bytes(test_path("%s/file", layer), 3 * MIB), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "other")), 14 * MIB), -EDQUOT);
	test_remove_layer(store, "other");
	test_remove_layer(store, "layer");
	clean(store);
	test_ok(varve_quota_gc_wait(store, NULL, &failure), &failure);
	ck_assert_uint_eq(groups_of_level_1(store), 0);
	test_close(store);
}
END_TEST

/*
 * A layer is made whose parent has a flag that forbids to rename it: with the flag, or not at all.
 */
START_TEST(test_flags_of_new)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	const char *const ids[] = { "a", "b", "c", "d" };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int errors[TEST_COUNT(ids)];
	struct varve_failure failure;
	unsigned failed = 0;
	test_create(store, "parent", NULL);
	const char *const chattr[] = { "chattr", "+i", test_layer(home, "parent"), NULL };
	ck_assert_int_eq(test_command(chattr), 0);
	options.parent = "parent";
	flags_fail = true;
	varve_layer_create_batch_wait(store, ids, TEST_COUNT(ids), &options, errors, &failure);
	flags_fail = false;
	for (size_t i = 0; i < TEST_COUNT(ids); i++) {
		ck_assert_int_eq(test_layer_exists(home, ids[i]), !errors[i]);
		failed += errors[i] == -EIO;
	}
	ck_assert_uint_gt(failed, 0);
	ck_assert_msg(strstr(failure.detail, "chattr"), "%s", failure.detail);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* A removal clears a flag, and cannot set it again when it fails: it says so. */
START_TEST(test_flags_lost)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/inner", layer));
	const char *const chattr[] = { "chattr", "+i", layer, NULL };
	ck_assert_int_eq(test_command(chattr), 0);
	later_error = EBUSY;
	flags_fail = true;
	test_error(varve_layer_remove_wait(store, "layer", 0, &failure), -EBUSY);
	flags_fail = false;
	later_error = 0;
	ck_assert_msg(strstr(failure.detail, "could not be set again"), "%s", failure.detail);
	ck_assert(test_is_subvolume(test_path("%s/inner", layer)));
	test_remove_layer(store, "layer");
	test_close(store);
}
END_TEST

/* Remove a layer in which a subvolume comes again and again: for long, but not for ever. */
static int remove_endless(void *home)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "layer")));
	again = 2 * NESTED_BATCHES_MAX * NESTED_BATCH;
	test_error(varve_layer_remove_wait(store, "layer", 0, &failure), -EBUSY);
	again = 0;
	ck_assert_msg(strstr(failure.detail, "end the programs in it"), "%s", failure.detail);
	test_close(store);
	test_close(test_open(home));
	ck_assert_uint_eq(test_leftovers(home), 0);
	return 0;
}

START_TEST(test_endless)
{
	test_as_nobody(remove_endless, test_home_of_nobody());
}
END_TEST

TEST_MAIN("undo", test_limits_again, test_flags_of_new, test_flags_lost, test_endless)
