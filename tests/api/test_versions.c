/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs and libraries of different versions: structs that are smaller or larger than the
 * library's, and flags of others.
 */
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

/* Bytes of what a later version of a struct has, and guards behind those of an earlier one. */
#define MORE 64

/*
 * COPY of SIZE bytes of what is at POINTER, which says that it has CLAIMED bytes, with MORE bytes
 * of FILL behind.
 */
static void *resized(const void *pointer, size_t size, size_t claimed, int fill)
{
	char *copy = test_alloc(size + MORE);
	memcpy(copy, pointer, size);
	memset(copy + size, fill, MORE);
	memcpy(copy, &claimed, sizeof(claimed));
	return copy;
}

/*
 * Assert what becomes of options at POINTER of SIZE bytes, of which FIRST are enough, in other
 * sizes: see call().
 */
static void check_options(const char *name, const void *pointer, size_t size, size_t first,
			  int (*call)(const void *options))
{
	struct {
		size_t claimed;
		int fill, error;
	} cases[] = { { size, 1, 0 },  { size + MORE, 0, 0 }, { size + MORE, 1, -E2BIG },
		      { first, 1, 0 }, { 0, 0, -EINVAL },     { SIZE_MAX, 0, -EINVAL } };
	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		int error = call(resized(pointer, size, cases[i].claimed, cases[i].fill));
		ck_assert_msg(error == cases[i].error, "%s of %zu bytes: expected %s, got %s", name,
			      cases[i].claimed, test_errno_name(cases[i].error),
			      test_errno_name(error));
	}
}

static struct varve_store *store;
static unsigned made;

static int call_open(const void *options)
{
	struct varve_store *opened = NULL;
	int error = varve_open(options, &opened, NULL);
	varve_close(opened);
	return error;
}

static int call_create(const void *options)
{
	return varve_layer_create_wait(store, test_path("layer-%u", made++), options, NULL);
}

static int call_create_chown(const void *chown)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.chown = chown;
	return call_create(&options);
}

static int call_chown(const void *options)
{
	return varve_layer_chown_wait(store, "layer", options, NULL);
}

/* An archive of nothing. */
static int archive(void)
{
	int descriptor = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(descriptor, 1024), 0);
	return descriptor;
}

static int call_apply(const void *options)
{
	int descriptor = archive(),
	    error = varve_layer_apply_wait(store, "layer", options, descriptor, NULL, NULL, NULL);
	close(descriptor);
	return error;
}

static int call_create_apply(const void *apply)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.apply = apply;
	options.apply_fd = archive();
	int error = call_create(&options);
	close(options.apply_fd);
	return error;
}

static int call_changes(const void *options)
{
	struct varve_change *changes = NULL;
	size_t count;
	int error = varve_layer_changes_wait(store, "layer", options, &changes, &count, NULL);
	free(changes);
	return error;
}

static int call_diff_size(const void *options)
{
	uint64_t bytes;
	return varve_layer_diff_size_wait(store, "layer", options, &bytes, NULL);
}

static int call_diff(const void *options)
{
	int descriptor = memfd_create("diff", MFD_CLOEXEC);
	int error = varve_layer_diff_wait(store, "layer", options, descriptor, NULL, NULL, NULL);
	close(descriptor);
	return error;
}

START_TEST(test_options)
{
	struct varve_config config = test_config(test_home());
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options chown = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_changes_options changes = VARVE_CHANGES_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	check_options("config", &config, sizeof(config),
		      offsetof(struct varve_config, flags) + sizeof(config.flags), call_open);
	store = test_open_config(&config);
	test_create(store, "layer", NULL);
	check_options("create", &create, sizeof(create), sizeof(size_t), call_create);
	check_options("create's chown", &chown, sizeof(chown), sizeof(size_t), call_create_chown);
	check_options("create's apply", &apply, sizeof(apply), sizeof(size_t), call_create_apply);
	check_options("chown", &chown, sizeof(chown), sizeof(size_t), call_chown);
	check_options("apply", &apply, sizeof(apply), sizeof(size_t), call_apply);
	check_options("changes", &changes, sizeof(changes), sizeof(size_t), call_changes);
	check_options("diff_size", &changes, sizeof(changes), sizeof(size_t), call_diff_size);
	check_options("diff", &diff, sizeof(diff), sizeof(size_t), call_diff);
	test_close(store);
}
END_TEST

/*
 * Fill an output through CALL in other sizes: what it does not have is not written, what the
 * library does not know is zero.
 */
static void check_output(const char *name, size_t size, int (*call)(void *output))
{
	size_t smaller = size - sizeof(uint64_t), filled;
	char *whole = test_alloc(size), *small = test_alloc(size), *large = test_alloc(size + MORE);
	memcpy(whole, &size, sizeof(size));
	test_error(call(whole), 0);
	memset(small, 0x77, size);
	memcpy(small, &smaller, sizeof(smaller));
	test_error(call(small), 0);
	memcpy(&filled, small, sizeof(filled));
	ck_assert_msg(filled == smaller, "%s: %zu bytes of %zu are filled", name, filled, smaller);
	for (size_t i = smaller; i < size; i++)
		ck_assert_msg(small[i] == 0x77, "%s: byte %zu behind the struct was written", name,
			      i);
	memset(large, 0x77, size + MORE);
	memcpy(large, (size_t[]){ size + MORE }, sizeof(size_t));
	test_error(call(large), 0);
	memcpy(&filled, large, sizeof(filled));
	ck_assert_msg(filled == size, "%s: %zu bytes of %zu are filled", name, filled, size);
	for (size_t i = size; i < size + MORE; i++)
		ck_assert_msg(!large[i], "%s: byte %zu that the library does not know is not zero",
			      name, i);
	memset(small, 0, size);
	test_error(call(small), -EINVAL);
	memset(small, 0x77, size);
	test_error(call(small), -EINVAL);
	ck_assert_int_eq(small[sizeof(size_t)], 0x77);
}

static int fill_info(void *output)
{
	return varve_layer_info_wait(store, "layer", output, NULL);
}

static int fill_usage(void *output)
{
	return varve_layer_usage_wait(store, "layer", 0, output, NULL);
}

static int fill_sweep(void *output)
{
	return varve_sweep_wait(store, output, NULL);
}

static int fill_quota(void *output)
{
	return varve_quota_status_wait(store, output, NULL);
}

static int fill_statistics(void *output)
{
	return varve_statistics(store, output);
}

static int fill_operation(void *output)
{
	return varve_operation_statistics(store, VARVE_INFO, output);
}

START_TEST(test_outputs)
{
	store = test_open(test_home());
	test_create(store, "layer", NULL);
	check_output("info", sizeof(struct varve_layer_info), fill_info);
	check_output("usage", sizeof(struct varve_layer_usage), fill_usage);
	check_output("sweep", sizeof(struct varve_sweep_report), fill_sweep);
	check_output("quota", sizeof(struct varve_quota), fill_quota);
	check_output("statistics", sizeof(struct varve_statistics), fill_statistics);
	check_output("operation", sizeof(struct varve_operation_statistics), fill_operation);
	test_error(varve_operation_statistics(store, 1000,
					      &(struct varve_operation_statistics)
						      VARVE_OPERATION_STATISTICS_INIT),
		   -EINVAL);
	ck_assert_ptr_null(varve_operation_name(1000));
	test_close(store);
}
END_TEST

/* The functions make what the macros make. */
START_TEST(test_init)
{
	struct varve_config config = VARVE_CONFIG_INIT, config_made;
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT, create_made;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT, info_made;
	memset(&config_made, 0x77, sizeof(config_made));
	memset(&create_made, 0x77, sizeof(create_made));
	memset(&info_made, 0x77, sizeof(info_made));
	varve_config_init(&config_made, sizeof(config_made));
	varve_create_options_init(&create_made, sizeof(create_made));
	varve_layer_info_init(&info_made, sizeof(info_made));
	ck_assert_mem_eq(&config, &config_made, sizeof(config));
	ck_assert_mem_eq(&create, &create_made, sizeof(create));
	ck_assert_mem_eq(&info, &info_made, sizeof(info));
}
END_TEST

/* Each flag that is for other calls is refused by each call, and says so. */
START_TEST(test_flags)
{
	struct varve_store *other = NULL;
	struct varve_config config = test_config(test_home());
	struct varve_failure failure = { 0 };
	store = test_open_config(&config);
	test_create(store, "layer", NULL);
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	test_error(varve_layer_usage_wait(store, "layer", VARVE_DURABLE, &usage, &failure),
		   -EINVAL);
	ck_assert_str_eq(failure.detail, "a flag that is for other calls");
	test_error(varve_layer_usage_wait(store, "layer", VARVE_FLAG(31), &usage, &failure),
		   -EINVAL);
	ck_assert_str_eq(failure.detail, "unknown flag");
	test_error(varve_layer_remove_wait(store, "layer", VARVE_USAGE_WALK, &failure), -EINVAL);
	test_error(varve_layer_remove_wait(store, "layer", VARVE_OPEN_RELAXED, &failure), -EINVAL);
	test_error(varve_sync_wait(store, VARVE_RELAXED, &failure), -EINVAL);
	config.flags |= VARVE_RELAXED;
	test_error(varve_open(&config, &other, &failure), -EINVAL);
	ck_assert(test_layer_exists(config.home, "layer"));
	test_close(store);
}
END_TEST

TEST_MAIN("versions", test_options, test_outputs, test_init, test_flags)
