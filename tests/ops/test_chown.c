/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership shift: every inode once, nothing lost, nothing outside, whatever the tree. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/shift.h"
#include "engine/walk/workers.h"
#include "random_tree.h"
#include "test.h"

/* A version 2 file capability: cap_net_raw+ep. */
static const unsigned char capability[] = { 1, 0, 0, 2, 0, 32, 0, 0, 0, 0,
					    0, 0, 0, 0, 0, 0,  0, 0, 0, 0 };

/* What the trees are shifted by. */
static const struct varve_id_map map_users[] = { { 0, 100000, 1000 }, { 1000, 300000, 10 } };
static const struct varve_id_map map_groups[] = { { 0, 200000, 65536 } };

/* Where ID comes out of the COUNT entries of MAPS. */
static uint32_t mapped(const struct varve_id_map *maps, size_t count, uint32_t id)
{
	for (size_t i = 0; i < count; i++)
		if (id >= maps[i].container && id < maps[i].container + maps[i].count)
			return maps[i].host + id - maps[i].container;
	return 65534;
}

/* What is known of one path. */
struct known {
	char *path;
	struct stat stat;
	ssize_t capability;
};

struct list_of {
	struct known *known;
	size_t count;
};

/* Give everything an owner that follows from its inode, some special bits and capabilities. */
static void set_metadata(void *data, int parent, const char *name, const char *path,
			 const struct stat *stat)
{
	uint32_t uid = (uint32_t)(stat->st_ino * 7 % 1200),
		 gid = (uint32_t)(stat->st_ino * 3 % 900);
	(void)path, (void)data;
	/* A read-only subvolume, or the place of a nested one. */
	if (fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (!S_ISLNK(stat->st_mode) && stat->st_ino % 3 == 0)
		fchmodat(parent, name,
			 (stat->st_mode & 0777) | (stat->st_ino % 2 ? S_ISUID : S_ISGID), 0);
	if (S_ISREG(stat->st_mode) && stat->st_ino % 5 == 0) {
		int descriptor = openat(parent, name, O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(fsetxattr(descriptor, "security.capability", capability,
					   sizeof(capability), 0),
				 0);
		close(descriptor);
	}
}

static void note(void *data, int parent, const char *name, const char *path,
		 const struct stat *stat)
{
	struct list_of *list = data;
	char value[64], *dot = strdup(path);
	list->known = realloc(list->known, (list->count + 1) * sizeof(*list->known));
	struct known *known = &list->known[list->count++];
	known->path = dot;
	ck_assert_int_eq(fstatat(parent, name, &known->stat, AT_SYMLINK_NOFOLLOW), 0);
	known->capability = lgetxattr(path, "security.capability", value, sizeof(value));
}

/* Note the whole tree. */
static struct list_of list_tree(const char *path)
{
	struct list_of list = { 0 };
	random_tree_each(path, note, &list);
	return list;
}

static void list_free(struct list_of *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->known[i].path);
	free(list->known);
}

static void shift(struct varve_store *store, const char *id, bool back)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	options.flags = VARVE_OVERFLOW_IDS;
	if (back) {
		options.uid_from = map_users, options.uid_from_count = TEST_COUNT(map_users);
		options.gid_from = map_groups, options.gid_from_count = TEST_COUNT(map_groups);
	} else {
		options.uid_to = map_users, options.uid_to_count = TEST_COUNT(map_users);
		options.gid_to = map_groups, options.gid_to_count = TEST_COUNT(map_groups);
	}
	test_ok(varve_layer_chown_wait(store, id, &options, &failure), &failure);
}

START_TEST(test_shift)
{
	static const uint64_t slow[] = { WALK_SLOW_NS, 0, WALK_SLOW_NS, 0 };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	for (unsigned i = 0; i < TEST_COUNT(slow); i++) {
		char *id = test_path("layer-%u", i), *path = test_layer(home, id);
		test_create(store, id, NULL);
		random_tree_make(path, 40 + i, 400);
		random_tree_writable(path);
		random_tree_each(path, set_metadata, NULL);
		struct list_of before = list_tree(path);
		workers_set_slow(store, slow[i]);
		workers_set_xattr_method(store, i < 2 ? xattr_probe() : XATTR_CWD);
		shift(store, id, false);
		struct list_of after = list_tree(path);
		ck_assert_uint_eq(before.count, after.count);
		unsigned special = 0, capable = 0;
		for (size_t n = 0; n < before.count; n++) {
			struct known *old = &before.known[n], *new = &after.known[n];
			ck_assert_str_eq(old->path, new->path);
			ck_assert_uint_eq(old->stat.st_mode, new->stat.st_mode);
			ck_assert_int_eq(old->capability, new->capability);
			special += !!(new->stat.st_mode &(S_ISUID | S_ISGID)) &&
				   S_ISREG(new->stat.st_mode);
			capable += new->capability > 0;
			if (old->stat.st_ino == 2)
				continue;
			ck_assert_uint_eq(new->stat.st_uid, mapped(map_users, TEST_COUNT(map_users),
								   old->stat.st_uid));
			ck_assert_uint_eq(new->stat.st_gid,
					  mapped(map_groups, TEST_COUNT(map_groups),
						 old->stat.st_gid));
		}
		list_free(&before);
		list_free(&after);
		ck_assert_uint_gt(special, 3);
		ck_assert_uint_gt(capable, 3);
	}
	test_close(store);
}
END_TEST

/* There and back again; and ids that the map they are in does not know. */
START_TEST(test_shift_back)
{
	char *home = test_home(), *path;
	struct varve_store *store = test_open(home);
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	struct stat stat_;
	test_create(store, "layer", NULL);
	path = test_path("%s/file", test_layer(home, "layer"));
	test_write(path, "");
	ck_assert_int_eq(chown(path, 1003, 5), 0);
	shift(store, "layer", false);
	ck_assert_int_eq(stat(path, &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 300003);
	ck_assert_uint_eq(stat_.st_gid, 200005);
	shift(store, "layer", true);
	ck_assert_int_eq(stat(path, &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 1003);
	ck_assert_uint_eq(stat_.st_gid, 5);
	/* 0:0 stays, 1003:5 is not of this map. */
	options.uid_from = map_users;
	options.uid_from_count = TEST_COUNT(map_users);
	test_error(varve_layer_chown_wait(store, "layer", &options, NULL), -EOVERFLOW);
	options.uid_from_count = VARVE_ID_MAPS_MAX + 1;
	test_error(varve_layer_chown_wait(store, "layer", &options, NULL), -EINVAL);
	test_close(store);
}
END_TEST

/* The first and the last id of each range, and their neighbours; and root, which is in no range. */
START_TEST(test_edges)
{
	static const struct {
		uint32_t id, shifted;
	} edges[] = {
		{ 0, 100000 }, { 999, 100999 }, { 1000, 300000 }, { 1009, 300009 }, { 1010, 65534 }
	};
	char *home = test_home(), *paths[TEST_COUNT(edges)];
	struct varve_store *store = test_open(home);
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	struct stat stat_;
	test_create(store, "layer", NULL);
	for (size_t i = 0; i < TEST_COUNT(edges); i++) {
		paths[i] = test_path("%s/%zu", test_layer(home, "layer"), i);
		test_write(paths[i], "");
		ck_assert_int_eq(chown(paths[i], edges[i].id, 0), 0);
	}
	shift(store, "layer", false);
	for (size_t i = 0; i < TEST_COUNT(edges); i++) {
		ck_assert_int_eq(stat(paths[i], &stat_), 0);
		ck_assert_uint_eq(stat_.st_uid, edges[i].shifted);
	}
	/* Back: the last one is in no range. */
	ck_assert_int_eq(unlink(paths[TEST_COUNT(edges) - 1]), 0);
	shift(store, "layer", true);
	for (size_t i = 0; i < TEST_COUNT(edges) - 1; i++) {
		ck_assert_int_eq(stat(paths[i], &stat_), 0);
		ck_assert_uint_eq(stat_.st_uid, edges[i].id);
		ck_assert_int_eq(chown(paths[i], 0, 0), 0);
	}
	/* All is root's, which is not in this range: it is taken for the container's own. */
	options.uid_from = &map_users[1], options.uid_from_count = 1;
	options.uid_to = map_users, options.uid_to_count = TEST_COUNT(map_users);
	test_error(varve_layer_chown_wait(store, "layer", &options, NULL), 0);
	ck_assert_int_eq(stat(paths[0], &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 100000);
	/* Right behind a range is outside of it. */
	ck_assert_int_eq(chown(paths[0], 300010, 0), 0);
	test_error(varve_layer_chown_wait(store, "layer", &options, NULL), -EOVERFLOW);
	test_close(store);
}
END_TEST

START_TEST(test_attack)
{
	char *home = test_home(), *outside = test_path("%s-outside", home), *layer;
	struct varve_store *store = test_open(home);
	test_mkdir(outside);
	/*
	 * Inode numbers that the layer does not have: an inode that was seen is not shifted again,
	 * and that would hide it.
	 */
	for (int i = 0; i < 2000; i++) {
		test_write(test_path("%s/burnt", outside), "");
		ck_assert_int_eq(unlink(test_path("%s/burnt", outside)), 0);
	}
	test_make_tree(outside, 3, 20, 10);
	test_create(store, "layer", NULL);
	layer = test_layer(home, "layer");
	test_make_tree(layer, 20, 20, 10);
	char *swap = test_path("%s/swap", layer);
	test_mkdir(swap);
	test_make_tree(swap, 3, 20, 10);
	ck_assert_int_eq(symlink(outside, test_path("%s/link", layer)), 0);
	int child = test_child_endless(random_tree_swap, layer);
	for (int i = 0; i < 30; i++) {
		workers_set_slow(store, i % 2 ? 0 : WALK_SLOW_NS);
		workers_set_xattr_method(store, i % 3 ? XATTR_CWD : xattr_probe());
		/*
		 * What is renamed meanwhile may be missed or found twice: then its owner is in no
		 * map.
		 */
		shift(store, "layer", false);
	}
	test_child_kill(child);
	struct list_of list = list_tree(outside);
	for (size_t i = 0; i < list.count; i++)
		ck_assert_msg(list.known[i].stat.st_uid == 0 && list.known[i].stat.st_gid == 0,
			      "%s", list.known[i].path);
	list_free(&list);
	test_close(store);
}
END_TEST

/* Files of a layer in use, which move between two directories. */
#define BUSY_FILES 1200

/* Move every file of a layer to and fro between its two directories, for ever. */
static int stir(void *layer)
{
	for (unsigned turn = 0;; turn++)
		for (unsigned i = 0; i < BUSY_FILES; i++) {
			char from[4096], to[4096];
			snprintf(from, sizeof(from), "%s/dir-%u/file-%u", (const char *)layer,
				 turn % 2, i);
			snprintf(to, sizeof(to), "%s/dir-%u/file-%u", (const char *)layer,
				 !(turn % 2), i);
			rename(from, to);
		}
	return 0;
}

/*
 * A layer in use: what moves while it is shifted is shifted, too, once, or the call says that
 * something is not.
 */
START_TEST(test_in_use)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	test_create(store, "layer", NULL);
	test_mkdir(test_path("%s/dir-0", layer));
	test_mkdir(test_path("%s/dir-1", layer));
	for (unsigned i = 0; i < BUSY_FILES; i++)
		test_write(test_path("%s/dir-0/file-%u", layer, i), "");
	struct varve_id_map from = { 0, 0, 65536 }, to = { 0, 0, 65536 };
	options.uid_from = &from, options.uid_from_count = 1;
	options.uid_to = &to, options.uid_to_count = 1;
	int child = test_child_endless(stir, layer);
	for (unsigned i = 1; i <= 8; i++) {
		struct varve_failure failure = { 0 };
		from = to;
		to.host = i * 100000;
		/* Shifted twice, a file would be in no map. */
		int r = varve_layer_chown_wait(store, "layer", &options, &failure);
		ck_assert_msg(r == 0, "%s: %s", test_errno_name(r), failure.detail);
	}
	test_child_kill(child);
	struct list_of list = list_tree(layer);
	ck_assert_uint_eq(list.count, BUSY_FILES + 3);
	for (size_t i = 0; i < list.count; i++)
		ck_assert_msg(list.known[i].stat.st_uid == 800000, "%s: %u", list.known[i].path,
			      list.known[i].stat.st_uid);
	list_free(&list);
	test_close(store);
}
END_TEST

/* Files that come each time. */
#define NEW_FILES 3

/*
 * What a layer's user makes in it, in each round of a shift: by a search it begins with that ioctl,
 * by a walk it ends so.
 */
static struct {
	const char *layer;
	/* How many more times; how many files there are. */
	_Atomic unsigned times, files;
	/* When a directory's end is read; else before a search. */
	bool walked;
} user;

/* Make files, unless that was often enough. */
static void user_makes_files(void)
{
	char path[4096];
	if (!user.times)
		return;
	user.times--;
	for (unsigned i = 0; i < NEW_FILES; i++) {
		snprintf(path, sizeof(path), "%s/new-%u", user.layer, user.files++);
		int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		ck_assert_int_ge(descriptor, 0);
		close(descriptor);
	}
}

/*
 * A layer whose files are given capabilities when the trees have been searched for the first time;
 * NULL: not, or no more.
 */
static const char *given;

/* Files in it: more than are asked before a search. */
#define GIVEN_FILES (XATTR_SEARCH_LOOKUPS + 20)

/* Give them. */
static void give_capabilities(void)
{
	char path[4096];
	for (unsigned i = 0; i < GIVEN_FILES; i++) {
		snprintf(path, sizeof(path), "%s/file-%u", given, i);
		ck_assert_int_eq(setxattr(path, "security.capability", capability,
					  sizeof(capability), 0),
				 0);
	}
	given = NULL;
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == BTRFS_IOC_FS_INFO && !user.walked)
		user_makes_files();
	int r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (request == BTRFS_IOC_TREE_SEARCH_V2 && given)
		give_capabilities();
	return r;
}

/* What asking for the names of attributes fails with; 0: nothing. */
static _Atomic int list_error;

/* In the place of libc's. */
ssize_t listxattr(const char *path, char *list, size_t size)
{
	if (list_error) {
		errno = list_error;
		return -1;
	}
	return syscall(SYS_listxattr, path, list, size);
}

/* In the place of libc's. */
long syscall(long number, ...)
{
	enum { LISTXATTRAT = 465 };
	static long (*real)(long, ...);
	va_list arguments;
	long a[6];
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (list_error && number == LISTXATTRAT) {
		errno = list_error;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* In the place of libc's. */
ssize_t getdents64(int fd, void *buffer, size_t size)
{
	ssize_t length = syscall(SYS_getdents64, fd, buffer, size);
	if (!length && user.walked)
		user_makes_files();
	return length;
}

/*
 * Shift a layer whose user makes files in TIMES rounds; once more than there are rounds, and some
 * are left.
 */
static void shift_while_made(bool privileged, unsigned times)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	unsigned unshifted = 0;
	store->layout.privileged &= privileged;
	options.uid_to = map_users, options.uid_to_count = TEST_COUNT(map_users);
	options.gid_to = map_groups, options.gid_to_count = TEST_COUNT(map_groups);
	test_create(store, "layer", NULL);
	user.layer = layer;
	user.walked = !privileged;
	user.files = 0;
	user.times = times;
	int r = varve_layer_chown_wait(store, "layer", &options, &failure);
	ck_assert_uint_eq(user.times, 0);
	ck_assert_uint_eq(user.files, times * NEW_FILES);
	if (times > SHIFT_ROUNDS_MAX) {
		test_error(r, -EBUSY);
		ck_assert_msg(strstr(failure.detail, test_path("%u files", NEW_FILES)) ==
				      failure.detail,
			      "%s", failure.detail);
	} else {
		test_ok(r, &failure);
	}
	struct list_of list = list_tree(layer);
	ck_assert_uint_eq(list.count, times * NEW_FILES + 1);
	for (size_t i = 0; i < list.count; i++) {
		unshifted += !list.known[i].stat.st_uid;
		ck_assert_uint_eq(list.known[i].stat.st_uid,
				  list.known[i].stat.st_uid ? 100000 : 0);
	}
	/*
	 * A search that finds some after the last round only counts them; a walk shifts what it
	 * comes to.
	 */
	ck_assert_uint_eq(unshifted, times > SHIFT_ROUNDS_MAX && privileged ? NEW_FILES : 0);
	list_free(&list);
	test_close(store);
}

/*
 * Files that are made in each round end it, with their number; one round less, and all is shifted.
 */
START_TEST(test_files_made)
{
	for (unsigned i = 0; i < 4; i++)
		shift_while_made(i % 2, SHIFT_ROUNDS_MAX + i / 2);
}
END_TEST

/*
 * Make a layer of empty files in one directory, which one thread walks, and wait until a change of
 * them has a later time.
 */
static void make_settled(struct varve_store *store, const char *layer)
{
	struct timespec now;
	struct stat stat;
	test_create(store, "layer", NULL);
	for (unsigned i = 0; i < GIVEN_FILES; i++)
		test_write(test_path("%s/file-%u", layer, i), "");
	ck_assert_int_eq(lstat(test_path("%s/file-%u", layer, GIVEN_FILES - 1), &stat), 0);
	do {
		sched_yield();
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == stat.st_ctim.tv_sec ? now.tv_nsec <= stat.st_ctim.tv_nsec
						   : now.tv_sec < stat.st_ctim.tv_sec);
}

/* What files are given after the trees were searched for it is kept. */
START_TEST(test_given_meanwhile)
{
	char *home = test_home(), *layer = test_layer(home, "layer"), value[64];
	struct varve_store *store = test_open(home);
	make_settled(store, layer);
	given = layer;
	shift(store, "layer", false);
	ck_assert_ptr_null(given);
	for (unsigned i = 0; i < GIVEN_FILES; i++) {
		struct stat stat;
		const char *path = test_path("%s/file-%u", layer, i);
		ck_assert_int_eq(lstat(path, &stat), 0);
		ck_assert_uint_eq(stat.st_uid, 100000);
		ck_assert_msg(getxattr(path, "security.capability", value, sizeof(value)) ==
				      sizeof(capability),
			      "%s", path);
	}
	test_close(store);
}
END_TEST

/*
 * Where the names of a file's attributes cannot be had, it is not taken for one that has none,
 * whose capability would be lost.
 */
START_TEST(test_not_listed)
{
	char *home = test_home(), *file = test_path("%s/file", test_layer(home, "layer")),
	     value[64];
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_chown_options chown_options = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	test_create(store, "layer", NULL);
	test_write(file, "");
	ck_assert_int_eq(setxattr(file, "security.capability", capability, sizeof(capability), 0),
			 0);
	chown_options.uid_to = map_users, chown_options.uid_to_count = TEST_COUNT(map_users);
	options.parent = "layer", options.chown = &chown_options;
	list_error = ENOMEM;
	test_error(varve_layer_chown_wait(store, "layer", &chown_options, &failure), -ENOMEM);
	test_error(varve_layer_create_wait(store, "shifted", &options, &failure), -ENOMEM);
	list_error = 0;
	ck_assert_int_eq(getxattr(file, "security.capability", value, sizeof(value)),
			 sizeof(capability));
	ck_assert(!test_layer_exists(home, "shifted"));
	shift(store, "layer", false);
	ck_assert_int_eq(getxattr(file, "security.capability", value, sizeof(value)),
			 sizeof(capability));
	test_close(store);
}
END_TEST

/*
 * A time of change tells that a file has not changed; not when the clock was set back meanwhile,
 * nor of what has.
 */
START_TEST(test_settled)
{
	static const char *const names[] = { "security.capability", NULL };
	static const _Atomic bool cancelled;
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct xattr_search xattr_search;
	struct statx stat;
	make_settled(store, layer);
	int fd = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	xattr_search_init(&xattr_search, store, fd, names, NULL, 0, &cancelled);
	ck_assert_int_eq(statx(fd, "file-1", 0, STATX_BASIC_STATS, &stat), 0);
	ck_assert(xattr_search_settled(&xattr_search, &stat));
	xattr_search.ahead_ns += 1000000000;
	ck_assert(!xattr_search_settled(&xattr_search, &stat));
	xattr_search.ahead_ns -= 1000000000;
	ck_assert_int_eq(fchmodat(fd, "file-1", 0600, 0), 0);
	ck_assert_int_eq(statx(fd, "file-1", 0, STATX_BASIC_STATS, &stat), 0);
	ck_assert(!xattr_search_settled(&xattr_search, &stat));
	xattr_search_free(&xattr_search);
	close(fd);
	test_close(store);
}
END_TEST

/*
 * As an option of create: the layer appears shifted, its source stays as it is; read-only ones,
 * too; and none by failure.
 */
START_TEST(test_create_shifted)
{
	char *home = test_home(), *source = test_layer(home, "source");
	struct varve_store *store = test_open(home);
	struct varve_chown_options shift_ = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	static const uint64_t flags[] = { 0, VARVE_CREATE_READ_ONLY };
	const char *const ids[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l" };
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	test_create(store, "source", NULL);
	test_make_tree(source, 3, 20, 10);
	shift_.uid_to = map_users, shift_.uid_to_count = TEST_COUNT(map_users);
	shift_.gid_to = map_groups, shift_.gid_to_count = TEST_COUNT(map_groups);
	options.chown = &shift_;
	for (unsigned i = 0; i < 4; i++) {
		char *id = test_path("shifted-%u", i);
		options.parent = i < 2 ? "source" : NULL;
		options.flags = flags[i % 2];
		test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
		struct list_of list = list_tree(test_layer(home, id));
		ck_assert_uint_eq(list.count, i < 2 ? 64 : 1);
		for (size_t n = 0; n < list.count; n++) {
			ck_assert_uint_eq(list.known[n].stat.st_uid, 100000);
			ck_assert_uint_eq(list.known[n].stat.st_gid, 200000);
		}
		list_free(&list);
		test_error(varve_layer_info_wait(store, id, &info, NULL), 0);
		ck_assert_uint_eq(info.flags, i % 2 ? VARVE_LAYER_READ_ONLY : 0);
	}
	/* More than may walk at once, in one batch. */
	options.parent = "source";
	options.flags = 0;
	test_ok(varve_layer_create_batch_wait(store, ids, TEST_COUNT(ids), &options, NULL,
					      &failure),
		&failure);
	struct list_of list = list_tree(source);
	for (size_t n = 0; n < list.count; n++)
		ck_assert_uint_eq(list.known[n].stat.st_uid, 0);
	list_free(&list);
	/* An owner that the map it is in does not know. */
	ck_assert_int_eq(chown(test_path("%s/dir-0", source), 7, 7), 0);
	shift_.uid_from = &map_users[1];
	shift_.uid_from_count = 1;
	test_error(varve_layer_create_wait(store, "failed", &options, NULL), -EOVERFLOW);
	ck_assert(!test_layer_exists(home, "failed"));
	ck_assert_uint_eq(test_leftovers(home), 0);
	options.label = "a:b";
	test_error(varve_layer_create_wait(store, "failed", &options, NULL), -EINVAL);
	test_close(store);
}
END_TEST

TEST_MAIN("chown", test_create_shifted, test_shift, test_shift_back, test_edges, test_attack,
	  test_in_use, test_files_made, test_given_meanwhile, test_not_listed, test_settled)
