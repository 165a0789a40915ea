/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply to a layer with something in it: volumes mounted in it are not touched, nor unmounted, nor
 * waited for; opaque markers take away what was there before, in directories that stay as well, and
 * in nested subvolumes, and nothing of the archive's.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"
#include "test.h"

/* Apply TAR, which ends here, to the layer "layer" of STORE. */
static int apply(struct varve_store *store, struct tar *tar, struct varve_failure *failure)
{
	int fd = memfd_create("archive", MFD_CLOEXEC), r;
	tar_end(tar);
	ck_assert_int_eq(write(fd, tar->bytes, tar->size), tar->size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	r = varve_layer_apply_wait(store, "layer", NULL, fd, NULL, NULL, failure);
	close(fd);
	*tar = (struct tar){ 0 };
	return r;
}

/* Apply TAR; the test fails when that fails. */
static void applied(struct varve_store *store, struct tar *tar)
{
	struct varve_failure failure = { 0 };
	test_ok(apply(store, tar, &failure), &failure);
}

/* Applying TAR fails, as something is mounted at PATH in the layer. */
static void busy(struct varve_store *store, const char *layer, struct tar *tar, const char *path)
{
	struct varve_failure failure = { 0 };
	test_error(apply(store, tar, &failure), -EBUSY);
	ck_assert_str_eq(failure.path, test_path("%s/%s", layer, path));
	ck_assert_str_eq(failure.detail, "something is mounted there");
}

static void add_directory(struct tar *tar, const char *name, unsigned mode)
{
	tar_add(tar, &(struct tar_entry){ .name = name, .type = '5', .mode = mode });
}

/* Make the file PATH on any file system, with TEXT in it. */
static void make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* ---- mounts ---------------------------------------------------------------------------------- */

/* In the directory LAYER, top/volume and the file top/config; nothing is mounted yet. */
static void make_points(const char *layer)
{
	test_mkdir(test_path("%s/top", layer));
	test_mkdir(test_path("%s/top/volume", layer));
	test_write(test_path("%s/top/volume/beneath", layer), "beneath");
	test_write(test_path("%s/top/config", layer), "beneath");
}

/*
 * Mount a volume with a file on LAYER/top/volume, and a file on LAYER/top/config, in a mount
 * namespace of our own.
 */
static void mount_points(const char *home, const char *layer)
{
	char *config = test_path("%s-config", home);
	test_write(config, "config");
	ck_assert_int_eq(chmod(config, 0666), 0);
	ck_assert_int_eq(mount("none", test_path("%s/top/volume", layer), "tmpfs", 0,
			       "size=1m,mode=0777"),
			 0);
	make_file(test_path("%s/top/volume/data", layer), "data");
	ck_assert_int_eq(chmod(test_path("%s/top/volume/data", layer), 0666), 0);
	ck_assert_int_eq(mount(config, test_path("%s/top/config", layer), NULL, MS_BIND, NULL), 0);
}

/* All is mounted, and as it was. */
static void check_points(const char *layer)
{
	struct stat stat;
	ck_assert_str_eq(test_read(test_path("%s/top/volume/data", layer)), "data");
	ck_assert_int_eq(test_entries(test_path("%s/top/volume", layer)), 1);
	ck_assert_int_eq(lstat(test_path("%s/top/volume", layer), &stat), 0);
	ck_assert_int_eq(stat.st_mode & 07777, 0777);
	ck_assert_str_eq(test_read(test_path("%s/top/config", layer)), "config");
	ck_assert_int_eq(lstat(test_path("%s/top/config", layer), &stat), 0);
	ck_assert_int_eq(stat.st_mode & 07777, 0666);
}

static void unmount_points(const char *layer)
{
	ck_assert_int_eq(umount(test_path("%s/top/config", layer)), 0);
	ck_assert_int_eq(umount(test_path("%s/top/volume", layer)), 0);
}

static void enter_namespace(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

/* What would take mount points away fails, and says which. */
static void check_busy(struct varve_store *store, const char *layer)
{
	struct tar tar = { 0 };
	tar_add_file(&tar, "top/.wh.volume", "");
	busy(store, layer, &tar, "top/volume");
	tar_add_file(&tar, "top/.wh.config", "");
	busy(store, layer, &tar, "top/config");
	tar_add_file(&tar, "top/volume", "instead of a directory");
	busy(store, layer, &tar, "top/volume");
	tar_add_file(&tar, "top/config", "instead of the file");
	busy(store, layer, &tar, "top/config");
	tar_add(&tar, &(struct tar_entry){ .name = "top/config", .type = '6' });
	busy(store, layer, &tar, "top/config");
	check_points(layer);
}

START_TEST(test_mounts)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store;
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	struct stat stat;
	enter_namespace();
	store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	make_points(layer);
	mount_points(home, layer);
	check_busy(store, layer);
	unmount_points(layer);
	/* What could not be removed is whole. */
	ck_assert_str_eq(test_read(test_path("%s/top/volume/beneath", layer)), "beneath");
	mount_points(home, layer);
	/* The layer's own directory is meant, beneath; and what is emptied. */
	add_directory(&tar, "top/volume", 0711);
	tar_add_file(&tar, "top/volume/new", "new");
	tar_add_file(&tar, "top/volume/.wh..wh..opq", "");
	tar_add(&tar, &(struct tar_entry){ .name = "top/link", .type = '1', .link = "top/config" });
	applied(store, &tar);
	check_points(layer);
	ck_assert_str_eq(test_read(test_path("%s/top/link", layer)), "beneath");
	/*
	 * A whole directory with mount points in it, and one emptied: nothing of it is removed, and
	 * what is beside it.
	 */
	for (int i = 0; i < 20; i++)
		test_write(test_path("%s/top/%c%d", layer, "ax"[i % 2], i), "stays");
	tar_add_file(&tar, ".wh.top", "");
	test_error(apply(store, &tar, &failure), -EBUSY);
	ck_assert_ptr_nonnull(strstr(failure.path, "/layer/top/"));
	check_points(layer);
	for (int i = 0; i < 20; i++)
		ck_assert_str_eq(test_read(test_path("%s/top/%c%d", layer, "ax"[i % 2], i)),
				 "stays");
	tar_add_file(&tar, "top/.wh..wh..opq", "");
	test_error(apply(store, &tar, &failure), -EBUSY);
	ck_assert_ptr_nonnull(strstr(failure.path, "/layer/top/"));
	check_points(layer);
	unmount_points(layer);
	ck_assert_int_eq(lstat(test_path("%s/top/volume", layer), &stat), 0);
	ck_assert_int_eq(stat.st_mode & 07777, 0711);
	test_close(store);
}
END_TEST

static int create_as_nobody(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	make_points(test_layer(home, "layer"));
	test_close(store);
	return 0;
}

static int apply_as_nobody(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	char *layer = test_layer(home, "layer");
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	check_busy(store, layer);
	add_directory(&tar, "top/volume", 0711);
	busy(store, layer, &tar, "top/volume");
	tar_add_file(&tar, "top/.wh..wh..opq", "");
	test_error(apply(store, &tar, &failure), -EBUSY);
	tar_add_file(&tar, "top/volume/new", "");
	test_error(apply(store, &tar, &failure), -EBUSY);
	tar_add_file(&tar, ".wh.top", "");
	test_error(apply(store, &tar, &failure), -EBUSY);
	ck_assert_ptr_nonnull(strstr(failure.path, "/layer/top/"));
	check_points(layer);
	test_close(store);
	return 0;
}

/* Without privilege there is no clone of the mount: what is mounted is not entered. */
START_TEST(test_mounts_unprivileged)
{
	char *home = test_home_of_nobody(), *layer = test_layer(home, "layer");
	enter_namespace();
	test_as_nobody(create_as_nobody, home);
	mount_points(home, layer);
	test_as_nobody(apply_as_nobody, home);
	check_points(layer);
	unmount_points(layer);
}
END_TEST

/*
 * A file system whose server never answers is mounted in the layer: a program that asks it would
 * wait for ever.
 */
START_TEST(test_stalled)
{
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *point = test_path("%s/top/volume", layer);
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	struct varve_store *store;
	struct tar tar = { 0 };
	enter_namespace();
	store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	make_points(layer);
	if (fuse < 0 || mount("none", point, "fuse", 0,
			      test_path("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)) < 0) {
		test_skip("needs FUSE");
		test_close(store);
		return;
	}
	add_directory(&tar, "top/volume", 0711);
	tar_add_file(&tar, "top/volume/new", "new");
	tar_add_file(&tar, "top/volume/.wh..wh..opq", "");
	applied(store, &tar);
	tar_add_file(&tar, "top/.wh.volume", "");
	busy(store, layer, &tar, "top/volume");
	tar_add_file(&tar, "top/volume", "instead");
	busy(store, layer, &tar, "top/volume");
	tar_add_file(&tar, ".wh.top", "");
	busy(store, layer, &tar, "top/volume");
	ck_assert_int_eq(umount2(point, MNT_DETACH), 0);
	close(fuse);
	test_close(store);
}
END_TEST

/* ---- what was there before ------------------------------------------------------------------- */

/* A layer with the files a/b/c/bar and a/other. */
static struct varve_store *open_old(const char *home)
{
	struct varve_store *store = test_open_relaxed(home);
	char *layer = test_layer(home, "layer");
	test_create(store, "layer", NULL);
	test_mkdir(test_path("%s/a", layer));
	test_mkdir(test_path("%s/a/b", layer));
	test_mkdir(test_path("%s/a/b/c", layer));
	test_write(test_path("%s/a/b/c/bar", layer), "old");
	test_write(test_path("%s/a/other", layer), "old");
	return store;
}

/* Of the layer's a only a/b/c/foo is left. */
static void check_foo(const char *layer)
{
	ck_assert_int_eq(test_entries(test_path("%s/a", layer)), 1);
	ck_assert_int_eq(test_entries(test_path("%s/a/b", layer)), 1);
	ck_assert_int_eq(test_entries(test_path("%s/a/b/c", layer)), 1);
	ck_assert_str_eq(test_read(test_path("%s/a/b/c/foo", layer)), "foo");
}

/*
 * The marker comes last: the archive's file stays, with its directories, listed in the archive or
 * not; the old ones go.
 */
START_TEST(test_opaque_last)
{
	for (unsigned listed = 0; listed < 2; listed++) {
		char *home = test_home();
		struct varve_store *store = open_old(home);
		struct tar tar = { 0 };
		if (listed) {
			add_directory(&tar, "a", 0755);
			add_directory(&tar, "a/b", 0755);
			add_directory(&tar, "a/b/c", 0755);
		}
		tar_add_file(&tar, "a/b/c/foo", "foo");
		tar_add_file(&tar, "a/.wh..wh..opq", "");
		applied(store, &tar);
		check_foo(test_layer(home, "layer"));
		test_close(store);
	}
}
END_TEST

/* A link to the root, and the marker reached through it. */
START_TEST(test_opaque_root)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = open_old(home);
	struct tar tar = { 0 };
	tar_add(&tar, &(struct tar_entry){ .name = "link", .type = '2', .link = "/" });
	tar_add_file(&tar, "a/b/c/foo", "foo");
	tar_add_file(&tar, "link/through", "through");
	test_write(test_path("%s/old", layer), "old");
	tar_add_file(&tar, "link/.wh..wh..opq", "");
	applied(store, &tar);
	check_foo(layer);
	ck_assert_int_eq(test_entries(layer), 3);
	ck_assert_str_eq(test_read(test_path("%s/through", layer)), "through");
	test_close(store);
}
END_TEST

/* Make the inode numbers of the subvolume PATH go up by COUNT. */
static void use_numbers(const char *path, unsigned count)
{
	char *file = test_path("%s/number", path);
	for (unsigned i = 0; i < count; i++) {
		make_file(file, "");
		ck_assert_int_eq(unlink(file), 0);
	}
}

/*
 * A nested subvolume counts its inodes by itself: with lower numbers than the layer's, and with
 * higher ones.
 */
START_TEST(test_opaque_nested)
{
	for (unsigned higher = 0; higher < 2; higher++) {
		char *home = test_home(), *layer = test_layer(home, "layer"),
		     *nested = test_path("%s/nested", layer);
		struct varve_store *store = test_open_relaxed(home);
		struct tar tar = { 0 };
		test_create(store, "layer", NULL);
		test_subvolume_create(nested);
		use_numbers(higher ? nested : layer, 100);
		test_mkdir(test_path("%s/d", nested));
		test_write(test_path("%s/d/old", nested), "old");
		tar_add_file(&tar, "first", "first");
		tar_add_file(&tar, "nested/d/new", "new");
		tar_add_file(&tar, "nested/.wh..wh..opq", "");
		tar_add_file(&tar, "nested/d/.wh..wh..opq", "");
		applied(store, &tar);
		ck_assert_int_eq(test_entries(test_path("%s/d", nested)), 1);
		ck_assert_str_eq(test_read(test_path("%s/d/new", nested)), "new");
		test_close(store);
	}
}
END_TEST

/* What the archive itself brings stays when a deletion of it follows, which is reported. */
START_TEST(test_deleted_again)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open_relaxed(home);
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct varve_failure failure = { 0 };
	uint64_t skipped = 0;
	struct tar tar = { 0 };
	test_create(store, "layer", NULL);
	add_directory(&tar, "a/b/c", 0755);
	tar_add_file(&tar, ".wh.a", "");
	tar_add_file(&tar, ".wh.none", "");
	tar_add_file(&tar, "file", "");
	tar_end(&tar);
	ck_assert_int_eq(write(fd, tar.bytes, tar.size), tar.size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	test_ok(varve_layer_apply_wait(store, "layer", NULL, fd, NULL, &skipped, &failure),
		&failure);
	ck_assert_uint_eq(skipped, 1);
	ck_assert_int_eq(test_entries(layer), 2);
	ck_assert_int_eq(test_entries(test_path("%s/a/b", layer)), 1);
	close(fd);
	test_close(store);
}
END_TEST

TEST_MAIN("apply_live", test_mounts, test_mounts_unprivileged, test_stalled, test_opaque_last,
	  test_opaque_root, test_opaque_nested, test_deleted_again)
