/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root of a user namespace, some user of the host's, with a store of its own: what needs no
 * privilege over the file system succeeds, and the rest fails as it says. The namespace has one id,
 * as `unshare --map-root-user` makes it, or many, as from /etc/subuid; the file system lets users
 * destroy subvolumes, or does not.
 */
#include <btrfsutil.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"
#include "test.h"

/* The users for which the ids of a namespace with many stand, and how many there are. */
#define OUTSIDE 100000
#define COUNT 65536

/* A user that a namespace with many ids has, and one with one id has not. */
#define USER 1000

static const struct varve_id_map map_users[] = { { 0, USER, 100 } };

/* Write TEXT to the file PATH, which may be in /proc, or in a file system of this test's. */
static void tell(const char *path, const char *text)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(write(descriptor, text, strlen(text)), strlen(text));
	close(descriptor);
}

/* What runs in a namespace. */
struct inside {
	int (*function)(char *home, bool many);
	char *home;
	/* Says that the namespace is there; that its ids are. */
	int made[2], mapped[2];
};

/*
 * Become root of a namespace whose ids the parent writes, or as nobody of one with that id alone;
 * then run it.
 */
static int enter(void *data)
{
	struct inside *inside = data;
	char byte = 0;
	if (unshare(CLONE_NEWUSER) < 0)
		return 126;
	if (write(inside->made[1], &byte, 1) != 1 || read(inside->mapped[0], &byte, 1) != 1)
		return 127;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return 128;
	return inside->function(inside->home, true);
}

/*
 * Run FUNCTION on HOME in a namespace with many ids; HOME, if it is not there, is made for its
 * root.
 */
static void run_many(int (*function)(char *home, bool many), char *home)
{
	struct inside inside = { .function = function, .home = home };
	char byte = 0;
	if (mkdir(home, 0700) == 0)
		ck_assert_int_eq(chown(home, OUTSIDE, OUTSIDE), 0);
	ck_assert_int_eq(pipe(inside.made), 0);
	ck_assert_int_eq(pipe(inside.mapped), 0);
	int child = test_child_start(enter, &inside);
	close(inside.made[1]);
	if (read(inside.made[0], &byte, 1) == 1) {
		char *map = test_path("0 %u %u\n", OUTSIDE, COUNT);
		tell(test_path("/proc/%d/uid_map", child), map);
		tell(test_path("/proc/%d/gid_map", child), map);
		ck_assert_int_eq(write(inside.mapped[1], &byte, 1), 1);
	}
	int status = test_child_end(child);
	ck_assert_msg(status == 0, "the child ended with status %d", status);
}

/* As nobody: become root of a namespace with that id alone. */
static int enter_one(void)
{
	/* A process that has changed its user may not write to its own /proc, else. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER) < 0)
		return 126;
	tell("/proc/self/setgroups", "deny");
	tell("/proc/self/uid_map", test_path("0 %u 1\n", TEST_NOBODY));
	tell("/proc/self/gid_map", test_path("0 %u 1\n", TEST_NOBODY));
	return geteuid() || getegid() ? 127 : 0;
}

/* An archive of one entry of OWNER's; a device where there is a MAJOR number. */
static int make_archive(unsigned owner, unsigned major_)
{
	struct tar tar = { 0 };
	int descriptor = memfd_create("archive", MFD_CLOEXEC);
	tar_add(&tar, &(struct tar_entry){ .name = "entry",
					   .type = major_ ? '3' : '0',
					   .device = major_,
					   .uid = owner,
					   .gid = owner });
	tar_end(&tar);
	ck_assert_int_eq(write(descriptor, tar.bytes, tar.size), tar.size);
	ck_assert_int_eq(lseek(descriptor, 0, SEEK_SET), 0);
	return descriptor;
}

/*
 * The blocking call that was given FAILURE ended with ERROR, as EXPECTED, and says something of it
 * that has PART in it.
 */
static void expect_failure(int error, int expected, const struct varve_failure *failure,
			   const char *part)
{
	ck_assert_msg(error == expected, "%s, not %s: %s", test_errno_name(error),
		      test_errno_name(expected), failure->detail);
	ck_assert_msg(strstr(failure->detail, part) != NULL, "'%s' is not in '%s'", part,
		      failure->detail);
}

/* Archives, into a layer and as a layer. */
static void try_archives(struct varve_store *store, const char *home, bool many)
{
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	uint64_t bytes;
	int archive = memfd_create("archive", MFD_CLOEXEC), owned = make_archive(USER, 0),
	    device = make_archive(0, 1);
	test_ok(varve_layer_diff_wait(store, "kid", NULL, archive, &bytes, NULL, &failure),
		&failure);
	ck_assert_uint_gt(bytes, 0);
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	test_ok(varve_layer_apply_wait(store, "kid", NULL, archive, NULL, NULL, &failure),
		&failure);
	options.apply = &apply;
	options.parent = "base";
	options.apply_fd = archive;
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	test_ok(varve_layer_create_apply_wait(store, "unpacked", &options, NULL, NULL, &failure),
		&failure);
	ck_assert(!test_exists(test_path("%s/file", test_layer(home, "unpacked"))));
	test_remove_layer(store, "unpacked");
	/* An owner that the namespace has, or has not. */
	options.apply_fd = owned;
	int r = varve_layer_create_apply_wait(store, "unpacked", &options, NULL, NULL, &failure);
	if (many) {
		test_ok(r, &failure);
		test_remove_layer(store, "unpacked");
	} else {
		expect_failure(r, -EOVERFLOW, &failure, "user namespace");
	}
	ck_assert(!test_layer_exists(home, "unpacked"));
	options.apply_fd = device;
	expect_failure(varve_layer_create_apply_wait(store, "device", &options, NULL, NULL,
						     &failure),
		       -EPERM, &failure, "CAP_MKNOD");
	ck_assert(!test_layer_exists(home, "device"));
	close(archive);
	close(owned);
	close(device);
}

/* Owners: to ids that the namespace has, and has not. */
static void try_owners(struct varve_store *store, const char *home, bool many)
{
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	struct stat stat_;
	shift.uid_to = shift.gid_to = map_users, shift.uid_to_count = shift.gid_to_count = 1;
	options.chown = &shift;
	options.parent = "base";
	int r = varve_layer_create_wait(store, "shifted", &options, &failure);
	if (many) {
		test_ok(r, &failure);
		ck_assert_int_eq(stat(test_path("%s/file", test_layer(home, "shifted")), &stat_),
				 0);
		ck_assert_uint_eq(stat_.st_uid, USER);
		test_remove_layer(store, "shifted");
	} else {
		expect_failure(r, -EOVERFLOW, &failure, "user namespace");
	}
	ck_assert(!test_layer_exists(home, "shifted"));
	r = varve_layer_chown_wait(store, "kid", &shift, &failure);
	if (!many) {
		expect_failure(r, -EOVERFLOW, &failure, "user namespace");
		return;
	}
	test_ok(r, &failure);
	ck_assert_int_eq(stat(test_path("%s/new", test_layer(home, "kid")), &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, USER);
}

/* All that a store can do, but for what a host's root has left in it. */
static int live(char *home, bool many)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	struct varve_change *changes;
	struct varve_finding *findings;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *const size[] = { "size=8M", NULL };
	size_t count;
	test_create(store, "base", NULL);
	tell(test_path("%s/file", test_layer(home, "base")), "content");
	ck_assert_int_eq(symlink("/etc/passwd", test_path("%s/link", test_layer(home, "base"))), 0);
	ck_assert_int_eq(mkfifo(test_path("%s/fifo", test_layer(home, "base")), 0600), 0);
	test_create(store, "kid", "base");
	ck_assert_int_eq(unlink(test_path("%s/file", test_layer(home, "kid"))), 0);
	tell(test_path("%s/new", test_layer(home, "kid")), "new");
	test_ok(varve_layer_changes_wait(store, "kid", NULL, &changes, &count, &failure), &failure);
	ck_assert_uint_eq(count, 2);
	free(changes);
	test_ok(varve_layer_usage_wait(store, "kid", 0, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.inodes, 4);
	expect_failure(varve_layer_usage_wait(store, "kid", VARVE_USAGE_SEARCH, &usage, &failure),
		       -EPERM, &failure, "");
	test_ok(varve_layer_info_wait(store, "kid", &info, &failure), &failure);
	try_archives(store, home, many);
	try_owners(store, home, many);
	/* Without SELinux there is nothing to be done, and with it the policy decides. */
	int r = varve_layer_relabel_wait(store, "kid", "system_u:object_r:container_file_t:s0", 0,
					 &failure);
	ck_assert_msg(r == 0 || r == -EPERM || r == -EACCES, "%s: %s", test_errno_name(r),
		      failure.detail);
	options.storage_options = size;
	expect_failure(varve_layer_create_wait(store, "sized", &options, &failure), -EPERM,
		       &failure, "CAP_SYS_ADMIN");
	ck_assert(!test_layer_exists(home, "sized"));
	test_error(varve_quota_enable_wait(store, test_quota_mode(), &failure), -EPERM);
	options.storage_options = NULL;
	options.parent = "base";
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "read-only", &options, &failure), &failure);
	test_ok(varve_layer_freeze_wait(store, "base", 0, &failure), &failure);
	ck_assert_int_eq(btrfs_util_create_subvolume(test_path("%s/nested",
							       test_layer(home, "kid")),
						     0, NULL, NULL),
			 BTRFS_UTIL_OK);
	tell(test_path("%s/nested/file", test_layer(home, "kid")), "");
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
	test_ok(varve_check_wait(store, &findings, &count, &failure), &failure);
	ck_assert_uint_eq(count, 0);
	free(findings);
	test_remove_layer(store, "read-only");
	test_remove_layer(store, "kid");
	test_remove_layer(store, "base");
	ck_assert_int_eq(test_layers(home), 0);
	test_close(store);
	/* What could not be undone is the next store's. */
	store = test_open(home);
	test_create(store, "stays", NULL);
	test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	return 0;
}

/* A layer holds what belongs to an owner outside of the namespace. */
static int remove_others(char *home, bool many)
{
	struct varve_store *store = test_open(home);
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_failure failure = { 0 };
	(void)many;
	test_ok(varve_layer_usage_wait(store, "stays", 0, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.inodes, 3);
	test_remove_layer(store, "stays");
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	return 0;
}

/* Put a directory with a file, which are another user's, into the layer that was left in HOME. */
static void add_others(const char *home)
{
	char *directory = test_path("%s/others", test_layer(home, "stays")),
	     *file = test_path("%s/file", directory);
	test_mkdir(directory);
	test_write(file, "");
	ck_assert_int_eq(chown(file, 5, 5), 0);
	ck_assert_int_eq(chown(directory, 5, 5), 0);
}

static int live_one(void *home)
{
	int r = enter_one();
	return r ? r : live(home, false);
}

static int remove_others_one(void *home)
{
	int r = enter_one();
	return r ? r : remove_others(home, false);
}

START_TEST(test_many_ids)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	run_many(live, home);
	add_others(home);
	run_many(remove_others, home);
}
END_TEST

START_TEST(test_one_id)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home_of_nobody();
	test_as_nobody(live_one, home);
	add_others(home);
	test_as_nobody(remove_others_one, home);
}
END_TEST

/* Where the file system lets no user destroy a subvolume a layer goes entry by entry. */
START_TEST(test_one_id_denied)
{
	if (test_child_may_start_threads())
		test_as_nobody_denied(live_one);
}
END_TEST

TEST_MAIN("userns", test_many_ids, test_one_id, test_one_id_denied)
