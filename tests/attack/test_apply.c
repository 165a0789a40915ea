/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply to a layer whose user exchanges names while it runs, for links, directories, fifos, nodes,
 * files and mount points: nothing outside changes, no device is opened, no file of the user's gets
 * privileges. What the request answers does not matter. Each kind of entry has archives of its own,
 * since the first failure ends one.
 *
 * varve-test: timeout=240
 */
#include "storm.h"
#include "tar.h"
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names in each place, which the archive has and the attacker exchanges. */
#define NAMES 6

/* How often the archive has each of them. */
#define REPEATS 4

/* Exchanges for each kind of archive while operations run. */
#define EXCHANGES 750

/* Archives of each kind, at least. */
#define ROUNDS_MIN 10

/* Entries of one archive, added to TAR for the name NAME in a place. */
typedef void adder(struct tar *tar, const char *name);

/* An archive of all that ADD makes of the names in the root and in "a". */
static int archive(adder *add)
{
	struct tar tar = { 0 };
	int descriptor = memfd_create("archive", MFD_CLOEXEC);
	for (unsigned i = 0; i < REPEATS * NAMES; i++) {
		add(&tar, test_path("name-%u", i % NAMES));
		add(&tar, test_path("a/name-%u", i % NAMES));
	}
	tar_end(&tar);
	ck_assert_int_eq(write(descriptor, tar.bytes, tar.size), tar.size);
	return descriptor;
}

/*
 * Unpack what ADD makes into fresh layers, while names in them are exchanged for ARMS, with the
 * owners mapped or not.
 */
static void attack(adder *add, unsigned arms, bool mapped)
{
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_id_map map = { .container = 0, .host = STORM_USER, .count = 65536 };
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	const char *targets[2 * NAMES + 2] = { NULL };
	char *home = test_home(), *layer = test_layer(home, "layer"),
	     *below = test_path("%s/a", layer);
	struct varve_store *store = test_open_relaxed(home);
	int descriptor = archive(add);
	unsigned rounds = 0;
	if (mapped) {
		options.uids = options.gids = &map;
		options.uids_count = options.gids_count = 1;
	}
	for (unsigned i = 0; i < NAMES; i++) {
		targets[2 * i] = test_path("%s/name-%u", layer, i);
		targets[2 * i + 1] = test_path("%s/name-%u", below, i);
	}
	while (rounds++ < ROUNDS_MIN || storm_count(storm) < storm_scaled(EXCHANGES)) {
		/* The directory leads to nothing for most of the time then. */
		targets[2 * NAMES] = rounds % 3 ? NULL : below;
		test_create(store, "layer", NULL);
		test_mkdir(below);
		test_write(test_path("%s/old", below), "old");
		storm_arm(storm, layer, arms);
		storm_arm(storm, below, arms);
		storm_start(storm, targets);
		ck_assert_int_eq(lseek(descriptor, 0, SEEK_SET), 0);
		varve_layer_apply_wait(store, "layer", &options, descriptor, NULL, NULL, NULL);
		storm_stop(storm);
		storm_check(storm);
		storm_disarm(storm);
		storm_check_privileged(layer);
		ck_assert_uint_eq(storm_opens(storm), 0);
		test_remove_layer(store, "layer");
	}
	printf("%u archives, %llu exchanges\n", rounds - 1, (unsigned long long)storm_count(storm));
	close(descriptor);
	test_close(store);
	storm_end(storm);
}

/* ---- what is in the archives ----------------------------------------------------------------- */

static void add_directory(struct tar *tar, const char *name)
{
	tar_add(tar, &(struct tar_entry){ .name = name, .type = '5', .mode = 04777 });
}

/* The directory itself is left out. */
static void add_implicit(struct tar *tar, const char *name)
{
	tar_add(tar, &(struct tar_entry){ .name = test_path("%s/below/fifo", name),
					  .type = '6',
					  .mode = 04777 });
}

static void add_fifo(struct tar *tar, const char *name)
{
	tar_add(tar, &(struct tar_entry){ .name = name, .type = '6', .mode = 04777 });
}

static void add_device(struct tar *tar, const char *name)
{
	tar_add(tar, &(struct tar_entry){ .name = name, .type = '3', .mode = 04777, .device = 1 });
}

static void add_link(struct tar *tar, const char *name)
{
	tar_add(tar, &(struct tar_entry){
			     .name = name, .type = '2', .link = "elsewhere", .mode = 04777 });
}

static void add_setuid(struct tar *tar, const char *name)
{
	tar_add_pax(tar, "SCHILY.xattr.user.some", "value", 5);
	tar_add(tar, &(struct tar_entry){
			     .name = name, .content = "content", .size = 7, .mode = 04777 });
}

static void add_hardlink(struct tar *tar, const char *name)
{
	tar_add(tar,
		&(struct tar_entry){ .name = name, .content = "content", .size = 7, .mode = 0600 });
	tar_add(tar, &(struct tar_entry){ .name = test_path("%s-again", name),
					  .type = '1',
					  .link = name,
					  .mode = 04777 });
}

/* Something in a directory that is there then, a whiteout of it, and the directory emptied. */
static void add_whiteout(struct tar *tar, const char *name)
{
	const char *slash = strrchr(name, '/');
	int length = slash ? (int)(slash - name) + 1 : 0;
	tar_add_file(tar, test_path("%s/file", name), "new");
	tar_add_file(tar, test_path("%s/.wh..wh..opq", name), "");
	tar_add_file(tar, test_path("%.*s.wh.%s", length, name, name + length), "");
}

/* ---- the storms ------------------------------------------------------------------------------ */

START_TEST(test_directories)
{
	attack(add_directory, STORM_ALL, false);
}
END_TEST

START_TEST(test_implicit)
{
	attack(add_implicit, STORM_LINKS, false);
	attack(add_implicit, STORM_ALL, true);
}
END_TEST

START_TEST(test_fifos)
{
	attack(add_fifo, STORM_LINKS, false);
	attack(add_fifo, STORM_FILES, false);
}
END_TEST

START_TEST(test_devices)
{
	attack(add_device, STORM_LINKS, false);
	attack(add_device, STORM_ALL, false);
}
END_TEST

START_TEST(test_links)
{
	attack(add_link, STORM_ALL, true);
}
END_TEST

START_TEST(test_setuid)
{
	attack(add_setuid, STORM_ALL, false);
	attack(add_setuid, STORM_FILES, true);
}
END_TEST

START_TEST(test_hardlinks)
{
	attack(add_hardlink, STORM_ALL, false);
}
END_TEST

START_TEST(test_whiteouts)
{
	attack(add_whiteout, STORM_ALL, false);
	attack(add_whiteout, STORM_MOUNTS, false);
}
END_TEST

TEST_MAIN("apply", test_directories, test_implicit, test_fifos, test_devices, test_links,
	  test_setuid, test_hardlinks, test_whiteouts)
