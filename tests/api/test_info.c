/* SPDX-License-Identifier: Apache-2.0 */
/* varve_layer_info(): compared with what the kernel says. */
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Ask the kernel about the subvolume PATH. */
static struct btrfs_ioctl_get_subvol_info_args ask_kernel(const char *path)
{
	struct btrfs_ioctl_get_subvol_info_args args = { 0 };
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	/* Some kernels return a positive value on success. */
	ck_assert_int_ge(ioctl(descriptor, BTRFS_IOC_GET_SUBVOL_INFO, &args), 0);
	close(descriptor);
	return args;
}

/* Get the info of layer ID of HOME, by both ways, and compare it with the kernel's. */
static struct varve_layer_info check_info(struct varve_store *store, const char *home,
					  const char *id, const char *parent)
{
	struct test_record record = { 0 };
	struct varve_layer_info info = { .size = sizeof(info), .flags = 77 };
	struct varve_failure failure;
	test_error(varve_layer_info(store, id, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_INFO);
	ck_assert(record.has_info);
	test_ok(varve_layer_info_wait(store, id, &info, &failure), &failure);
	struct btrfs_ioctl_get_subvol_info_args truth = ask_kernel(test_layer(home, id));
	ck_assert_str_eq(info.id, id);
	ck_assert_str_eq(record.info.id, id);
	ck_assert_msg(!strcmp(info.parent, parent), "parent of %s: '%s', not '%s'", id, info.parent,
		      parent);
	ck_assert_str_eq(record.info.parent, parent);
	ck_assert_uint_eq(info.subvolume_id, truth.treeid);
	ck_assert_mem_eq(info.uuid, truth.uuid, 16);
	ck_assert_mem_eq(info.parent_uuid, truth.parent_uuid, 16);
	ck_assert_uint_eq(info.generation, truth.generation);
	ck_assert_uint_eq(info.created_generation, truth.otransid);
	ck_assert_int_eq(info.created_s, (int64_t)truth.otime.sec);
	ck_assert_uint_eq(info.created_ns, truth.otime.nsec);
	ck_assert_int_eq(info.changed_s, (int64_t)truth.ctime.sec);
	ck_assert_uint_eq(info.changed_ns, truth.ctime.nsec);
	ck_assert_int_le(llabs(info.created_s - (int64_t)time(NULL)), 3600);
	return info;
}

START_TEST(test_layers_)
{
	static const uint8_t zeros[16];
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	test_create(store, "base", NULL);
	test_create(store, "child", "base");
	test_create(store, "grandchild", "child");
	options.parent = "base";
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "frozen", &options, &failure), &failure);
	struct varve_layer_info base = check_info(store, home, "base", "");
	ck_assert_mem_eq(base.parent_uuid, zeros, 16);
	ck_assert_uint_eq(base.flags, 0);
	struct varve_layer_info child = check_info(store, home, "child", "base");
	ck_assert_mem_eq(child.parent_uuid, base.uuid, 16);
	check_info(store, home, "grandchild", "child");
	ck_assert_uint_eq(check_info(store, home, "frozen", "base").flags, VARVE_LAYER_READ_ONLY);
	test_close(store);
}
END_TEST

START_TEST(test_changes)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "base", NULL);
	uint64_t before = check_info(store, home, "base", "").generation;
	test_write(test_path("%s/file", test_layer(home, "base")), "x");
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	ck_assert_uint_gt(check_info(store, home, "base", "").generation, before);
	test_close(store);
}
END_TEST

START_TEST(test_parent_gone)
{
	static const uint8_t zeros[16];
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_create(store, "child", "base");
	test_remove_layer(store, "base");
	struct varve_layer_info info = check_info(store, home, "child", "");
	ck_assert(memcmp(info.parent_uuid, zeros, 16));
	/* Another layer of the same name is not the parent. */
	test_create(store, "base", NULL);
	check_info(store, home, "child", "");
	test_close(store);
}
END_TEST

START_TEST(test_parent_elsewhere)
{
	char *home = test_home(), *outside = test_home();
	struct varve_store *store = test_open(home);
	test_subvolume_create(outside);
	test_subvolume_snapshot(outside, test_layer(home, "foreign"), false);
	check_info(store, home, "foreign", "");
	/* A subvolume nested in a layer is not a layer either. */
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "layer")));
	test_subvolume_snapshot(test_path("%s/inner", test_layer(home, "layer")),
				test_layer(home, "of-inner"), false);
	check_info(store, home, "of-inner", "");
	test_close(store);
}
END_TEST

START_TEST(test_parent_renamed)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_create(store, "child", "base");
	ck_assert_int_eq(rename(test_layer(home, "base"), test_layer(home, "renamed")), 0);
	check_info(store, home, "child", "renamed");
	test_close(store);
}
END_TEST

START_TEST(test_odd_names)
{
	char *home = test_home(), longest[256] = { 0 };
	struct varve_store *store = test_open(home);
	memset(longest, 0xe9, 255);
	test_create(store, longest, NULL);
	test_create(store, "\n", longest);
	check_info(store, home, longest, "");
	check_info(store, home, "\n", longest);
	test_close(store);
}
END_TEST

START_TEST(test_errors)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_mkdir(test_layer(home, "directory"));
	test_write(test_layer(home, "file"), "x");
	ck_assert_int_eq(symlink("directory", test_layer(home, "link")), 0);
	static const struct {
		const char *id;
		int error;
	} cases[] = { { "missing", -ENOENT },
		      { "directory", -EINVAL },
		      { "file", -ENOTDIR },
		      { "link", -ENOTDIR } };
	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		struct test_record record = { 0 };
		struct varve_layer_info info = { .size = sizeof(info), .flags = 77 };
		struct varve_failure failure = { 0 };
		test_error(varve_layer_info(store, cases[i].id, test_record, &record, NULL), 0);
		test_error(test_await(store, &record), cases[i].error);
		ck_assert(!record.has_info);
		ck_assert_str_eq(record.failure.operation, "info");
		test_error(varve_layer_info_wait(store, cases[i].id, &info, &failure),
			   cases[i].error);
		ck_assert_uint_eq(info.flags, 77);
		ck_assert_str_eq(failure.id, cases[i].id);
	}
	test_close(store);
}
END_TEST

/* Ask without privilege. */
static int info_unprivileged(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_create(store, "other", NULL);
	test_create(store, "child", "base");
	check_info(store, home, "base", "");
	check_info(store, home, "child", "base");
	test_remove_layer(store, "base");
	check_info(store, home, "child", "");
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(info_unprivileged, test_home_of_nobody());
}
END_TEST

TEST_MAIN("info", test_layers_, test_changes, test_parent_gone, test_parent_elsewhere,
	  test_parent_renamed, test_odd_names, test_errors, test_unprivileged)
