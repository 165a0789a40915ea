/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user of a layer exchanges names while it is shifted and measured: nothing outside of it
 * changes, and each file of it gets its own owner, its own bits and its own capability, and no
 * other's.
 */
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storm.h"
#include "test.h"

/* Files whose names are exchanged, beside each other in a directory of the user's. */
#define FILES 4

static const struct varve_id_map map_in[] = { { 0, 100000, 65536 } },
				 map_out[] = { { 0, 300000, 65536 } };

/* What was found in a layer that was shifted. */
static struct {
	unsigned count, unshifted;
} found;

/* Look at one file of it. */
static int look(const char *path, const struct stat *stat, int type, struct FTW *place)
{
	(void)type, (void)place;
	found.count++;
	if (stat->st_uid < 300000 || stat->st_gid < 300000) {
		found.unshifted++;
		return 0;
	}
	/* A file's group tells whose it was. */
	ck_assert_msg(stat->st_uid == stat->st_gid &&
			      (stat->st_uid == 300000 || stat->st_uid == 301000),
		      "%s: %u:%u", path, stat->st_uid, stat->st_gid);
	ck_assert_msg(stat->st_uid == 300000 || stat->st_mode & S_ISUID, "%s has lost its bits",
		      path);
	return 0;
}

/* Give the layer in HOME to the user, and access to it. */
static void give_layer(const char *home)
{
	ck_assert_int_eq(chmod(home, 0711), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0711), 0);
	ck_assert_int_eq(chown(test_layer(home, "layer"), STORM_USER, STORM_USER), 0);
}

/*
 * Shift a layer from one map to another while names are exchanged: all is shifted, once, or the
 * call says that it is not.
 */
START_TEST(test_chown)
{
	char *home = test_home(), *layer = test_layer(home, "layer"), *names[FILES + 1] = { 0 };
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_store *store = test_open_relaxed(home);
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	unsigned whole = 0, turns = 0;
	options.uid_from = map_in, options.uid_from_count = 1, options.gid_from = map_in,
	options.gid_from_count = 1;
	options.uid_to = map_out, options.uid_to_count = 1, options.gid_to = map_out,
	options.gid_to_count = 1;
	do {
		struct varve_failure failure = { 0 };
		test_create(store, "layer", NULL);
		give_layer(home);
		char *place = test_path("%s/place", layer);
		test_mkdir(place);
		storm_arm(storm, place, STORM_ALL);
		/* So that it goes on when the directory is another user's. */
		ck_assert_int_eq(chmod(place, 0777), 0);
		for (unsigned i = 0; i < FILES; i++) {
			names[i] = test_path("%s/file-%u", place, i);
			test_write(names[i], "");
			/* Every other one is another user's, with all that a file may have. */
			ck_assert_int_eq(chown(names[i], STORM_USER + i % 2 * 1000,
					       STORM_USER + i % 2 * 1000),
					 0);
			ck_assert_int_eq(chmod(names[i], i % 2 ? 04755 : 0644), 0);
		}
		storm_start(storm, (const char *const *)names);
		storm_wait(storm, 20);
		int r = varve_layer_chown_wait(store, "layer", &options, &failure);
		storm_stop(storm);
		storm_check(storm);
		storm_disarm(storm);
		ck_assert_msg(r == 0 || r == -EBUSY, "%s: %s", test_errno_name(r), failure.detail);
		found.count = found.unshifted = 0;
		ck_assert_int_eq(nftw(layer, look, 16, FTW_PHYS), 0);
		ck_assert_uint_gt(found.count, FILES);
		if (!r)
			ck_assert_uint_eq(found.unshifted, 0);
		whole += !r;
		test_remove_layer(store, "layer");
	} while (++turns < storm_scaled(10));
	ck_assert_uint_gt(whole, 0);
	test_close(store);
	storm_end(storm);
}
END_TEST

/* Measure a layer while names are exchanged, by both ways. */
START_TEST(test_usage)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	give_layer(home);
	unsigned turns = 0;
	char *place = test_path("%s/place", layer), *name = test_path("%s/name", place);
	test_mkdir(place);
	storm_arm(storm, place, STORM_ALL);
	test_write(name, "");
	storm_start(storm, (const char *const[]){ name, NULL });
	storm_wait(storm, 20);
	do {
		struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
		test_error(varve_layer_usage_wait(store, "layer", VARVE_USAGE_WALK, &usage, NULL),
			   0);
		ck_assert_uint_lt(usage.inodes, 1000);
		test_error(varve_layer_usage_wait(store, "layer", VARVE_USAGE_SEARCH, &usage, NULL),
			   0);
	} while (++turns < storm_scaled(100));
	storm_stop(storm);
	storm_check(storm);
	ck_assert_uint_eq(storm_opens(storm), 0);
	storm_disarm(storm);
	test_close(store);
	storm_end(storm);
}
END_TEST

/* What the other namespace's process waits for. */
struct elsewhere {
	char *layer, *other;
	int ready[2], go[2];
};

/*
 * Mount a directory in the layer, in a namespace of its own; once the layer is gone, so is the
 * mount, but not the content.
 */
static int mount_elsewhere(void *data)
{
	struct elsewhere *elsewhere = data;
	char byte = 0;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(elsewhere->other, test_path("%s/place", elsewhere->layer), NULL, MS_BIND, NULL) <
		    0)
		return 1;
	if (write(elsewhere->ready[1], &byte, 1) != 1 || read(elsewhere->go[0], &byte, 1) != 1)
		return 2;
	if (access(test_path("%s/place", elsewhere->layer), F_OK) == 0)
		return 3;
	return access(test_path("%s/file", elsewhere->other), F_OK) < 0 ? 4 : 0;
}

/* What another mount namespace has mounted in a layer goes with it, and its content stays. */
START_TEST(test_mounted_elsewhere)
{
	char *home = test_home(), byte = 0;
	struct varve_store *store = test_open_relaxed(home);
	struct elsewhere elsewhere = { .layer = test_layer(home, "layer"),
				       .other = test_path("%s-other", home) };
	test_create(store, "layer", NULL);
	test_mkdir(test_path("%s/place", elsewhere.layer));
	test_mkdir(elsewhere.other);
	test_write(test_path("%s/file", elsewhere.other), "kept");
	ck_assert_int_eq(pipe(elsewhere.ready), 0);
	ck_assert_int_eq(pipe(elsewhere.go), 0);
	int child = test_child_start(mount_elsewhere, &elsewhere);
	ck_assert_int_eq(read(elsewhere.ready[0], &byte, 1), 1);
	test_remove_layer(store, "layer");
	ck_assert_int_eq(write(elsewhere.go[1], &byte, 1), 1);
	ck_assert_int_eq(test_child_end(child), 0);
	ck_assert(test_exists(test_path("%s/file", elsewhere.other)));
	test_close(store);
}
END_TEST

TEST_MAIN("walks", test_chown, test_usage, test_mounted_elsewhere)
