/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whiteouts do not depend on where in an archive they stand: what the archive brings stays, what
 * was there before it goes. And a name that would be read as one is not archived.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tar.h"

/* The most entries of an archive here, and lines of a tree. */
#define ENTRIES_MAX 8
#define LINES_MAX 64

/* What nftw() has found: lines, and how long the way to the layer is. */
static char *lines[LINES_MAX];
static size_t lines_count, root_length;

/* Note PATH, its mode and owner, and the names that its inode has. */
static int found(const char *path, const struct stat *stat_found, int type, struct FTW *ftw)
{
	bool dir = S_ISDIR(stat_found->st_mode);

	ck_assert_uint_lt(lines_count, LINES_MAX);
	lines[lines_count++] = test_path("%s %o %u %u%s", path + root_length, stat_found->st_mode,
					 stat_found->st_uid,
					 dir ? 0 : (unsigned)stat_found->st_nlink,
					 lgetxattr(path, "user.old", NULL, 0) >= 0 ? " old" : "");
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All that is below PATH, a line each. */
static char *tree(const char *path)
{
	char *text = test_path("%s", "");

	lines_count = 0;
	root_length = strlen(path);
	ck_assert_int_eq(nftw(path, found, 16, FTW_PHYS), 0);
	qsort(lines, lines_count, sizeof(*lines), by_text);
	for (size_t i = 0; i < lines_count; i++)
		text = test_path("%s%s\n", text, lines[i]);
	return text;
}

/* Make the layer "made" from "base" and the archive in FD: 0, or -errno and FAILURE. */
static int apply_from(struct varve_store *store, int fd, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply_options = VARVE_APPLY_OPTIONS_INIT;

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	options.parent = "base";
	options.apply = &apply_options;
	options.apply_fd = fd;
	return varve_layer_create_wait(store, "made", &options, failure);
}

/* Make the layer "made" from "base" and TAR: 0, or -errno and FAILURE. */
static int try_apply(struct varve_store *store, struct tar *tar, struct varve_failure *failure)
{
	int fd = memfd_create("archive", MFD_CLOEXEC), r;

	tar_end(tar);
	ck_assert_int_eq(write(fd, tar->bytes, tar->size), (ssize_t)tar->size);
	r = apply_from(store, fd, failure);
	close(fd);
	return r;
}

/* Make the layer "made" from "base" and TAR; its tree. */
static char *apply(struct varve_store *store, const char *home, struct tar *tar)
{
	struct varve_failure failure;
	char *text;

	test_ok(try_apply(store, tar, &failure), &failure);
	text = tree(test_layer(home, "made"));
	test_remove_layer(store, "made");
	return text;
}

/* A store with a layer "base" that has something to be deleted. */
static struct varve_store *open_store(const char *home)
{
	static const char *const dirs[] = { "a", "a/b", "a/b/c", "a/gone", "d" };
	static const char *const files[] = { "a/old",    "a/b/bar", "a/b/c/baz",
					     "a/gone/x", "d/kept",  "top" };
	struct varve_store *store = test_open_relaxed(home);

	test_create(store, "base", NULL);
	for (size_t i = 0; i < TEST_COUNT(dirs); i++) {
		const char *path = test_path("%s/%s", test_layer(home, "base"), dirs[i]);

		test_mkdir(path);
		ck_assert_int_eq(chmod(path, 0700), 0);
		ck_assert_int_eq(chown(path, 7, 7), 0);
		ck_assert_int_eq(setxattr(path, "user.old", "1", 1, 0), 0);
	}
	for (size_t i = 0; i < TEST_COUNT(files); i++)
		test_write(test_path("%s/%s", test_layer(home, "base"), files[i]), files[i]);
	return store;
}

/*
 * The entries, with those that delete (their number is set in DELETES) at each place among the
 * others, give one tree: WANTED.
 */
static void every_order(const struct tar_entry *entries, size_t count, unsigned deletes,
			const char *wanted)
{
	char *home = test_home();
	struct varve_store *store = open_store(home);

	for (size_t at = 0; at <= count; at++) {
		struct tar tar = { 0 };

		for (size_t i = 0; i <= count; i++) {
			for (size_t j = 0; i == at && j < count; j++)
				if (deletes & 1u << j)
					tar_add(&tar, &entries[j]);
			if (i < count && !(deletes & 1u << i))
				tar_add(&tar, &entries[i]);
		}
		ck_assert_str_eq(apply(store, home, &tar), wanted);
	}
	test_close(store);
}

START_TEST(test_opaque)
{
	static const struct tar_entry entries[] = {
		{ .name = "a/.wh..wh..opq" },
		{ .name = "a/", .type = '5', .mode = 0755 },
		{ .name = "a/b/", .type = '5', .mode = 0750 },
		{ .name = "a/b/c/", .type = '5', .mode = 0750 },
		{ .name = "a/b/c/foo", .mode = 0600 },
	};

	/*
	 * The attributes of a directory with an entry of its own are those that it had, as where
	 * nothing is opaque.
	 */
	every_order(
		entries, TEST_COUNT(entries), 1,
		" 40755 0 0\n/a 40755 0 0\n/a/b 40750 0 0\n/a/b/c 40750 0 0\n/a/b/c/foo 100600 0 1\n"
		"/d 40700 7 0 old\n/d/kept 100644 0 1\n/top 100644 0 1\n");
}
END_TEST

START_TEST(test_opaque_implicit)
{
	static const struct tar_entry entries[] = {
		{ .name = "a/.wh..wh..opq" },
		{ .name = "a/b/c/foo", .mode = 0600 },
		{ .name = "top", .mode = 0600 },
	};

	every_order(
		entries, TEST_COUNT(entries), 1,
		" 40755 0 0\n/a 40700 7 0 old\n/a/b 40755 0 0\n/a/b/c 40755 0 0\n/a/b/c/foo 100600 0 1\n"
		"/d 40700 7 0 old\n/d/kept 100644 0 1\n/top 100600 0 1\n");
}
END_TEST

START_TEST(test_opaque_links)
{
	static const struct tar_entry entries[] = {
		{ .name = "a/.wh..wh..opq" },
		{ .name = "a/.wh.link" },
		{ .name = "d/.wh.second" },
		{ .name = "a/link", .type = '1', .link = "d/kept" },
		{ .name = "d/second", .type = '1', .link = "d/kept" },
	};

	every_order(
		entries, TEST_COUNT(entries), 7,
		" 40755 0 0\n/a 40700 7 0 old\n/a/link 100644 0 3\n/d 40700 7 0 old\n/d/kept 100644 0 3\n/d/second 100644 0 3\n"
		"/top 100644 0 1\n");
}
END_TEST

/*
 * A link to a file that the archive deletes under its old name: the old name goes, the new one
 * stays.
 */
START_TEST(test_link_to_deleted)
{
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct tar tar = { 0 };

	tar_add(&tar, &(struct tar_entry){ .name = "d/new", .type = '1', .link = "a/old" });
	tar_add(&tar, &(struct tar_entry){ .name = "d/newer", .type = '1', .link = "top" });
	tar_add(&tar, &(struct tar_entry){ .name = "a/.wh..wh..opq" });
	tar_add(&tar, &(struct tar_entry){ .name = ".wh.top" });
	ck_assert_str_eq(apply(store, home, &tar),
			 " 40755 0 0\n/a 40700 7 0 old\n/d 40700 7 0 old\n/d/kept 100644 0 1\n"
			 "/d/new 100644 0 1\n/d/newer 100644 0 1\n");
	test_close(store);
}
END_TEST

START_TEST(test_deletes)
{
	static const struct tar_entry entries[] = {
		{ .name = ".wh.top" },
		{ .name = ".wh.a" },
		{ .name = "d/.wh.kept" },
		{ .name = "d/.wh.none" },
		{ .name = "top", .mode = 0600 },
		{ .name = "a/b/foo", .mode = 0600 },
		{ .name = "a/old", .mode = 0600 },
		{ .name = "d/kept", .type = '5', .mode = 0755 },
	};

	every_order(
		entries, TEST_COUNT(entries), 15,
		" 40755 0 0\n/a 40755 0 0\n/a/b 40755 0 0\n/a/b/foo 100600 0 1\n/a/old 100600 0 1\n"
		"/d 40700 7 0 old\n/d/kept 40755 0 0\n/top 100600 0 1\n");
}
END_TEST

/* How many entries of a layer were looked at, by number or by name. */
static _Atomic unsigned looks;

/* Stands for the C library's. */
__attribute__((visibility("default"))) int statx(int fd, const char *path, int flags, unsigned mask,
						 struct statx *stat)
{
	looks++;
	return (int)syscall(SYS_statx, fd, path, flags, mask, stat);
}

#define MARKERS 50
#define BROUGHT 200

/*
 * How often is looked when an archive with BROUGHT entries in "DIR/" has COUNT opaque markers of
 * "DIR/" behind them?
 */
static unsigned looks_of(struct varve_store *store, const char *home, const char *dir,
			 unsigned count)
{
	struct varve_failure failure;
	struct tar tar = { 0 };

	for (unsigned i = 0; i < BROUGHT; i++)
		tar_add(&tar, &(struct tar_entry){ .name = test_path("%s/%u", dir, i) });
	for (unsigned i = 0; i < count; i++)
		tar_add(&tar, &(struct tar_entry){ .name = test_path("%s/.wh..wh..opq", dir) });
	looks = 0;
	test_ok(try_apply(store, &tar, &failure), &failure);
	ck_assert(!test_exists(test_path("%s/a/old", test_layer(home, "made"))) ||
		  strcmp(dir, "a") != 0);
	ck_assert(test_exists(test_path("%s/%s/0", test_layer(home, "made"), dir)));
	test_remove_layer(store, "made");
	return looks;
}

/*
 * A second opaque marker of a directory costs no look at what is in it: neither of an old one, nor
 * of the root, nor of a new one.
 */
START_TEST(test_many_markers)
{
	static const char *const dirs[] = { "a", ".", "new", "a/b/c" };
	char *home = test_home();
	struct varve_store *store = open_store(home);

	for (size_t i = 0; i < TEST_COUNT(dirs); i++) {
		unsigned one = looks_of(store, home, dirs[i], 1),
			 many = looks_of(store, home, dirs[i], MARKERS);

		ck_assert_msg(many < one + 10 * MARKERS, "%s: %u looks, with one marker %u",
			      dirs[i], many, one);
	}
	test_close(store);
}
END_TEST

/* A diff of "made" fails for the name NAME. */
static void refused(struct varve_store *store, const char *name)
{
	struct varve_failure failure = { 0 };
	int fd = memfd_create("archive", MFD_CLOEXEC);
	int r = varve_layer_diff_wait(store, "made", NULL, fd, NULL, NULL, &failure);

	test_error(r, -EINVAL);
	ck_assert_str_eq(failure.detail,
			 "a name that begins with \".wh.\" means a deletion in an archive");
	ck_assert_str_eq(failure.path + strlen(failure.path) - strlen(name), name);
	/* Cut off within a block, it passes for whole nowhere. */
	ck_assert_int_ne(lseek(fd, 0, SEEK_END) % TAR_BLOCK_BYTES, 0);
	close(fd);
}

START_TEST(test_names)
{
	char *home = test_home();
	struct varve_store *store = open_store(home);
	const char *made;

	test_create(store, "made", "base");
	made = test_layer(home, "made");
	test_write(test_path("%s/a/.wh.file", made), "x");
	refused(store, "made/a/.wh.file");
	ck_assert_int_eq(unlink(test_path("%s/a/.wh.file", made)), 0);
	test_mkdir(test_path("%s/a/.wh..wh..opq", made));
	refused(store, "made/a/.wh..wh..opq");
	ck_assert_int_eq(rmdir(test_path("%s/a/.wh..wh..opq", made)), 0);
	/* Nor can one be deleted: what would say so is something else. */
	test_remove_layer(store, "made");
	test_write(test_path("%s/.wh.x", test_layer(home, "base")), "x");
	test_create(store, "made", "base");
	ck_assert_int_eq(unlink(test_path("%s/.wh.x", made)), 0);
	refused(store, "made/.wh.x");
	test_close(store);
}
END_TEST

/* Names as long as a name can be are deleted by archives of the library, too. */
START_TEST(test_long_names)
{
	static const int lengths[] = { 251, 252, 255 };
	char *home = test_home(), *base = test_layer(home, "base"),
	     *made = test_layer(home, "made");
	struct varve_store *store = open_store(home);
	struct varve_failure failure = { 0 };
	int fd = memfd_create("archive", MFD_CLOEXEC);

	for (size_t i = 0; i < TEST_COUNT(lengths); i++) {
		test_write(test_path("%s/a/%0*d", base, lengths[i], 1), "x");
		test_mkdir(test_path("%s/a/%0*d", base, lengths[i], 2));
		test_write(test_path("%s/a/%0*d/inside", base, lengths[i], 2), "x");
	}
	test_create(store, "top", "base");
	for (size_t i = 0; i < TEST_COUNT(lengths); i++)
		for (int kind = 1; kind <= 2; kind++)
			test_remove(
				test_path("%s/a/%0*d", test_layer(home, "top"), lengths[i], kind));
	test_ok(varve_layer_diff_wait(store, "top", NULL, fd, NULL, NULL, &failure), &failure);
	test_ok(apply_from(store, fd, &failure), &failure);
	ck_assert_str_eq(tree(made), tree(test_layer(home, "top")));
	close(fd);
	test_close(store);
}
END_TEST

/*
 * What no archive could hold afterwards is refused, and an archiver's own directory at the root is
 * passed over.
 */
START_TEST(test_inner_names)
{
	static const char *const refused_names[] = { ".wh.x/y",     "a/.wh.x/y",
						     "a/.wh.x/b/y", "a/.wh..wh..opq/y",
						     ".wh.x/.wh.y", "a/.wh..wh.x/y" };
	static const char *const passed[] = { ".wh..wh.x/y", ".wh..wh..opq/y", ".wh..wh.x/.wh.y",
					      ".wh..wh.aufs" };
	char *home = test_home(), *before;
	struct varve_store *store = open_store(home);
	struct varve_failure failure;

	for (size_t i = 0; i < TEST_COUNT(refused_names); i++) {
		struct tar tar = { 0 };

		tar_add(&tar, &(struct tar_entry){ .name = refused_names[i] });
		test_error(try_apply(store, &tar, &failure), -EINVAL);
		ck_assert_msg(strstr(failure.path, refused_names[i]), "%s", failure.path);
		ck_assert_msg(strstr(failure.detail, "means a deletion"), "%s", failure.detail);
		ck_assert(!test_layer_exists(home, "made"));
	}
	before = tree(test_layer(home, "base"));
	for (size_t i = 0; i < TEST_COUNT(passed); i++) {
		struct tar tar = { 0 };

		tar_add(&tar, &(struct tar_entry){ .name = passed[i] });
		ck_assert_str_eq(apply(store, home, &tar), before);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("whiteouts", test_opaque, test_opaque_implicit, test_opaque_links, test_link_to_deleted,
	  test_deletes, test_many_markers, test_names, test_long_names, test_inner_names)
