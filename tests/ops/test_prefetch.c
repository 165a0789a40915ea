/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead of an archive: a few long files stay open until their turn comes. Of those beyond
 * them the beginning is read, and they are opened again; what was changed meanwhile is read anew.
 * They keep no other file from being read ahead.
 *
 * varve-test: backend=any
 */
#include <fcntl.h>
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

/* By NUMBER or by name. */
static void read_ahead(bool number)
{
	char *path = test_path("%s/%s", test_mount(), number ? "number" : "name");
	struct prefetch *prefetch = test_alloc(sizeof(*prefetch));
	struct prefetch_place place = { .fd = -EBADF };
	struct change_list changes = { 0 };
	struct wakes wakes = { 0 };
	unsigned open_files = 0, heads = 0;
	struct item *item;

	make_files(path);
	memset(prefetch, 0, sizeof(*prefetch));
	test_error(change_list_add_inside(&changes, "", NULL), 0);
	test_error(change_list_sort(&changes, &(struct yield){ 0 }), 0);
	prefetch_init(prefetch);
	prefetch->wakes = &wakes;
	prefetch->feed.changes = &changes;
	prefetch->feed.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (number)
		test_error(file_handle_subvolume(prefetch->feed.root_fd, "",
						 &prefetch->numbers.subvolume),
			   0);
	/* All fit. */
	prefetch_work(prefetch);
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
	for (unsigned i = 0; (item = prefetch_take(prefetch, &place)); i++) {
		check_item(item, i < LONG_FILES,
			   i == LONG_FILES - 2   ? 's'
			   : i == LONG_FILES - 1 ? 'n'
						 : 'a');
		prefetch_release(prefetch);
	}
	ck_assert_int_eq(prefetch->error, 0);
	ck_assert_uint_eq(prefetch->at, LONG_FILES + SHORT_FILES);
	prefetch_leave(&place);
	close(prefetch->feed.root_fd);
	prefetch_free(prefetch);
	change_list_free(&changes);
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

TEST_MAIN("prefetch", test_numbers, test_names)
