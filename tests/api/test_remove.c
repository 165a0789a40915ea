/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=both kernel-says=deleting.default.subvolume */
/* varve_layer_remove() and its batch: what goes, what stays, and what is said. */
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Assert that removing ID fails with ERROR, tells so, and that nothing is gone. */
static void assert_remove_fails(struct varve_store *store, const char *home, const char *id,
				int error)
{
	struct test_record record = { 0 };
	int layers = test_layers(home);
	test_error(varve_layer_remove(store, id, 0, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), error);
	ck_assert(record.has_failure);
	test_error(record.failure.error, error);
	ck_assert_str_eq(record.failure.operation, "remove");
	ck_assert_str_eq(record.failure.id, id);
	ck_assert_ptr_nonnull(record.failure.step);
	ck_assert_int_eq(test_layers(home), layers);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

START_TEST(test_one)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	varve_request request;
	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	test_make_tree(test_layer(home, "layer"), 5, 20, 100);
	test_error(varve_layer_remove(store, "layer", 0, test_record, &record, &request), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_uint_eq(record.request, request);
	ck_assert_int_eq(record.operation, VARVE_REMOVE);
	ck_assert_uint_eq(record.outcomes_count, 1);
	ck_assert_str_eq(record.outcome_ids[0], "layer");
	test_error(record.outcome_errors[0], 0);
	ck_assert(!test_layer_exists(home, "layer"));
	ck_assert(test_layer_exists(home, "other"));
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* The name is free again. */
	test_create(store, "layer", "other");
	ck_assert_int_eq(test_entries(test_layer(home, "layer")), 0);
	test_close(store);
}
END_TEST

START_TEST(test_what_is_not_a_layer)
{
	char *home = test_home(), *outside = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "real", NULL);
	test_mkdir(test_layer(home, "directory"));
	test_write(test_path("%s/content", test_layer(home, "directory")), "x");
	test_mkdir(test_layer(home, "empty"));
	test_write(test_layer(home, "file"), "x");
	test_subvolume_create(outside);
	ck_assert_int_eq(symlink("real", test_layer(home, "link")), 0);
	ck_assert_int_eq(symlink(outside, test_layer(home, "link-outside")), 0);
	assert_remove_fails(store, home, "missing", -ENOENT);
	assert_remove_fails(store, home, "directory", -EINVAL);
	assert_remove_fails(store, home, "empty", -EINVAL);
	assert_remove_fails(store, home, "file", -ENOTDIR);
	assert_remove_fails(store, home, "link", -ENOTDIR);
	assert_remove_fails(store, home, "link-outside", -ENOTDIR);
	ck_assert(test_exists(test_path("%s/content", test_layer(home, "directory"))));
	ck_assert(test_layer_exists(home, "real"));
	ck_assert(test_is_subvolume(outside));
	test_close(store);
}
END_TEST

START_TEST(test_read_only)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "frozen", &options, &failure), &failure);
	test_remove_layer(store, "frozen");
	ck_assert(!test_layer_exists(home, "frozen"));
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_parent_goes_children_stay)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "parent", NULL);
	test_write(test_path("%s/file", test_layer(home, "parent")), "inherited");
	test_create(store, "child", "parent");
	test_create(store, "grandchild", "child");
	test_remove_layer(store, "parent");
	test_remove_layer(store, "child");
	ck_assert_str_eq(test_read(test_path("%s/file", test_layer(home, "grandchild"))),
			 "inherited");
	test_close(store);
}
END_TEST

START_TEST(test_open_files)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char content[8] = { 0 };
	test_create(store, "layer", NULL);
	test_write(test_path("%s/file", test_layer(home, "layer")), "content");
	int descriptor = open(test_path("%s/file", test_layer(home, "layer")),
			      O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	test_remove_layer(store, "layer");
	ck_assert(!test_layer_exists(home, "layer"));
	ck_assert_int_eq(read(descriptor, content, 7), 7);
	ck_assert_str_eq(content, "content");
	close(descriptor);
	test_close(store);
}
END_TEST

START_TEST(test_bind_mounted)
{
	char *home = test_home(), *point = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_write(test_path("%s/file", test_layer(home, "layer")), "content");
	test_mkdir(point);
	ck_assert_int_eq(mount(test_layer(home, "layer"), point, NULL, MS_BIND, NULL), 0);
	test_remove_layer(store, "layer");
	ck_assert(!test_layer_exists(home, "layer"));
	ck_assert_int_eq(umount2(point, MNT_DETACH), 0);
	test_close(store);
}
END_TEST

START_TEST(test_mount_inside)
{
	/* Another file system that is mounted inside a layer is never entered. */
	char *home = test_home(), *outside = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_mkdir(outside);
	test_write(test_path("%s/precious", outside), "x");
	test_subvolume_create(test_path("%s/precious-subvolume", outside));
	char *point = test_path("%s/point", test_layer(home, "layer"));
	test_mkdir(point);
	test_subvolume_create(test_path("%s/nested", test_layer(home, "layer")));
	ck_assert_int_eq(mount(outside, point, NULL, MS_BIND, NULL), 0);
	struct varve_failure failure;
	int error = varve_layer_remove_wait(store, "layer", 0, &failure);
	umount2(point, MNT_DETACH);
	ck_assert_msg(error == 0 || error == -EBUSY, "%s", test_errno_name(error));
	ck_assert(test_exists(test_path("%s/precious", outside)));
	ck_assert(test_is_subvolume(test_path("%s/precious-subvolume", outside)));
	test_close(store);
}
END_TEST

START_TEST(test_default_subvolume)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_write(test_path("%s/file", test_layer(home, "layer")), "x");
	test_subvolume_set_default(test_layer(home, "layer"));
	assert_remove_fails(store, home, "layer", -EPERM);
	ck_assert(test_exists(test_path("%s/file", test_layer(home, "layer"))));
	test_subvolume_set_default(test_mount());
	test_remove_layer(store, "layer");
	test_close(store);
}
END_TEST

START_TEST(test_arguments)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	const char *ids[] = { "a", "b" }, *bad[] = { "a", "" };
	test_create(store, "a", NULL);
	test_error(varve_layer_remove(NULL, "a", 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_remove(store, NULL, 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_remove(store, "a", 0, NULL, &record, NULL), -EINVAL);
	test_error(varve_layer_remove(store, "a", 1u << 31, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_remove(store, "a", VARVE_CREATE_READ_ONLY, test_record, &record,
				      NULL),
		   -EINVAL);
	test_error(varve_layer_remove_batch(store, ids, 0, 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_remove_batch(store, NULL, 2, 0, test_record, &record, NULL),
		   -EINVAL);
	test_error(varve_layer_remove_batch(store, bad, 2, 0, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_remove_batch(store, ids, VARVE_BATCH_MAX + 1, 0, test_record,
					    &record, NULL),
		   -EINVAL);
	ck_assert_uint_eq(record.calls, 0);
	ck_assert(test_layer_exists(home, "a"));
	test_close(store);
}
END_TEST

START_TEST(test_batch)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	const char *ids[100];
	int errors[100];
	struct varve_failure failure = { 0 };
	for (int i = 0; i < 100; i++) {
		ids[i] = test_path("layer-%d", i);
		if (i % 10 != 3)
			test_create(store, ids[i], NULL);
	}
	test_create(store, "stays", NULL);
	test_mkdir(test_layer(home, "layer-3"));
	test_error(varve_layer_remove_batch_wait(store, ids, 100, 0, errors, &failure), -EINVAL);
	ck_assert_str_eq(failure.id, "layer-3");
	for (int i = 0; i < 100; i++)
		test_error(errors[i], i == 3 ? -EINVAL : i % 10 == 3 ? -ENOENT : 0);
	ck_assert_int_eq(test_layers(home), 2);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_batch_duplicates)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	const char *ids[] = { "a", "b", "a" };
	int errors[3];
	test_create(store, "a", NULL);
	test_create(store, "b", NULL);
	test_error(varve_layer_remove_batch_wait(store, ids, 3, 0, errors, NULL), -ENOENT);
	test_error(errors[0], 0);
	test_error(errors[1], 0);
	test_error(errors[2], -ENOENT);
	test_close(store);
}
END_TEST

/* Remove layers without privilege. */
static int remove_own(void *home)
{
	struct varve_config config = test_config(home);
	struct varve_store *store = test_open_config(&config);
	test_create(store, "a", NULL);
	test_write(test_path("%s/file", test_layer(home, "a")), "x");
	test_create(store, "b", "a");
	test_remove_layer(store, "a");
	test_remove_layer(store, "b");
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(remove_own, test_home_of_nobody());
}
END_TEST

/* The same where the mount does not allow it: -EPERM and untouched, or truly gone. */
static int remove_denied(void *home)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	test_create(store, "a", NULL);
	char *path = test_path("%s/file", test_layer(home, "a"));
	ck_assert_int_eq(mkdir(path, 0700), 0);
	int error = varve_layer_remove_wait(store, "a", 0, &failure);
	ck_assert_msg(error == 0 || error == -EPERM, "%s", test_errno_name(error));
	ck_assert_int_eq(test_exists(path), error != 0);
	ck_assert_int_eq(test_layer_exists(home, "a"), error != 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged_denied)
{
	test_as_nobody_denied(remove_denied);
}
END_TEST

/* Try to remove another's layer. */
static int remove_foreign(void *home)
{
	struct varve_config config = test_config(home);
	struct varve_store *store;
	struct varve_failure failure = { 0 };
	/* Others may write the home, so that it is no more than this which keeps the layer. */
	config.flags |= VARVE_OPEN_SHARED_HOME;
	int error = varve_open(&config, &store, &failure);
	if (error) {
		ck_assert_msg(error == -EACCES, "%s", test_errno_name(error));
		return 0;
	}
	error = varve_layer_remove_wait(store, "roots", 0, &failure);
	ck_assert_msg(error == -EPERM || error == -EACCES, "%s", test_errno_name(error));
	test_close(store);
	return 0;
}

START_TEST(test_foreign)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "roots", NULL);
	test_write(test_path("%s/file", test_layer(home, "roots")), "x");
	test_close(store);
	ck_assert_int_eq(chmod(home, 0777), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0777), 0);
	test_as_nobody(remove_foreign, home);
	ck_assert_str_eq(test_read(test_path("%s/file", test_layer(home, "roots"))), "x");
}
END_TEST

TEST_MAIN("remove", test_one, test_what_is_not_a_layer, test_read_only,
	  test_parent_goes_children_stay, test_open_files, test_bind_mounted, test_mount_inside,
	  test_default_subvolume, test_arguments, test_batch, test_batch_duplicates,
	  test_unprivileged, test_unprivileged_denied, test_foreign)
