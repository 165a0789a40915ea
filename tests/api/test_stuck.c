/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers that something keeps from being destroyed: flags (chattr +i, +a), modes that deny their
 * owner, read-only subvolumes, active swap files. What can be taken away is; else the error names
 * it, says where it is, and what became of the layer.
 *
 * varve-test: backend=both timeout=120
 * varve-test: kernel-says=active.swapfile|deleting.default.subvolume
 */
#include "tar.h"
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bytes of a swap file, and of the label in its first page. */
#define SWAP_BYTES (2 << 20)
#define SWAP_LABEL "SWAPSPACE2"

/* Add FLAGS to those of PATH. */
static void add_flags(const char *path, int flags)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC), now = 0;
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(ioctl(descriptor, FS_IOC_GETFLAGS, &now), 0);
	now |= flags;
	ck_assert_msg(ioctl(descriptor, FS_IOC_SETFLAGS, &now) == 0, "%s: %s", path,
		      strerror(errno));
	close(descriptor);
}

/* The flags +i and +a of PATH. */
static int flags_of(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC), now = 0;
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(ioctl(descriptor, FS_IOC_GETFLAGS, &now), 0);
	close(descriptor);
	return now & (FS_IMMUTABLE_FL | FS_APPEND_FL);
}

/* Make the subvolume PATH read-only, or not. */
static void set_read_only(const char *path, const char *value)
{
	ck_assert_int_eq(test_command((const char *[]){ "btrfs", "property", "set", path, "ro",
							value, NULL }),
			 0);
}

/* Is it? */
static bool is_read_only(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t flags = 0;
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(ioctl(descriptor, BTRFS_IOC_SUBVOL_GETFLAGS, &flags), 0);
	close(descriptor);
	return flags & BTRFS_SUBVOL_RDONLY;
}

/* Make the file PATH, on whatever file system it is. */
static void make_file(const char *path)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	close(descriptor);
}

/* Remove LAYER and assert that it, and all that was in it, is gone. */
static void assert_removed(struct varve_store *store, const char *home, const char *layer)
{
	struct varve_failure failure;
	test_ok(varve_layer_remove_wait(store, layer, 0, &failure), &failure);
	ck_assert(!test_layer_exists(home, layer));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Assert that what FAILURE says has WORDS in it. */
static void assert_says(const struct varve_failure *failure, const char *words)
{
	char text[2048];
	ck_assert_msg(strstr(varve_strerror(failure, text, sizeof(text)), words) != NULL,
		      "no \"%s\" in \"%s\"", words, text);
}

/* ---- flags ----------------------------------------------------------------------------------- */

START_TEST(test_root_with_flags)
{
	static const int flags[] = { FS_IMMUTABLE_FL, FS_APPEND_FL,
				     FS_IMMUTABLE_FL | FS_APPEND_FL };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	for (size_t i = 0; i < TEST_COUNT(flags); i++) {
		test_create(store, "parent", NULL);
		add_flags(test_layer(home, "parent"), flags[i]);
		test_create(store, "child", "parent");
		ck_assert_int_eq(flags_of(test_layer(home, "child")), flags[i]);
		options.parent = "parent";
		options.flags = VARVE_CREATE_READ_ONLY;
		test_error(varve_layer_create_wait(store, "frozen", &options, NULL), 0);
		assert_removed(store, home, "parent");
		assert_removed(store, home, "child");
		assert_removed(store, home, "frozen");
	}
	test_close(store);
}
END_TEST

/*
 * Snapshots of such a layer that share a commit are renamed into their places, and have its flags
 * there.
 */
START_TEST(test_snapshots_with_flags)
{
	enum { LAYERS = 12 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record records[LAYERS] = { 0 };
	test_create(store, "parent", NULL);
	add_flags(test_layer(home, "parent"), FS_IMMUTABLE_FL);
	test_submit_creates(store, "parent", records, LAYERS);
	test_await_all(store, records, LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		test_error(records[i].error, 0);
		ck_assert_int_eq(flags_of(test_layer(home, test_path("%d", i))), FS_IMMUTABLE_FL);
		assert_removed(store, home, test_path("%d", i));
	}
	assert_removed(store, home, "parent");
	test_close(store);
}
END_TEST

/* Nested subvolumes, so that it has to be renamed. */
START_TEST(test_root_with_flags_and_nested)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	for (int read_only = 0; read_only < 2; read_only++) {
		test_create(store, "layer", NULL);
		test_subvolume_create(test_path("%s/a", layer));
		add_flags(layer, FS_IMMUTABLE_FL);
		if (read_only)
			set_read_only(layer, "true");
		assert_removed(store, home, "layer");
	}
	test_close(store);
}
END_TEST

START_TEST(test_nested_with_flags)
{
	static const char *const orders[][2] = { { "aa", "sub" }, { "sub", "aa" } };
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	for (int i = 0; i < 4; i++) {
		test_create(store, "layer", NULL);
		for (int j = 0; j < 2; j++)
			test_subvolume_create(test_path("%s/%s", layer, orders[i % 2][j]));
		add_flags(test_path("%s/sub", layer), i / 2 ? FS_APPEND_FL : FS_IMMUTABLE_FL);
		assert_removed(store, home, "layer");
	}
	test_close(store);
}
END_TEST

/* The directory that a nested subvolume lies in has the flag, or is in a read-only subvolume. */
START_TEST(test_directories_of_nested)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	for (int read_only = 0; read_only < 2; read_only++) {
		test_create(store, "layer", NULL);
		test_subvolume_create(test_path("%s/a", layer));
		test_mkdir(test_path("%s/a/dir", layer));
		test_subvolume_create(test_path("%s/a/dir/b", layer));
		test_subvolume_create(test_path("%s/a/dir/b/c", layer));
		add_flags(test_path("%s/a/dir/b/c", layer), FS_IMMUTABLE_FL);
		add_flags(test_path("%s/a/dir", layer), FS_APPEND_FL);
		if (read_only) {
			set_read_only(test_path("%s/a/dir/b/c", layer), "true");
			set_read_only(test_path("%s/a/dir/b", layer), "true");
			set_read_only(test_path("%s/a", layer), "true");
		}
		assert_removed(store, home, "layer");
	}
	test_close(store);
}
END_TEST

/* What a crashed process left, with flags: in the trash, and entry by entry in staging. */
START_TEST(test_sweep_with_flags)
{
	char *home = test_home();
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_config config = test_config(home);
	struct varve_failure failure;
	test_close(test_open(home));
	for (int i = 0; i < 2; i++) {
		static const char *const above[] = { ".varve", ".varve/trash", ".varve/staging" };
		for (size_t j = 0; j < TEST_COUNT(above); j++)
			if (!test_exists(test_path("%s/%s", home, above[j])))
				test_mkdir(test_path("%s/%s", home, above[j]));
		char *left = test_path("%s/.varve/trash/1-0123456789abcdef.300", home);
		test_subvolume_create(left);
		test_subvolume_create(test_path("%s/a", left));
		add_flags(test_path("%s/a", left), FS_IMMUTABLE_FL);
		add_flags(left, FS_IMMUTABLE_FL);
		if (i)
			set_read_only(left, "true");
		char *owner = test_path("%s/.varve/staging/1-0123456789abcdef", home);
		test_mkdir(owner);
		test_mkdir(test_path("%s/0", owner));
		test_mkdir(test_path("%s/0/plain", owner));
		test_mkdir(test_path("%s/0/plain/empty", owner));
		test_write(test_path("%s/0/plain/file", owner), "x");
		add_flags(test_path("%s/0/plain/file", owner), FS_IMMUTABLE_FL);
		add_flags(test_path("%s/0/plain/empty", owner), FS_APPEND_FL);
		add_flags(test_path("%s/0/plain", owner), FS_IMMUTABLE_FL);
		config.flags |= VARVE_OPEN_NO_SWEEP;
		struct varve_store *store = test_open_config(&config);
		test_ok(varve_sweep_wait(store, &report, &failure), &failure);
		ck_assert_uint_eq(report.trash_removed, 1);
		ck_assert_uint_eq(report.staging_removed, 1);
		ck_assert_uint_eq(test_leftovers(home), 0);
		test_close(store);
	}
}
END_TEST

/* Give up the capability that flags take. */
static void drop_immutable(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_LINUX_IMMUTABLE);
	data[0].permitted &= ~(1u << CAP_LINUX_IMMUTABLE);
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

/* Layers with flags that may not be cleared, in HOME. */
static int remove_without_capability(void *data)
{
	char *home = data;
	struct varve_failure failure;
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	drop_immutable();
	struct varve_store *store = test_open(home);

	test_error(varve_layer_remove_wait(store, "root", 0, &failure), -EPERM);
	assert_says(&failure, "immutable (chattr +i)");
	assert_says(&failure, "subvolumes/root: ");
	ck_assert_ptr_null(strstr(failure.detail, "in the trash"));

	/* Nothing was destroyed: it is put back. */
	test_error(varve_layer_remove_wait(store, "first", 0, &failure), -EPERM);
	assert_says(&failure, "append-only (chattr +a)");
	assert_says(&failure, "subvolumes/first/dir/sub: ");
	assert_says(&failure, "put back in its place, whole");
	ck_assert_ptr_null(strstr(failure.detail, "in the trash"));
	ck_assert(test_is_subvolume(test_path("%s/dir/sub", test_layer(home, "first"))));
	ck_assert(test_is_subvolume(test_path("%s/dir/zz", test_layer(home, "first"))));

	/* One is gone: the rest is in the trash, and the failure and the sweep name it there. */
	test_error(varve_layer_remove_wait(store, "second", 0, &failure), -EPERM);
	assert_says(&failure, "immutable (chattr +i)");
	assert_says(&failure, "in the trash");
	assert_says(&failure, ".varve/trash/");
	assert_says(&failure, "/dir/sub: ");
	ck_assert(!test_layer_exists(home, "second"));
	test_close(store);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	store = test_open_config(&config);
	test_error(varve_sweep_wait(store, &report, &failure), -EPERM);
	assert_says(&failure, "immutable (chattr +i)");
	assert_says(&failure, "/dir/sub: ");
	test_close(store);
	return 0;
}

START_TEST(test_without_capability)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure;
	test_create(store, "root", NULL);
	add_flags(test_layer(home, "root"), FS_IMMUTABLE_FL);
	static const struct {
		const char *layer, *order[2];
		int flags;
	} nested[] = { { "first", { "zz", "sub" }, FS_APPEND_FL },
		       { "second", { "sub", "zz" }, FS_IMMUTABLE_FL } };
	for (size_t i = 0; i < TEST_COUNT(nested); i++) {
		test_create(store, nested[i].layer, NULL);
		char *directory = test_path("%s/dir", test_layer(home, nested[i].layer));
		test_mkdir(directory);
		for (int j = 0; j < 2; j++)
			test_subvolume_create(test_path("%s/%s", directory, nested[i].order[j]));
		add_flags(test_path("%s/sub", directory), nested[i].flags);
	}
	test_close(store);
	test_in_child(remove_without_capability, home);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	store = test_open_config(&config);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.trash_removed, 1);
	assert_removed(store, home, "root");
	assert_removed(store, home, "first");
	test_close(store);
}
END_TEST

/* ---- swap files ------------------------------------------------------------------------------ */

/* Make a swap file at PATH and turn it on; false where this cannot be. */
static bool swap_on(const char *path)
{
	int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
	    flags = FS_NOCOW_FL;
	char *block = test_alloc(SWAP_BYTES);
	uint32_t *header = (uint32_t *)(block + 1024);
	long page = sysconf(_SC_PAGESIZE);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(ioctl(descriptor, FS_IOC_SETFLAGS, &flags), 0);
	/* Version and last page. */
	header[0] = 1;
	header[1] = (uint32_t)(SWAP_BYTES / page - 1);
	memcpy(block + page - strlen(SWAP_LABEL), SWAP_LABEL, strlen(SWAP_LABEL));
	ck_assert_int_eq(write(descriptor, block, SWAP_BYTES), SWAP_BYTES);
	ck_assert_int_eq(fsync(descriptor), 0);
	close(descriptor);
	return swapon(path, 0) == 0;
}

START_TEST(test_swap)
{
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *outer = test_layer(home, "outer");
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure made = { 0 }, removed = { 0 }, nested = { 0 };
	char *swap = test_path("%s/swap", layer), *inner = test_path("%s/sub/swap", outer);
	test_create(store, "layer", NULL);
	test_create(store, "outer", NULL);
	test_subvolume_create(test_path("%s/zz", outer));
	test_subvolume_create(test_path("%s/sub", outer));
	/* Nothing may fail the test while they are on. */
	bool on = swap_on(swap), inner_on = on && swap_on(inner);
	if (!inner_on) {
		if (on)
			swapoff(swap);
		test_skip("no swap file can be turned on here");
		test_close(store);
		return;
	}
	options.parent = "layer";
	int create_error = varve_layer_create_wait(store, "child", &options, &made);
	int mode_error = chmod(layer, 0555);
	int remove_error = varve_layer_remove_wait(store, "layer", 0, &removed);
	int nested_error = varve_layer_remove_wait(store, "outer", 0, &nested);
	swapoff(swap);
	swapoff(inner);
	ck_assert_int_eq(mode_error, 0);
	test_error(create_error, -ETXTBSY);
	assert_says(&made, test_path("%s in it is an active swap file", swap));
	assert_says(&made, "BTRFS_IOC_SNAP_CREATE_V2");
	assert_says(&made, "subvolumes/layer: ");
	ck_assert(!test_layer_exists(home, "child"));
	test_error(remove_error, -EPERM);
	assert_says(&removed, test_path("%s in it is an active swap file", swap));
	test_error(nested_error, -EPERM);
	assert_says(&nested, "active swap file");
	assert_says(&nested, "subvolumes/outer/sub: ");
	assert_says(&nested, "put back in its place, whole");
	ck_assert_int_eq(test_entries(outer), 2);
	assert_removed(store, home, "layer");
	assert_removed(store, home, "outer");
	test_close(store);
}
END_TEST

/* A layer that cannot be destroyed after all keeps its flags. */
START_TEST(test_flags_stay)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	test_create(store, "layer", NULL);
	test_subvolume_set_default(layer);
	add_flags(layer, FS_IMMUTABLE_FL);
	set_read_only(layer, "true");
	test_error(varve_layer_remove_wait(store, "layer", 0, &failure), -EPERM);
	assert_says(&failure, "default subvolume");
	ck_assert_int_eq(flags_of(layer), FS_IMMUTABLE_FL);
	ck_assert(is_read_only(layer));
	test_subvolume_set_default(test_mount());
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

/* ---- modes ----------------------------------------------------------------------------------- */

static const mode_t modes[] = { 0555, 0000, 0311, 0444, 0200 };

/* Make the directory PATH, on whatever file system it is. */
static void make_directory(const char *path)
{
	ck_assert_msg(mkdir(path, 0755) == 0, "%s: %s", path, strerror(errno));
}

/* Make the subvolume PATH, on whatever file system it is. */
static void make_subvolume(const char *path)
{
	ck_assert_int_eq(test_command((const char *[]){ "btrfs", "-q", "subvolume", "create", path,
							NULL }),
			 0);
}

/* Make a layer with directories, files and nested subvolumes, all of them of MODE, and it. */
static void make_denied(struct varve_store *store, const char *home, const char *layer, mode_t mode)
{
	char *path = test_layer(home, layer);
	static const char *const subvolumes[] = { "a", "dir/b", "a/c" };
	test_create(store, layer, NULL);
	make_directory(test_path("%s/dir", path));
	make_file(test_path("%s/dir/file", path));
	for (size_t i = 0; i < TEST_COUNT(subvolumes); i++) {
		make_subvolume(test_path("%s/%s", path, subvolumes[i]));
		make_file(test_path("%s/%s/file", path, subvolumes[i]));
	}
	for (size_t i = TEST_COUNT(subvolumes); i--;)
		ck_assert_int_eq(chmod(test_path("%s/%s", path, subvolumes[i]), mode), 0);
	ck_assert_int_eq(chmod(test_path("%s/dir", path), mode), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* Remove one's own layers of modes that deny it. */
static int remove_denied(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	for (size_t i = 0; i < TEST_COUNT(modes); i++) {
		test_create(store, "plain", NULL);
		make_file(test_path("%s/file", test_layer(home, "plain")));
		ck_assert_int_eq(chmod(test_layer(home, "plain"), modes[i]), 0);
		assert_removed(store, home, "plain");
		make_denied(store, home, "nested", modes[i]);
		assert_removed(store, home, "nested");
		/* A leftover of that mode. */
		test_create(store, "left", NULL);
		make_file(test_path("%s/file", test_layer(home, "left")));
		if (!test_exists(test_path("%s/.varve/trash", home))) {
			if (!test_exists(test_path("%s/.varve", home)))
				make_directory(test_path("%s/.varve", home));
			make_directory(test_path("%s/.varve/trash", home));
		}
		char *left = test_path("%s/.varve/trash/1-0123456789abcdef.300", home);
		ck_assert_int_eq(rename(test_layer(home, "left"), left), 0);
		ck_assert_int_eq(chmod(left, modes[i]), 0);
		test_ok(varve_sweep_wait(store, NULL, &failure), &failure);
		ck_assert(!test_exists(left));
	}
	/* Snapshots of one that its owner may not write to: what is renamed has that mode, too. */
	struct test_record records[8] = { 0 };
	test_create(store, "parent", NULL);
	ck_assert_int_eq(chmod(test_layer(home, "parent"), 0555), 0);
	test_submit_creates(store, "parent", records, TEST_COUNT(records));
	test_await_all(store, records, TEST_COUNT(records));
	for (size_t i = 0; i < TEST_COUNT(records); i++) {
		struct stat stat;
		test_error(records[i].error, 0);
		ck_assert_int_eq(lstat(test_layer(home, test_path("%zu", i)), &stat), 0);
		ck_assert_int_eq(stat.st_mode & 07777, 0555);
		assert_removed(store, home, test_path("%zu", i));
	}
	assert_removed(store, home, "parent");
	/* Read-only ones: without nested subvolumes, and with. */
	for (int nested = 0; nested < 2; nested++) {
		char *path = test_layer(home, "frozen");
		test_create(store, "frozen", NULL);
		make_file(test_path("%s/file", path));
		if (nested) {
			make_subvolume(test_path("%s/sub", path));
			ck_assert_int_eq(chmod(test_path("%s/sub", path), 0555), 0);
			set_read_only(test_path("%s/sub", path), "true");
		}
		ck_assert_int_eq(chmod(path, 0555), 0);
		set_read_only(path, "true");
		assert_removed(store, home, "frozen");
	}
	/* One that its owner can neither open nor change stays, and the error says why. */
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.flags = VARVE_CREATE_READ_ONLY;
	options.mode = 0100;
	test_error(varve_layer_create_wait(store, "sealed", &options, NULL), 0);
	int error = varve_layer_remove_wait(store, "sealed", 0, &failure);
	ck_assert_msg(error == -EACCES || error == -EROFS, "%s", test_errno_name(error));
	assert_says(&failure, "it is read-only, and its mode keeps its owner from changing that");
	ck_assert(test_layer_exists(home, "sealed"));
	test_close(store);
	return 0;
}

START_TEST(test_modes)
{
	test_as_nobody(remove_denied, test_home_of_nobody());
}
END_TEST

START_TEST(test_modes_denied)
{
	test_as_nobody_denied(remove_denied);
}
END_TEST

/* Make layers for root to set flags in. */
static int make_marked(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	test_create(store, "root", NULL);
	test_create(store, "content", NULL);
	make_directory(test_path("%s/dir", test_layer(home, "content")));
	make_file(test_path("%s/dir/file", test_layer(home, "content")));
	test_close(store);
	return 0;
}

/* Remove them: it may be that one can be destroyed with all that is in it. */
static int remove_marked(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	test_error(varve_layer_remove_wait(store, "root", 0, &failure), -EPERM);
	assert_says(&failure, "immutable (chattr +i)");
	assert_says(&failure, "subvolumes/root: ");
	ck_assert(test_layer_exists(home, "root"));
	int error = varve_layer_remove_wait(store, "content", 0, &failure);
	ck_assert(!test_layer_exists(home, "content"));
	if (error) {
		test_error(error, -EPERM);
		assert_says(&failure, "append-only (chattr +a)");
		assert_says(&failure, "in the trash");
		assert_says(&failure, "/dir: ");
	}
	test_close(store);
	return 0;
}

/* Set flags in what nobody has made in HOME. */
static void mark(const char *home)
{
	add_flags(test_layer(home, "root"), FS_IMMUTABLE_FL);
	add_flags(test_path("%s/dir", test_layer(home, "content")), FS_APPEND_FL);
}

START_TEST(test_marked_by_root)
{
	char *home = test_home_of_nobody();
	test_as_nobody(make_marked, home);
	mark(home);
	test_as_nobody(remove_marked, home);
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SHARED_HOME;
	struct varve_store *store = test_open_config(&config);
	assert_removed(store, home, "root");
	test_close(store);
}
END_TEST

/* Apply an archive of one file NAME to "layer": the error says WORDS. */
static void apply_refused(struct varve_store *store, const char *name, const char *words)
{
	struct tar tar = { 0 };
	struct varve_failure failure = { 0 };
	int fd = memfd_create("archive", MFD_CLOEXEC);
	tar_add_file(&tar, name, "new");
	tar_end(&tar);
	ck_assert_int_eq(pwrite(fd, tar.bytes, tar.size, 0), tar.size);
	test_error(varve_layer_apply_wait(store, "layer", NULL, fd, NULL, NULL, &failure), -EPERM);
	assert_says(&failure, words);
	close(fd);
}

/* What an archive cannot replace. */
static int apply_without_capability(void *data)
{
	drop_immutable();
	struct varve_store *store = test_open(data);
	apply_refused(store, "dir/new", "the directory that it lies in is immutable (chattr +i)");
	apply_refused(store, "dir/file", "the directory that it lies in is immutable (chattr +i)");
	apply_refused(store, ".wh.dir", "it is immutable (chattr +i)");
	apply_refused(store, "dir", "it is immutable (chattr +i)");
	apply_refused(store, "file", "it is append-only (chattr +a)");
	apply_refused(store, ".wh.file", "it is append-only (chattr +a)");
	apply_refused(store, "outer", "it is immutable (chattr +i)");
	test_close(store);
	return 0;
}

START_TEST(test_apply_to_flags)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	for (int i = 0; i < 3; i++)
		make_directory(test_path("%s/%s", layer,
					 (const char *[]){ "dir", "outer", "outer/inner" }[i]));
	for (int i = 0; i < 3; i++)
		make_file(test_path("%s/%s", layer,
				    (const char *[]){ "file", "dir/file", "outer/inner/file" }[i]));
	add_flags(test_path("%s/dir", layer), FS_IMMUTABLE_FL);
	add_flags(test_path("%s/file", layer), FS_APPEND_FL);
	add_flags(test_path("%s/outer/inner", layer), FS_IMMUTABLE_FL);
	test_close(store);
	test_in_child(apply_without_capability, home);
	store = test_open(home);
	assert_removed(store, home, "layer");
	test_close(store);
}
END_TEST

/* A plain leftover with flags in it that may not be cleared. */
static int sweep_without_capability(void *data)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure;
	struct varve_config config = test_config(data);
	drop_immutable();
	config.flags |= VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	test_error(varve_sweep_wait(store, &report, &failure), -EPERM);
	assert_says(&failure, "immutable (chattr +i), which takes CAP_LINUX_IMMUTABLE to clear");
	assert_says(&failure, "plain/dir: ");
	test_close(store);
	return 0;
}

START_TEST(test_sweep_of_flags_in_plain)
{
	char *home = test_home(), *path = test_path("%s/.varve", home);
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = { "staging", "1-0123456789abcdef", "0", "plain",
						     "dir" };
		path = test_path("%s/%s", path, names[i]);
		if (!test_exists(path))
			test_mkdir(path);
	}
	make_file(test_path("%s/file", path));
	add_flags(path, FS_IMMUTABLE_FL);
	test_in_child(sweep_without_capability, home);
	test_close(test_open(home));
	ck_assert(!test_exists(path));
}
END_TEST

TEST_MAIN("stuck", test_root_with_flags, test_snapshots_with_flags, test_root_with_flags_and_nested,
	  test_nested_with_flags, test_directories_of_nested, test_sweep_with_flags,
	  test_without_capability, test_swap, test_flags_stay, test_modes, test_modes_denied,
	  test_marked_by_root, test_apply_to_flags, test_sweep_of_flags_in_plain)
