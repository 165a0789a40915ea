/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target: archives that mean harm, unpacked into a layer. Whatever they say, nothing outside
 * of the layer may change, the request has to end, and the process to live.
 *
 * It works in a chroot(2) of the btrfs that VARVE_TEST_MOUNT names, so that even what got out of a
 * layer would not get at the machine. Beside the layer lie canaries: a file above the store, one in
 * another layer.
 *
 *	input	byte 0		bit 0: leave the checksums of headers alone (else they are made to fit, so that a change of
 *				a header is no mere change of a checksum); bit 1: leave out the zeros that end an archive;
 *				bits 2 to 5: in pieces of 2^n bytes; bit 6: into a layer of its own; bit 7: users are mapped
 *		the rest	the archive
 *
 * fuzzer.c makes it a fuzzer, and replay.c runs files once each.
 */
#include "fuzz.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <varve.h>

#define BLOCK_BYTES 512
/* Inputs that one layer takes until it is replaced. */
#define LAYER_INPUTS 64
/* Where a tar header has its size and its checksum. */
#define HEADER_SIZE 124
#define HEADER_SIZE_BYTES 12
#define HEADER_CHECKSUM 148
#define HEADER_CHECKSUM_BYTES 8

enum {
	RAW = 1 << 0,
	ENDLESS = 1 << 1,
	PIECE_SHIFT = 2,
	PIECE_MASK = 15,
	CREATE = 1 << 6,
	MAPPED = 1 << 7
};

static struct varve_store *store;
static unsigned inputs;
/* Size of the root directory: btrfs counts the bytes of the names in it. */
static off_t root_size;

/* What is being fed. */
struct feed {
	const uint8_t *bytes;
	size_t size, piece;
};

/* Something is wrong: tell, and let the fuzzer keep the input. */
static void die(const char *what, int error)
{
	fprintf(stderr, "apply: %s: %s\n", what, strerror(error < 0 ? -error : error));
	abort();
}

/* Print why FAILURE came, and end. */
static void die_of(const struct varve_failure *failure)
{
	char text[2048];

	fprintf(stderr, "apply: %s\n", varve_strerror(failure, text, sizeof(text)));
	abort();
}

/* ---- the place ------------------------------------------------------------------------------- */

static const char *const canaries[] = { "/canary", "/home/subvolumes/other/canary" };

/* Write a canary. */
static void canary_make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, path, strlen(path)) != (ssize_t)strlen(path) || close(fd) < 0)
		die(path, errno);
}

/* Is the canary as it was, but for its atime? */
static void canary_check(const char *path)
{
	static struct stat before[2];
	struct stat *first = &before[path != canaries[0]], now;
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &now) < 0 || read(fd, text, sizeof(text) - 1) < 0 || close(fd) < 0)
		die(path, errno);
	if (!first->st_ino)
		*first = now;
	if (strcmp(text, path) || now.st_ino != first->st_ino || now.st_mode != first->st_mode ||
	    now.st_uid != first->st_uid || now.st_nlink != 1 ||
	    now.st_ctim.tv_sec != first->st_ctim.tv_sec ||
	    now.st_ctim.tv_nsec != first->st_ctim.tv_nsec)
		die("a canary has changed", EINVAL);
}

/* Is there nothing in the root but what we made? */
static void root_check(void)
{
	struct stat root, subvolumes;

	if (stat("/", &root) < 0 || stat("/home/subvolumes", &subvolumes) < 0)
		die("stat", errno);
	if (root.st_size != root_size)
		die("the root has other entries", EINVAL);
	/* Two for each byte of a name. */
	if (subvolumes.st_size > 2 * (off_t)(strlen("base") + strlen("other") + strlen("victim")))
		die("the store has other layers", EINVAL);
}

/* Move into the btrfs of the test, for good. */
static void enter(void)
{
	const char *mount = getenv("VARVE_TEST_MOUNT");
	struct statfs fs;
	struct stat root, above;

	if (!mount || statfs(mount, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC)
		die("VARVE_TEST_MOUNT has to name a btrfs to work on", EINVAL);
	if (chdir(mount) < 0 || stat(".", &root) < 0 || stat("..", &above) < 0)
		die(mount, errno);
	if (root.st_dev == above.st_dev)
		die("VARVE_TEST_MOUNT is neither a mount point nor a subvolume", EINVAL);
	if (chroot(".") < 0 || chdir("/") < 0)
		die("chroot", errno);
	if (access("/canary", F_OK) == 0 || access("/home", F_OK) == 0)
		die("VARVE_TEST_MOUNT is not fresh", EEXIST);
}

/*
 * Have the libraries in memory that the store loads with the first archive that needs them: there
 * is no /usr any more.
 */
static void load(void)
{
	static const char *const names[] = { "libarchive.so.13", "libz.so.1", "libzstd.so.1",
					     "liblzma.so.5", "libbz2.so.1" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!dlopen(names[i], RTLD_NOW | RTLD_NODELETE))
			die(names[i], ENOENT);
	/* Without it zlib takes its place. */
	dlopen("libisal.so.2", RTLD_NOW | RTLD_NODELETE);
}

/* Replace the layer that inputs go to. */
static void renew(void)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;

	if (varve_layer_remove_wait(store, "victim", 0, &failure) && failure.error != -ENOENT)
		die_of(&failure);
	options.parent = "base";
	if (varve_layer_create_wait(store, "victim", &options, &failure))
		die_of(&failure);
}

/* Open the store, and make what lies in it. */
static void begin(void)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure;
	struct stat fs_root;

	load();
	enter();
	config.home = "/home";
	config.flags = VARVE_OPEN_RELAXED;
	if (varve_open(&config, &store, &failure) ||
	    varve_layer_create_wait(store, "base", NULL, &failure) ||
	    varve_layer_create_wait(store, "other", NULL, &failure))
		die_of(&failure);
	for (size_t i = 0; i < sizeof(canaries) / sizeof(canaries[0]); i++)
		canary_make(canaries[i]);
	/* Ways out that were there before. */
	if (mkdir("/home/subvolumes/base/dir", 0755) < 0 ||
	    symlink("../../other", "/home/subvolumes/base/sibling") < 0 ||
	    symlink("/", "/home/subvolumes/base/root") < 0 ||
	    symlink("/home/subvolumes/other", "/home/subvolumes/base/abs") < 0 ||
	    symlink("../../../../..", "/home/subvolumes/base/dir/up") < 0)
		die("the base layer", errno);
	renew();
	if (stat("/", &fs_root) < 0)
		die("stat", errno);
	root_size = fs_root.st_size;
}

/* ---- an input -------------------------------------------------------------------------------- */

/*
 * Bytes of content that the header at BLOCK tells of; what is no octal number is taken for none.
 */
static uint64_t header_size(const uint8_t *block)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < HEADER_SIZE_BYTES - 1; i++) {
		uint8_t digit = block[HEADER_SIZE + i];

		if (digit < '0' || digit > '7')
			break;
		size = size * 8 + (uint64_t)(digit - '0');
	}
	return size;
}

/* Make the checksum of the header at BLOCK fit. */
static void header_sign(uint8_t *block)
{
	char text[HEADER_CHECKSUM_BYTES];
	unsigned sum = 0;

	memset(block + HEADER_CHECKSUM, ' ', HEADER_CHECKSUM_BYTES);
	for (unsigned i = 0; i < BLOCK_BYTES; i++)
		sum += block[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(block + HEADER_CHECKSUM, text, HEADER_CHECKSUM_BYTES - 1);
}

/* Sign all headers of an archive that is to be taken for one. */
static void archive_sign(uint8_t *bytes, size_t size)
{
	static const uint8_t zeros[BLOCK_BYTES];

	for (uint64_t at = 0; at + BLOCK_BYTES <= size;) {
		uint64_t content = header_size(bytes + at);

		if (memcmp(bytes + at, zeros, BLOCK_BYTES))
			header_sign(bytes + at);
		at += BLOCK_BYTES + (content + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	}
}

/* Write the next pieces. */
static void feed_room(struct varve_store *of, varve_request request, size_t room, void *data)
{
	struct feed *feed = data;
	size_t taken;

	while (feed->size) {
		int r = varve_stream_write(of, request, feed->bytes,
					   feed->size < feed->piece ? feed->size : feed->piece,
					   &taken);

		if (r)
			return;
		feed->bytes += taken;
		feed->size -= taken;
	}
	varve_stream_end(of, request, 0);
}

/* Unpack BYTES as FLAGS say. */
static void unpack(const uint8_t *bytes, size_t size, unsigned flags)
{
	const struct varve_id_map map = { 0, 100000, 65536 };
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct feed feed = { bytes, size, (size_t)1 << (flags >> PIECE_SHIFT & PIECE_MASK) };
	struct varve_failure failure;
	int r;

	apply.room = feed_room;
	apply.room_data = &feed;
	if (flags & MAPPED) {
		apply.uids = apply.gids = &map;
		apply.uids_count = apply.gids_count = 1;
	}
	if (!(flags & CREATE)) {
		r = varve_layer_apply_wait(store, "victim", &apply, VARVE_STREAM, NULL, NULL,
					   &failure);
		if (r == -ENOTSUP && failure.call && !strcmp(failure.call, "dlopen"))
			die_of(&failure);
		return;
	}
	create.parent = "base";
	create.apply = &apply;
	create.apply_fd = VARVE_STREAM;
	r = varve_layer_create_wait(store, "made", &create, &failure);
	/* Whole, or not there at all. */
	if ((access("/home/subvolumes/made", F_OK) == 0) != !r)
		die("a layer that is not there, or should not be", r);
	if (!r && varve_layer_remove_wait(store, "made", 0, &failure))
		die_of(&failure);
}

/* Run an input. */
static void apply_run(const uint8_t *data, size_t size)
{
	unsigned flags = size ? data[0] : 0;
	size_t length = size ? size - 1 : 0;
	uint8_t *bytes;

	if (!store)
		begin();
	bytes = calloc(1, length + 2 * BLOCK_BYTES);
	if (!bytes)
		die("calloc", ENOMEM);
	memcpy(bytes, data + !!size, length);
	if (!(flags & RAW))
		archive_sign(bytes, length);
	unpack(bytes, flags & ENDLESS ? length : length + 2 * BLOCK_BYTES, flags);
	free(bytes);
	for (size_t i = 0; i < sizeof(canaries) / sizeof(canaries[0]); i++)
		canary_check(canaries[i]);
	root_check();
	if (++inputs % LAYER_INPUTS == 0)
		renew();
}

/* Close the store. */
static void apply_end(void)
{
	if (store)
		varve_close(store);
	store = NULL;
}

const struct fuzz_target fuzz_apply = { "apply", apply_run, apply_end };
