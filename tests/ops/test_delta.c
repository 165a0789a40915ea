/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tree search tells of two layers: files that were only read are passed over, and too many changes are no answer.
 * Whatever the bounds of what is kept of it, the comparison says the same.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/btrfs/delta.h"
#include "engine/btrfs/fs.h"
#include "engine/core/store.h"
#include "test.h"

#define FILES 40
#define DIRS 6

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
	*delta = (struct delta){ .limits.inodes = inodes_max, .cancelled = &never };
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

/* Let the clock go on, many ticks beyond the time of change of PATH: what is made then is later. */
static void let_pass(const char *path) {
	struct stat last, now;
	long passed_ns;

	ck_assert_int_eq(stat(path, &last), 0);
	do {
		ck_assert_int_eq(utimensat(AT_FDCWD, path, NULL, 0), 0);
		ck_assert_int_eq(stat(path, &now), 0);
		passed_ns = (now.st_ctim.tv_sec - last.st_ctim.tv_sec) * 1000000000l;
		passed_ns += now.st_ctim.tv_nsec - last.st_ctim.tv_nsec;
	} while (passed_ns < 20000000);
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
	test_write(test_path("%s/clock", base), "");
	let_pass(test_path("%s/clock", base));
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
	ck_assert_uint_ge(delta.inodes_found, FILES);
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

/* ---- the whole comparison ---------------------------------------------------------------------------------------- */

/* How often the library searched and walked, and how many inodes the last search told of. */
struct ways {
	unsigned searches, walks;
	size_t inodes;
};

/* Note which way the library goes. */
static void count_ways(void *data, const char *line) {
	struct ways *ways = data;
	const char *search = strstr(line, ": search, ");

	if (search)
		ck_assert_int_eq(sscanf(search, ": search, %zu inodes", &ways->inodes), 1);
	ways->searches += search != NULL;
	ways->walks += strstr(line, ": walk, ") != NULL;
}

/* What the comparison of "top" with its parent says with FLAGS, a line each, to be freed. */
static char *tell(struct varve_store *store, uint64_t flags) {
	struct varve_failure failure = { 0 };
	struct varve_change *changes = NULL;
	size_t count = 0, size = 0;
	char *lines = NULL;
	FILE *file = open_memstream(&lines, &size);

	test_ok(varve_layer_changes_wait(store, "top", TEST_CHANGES(NULL, flags), &changes, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%c %s\n", (char)changes[i].kind, changes[i].path);
	fclose(file);
	free(changes);
	return lines;
}

/* Change modes in directories that stay as they are, come and go in others, and move one; BASE has a later life, too. */
static void edit(const char *base, const char *top) {
	for (unsigned i = 0; i < DIRS; i++)
		for (unsigned j = 0; j < FILES; j += 1 + i * 3)
			ck_assert_int_eq(chmod(test_path("%s/%u/in/%u", top, i, j), 0600), 0);
	ck_assert_int_eq(chmod(test_path("%s/%u/in", top, 1), 0700), 0);
	test_remove(test_path("%s/2/in/0", top));
	test_write(test_path("%s/2/in/new", top), "new");
	test_write(test_path("%s/2/in/1", top), "longer than it was");
	ck_assert_int_eq(rename(test_path("%s/3/in", top), test_path("%s/3/out", top)), 0);
	ck_assert_int_eq(rename(test_path("%s/4/in/1", top), test_path("%s/4/in/one", top)), 0);
	ck_assert_int_eq(link(test_path("%s/5/in/1", top), test_path("%s/4/one", top)), 0);
	test_subvolume_create(test_path("%s/5/in/nested", top));
	test_write(test_path("%s/5/in/nested/file", top), "nested");
	test_write(test_path("%s/0/late", base), "late");
	ck_assert_int_eq(chmod(test_path("%s/0/in/1", base), 0640), 0);
}

START_TEST(test_bounds) {
	static const struct {
		struct delta_limits limits;
		/* That much is not too much. */
		bool searched;
	} cases[] = {
		{ { .inodes = 0 }, true },	  { { .inodes = 1 }, false },	    { { .inodes = FILES }, false },
		{ { .directories = 1 }, false },  { { .directories = 2 }, false },  { { .directories = 1000 }, true },
		{ { .hints_bytes = 1 }, true },	  { { .hints_bytes = 100 }, true }, { { .hints_bytes = 500 }, true },
	};
	char *home = test_home(), *base = test_layer(home, "base"), *top = test_layer(home, "top"), *expected;
	struct ways ways = { .searches = 0 };
	struct varve_config config = test_config(home);
	struct varve_store *store;
	size_t inodes;

	config.debug = "op";
	config.log = count_ways;
	config.log_data = &ways;
	store = test_open_config(&config);
	test_create(store, "base", NULL);
	for (unsigned i = 0; i < DIRS; i++) {
		test_mkdir(test_path("%s/%u", base, i));
		test_mkdir(test_path("%s/%u/in", base, i));
		for (unsigned j = 0; j < FILES; j++)
			test_write(test_path("%s/%u/in/%u", base, i, j), "text");
	}
	test_create(store, "top", "base");
	edit(base, top);
	expected = tell(store, VARVE_CHANGES_WALK);
	ck_assert_ptr_nonnull(strstr(expected, "A /5/in/nested/file\n"));
	ck_assert_ptr_nonnull(strstr(expected, "M /0/in/1\n"));
	for (unsigned i = 0; i < TEST_COUNT(cases); i++) {
		unsigned searches = ways.searches, walks = ways.walks;
		char *actual;

		store->settings.delta = cases[i].limits;
		actual = tell(store, 0);
		ck_assert_str_eq(actual, expected);
		ck_assert_msg(ways.searches - searches == cases[i].searched && ways.walks - walks == !cases[i].searched,
			      "case %u", i);
		free(actual);
	}
	/* To the inode. */
	inodes = ways.inodes;
	for (size_t limit = inodes - 1; limit <= inodes; limit++) {
		unsigned walks = ways.walks;
		char *actual;

		store->settings.delta = (struct delta_limits){ .inodes = limit };
		actual = tell(store, 0);
		ck_assert_str_eq(actual, expected);
		ck_assert_uint_eq(ways.walks - walks, limit < inodes);
		free(actual);
	}
	free(expected);
	test_close(store);
}
END_TEST

/* What both trees change in the same tick of the clock, alike in number and size, is a change all the same. */
START_TEST(test_same_tick) {
	char *home = test_home(), *base = test_layer(home, "base"), *top = test_layer(home, "top"), *expected, *actual;
	struct varve_store *store = test_open(home);

	test_create(store, "base", NULL);
	for (unsigned i = 0; i < FILES; i++)
		test_mkdir(test_path("%s/%u", base, i));
	test_create(store, "top", "base");
	for (unsigned i = 0; i < FILES; i++) {
		char *one = test_path("%s/%u/a", top, i), *other = test_path("%s/%u/b", base, i);

		test_mkdir(one);
		test_mkdir(other);
	}
	expected = tell(store, VARVE_CHANGES_WALK);
	actual = tell(store, 0);
	ck_assert_str_eq(actual, expected);
	free(actual);
	free(expected);
	test_close(store);
}
END_TEST

TEST_MAIN("delta", test_read_only, test_too_many, test_bounds, test_same_tick)
