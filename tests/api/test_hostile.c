/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that mean harm: each is refused with an error of its own, a create leaves nothing, and
 * what lies outside of the layer is as it was. What the command says to many of them is in
 * tests/cli/test_apply.sh; a fuzzer looks for more in tests/fuzz.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tar.h"

/* Entries of an archive that has no end, in sight of the caller. */
#define ENTRIES_CLAIMED 100000000ul
#define ENTRIES_TAKEN 30000u
#define ENTRIES_TAKEN_SOAK 3000000u
/* How much a process may grow over them. */
#define ENTRIES_BYTES_MAX (8u << 20)
/* The longest name of an attribute, its prefix included. */
#define XATTR_NAME_MAX_BYTES 255

/* Put TAR into a file in memory. */
static int archive_open(const struct tar *tar)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, tar->bytes, tar->size), (ssize_t)tar->size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Create "made" from "base" and SIZE bytes of TAR; returns the error. */
static int create_from(struct varve_store *store, const struct tar *tar, size_t size,
		       struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct tar part = { tar->bytes, size, size };
	int r;

	options.parent = "base";
	options.apply = &apply;
	options.apply_fd = archive_open(&part);
	r = varve_layer_create_wait(store, "made", &options, failure);
	close(options.apply_fd);
	return r;
}

/* A store with a layer "base", and one "other" with a canary in it. */
static struct varve_store *open_store(const char *home)
{
	struct varve_config config = test_config(home);
	struct varve_store *store;

	config.flags |= VARVE_OPEN_RELAXED;
	store = test_open_config(&config);
	test_create(store, "base", NULL);
	test_create(store, "other", NULL);
	test_write(test_path("%s/canary", test_layer(home, "other")), "alive");
	test_write(test_path("%s/canary", home), "alive");
	test_mkdir(test_path("%s/dir", test_layer(home, "base")));
	return store;
}

/* Nothing of a refused archive is left, and nothing else touched. */
static void check_outside(const char *home)
{
	ck_assert(!test_layer_exists(home, "made"));
	ck_assert_int_eq(test_layers(home), 2);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_str_eq(test_read(test_path("%s/canary", home)), "alive");
	ck_assert_str_eq(test_read(test_path("%s/canary", test_layer(home, "other"))), "alive");
	ck_assert_int_eq(test_entries(test_layer(home, "other")), 1);
	ck_assert_int_eq(test_entries(test_layer(home, "base")), 1);
}

/* The archive TAR is refused with ERROR, and a word about it that has WORDS in it. */
static void refused(struct varve_store *store, const char *home, struct tar *tar, int error,
		    const char *words)
{
	struct varve_failure failure = { 0 };
	char text[2048];

	tar_end(tar);
	test_error(create_from(store, tar, tar->size, &failure), error);
	varve_strerror(&failure, text, sizeof(text));
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" is not in \"%s\"", words, text);
	ck_assert_str_eq(failure.step, "UNPACK");
	check_outside(home);
	*tar = (struct tar){ 0 };
}

START_TEST(test_names)
{
	static const char *const bad[] = { "../other/canary", "dir/../../other/canary",
					   "dir/../..",       "..",
					   "/../canary",      "/dir/../../other" };
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct tar tar = { 0 };

	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		const char *words = "leads out of the layer by \"..\"";

		tar_add_file(&tar, bad[i], "evil");
		refused(store, home, &tar, -EINVAL, words);
		tar_add(&tar, &(struct tar_entry){ .name = bad[i], .type = '5' });
		refused(store, home, &tar, -EINVAL, words);
		tar_add(&tar, &(struct tar_entry){ .name = "hard", .type = '1', .link = bad[i] });
		refused(store, home, &tar, -EINVAL, words);
		tar_add(&tar, &(struct tar_entry){ .name = test_path("%s/.wh.x", bad[i]) });
		refused(store, home, &tar, -EINVAL, words);
	}
	tar_add_file(&tar, "", "x");
	refused(store, home, &tar, -EBADMSG, "an entry without a name");
	tar_add_file(&tar, "/.", "x");
	refused(store, home, &tar, -EBADMSG, "the root of a layer is a directory");
	for (unsigned i = 0; i < 4; i++) {
		static const char *const whiteouts[] = { ".wh...", ".wh..", ".wh.", "dir/.wh..." };

		tar_add_file(&tar, whiteouts[i], "");
		refused(store, home, &tar, -EINVAL, "a whiteout of");
	}
	test_close(store);
}
END_TEST

START_TEST(test_long_names)
{
	char *home = test_home(), *name = test_alloc(20001);
	struct varve_store *store = open_store(home);
	struct tar tar = { 0 };
	struct varve_failure failure = { 0 };

	memset(name, 'n', 256);
	tar_add_file(&tar, name, "x");
	refused(store, home, &tar, -ENAMETOOLONG, "more than 255 bytes");
	tar_add_file(&tar, test_path("dir/%s/x", name), "x");
	refused(store, home, &tar, -ENAMETOOLONG, "more than 255 bytes");
	tar_add(&tar, &(struct tar_entry){ .name = "hard", .type = '1', .link = name });
	refused(store, home, &tar, -ENAMETOOLONG, "more than 255 bytes");
	for (unsigned i = 0; i < 20000; i++)
		name[i] = i % 200 == 199 ? '/' : 'n';
	tar_add_file(&tar, name, "x");
	refused(store, home, &tar, -ENAMETOOLONG, "a path too long");
	name[4096] = '\0';
	tar_add(&tar, &(struct tar_entry){ .name = "s", .type = '2', .link = name });
	refused(store, home, &tar, -ENAMETOOLONG, "too long");
	/* What a file system takes is taken: beyond PATH_MAX, one directory below the other. */
	name[4096] = 'n';
	name[6000 - 1] = '\0';
	for (unsigned i = 199; i < 6000; i += 200) {
		char *dir = test_strdup(name);

		dir[i] = '\0';
		tar_add(&tar, &(struct tar_entry){ .name = dir, .type = '5', .mode = 0755 });
	}
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	test_close(store);
}
END_TEST

START_TEST(test_cut_and_corrupt)
{
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct varve_failure failure;
	char content[1500];
	size_t ends[4];
	struct tar tar = { 0 };

	ends[0] = 0;
	memset(content, 'c', sizeof(content));
	tar_add(&tar, &(struct tar_entry){ .name = "d/", .type = '5', .mode = 0755 });
	ends[1] = tar.size;
	tar_add(&tar, &(struct tar_entry){
			      .name = "d/file", .content = content, .size = sizeof(content) });
	ends[2] = tar.size;
	tar_add_pax(&tar, "SCHILY.xattr.user.x", "value", 5);
	tar_add_file(&tar, "d/other", "content");
	ends[3] = tar.size;
	tar_add(&tar, &(struct tar_entry){ .name = "d/link", .type = '1', .link = "d/file" });
	/* Cut off at every block, and within each. Where an entry ends an archive may end, too. */
	for (size_t at = 0, end = 0; at < tar.size; at += TAR_BLOCK_BYTES / 2) {
		bool whole = end < TEST_COUNT(ends) && at == ends[end];

		test_error(create_from(store, &tar, at, &failure), whole ? 0 : -ENODATA);
		if (whole)
			test_remove_layer(store, "made");
		end += whole;
		check_outside(home);
	}
	tar_end(&tar);
	/* A byte of each block turned over: a header is refused; content is content. */
	for (size_t at = 10; at < tar.size - 2 * TAR_BLOCK_BYTES; at += TAR_BLOCK_BYTES) {
		bool header = !memcmp(tar.bytes + at / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES + 257,
				      "ustar", 5);
		int r;

		tar.bytes[at] ^= 0x20;
		r = create_from(store, &tar, tar.size, &failure);
		tar.bytes[at] ^= 0x20;
		if (header)
			test_error(r, -EBADMSG);
		if (!r)
			test_remove_layer(store, "made");
		check_outside(home);
	}
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	test_close(store);
}
END_TEST

/* Add a sparse file of GNU's format 1.0, of SIZE bytes, with the map MAP and what it leads to. */
static void add_sparse(struct tar *tar, const char *size, const char *map)
{
	char content[TAR_BLOCK_BYTES + 100] = "", *records;

	strcpy(content, map);
	memset(content + TAR_BLOCK_BYTES, 'x', 100);
	records = test_path("%s%s%s", tar_pax_record("GNU.sparse.major", "1", 1),
			    tar_pax_record("GNU.sparse.minor", "0", 1),
			    tar_pax_record("GNU.sparse.realsize", size, strlen(size)));
	tar_add(tar, &(struct tar_entry){ .name = "PaxHeaders/x",
					  .type = 'x',
					  .content = records,
					  .size = strlen(records) });
	tar_add(tar, &(struct tar_entry){
			     .name = "sparse", .content = content, .size = sizeof(content) });
}

START_TEST(test_sizes)
{
	static const struct {
		const char *size, *map;
	} lies[] = {
		{ "100", "2\n0\n50\n25\n50\n" }, /* overlap */
		{ "100", "2\n50\n50\n0\n50\n" }, /* backwards */
		{ "10", "2\n0\n5\n1000\n95\n" }, /* beyond the end */
		{ "100", "1\n9223372036854775807\n100\n" },
		{ "100", "999999999\n0\n1\n" },
	};
	static const uint64_t claims[] = { 5000,       1ull << 33,   1ull << 40,
					   1ull << 62, (uint64_t)-5, 1ull << 63 };
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	struct stat stat_now;

	for (size_t i = 0; i < TEST_COUNT(claims); i++) {
		tar_add(&tar, &(struct tar_entry){ .name = "file",
						   .content = "short",
						   .size = 5,
						   .claim = claims[i] });
		/* What is missing is missing; less than nothing is no size. */
		refused(store, home, &tar, claims[i] >> 63 ? -EBADMSG : -ENODATA, "");
	}
	for (size_t i = 0; i < TEST_COUNT(lies); i++) {
		printf("sparse map %zu\n", i);
		add_sparse(&tar, lies[i].size, lies[i].map);
		refused(store, home, &tar, -EBADMSG, "");
	}
	/*
	 * One that tells of more than there is, in a file that has all its bytes: it is what it
	 * says it is, and no longer.
	 */
	add_sparse(&tar, "100", "1\n0\n9223372036854775807\n");
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	ck_assert_int_eq(stat(test_path("%s/sparse", test_layer(home, "made")), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_size, 100);
	test_remove_layer(store, "made");
	tar = (struct tar){ 0 };
	/* One that is true. */
	add_sparse(&tar, "100000", "2\n0\n50\n90000\n50\n");
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	ck_assert_int_eq(stat(test_path("%s/sparse", test_layer(home, "made")), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_size, 100000);
	test_close(store);
}
END_TEST

START_TEST(test_attributes)
{
	char *home = test_home(), *name = test_alloc(300), *key, value[70000];
	struct varve_store *store = open_store(home);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };
	char *path;

	memset(value, 'v', sizeof(value));
	memset(name, 'n', 299);
	memcpy(name, "user.", 5);
	for (unsigned i = 0; i < 2; i++) {
		/* One byte more than there can be, then as many. */
		name[XATTR_NAME_MAX_BYTES + 1 - i] = '\0';
		key = test_path("SCHILY.xattr.%s", name);
		tar_add_pax(&tar, key, "value", 5);
		tar_add_file(&tar, "file", "x");
		if (!i)
			refused(store, home, &tar, -ERANGE, "fsetxattr");
	}
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	path = test_path("%s/file", test_layer(home, "made"));
	ck_assert_int_eq(getxattr(path, name, value, sizeof(value)), 5);
	test_remove_layer(store, "made");
	/* A value that no leaf holds, and one that the kernel takes of nobody. */
	tar = (struct tar){ 0 };
	tar_add_pax(&tar, "SCHILY.xattr.user.big", value, 17000);
	tar_add_file(&tar, "file", "x");
	refused(store, home, &tar, -E2BIG, "the attribute user.big has 17000 bytes");
	/* The largest that a node of 16 KiB holds, and one byte more. */
	for (unsigned i = 0; i < 2; i++) {
		tar_add_pax(&tar, "SCHILY.xattr.user.big", value,
			    16384 - 156 - strlen("user.big") + 1 - i);
		tar_add_file(&tar, "file", "x");
		if (!i)
			refused(store, home, &tar, -E2BIG, "16228 on this file system");
	}
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	test_remove_layer(store, "made");
	tar = (struct tar){ 0 };
	tar_add_pax(&tar, "SCHILY.xattr.user.big", value, 65537);
	tar_add_file(&tar, "file", "x");
	refused(store, home, &tar, -E2BIG, "fsetxattr");
	tar_add_pax(&tar, "SCHILY.xattr.user.big", value, 15000);
	tar_add_file(&tar, "file", "x");
	/* What is not kept is reported, and does no harm. */
	tar_add_pax(&tar, "SCHILY.xattr.security.selinux", "y", 1);
	tar_add_file(&tar, "other", "x");
	tar_end(&tar);
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	ck_assert_int_eq(getxattr(path, "user.big", value, sizeof(value)), 15000);
	ck_assert_int_eq(getxattr(test_path("%s/other", test_layer(home, "made")),
				  "security.selinux", value, 10),
			 -1);
	test_close(store);
}
END_TEST

/* As a user without privilege: an archive with a device. */
static int devices_as_nobody(void *data)
{
	struct varve_store *store = test_open(data);
	struct varve_failure failure = { 0 };
	struct tar tar = { 0 };

	test_create(store, "base", NULL);
	tar_add(&tar, &(struct tar_entry){ .name = "device", .type = '3', .device = 1 });
	tar_end(&tar);
	test_error(create_from(store, &tar, tar.size, &failure), -EPERM);
	ck_assert_ptr_nonnull(strstr(failure.detail, "CAP_MKNOD"));
	test_close(store);
	return 0;
}

START_TEST(test_devices)
{
	char *home = test_home_of_nobody();

	ck_assert_int_eq(chmod(test_mount(), 0755), 0);
	test_as_nobody(devices_as_nobody, home);
	ck_assert_int_eq(test_layers(home), 1);
}
END_TEST

/* Note how a request ended. */
static void ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	*(int *)data = result->error ? result->error : 1;
}

/* Bytes of memory that this process has in use. */
static size_t memory_used(void)
{
	unsigned long pages = 0;

	ck_assert_int_eq(sscanf(test_read("/proc/self/statm"), "%*u %lu", &pages), 1);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(test_endless)
{
	unsigned taken_max = getenv("VARVE_TEST_SOAK") ? ENTRIES_TAKEN_SOAK : ENTRIES_TAKEN;
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct tar block = { 0 };
	varve_request request;
	unsigned long n = 0;
	size_t before = 0, offset = 0, taken;
	int r = 0;

	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	/* Files, links and whiteouts that take the place of those before. */
	for (unsigned i = 0; i < 250; i++) {
		tar_add_file(&block, test_path("f%u", i % 50), "x");
		tar_add(&block, &(struct tar_entry){ .name = test_path("l%u", i % 50),
						     .type = '1',
						     .link = test_path("f%u", i % 50) });
		tar_add(&block, &(struct tar_entry){ .name = test_path("s%u", i % 50),
						     .type = '2',
						     .link = "f0" });
		tar_add_file(&block, test_path("d/.wh.f%u", i), "");
	}
	test_error(varve_layer_create(store, "made", &options, ended, &r, &request), 0);
	while (n < taken_max && n < ENTRIES_CLAIMED && !r) {
		int error = varve_stream_write(store, request, block.bytes + offset,
					       block.size - offset, &taken);

		if (error == -EAGAIN) {
			varve_wait(store, 1);
			continue;
		}
		test_error(error, 0);
		offset += taken;
		if (offset == block.size) {
			offset = 0;
			n += 1000;
		}
		if (n == taken_max / 3 && !before)
			before = memory_used();
	}
	ck_assert_int_eq(r, 0);
	if (!TEST_SANITIZED)
		ck_assert_msg(memory_used() < before + ENTRIES_BYTES_MAX,
			      "%zu bytes after %lu entries, %zu before", memory_used(), n, before);
	/* Nothing more is written, so that nothing but the cancel ends it. */
	test_error(varve_cancel(store, request), 0);
	while (!r)
		varve_wait(store, TEST_WAIT_MS);
	test_error(r, -ECANCELED);
	check_outside(home);
	test_close(store);
}
END_TEST

START_TEST(test_no_space)
{
	char *home = test_home(), *spare, *block = test_alloc(1 << 20);
	struct varve_store *store = open_store(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct tar tar = { 0 };
	varve_request request;
	size_t taken, sent = 0;
	int r = 0, fd;

	/* All is full but for 32 MiB; the archive has a file of 1 GiB. */
	spare = test_path("%s/spare", test_mount());
	fd = open(spare, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, 32 << 20), 0);
	close(fd);
	test_fill(test_path("%s/full", test_mount()));
	test_remove(spare);
	test_error(varve_sync_wait(store, 0, NULL), 0);
	tar_add(&tar, &(struct tar_entry){ .name = "file", .claim = 1 << 30 });
	options.apply = &apply;
	options.apply_fd = VARVE_STREAM;
	test_error(varve_layer_create(store, "made", &options, ended, &r, &request), 0);
	test_error(varve_stream_write(store, request, tar.bytes, tar.size, &taken), 0);
	while (!r) {
		int error = varve_stream_write(store, request, block, 1 << 20, &taken);

		sent += error ? 0 : taken;
		if (error)
			varve_wait(store, 1);
	}
	test_error(r, -ENOSPC);
	ck_assert_uint_ge(sent, VARVE_STREAM_BYTES);
	test_remove(test_path("%s/full", test_mount()));
	check_outside(home);
	test_close(store);
}
END_TEST

START_TEST(test_sockets)
{
	char *home = test_home();
	struct varve_store *store = open_store(home);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    archive = memfd_create("archive", MFD_CLOEXEC);
	struct varve_failure failure = { 0 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	uint64_t skipped = 1;

	ck_assert_int_eq(chdir(test_layer(home, "base")), 0);
	strcpy(address.sun_path, "dir/socket");
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(chdir("/"), 0);
	test_write(test_path("%s/dir/zfile", test_layer(home, "base")), "behind");
	/* Left out, as no archive can have one; what comes behind it is there. */
	test_ok(varve_layer_diff_wait(store, "base", NULL, archive, NULL, &skipped, &failure),
		&failure);
	ck_assert_uint_eq(skipped, 0);
	ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
	options.apply = &apply;
	options.apply_fd = archive;
	test_ok(varve_layer_create_wait(store, "copy", &options, &failure), &failure);
	ck_assert_int_eq(test_entries(test_path("%s/dir", test_layer(home, "copy"))), 1);
	ck_assert_str_eq(test_read(test_path("%s/dir/zfile", test_layer(home, "copy"))), "behind");
	close(archive);
	close(fd);
	test_close(store);
}
END_TEST

/*
 * What is small in an archive takes neither memory nor time without a bound: a map of pieces that
 * are four bytes each.
 */
START_TEST(test_map_of_pieces)
{
	/* Each takes libarchive some 80 bytes. */
	enum { PIECES = 5000000 };
	char *home = test_home(), *map = test_alloc(4 * PIECES + 1024);
	struct varve_store *store = open_store(home);
	struct varve_failure failure;
	struct tar tar = { 0 };
	size_t size = (size_t)sprintf(map, "%u\n", PIECES);
	const char *records;

	for (unsigned i = 0; i < PIECES; i++)
		size += (size_t)sprintf(map + size, "0\n0\n");
	size = (size + 511) / 512 * 512;
	records = test_path("%s%s%s", tar_pax_record("GNU.sparse.major", "1", 1),
			    tar_pax_record("GNU.sparse.minor", "0", 1),
			    tar_pax_record("GNU.sparse.realsize", "1000", 4));
	tar_add(&tar,
		&(struct tar_entry){
			.name = "pax", .type = 'x', .content = records, .size = strlen(records) });
	tar_add(&tar, &(struct tar_entry){ .name = "sparse", .content = map, .size = size });
	tar_end(&tar);
	test_error(create_from(store, &tar, tar.size, &failure), -ENOBUFS);
	ck_assert_ptr_nonnull(strstr(failure.detail, "256 MiB"));
	check_outside(home);
	test_close(store);
}
END_TEST

/* Seconds of processor time that this process has taken. */
static double cpu_s(void)
{
	struct timespec now;

	ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * Seconds of processor time to make layer "made" of STORE from three files, each below DEPTH
 * directories of its own; it is removed again.
 */
static double deep_cpu_s(struct varve_store *store, unsigned depth)
{
	char *path = test_alloc(2 * depth + 2);
	struct varve_failure failure;
	struct tar tar = { 0 };
	double took_s;

	for (unsigned i = 0; i < depth; i++)
		memcpy(path + 2 * i, "a/", 3);
	path[2 * depth] = 'f';
	for (unsigned i = 0; i < 3; i++) {
		path[0] = (char)('a' + i);
		tar_add_file(&tar, path, "content");
	}
	tar_end(&tar);
	took_s = -cpu_s();
	test_ok(create_from(store, &tar, tar.size, &failure), &failure);
	took_s += cpu_s();
	test_remove_layer(store, "made");
	return took_s;
}

/*
 * A path of thousands of names takes no processor time that grows with their square: it was 15
 * seconds for the deep one, four times those for half of it.
 */
START_TEST(test_deep)
{
	enum { DEPTH = 8000 };
	char *home = test_home();
	struct varve_store *store = open_store(home);
	double half_s = deep_cpu_s(store, DEPTH / 2), whole_s = deep_cpu_s(store, DEPTH);

	ck_assert_msg(TEST_SANITIZED || whole_s < 3 * half_s + 1, "%.1f s, and %.1f s for half",
		      whole_s, half_s);
	check_outside(home);
	test_close(store);
}
END_TEST

TEST_MAIN("hostile", test_names, test_long_names, test_cut_and_corrupt, test_sizes, test_attributes,
	  test_devices, test_endless, test_sockets, test_no_space, test_map_of_pieces, test_deep)
