/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user of a layer exchanges names while it is labelled, and while what is left of it is swept:
 * nothing outside of it changes. And a file system in it that never answers holds up nothing.
 */
#include <fcntl.h>
#include <sched.h>
#include <selinux/selinux.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/dir/mounts.h"
#include "engine/store/store.h"
#include "engine/walk/label.h"
#include "storm.h"
#include "test.h"

/* Names that are exchanged. */
#define FILES 4

static _Atomic bool never;

/* A label. */
static const char container[] = "system_u:object_r:container_file_t:s0";

/* May a tree be had without what is mounted in it? */
static bool may_clone = true;

/* In the place of libc's. */
int open_tree(int fd, const char *path, unsigned flags)
{
	if (!may_clone) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_open_tree, fd, path, flags);
}

/* In the place of libselinux's: it is on, and knows every label. */
int is_selinux_enabled(void)
{
	return 1;
}

/* In the place of libselinux's. */
int security_check_context(const char *context)
{
	(void)context;
	return 0;
}

/* Has PATH the label? */
static bool has_label(const char *path)
{
	char value[256];
	return lgetxattr(path, "security.selinux", value, sizeof(value)) == sizeof(container) &&
	       !strcmp(value, container);
}

/* Let the user get to the directories of HOME. */
static void let_in(const char *home)
{
	ck_assert_int_eq(chmod(home, 0711), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0711), 0);
}

/* Make the directory PLACE with ARMS in it, and files whose names are written to NAMES. */
static void make_place(struct storm *storm, char *place, unsigned arms, char **names)
{
	test_mkdir(place);
	storm_arm(storm, place, arms);
	for (unsigned i = 0; i < FILES; i++) {
		names[i] = test_path("%s/file-%u", place, i);
		test_write(names[i], "");
		ck_assert_int_eq(lchown(names[i], STORM_USER, STORM_USER), 0);
	}
}

/* Label a layer, as relabel does where there is SELinux. */
START_TEST(test_relabel)
{
	char *home = test_home(), *layer = test_layer(home, "layer"), *names[FILES + 1] = { 0 };
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_store *store = test_open_relaxed(home);
	unsigned turns = 0;
	let_in(home);
	test_create(store, "layer", NULL);
	ck_assert_int_eq(chown(layer, STORM_USER, STORM_USER), 0);
	make_place(storm, test_path("%s/place", layer), STORM_ALL, names);
	storm_start(storm, (const char *const *)names);
	storm_wait(storm, 20);
	do {
		struct label label;
		int descriptor = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC), tree = -EBADF;
		int cloned = mounts_clone(&descriptor, &tree);
		ck_assert_int_ge(cloned, 0);
		ck_assert_int_eq(label_init(&label, store, descriptor, "layer",
					    turns % 2 ? container : "another", &never),
				 0);
		label.walk.mounts = false;
		/* Every other turn as without the privilege to clone. */
		label.walk.hold = !cloned || turns / 2 % 2;
		int r = walk_run_here(&label.walk);
		ck_assert_msg(r == 0 || r == -EXDEV, "%s", test_errno_name(r));
		close(descriptor);
		close(tree);
	} while (++turns < storm_scaled(100));
	storm_stop(storm);
	storm_check(storm);
	ck_assert_uint_eq(storm_opens(storm), 0);
	storm_disarm(storm);
	test_close(store);
	storm_end(storm);
}
END_TEST

/* Sweep plain leftovers that a user still has hold of. */
START_TEST(test_sweep)
{
	char *home = test_home(), *varve = test_path("%s/.varve", home), *names[FILES + 1] = { 0 };
	char *staging = test_path("%s/staging", varve),
	     *owner = test_path("%s/1-0123456789abcdef", staging);
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	unsigned turns = 0;
	let_in(home);
	mkdir(varve, 0711);
	mkdir(staging, 0711);
	ck_assert_int_eq(chmod(varve, 0711), 0);
	ck_assert_int_eq(chmod(staging, 0711), 0);
	do {
		/* What is mounted in a leftover keeps it; see api/test_sweep. */
		bool mounts = turns % 5 == 4;
		int r;
		test_mkdir(owner);
		test_mkdir(test_path("%s/0", owner));
		ck_assert_int_eq(chmod(owner, 0711), 0);
		ck_assert_int_eq(chmod(test_path("%s/0", owner), 0711), 0);
		make_place(storm, test_path("%s/0/left", owner),
			   mounts ? STORM_ALL : STORM_ALL & ~STORM_MOUNTS, names);
		storm_start(storm, (const char *const *)names);
		storm_wait(storm, 20);
		r = varve_sweep_wait(store, NULL, NULL);
		storm_stop(storm);
		storm_check(storm);
		ck_assert_uint_eq(storm_opens(storm), 0);
		if (mounts)
			ck_assert_msg(r == -EBUSY, "%s", test_errno_name(r));
		else
			ck_assert_msg(r == 0 || r == -ENOTEMPTY, "%s", test_errno_name(r));
		storm_disarm(storm);
		test_error(varve_sweep_wait(store, NULL, NULL), 0);
		ck_assert(!test_exists(owner));
	} while (++turns < storm_scaled(20));
	test_close(store);
	storm_end(storm);
}
END_TEST

/*
 * Nothing waits for a file system in a layer whose server never answers: the test's time limit
 * tells.
 */
START_TEST(test_stalled)
{
	static const struct varve_id_map map = { 0, 100000, 65536 };
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *point = test_path("%s/dir/volume", layer);
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct test_record record = { 0 };
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	test_mkdir(test_path("%s/dir", layer));
	test_mkdir(point);
	test_write(test_path("%s/beneath", point), "");
	if (fuse < 0 || mount("none", point, "fuse", 0,
			      test_path("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)) < 0) {
		test_skip("needs FUSE");
		test_close(store);
		return;
	}
	test_error(varve_layer_usage_wait(store, "layer", VARVE_USAGE_WALK, &usage, NULL), 0);
	ck_assert_uint_eq(usage.inodes, 4);
	test_error(varve_layer_usage_wait(store, "layer", VARVE_USAGE_SEARCH, &usage, NULL), 0);
	ck_assert_uint_eq(usage.inodes, 4);
	shift.uid_to = shift.gid_to = &map, shift.uid_to_count = shift.gid_to_count = 1;
	test_error(varve_layer_chown_wait(store, "layer", &shift, NULL), 0);
	test_error(varve_layer_relabel_wait(store, "layer", container, 0, NULL), 0);
	test_error(varve_layer_list(store, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	record = (struct test_record){ 0 };
	test_error(varve_layer_info(store, "layer", test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	record = (struct test_record){ 0 };
	test_error(varve_layer_get(store, "layer", NULL, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	/* The name goes, and by the kernel the mount with it. */
	test_remove_layer(store, "layer");
	ck_assert(!test_exists(point));
	close(fuse);
	test_close(store);
}
END_TEST

/*
 * Label a layer in which the directory, or the file, NAME is mounted on; without the privilege to
 * leave mounts out if not CLONED.
 */
static void label_covered(const char *name, bool cloned)
{
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *volume = test_path("%s-volume", home);
	char *point = test_path("%s/dir/%s", layer, name),
	     *beneath = test_path("%s/beneath", point);
	bool directory = !strcmp(name, "volume");
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	test_create(store, "layer", NULL);
	test_make_tree(layer, 3, 3, 10);
	test_mkdir(test_path("%s/dir", layer));
	if (directory) {
		test_mkdir(point);
		test_write(beneath, "");
		test_mkdir(volume);
		test_write(test_path("%s/file", volume), "");
	} else {
		test_write(point, "");
		test_write(volume, "");
	}
	ck_assert_int_eq(mount(volume, point, NULL, MS_BIND, NULL), 0);
	may_clone = cloned;
	int r = varve_layer_relabel_wait(store, "layer", container, 0, &failure);
	may_clone = true;
	ck_assert(!has_label(volume));
	ck_assert(!directory || !has_label(test_path("%s/file", volume)));
	ck_assert(!has_label(point));
	ck_assert_int_eq(umount(point), 0);
	/* All else has it; but for the root, whose label says that all have. */
	ck_assert(has_label(test_path("%s/dir", layer)) &&
		  has_label(test_path("%s/dir-2/file-2", layer)));
	ck_assert_int_eq(has_label(layer), cloned);
	ck_assert_int_eq(has_label(directory ? beneath : point), cloned);
	if (cloned) {
		test_ok(r, &failure);
	} else {
		test_error(r, -EXDEV);
		ck_assert_str_eq(failure.path, point);
	}
	test_remove_layer(store, "layer");
	test_close(store);
}

/*
 * What is mounted in a layer is not labelled; what lies beneath is, or the call fails and names the
 * mount point.
 */
START_TEST(test_covered)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		label_covered(i % 2 ? "volume" : "bound", i / 2);
}
END_TEST

TEST_MAIN("upkeep", test_relabel, test_sweep, test_stalled, test_covered)
