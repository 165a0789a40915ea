/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners, modes, devices and times that an archive has and the caller cannot give: one answer
 * everywhere, and options that say what else is to be done.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tar.h"

static const struct varve_id_map map[] = { { .container = 0, .host = 100000, .count = 10 } };

/* Put TAR, ended, into a file in memory. */
static int archive_open(struct tar *tar)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	tar_end(tar);
	ck_assert_int_eq(write(fd, tar->bytes, tar->size), (ssize_t)tar->size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/*
 * Apply TAR to the new layer ID with FLAGS, FORCE_MODE and, if MAPPED, the map; *RET_SKIPPED is how
 * many were reported.
 */
static int apply(struct varve_store *store, const char *id, struct tar *tar, uint64_t flags,
		 unsigned force_mode, bool mapped, uint64_t *ret_skipped,
		 struct varve_failure *failure)
{
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	int fd = archive_open(tar), r;

	options.flags = flags;
	options.force_mode = force_mode;
	options.uids = options.gids = mapped ? map : NULL;
	options.uids_count = options.gids_count = mapped;
	test_create(store, id, NULL);
	r = varve_layer_apply_wait(store, id, &options, fd, NULL, ret_skipped, failure);
	close(fd);
	return r;
}

static struct stat look(const char *path)
{
	struct stat stat_now;

	ck_assert_int_eq(lstat(path, &stat_now), 0);
	return stat_now;
}

/* An archive with a file that belongs to user 5, and one that belongs to 50. */
static struct tar owned(void)
{
	struct tar tar = { 0 };

	tar_add(&tar, &(struct tar_entry){ .name = "dir/in", .uid = 5 });
	tar_add(&tar, &(struct tar_entry){ .name = "out", .uid = 50, .gid = 50 });
	return tar;
}

START_TEST(test_outside)
{
	char *home = test_home(), *layers = test_path("%s/subvolumes", home);
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply_options = VARVE_APPLY_OPTIONS_INIT;
	struct varve_chown_options chown_options = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct tar tar = owned();
	uint64_t skipped = 0;
	int fd;

	/* apply */
	test_error(apply(store, "a", &tar, 0, 0, true, &skipped, &failure), -EOVERFLOW);
	ck_assert_ptr_nonnull(strstr(failure.detail, "--overflow-ids"));
	tar = owned();
	test_ok(apply(store, "b", &tar, VARVE_OVERFLOW_IDS, 0, true, &skipped, &failure), &failure);
	ck_assert_uint_eq(skipped, 1);
	ck_assert_int_eq(look(test_path("%s/b/out", layers)).st_uid, 65534);
	ck_assert_int_eq(look(test_path("%s/b/dir/in", layers)).st_uid, 100005);
	/* What the archive takes for granted is the container's root's. */
	ck_assert_int_eq(look(test_path("%s/b/dir", layers)).st_uid, 100000);
	/* create */
	chown_options.uid_to = chown_options.gid_to = map;
	chown_options.uid_to_count = chown_options.gid_to_count = 1;
	create.chown = &chown_options;
	create.apply = &apply_options;
	for (unsigned i = 0; i < 2; i++) {
		tar = owned();
		create.apply_fd = archive_open(&tar);
		test_error(varve_layer_create_wait(store, "c", &create, &failure),
			   i ? 0 : -EOVERFLOW);
		close(create.apply_fd);
		ck_assert(test_layer_exists(home, "c") == i);
		chown_options.flags = VARVE_OVERFLOW_IDS;
	}
	ck_assert_int_eq(look(test_path("%s/c/out", layers)).st_gid, 65534);
	/* chown */
	tar = owned();
	test_ok(apply(store, "d", &tar, 0, 0, false, &skipped, &failure), &failure);
	chown_options.flags = 0;
	test_error(varve_layer_chown_wait(store, "d", &chown_options, &failure), -EOVERFLOW);
	chown_options.uid_from = chown_options.gid_from = map;
	chown_options.uid_from_count = chown_options.gid_from_count = 1;
	test_error(varve_layer_chown_wait(store, "d", &chown_options, &failure), -EOVERFLOW);
	/* diff */
	fd = memfd_create("archive", MFD_CLOEXEC);
	diff.uids = diff.gids = map;
	diff.uids_count = diff.gids_count = 1;
	test_error(varve_layer_diff_wait(store, "c", &diff, fd, NULL, NULL, &failure), -EOVERFLOW);
	ck_assert_ptr_nonnull(strstr(failure.detail, "--overflow-ids"));
	diff.flags = VARVE_OVERFLOW_IDS;
	test_ok(varve_layer_diff_wait(store, "c", &diff, fd, NULL, &skipped, &failure), &failure);
	ck_assert_uint_eq(skipped, 1);
	close(fd);
	test_close(store);
}
END_TEST

/* SKIPPED tells of the paths WANTED of layer ID, of operation NAME, in any order; it is freed. */
static void check_skipped(struct varve_skipped *skipped, const char *name, const char *id,
			  const char *const *wanted, size_t count)
{
	ck_assert_uint_eq(skipped->total, count);
	ck_assert_uint_eq(skipped->count, count);
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;

		while (at < count && strcmp(skipped->records[at].path, wanted[i]) != 0)
			at++;
		ck_assert_msg(at < count, "%s is not reported", wanted[i]);
		ck_assert_int_eq(skipped->records[at].error, -EOVERFLOW);
		ck_assert_str_eq(skipped->records[at].operation, name);
		ck_assert_str_eq(skipped->records[at].id, id);
		ck_assert_ptr_nonnull(strstr(skipped->records[at].detail, "65534"));
	}
	free(skipped->records);
	*skipped = (struct varve_skipped){ 0 };
}

/*
 * Entries whose owner becomes the overflow id are reported, also by the twins: of a chown, a create
 * from a parent, an apply and a diff.
 */
START_TEST(test_reported)
{
	static const char *const outside[] = { "dir/sub", "dir/sub/in", "", "link" };
	char *home = test_home(), *base = test_layer(home, "base");
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	struct varve_skipped skipped = { 0 };
	struct tar tar = owned();
	int fd = archive_open(&tar);

	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/dir", base));
	test_mkdir(test_path("%s/dir/sub", base));
	test_write(test_path("%s/dir/sub/in", base), "x");
	test_write(test_path("%s/dir/kept", base), "x");
	ck_assert_int_eq(symlink("dir", test_path("%s/link", base)), 0);
	for (size_t i = 0; i < TEST_COUNT(outside); i++)
		ck_assert_int_eq(lchown(test_path("%s/%s", base, outside[i]), i % 2 ? 50 : 0, 50),
				 0);
	shift.uid_to = shift.gid_to = map;
	shift.uid_to_count = shift.gid_to_count = 1;
	shift.flags = VARVE_OVERFLOW_IDS;
	shift.ret_skipped = &skipped;
	create.parent = "base";
	create.chown = &shift;
	test_ok(varve_layer_create_wait(store, "made", &create, &failure), &failure);
	check_skipped(&skipped, "create", "made", outside, TEST_COUNT(outside));
	ck_assert_int_eq(look(test_path("%s/dir/sub/in", test_layer(home, "made"))).st_uid, 65534);
	test_ok(varve_layer_chown_wait(store, "base", &shift, &failure), &failure);
	check_skipped(&skipped, "chown", "base", outside, TEST_COUNT(outside));
	/* Nothing to tell. */
	test_create(store, "empty", NULL);
	skipped.total = 1;
	test_ok(varve_layer_chown_wait(store, "empty", &shift, &failure), &failure);
	check_skipped(&skipped, "chown", "empty", NULL, 0);
	options.uids = options.gids = map;
	options.uids_count = options.gids_count = 1;
	options.flags = VARVE_OVERFLOW_IDS;
	options.ret_skipped = &skipped;
	test_ok(varve_layer_apply_wait(store, "empty", &options, fd, NULL, NULL, &failure),
		&failure);
	check_skipped(&skipped, "apply", "", (const char *[]){ "out" }, 1);
	diff.uids = diff.gids = map;
	diff.uids_count = diff.gids_count = 1;
	diff.flags = VARVE_OVERFLOW_IDS;
	diff.ret_skipped = &skipped;
	test_ok(varve_layer_diff_wait(store, "empty", &diff, fd, NULL, NULL, &failure), &failure);
	ck_assert_uint_eq(skipped.total, 1);
	ck_assert_str_eq(skipped.records[0].detail, "an owner that is in no map: it is 65534");
	free(skipped.records);
	close(fd);
	test_close(store);
}
END_TEST

START_TEST(test_force_mode)
{
	char *home = test_home(), *layers = test_path("%s/subvolumes", home), value[64] = "";
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	uint64_t skipped;

	tar_add(&tar, &(struct tar_entry){ .name = "dir", .type = '5', .mode = 0500, .uid = 5 });
	tar_add(&tar, &(struct tar_entry){ .name = "dir/file", .mode = 04711, .uid = 5, .gid = 6 });
	test_ok(apply(store, "a", &tar, 0, 0755, false, &skipped, &failure), &failure);
	ck_assert_int_eq(look(test_path("%s/a/dir", layers)).st_mode, S_IFDIR | 0755);
	ck_assert_int_eq(look(test_path("%s/a/dir/file", layers)).st_mode, S_IFREG | 0755);
	ck_assert_int_gt(getxattr(test_path("%s/a/dir/file", layers),
				  "user.containers.override_stat", value, sizeof(value) - 1),
			 0);
	ck_assert_str_eq(value, "5:6:04711");
	test_close(store);
}
END_TEST

/* As a user without privilege, in the store at DATA. */
static int unpack_as_nobody(void *data)
{
	struct varve_store *store = test_open(data);
	char *layers = test_path("%s/subvolumes", (char *)data);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	uint64_t skipped;

	/*
	 * Directories that their owner may not write, with something in them, one of them reported
	 * twice; a file with an attribute.
	 */
	tar_add(&tar, &(struct tar_entry){ .name = "usr",
					   .type = '5',
					   .mode = 0555,
					   .uid = geteuid(),
					   .gid = getegid() });
	tar_add(&tar, &(struct tar_entry){ .name = "usr/none",
					   .type = '5',
					   .mode = 01,
					   .uid = geteuid(),
					   .gid = getegid() });
	tar_add(&tar,
		&(struct tar_entry){
			.name = "usr/none/f", .mode = 0444, .uid = geteuid(), .gid = getegid() });
	tar_add(&tar, &(struct tar_entry){ .name = "twice",
					   .type = '5',
					   .mode = 0555,
					   .uid = geteuid(),
					   .gid = getegid() });
	tar_add(&tar, &(struct tar_entry){ .name = "twice",
					   .type = '5',
					   .mode = 0750,
					   .uid = geteuid(),
					   .gid = getegid() });
	tar_add_pax(&tar, "SCHILY.xattr.user.x", "value", 5);
	tar_add(&tar,
		&(struct tar_entry){
			.name = "twice/f", .mode = 0444, .uid = geteuid(), .gid = getegid() });
	tar_add(&tar, &(struct tar_entry){ .name = "/",
					   .type = '5',
					   .mode = 0555,
					   .uid = geteuid(),
					   .gid = getegid() });
	test_ok(apply(store, "modes", &tar, 0, 0, false, &skipped, &failure), &failure);
	ck_assert_int_eq(look(test_path("%s/modes", layers)).st_mode, S_IFDIR | 0555);
	ck_assert_int_eq(look(test_path("%s/modes/usr", layers)).st_mode, S_IFDIR | 0555);
	ck_assert_int_eq(look(test_path("%s/modes/usr/none", layers)).st_mode, S_IFDIR | 01);
	ck_assert_int_eq(look(test_path("%s/modes/twice", layers)).st_mode, S_IFDIR | 0750);
	ck_assert_int_eq(look(test_path("%s/modes/twice/f", layers)).st_mode, S_IFREG | 0444);
	ck_assert_int_eq(getxattr(test_path("%s/modes/twice/f", layers), "user.x", NULL, 0), 5);
	/* Owners. */
	tar = owned();
	test_error(apply(store, "owners", &tar, 0, 0, false, &skipped, &failure), -EPERM);
	ck_assert_ptr_nonnull(strstr(failure.detail, "--ignore-owners"));
	tar = owned();
	test_ok(apply(store, "ignored", &tar, VARVE_APPLY_IGNORE_OWNERS, 0, false, &skipped,
		      &failure),
		&failure);
	ck_assert_uint_eq(skipped, 2);
	ck_assert_int_eq(look(test_path("%s/ignored/out", layers)).st_uid, geteuid());
	/* Devices. */
	for (unsigned i = 0; i < 2; i++) {
		tar = (struct tar){ 0 };
		tar_add(&tar, &(struct tar_entry){ .name = "device",
						   .type = '3',
						   .device = 1,
						   .uid = geteuid(),
						   .gid = getegid() });
		tar_add(&tar,
			&(struct tar_entry){ .name = "file", .uid = geteuid(), .gid = getegid() });
		if (i)
			test_ok(apply(store, "without", &tar, VARVE_APPLY_SKIP_DEVICES, 0, false,
				      &skipped, &failure),
				&failure);
		else
			test_error(apply(store, "device", &tar, 0, 0, false, &skipped, &failure),
				   -EPERM);
	}
	ck_assert_ptr_nonnull(strstr(failure.detail, "--skip-devices"));
	ck_assert_uint_eq(skipped, 1);
	ck_assert_int_eq(test_entries(test_path("%s/without", layers)), 1);
	test_close(store);
	return 0;
}

START_TEST(test_nobody)
{
	char *home = test_home_of_nobody();

	ck_assert_int_eq(chmod(test_mount(), 0755), 0);
	test_as_nobody(unpack_as_nobody, home);
}
END_TEST

START_TEST(test_times)
{
	static const struct {
		const char *text;
		int64_t seconds;
		long nanoseconds;
	} times[] = { { "-1.5", -2, 500000000 },
		      { "-3.25", -4, 750000000 },
		      { "-7", -7, 0 },
		      { "1.5", 1, 500000000 },
		      { "-86400.000000001", -86401, 999999999 },
		      { "-0.25", -1, 750000000 },
		      { "0.25", 0, 250000000 },
		      { "-0.000000001", -1, 999999999 } };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	uint64_t skipped;

	for (size_t i = 0; i < TEST_COUNT(times); i++) {
		tar_add_pax(&tar, "mtime", times[i].text, strlen(times[i].text));
		tar_add(&tar, &(struct tar_entry){ .name = test_path("%zu", i),
						   .type = i ? '0' : '5',
						   .mode = 0755 });
	}
	test_ok(apply(store, "a", &tar, 0, 0, false, &skipped, &failure), &failure);
	for (size_t i = 0; i < TEST_COUNT(times); i++) {
		struct stat stat_now = look(test_path("%s/%zu", test_layer(home, "a"), i));

		ck_assert_int_eq(stat_now.st_mtim.tv_sec, times[i].seconds);
		ck_assert_int_eq(stat_now.st_mtim.tv_nsec, times[i].nanoseconds);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("owners", test_outside, test_reported, test_force_mode, test_nobody, test_times)
