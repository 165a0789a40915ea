/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=both */
/* varve_layer_create(): base layers, snapshots, and what a failed one says and leaves. */
#include "tar.h"
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct varve_create_options no_options = VARVE_CREATE_OPTIONS_INIT;

/* Assert that creating ID is accepted and fails with ERROR, tells so, and leaves nothing. */
static void assert_create_fails(struct varve_store *store, const char *home, const char *id,
				const struct varve_create_options *options, int error)
{
	struct test_record record = { 0 };
	int layers = test_layers(home);
	test_error(varve_layer_create(store, id, options, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), error);
	ck_assert(record.has_failure);
	test_error(record.failure.error, error);
	ck_assert_str_eq(record.failure.operation, "create");
	ck_assert_str_eq(record.failure.id, id);
	ck_assert_ptr_nonnull(record.failure.step);
	ck_assert_uint_eq(record.outcomes_count, 1);
	test_error(record.outcome_errors[0], error);
	ck_assert(record.outcome_has_failure[0]);
	ck_assert_int_eq(test_layers(home), layers);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Assert that creating with OPTIONS is refused with ERROR. */
static void assert_create_refused(struct varve_store *store, const char *home,
				  const struct varve_create_options *options, int error)
{
	struct test_record record = { 0 };
	struct varve_failure failure = { 0 };
	varve_request request = 77;
	int layers = test_layers(home);
	test_error(varve_layer_create(store, "refused", options, test_record, &record, &request),
		   error);
	ck_assert_uint_eq(request, 77);
	test_error(varve_layer_create_wait(store, "refused", options, &failure), error);
	test_error(failure.error, error);
	ck_assert_int_eq(varve_pending(store), 0);
	ck_assert_uint_eq(record.calls, 0);
	ck_assert_int_eq(test_layers(home), layers);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

START_TEST(test_base)
{
	char *home = test_home(), *path = test_layer(home, "base");
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	varve_request request = 0;
	struct stat stat_;
	umask(077);
	test_error(varve_layer_create(store, "base", NULL, test_record, &record, &request), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_uint_eq(record.request, request);
	ck_assert_int_eq(record.operation, VARVE_CREATE);
	ck_assert(!record.has_failure);
	ck_assert_uint_eq(record.outcomes_count, 1);
	ck_assert_str_eq(record.outcome_ids[0], "base");
	test_error(record.outcome_errors[0], 0);
	ck_assert(!record.outcome_has_failure[0]);
	ck_assert(test_is_subvolume(path));
	ck_assert_int_eq(test_entries(path), 0);
	ck_assert_int_eq(stat(path, &stat_), 0);
	ck_assert_uint_eq(stat_.st_mode & 07777, 0755);
	ck_assert_uint_eq(stat_.st_uid, 0);
	ck_assert_uint_eq(stat_.st_gid, 0);
	test_write(test_path("%s/file", path), "writable");
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_mode)
{
	static const uint32_t modes[] = { 0555, 0700, 01777, 02755, 07777, 0001 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct varve_failure failure;
	struct stat stat_;
	umask(027);
	for (size_t i = 0; i < TEST_COUNT(modes); i++) {
		char *id = test_path("mode-%zu", i);
		options.mode = modes[i];
		test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
		ck_assert_int_eq(stat(test_layer(home, id), &stat_), 0);
		ck_assert_uint_eq(stat_.st_mode & 07777, modes[i]);
	}
	options.mode = 010000;
	assert_create_refused(store, home, &options, -EINVAL);
	test_close(store);
}
END_TEST

START_TEST(test_snapshot)
{
	char *home = test_home(), *parent = test_layer(home, "parent"),
	     *child = test_layer(home, "child");
	struct varve_store *store = test_open(home);
	struct stat stat_;
	test_create(store, "parent", NULL);
	test_make_tree(parent, 3, 5, 5000);
	test_write(test_path("%s/both", parent), "old");
	ck_assert_int_eq(chmod(parent, 0711), 0);
	ck_assert_int_eq(chown(parent, 12, 34), 0);
	ck_assert_int_eq(setxattr(parent, "user.mark", "m", 1, 0), 0);
	test_create(store, "child", "parent");
	/* Written and not synced: it is in the snapshot all the same. */
	ck_assert_str_eq(test_read(test_path("%s/both", child)), "old");
	ck_assert_uint_eq(strlen(test_read(test_path("%s/dir-2/file-4", child))), 5000);
	ck_assert_int_eq(stat(child, &stat_), 0);
	ck_assert_uint_eq(stat_.st_mode & 07777, 0711);
	ck_assert_uint_eq(stat_.st_uid, 12);
	ck_assert_int_eq(getxattr(child, "user.mark", NULL, 0), 1);
	/* From now on they differ. */
	test_write(test_path("%s/both", child), "child");
	test_write(test_path("%s/both", parent), "parent");
	ck_assert_str_eq(test_read(test_path("%s/both", child)), "child");
	ck_assert_str_eq(test_read(test_path("%s/both", parent)), "parent");
	test_remove(test_path("%s/dir-0", child));
	ck_assert(test_exists(test_path("%s/dir-0", parent)));
	test_close(store);
}
END_TEST

START_TEST(test_empty_parent_is_none)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", "");
	ck_assert_int_eq(test_entries(test_layer(home, "base")), 0);
	test_close(store);
}
END_TEST

START_TEST(test_read_only)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct varve_failure failure;
	test_create(store, "parent", NULL);
	test_write(test_path("%s/file", test_layer(home, "parent")), "x");
	options.parent = "parent";
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "frozen", &options, &failure), &failure);
	ck_assert_int_lt(open(test_path("%s/new", test_layer(home, "frozen")), O_WRONLY | O_CREAT,
			      0600),
			 0);
	ck_assert_int_eq(errno, EROFS);
	ck_assert_str_eq(test_read(test_path("%s/file", test_layer(home, "frozen"))), "x");
	/* A snapshot of it is writable, unless it is asked to be read-only. */
	test_create(store, "writable", "frozen");
	test_write(test_path("%s/new", test_layer(home, "writable")), "y");
	/* A base layer can be read-only, too. */
	options.parent = NULL;
	test_ok(varve_layer_create_wait(store, "frozen-base", &options, &failure), &failure);
	ck_assert_int_lt(mkdir(test_path("%s/new", test_layer(home, "frozen-base")), 0700), 0);
	ck_assert_int_eq(errno, EROFS);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_read_only_many)
{
	/* Together, so that they are staged and published, and not made in place. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct test_record records[32] = { 0 };
	test_create(store, "parent", NULL);
	test_write(test_path("%s/file", test_layer(home, "parent")), "x");
	options.parent = "parent";
	for (size_t i = 0; i < TEST_COUNT(records); i++) {
		options.flags = i % 2 ? VARVE_CREATE_READ_ONLY : 0;
		test_error(varve_layer_create(store, test_path("%zu", i), &options, test_record,
					      &records[i], NULL),
			   0);
	}
	test_await_all(store, records, TEST_COUNT(records));
	for (size_t i = 0; i < TEST_COUNT(records); i++) {
		test_error(records[i].error, 0);
		int made = mkdir(test_path("%s/new", test_layer(home, test_path("%zu", i))), 0700);
		ck_assert_msg(i % 2 ? made < 0 && errno == EROFS : made == 0, "layer %zu", i);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_bad_parents)
{
	char *home = test_home(), *outside = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	test_create(store, "real", NULL);
	test_mkdir(test_layer(home, "directory"));
	test_write(test_layer(home, "file"), "x");
	test_subvolume_create(outside);
	ck_assert_int_eq(symlink("real", test_layer(home, "link")), 0);
	ck_assert_int_eq(symlink(outside, test_layer(home, "link-outside")), 0);
	static const struct {
		const char *parent;
		int error;
	} cases[] = {
		{ "missing", -ENOENT }, { "directory", -EINVAL },     { "file", -ENOTDIR },
		{ "link", -ENOTDIR },   { "link-outside", -ENOTDIR },
	};
	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		options = no_options;
		options.parent = cases[i].parent;
		assert_create_fails(store, home, "new", &options, cases[i].error);
		options.parent = NULL;
		options.template_id = cases[i].parent;
		assert_create_fails(store, home, "new", &options, cases[i].error);
	}
	test_close(store);
}
END_TEST

START_TEST(test_parent_elsewhere)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	test_mkdir(test_layer(home, "elsewhere"));
	ck_assert_int_eq(mount("none", test_layer(home, "elsewhere"), "tmpfs", 0, NULL), 0);
	options.parent = "elsewhere";
	assert_create_fails(store, home, "new", &options, -EXDEV);
	ck_assert_int_eq(umount(test_layer(home, "elsewhere")), 0);
	test_close(store);
}
END_TEST

START_TEST(test_exists_already)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	test_write(test_path("%s/mark", test_layer(home, "layer")), "x");
	test_mkdir(test_layer(home, "directory"));
	test_write(test_layer(home, "file"), "x");
	ck_assert_int_eq(symlink("nowhere", test_layer(home, "link")), 0);
	static const char *const ids[] = { "layer", "directory", "file", "link" };
	for (int snapshot = 0; snapshot < 2; snapshot++) {
		options.parent = snapshot ? "other" : NULL;
		for (size_t i = 0; i < TEST_COUNT(ids); i++)
			assert_create_fails(store, home, ids[i], &options, -EEXIST);
		options.flags = VARVE_CREATE_READ_ONLY;
		assert_create_fails(store, home, "layer", &options, -EEXIST);
		options.flags = 0;
	}
	ck_assert_str_eq(test_read(test_path("%s/mark", test_layer(home, "layer"))), "x");
	ck_assert_int_eq(test_entries(test_layer(home, "directory")), 0);
	test_close(store);
}
END_TEST

START_TEST(test_exists_already_together)
{
	/*
	 * Staged creates meet what exists when they are published: an empty directory must not be
	 * replaced either.
	 */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[40] = { 0 };
	test_create(store, "base", NULL);
	for (int i = 0; i < 10; i++) {
		test_create(store, test_path("%d", 4 * i), NULL);
		test_mkdir(test_layer(home, test_path("%d", 4 * i + 1)));
	}
	test_submit_creates(store, "base", records, 40);
	test_await_all(store, records, 40);
	for (int i = 0; i < 40; i++) {
		test_error(records[i].error, i % 4 < 2 ? -EEXIST : 0);
		ck_assert_int_eq(test_is_subvolume(test_layer(home, test_path("%d", i))),
				 i % 4 != 1);
	}
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_template)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct varve_failure failure;
	test_create(store, "parent", NULL);
	test_create(store, "template", NULL);
	test_write(test_path("%s/parent", test_layer(home, "parent")), "x");
	test_write(test_path("%s/template", test_layer(home, "template")), "x");
	options.template_id = "template";
	test_ok(varve_layer_create_wait(store, "one", &options, &failure), &failure);
	ck_assert(test_exists(test_path("%s/template", test_layer(home, "one"))));
	options.parent = "parent";
	test_ok(varve_layer_create_wait(store, "two", &options, &failure), &failure);
	ck_assert(test_exists(test_path("%s/template", test_layer(home, "two"))));
	ck_assert(!test_exists(test_path("%s/parent", test_layer(home, "two"))));
	test_close(store);
}
END_TEST

START_TEST(test_storage_options)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	static const char *const bad[] = {
		"colour=red",
		"size",
		"size=",
		"size=abc",
		"size=-1",
		"size=1x",
		"size=0",
		"=1G",
		"",
		"size=99999999999999999999",
		"btrfs.min_space=1G",
	};
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		options.storage_options = (const char *const[]){ bad[i], NULL };
		assert_create_refused(store, home, &options, -EINVAL);
	}
	/* A bad one after a good one, and before. */
	options.storage_options = (const char *const[]){ "colour=red", "size=1G", NULL };
	assert_create_refused(store, home, &options, -EINVAL);
	/* The key's case does not matter; a version without limits says so. */
	static const char *const good[] = { "size=100M", "SIZE=100m", "Size=1.5G",
					    "sIzE=104857600" };
	for (size_t i = 0; i < TEST_COUNT(good); i++) {
		struct varve_failure failure = { 0 };
		options.storage_options = (const char *const[]){ good[i], NULL };
		int error = varve_layer_create_wait(store, test_path("good-%zu", i), &options,
						    &failure);
		ck_assert_msg(error == 0 || error == -ENOTSUP, "%s: %s", good[i],
			      test_errno_name(error));
		if (error == 0)
			ck_assert_ptr_nonnull(test_read(test_path("%s/quotas/good-%zu", home, i)));
		else
			ck_assert_int_eq(test_layers(home), 0);
	}
	options.storage_options = (const char *const[]){ NULL };
	struct varve_failure failure;
	test_ok(varve_layer_create_wait(store, "none", &options, &failure), &failure);
	test_close(store);
}
END_TEST

START_TEST(test_arguments)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct test_record record = { 0 };
	test_error(varve_layer_create(NULL, "a", NULL, test_record, &record, NULL), -EINVAL);
	test_error(varve_layer_create(store, "a", NULL, NULL, &record, NULL), -EINVAL);
	test_error(varve_layer_create(store, NULL, NULL, test_record, &record, NULL), -EINVAL);
	options.flags = 1u << 31;
	assert_create_refused(store, home, &options, -EINVAL);
	options = no_options;
	options.size = 0;
	assert_create_refused(store, home, &options, -EINVAL);
	/* Bad ids of parents and templates are refused like those of layers. */
	options = no_options;
	options.parent = "..";
	assert_create_refused(store, home, &options, -EINVAL);
	options.parent = "../subvolumes/x";
	assert_create_refused(store, home, &options, -EINVAL);
	options.parent = NULL;
	options.template_id = "a/b";
	assert_create_refused(store, home, &options, -EINVAL);
	test_close(store);
}
END_TEST

START_TEST(test_arguments_are_copied)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = no_options;
	struct test_record records[20] = { 0 };
	char id[32], parent[32];
	test_create(store, "parent", NULL);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "layer-%d", i);
		snprintf(parent, sizeof(parent), "parent");
		options.parent = parent;
		test_error(varve_layer_create(store, id, &options, test_record, &records[i], NULL),
			   0);
		memset(id, 'z', sizeof(id));
		memset(parent, 'z', sizeof(parent));
		memset(&options, 0, sizeof(options));
		options = no_options;
	}
	test_await_all(store, records, 20);
	for (int i = 0; i < 20; i++) {
		test_error(records[i].error, 0);
		ck_assert_str_eq(records[i].outcome_ids[0], test_path("layer-%d", i));
		ck_assert(test_layer_exists(home, test_path("layer-%d", i)));
	}
	test_close(store);
}
END_TEST

START_TEST(test_nested_in_parent)
{
	/* A subvolume inside the parent shows up as an empty directory in its snapshot. */
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "parent", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "parent")));
	test_write(test_path("%s/inner/file", test_layer(home, "parent")), "x");
	test_create(store, "child", "parent");
	ck_assert_int_eq(test_entries(test_path("%s/inner", test_layer(home, "child"))), 0);
	ck_assert(!test_is_subvolume(test_path("%s/inner", test_layer(home, "child"))));
	test_close(store);
}
END_TEST

START_TEST(test_many_together)
{
	enum { LAYERS = 500 };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = no_options;
	struct test_record *records = test_alloc(LAYERS * sizeof(*records));
	test_create(store, "base", NULL);
	test_write(test_path("%s/mark", test_layer(home, "base")), "here");
	options.parent = "base";
	for (int i = 0; i < LAYERS; i++)
		test_error(varve_layer_create(store, test_path("layer-%d", i), &options,
					      test_record, &records[i], NULL),
			   0);
	test_await_all(store, records, LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		char *path = test_layer(home, test_path("layer-%d", i));
		test_error(records[i].error, 0);
		ck_assert(test_is_subvolume(path));
		ck_assert_str_eq(test_read(test_path("%s/mark", path)), "here");
	}
	ck_assert_int_eq(test_layers(home), LAYERS + 1);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/*
 * What an archive came to is known to the twin, too: its bytes, and how much of it could not be
 * kept.
 */
START_TEST(test_archive)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	uint64_t bytes = 0, skipped = 0;
	int fd = memfd_create("archive", MFD_CLOEXEC);

	tar_add_file(&tar, "plain", "five\n");
	/* An attribute of a kind that Linux does not have. */
	tar_add_pax(&tar, "SCHILY.xattr.foreign.kind", "value", 5);
	tar_add_file(&tar, "foreign", "six...\n");
	tar_end(&tar);
	ck_assert_int_eq(write(fd, tar.bytes, tar.size), tar.size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	options.apply = &apply;
	options.apply_fd = fd;
	test_ok(varve_layer_create_apply_wait(store, "layer", &options, &bytes, &skipped, &failure),
		&failure);
	ck_assert_uint_eq(bytes, 12);
	ck_assert_uint_eq(skipped, 1);
	ck_assert_str_eq(test_read(test_path("%s/foreign", test_layer(home, "layer"))), "six...\n");
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	test_ok(varve_layer_create_apply_wait(store, "other", &options, NULL, NULL, &failure),
		&failure);
	close(fd);
	bytes = skipped = 3;
	test_error(varve_layer_create_apply_wait(store, "layer", NULL, &bytes, &skipped, &failure),
		   -EEXIST);
	ck_assert(bytes == 3 && skipped == 3);
	test_close(store);
}
END_TEST

TEST_MAIN("create", test_base, test_mode, test_snapshot, test_empty_parent_is_none, test_read_only,
	  test_read_only_many, test_bad_parents, test_parent_elsewhere, test_exists_already,
	  test_exists_already_together, test_template, test_storage_options, test_arguments,
	  test_arguments_are_copied, test_archive, test_nested_in_parent, test_many_together)
