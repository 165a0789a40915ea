/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Let the Nth allocation fail, and in another pass it and all after it, on the threads that pack,
 * unpack and decompress an archive, N = 1, 2, ... until a run has fewer; libarchive's allocations
 * are among them. The process goes on, the request ends with
 * -ENOMEM, nothing is left of it, and nothing leaks. VARVE_TEST_SOAK: each N; without, a sample.
 *
 * varve-test: timeout=600
 */
#include "engine/store/store.h"
#include "test.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>
#include <unistd.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* More allocations than any run has: the loop would not end. */
#define NTH_MAX 20000
/* A sample takes one N of so many, beyond the first ones. */
#define SAMPLE_FIRST 60
#define SAMPLE_OF 13
/*
 * So many of them at least fail the request: the test would show nothing if allocations were passed
 * over.
 */
#define FAILED_MIN 10
/* Blocks that a process may hold more of in the end, whatever the number of runs. */
#define LIVE_MORE_MAX 24

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

/*
 * What is to fail: the allocation of this number; 0: none. How many there were. Whether all after
 * it fail, too.
 */
static _Atomic unsigned nth, counted;
static _Atomic bool persistent;
/* Blocks of the process. */
static _Atomic long live;

/* Is this one to fail? */
static bool refused(void)
{
	char name[16];
	unsigned number;

	if (!atomic_load(&nth) || prctl(PR_GET_NAME, name) != 0 ||
	    (strcmp(name, "varve-stream") != 0 && strcmp(name, "varve-inflate") != 0))
		return false;
	number = atomic_fetch_add(&counted, 1) + 1;
	return number == atomic_load(&nth) ||
	       (atomic_load(&persistent) && number > atomic_load(&nth));
}

/* Count BLOCK. */
static void *counted_block(void *block)
{
	if (block)
		atomic_fetch_add(&live, 1);
	else
		errno = ENOMEM;
	return block;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	return counted_block(refused() ? NULL : __libc_malloc(size));
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
	return counted_block(refused() ? NULL : __libc_calloc(count, size));
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
	if (!block)
		return malloc(size);
	if (refused()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(block, size);
}

__attribute__((visibility("default"))) void free(void *block)
{
	if (block)
		atomic_fetch_sub(&live, 1);
	__libc_free(block);
}

/*
 * Run FUNCTION with each allocation failing in turn: it hands back the error of the request, and
 * has checked what is left.
 */
static void each_fails(struct varve_store *store, int (*function)(struct varve_store *store))
{
	bool all = getenv("VARVE_TEST_SOAK");

	/* What is made once. */
	test_error(function(store), 0);
	for (int pass = 0; pass < 2; pass++) {
		unsigned failed = 0, number = 0;
		long before = atomic_load(&live);
		int error;

		do {
			number += all || number < SAMPLE_FIRST ? 1 : SAMPLE_OF;
			ck_assert_uint_lt(number, NTH_MAX);
			atomic_store(&persistent, pass);
			atomic_store(&counted, 0);
			atomic_store(&nth, number);
			error = function(store);
			atomic_store(&nth, 0);
			if (error)
				failed++;
			/* Without memory it may not even be found that libarchive is there. */
			ck_assert_msg(!error || error == -ENOMEM || error == -ENOTSUP,
				      "allocation %u: %s", number, test_errno_name(error));
		} while (atomic_load(&counted) >= number);
		printf("%u allocations, %u failures\n", atomic_load(&counted), failed);
		ck_assert_uint_ge(failed, FAILED_MIN);
		ck_assert_int_lt(atomic_load(&live) - before, LIVE_MORE_MAX);
	}
}

static int archive_fd;

/* Make a layer of the archive. */
static int unpack(struct varve_store *store)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int r;

	options.apply = &apply;
	options.apply_fd = archive_fd;
	ck_assert_int_eq(lseek(archive_fd, 0, SEEK_SET), 0);
	r = varve_layer_create_wait(store, "unpacked", &options, NULL);
	atomic_store(&nth, 0);
	if (!r)
		test_remove_layer(store, "unpacked");
	return r;
}

/* Pack the layer "packed". */
static int pack(struct varve_store *store)
{
	int fd = memfd_create("archive", MFD_CLOEXEC), r;

	ck_assert_int_ge(fd, 0);
	r = varve_layer_diff_wait(store, "packed", NULL, fd, NULL, NULL, NULL);
	atomic_store(&nth, 0);
	close(fd);
	return r;
}

/* A path of long names. */
static const char *long_path(const char *root, int depth)
{
	char name[201] = {};
	const char *path = root;

	memset(name, 'n', sizeof(name) - 1);
	for (int i = 0; i < depth; i++)
		path = *path ? test_path("%s/%s", path, name) : test_strdup(name);
	return path;
}

/* Make entries below PATH that libarchive has to allocate all kinds of memory for. */
static void make_tree(const char *path)
{
	char value[2000];
	const char *file;
	int fd;

	memset(value, 'v', sizeof(value));
	for (int i = 1; i < 4; i++)
		test_mkdir(long_path(path, i));
	file = test_path("%s/file", long_path(path, 3));
	test_write(file, "content");
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(setxattr(file, test_path("user.a%d", i), value, sizeof(value), 0),
				 0);
	ck_assert_int_eq(link(file, test_path("%s/link", long_path(path, 2))), 0);
	ck_assert_int_eq(symlink(long_path("", 3), test_path("%s/symlink", long_path(path, 2))), 0);
	fd = open(test_path("%s/sparse", path), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(pwrite(fd, value, sizeof(value), (off_t)i << 20),
				 (ssize_t)sizeof(value));
	close(fd);
	test_write(test_path("%s/\xc3\xbc\xff", path), "neither UTF-8 nor ASCII");
}

/* Compress the archive to a file below HOME, by gzip, and unpack that from now on. */
static void compress_archive(const char *home)
{
	const char *tar = test_path("%s/archive.tar", home);
	const char *const gzip[] = { "gzip", tar, NULL };
	int fd = open(tar, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	off_t size = lseek(archive_fd, 0, SEEK_END), at = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sendfile(fd, archive_fd, &at, (size_t)size), size);
	close(fd);
	ck_assert_int_eq(test_command(gzip), 0);
	close(archive_fd);
	archive_fd = open(test_path("%s.gz", tar), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
}

/* Both, each from the other. */
START_TEST(test_memory_ends)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);

	test_create(store, "packed", NULL);
	make_tree(test_layer(home, "packed"));
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_ge(archive_fd, 0);
	test_error(varve_layer_diff_wait(store, "packed", NULL, archive_fd, NULL, NULL, NULL), 0);
	each_fails(store, pack);
	/* A block each: the allocations of libarchive are all to fail. */
	store->settings.archive_small_max = 0;
	each_fails(store, pack);
	each_fails(store, unpack);
	compress_archive(home);
	each_fails(store, unpack);
	ck_assert_int_eq(test_layers(home), 1);
	close(archive_fd);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

#else

START_TEST(test_memory_ends)
{
	test_skip("the sanitizers have an allocator of their own");
}
END_TEST

#endif

TEST_MAIN("memory_ends", test_memory_ends)
