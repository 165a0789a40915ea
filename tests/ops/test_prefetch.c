/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead of an archive: a few long files stay open until their turn comes. Of those beyond
 * them the beginning is read, and they are opened again; what was changed meanwhile is read anew.
 * They keep no other file from being read ahead.
 *
 * varve-test: backend=any
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/archive/prefetch.h"
#include "engine/btrfs/file_handle.h"
#include "test.h"

/* Long files, more than may stay open, and short ones that come after them. */
#define LONG_FILES (PREFETCH_FDS_MAX + 12)
#define SHORT_FILES 30
#define LONG_BYTES (PREFETCH_FILE_BYTES + 1000)

/* Make the directory PATH with the files, each full of the letter a. */
static void make_files(const char *path)
{
	static char bytes[LONG_BYTES];

	test_mkdir(path);
	for (unsigned i = 0; i < LONG_FILES + SHORT_FILES; i++) {
		size_t size = i < LONG_FILES ? sizeof(bytes) : 5;
		int file = open(test_path("%s/file-%02u", path, i), O_CREAT | O_WRONLY | O_CLOEXEC,
				0644);

		memset(bytes, 'a', size);
		ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
		close(file);
	}
}

/* Fail the test unless ITEM was read, with bytes that BEGIN so, and is open where it is long. */
static void check_item(const struct item *item, bool is_long, char begin)
{
	ck_assert_int_eq(item->error, 0);
	ck_assert_uint_eq(item->length, is_long ? PREFETCH_FILE_BYTES : 5);
	ck_assert_int_eq(item->bytes[0], begin);
	ck_assert(is_long == (item->fd >= 0));
}

/* What reads ahead all that is in a directory. */
struct reader {
	struct prefetch prefetch;
	struct prefetch_place place;
	struct change_list changes;
	struct wakes wakes;
};

/* Read ahead what is in PATH, by NUMBER or by name. */
static struct reader *reader_new(const char *path, bool number)
{
	struct reader *reader = test_alloc(sizeof(*reader));
	struct prefetch *prefetch = &reader->prefetch;

	reader->place.fd = -EBADF;
	test_error(change_list_add_inside(&reader->changes, "", NULL), 0);
	test_error(change_list_sort(&reader->changes, &(struct yield){ 0 }), 0);
	prefetch_init(prefetch);
	prefetch->wakes = &reader->wakes;
	prefetch->feed.changes = &reader->changes;
	prefetch->feed.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (number)
		test_error(file_handle_subvolume(prefetch->feed.root_fd, "",
						 &prefetch->numbers.subvolume),
			   0);
	/* All fit. */
	prefetch_work(prefetch);
	return reader;
}

/* All was taken: nothing is held any more. */
static void reader_end(struct reader *reader)
{
	struct prefetch *prefetch = &reader->prefetch;

	ck_assert_int_eq(prefetch->error, 0);
	ck_assert_uint_eq(prefetch->at, LONG_FILES + SHORT_FILES);
	ck_assert_uint_eq(prefetch->open, 0);
	ck_assert_uint_eq(prefetch->held, 0);
	prefetch_leave(&reader->place);
	close(prefetch->feed.root_fd);
	prefetch_free(prefetch);
	change_list_free(&reader->changes);
}

/* By NUMBER or by name. */
static void read_ahead(bool number)
{
	char *path = test_path("%s/%s", test_mount(), number ? "number" : "name");
	unsigned open_files = 0, heads = 0;
	struct prefetch *prefetch;
	struct reader *reader;
	struct item *item;

	make_files(path);
	reader = reader_new(path, number);
	prefetch = &reader->prefetch;
	for (unsigned i = 0; i < LONG_FILES + SHORT_FILES; i++) {
		const struct item *ahead = &prefetch->items[i];

		open_files += ahead->fd >= 0;
		heads += ahead->state == ITEM_HEAD && ahead->fd < 0;
		if (i < LONG_FILES)
			ck_assert_int_eq(ahead->error, ahead->fd >= 0 ? 0 : -EMFILE);
		else
			ck_assert(!ahead->error && ahead->state == ITEM_WHOLE);
	}
	ck_assert_uint_eq(open_files, PREFETCH_FDS_MAX);
	ck_assert_uint_eq(heads, number ? LONG_FILES - PREFETCH_FDS_MAX : 0);
	/* The last but one is changed, the last one replaced. */
	test_write(test_path("%s/file-%02u", path, LONG_FILES - 2), "short");
	ck_assert_int_eq(truncate(test_path("%s/file-%02u", path, LONG_FILES - 2), LONG_BYTES), 0);
	test_write(test_path("%s/new", path), "new");
	ck_assert_int_eq(truncate(test_path("%s/new", path), LONG_BYTES), 0);
	ck_assert_int_eq(rename(test_path("%s/new", path),
				test_path("%s/file-%02u", path, LONG_FILES - 1)),
			 0);
	for (unsigned i = 0; (item = prefetch_take(prefetch, &reader->place)); i++) {
		check_item(item, i < LONG_FILES,
			   i == LONG_FILES - 2   ? 's'
			   : i == LONG_FILES - 1 ? 'n'
						 : 'a');
		prefetch_release(prefetch);
	}
	reader_end(reader);
}

START_TEST(test_numbers)
{
	read_ahead(true);
}
END_TEST

START_TEST(test_names)
{
	read_ahead(false);
}
END_TEST

/* What had a lease is read at its turn, and counts among those that are open until it was. */
START_TEST(test_leases)
{
	char *path = test_path("%s/leases", test_mount());
	struct reader *reader;
	struct item *item;
	int leased;

	make_files(path);
	signal(SIGIO, SIG_IGN);
	leased = open(test_path("%s/file-00", path), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(leased, F_SETLEASE, F_WRLCK), 0);
	reader = reader_new(path, true);
	ck_assert_uint_eq(reader->prefetch.open, PREFETCH_FDS_MAX);
	item = prefetch_take(&reader->prefetch, &reader->place);
	test_error(item->error, -EAGAIN);
	test_error(prefetch_retry(&reader->prefetch, item, &reader->place), -EAGAIN);
	ck_assert_uint_eq(reader->prefetch.open, PREFETCH_FDS_MAX);
	ck_assert_int_eq(fcntl(leased, F_SETLEASE, F_UNLCK), 0);
	item->error = prefetch_retry(&reader->prefetch, item, &reader->place);
	check_item(item, true, 'a');
	ck_assert_uint_eq(reader->prefetch.open, PREFETCH_FDS_MAX + 1);
	do
		prefetch_release(&reader->prefetch);
	while (prefetch_take(&reader->prefetch, &reader->place));
	reader_end(reader);
	close(leased);
}
END_TEST

TEST_MAIN("prefetch", test_numbers, test_names, test_leases)
