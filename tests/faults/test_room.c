/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A removal that finds no room: a layer with nested subvolumes is destroyed where it is when it
 * cannot be renamed, and what is said of it afterwards is true. The kernel's answers are made up
 * here, in place of the C library's calls; a file system that is really full is in api/test_look
 * and api/test_full.
 *
 * varve-test: backend=both timeout=120
 */
#include "test.h"

#include "engine/store/store.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What renameat2() answers, 0: what the kernel does; what destroying a subvolume answers, how many
 * times after how many.
 */
static _Atomic int rename_error, destroy_error, destroy_count, destroy_after;

/* Calls of BTRFS_IOC_SYNC. */
static _Atomic unsigned flushes;

/* In place of the C library's, for libbtrfsutil, too. */
#define IN_PLACE __attribute__((visibility("default")))

IN_PLACE int renameat2(int old_fd, const char *old_name, int new_fd, const char *new_name,
		       unsigned int flags)
{
	if (rename_error) {
		errno = rename_error;
		return -1;
	}
	return (int)syscall(SYS_renameat2, old_fd, old_name, new_fd, new_name, flags);
}

IN_PLACE int ioctl(int descriptor, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	flushes += request == BTRFS_IOC_SYNC;
	if ((request == BTRFS_IOC_SNAP_DESTROY || request == BTRFS_IOC_SNAP_DESTROY_V2) &&
	    destroy_count && --destroy_after < 0) {
		destroy_count--;
		errno = destroy_error;
		return -1;
	}
	return (int)syscall(SYS_ioctl, descriptor, request, argument);
}

/* Let destroying fail with ERROR, COUNT times after the first AFTER. */
static void fail_destroy(int error, int after, int count)
{
	destroy_error = error;
	destroy_after = after;
	destroy_count = count;
}

/* Make "layer" with nested subvolumes. */
static void make_nested(struct varve_store *store, const char *home)
{
	char *layer = test_layer(home, "layer");
	test_create(store, "layer", NULL);
	test_mkdir(test_path("%s/dir", layer));
	test_subvolume_create(test_path("%s/dir/a", layer));
	test_subvolume_create(test_path("%s/dir/a/b", layer));
	test_subvolume_create(test_path("%s/c", layer));
	test_write(test_path("%s/dir/a/b/file", layer), "x");
}

/* Assert that it is gone, and nothing left. */
static void assert_gone(const char *home)
{
	ck_assert(!test_layer_exists(home, "layer"));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Assert that what FAILURE says has WORDS in it. */
static void assert_says(const struct varve_failure *failure, const char *words)
{
	char text[2048];
	ck_assert_msg(strstr(varve_strerror(failure, text, sizeof(text)), words) != NULL,
		      "no \"%s\" in \"%s\"", words, text);
}

/*
 * A trash that there is no room for, or for one more name in it; with the privilege to search trees
 * and without.
 */
START_TEST(test_no_room_to_rename)
{
	static const int errors[] = { ENOSPC, EDQUOT };
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	for (int i = 0; i < 8; i++) {
		make_nested(store, home);
		if (i / 4)
			ck_assert_int_eq(test_command((const char *[]){ "btrfs", "property", "set",
									layer, "ro", "true",
									NULL }),
					 0);
		store->layout.privileged = i / 2 % 2;
		rename_error = errors[i % 2];
		int error = varve_layer_remove_wait(store, "layer", 0, &failure);
		rename_error = 0;
		store->layout.privileged = true;
		test_ok(error, &failure);
		assert_gone(home);
	}
	test_close(store);
}
END_TEST

/* It cannot be destroyed, either, so it is emptied where it is. */
START_TEST(test_no_room_and_denied)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	make_nested(store, home);
	store->layout.privileged = false;
	rename_error = ENOSPC;
	fail_destroy(EPERM, 0, INT32_MAX);
	int error = varve_layer_remove_wait(store, "layer", 0, &failure);
	rename_error = 0;
	fail_destroy(0, 0, 0);
	store->layout.privileged = true;
	test_ok(error, &failure);
	assert_gone(home);
	test_close(store);
}
END_TEST

/* Destroying finds no room, once: all is written out, and it is tried again. */
START_TEST(test_no_room_to_destroy)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	/* The calls of a removal with nested ones: itself, b, a, c, itself. */
	for (int after = 0; after < 5; after++) {
		make_nested(store, home);
		flushes = 0;
		fail_destroy(ENOSPC, after, 1);
		int error = varve_layer_remove_wait(store, "layer", 0, &failure);
		ck_assert_int_eq(destroy_count, 0);
		fail_destroy(0, 0, 0);
		test_ok(error, &failure);
		ck_assert_uint_eq(flushes, 1);
		assert_gone(home);
	}
	test_close(store);
}
END_TEST

/* Where there is none after that, either, what is said is true. */
START_TEST(test_what_is_said)
{
	static const struct {
		int rename_error, after;
		const char *path, *says;
	} cases[] = {
		{ 0, 0, "subvolumes/layer", NULL },
		{ 0, 1, "subvolumes/layer/", "put back in its place, whole" },
		{ 0, 2, ".varve/trash/", "it is in the trash" },
		{ ENOSPC, 0, "subvolumes/layer", NULL },
		{ ENOSPC, 1, "subvolumes/layer/", NULL },
		{ ENOSPC, 2, "subvolumes/layer/",
		  "it is still in its place, but parts of it are gone" },
	};
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		struct varve_failure failure = { 0 };
		unsigned left = cases[i].after == 2 ? 3 : 4;
		make_nested(store, home);
		rename_error = cases[i].rename_error;
		fail_destroy(ENOSPC, cases[i].after, INT32_MAX);
		int error = varve_layer_remove_wait(store, "layer", 0, &failure);
		rename_error = 0;
		fail_destroy(0, 0, 0);
		test_error(error, -ENOSPC);
		assert_says(&failure, cases[i].path);
		if (cases[i].says)
			assert_says(&failure, cases[i].says);
		else
			ck_assert_str_eq(failure.detail, "");
		bool moved = strstr(cases[i].path, "trash");
		ck_assert_uint_eq(test_leftovers(home), moved ? left : 0);
		ck_assert_int_eq(test_layer_exists(home, "layer"), !moved);
		if (!moved) {
			ck_assert_uint_eq(test_subvolumes_below(layer), left - 1);
			test_remove_layer(store, "layer");
		} else {
			/* The store itself sweeps nothing of its own: another one does, later. */
			test_close(store);
			store = test_open(home);
			test_error(varve_sweep_wait(store, NULL, NULL), 0);
		}
		assert_gone(home);
	}
	test_close(store);
}
END_TEST

/* A sweep that finds no room, once. */
START_TEST(test_sweep)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	struct varve_failure failure = { 0 };
	config.flags |= VARVE_OPEN_NO_SWEEP;
	for (int after = 0; after < 4; after++) {
		struct varve_store *store = test_open_config(&config);
		make_nested(store, home);
		fail_destroy(ENOSPC, 2, INT32_MAX);
		test_error(varve_layer_remove_wait(store, "layer", 0, NULL), -ENOSPC);
		fail_destroy(0, 0, 0);
		ck_assert_uint_eq(test_leftovers(home), 3);
		test_close(store);
		store = test_open_config(&config);
		rename_error = ENOSPC;
		fail_destroy(ENOSPC, after, 1);
		int error = varve_sweep_wait(store, NULL, &failure);
		rename_error = 0;
		ck_assert_int_eq(destroy_count, 0);
		fail_destroy(0, 0, 0);
		test_ok(error, &failure);
		assert_gone(home);
		test_close(store);
	}
}
END_TEST

/* Without the privilege to destroy or to clear flags: what is in the layer's content is named. */
static int remove_marked(void *data)
{
	char *home = data;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct capabilities[2];
	struct varve_failure failure = { 0 };
	ck_assert_int_eq(syscall(SYS_capget, &header, capabilities), 0);
	capabilities[0].effective &= ~(1u << CAP_LINUX_IMMUTABLE);
	ck_assert_int_eq(syscall(SYS_capset, &header, capabilities), 0);
	struct varve_store *store = test_open(home);
	store->layout.privileged = false;
	fail_destroy(EPERM, 0, INT32_MAX);
	int error = varve_layer_remove_wait(store, "layer", 0, &failure);
	fail_destroy(0, 0, 0);
	store->layout.privileged = true;
	test_error(error, -EPERM);
	assert_says(&failure, "immutable (chattr +i)");
	assert_says(&failure, "in the trash");
	assert_says(&failure, "/dir/a/b");
	test_close(store);
	return 0;
}

/* The same with the privilege to clear them. */
START_TEST(test_flags_in_content)
{
	static const char *const marked[] = { "dir/a/b/file", "dir/a/b" };
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_failure failure = { 0 };
	for (int i = 0; i < 4; i++) {
		struct varve_store *store = test_open(home);
		int flags = FS_IMMUTABLE_FL;
		make_nested(store, home);
		int descriptor = open(test_path("%s/%s", layer, marked[i % 2]),
				      O_RDONLY | O_CLOEXEC);
		ck_assert_int_ge(descriptor, 0);
		ck_assert_int_eq(ioctl(descriptor, FS_IOC_SETFLAGS, &flags), 0);
		close(descriptor);
		if (i / 2) {
			test_close(store);
			test_in_child(remove_marked, home);
			continue;
		}
		store->layout.privileged = false;
		fail_destroy(EPERM, 0, INT32_MAX);
		int error = varve_layer_remove_wait(store, "layer", 0, &failure);
		fail_destroy(0, 0, 0);
		store->layout.privileged = true;
		test_ok(error, &failure);
		assert_gone(home);
		test_close(store);
	}
}
END_TEST

TEST_MAIN("room", test_no_room_to_rename, test_no_room_and_denied, test_no_room_to_destroy,
	  test_what_is_said, test_sweep, test_flags_in_content)
