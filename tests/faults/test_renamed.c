/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rename, and another process that replaces the layer at the worst moments: what it has made
 * there stays as it is.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *home;

/*
 * The layer "layer" becomes a plain directory at the next flock; another layer, right before the
 * next renaming.
 */
static _Atomic int at_lock, at_rename;
/* The next fsync fails, after another layer has taken the new name. */
static _Atomic int at_commit;

/*
 * What the other process does to layer ID: with LAYER there is another one then, else a plain
 * directory.
 */
static void replace(const char *id, bool layer)
{
	char *path = test_layer(home, id);
	test_subvolume_destroy(path);
	if (layer)
		test_subvolume_create(path);
	else
		test_mkdir(path);
	test_write(test_path("%s/other", path), "another's");
}

/* These stand for the C library's. */
__attribute__((visibility("default"))) int flock(int fd, int operation)
{
	if (operation & LOCK_EX && atomic_exchange(&at_lock, 0))
		replace("layer", false);
	return (int)syscall(SYS_flock, fd, operation);
}

__attribute__((visibility("default"))) int renameat2(int from_fd, const char *from, int to_fd,
						     const char *to, unsigned flags)
{
	if (atomic_exchange(&at_rename, 0))
		replace("layer", true);
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	if (!atomic_exchange(&at_commit, 0))
		return (int)syscall(SYS_fsync, fd);
	replace("new", true);
	errno = EIO;
	return -1;
}

/* Is what the other process has made in the place of layer ID, and nothing in that of NONE? */
static void assert_stays(const char *id, const char *none)
{
	ck_assert(test_exists(test_path("%s/other", test_layer(home, id))));
	ck_assert(!test_exists(test_layer(home, none)));
	ck_assert(!test_exists(test_path("%s/quotas/%s", home, none)));
}

/* It is no layer any more once the store is locked. */
START_TEST(test_before_lock)
{
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	at_lock = 1;
	test_error(varve_layer_rename_wait(store, "layer", "new", 0, &failure), -EINVAL);
	assert_stays("layer", "new");
	test_close(store);
}
END_TEST

/* It is another layer than the one that was looked at. */
START_TEST(test_before_rename)
{
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	at_rename = 1;
	test_error(varve_layer_rename_wait(store, "layer", "new", 0, &failure), -ESTALE);
	ck_assert_msg(strstr(failure.detail, "another process"), "%s", failure.detail);
	assert_stays("layer", "new");
	test_close(store);
}
END_TEST

/* The commit fails, and the new name is another layer's: that one is not given the old name. */
START_TEST(test_before_undo)
{
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	at_commit = 1;
	test_error(varve_layer_rename_wait(store, "layer", "new", 0, &failure), -EIO);
	ck_assert_msg(strstr(failure.detail, "another process"), "%s", failure.detail);
	assert_stays("new", "layer");
	test_close(store);
}
END_TEST

TEST_MAIN("renamed", test_before_lock, test_before_rename, test_before_undo)
