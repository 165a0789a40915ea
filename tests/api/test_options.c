/* SPDX-License-Identifier: Apache-2.0 */
/* The KEY=VALUE options of a store. */
#include "test.h"

/* Open a fresh home with the option given; return the error. */
static int open_with(const char *option, struct varve_failure *ret_failure)
{
	const char *const options[] = { option, NULL };
	struct varve_store *store = NULL;
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.options = options;
	int error = varve_open(&config, &store, ret_failure);
	if (error == 0)
		test_close(store);
	else
		ck_assert_msg(!test_exists(home), "'%s' was refused, but the home was made",
			      option);
	return error;
}

START_TEST(test_bad)
{
	static const char *const bad[] = {
		"",
		"=",
		"colour",
		"colour=red",
		"btrfs.min_space",
		"btrfs.min_space=",
		"btrfs.min_space=abc",
		"btrfs.min_space=-1",
		"btrfs.min_space=1x",
		"btrfs.min_space=99999999999999999999",
		"btrfs.mountopt=nodev",
		"btrfs.size=",
		"btrfs.size=x",
		"min_space=1G",
		" btrfs.min_space=1G",
		"btrfs.min_space =1G",
		"size=1G",
	};
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		struct varve_failure failure = { 0 };
		int error = open_with(bad[i], &failure);
		ck_assert_msg(error == -EINVAL, "'%s': expected EINVAL, got %s", bad[i],
			      test_errno_name(error));
		ck_assert_uint_gt(strlen(failure.detail), 0);
		ck_assert_str_eq(failure.operation, "open");
	}
}
END_TEST

START_TEST(test_mount_options)
{
	struct varve_failure failure = { 0 };
	test_error(open_with("btrfs.mountopt=compress", &failure), -EINVAL);
	ck_assert_msg(strstr(failure.detail, "mount option") != NULL, "detail: %s", failure.detail);
}
END_TEST

START_TEST(test_good)
{
	static const char *const good[] = {
		"btrfs.min_space=10M",     "BTRFS.MIN_SPACE=10m", "Btrfs.Min_Space=10485760",
		"btrfs.min_space=1.5 GiB", "btrfs.size=1G",       "BTRFS.size=1g",
	};
	for (size_t i = 0; i < TEST_COUNT(good); i++) {
		struct varve_failure failure = { 0 };
		int error = open_with(good[i], &failure);
		ck_assert_msg(error == 0 || error == -ENOTSUP, "'%s': %s: %s", good[i],
			      test_errno_name(error), failure.detail);
	}
}
END_TEST

START_TEST(test_none)
{
	const char *const options[] = { NULL };
	struct varve_config config = test_config(test_home());
	config.options = options;
	test_close(test_open_config(&config));
}
END_TEST

/* An output that is not wanted may be NULL: nothing is left open, and the others are right. */
START_TEST(test_no_output)
{
	struct varve_store *store = test_open(test_home());
	size_t count = 0;
	test_create(store, "layer", NULL);
	int descriptors = test_descriptors();
	test_error(varve_layer_open_wait(store, "layer", 0, NULL, NULL), 0);
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_error(varve_layer_list_wait(store, NULL, &count, NULL), 0);
	ck_assert_uint_eq(count, 1);
	test_close(store);
}
END_TEST

TEST_MAIN("options", test_no_output, test_bad, test_mount_options, test_good, test_none)
