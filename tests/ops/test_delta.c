/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tree search finds of two layers: files that were only read are passed over, and too many
 * changes are no answer. Whatever the bounds of what is kept of it, and wherever threads leave off,
 * the comparison says the same.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/btrfs/fs.h"
#include "engine/diff/delta.h"
#include "engine/store/store.h"
#include "engine/walk/workers.h"
#include "random_tree.h"
#include "test.h"

#define FILES 40
#define DIRS 6

static _Atomic bool never;

/* The inode number of FILE of the layer at PATH. */
static uint64_t number(const char *path, unsigned file)
{
	struct stat stat;

	ck_assert_int_eq(lstat(test_path("%s/%u", path, file), &stat), 0);
	return stat.st_ino;
}

/*
 * Collect what differs between the layers at BASE and TOP, flushed, with at most INODES_MAX changed
 * ones.
 */
static int collect(struct delta *delta, const char *base, const char *top, size_t inodes_max)
{
	int fds[2] = { open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		       open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC) },
	    r;

	ck_assert(fds[0] >= 0 && fds[1] >= 0);
	ck_assert_int_eq(fs_flush(fds[0]), 0);
	*delta = (struct delta){ .limits.inodes = inodes_max, .cancelled = &never };
	r = delta_collect(delta, fds);
	close(fds[0]);
	close(fds[1]);
	return r;
}

/*
 * Set the time of access of FILE of the layer at PATH by reading it, as a mount with relatime does
 * once a day.
 */
static bool access_file(const char *path, unsigned file)
{
	char *name = test_path("%s/%u", path, file);
	struct stat before, after;

	ck_assert_int_eq(stat(name, &before), 0);
	test_read(name);
	ck_assert_int_eq(stat(name, &after), 0);
	return before.st_atim.tv_sec != after.st_atim.tv_sec ||
	       before.st_atim.tv_nsec != after.st_atim.tv_nsec;
}

/* Let the clock go on, many ticks beyond the time of change of PATH: what is made then is later. */
static void let_pass(const char *path)
{
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

START_TEST(test_read_only)
{
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
		ck_assert_msg(delta_changed(&delta, number(top, i)) == (i == 7 || i == 8),
			      "file %u", i);
	delta_free(&delta);
	test_close(store);
}
END_TEST

START_TEST(test_too_many)
{
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

/* ---- the whole comparison -------------------------------------------------------------------- */

/* How often the library searched and walked, and how many inodes the last search found. */
struct ways {
	unsigned searches, walks;
	size_t inodes;
};

/* Note which way the library goes. */
static void count_ways(void *data, const char *line)
{
	struct ways *ways = data;
	const char *search = strstr(line, ": search, ");

	if (search)
		ck_assert_int_eq(sscanf(search, ": search, %zu inodes", &ways->inodes), 1);
	ways->searches += search != NULL;
	ways->walks += strstr(line, ": walk, ") != NULL;
}

/*
 * What the comparison of "top" with PARENT (NULL: its own) says with FLAGS, a line each, to be
 * freed.
 */
static char *tell_from(struct varve_store *store, const char *parent, uint64_t flags)
{
	struct varve_failure failure = { 0 };
	struct varve_change *changes = NULL;
	size_t count = 0, size = 0;
	char *lines = NULL;
	FILE *file = open_memstream(&lines, &size);

	test_ok(varve_layer_changes_wait(store, "top", TEST_CHANGES(parent, flags), &changes,
					 &count, &failure),
		&failure);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%c %s\n", (char)changes[i].kind, changes[i].path);
	fclose(file);
	free(changes);
	return lines;
}

/* The same with its parent. */
static char *tell(struct varve_store *store, uint64_t flags)
{
	return tell_from(store, NULL, flags);
}

/*
 * Change modes in directories that stay as they are, come and go in others, and move one; BASE has
 * a later life, too.
 */
static void edit(const char *base, const char *top)
{
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

START_TEST(test_bounds)
{
	static const struct {
		struct delta_limits limits;
		/* That much is not too much. */
		bool searched;
	} cases[] = {
		{ { .inodes = 0 }, true },        { { .inodes = 1 }, false },
		{ { .inodes = FILES }, false },   { { .directories = 1 }, false },
		{ { .directories = 2 }, false },  { { .directories = 1000 }, true },
		{ { .hints_bytes = 1 }, true },   { { .hints_bytes = 100 }, true },
		{ { .hints_bytes = 500 }, true },
	};
	char *home = test_home(), *base = test_layer(home, "base"), *top = test_layer(home, "top"),
	     *expected;
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
		ck_assert_msg(ways.searches - searches == cases[i].searched &&
				      ways.walks - walks == !cases[i].searched,
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

/*
 * What both trees change in the same tick of the clock, alike in number and size, is a change all
 * the same.
 */
START_TEST(test_same_tick)
{
	char *home = test_home(), *base = test_layer(home, "base"), *top = test_layer(home, "top"),
	     *expected, *actual;
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

/* ---- slices ---------------------------------------------------------------------------------- */

/* Bytes of files whose content is compared in several slices. */
#define LARGE_BYTES (1 << 20)

/*
 * Slices of comparisons that are over; after how many a thread is to wait (0: none does), and one
 * does.
 */
static pthread_mutex_t slices_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t slices_changed = PTHREAD_COND_INITIALIZER;
static unsigned slices, slices_hold;
static bool slices_held;

/* Count slices. */
static void count_slices(void *data, const char *line)
{
	(void)data;
	if (!strstr(line, "lane walk: compare = "))
		return;
	pthread_mutex_lock(&slices_lock);
	slices++;
	slices_held |= slices_hold && slices == slices_hold;
	pthread_cond_broadcast(&slices_changed);
	while (slices_held)
		pthread_cond_wait(&slices_changed, &slices_lock);
	pthread_mutex_unlock(&slices_lock);
}

/* Begin to count anew, and let a thread wait after COUNT slices. */
static void hold_after(unsigned count)
{
	pthread_mutex_lock(&slices_lock);
	slices = 0;
	slices_hold = count;
	pthread_mutex_unlock(&slices_lock);
}

/* Wait until a thread does, cancel REQUEST, and let the thread go on. */
static void cancel_held(struct varve_store *store, varve_request request)
{
	pthread_mutex_lock(&slices_lock);
	while (!slices_held)
		pthread_cond_wait(&slices_changed, &slices_lock);
	test_error(varve_cancel(store, request), 0);
	slices_held = false;
	pthread_cond_broadcast(&slices_changed);
	pthread_mutex_unlock(&slices_lock);
}

/* Write LARGE_BYTES to PATH, anew, of which one differs where CHANGE is; the time stays. */
static void write_large(const char *path, bool change)
{
	static const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	char *bytes = test_alloc(LARGE_BYTES);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	memset(bytes, 'x', LARGE_BYTES);
	bytes[LARGE_BYTES - 1] = change ? 'y' : 'x';
	ck_assert_int_eq(write(fd, bytes, LARGE_BYTES), LARGE_BYTES);
	ck_assert_int_eq(futimens(fd, times), 0);
	close(fd);
}

/*
 * A store with "base", "top", which was made from it, and "other", whose directories have the same
 * names in another order.
 */
static struct varve_store *open_three(char *home)
{
	char *base = test_layer(home, "base"), *top = test_layer(home, "top"),
	     *other = test_layer(home, "other");
	struct varve_config config = test_config(home);
	struct varve_store *store;

	config.debug = "lane";
	config.log = count_slices;
	store = test_open_config(&config);
	test_create(store, "base", NULL);
	test_create(store, "other", NULL);
	random_tree_make(base, 7, 300);
	test_mkdir(test_path("%s/many", base));
	test_mkdir(test_path("%s/many", other));
	for (unsigned i = 0; i < 20 * FILES; i++) {
		test_write(test_path("%s/many/%u", base, i), "text");
		test_write(test_path("%s/many/%u", other, 20 * FILES - i),
			   i % 3 ? "text" : "longer");
	}
	write_large(test_path("%s/same", base), false);
	write_large(test_path("%s/changed", base), false);
	write_large(test_path("%s/same", other), true);
	test_create(store, "top", "base");
	write_large(test_path("%s/same", top), false);
	write_large(test_path("%s/changed", top), true);
	for (unsigned i = 0; i < 20 * FILES; i += 7)
		ck_assert_int_eq(chmod(test_path("%s/many/%u", top, i), 0600), 0);
	test_remove(test_path("%s/many/1", top));
	return store;
}

START_TEST(test_slices)
{
	static const struct {
		const char *parent;
		uint64_t flags;
	} cases[] = { { NULL, 0 },
		      { NULL, VARVE_CHANGES_WALK },
		      { "", 0 },
		      { "other", VARVE_CHANGES_WALK } };
	char *home = test_home();
	struct varve_store *store = open_three(home);

	for (unsigned i = 0; i < TEST_COUNT(cases); i++) {
		char *expected = tell_from(store, cases[i].parent, cases[i].flags), *actual;

		/* Each slice is over as soon as one can be. */
		hold_after(0);
		workers_set_slice(store, 0);
		actual = tell_from(store, cases[i].parent, cases[i].flags);
		workers_set_slice(store, WALK_SLICE_NS);
		ck_assert_str_eq(actual, expected);
		ck_assert_msg(slices >= 20, "case %u: %u slices", i, slices);
		if (i < 2)
			ck_assert(strstr(expected, "M /changed\n") &&
				  !strstr(expected, "M /same\n"));
		if (i == 3)
			ck_assert_ptr_nonnull(strstr(expected, "M /same\n"));
		free(actual);
		free(expected);
	}
	test_close(store);
}
END_TEST

/* What stands still in the middle of a directory is closed, whatever ends the request there. */
START_TEST(test_slices_cancelled)
{
	char *home = test_home();
	struct varve_store *store = open_three(home);
	int descriptors = test_descriptors();

	workers_set_slice(store, 0);
	for (unsigned i = 1; i <= 20; i++) {
		struct test_record record = { 0 };
		varve_request request;

		hold_after(i);
		test_error(varve_layer_changes(store, "top", TEST_CHANGES(NULL, VARVE_CHANGES_WALK),
					       test_record, &record, &request),
			   0);
		cancel_held(store, request);
		test_error(test_await(store, &record), -ECANCELED);
		ck_assert_int_eq(test_descriptors(), descriptors);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("delta", test_read_only, test_too_many, test_bounds, test_same_tick, test_slices,
	  test_slices_cancelled)
