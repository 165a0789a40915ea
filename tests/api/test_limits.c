/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: size=200M */
/*
 * What runs out: space, descriptors, the right to write. A create that fails leaves nothing; the
 * store works on.
 */
#include "tar.h"
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAYERS_MAX 40000
#define BURST 64

/*
 * Create layers of "base", BURST at a time, until one fails; every one that fails does for lack of
 * space.
 */
static int create_until_full(struct varve_store *store, const char *home)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int made = 0, failed = 0;
	options.parent = "base";
	for (int first = 0; !failed && first < LAYERS_MAX; first += BURST) {
		struct test_record *records = test_alloc(BURST * sizeof(*records));
		for (int i = 0; i < BURST; i++)
			test_error(varve_layer_create(store, test_path("%d", first + i), &options,
						      test_record, &records[i], NULL),
				   0);
		test_await_all(store, records, BURST);
		for (int i = 0; i < BURST; i++) {
			int error = records[i].error;
			ck_assert_msg(error == 0 || error == -ENOSPC, "%s", test_errno_name(error));
			ck_assert_int_eq(test_layer_exists(home, test_path("%d", first + i)),
					 error == 0);
			made += error == 0;
			failed += error != 0;
		}
	}
	ck_assert_msg(failed > 0, "%d layers, and there is still space: the test tests nothing",
		      made);
	return made;
}

START_TEST(test_no_space)
{
	char *home = test_home(), *filler = test_path("%s/filler", test_mount()), **ids;
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	size_t count;
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 4, 50, 3000);
	test_fill(filler);
	int made = create_until_full(store, home);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_int_eq(test_layers(home), made + 1);
	/* Removal works on a full file system, and makes it usable again. */
	test_ok(varve_layer_list_wait(store, &ids, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++)
		if (strcmp(ids[i], "base"))
			test_ok(varve_layer_remove_wait(store, ids[i], 0, &failure), &failure);
	free(ids);
	test_remove(filler);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	test_create(store, "again", "base");
	test_close(store);
}
END_TEST

START_TEST(test_no_descriptors)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct rlimit old, none;
	struct test_record records[50] = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	test_create(store, "base", NULL);
	options.parent = "base";
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(next);
	none = (struct rlimit){ next, old.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 50; i++) {
		int error = i % 2 ? varve_layer_create(store, test_path("%d", i), &options,
						       test_record, &records[i], NULL)
				  : varve_layer_remove(store, "missing", 0, test_record,
						       &records[i], NULL);
		test_error(error, 0);
	}
	test_await_all(store, records, 50);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (int i = 0; i < 50; i++) {
		int error = records[i].error;
		ck_assert_msg(error == -EMFILE || error == (i % 2 ? 0 : -ENOENT), "%d: %s", i,
			      test_errno_name(error));
		if (i % 2)
			ck_assert_int_eq(test_layer_exists(home, test_path("%d", i)), error == 0);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* There are descriptors again, and all goes on. */
	test_create(store, "again", "base");
	test_remove_layer(store, "again");
	test_close(store);
}
END_TEST

START_TEST(test_read_only_file_system)
{
	/*
	 * A mount of the home that is made read-only under the store's feet: only that of a new
	 * open sees it at once, but a remount of the file system is seen by all.
	 */
	char *home = test_home(), *path;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	bool exists = false;
	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "other")));
	ck_assert_int_eq(test_command((const char *[]){ "mount", "-o", "remount,ro", test_mount(),
							NULL }),
			 0);
	for (int round = 0; round < 3; round++) {
		struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
		test_error(varve_layer_create_wait(store, "new", NULL, &failure), -EROFS);
		options.parent = "layer";
		test_error(varve_layer_create_wait(store, "new", &options, &failure), -EROFS);
		test_error(varve_layer_remove_wait(store, "layer", 0, &failure), -EROFS);
		test_error(varve_layer_remove_wait(store, "other", 0, &failure), -EROFS);
		test_error(failure.error, -EROFS);
		/* Reading goes on. */
		test_ok(varve_layer_exists_wait(store, "layer", &exists, &failure), &failure);
		ck_assert(exists);
		test_ok(varve_layer_get_wait(store, "layer", NULL, &path, &failure), &failure);
		free(path);
		varve_sweep_wait(store, &report, &failure);
	}
	ck_assert_int_eq(test_command((const char *[]){ "mount", "-o", "remount,rw", test_mount(),
							NULL }),
			 0);
	ck_assert(test_is_subvolume(test_path("%s/inner", test_layer(home, "other"))));
	test_create(store, "new", "layer");
	test_remove_layer(store, "other");
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Use a home of one's own, without any privilege. */
static int use_own(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct stat stat_;
	test_create(store, "base", NULL);
	ck_assert_int_eq(stat(test_layer(home, "base"), &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, TEST_NOBODY);
	test_make_tree(test_layer(home, "base"), 2, 2, 10);
	struct test_record records[20] = { 0 };
	test_submit_creates(store, "base", records, 20);
	test_await_all(store, records, 20);
	for (int i = 0; i < 20; i++) {
		ck_assert_msg(records[i].error == 0, "%s at %s", test_errno_name(records[i].error),
			      records[i].failure.step);
		ck_assert(test_exists(
			test_path("%s/dir-1/file-1", test_layer(home, test_path("%d", i)))));
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.root_uid = TEST_NOBODY;
	config.root_gid = TEST_NOBODY;
	test_close(test_open_config(&config));
	test_as_nobody(use_own, home);
}
END_TEST

/* Try to write to a home that one may only read. */
static int use_foreign(void *home)
{
	struct varve_config config = test_config(home);
	struct varve_store *store = NULL;
	struct varve_failure failure = { 0 };
	int error = varve_open(&config, &store, &failure);
	if (error) {
		test_error(error, -EACCES);
		return 0;
	}
	test_error(varve_layer_create_wait(store, "new", NULL, &failure), -EACCES);
	test_close(store);
	return 0;
}

START_TEST(test_foreign)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_close(store);
	test_as_nobody(use_foreign, home);
	ck_assert_int_eq(chmod(home, 0755), 0);
	test_as_nobody(use_foreign, home);
	ck_assert_int_eq(test_layers(home), 1);
}
END_TEST

/*
 * Where the mount lets its owner destroy nothing: what a failed create has made is a leftover for
 * the next sweep, which the error says.
 */
static int undo_denied(void *home)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	char garbage[TAR_BLOCK_BYTES];
	memset(garbage, 'x', sizeof(garbage));
	tar_add_bytes(&tar, garbage, sizeof(garbage));
	tar_end(&tar);
	options.apply = &apply;
	options.apply_fd = memfd_create("archive", MFD_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pwrite(options.apply_fd, tar.bytes, tar.size, 0),
				 (ssize_t)tar.size);
		ck_assert_int_eq(lseek(options.apply_fd, 0, SEEK_SET), 0);
		test_error(varve_layer_create_wait(store, "layer", &options, &failure), -EBADMSG);
		ck_assert_msg(strstr(failure.detail, ".varve/trash/left-"), "%s", failure.detail);
		ck_assert(!test_layer_exists(home, "layer"));
		ck_assert_uint_eq(test_leftovers(home), 1);
		test_ok(varve_sweep_wait(store, &report, &failure), &failure);
		ck_assert_uint_eq(report.trash_removed, 1);
		ck_assert_uint_eq(test_leftovers(home), 0);
	}
	close(options.apply_fd);
	test_create(store, "layer", NULL);
	test_close(store);
	return 0;
}

START_TEST(test_undo_denied)
{
	test_as_nobody_denied(undo_denied);
}
END_TEST

TEST_MAIN("limits", test_no_space, test_no_descriptors, test_read_only_file_system,
	  test_unprivileged, test_undo_denied, test_foreign)
