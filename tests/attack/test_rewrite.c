/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user exchanges names in a layer while others are made of it, shifted, labelled and unpacked
 * into: nothing outside changes, and what is made is whole.
 */
#include <ftw.h>
#include <selinux/selinux.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "storm.h"
#include "tar.h"
#include "test.h"

/* Names that are exchanged. */
#define FILES 4
/* Layers that are made. */
#define LAYERS 10

/* What is made is labelled so. */
static const char container[] = "system_u:object_r:container_file_t:s0";

/* In the place of libselinux's: it is on, and knows every label. */
int is_selinux_enabled(void)
{
	return 1;
}

/* In the place of libselinux's. */
int security_check_context(const char *context)
{
	(void)context;
	return 0;
}

/* Make the directory PLACE with ARMS in it, and files whose names are written to NAMES. */
static void make_place(struct storm *storm, char *place, unsigned arms, char **names)
{
	test_mkdir(place);
	storm_arm(storm, place, arms);
	for (unsigned i = 0; i < FILES; i++) {
		names[i] = test_path("%s/file-%u", place, i);
		test_write(names[i], "");
		ck_assert_int_eq(lchown(names[i], STORM_USER, STORM_USER), 0);
	}
}

/* An archive that puts all kinds of things where the user exchanges names. */
static int make_archive(void)
{
	struct tar tar = { 0 };
	int descriptor = memfd_create("archive", MFD_CLOEXEC);
	tar_add(&tar, &(struct tar_entry){ .name = "place/new", .type = '5', .mode = 04777 });
	for (unsigned i = 0; i < FILES; i++)
		tar_add(&tar, &(struct tar_entry){ .name = test_path("place/file-%u", i),
						   .content = "new",
						   .size = 3,
						   .mode = 04755 });
	tar_add(&tar, &(struct tar_entry){ .name = "place/fifo", .type = '6', .mode = 04777 });
	tar_add(&tar, &(struct tar_entry){
			      .name = "place/device", .type = '3', .mode = 04777, .device = 1 });
	tar_add(&tar, &(struct tar_entry){ .name = "place/.wh.file-0" });
	tar_end(&tar);
	ck_assert_int_eq(write(descriptor, tar.bytes, tar.size), tar.size);
	return descriptor;
}

/* One entry of a layer that was made. */
static int look(const char *path, const struct stat *stat, int type, struct FTW *place)
{
	char value[256];
	(void)type, (void)place;
	ck_assert_msg(stat->st_uid >= 300000, "%s: %u", path, stat->st_uid);
	ck_assert_msg(lgetxattr(path, "security.selinux", value, sizeof(value)) ==
				      sizeof(container) &&
			      !strcmp(value, container),
		      "%s has no label", path);
	return 0;
}

/* All of the layer ID in HOME has been shifted, or unpacked after, and labelled. */
static void check_made(const char *home, const char *id)
{
	ck_assert_int_eq(nftw(test_layer(home, id), look, 16, FTW_PHYS), 0);
	storm_check_privileged(test_path("%s/place", test_layer(home, id)));
}

/*
 * The snapshot is taken at one moment, and out of the user's reach; what is done to it follows no
 * link of what was in it then.
 */
START_TEST(test_made_of_it)
{
	static const struct varve_id_map in[] = { { 0, 100000, 65536 } },
					 out[] = { { 0, 300000, 65536 } };
	char *home = test_home(), *layer = test_layer(home, "base"), *names[FILES + 1] = { 0 };
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int archive = make_archive();
	unsigned turns = 0;
	shift.uid_from = in, shift.uid_from_count = 1, shift.gid_from = in,
	shift.gid_from_count = 1;
	shift.uid_to = out, shift.uid_to_count = 1, shift.gid_to = out, shift.gid_to_count = 1;
	apply.uids = in, apply.uids_count = 1, apply.gids = in, apply.gids_count = 1;
	options.parent = "base";
	options.chown = &shift;
	options.label = container;
	ck_assert_int_eq(chmod(home, 0711), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0711), 0);
	test_create(store, "base", NULL);
	ck_assert_int_eq(chown(layer, STORM_USER, STORM_USER), 0);
	make_place(storm, test_path("%s/place", layer), STORM_ALL, names);
	storm_start(storm, (const char *const *)names);
	storm_wait(storm, 20);
	do {
		struct varve_failure failure = { 0 };
		options.apply = turns % 2 ? &apply : NULL;
		options.apply_fd = archive;
		ck_assert_int_eq(lseek(archive, 0, SEEK_SET), 0);
		test_ok(varve_layer_create_wait(store, "copy", &options, &failure), &failure);
		check_made(home, "copy");
		test_remove_layer(store, "copy");
	} while (++turns < storm_scaled(LAYERS));
	storm_stop(storm);
	storm_check(storm);
	ck_assert_uint_eq(storm_opens(storm), 0);
	storm_disarm(storm);
	close(archive);
	test_close(store);
	storm_end(storm);
}
END_TEST

TEST_MAIN("rewrite", test_made_of_it)
