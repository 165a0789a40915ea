/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a layer exchanges names while its owner, without privilege, or root removes it:
 * nothing outside of it changes.
 */
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storm.h"
#include "test.h"

/* Names that are exchanged: directories; subvolumes in each. */
#define DIRECTORIES 4
#define SUBVOLUMES 150

/* Make a layer of HOME, with what is exchanged in a directory of it. */
static int make_layer(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	char *place = test_path("%s/place", test_layer(home, "layer"));
	test_mkdir(place);
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		char *directory = test_path("%s/directory-%u", place, i);
		test_mkdir(directory);
		for (unsigned j = 0; j < SUBVOLUMES; j++)
			test_subvolume_create(test_path("%s/inner-%u", directory, j));
		test_write(test_path("%s/inner-0/file", directory), "");
	}
	test_close(store);
	return 0;
}

/*
 * Remove the layer of HOME while names are exchanged: where it cannot be emptied, all that is left
 * is for the sweep.
 */
static int remove_in_storm(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	char text[1024];
	int r = varve_layer_remove_wait(store, "layer", 0, &failure);
	ck_assert_msg(r == 0 || r == -ENOTEMPTY || r == -EBUSY, "%s",
		      varve_strerror(&failure, text, sizeof(text)));
	ck_assert(!test_layer_exists(home, "layer"));
	test_close(store);
	return 0;
}

/* Sweep HOME: nothing is left. */
static int sweep(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* Root's waits for what is open, too: the storm watches device nodes of the layer. */
	if (geteuid())
		test_error(varve_sync_wait(store, VARVE_SYNC_CLEAN, NULL), 0);
	test_close(store);
	return 0;
}

/* Unmount what is mounted below HOME: the layer was moved, and what is mounted in it with it. */
static void unmount_below(const char *home)
{
	char line[4 * PATH_MAX], point[PATH_MAX];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t length = strlen(home);
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*u %*u %*s %*s %4095s", point) == 1 &&
		    !strncmp(point, home, length) && point[length] == '/')
			ck_assert_int_eq(umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW), 0);
	fclose(file);
}

/* Run FUNCTION on HOME, as its owner or as ROOT. */
static void run(int (*function)(void *home), char *home, bool root)
{
	if (root)
		test_in_child(function, home);
	else
		test_as_nobody(function, home);
}

/* Make and remove layers of a home that is root's, or nobody's, whose user is another one. */
static void remove_layers(bool root)
{
	char *home = root ? test_home() : test_home_of_nobody(),
	     *place = test_path("%s/place", test_layer(home, "layer"));
	struct storm *storm = root ? storm_new(STORM_USER, 0) : storm_new(TEST_NOBODY, TEST_NOBODY);
	char *names[DIRECTORIES + 1] = { 0 };
	unsigned turns = 0;
	for (unsigned i = 0; i < DIRECTORIES; i++)
		names[i] = test_path("%s/directory-%u", place, i);
	do {
		run(make_layer, home, root);
		if (root) {
			ck_assert_int_eq(chmod(home, 0711), 0);
			ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0711), 0);
		}
		storm_arm(storm, place, turns % 2 ? STORM_ALL : STORM_ALL & ~STORM_MOUNTS);
		storm_start(storm, (const char *const *)names);
		storm_wait(storm, 20);
		run(remove_in_storm, home, root);
		storm_stop(storm);
		storm_check(storm);
		ck_assert_uint_eq(storm_opens(storm), 0);
		storm_disarm(storm);
		unmount_below(home);
		run(sweep, home, root);
	} while (++turns < storm_scaled(8));
	storm_end(storm);
}

START_TEST(test_remove_in_storm)
{
	remove_layers(false);
}
END_TEST

/* Root looks at no file, but destroys subvolumes in directories whose names are exchanged. */
START_TEST(test_root_in_storm)
{
	if (test_child_may_start_threads())
		remove_layers(true);
}
END_TEST

TEST_MAIN("owner", test_remove_in_storm, test_root_in_storm)
