/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usage of a delta, by the calls that it makes: an unchanged layer takes one ioctl, whatever it
 * holds; and a parent that another process removes, or replaces, at any moment of a walk is
 * reported, and never makes all of the layer new.
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

/* Directories of the parent, and files in each. */
#define DIRS 3
#define FILES 4
/* More calls of statx than a walk of both makes. */
#define MOMENTS_MAX 200

/* The ioctls that were made; those of them that were GET_SUBVOL_INFO. */
static _Atomic unsigned ioctls, infos;

/* Calls of statx until the parent is removed; 0: it is not. Whether another takes its name. */
static _Atomic unsigned moment;
static char *parent;
static bool replaced;

/* These stand for the C library's. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	ioctls++;
	infos += request == BTRFS_IOC_GET_SUBVOL_INFO;
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

__attribute__((visibility("default"))) int statx(int fd, const char *name, int flags, unsigned mask,
						 struct statx *ret_stat)
{
	unsigned left = moment;

	while (left && !atomic_compare_exchange_weak(&moment, &left, left - 1))
		;
	if (left == 1) {
		test_subvolume_destroy(parent);
		if (replaced)
			test_subvolume_create(parent);
	}
	return (int)syscall(SYS_statx, fd, name, flags, mask, ret_stat);
}

/* Make the layers "base" and "top", which has a file changed and one that is new. */
static void make_layers(struct varve_store *store, const char *home)
{
	char *top = test_layer(home, "top");

	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), DIRS, FILES, 5000);
	test_create(store, "top", "base");
	test_write(test_path("%s/new", top), "new");
	test_write(test_path("%s/dir-0/file-0", top), "changed");
}

/* One ioctl tells that nothing has changed. */
START_TEST(test_one_ioctl)
{
	const uint64_t flags = VARVE_USAGE_DELTA | VARVE_USAGE_NO_FLUSH;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure;

	if (geteuid() != 0)
		test_skip("a search takes CAP_SYS_ADMIN");
	make_layers(store, home);
	test_error(varve_sync_wait(store, 0, NULL), 0);
	test_ok(varve_layer_usage_wait(store, "top", flags, &usage, &failure), &failure);
	ck_assert_uint_eq(usage.flags & VARVE_USAGE_REMEMBERED, 0);
	for (unsigned i = 0; i < 3; i++) {
		ioctls = infos = 0;
		test_ok(varve_layer_usage_wait(store, "top", flags, &usage, &failure), &failure);
		ck_assert_uint_ne(usage.flags & VARVE_USAGE_REMEMBERED, 0);
		ck_assert_uint_eq(ioctls, 1);
		ck_assert_uint_eq(infos, 1);
	}
	test_close(store);
}
END_TEST

/* Remove the parent at each moment of a walk. */
static void remove_parent(bool replace)
{
	const uint64_t flags = VARVE_USAGE_DELTA | VARVE_USAGE_WALK;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT, whole = VARVE_LAYER_USAGE_INIT;
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	unsigned at = 0, told = 0;

	parent = test_layer(home, "base");
	replaced = replace;
	make_layers(store, home);
	test_ok(varve_layer_usage_wait(store, "top", flags, &whole, &failure), &failure);
	/* Until one is not reached. */
	do {
		int r;

		moment = ++at;
		ck_assert_uint_le(at, MOMENTS_MAX);
		r = varve_layer_usage_wait(store, "top", flags, &usage, &failure);
		if (r) {
			ck_assert_msg(r == -ESTALE, "moment %u: %s", at, test_errno_name(r));
			ck_assert_msg(strstr(failure.detail, "not in the store any more"),
				      "moment %u: %s", at, failure.detail);
			told++;
		} else {
			ck_assert_uint_eq(usage.inodes, whole.inodes);
			ck_assert_uint_eq(usage.bytes, whole.bytes);
		}
		/* Both anew, where the parent has gone. */
		if (!moment) {
			test_remove_layer(store, "top");
			if (replace)
				test_remove_layer(store, "base");
			make_layers(store, home);
		}
	} while (!moment);
	moment = 0;
	/* Each of its files was looked at while it was there, and while it was not. */
	ck_assert_uint_ge(told, (unsigned)DIRS * FILES);
	test_close(store);
}

START_TEST(test_removed_meanwhile)
{
	remove_parent(false);
}
END_TEST

START_TEST(test_replaced_meanwhile)
{
	remove_parent(true);
}
END_TEST

TEST_MAIN("delta_calls", test_one_ioctl, test_removed_meanwhile, test_replaced_meanwhile)
