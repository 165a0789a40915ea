/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A create fails because the file system is full, and so does what undoes it: what was made stays
 * in staging until the store is opened again. It is no layer, and the next create of that name does
 * not take it for one.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nothing can be renamed, destroyed, or made but subvolumes. */
static _Atomic bool full;

/* Fail for want of room. */
static int no_room(void)
{
	errno = ENOSPC;
	return -1;
}

/* These stand for the C library's. */
__attribute__((visibility("default"))) int renameat2(int from_fd, const char *from, int to_fd,
						     const char *to, unsigned flags)
{
	return full ? no_room() : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

__attribute__((visibility("default"))) int mkdirat(int fd, const char *path, mode_t mode)
{
	return full ? no_room() : (int)syscall(SYS_mkdirat, fd, path, mode);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (full && request == BTRFS_IOC_SNAP_DESTROY)
		return no_room();
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

START_TEST(test_create_again)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;

	/* So that there is a place to make it in. */
	test_create(store, "first", NULL);
	full = true;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -ENOSPC);
	full = false;
	ck_assert_msg(strstr(failure.detail, "stays until the store is opened again"), "%s",
		      failure.detail);
	ck_assert(!test_layer_exists(home, "layer"));
	test_ok(varve_layer_create_wait(store, "layer", NULL, &failure), &failure);
	test_remove_layer(store, "layer");
	test_create(store, "layer", "first");
	test_close(store);
	test_close(test_open(home));
	ck_assert(test_layer_exists(home, "layer"));
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

TEST_MAIN("left", test_create_again)
