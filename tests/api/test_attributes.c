/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes without end: archives hold so many of one file as their readers take, and the
 * memory for those of many files has a bound.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Entries from which on an archive is taken from the tree. */
#define MANY_ENTRIES 2100
#define VALUE_BYTES 15000
/*
 * Files with so many attributes, and what the process may take for them, of the 48 MiB that they
 * are.
 */
#define HEAVY_FILES 56
#define HEAVY_ATTRIBUTES 60
#define HEAVY_KIB_MAX (28 * 1024)

/* Give the new file PATH attributes. */
static void make_file(const char *path, unsigned count, const char *name, size_t size)
{
	char *value = test_alloc(VALUE_BYTES);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(fsetxattr(fd, test_path("user.%s%u", name, i), value, size, 0), 0);
	close(fd);
}

/* Archive LAYER: how many entries were left out. */
static uint64_t archive(struct varve_store *store, const char *parent, uint64_t flags,
			uint64_t *ret_bytes)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure;
	uint64_t skipped = 0;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	options.parent = parent;
	options.flags = flags;
	test_ok(varve_layer_diff_wait(store, "layer", &options, fd, ret_bytes, &skipped, &failure),
		&failure);
	close(fd);
	return skipped;
}

/* What has too many is left out, and reported, whichever way the archive is made. */
START_TEST(test_too_many)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open_relaxed(home);
	uint64_t searched, walked;
	char name[231] = "";
	memset(name, 'n', sizeof(name) - 1);
	test_create(store, "parent", NULL);
	test_create(store, "layer", "parent");
	for (int i = 0; i < MANY_ENTRIES; i++)
		test_write(test_path("%s/file-%d", layer, i), "x");
	make_file(test_path("%s/names", layer), 300, name, 0);
	make_file(test_path("%s/values", layer), 75, "a", VALUE_BYTES);
	make_file(test_path("%s/most", layer), 60, "a", VALUE_BYTES);
	ck_assert_uint_eq(archive(store, NULL, 0, &searched), 2);
	ck_assert_uint_eq(archive(store, NULL, VARVE_CHANGES_WALK, &walked), 2);
	ck_assert_uint_eq(searched, walked);
	ck_assert_uint_gt(walked, 60 * VALUE_BYTES);
	ck_assert_uint_eq(archive(store, "parent", VARVE_CHANGES_WALK, &walked), 2);
	ck_assert_uint_eq(archive(store, "parent", 0, &searched), 2);
	ck_assert_uint_eq(searched, walked);
	test_close(store);
}
END_TEST

/* The largest that the process was, in KiB. */
static unsigned peak_kib(void)
{
	const char *line = strstr(test_read("/proc/self/status"), "VmHWM:");
	unsigned kib = 0;
	ck_assert_ptr_nonnull(line);
	ck_assert_int_eq(sscanf(line, "VmHWM: %u", &kib), 1);
	return kib;
}

/* Archive many files with many attributes. */
static int archive_heavy(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	uint64_t bytes;
	unsigned before;
	test_create(store, "light", NULL);
	test_remove_layer(store, "light");
	before = peak_kib();
	ck_assert_uint_eq(archive(store, NULL, VARVE_CHANGES_WALK, &bytes), 0);
	ck_assert_uint_gt(bytes, (uint64_t)HEAVY_FILES * HEAVY_ATTRIBUTES * VALUE_BYTES);
	/* A sanitizer's own memory grows with what is allocated. */
	if (!TEST_SANITIZED)
		ck_assert_msg(peak_kib() - before < HEAVY_KIB_MAX, "%u KiB", peak_kib() - before);
	test_close(store);
	return 0;
}

START_TEST(test_memory)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open_relaxed(home);
	test_create(store, "layer", NULL);
	for (int i = 0; i < HEAVY_FILES; i++)
		make_file(test_path("%s/file-%d", layer, i), HEAVY_ATTRIBUTES, "a", VALUE_BYTES);
	test_close(store);
	test_in_child(archive_heavy, home);
}
END_TEST

TEST_MAIN("attributes", test_too_many, test_memory)
