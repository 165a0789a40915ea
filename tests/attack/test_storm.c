/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm itself: its attacker exchanges names, mount points too; its guard sees what is changed
 * outside of a layer.
 *
 * varve-test: backend=any
 */
#include "storm.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The attacker exchanges a name that is there, nothing outside changes, and each kind of arm takes
 * the name's place.
 */
START_TEST(test_attacker)
{
	char *directory = test_home(), *name = test_path("%s/name", directory);
	struct storm *storm = storm_new(STORM_USER, 0);
	bool link = false, node = false, mounted = false;
	struct stat stat, own;
	test_mkdir(directory);
	test_write(name, "text");
	storm_arm(storm, directory, STORM_ALL);
	ck_assert_int_eq(lstat(directory, &own), 0);
	storm_start(storm, (const char *const[]){ name, NULL });
	storm_wait(storm, 100);
	while (!link || !node || !mounted) {
		ck_assert_int_eq(lstat(name, &stat), 0);
		link |= S_ISLNK(stat.st_mode);
		node |= S_ISCHR(stat.st_mode);
		mounted |= stat.st_dev != own.st_dev;
	}
	storm_stop(storm);
	ck_assert_uint_ge(storm_count(storm), 100);
	storm_check(storm);
	storm_check_privileged(directory);
	ck_assert_uint_eq(storm_opens(storm), 0);
	storm_end(storm);
}
END_TEST

/* The guard sees a mode, and a device that is opened. */
START_TEST(test_guard_sees)
{
	char *directory = test_home(), target[4096];
	struct storm *storm = storm_new(STORM_USER, 0);
	test_mkdir(directory);
	storm_arm(storm, directory, STORM_LINKS | STORM_DEVICES);
	char *link = test_path("%s/" STORM_PREFIX "link-1", directory);
	ssize_t length = readlink(link, target, sizeof(target) - 1);
	ck_assert_int_gt(length, 0);
	target[length] = '\0';
	ck_assert_int_eq(chmod(link, 04777), 0);
	char *changes = storm_changes(storm);
	ck_assert_ptr_nonnull(changes);
	ck_assert_ptr_nonnull(strstr(changes, "104777"));
	free(changes);
	/* The link to the guarded node is the fourth. */
	int descriptor = open(test_path("%s/" STORM_PREFIX "link-4", directory),
			      O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	close(descriptor);
	ck_assert_uint_eq(storm_opens(storm), 1);
	storm_end(storm);
}
END_TEST

TEST_MAIN("storm", test_attacker, test_guard_sees)
