/* SPDX-License-Identifier: Apache-2.0 */
/* What tree search tells of two layers: files that were only read are passed over, and too many changes are no answer. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/btrfs/delta.h"
#include "engine/btrfs/fs.h"
#include "test.h"

#define FILES 40

static _Atomic bool never;

/* The inode number of FILE of the layer at PATH. */
static uint64_t number(const char *path, unsigned file) {
	struct stat stat;

	ck_assert_int_eq(lstat(test_path("%s/%u", path, file), &stat), 0);
	return stat.st_ino;
}

/* Collect what differs between the layers at BASE and TOP, flushed, with at most INODES_MAX changed ones. */
static int collect(struct delta *delta, const char *base, const char *top, size_t inodes_max) {
	int fds[2] = { open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }, r;

	ck_assert(fds[0] >= 0 && fds[1] >= 0);
	ck_assert_int_eq(fs_flush(fds[0]), 0);
	*delta = (struct delta){ .inodes_max = inodes_max, .cancelled = &never };
	r = delta_collect(delta, fds);
	close(fds[0]);
	close(fds[1]);
	return r;
}

/* Set the time of access of FILE of the layer at PATH by reading it, as a mount with relatime does once a day. */
static bool access_file(const char *path, unsigned file) {
	char *name = test_path("%s/%u", path, file);
	struct stat before, after;

	ck_assert_int_eq(stat(name, &before), 0);
	test_read(name);
	ck_assert_int_eq(stat(name, &after), 0);
	return before.st_atim.tv_sec != after.st_atim.tv_sec || before.st_atim.tv_nsec != after.st_atim.tv_nsec;
}

START_TEST(test_read_only) {
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_nsec = UTIME_OMIT } };
	struct delta delta;
	unsigned accessed = 0;

	test_create(store, "base", NULL);
	for (unsigned i = 0; i < FILES; i++) {
		test_write(test_path("%s/%u", base, i), "text");
		ck_assert_int_eq(utimensat(AT_FDCWD, test_path("%s/%u", base, i), times, 0), 0);
	}
	test_create(store, "top", "base");
	/* Some in one, some in the other, some in both; then one file is changed as well. */
	for (unsigned i = 0; i < FILES; i++) {
		accessed += i % 3 != 0 && access_file(base, i);
		accessed += i % 3 != 1 && access_file(top, i);
	}
	ck_assert_uint_gt(accessed, FILES);
	test_write(test_path("%s/7", top), "longer");
	ck_assert_int_eq(chmod(test_path("%s/8", base), 0600), 0);
	ck_assert_int_eq(collect(&delta, base, top, 0), 1);
	/* The tree did tell of them. */
	ck_assert_uint_ge(delta.changed.count, FILES);
	for (unsigned i = 0; i < FILES; i++)
		ck_assert_msg(delta_changed(&delta, number(top, i)) == (i == 7 || i == 8), "file %u", i);
	delta_free(&delta);
	test_close(store);
}
END_TEST

START_TEST(test_too_many) {
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	struct delta delta;

	test_create(store, "base", NULL);
	test_create(store, "top", "base");
	for (unsigned i = 0; i < FILES; i++)
		test_write(test_path("%s/%u", top, i), "text");
	ck_assert_int_eq(collect(&delta, base, top, FILES / 2), 0);
	delta_free(&delta);
	ck_assert_int_eq(collect(&delta, base, top, FILES * 2), 1);
	ck_assert(delta_changed(&delta, number(top, FILES - 1)));
	delta_free(&delta);
	test_close(store);
}
END_TEST

TEST_MAIN("delta", test_read_only, test_too_many)
