/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removal entry by entry: by an owner without privilege, of plain leftovers, below mounts, against
 * an attacker.
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/rm_tree.h"
#include "engine/walk/workers.h"
#include "random_tree.h"
#include "test.h"

static _Atomic bool never;

/* At what the last removal failed. */
static char failed[VARVE_FAILURE_PATH_SIZE];

/* Remove NAME in the directory PATH. */
static int empty(struct varve_store *store, const char *path, const char *name)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *detail = NULL;
	int r = rm_tree_remove(store, descriptor, name, -EBADF, &never, failed, &detail);
	close(descriptor);
	return r;
}

START_TEST(test_plain_trees)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	workers_set_slow(store, 0);
	for (unsigned seed = 1; seed <= 4; seed++) {
		char *path = test_path("%s/tree", home);
		test_mkdir(path);
		random_tree_make(path, seed, 300);
		test_error(empty(store, home, "tree"), 0);
		ck_assert(!test_exists(path));
	}
	test_mkdir(test_path("%s/deep", home));
	random_tree_chain(test_path("%s/deep", home), "directory", 5000, true);
	test_error(empty(store, home, "deep"), 0);
	ck_assert(!test_exists(test_path("%s/deep", home)));
	test_write(test_path("%s/file", home), "");
	test_error(empty(store, home, "file"), 0);
	test_error(empty(store, home, "file"), 0);
	test_close(store);
}
END_TEST

/* What is mounted at the path or below it stays as it is, and is named. */
START_TEST(test_mounts)
{
	char *home = test_home();
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_store *store = test_open(home);
	char *abc = test_path("%s/abc", home), *abcd = test_path("%s/abcd", home),
	     *inside = test_path("%s/in side", abc);
	char *other = test_path("%s/other", home), *file = test_path("%s/file", abcd);
	test_mkdir(abc);
	test_mkdir(abcd);
	test_mkdir(inside);
	test_mkdir(other);
	test_write(file, "");
	test_make_tree(other, 2, 2, 1);
	ck_assert_int_eq(mount(other, inside, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(mount(test_path("%s/dir-0/file-0", other), file, NULL, MS_BIND, NULL), 0);
	test_error(empty(store, home, "abc"), -EBUSY);
	ck_assert_str_eq(failed, "abc/in side");
	test_error(empty(store, home, "abcd"), -EBUSY);
	ck_assert_str_eq(failed, "abcd/file");
	/* On the very directory. */
	ck_assert_int_eq(umount(inside), 0);
	ck_assert_int_eq(mount(other, abc, NULL, MS_BIND, NULL), 0);
	test_error(empty(store, home, "abc"), -EBUSY);
	ck_assert_str_eq(failed, "abc");
	ck_assert_int_eq(test_entries(other), 2);
	ck_assert_int_eq(test_entries(test_path("%s/dir-0", other)), 2);
	ck_assert_int_eq(umount(abc), 0);
	ck_assert_int_eq(umount(file), 0);
	test_error(empty(store, home, "abc"), 0);
	test_error(empty(store, home, "abcd"), 0);
	ck_assert(!test_exists(abc));
	test_close(store);
}
END_TEST

/*
 * Files in a directory, which are unlinked in one slice; those that come meanwhile: btrfs does not
 * list them before the next.
 */
#define REFILL_AMONG 60
#define REFILL_FILES 40

/* Make files in the directory PATH as soon as "dir-0/file-0" in it is gone. */
static int refill(void *path)
{
	const char *watched = test_path("%s/dir-0/file-0", (const char *)path);
	while (test_exists(watched))
		;
	for (unsigned i = 0; i < REFILL_FILES; i++) {
		int descriptor = open(test_path("%s/dir-0/new-%u", (const char *)path, i),
				      O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (descriptor < 0)
			return 0;
		close(descriptor);
	}
	return 0;
}

/* Content that comes while a tree is removed goes, too. */
START_TEST(test_new_content)
{
	char *home = test_home(), *tree = test_path("%s/tree", home);
	struct varve_store *store = test_open(home);
	for (int i = 0; i < 5; i++) {
		test_mkdir(tree);
		test_make_tree(tree, 1, REFILL_AMONG, 0);
		int child = test_child_start(refill, tree);
		test_error(empty(store, home, "tree"), 0);
		ck_assert_int_eq(test_child_end(child), 0);
		ck_assert(!test_exists(tree));
	}
	test_close(store);
}
END_TEST

START_TEST(test_attack)
{
	char *home = test_home(), *outside = test_path("%s-outside", home),
	     *tree = test_path("%s/tree", home);
	struct varve_store *store = test_open(home);
	test_mkdir(outside);
	test_make_tree(outside, 4, 30, 10);
	for (int i = 0; i < 8; i++) {
		test_mkdir(tree);
		test_make_tree(tree, 10, 20, 0);
		char *swap = test_path("%s/swap", tree);
		test_mkdir(swap);
		test_make_tree(swap, 4, 30, 0);
		ck_assert_int_eq(symlink(outside, test_path("%s/link", tree)), 0);
		int child = test_child_endless(random_tree_swap, tree);
		int r = empty(store, home, "tree");
		test_child_kill(child);
		ck_assert_msg(r == 0 || r == -ENOTEMPTY, "%s", test_errno_name(r));
		test_remove(tree);
	}
	ck_assert_int_eq(test_entries(outside), 4);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(test_entries(test_path("%s/dir-%d", outside, i)), 30);
	test_close(store);
}
END_TEST

/* What a sweep finds of a crashed process, plain directories with content. */
START_TEST(test_sweep)
{
	char *home = test_home();
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_close(test_open(home));
	char *owner = test_path("%s/.varve/staging/1-0123456789abcdef", home);
	test_mkdir(test_path("%s/.varve", home));
	test_mkdir(test_path("%s/.varve/staging", home));
	test_mkdir(owner);
	test_mkdir(test_path("%s/0", owner));
	test_mkdir(test_path("%s/0/plain", owner));
	test_make_tree(test_path("%s/0/plain", owner), 3, 10, 10);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.staging_removed, 1);
	ck_assert(!test_exists(owner));
	test_close(store);
}
END_TEST

/*
 * Make DIRS directories with FILES files in each below PATH: the guarded helpers refuse another
 * file system.
 */
static void fill(const char *path, unsigned dirs, unsigned files)
{
	for (unsigned d = 0; d < dirs; d++) {
		char *directory = test_path("%s/dir-%u", path, d);
		test_mkdir(directory);
		for (unsigned f = 0; f < files; f++) {
			int descriptor = open(test_path("%s/file-%u", directory, f),
					      O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			ck_assert_int_ge(descriptor, 0);
			close(descriptor);
		}
	}
}

/* Make the subvolume NAME in PATH, empty or a read-only snapshot of SOURCE. */
static void subvolume(const char *path, const char *name, const char *source)
{
	struct btrfs_ioctl_vol_args_v2 args = { 0 };
	int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	strcpy(args.name, name);
	if (source) {
		args.fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		args.flags = BTRFS_SUBVOL_RDONLY;
		ck_assert_int_eq(ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &args), 0);
		close((int)args.fd);
	} else {
		ck_assert_int_eq(ioctl(parent, BTRFS_IOC_SUBVOL_CREATE_V2, &args), 0);
	}
	close(parent);
}

/*
 * As an owner without privilege: with content, nested and read-only subvolumes, directories without
 * permissions.
 */
static int remove_as_owner(void *data)
{
	const char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char *layer = test_layer(home, "layer"), text[1024];
	test_create(store, "layer", NULL);
	fill(layer, 5, 40);
	subvolume(layer, "nested", NULL);
	fill(test_path("%s/nested", layer), 2, 5);
	subvolume(layer, "read-only", test_path("%s/nested", layer));
	subvolume(test_path("%s/nested", layer), "deeper", NULL);
	ck_assert_int_eq(chmod(test_path("%s/dir-1", layer), 0), 0);
	ck_assert_int_eq(chmod(test_path("%s/dir-2", layer), 0555), 0);
	options.parent = "layer";
	options.flags = VARVE_CREATE_READ_ONLY;
	test_error(varve_layer_create_wait(store, "snapshot", &options, NULL), 0);
	int r = varve_layer_remove_wait(store, "snapshot", 0, &failure);
	ck_assert_msg(r == 0, "%s", varve_strerror(&failure, text, sizeof(text)));
	r = varve_layer_remove_wait(store, "layer", 0, &failure);
	ck_assert_msg(r == 0, "%s", varve_strerror(&failure, text, sizeof(text)));
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/trash", home)), 0);
	test_close(store);
	return 0;
}

/* The test's mount allows removal to all, but of writable subvolumes only. */
START_TEST(test_owner_allowed)
{
	test_as_nobody(remove_as_owner, test_home_of_nobody());
}
END_TEST

START_TEST(test_owner_not_allowed)
{
	test_as_nobody_denied(remove_as_owner);
}
END_TEST

TEST_MAIN("empty", test_plain_trees, test_mounts, test_new_content, test_attack, test_sweep,
	  test_owner_allowed, test_owner_not_allowed)
