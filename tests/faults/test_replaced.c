/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable create whose commit fails is undone; but another process has removed the layer while it was in sight, and has made
 * one of the same name. That one stays, whenever the other process does that: during the commit, right after the layer was looked at
 * to be destroyed, or right after that has failed.
 */
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *home;

/* What the next fsync does before it fails. */
enum replaced_when { NEVER, NOT, BEFORE_UNDO, AFTER_LOOK, AFTER_FAILURE };
static _Atomic int armed, after_look, after_failure;

/* What the other process does. */
static void replace(void) {
	char *layer = test_layer(home, "layer");
	test_subvolume_destroy(layer);
	test_subvolume_create(layer);
	test_write(test_path("%s/other", layer), "another's");
}

/* These stand for the C library's. */
__attribute__((visibility("default"))) int fsync(int fd) {
	int what = atomic_exchange(&armed, NEVER);
	if (what == NEVER)
		return (int)syscall(SYS_fsync, fd);
	if (what == BEFORE_UNDO)
		replace();
	after_look = what == AFTER_LOOK;
	after_failure = what == AFTER_FAILURE;
	errno = EIO;
	return -1;
}

__attribute__((visibility("default"))) int name_to_handle_at(int fd, const char *name, struct file_handle *handle, int *mount,
							      int flags) {
	int r = (int)syscall(SYS_name_to_handle_at, fd, name, handle, mount, flags);
	if (!r && atomic_exchange(&after_look, 0))
		replace();
	return r;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) {
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if ((request == BTRFS_IOC_SNAP_DESTROY_V2 || request == BTRFS_IOC_SNAP_DESTROY) && atomic_exchange(&after_failure, 0)) {
		replace();
		errno = EBUSY;
		return -1;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

START_TEST(test_replaced) {
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	armed = NOT;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
	ck_assert(!test_layer_exists(home, "layer"));
	for (int when = BEFORE_UNDO; when <= AFTER_FAILURE; when++) {
		armed = when;
		test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
		ck_assert_msg(strstr(failure.detail, "another process"), "%d: %s", when, failure.detail);
		ck_assert_msg(test_exists(test_path("%s/other", test_layer(home, "layer"))), "%d", when);
		ck_assert_uint_eq(test_leftovers(home), 0);
		test_remove_layer(store, "layer");
	}
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
} END_TEST

TEST_MAIN("replaced", test_replaced)
