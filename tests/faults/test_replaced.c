/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable create whose commit fails is undone; but another process has removed the layer while it
 * was in sight, and has made one of the same name. That one stays, whenever the other process does
 * that: during the commit, right after the layer was looked at to be destroyed, or right after that
 * has failed. And a caller that may not destroy what it has made: a sweep does, the caller's as
 * root's.
 *
 * varve-test: backend=both
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

/* The file system does not let users destroy subvolumes. */
static _Atomic int denied;

/* What the other process does. */
static void replace(void)
{
	char *layer = test_layer(home, "layer");
	test_subvolume_destroy(layer);
	test_subvolume_create(layer);
	test_write(test_path("%s/other", layer), "another's");
}

/* These stand for the C library's. */
__attribute__((visibility("default"))) int fsync(int fd)
{
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

__attribute__((visibility("default"))) int name_to_handle_at(int fd, const char *name,
							     struct file_handle *handle, int *mount,
							     int flags)
{
	int r = (int)syscall(SYS_name_to_handle_at, fd, name, handle, mount, flags);
	if (!r && atomic_exchange(&after_look, 0))
		replace();
	return r;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == BTRFS_IOC_SNAP_DESTROY && denied) {
		errno = EPERM;
		return -1;
	}
	if ((request == BTRFS_IOC_SNAP_DESTROY_V2 || request == BTRFS_IOC_SNAP_DESTROY) &&
	    atomic_exchange(&after_failure, 0)) {
		replace();
		errno = EBUSY;
		return -1;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

START_TEST(test_replaced)
{
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	armed = NOT;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
	ck_assert(!test_layer_exists(home, "layer"));
	for (int when = BEFORE_UNDO; when <= AFTER_FAILURE; when++) {
		armed = when;
		test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
		ck_assert_msg(strstr(failure.detail, "another process"), "%d: %s", when,
			      failure.detail);
		ck_assert_msg(test_exists(test_path("%s/other", test_layer(home, "layer"))), "%d",
			      when);
		ck_assert_uint_eq(test_leftovers(home), 0);
		test_remove_layer(store, "layer");
	}
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/*
 * A create in the home DATA fails, and what it has made is left in the trash, as the failure tells.
 */
static int leave(void *data)
{
	home = data;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	char *place, *text;
	armed = NOT;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
	ck_assert_msg(strstr(failure.detail, "for a sweep"), "%s", failure.detail);
	place = strstr(failure.detail, ".varve/trash/");
	ck_assert_msg(place != NULL, "%s", failure.detail);
	text = test_strdup(place);
	text[strcspn(text, " ")] = '\0';
	ck_assert(test_is_subvolume(test_path("%s/%s", home, text)));
	ck_assert(!test_layer_exists(home, "layer"));
	/* The name is free. */
	test_create(store, "layer", NULL);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 1);
	return 0;
}

/* The same where btrfs refuses, and the owner's next store. */
static int leave_and_sweep(void *data)
{
	struct varve_failure failure;
	leave(data);
	struct varve_store *store = test_open(home);
	test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert(test_layer_exists(home, "layer"));
	test_close(store);
	return 0;
}

START_TEST(test_denied)
{
	struct varve_failure failure;
	test_as_nobody_denied(leave_and_sweep);
	home = test_home_of_nobody();
	denied = 1;
	test_as_nobody(leave, home);
	denied = 0;
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SHARED_HOME;
	struct varve_store *store = test_open_config(&config);
	test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert(test_layer_exists(home, "layer"));
	test_close(store);
}
END_TEST

TEST_MAIN("replaced", test_replaced, test_denied)
