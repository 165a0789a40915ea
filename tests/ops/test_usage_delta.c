/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usage of a delta: exact numbers of each kind of change; a search and a walk agree after
 * random changes; what is remembered, and when it is not any more.
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/store/store.h"
#include "engine/store/usage_cache.h"
#include "test.h"

/* A sector of the test's file system, and what an extent is made of here. */
#define SECTOR 4096
#define BLOCK (16 * SECTOR)

/* Files of the random parent; changes that are made to its snapshot. */
#define FILES 48
#define CHANGES 60

/* Measure the delta of ID with FLAGS. */
static struct varve_layer_usage measure(struct varve_store *store, const char *id, uint64_t flags)
{
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_failure failure = { 0 };

	test_ok(varve_layer_usage_wait(store, id, flags | VARVE_USAGE_DELTA, &usage, &failure),
		&failure);
	ck_assert_uint_eq(usage.flags & VARVE_USAGE_QUOTA, 0);
	return usage;
}

/* The delta of ID is INODES, BYTES and DISK_BYTES, by both ways. */
static void check(struct varve_store *store, const char *id, uint64_t inodes, uint64_t bytes,
		  uint64_t disk_bytes)
{
	const uint64_t ways[] = { VARVE_USAGE_SEARCH, VARVE_USAGE_WALK };

	for (size_t i = 0; i < TEST_COUNT(ways); i++) {
		struct varve_layer_usage usage = measure(store, id, ways[i]);

		ck_assert_uint_eq(usage.flags & ~VARVE_USAGE_REMEMBERED, ways[i]);
		ck_assert_msg(usage.inodes == inodes && usage.bytes == bytes &&
				      usage.disk_bytes == disk_bytes,
			      "%s: %ju inodes, %ju bytes, %ju on disk; expected %ju, %ju, %ju",
			      i ? "walk" : "search", (uintmax_t)usage.inodes,
			      (uintmax_t)usage.bytes, (uintmax_t)usage.disk_bytes,
			      (uintmax_t)inodes, (uintmax_t)bytes, (uintmax_t)disk_bytes);
	}
}

/* Open PATH with FLAGS; it must be there, or be made. */
static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0644);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* Write SIZE bytes, BYTE each, to PATH at OFFSET. */
static void put(const char *path, off_t offset, size_t size, int byte)
{
	int fd = open_file(path, O_WRONLY | O_CREAT);
	char *bytes = test_alloc(size);

	memset(bytes, byte, size);
	ck_assert_int_eq(pwrite(fd, bytes, size, offset), (ssize_t)size);
	close(fd);
}

/* Clone SIZE bytes (0: all) of the file FROM at FROM_OFFSET to TO at TO_OFFSET. */
static void clone_range(const char *from, off_t from_offset, size_t size, const char *to,
			off_t to_offset)
{
	int in = open_file(from, O_RDONLY), out = open_file(to, O_WRONLY | O_CREAT);
	struct file_clone_range range = { in, (uint64_t)from_offset, size, (uint64_t)to_offset };

	ck_assert_msg(!ioctl(out, FICLONERANGE, &range), "%s", strerror(errno));
	close(in);
	close(out);
}

/* Let the file PATH be compressed from now on. */
static void compress_file(const char *path)
{
	int fd = open_file(path, O_RDONLY | O_CREAT), flags = 0;

	ck_assert_int_eq(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	flags |= FS_COMPR_FL;
	ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	close(fd);
}

/* A layer without a parent is all new; a fresh snapshot has nothing. */
START_TEST(test_nothing)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_layer_usage whole = VARVE_LAYER_USAGE_INIT;

	test_create(store, "base", NULL);
	check(store, "base", 1, 0, 0);
	test_make_tree(test_layer(home, "base"), 2, 3, 5000);
	test_error(varve_layer_usage_wait(store, "base", VARVE_USAGE_SEARCH, &whole, NULL), 0);
	check(store, "base", whole.inodes, whole.bytes, whole.disk_bytes);
	test_create(store, "top", "base");
	check(store, "top", 0, 0, 0);
	test_error(varve_layer_usage_wait(store, "none", VARVE_USAGE_DELTA, NULL, NULL), -ENOENT);
	test_close(store);
}
END_TEST

/* What each kind of change counts. */
START_TEST(test_kinds)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	uint64_t inodes = 0, bytes = 0, disk = 0;

	test_create(store, "base", NULL);
	put(test_path("%s/large", base), 0, 16 * BLOCK, 'a');
	put(test_path("%s/other", base), 0, 4 * BLOCK, 'b');
	put(test_path("%s/small", base), 0, 100, 's');
	put(test_path("%s/gone", base), 0, BLOCK, 'g');
	compress_file(test_path("%s/packed", base));
	put(test_path("%s/packed", base), 0, 8 * BLOCK, 'p');
	test_mkdir(test_path("%s/dir", base));
	test_create(store, "top", "base");

	/* What is no content: nothing. */
	ck_assert_int_eq(chmod(test_path("%s/large", top), 0600), 0);
	ck_assert_int_eq(chmod(test_path("%s/small", top), 0600), 0);
	ck_assert_int_eq(chown(test_path("%s/dir", top), 1, 1), 0);
	ck_assert_int_eq(rename(test_path("%s/other", top), test_path("%s/dir/else", top)), 0);
	ck_assert_int_eq(link(test_path("%s/large", top), test_path("%s/link", top)), 0);
	test_remove(test_path("%s/gone", top));
	check(store, "top", inodes, bytes, disk);
	/* A new file, with a hole; two names are one inode; a directory; a symbolic link. */
	put(test_path("%s/new", top), 4 * BLOCK, BLOCK, 'n');
	ck_assert_int_eq(link(test_path("%s/new", top), test_path("%s/new2", top)), 0);
	test_mkdir(test_path("%s/newdir", top));
	ck_assert_int_eq(symlink("1234567", test_path("%s/newdir/link", top)), 0);
	check(store, "top", inodes += 3, bytes += 5 * BLOCK + 7, disk += BLOCK + SECTOR);
	/* Written over: the blocks that were. */
	put(test_path("%s/large", top), 3 * BLOCK, 2 * BLOCK, 'A');
	check(store, "top", inodes, bytes += 2 * BLOCK, disk += 2 * BLOCK);
	put(test_path("%s/large", top), 4 * BLOCK, 2 * BLOCK, 'B');
	check(store, "top", inodes, bytes += BLOCK, disk += BLOCK);
	/* Part of a compressed one; a small one. */
	put(test_path("%s/packed", top), 2 * BLOCK, BLOCK, 'P');
	check(store, "top", inodes, bytes += BLOCK, disk += BLOCK);
	put(test_path("%s/small", top), 0, 50, 'S');
	check(store, "top", inodes, bytes += 100, disk += SECTOR);
	/* Appended, with an end that is no sector's; cut off again. */
	put(test_path("%s/large", top), 16 * BLOCK, 10, 'e');
	check(store, "top", inodes, bytes += 10, disk += SECTOR);
	ck_assert_int_eq(truncate(test_path("%s/large", top), 16 * BLOCK), 0);
	check(store, "top", inodes, bytes -= 10, disk -= SECTOR);
	/* A hole counts nothing, nor does what was there before. */
	ck_assert_int_eq(truncate(test_path("%s/large", top), 64 * BLOCK), 0);
	ck_assert_int_eq(truncate(test_path("%s/dir/else", top), BLOCK), 0);
	check(store, "top", inodes, bytes, disk);
	/* Old data cloned to another place, and to the same. */
	clone_range(test_path("%s/large", base), 8 * BLOCK, BLOCK, test_path("%s/dir/else", top),
		    2 * BLOCK);
	check(store, "top", inodes, bytes += BLOCK, disk += BLOCK);
	clone_range(test_path("%s/large", base), 3 * BLOCK, 3 * BLOCK, test_path("%s/large", top),
		    3 * BLOCK);
	check(store, "top", inodes, bytes -= 3 * BLOCK, disk -= 3 * BLOCK);
	/* A nested subvolume, and what stands for it in a snapshot. */
	test_subvolume_create(test_path("%s/nested", top));
	put(test_path("%s/nested/file", top), 0, BLOCK, 'N');
	check(store, "top", inodes += 2, bytes += BLOCK, disk += BLOCK);
	test_create(store, "leaf", "top");
	check(store, "leaf", 0, 0, 0);
	test_close(store);
}
END_TEST

/* Make the files that the random changes are made to. */
static void make_base(const char *path, uint64_t *seed)
{
	for (unsigned i = 0; i < FILES; i++) {
		char *file = test_path("%s/%u", path, i);
		size_t size = i % 3 ? test_random(seed) % (8 * BLOCK) : test_random(seed) % 3000;

		if (i % 4 == 1)
			compress_file(file);
		put(file, i % 5 ? 0 : (off_t)(test_random(seed) % BLOCK), size + 1, 'a' + (int)i);
	}
	test_mkdir(test_path("%s/dir", path));
	test_subvolume_create(test_path("%s/dir/nested", path));
	test_write(test_path("%s/dir/nested/file", path), "nested");
}

/* Change something in the layer TOP, whose parent is at BASE; what fails changes nothing. */
static void change(const char *base, const char *top, unsigned n, uint64_t *seed)
{
	unsigned i = (unsigned)(test_random(seed) % FILES),
		 j = (unsigned)(test_random(seed) % FILES);
	char *file = test_path("%s/%u", top, i), *other = test_path("%s/%u", top, j),
	     *new = test_path("%s/new-%u", top, n);
	off_t at = (off_t)(test_random(seed) % 64 * SECTOR);
	size_t size = test_random(seed) % 3 ? test_random(seed) % (2 * BLOCK) + 1
					    : (test_random(seed) % 16 + 1) * SECTOR;
	int fd, byte = 'A' + (int)n % 26;

	/* Names of which some are gone, and some are other files' by now. */
	fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	switch (test_random(seed) % 16) {
	case 0:
		put(new, at, size, byte);
		break;
	case 1:
		put(new, 0, size % 2000 + 1, byte);
		break;
	case 2:
		unlink(file);
		break;
	case 3:
		renameat2(AT_FDCWD, file, AT_FDCWD, other, RENAME_EXCHANGE);
		break;
	case 4:
		rename(file, test_path("%s/dir/%u", top, i));
		break;
	case 5:
		if (fd >= 0)
			ck_assert_int_eq(link(file, new), 0);
		break;
	case 6:
		if (fd >= 0)
			ck_assert_int_eq(ftruncate(fd, at + (off_t)(size % 3 ? size : 0)), 0);
		break;
	case 7:
		if (fd >= 0)
			ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   at, (off_t)size),
					 0);
		break;
	case 8:
		if (fd >= 0)
			ck_assert_int_eq(fallocate(fd, size % 2 ? FALLOC_FL_KEEP_SIZE : 0, at,
						   (off_t)size),
					 0);
		break;
	case 9:
	case 10:
		if (fd >= 0) {
			struct stat stat;
			char *from = test_path("%s/%u", base, j);
			off_t length;

			ck_assert_int_eq(lstat(from, &stat), 0);
			length = stat.st_size / SECTOR * SECTOR;
			/* Where the layer's file is inline, or compressed else, it is refused. */
			if (length && j % 4 == i % 4 && j % 3 && i % 3)
				clone_range(from, 0, (size_t)length, file, size % 2 ? 0 : at);
		}
		break;
	case 11:
		if (fd >= 0)
			ck_assert_int_eq(fchmod(fd, 0600 + n % 8), 0);
		break;
	case 12:
		test_subvolume_create(new);
		put(test_path("%s/file", new), 0, size, byte);
		break;
	case 13:
		ck_assert_int_eq(symlink("elsewhere", new), 0);
		break;
	default:
		if (fd >= 0)
			put(file, size % 2 ? at : 0, size, byte);
	}
	if (fd >= 0)
		close(fd);
}

/* After each few changes, some of them committed between, a search is what a walk is. */
START_TEST(test_random_changes)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	uint64_t seed = test_seed();
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 100 : 3;

	for (unsigned round = 0; round < rounds; round++) {
		char *base_id = test_path("base-%u", round), *top_id = test_path("top-%u", round);
		char *base = test_layer(home, base_id), *top = test_layer(home, top_id);

		test_create(store, base_id, NULL);
		make_base(base, &seed);
		test_create(store, top_id, base_id);
		for (unsigned i = 0; i < CHANGES; i++) {
			struct varve_layer_usage walk, search;

			change(base, top, i, &seed);
			if (i % 10 != 9)
				continue;
			search = measure(store, top_id, VARVE_USAGE_SEARCH);
			walk = measure(store, top_id, VARVE_USAGE_WALK);
			ck_assert_uint_eq(walk.inodes, search.inodes);
			ck_assert_uint_eq(walk.bytes, search.bytes);
			ck_assert_uint_eq(walk.disk_bytes, search.disk_bytes);
		}
		test_remove_layer(store, top_id);
	}
	test_close(store);
}
END_TEST

/* Is the delta of ID remembered? It is BYTES. */
static bool remembered(struct varve_store *store, const char *id, uint64_t flags, uint64_t bytes)
{
	struct varve_layer_usage usage = measure(store, id, flags);

	ck_assert_uint_eq(usage.bytes, bytes);
	return usage.flags & VARVE_USAGE_REMEMBERED;
}

/* What is remembered: not before it is committed, nor after a change, also one in memory alone. */
START_TEST(test_remembered)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *top = test_layer(home, "top");
	int fd;

	test_create(store, "base", NULL);
	put(test_path("%s/file", test_layer(home, "base")), 0, 4 * BLOCK, 'a');
	test_create(store, "top", "base");
	put(test_path("%s/new", top), 0, BLOCK, 'n');
	ck_assert(!remembered(store, "top", 0, BLOCK));
	ck_assert(remembered(store, "top", 0, BLOCK));
	ck_assert(remembered(store, "top", VARVE_USAGE_NO_FLUSH, BLOCK));
	/* A walk looks. */
	ck_assert(!remembered(store, "top", VARVE_USAGE_WALK, BLOCK));
	/* A snapshot of it is no change. */
	test_create(store, "leaf", "top");
	ck_assert(remembered(store, "top", VARVE_USAGE_NO_FLUSH, BLOCK));
	/* What is in memory alone shows after a flush. */
	put(test_path("%s/file", top), 0, BLOCK, 'b');
	ck_assert(remembered(store, "top", VARVE_USAGE_NO_FLUSH, BLOCK));
	ck_assert(!remembered(store, "top", 0, 2 * BLOCK));
	ck_assert(remembered(store, "top", 0, 2 * BLOCK));
	/* In a transaction that runs: the data is in the tree, and is not remembered. */
	put(test_path("%s/file", top), BLOCK, BLOCK, 'c');
	fd = open_file(test_path("%s/file", top), O_RDONLY);
	ck_assert_int_eq(fs_wait_written(fd), 0);
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(!(measure(store, "top", VARVE_USAGE_NO_FLUSH).flags &
			    VARVE_USAGE_REMEMBERED));
	ck_assert(!remembered(store, "top", 0, 3 * BLOCK));
	ck_assert(remembered(store, "top", 0, 3 * BLOCK));
	/* What is nested changes by itself. */
	test_subvolume_create(test_path("%s/nested", top));
	ck_assert(!remembered(store, "top", 0, 3 * BLOCK));
	put(test_path("%s/nested/file", top), 0, BLOCK, 'd');
	ck_assert(!remembered(store, "top", 0, 4 * BLOCK));
	test_close(store);
}
END_TEST

/* What is changed in the transaction that has made the layer is not missed. */
START_TEST(test_fresh)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);

	test_create(store, "layer", NULL);
	ck_assert_uint_eq(measure(store, "layer", VARVE_USAGE_NO_FLUSH).inodes, 1);
	put(test_path("%s/file", test_layer(home, "layer")), 0, SECTOR, 'x');
	check(store, "layer", 2, SECTOR, SECTOR);
	/* In a later transaction it is remembered. */
	test_create(store, "other", NULL);
	measure(store, "layer", 0);
	ck_assert_uint_ne(measure(store, "layer", 0).flags & VARVE_USAGE_REMEMBERED, 0);
	test_close(store);
}
END_TEST

/* A frozen layer that another program thaws, changes and freezes again. */
START_TEST(test_thawed)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *top = test_layer(home, "top");

	test_create(store, "base", NULL);
	put(test_path("%s/file", test_layer(home, "base")), 0, 4 * BLOCK, 'a');
	test_create(store, "top", "base");
	test_error(varve_layer_freeze_wait(store, "top", 0, NULL), 0);
	ck_assert(!remembered(store, "top", 0, 0) || remembered(store, "top", 0, 0));
	ck_assert(remembered(store, "top", 0, 0));
	for (unsigned i = 1; i <= 3; i++) {
		int fd = open_file(top, O_RDONLY | O_DIRECTORY);
		uint64_t flags = 0;

		ck_assert_int_eq(ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
		put(test_path("%s/file", top), 0, i * BLOCK, 'b');
		flags = BTRFS_SUBVOL_RDONLY;
		ck_assert_int_eq(ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
		close(fd);
		remembered(store, "top", 0, i * BLOCK);
		check(store, "top", 0, i * BLOCK, i * BLOCK);
	}
	test_close(store);
}
END_TEST

/* The parent changes, is gone, another takes its name: a search goes on, a walk says so. */
START_TEST(test_parent_gone)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	struct varve_failure failure = { 0 };

	test_create(store, "base", NULL);
	put(test_path("%s/file", base), 0, 4 * BLOCK, 'a');
	put(test_path("%s/small", base), 0, 100, 's');
	test_create(store, "top", "base");
	put(test_path("%s/file", top), 0, BLOCK, 'b');
	put(test_path("%s/small", top), 0, 100, 'S');
	put(test_path("%s/new", top), 0, BLOCK, 'n');
	check(store, "top", 1, 2 * BLOCK + 100, 2 * BLOCK + SECTOR);
	/* A change of the parent is none of the layer. */
	put(test_path("%s/late", base), 0, BLOCK, 'l');
	put(test_path("%s/small", base), 0, 100, 'S');
	ck_assert_int_eq(chmod(test_path("%s/small", top), 0600), 0);
	ck_assert_uint_eq(measure(store, "top", VARVE_USAGE_SEARCH).bytes, 2 * BLOCK + 100);
	for (unsigned i = 0; i < 2; i++) {
		test_remove_layer(store, "base");
		ck_assert_int_eq(chmod(test_path("%s/file", top), 0600 + i), 0);
		ck_assert_uint_eq(measure(store, "top", VARVE_USAGE_SEARCH).bytes, 2 * BLOCK + 100);
		test_error(varve_layer_usage_wait(store, "top",
						  VARVE_USAGE_DELTA | VARVE_USAGE_WALK, NULL,
						  &failure),
			   -ESTALE);
		ck_assert_ptr_nonnull(strstr(failure.detail, "not in the store"));
		/* Another layer of that name is not the parent. */
		test_create(store, "base", NULL);
	}
	test_close(store);
}
END_TEST

/* A received subvolume is measured against what it is a snapshot of here. */
START_TEST(test_received)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *top = test_layer(home, "top");
	struct btrfs_ioctl_received_subvol_args args = { .uuid = "0123456789abcdef",
							 .stransid = 7 };
	int fd;

	test_create(store, "base", NULL);
	put(test_path("%s/file", test_layer(home, "base")), 0, 4 * BLOCK, 'a');
	test_create(store, "top", "base");
	put(test_path("%s/file", top), BLOCK, BLOCK, 'b');
	fd = open_file(top, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(ioctl(fd, BTRFS_IOC_SET_RECEIVED_SUBVOL, &args), 0);
	close(fd);
	check(store, "top", 0, BLOCK, BLOCK);
	check(store, "top", 0, BLOCK, BLOCK);
	test_close(store);
}
END_TEST

/* Without privilege it is walked, and says the same. */
static int measure_as_nobody(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	struct varve_layer_usage usage;

	test_create(store, "base", NULL);
	put(test_path("%s/file", base), 0, 4 * BLOCK, 'a');
	put(test_path("%s/small", base), 0, 100, 's');
	test_create(store, "top", "base");
	put(test_path("%s/file", top), BLOCK, BLOCK, 'b');
	put(test_path("%s/small", top), 0, 10, 'S');
	put(test_path("%s/new", top), 0, BLOCK, 'n');
	ck_assert_int_eq(rename(test_path("%s/file", top), test_path("%s/else", top)), 0);
	usage = measure(store, "top", 0);
	ck_assert_uint_eq(usage.flags, VARVE_USAGE_WALK);
	ck_assert_uint_eq(usage.inodes, 1);
	ck_assert_uint_eq(usage.bytes, 2 * BLOCK + 100);
	ck_assert_uint_eq(usage.disk_bytes, 2 * BLOCK + SECTOR);
	test_error(varve_layer_usage_wait(store, "top", VARVE_USAGE_DELTA | VARVE_USAGE_SEARCH,
					  NULL, NULL),
		   -EPERM);
	test_close(store);
	return 0;
}

START_TEST(test_nobody)
{
	test_as_nobody(measure_as_nobody, test_home_of_nobody());
}
END_TEST

/* Many layers at once; some are cancelled; then the store closes amid others. */
START_TEST(test_many)
{
	enum { MANY = 60 };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct test_record records[MANY] = { 0 };
	varve_request requests[MANY];

	test_create(store, "base", NULL);
	put(test_path("%s/file", test_layer(home, "base")), 0, 4 * BLOCK, 'a');
	for (unsigned i = 0; i < MANY; i++) {
		test_create(store, test_path("%u", i), "base");
		put(test_path("%s/new", test_layer(home, test_path("%u", i))), 0, BLOCK, 'n');
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MANY; i++)
			test_error(varve_layer_usage(store, test_path("%u", i),
						     VARVE_USAGE_DELTA |
							     (i % 7 ? 0 : VARVE_USAGE_WALK),
						     test_record, &records[i], &requests[i]),
				   0);
		for (unsigned i = 0; round && i < MANY; i += 5)
			varve_cancel(store, requests[i]);
		if (round == 2)
			break;
		test_await_all(store, records, MANY);
		for (unsigned i = 0; i < MANY; i++)
			if (records[i].error != -ECANCELED || !round || i % 5)
				test_error(records[i].error, 0);
		memset(records, 0, sizeof(records));
	}
	test_close(store);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(records[i].calls, 1);
}
END_TEST

/* The cache keeps what was used last, and no more than it may. */
START_TEST(test_cache_bound)
{
	struct fault fault = { 0 };
	struct usage_cache *cache = usage_cache_new(&fault);
	struct usage_numbers numbers = { 0 };

	ck_assert_ptr_nonnull(cache);
	for (uint64_t i = 1; i <= USAGE_CACHE_MAX; i++)
		usage_cache_keep(cache, i, 10, &(struct usage_numbers){ .bytes = i });
	ck_assert(usage_cache_find(cache, 1, 10, &numbers));
	ck_assert(!usage_cache_find(cache, 1, 11, &numbers));
	/* The next one takes the place of 2, which was used longest ago; in the bucket of 1. */
	usage_cache_keep(cache, USAGE_CACHE_MAX + 1, 10, &(struct usage_numbers){ .bytes = 7 });
	ck_assert(!usage_cache_find(cache, 2, 10, &numbers));
	ck_assert(usage_cache_find(cache, 1, 10, &numbers));
	ck_assert_uint_eq(numbers.bytes, 1);
	ck_assert(usage_cache_find(cache, USAGE_CACHE_MAX + 1, 10, &numbers));
	ck_assert_uint_eq(numbers.bytes, 7);
	/* A later transaction takes the place of an earlier one. */
	usage_cache_keep(cache, 1, 11, &(struct usage_numbers){ .bytes = 8 });
	ck_assert(!usage_cache_find(cache, 1, 10, &numbers));
	ck_assert(usage_cache_find(cache, 1, 11, &numbers));
	ck_assert_uint_eq(numbers.bytes, 8);
	usage_cache_free(cache);
	usage_cache_free(NULL);
}
END_TEST

TEST_MAIN("usage_delta", test_nothing, test_kinds, test_random_changes, test_remembered, test_fresh,
	  test_thawed, test_parent_gone, test_received, test_nobody, test_many, test_cache_bound)
