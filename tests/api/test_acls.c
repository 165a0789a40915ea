/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes go with files: access control lists in both forms that archives have them in, with
 * their ids mapped as owners are; those that take privilege; and what is not kept is reported.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tar.h"

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static const struct varve_id_map map[] = { { .container = 0, .host = 100000, .count = 65536 } };

/* An attribute: u::rwx, u:USER:r--, g::r-x, g:GROUP:-w-, m::rwx, o::---. */
static const char *list(uint32_t user, uint32_t group)
{
	static char bytes[4 + 6 * 8];
	const struct {
		uint16_t tag, perm;
		uint32_t id;
	} entries[] = { { ACL_USER_OBJ, 7, ~0u }, { ACL_USER, 4, user }, { ACL_GROUP_OBJ, 5, ~0u },
			{ ACL_GROUP, 2, group },  { ACL_MASK, 7, ~0u },  { ACL_OTHER, 0, ~0u } };

	memcpy(bytes, &(uint32_t){ htole32(2) }, 4);
	for (unsigned i = 0; i < 6; i++) {
		memcpy(bytes + 4 + 8 * i, &(uint16_t){ htole16(entries[i].tag) }, 2);
		memcpy(bytes + 6 + 8 * i, &(uint16_t){ htole16(entries[i].perm) }, 2);
		memcpy(bytes + 8 + 8 * i, &(uint32_t){ htole32(entries[i].id) }, 4);
	}
	return bytes;
}

#define LIST_BYTES (4 + 6 * 8)

/* The attribute NAME at PATH is list(USER, GROUP). */
static void check(const char *path, const char *name, uint32_t user, uint32_t group)
{
	char value[256];

	ck_assert_msg(lgetxattr(path, name, value, sizeof(value)) == LIST_BYTES, "%s has no %s",
		      path, name);
	ck_assert_mem_eq(value, list(user, group), LIST_BYTES);
}

/* The attribute NAME is not at PATH. */
static void check_none(const char *path, const char *name)
{
	ck_assert_msg(lgetxattr(path, name, NULL, 0) < 0, "%s has %s", path, name);
}

/* An archive with lists in both forms. */
static struct tar lists(void)
{
	static const char text[] =
		"user::rwx,user:6:r--,group::r-x,group:7:-w-,mask::rwx,other::---";
	struct tar tar = { 0 };

	tar_add_pax(&tar, "SCHILY.xattr." ACCESS, list(6, 7), LIST_BYTES);
	tar_add(&tar, &(struct tar_entry){ .name = "binary", .mode = 0770 });
	tar_add_pax(&tar, "SCHILY.acl.access", text, strlen(text));
	tar_add(&tar, &(struct tar_entry){ .name = "text", .mode = 0770 });
	tar_add_pax(&tar, "SCHILY.acl.default", text, strlen(text));
	tar_add(&tar, &(struct tar_entry){ .name = "dir/", .type = '5', .mode = 0700 });
	/* They inherit nothing. */
	tar_add(&tar, &(struct tar_entry){ .name = "dir/file", .mode = 0640 });
	tar_add(&tar, &(struct tar_entry){ .name = "dir/sub", .type = '5', .mode = 0750 });
	tar_add(&tar,
		&(struct tar_entry){ .name = "dir/implicit/fifo", .type = '6', .mode = 0640 });
	tar_add_pax(&tar, "SCHILY.xattr." ACCESS, list(6, 7), LIST_BYTES);
	tar_add(&tar, &(struct tar_entry){ .name = "fifo", .type = '6', .mode = 0770 });
	/* Nor does what lies in the root once that has a list. */
	tar_add_pax(&tar, "SCHILY.acl.default", text, strlen(text));
	tar_add(&tar, &(struct tar_entry){ .name = "./", .type = '5', .mode = 0755 });
	tar_add(&tar, &(struct tar_entry){ .name = "later", .mode = 0640 });
	tar_end(&tar);
	return tar;
}

/* Make the layer ID from TAR, shifted if SHIFT. */
static void create(struct varve_store *store, const char *id, const struct tar *tar,
		   const struct varve_chown_options *shift)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure;

	options.apply = &apply;
	options.chown = shift;
	options.apply_fd = memfd_create("archive", MFD_CLOEXEC);
	ck_assert_int_eq(write(options.apply_fd, tar->bytes, tar->size), (ssize_t)tar->size);
	ck_assert_int_eq(lseek(options.apply_fd, 0, SEEK_SET), 0);
	test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
	close(options.apply_fd);
}

/* Lists in layer ID have the ids 6 and 7 from BASE on. */
static void check_layer(const char *home, const char *id, uint32_t base)
{
	const char *layer = test_layer(home, id);
	struct stat stat_now;

	check(test_path("%s/binary", layer), ACCESS, base + 6, base + 7);
	check(test_path("%s/text", layer), ACCESS, base + 6, base + 7);
	check(test_path("%s/dir", layer), DEFAULT, base + 6, base + 7);
	check(test_path("%s/fifo", layer), ACCESS, base + 6, base + 7);
	/* An archive of a layer does not have its root. */
	if (strcmp(id, "again") != 0)
		check(layer, DEFAULT, base + 6, base + 7);
	check_none(test_path("%s/later", layer), ACCESS);
	check_none(test_path("%s/dir/file", layer), ACCESS);
	check_none(test_path("%s/dir/sub", layer), ACCESS);
	check_none(test_path("%s/dir/sub", layer), DEFAULT);
	check_none(test_path("%s/dir/implicit", layer), DEFAULT);
	check_none(test_path("%s/dir/implicit/fifo", layer), ACCESS);
	ck_assert_int_eq(stat(test_path("%s/dir/file", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(test_path("%s/dir/implicit", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 0755);
}

START_TEST(test_lists)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_apply_options mapped = VARVE_APPLY_OPTIONS_INIT;
	struct varve_diff_options diff = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure;
	struct varve_change *changes;
	struct tar tar = lists();
	size_t count;
	int fd = memfd_create("archive", MFD_CLOEXEC);

	shift.uid_to = shift.gid_to = map;
	shift.uid_to_count = shift.gid_to_count = 1;
	create(store, "plain", &tar, NULL);
	check_layer(home, "plain", 0);
	create(store, "made", &tar, &shift);
	check_layer(home, "made", 100000);
	/* The archive of a shifted layer has the container's ids, and gives the same again. */
	diff.uids = diff.gids = map;
	diff.uids_count = diff.gids_count = 1;
	test_ok(varve_layer_diff_wait(store, "made", &diff, fd, NULL, NULL, &failure), &failure);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	mapped.uids = mapped.gids = map;
	mapped.uids_count = mapped.gids_count = 1;
	test_create(store, "again", NULL);
	test_ok(varve_layer_apply_wait(store, "again", &mapped, fd, NULL, NULL, &failure),
		&failure);
	check_layer(home, "again", 100000);
	close(fd);
	/* A layer in sight is shifted by the inode. */
	test_ok(varve_layer_chown_wait(store, "plain", &shift, &failure), &failure);
	check_layer(home, "plain", 100000);
	/* A list that changes is a change. */
	test_create(store, "child", "plain");
	ck_assert_int_eq(setxattr(test_path("%s/text", test_layer(home, "child")), ACCESS,
				  list(8, 9), LIST_BYTES, 0),
			 0);
	test_ok(varve_layer_changes_wait(store, "child", NULL, &changes, &count, &failure),
		&failure);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(changes[0].path, "/text");
	free(changes);
	test_close(store);
}
END_TEST

/* A value for attribute NAME that kernels which measure files (IMA) take, too: a SHA-1 digest. */
static size_t value_of(const char *name, const char **ret)
{
	static const char digest[] = "\001dddddddddddddddddddd";

	*ret = strcmp(name, "security.ima") ? "y" : digest;
	return strlen(*ret);
}

START_TEST(test_privileged)
{
	static const char *const kept[] = { "security.ima", "trusted.overlay.opaque", "user.x",
					    "trusted.x" };
	static const char *const left[] = { "security.selinux", "security.evm",
					    "btrfs.compression" };
	char *home = test_home(), *path;
	struct varve_store *store = test_open_relaxed(home);
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure;
	struct tar tar = { 0 };
	const char *value;
	uint64_t skipped;
	char byte;
	size_t size;
	int fd;

	for (size_t i = 0; i < TEST_COUNT(kept); i++) {
		size = value_of(kept[i], &value);
		tar_add_pax(&tar, test_path("SCHILY.xattr.%s", kept[i]), value, size);
		tar_add(&tar, &(struct tar_entry){ .name = kept[i], .mode = 0400 });
	}
	for (size_t i = 0; i < TEST_COUNT(left); i++) {
		tar_add_pax(&tar, test_path("SCHILY.xattr.%s", left[i]), "y", 1);
		tar_add(&tar, &(struct tar_entry){ .name = left[i], .mode = 0400 });
	}
	tar_add_pax(&tar, "SCHILY.xattr.trusted.x", "y", 1);
	tar_add(&tar, &(struct tar_entry){ .name = "link", .type = '2', .link = "nowhere" });
	/* Names in a list that no number stands for. */
	tar_add_pax(&tar, "SCHILY.acl.access",
		    "user::rwx,user:nobody:r--,group::r-x,mask::rwx,other::---", 56);
	tar_add(&tar, &(struct tar_entry){ .name = "named", .mode = 0600 });
	tar_end(&tar);
	for (unsigned round = 0; round < 2; round++) {
		const char *id = round ? "second" : "first";

		fd = memfd_create("archive", MFD_CLOEXEC);
		if (round) {
			test_ok(varve_layer_diff_wait(store, "first", NULL, fd, NULL, &skipped,
						      &failure),
				&failure);
			ck_assert_uint_eq(skipped, 0);
		} else
			ck_assert_int_eq(write(fd, tar.bytes, tar.size), (ssize_t)tar.size);
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		test_create(store, id, NULL);
		test_ok(varve_layer_apply_wait(store, id, &options, fd, NULL, &skipped, &failure),
			&failure);
		ck_assert_uint_eq(skipped, round ? 0 : TEST_COUNT(left) + 1);
		close(fd);
		for (size_t i = 0; i < TEST_COUNT(kept); i++) {
			path = test_path("%s/%s", test_layer(home, id), kept[i]);
			size = value_of(kept[i], &value);
			ck_assert_msg(getxattr(path, kept[i], NULL, 0) == (ssize_t)size,
				      "%s is not kept", kept[i]);
		}
		path = test_path("%s/link", test_layer(home, id));
		ck_assert_msg(lgetxattr(path, "trusted.x", NULL, 0) == 1,
			      "the link's attribute is not kept");
		/* A kernel with SELinux gives each file a label of its own. */
		for (size_t i = 0; i < TEST_COUNT(left); i++) {
			path = test_path("%s/%s", test_layer(home, id), left[i]);
			ck_assert_msg(lgetxattr(path, left[i], &byte, 1) != 1, "%s is kept",
				      left[i]);
		}
	}
	test_close(store);
}
END_TEST

START_TEST(test_bad)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = { { "", 0 },
		    { "\2\0\0\0\1", 5 },
		    { "\1\0\0\0\1\0\7\0\377\377\377\377", 12 },
		    { "\2\0\0\0\2\0\7\0\5\0\0\0", 12 } };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure;

	test_create(store, "layer", NULL);
	for (size_t i = 1; i < TEST_COUNT(bad); i++) {
		struct tar tar = { 0 };
		int fd = memfd_create("archive", MFD_CLOEXEC);

		tar_add_pax(&tar, "SCHILY.xattr." ACCESS, bad[i].bytes, bad[i].size);
		tar_add(&tar, &(struct tar_entry){ .name = "file" });
		tar_end(&tar);
		ck_assert_int_eq(write(fd, tar.bytes, tar.size), (ssize_t)tar.size);
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		test_error(varve_layer_apply_wait(store, "layer", &options, fd, NULL, NULL,
						  &failure),
			   -EBADMSG);
		ck_assert_ptr_nonnull(strstr(failure.detail, "access control list"));
		close(fd);
	}
	test_close(store);
}
END_TEST

/* Apply TAR to layer ID; how many entries were not kept as they are. */
static uint64_t applied(struct varve_store *store, const char *id, struct tar *tar, uint64_t flags)
{
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	uint64_t skipped = 0;
	int fd = memfd_create("archive", MFD_CLOEXEC);

	tar_end(tar);
	ck_assert_int_eq(write(fd, tar->bytes, tar->size), (ssize_t)tar->size);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	options.flags = flags;
	options.uids = options.gids = flags & VARVE_OVERFLOW_IDS ? map : NULL;
	options.uids_count = options.gids_count = flags & VARVE_OVERFLOW_IDS ? 1 : 0;
	test_ok(varve_layer_apply_wait(store, id, &options, fd, NULL, &skipped, &failure),
		&failure);
	close(fd);
	return skipped;
}

/*
 * A list of a header only is no list: nothing is set, and that is reported; mode and owner are
 * those of the entry.
 */
START_TEST(test_no_entries)
{
	static const char *const names[] = { ACCESS, DEFAULT };
	char *home = test_home(), *path;
	struct varve_store *store = test_open_relaxed(home);
	struct stat stat_now;

	test_create(store, "layer", NULL);
	path = test_path("%s/dir", test_layer(home, "layer"));
	for (size_t i = 0; i < TEST_COUNT(names); i++) {
		struct tar tar = { 0 };

		tar_add_pax(&tar, test_path("SCHILY.xattr.%s", names[i]), "\2\0\0\0", 4);
		tar_add(&tar, &(struct tar_entry){ .name = "dir", .type = '5', .mode = 0750 });
		ck_assert_uint_eq(applied(store, "layer", &tar, 0), 1);
		check_none(path, names[i]);
		ck_assert_int_eq(stat(path, &stat_now), 0);
		ck_assert_int_eq(stat_now.st_mode & 07777, 0750);
	}
	test_close(store);
}
END_TEST

/* The entry of a directory replaces its attributes, in whatever order an opaque marker comes. */
START_TEST(test_directories)
{
	static const char text[] =
		"user::rwx,user:6:r--,group::r-x,group:7:-w-,mask::rwx,other::---";
	char *home = test_home(), *base = test_layer(home, "base"), *dir;
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;

	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/p", base));
	dir = test_path("%s/p/d", base);
	test_mkdir(dir);
	test_write(test_path("%s/p/old", base), "");
	ck_assert_int_eq(setxattr(dir, "user.a", "a", 1, 0), 0);
	ck_assert_int_eq(setxattr(dir, ACCESS, list(8, 9), LIST_BYTES, 0), 0);
	ck_assert_int_eq(setxattr(dir, DEFAULT, list(8, 9), LIST_BYTES, 0), 0);
	options.parent = "base";
	for (unsigned round = 0; round < 4; round++) {
		const char *id = test_path("child-%u", round), *records;
		struct tar tar = { 0 };
		char *top = test_layer(home, id);
		struct stat stat_now;

		test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
		tar_add(&tar, &(struct tar_entry){ .name = "p/", .type = '5', .mode = 0755 });
		if (round == 1)
			tar_add_file(&tar, "p/.wh..wh..opq", "");
		records = test_path("%s%s",
				    round < 3 ? tar_pax_record("SCHILY.acl.access", text,
							       strlen(text))
					      : "",
				    tar_pax_record("SCHILY.xattr.user.b", "b", 1));
		tar_add(&tar, &(struct tar_entry){ .name = "pax",
						   .type = 'x',
						   .content = records,
						   .size = strlen(records) });
		tar_add(&tar, &(struct tar_entry){ .name = "p/d/", .type = '5', .mode = 0750 });
		if (round == 2)
			tar_add_file(&tar, "p/.wh..wh..opq", "");
		ck_assert_msg(applied(store, id, &tar, 0) == 0, "round %u", round);
		dir = test_path("%s/p/d", top);
		check_none(dir, "user.a");
		check_none(dir, DEFAULT);
		ck_assert_int_eq(getxattr(dir, "user.b", NULL, 0), 1);
		if (round < 3)
			check(dir, ACCESS, 6, 7);
		else
			check_none(dir, ACCESS);
		ck_assert_int_eq(stat(dir, &stat_now), 0);
		ck_assert_int_eq(stat_now.st_mode & 07777, round < 3 ? 0770 : 0750);
		ck_assert(test_exists(test_path("%s/p/old", top)) == (round == 0 || round == 3));
	}
	test_close(store);
}
END_TEST

/* Where something could not be kept, nobody gets more than the archive gives. */
START_TEST(test_no_more)
{
	static const char named[] = "user::rw-,user:nobody:rw-,group::---,mask::rw-,other::---";
	static const char large[] =
		"user::rw-,user:x:rw-:3000000000,group::r--,mask::rw-,other::---";
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open_relaxed(home);
	struct tar tar = { 0 };
	struct stat stat_now;

	test_create(store, "layer", NULL);
	tar_add_pax(&tar, "SCHILY.acl.access", named, strlen(named));
	tar_add(&tar, &(struct tar_entry){ .name = "named", .mode = 0660 });
	tar_add_pax(&tar, "SCHILY.acl.access", large, strlen(large));
	tar_add(&tar, &(struct tar_entry){ .name = "large", .mode = 0660 });
	tar_add(&tar, &(struct tar_entry){ .name = "setuid", .mode = 06755, .uid = 70000 });
	tar_add(&tar, &(struct tar_entry){ .name = "mapped", .mode = 06755, .uid = 1 });
	ck_assert_uint_eq(applied(store, "layer", &tar, VARVE_OVERFLOW_IDS), 3);
	check_none(test_path("%s/named", layer), ACCESS);
	check_none(test_path("%s/large", layer), ACCESS);
	ck_assert_int_eq(stat(test_path("%s/named", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(test_path("%s/large", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(test_path("%s/setuid", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 0755);
	ck_assert_int_eq(stat(test_path("%s/mapped", layer), &stat_now), 0);
	ck_assert_int_eq(stat_now.st_mode & 07777, 06755);
	test_close(store);
}
END_TEST

TEST_MAIN("acls", test_lists, test_privileged, test_bad, test_no_entries, test_directories,
	  test_no_more)
