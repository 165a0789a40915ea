/* SPDX-License-Identifier: Apache-2.0 */
/* varve_open(): what it makes, what it refuses, and that a failure leaves nothing. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Assert that opening with CONFIG fails with ERROR, that the output is untouched and the failure
 * tells of it.
 */
static void assert_open_fails(const struct varve_config *config, int error)
{
	struct varve_store *const mark = (struct varve_store *)&errno;
	struct varve_store *store = mark;
	struct varve_failure failure = { 0 };
	int descriptors = test_descriptors(), threads = test_threads();
	test_error(varve_open(config, &store, &failure), error);
	ck_assert_ptr_eq(store, mark);
	test_error(failure.error, error);
	ck_assert_str_eq(failure.operation, "open");
	test_error(varve_open(config, &store, NULL), error);
	ck_assert_int_eq(test_descriptors(), descriptors);
	test_threads_are(threads);
}

START_TEST(test_makes_home)
{
	char *home = test_home();
	struct stat stat_;
	umask(0);
	test_close(test_open(home));
	ck_assert_int_eq(stat(home, &stat_), 0);
	ck_assert(S_ISDIR(stat_.st_mode));
	ck_assert_uint_eq(stat_.st_mode & 07777, 0700);
	ck_assert_int_eq(test_layers(home), 0);
	/* Again, now that it exists. */
	test_close(test_open(home));
}
END_TEST

START_TEST(test_owner)
{
	char *home = test_home();
	struct stat stat_;
	struct varve_config config = test_config(home);
	config.root_uid = 1234;
	config.root_gid = 4321;
	struct varve_store *store = test_open_config(&config);
	ck_assert_int_eq(stat(home, &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 1234);
	ck_assert_uint_eq(stat_.st_gid, 4321);
	test_create(store, "base", NULL);
	ck_assert_int_eq(stat(test_layer(home, "base"), &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 1234);
	ck_assert_uint_eq(stat_.st_gid, 4321);
	test_close(store);
}
END_TEST

START_TEST(test_existing)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_EXISTING;
	assert_open_fails(&config, -ENOENT);
	ck_assert(!test_exists(home));
	test_close(test_open(home));
	test_close(test_open_config(&config));
}
END_TEST

START_TEST(test_bad_arguments)
{
	char *home = test_home();
	struct varve_store *store = NULL;
	struct varve_config config = test_config(home);
	test_error(varve_open(NULL, &store, NULL), -EINVAL);
	test_error(varve_open(&config, NULL, NULL), -EINVAL);
	config.flags |= 1u << 31;
	assert_open_fails(&config, -EINVAL);
	config = test_config(home);
	config.size = 0;
	assert_open_fails(&config, -EINVAL);
	config = test_config("");
	struct varve_failure failure;
	ck_assert_int_lt(varve_open(&config, &store, &failure), 0);
	ck_assert(!test_exists(home));
}
END_TEST

/* A number of the configuration: where it is, and its range. */
struct range {
	size_t offset;
	uint32_t min, max;
};

static const struct range ranges[] = {
	{ offsetof(struct varve_config, requests_max), 1, VARVE_REQUESTS_MAX },
	{ offsetof(struct varve_config, ring_entries), 8, 4096 },
	{ offsetof(struct varve_config, fs_threads_max), 1, 64 },
	{ offsetof(struct varve_config, commit_threads_max), 1, 512 },
	{ offsetof(struct varve_config, backlog_max), 1, 1000000 },
};

/* Set the number that RANGE tells of. */
static void set_number(struct varve_config *config, const struct range *range, uint32_t value)
{
	memcpy((char *)config + range->offset, &value, sizeof(value));
}

START_TEST(test_ranges)
{
	char *home = test_home();
	for (size_t i = 0; i < TEST_COUNT(ranges); i++) {
		struct varve_config config = test_config(home);
		if (ranges[i].min > 1) {
			set_number(&config, &ranges[i], ranges[i].min - 1);
			assert_open_fails(&config, -EINVAL);
		}
		set_number(&config, &ranges[i], ranges[i].max + 1);
		assert_open_fails(&config, -EINVAL);
		set_number(&config, &ranges[i], UINT32_MAX);
		assert_open_fails(&config, -EINVAL);
	}
	ck_assert_msg(!test_exists(home), "a refused open made the home");
}
END_TEST

START_TEST(test_range_ends_work)
{
	for (size_t i = 0; i < TEST_COUNT(ranges); i++) {
		for (int end = 0; end < 2; end++) {
			char *home = test_home();
			struct varve_config config = test_config(home);
			set_number(&config, &ranges[i], end ? ranges[i].max : ranges[i].min);
			struct varve_store *store = test_open_config(&config);
			test_create(store, "a", NULL);
			test_create(store, "b", "a");
			test_remove_layer(store, "a");
			test_close(store);
		}
	}
}
END_TEST

START_TEST(test_not_btrfs)
{
	char *point = test_home();
	test_mkdir(point);
	ck_assert_int_eq(mount("none", point, "tmpfs", 0, NULL), 0);
	struct varve_config config = test_config(point);
	assert_open_fails(&config, -ENOTSUP);
	config.home = test_path("%s/home", point);
	assert_open_fails(&config, -ENOTSUP);
	ck_assert_int_eq(test_entries(point), 0);
	ck_assert_int_eq(umount(point), 0);
}
END_TEST

START_TEST(test_home_is_mount_point)
{
	struct varve_store *store = test_open(test_mount());
	test_create(store, "a", NULL);
	ck_assert(test_layer_exists(test_mount(), "a"));
	test_close(store);
}
END_TEST

START_TEST(test_home_is_file)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	test_write(home, "x");
	assert_open_fails(&config, -ENOTDIR);
	config.home = test_path("%s/below", home);
	assert_open_fails(&config, -ENOTDIR);
}
END_TEST

START_TEST(test_subvolumes_is_file)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	test_mkdir(home);
	test_write(test_path("%s/subvolumes", home), "x");
	assert_open_fails(&config, -ENOTDIR);
}
END_TEST

START_TEST(test_subvolumes_is_symlink)
{
	char *home = test_home(), *other = test_home();
	struct varve_config config = test_config(home);
	test_mkdir(home);
	test_mkdir(other);
	ck_assert_int_eq(symlink(other, test_path("%s/subvolumes", home)), 0);
	struct varve_store *store;
	struct varve_failure failure;
	int error = varve_open(&config, &store, &failure);
	ck_assert_msg(error == -ENOTDIR || error == -ELOOP,
		      "a link in the place of subvolumes/: %s", test_errno_name(error));
	ck_assert_int_eq(test_entries(other), 0);
}
END_TEST

/* Try to open a home below the directory DATA, which is not ours. */
static int open_denied(void *data)
{
	struct varve_config config = test_config(test_path("%s/home", (char *)data));
	assert_open_fails(&config, -EACCES);
	return 0;
}

START_TEST(test_access)
{
	char *directory = test_home();
	test_mkdir(directory);
	test_as_nobody(open_denied, directory);
	ck_assert_int_eq(test_entries(directory), 0);
}
END_TEST

START_TEST(test_read_only_file_system)
{
	struct varve_config config = test_config(test_home());
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_open_fails(&config, -EROFS);
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT, "user_subvol_rm_allowed"), 0);
	test_close(test_open_config(&config));
}
END_TEST

START_TEST(test_no_descriptors)
{
	struct varve_config config = test_config(test_home());
	int before = test_descriptors(), failed = 0, limit;
	struct rlimit old, tight;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* However few there are: EMFILE and nothing left open, until there are enough. */
	for (limit = before - 1; limit < before + 40; limit++) {
		struct varve_store *store = NULL;
		struct varve_failure failure = { 0 };
		tight = (struct rlimit){ limit, old.rlim_max };
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
		int error = varve_open(&config, &store, &failure);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (error == 0) {
			test_close(store);
			break;
		}
		ck_assert_msg(error == -EMFILE, "limit %d: %s at %s", limit, test_errno_name(error),
			      failure.step);
		ck_assert_int_eq(test_descriptors(), before);
		failed++;
	}
	ck_assert_int_gt(failed, 0);
	ck_assert_int_lt(limit, before + 40);
	ck_assert_int_eq(test_descriptors(), before);
}
END_TEST

START_TEST(test_several)
{
	char *home = test_home();
	struct varve_store *one = test_open(home), *two = test_open(home),
			   *other = test_open(test_home());
	test_create(one, "a", NULL);
	test_create(two, "b", "a");
	struct varve_failure failure;
	test_error(varve_layer_create_wait(other, "c",
					   &(struct varve_create_options){
						   .size = sizeof(struct varve_create_options),
						   .parent = "a" },
					   &failure),
		   -ENOENT);
	test_close(one);
	test_create(two, "d", "b");
	test_close(two);
	test_close(other);
}
END_TEST

START_TEST(test_leaves_nothing)
{
	test_close(test_open(test_home()));
	int descriptors = test_descriptors(), threads = test_threads();
	for (int i = 0; i < 10; i++) {
		char *home = test_home();
		struct varve_store *store = test_open(home);
		ck_assert_int_gt(test_threads(), threads);
		test_create(store, "a", NULL);
		test_create(store, "b", "a");
		test_close(store);
		ck_assert_int_eq(test_descriptors(), descriptors);
		test_threads_are(threads);
	}
}
END_TEST

START_TEST(test_close_on_exec)
{
	bool before[1024] = { false };
	for (int i = 0; i < 1024; i++)
		before[i] = fcntl(i, F_GETFD) >= 0;
	struct varve_store *store = test_open(test_home());
	test_create(store, "a", NULL);
	for (int i = 0; i < 1024; i++) {
		int flags = fcntl(i, F_GETFD);
		ck_assert_msg(before[i] || flags < 0 || flags & FD_CLOEXEC,
			      "descriptor %d survives exec", i);
	}
	test_close(store);
}
END_TEST

START_TEST(test_default_home)
{
	/* What lies at /var/lib is covered, in a namespace of this test's own. */
	char *stand_in = test_home();
	test_mkdir(stand_in);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount(stand_in, "/var/lib", NULL, MS_BIND, NULL), 0);
	struct varve_store *store = test_open(NULL);
	test_create(store, "a", NULL);
	test_close(store);
	ck_assert(test_is_subvolume(test_path("%s/varve/subvolumes/a", stand_in)));
	ck_assert_int_eq(umount("/var/lib"), 0);
}
END_TEST

START_TEST(test_private_mount)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_PRIVATE_MOUNT;
	struct varve_store *store = test_open_config(&config);
	char *mounts = test_read("/proc/self/mounts"), *needle = test_path(" %s btrfs ", home);
	ck_assert_ptr_nonnull(strstr(mounts, needle));
	test_create(store, "a", NULL);
	test_create(store, "b", "a");
	test_remove_layer(store, "a");
	test_close(store);
	mounts = test_read("/proc/self/mounts");
	ck_assert_ptr_null(strstr(mounts, needle));
	ck_assert(test_layer_exists(home, "b"));
}
END_TEST

/*
 * Mount something at POINT while the store of CONFIG is open, and see that closing it leaves that
 * alone.
 */
static void assert_kept(const struct varve_config *config, const char *point)
{
	struct varve_store *store = test_open_config(config);
	ck_assert_int_eq(mount("none", point, "tmpfs", 0, "size=64k"), 0);
	test_write(test_path("%s/file", point), "kept");
	test_close(store);
	char *text = test_read(test_path("%s/file", point));
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, "kept");
	ck_assert_int_eq(umount(point), 0);
}

/* What others have mounted in a private mount, or over it, is not unmounted with it. */
START_TEST(test_private_mount_in_use)
{
	char *home = test_home();
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_PRIVATE_MOUNT;
	test_mkdir(home);
	test_mkdir(test_path("%s/volume", home));
	assert_kept(&config, test_path("%s/volume", home));
	ck_assert_int_eq(umount(home), 0);
	assert_kept(&config, home);
	ck_assert_int_eq(umount(home), 0);
	ck_assert_int_eq(umount(home), -1);
}
END_TEST

/*
 * Assert that HOME is refused because of the directory PATH, and that it can be used all the same.
 */
static void assert_not_safe(const char *home, const char *path)
{
	struct varve_config config = test_config(home);
	struct varve_store *store;
	struct varve_failure failure;
	assert_open_fails(&config, -EPERM);
	test_error(varve_open(&config, &store, &failure), -EPERM);
	ck_assert_str_eq(failure.step, "TRUST");
	ck_assert_str_eq(failure.path, path);
	ck_assert_ptr_nonnull(strstr(failure.detail, "VARVE_OPEN_SHARED_HOME"));
	config.flags |= VARVE_OPEN_SHARED_HOME;
	test_close(test_open_config(&config));
}

START_TEST(test_not_safe)
{
	static const char *const places[] = { "",        "/subvolumes",     "/quotas",
					      "/.varve", "/.varve/staging", "/.varve/trash" };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	test_mkdir(test_path("%s/quotas", home));
	test_mkdir(test_path("%s/.varve/trash", home));
	for (size_t i = 0; i < TEST_COUNT(places); i++) {
		char *path = test_path("%s%s", home, places[i]);
		struct varve_config config = test_config(home);
		/* The sticky bit is no help: others may make entries. */
		static const mode_t modes[] = { 0770, 0707, 01777, 02775 };
		for (size_t j = 0; j < TEST_COUNT(modes); j++) {
			ck_assert_int_eq(chmod(path, modes[j]), 0);
			assert_not_safe(home, path);
		}
		ck_assert_int_eq(chmod(path, 0755), 0);
		test_close(test_open(home));
		ck_assert_int_eq(chown(path, 1234, 0), 0);
		assert_not_safe(home, path);
		config.root_uid = 1234;
		test_close(test_open_config(&config));
		ck_assert_int_eq(chown(path, 0, 1234), 0);
		test_close(test_open(home));
	}
}
END_TEST

/*
 * The same for what is above the home: there the sticky bit keeps others from exchanging it, unless
 * the directory is theirs.
 */
START_TEST(test_not_safe_above)
{
	char *top = test_home(), *middle = test_path("%s/middle", top),
	     *home = test_path("%s/home", middle);
	static const mode_t modes[] = { 0775, 0757, 0777, 02770 };
	const char *const above[] = { top, middle };
	test_mkdir(top);
	test_mkdir(middle);
	test_close(test_open(home));
	for (size_t i = 0; i < TEST_COUNT(above); i++) {
		struct varve_config config = test_config(home);
		for (size_t j = 0; j < TEST_COUNT(modes); j++) {
			ck_assert_int_eq(chmod(above[i], modes[j]), 0);
			assert_not_safe(home, above[i]);
			ck_assert_int_eq(chmod(above[i], 01000 | modes[j]), 0);
			test_close(test_open(home));
		}
		ck_assert_int_eq(chown(above[i], 1234, 0), 0);
		assert_not_safe(home, above[i]);
		ck_assert_int_eq(chmod(above[i], 0755), 0);
		assert_not_safe(home, above[i]);
		config.root_uid = 1234;
		test_close(test_open_config(&config));
		ck_assert_int_eq(chown(above[i], 0, 1234), 0);
		test_close(test_open(home));
	}
	/* A link to it does not hide what is above. */
	ck_assert_int_eq(symlink(home, test_path("%s-link", top)), 0);
	ck_assert_int_eq(chmod(top, 0777), 0);
	assert_not_safe(test_path("%s-link", top), top);
}
END_TEST

/* Ask for a private mount without privilege. */
static int open_private(void *home)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_PRIVATE_MOUNT;
	assert_open_fails(&config, -EPERM);
	return 0;
}

START_TEST(test_private_mount_unprivileged)
{
	test_as_nobody(open_private, test_home_of_nobody());
}
END_TEST

/* Lines of a trace. */
static void count_line(void *log_data, const char *line)
{
	atomic_uint *count = log_data;
	ck_assert_ptr_null(strchr(line, '\n'));
	ck_assert_uint_gt(strlen(line), 0);
	atomic_fetch_add(count, 1);
}

START_TEST(test_log)
{
	atomic_uint count = 0;
	struct varve_config config = test_config(test_home());
	config.debug = "all";
	config.log = count_line;
	config.log_data = &count;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "a", NULL);
	test_create(store, "b", "a");
	test_close(store);
	ck_assert_uint_gt(count, 0);
}
END_TEST

START_TEST(test_version)
{
	ck_assert_str_eq(varve_version(), VARVE_VERSION_STRING);
}
END_TEST

TEST_MAIN("open", test_makes_home, test_owner, test_existing, test_bad_arguments, test_ranges,
	  test_range_ends_work, test_not_btrfs, test_home_is_mount_point, test_home_is_file,
	  test_subvolumes_is_file, test_subvolumes_is_symlink, test_access,
	  test_read_only_file_system, test_no_descriptors, test_several, test_leaves_nothing,
	  test_close_on_exec, test_default_home, test_private_mount, test_not_safe,
	  test_not_safe_above, test_private_mount_in_use, test_private_mount_unprivileged, test_log,
	  test_version)
