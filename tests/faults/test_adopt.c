/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a plain directory becomes a layer, its user writes into it, and another process moves what
 * has its name: nothing that is not whole becomes a layer, nothing of another layer is removed, and
 * nobody sees the copy before it is one.
 *
 * varve-test: backend=both
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static char *home, *plain, *aside;

/*
 * What another process does once: as the directory SUB was copied and before it is filled; as the
 * content of a file was copied; after the flush; right before the exchange, and before each one
 * after that.
 */
static void (*_Atomic at_subdir)(void);
static void (*_Atomic at_content)(void);
static void (*_Atomic at_flush)(void);
static void (*_Atomic at_exchange)(void);
static void (*_Atomic at_exchange_back)(void);

/*
 * The clock that files have their times from was set; the inode that has a time of change an hour
 * from now.
 */
static _Atomic bool clock_set;
static _Atomic int clock_watch = -1;
static _Atomic uint64_t inode_ahead;

/*
 * Directories that their user has open, and makes another one in whenever one is removed; how many
 * he has tried, and made.
 */
static int refilled[2] = { -1, -1 };
static unsigned refill_tries, refills;

/* Do what is to be done at a moment. */
static void act(void (*_Atomic *moment)(void))
{
	void (*what)(void) = atomic_exchange(moment, NULL);
	if (what)
		what();
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	int r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (request == BTRFS_IOC_SYNC)
		act(&at_flush);
	if (request == FICLONE && !r)
		act(&at_content);
	return r;
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) ssize_t copy_file_range(int from, off_t *from_at, int to,
							       off_t *to_at, size_t size,
							       unsigned flags)
{
	ssize_t r = syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
	if (r > 0)
		act(&at_content);
	return r;
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int timerfd_create(clockid_t clock, int flags)
{
	return clock_watch = (int)syscall(SYS_timerfd_create, clock, flags);
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) ssize_t read(int fd, void *bytes, size_t size)
{
	if (fd >= 0 && fd == clock_watch && clock_set) {
		errno = ECANCELED;
		return -1;
	}
	return syscall(SYS_read, fd, bytes, size);
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int statx(int fd, const char *path, int flags, unsigned mask,
						 struct statx *stat)
{
	int r = (int)syscall(SYS_statx, fd, path, flags, mask, stat);
	if (!r && inode_ahead && stat->stx_ino == inode_ahead)
		stat->stx_ctime.tv_sec += 3600;
	return r;
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int mkdirat(int fd, const char *name, mode_t mode)
{
	int r = (int)syscall(SYS_mkdirat, fd, name, mode);
	if (!strcmp(name, "sub"))
		act(&at_subdir);
	return r;
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int renameat2(int from_fd, const char *from, int to_fd,
						     const char *to, unsigned flags)
{
	if (flags & RENAME_EXCHANGE)
		act(at_exchange ? &at_exchange : &at_exchange_back);
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

/* Make a directory in each that is refilled, as their user. */
static void refill(void)
{
	char name[32];
	/* With this the thread has no privilege left to write, either. */
	syscall(SYS_setfsuid, TEST_NOBODY);
	for (size_t i = 0; i < TEST_COUNT(refilled); i++) {
		snprintf(name, sizeof(name), "more-%u", refill_tries++);
		refills += refilled[i] >= 0 && !syscall(SYS_mkdirat, refilled[i], name, 0755);
	}
	syscall(SYS_setfsuid, 0);
}

/* Stands for the C library's. */
__attribute__((visibility("default"))) int unlinkat(int fd, const char *name, int flags)
{
	if (flags & AT_REMOVEDIR && refilled[0] >= 0)
		refill();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* Give PLAIN two files and a directory with one. */
static void setup(void)
{
	home = test_home();
	test_close(test_open(home));
	plain = test_layer(home, "plain");
	aside = test_path("%s/aside", home);
	test_mkdir(plain);
	test_write(test_path("%s/file", plain), "old");
	test_write(test_path("%s/other", plain), "old");
	test_mkdir(test_path("%s/sub", plain));
	test_write(test_path("%s/sub/file", plain), "old");
}

/*
 * Adopt PLAIN: -EBUSY, whose explanation has WHY in it; then it is as it was, and nothing is left
 * over.
 */
static void refused(const char *why)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	test_error(varve_layer_adopt_wait(store, "plain", 0, &failure), -EBUSY);
	ck_assert_msg(strstr(failure.detail, why), "%s: %s", failure.path, failure.detail);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}

/* Adopt PLAIN with success. */
static void adopted(void)
{
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	int r = varve_layer_adopt_wait(store, "plain", 0, &failure);
	ck_assert_msg(!r, "%d: %s: %s", r, failure.path, failure.detail);
	test_close(store);
	ck_assert(test_is_subvolume(plain));
	ck_assert_uint_eq(test_leftovers(home), 0);
}

static void change_content(void)
{
	int fd = open(test_path("%s/file", plain), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "new", 3, 0), 3);
	close(fd);
}

static void change_mode(void)
{
	ck_assert_int_eq(chmod(test_path("%s/sub/file", plain), 04755), 0);
}

static void change_names(void)
{
	ck_assert_int_eq(renameat2(AT_FDCWD, test_path("%s/file", plain), AT_FDCWD,
				   test_path("%s/other", plain), RENAME_EXCHANGE),
			 0);
}

static void change_away(void)
{
	ck_assert_int_eq(unlink(test_path("%s/other", plain)), 0);
}

static void change_more(void)
{
	test_write(test_path("%s/sub/more", plain), "new");
}

static void change_root(void)
{
	ck_assert_int_eq(chmod(plain, 0711), 0);
}

START_TEST(test_changed)
{
	static void (*const changes[])(void) = { change_content, change_mode, change_names,
						 change_away,    change_more, change_root };
	setup();
	for (size_t i = 0; i < TEST_COUNT(changes); i++) {
		at_flush = changes[i];
		refused("changed while it was copied");
		ck_assert(test_exists(plain) && !test_is_subvolume(plain));
	}
	adopted();
	ck_assert_str_eq(test_read(test_path("%s/sub/more", plain)), "new");
}
END_TEST

/* What the user has mapped of the file, and has written to before. */
static char *mapped;

static void write_mapped(void)
{
	memcpy(mapped, "new", 3);
}

/* Map the file, and write to it. */
static void map_file(void)
{
	int fd = open(test_path("%s/file", plain), O_RDWR | O_CLOEXEC);
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(mapped, MAP_FAILED);
	close(fd);
	memcpy(mapped, "old", 3);
}

/* A page that is written to further, as it is, changes no time. */
START_TEST(test_mapped)
{
	setup();
	map_file();
	at_content = write_mapped;
	refused("changed while it was copied");
	ck_assert(!at_content);
	ck_assert_str_eq(test_read(test_path("%s/file", plain)), "new");
}
END_TEST

/* The same of a file whose content cannot be shared. */
START_TEST(test_mapped_no_sums)
{
	setup();
	ck_assert_int_eq(unlink(test_path("%s/file", plain)), 0);
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT, "nodatasum"), 0);
	test_write(test_path("%s/file", plain), "old");
	ck_assert_int_eq(mount(NULL, test_mount(), NULL, MS_REMOUNT, "datasum"), 0);
	ck_assert_int_eq(unlink(test_path("%s/other", plain)), 0);
	ck_assert_int_eq(unlink(test_path("%s/sub/file", plain)), 0);
	map_file();
	at_content = write_mapped;
	refused("changed while it was copied");
	ck_assert(!at_content);
	ck_assert_str_eq(test_read(test_path("%s/file", plain)), "new");
}
END_TEST

static void set_clock(void)
{
	clock_set = true;
}

/* Times of change tell nothing any more. */
START_TEST(test_clock_set)
{
	setup();
	at_flush = set_clock;
	refused("clock was set");
	clock_set = false;
	adopted();
}
END_TEST

/* It was changed before the clock was set back. */
START_TEST(test_ahead)
{
	struct stat stat;
	setup();
	ck_assert_int_eq(lstat(test_path("%s/sub/file", plain), &stat), 0);
	inode_ahead = stat.st_ino;
	refused("ahead of the clock");
	inode_ahead = 0;
	adopted();
}
END_TEST

/* Put a subvolume in the place of the directory that is to be filled. */
static void swap_subdir(void)
{
	test_subvolume_create(aside);
	test_write(test_path("%s/precious", aside), "precious");
	ck_assert_int_eq(syscall(SYS_renameat2, AT_FDCWD, aside, AT_FDCWD,
				 test_path("%s/sub", plain), RENAME_EXCHANGE),
			 0);
}

START_TEST(test_swapped)
{
	setup();
	at_subdir = swap_subdir;
	refused("changed while it was copied");
	ck_assert_str_eq(test_read(test_path("%s/sub/precious", plain)), "precious");
	refused("a subvolume is nested in it");
}
END_TEST

/* Move the directory away, and give its name to a layer. */
static void replace(void)
{
	ck_assert_int_eq(rename(plain, aside), 0);
	ck_assert_int_eq(rename(test_layer(home, "layer"), plain), 0);
}

START_TEST(test_replaced)
{
	setup();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	test_write(test_path("%s/precious", test_layer(home, "layer")), "precious");
	at_exchange = replace;
	refused("replaced");
	ck_assert(test_is_subvolume(plain));
	ck_assert_str_eq(test_read(test_path("%s/precious", plain)), "precious");
	ck_assert_str_eq(test_read(test_path("%s/sub/file", aside)), "old");
}
END_TEST

/* Remove the copy, which has the layer's place now. */
static void remove_copy(void)
{
	test_subvolume_destroy(plain);
}

/* The same, and the copy is gone when it is to make room for what it took the place of. */
START_TEST(test_replaced_twice)
{
	setup();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	test_write(test_path("%s/precious", test_layer(home, "layer")), "precious");
	at_exchange = replace;
	at_exchange_back = remove_copy;
	refused("replaced");
	ck_assert(test_is_subvolume(plain));
	ck_assert_str_eq(test_read(test_path("%s/precious", plain)), "precious");
}
END_TEST

/* The same before the exchange was even tried. */
START_TEST(test_replaced_early)
{
	setup();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_close(store);
	test_write(test_path("%s/precious", test_layer(home, "layer")), "precious");
	at_flush = replace;
	refused("changed while it was copied");
	ck_assert_str_eq(test_read(test_path("%s/precious", plain)), "precious");
	ck_assert_str_eq(test_read(test_path("%s/sub/file", aside)), "old");
}
END_TEST

START_TEST(test_locked)
{
	setup();
	int fd = open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	refused("flock");
	close(fd);
	adopted();
}
END_TEST

/*
 * A process that has the old directory open, and makes more in it all the time, does not keep it
 * there.
 */
START_TEST(test_refilled)
{
	setup();
	const char *paths[] = { plain, test_path("%s/sub", plain) };
	for (size_t i = 0; i < TEST_COUNT(paths); i++) {
		ck_assert_int_eq(chown(paths[i], TEST_NOBODY, TEST_NOBODY), 0);
		refilled[i] = open(paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	adopted();
	ck_assert_uint_gt(refill_tries, 0);
	ck_assert_uint_eq(refills, 0);
}
END_TEST

/* What another user sees of the store while the copy is there. */
static void look_around(void)
{
	const char *staging = test_path("%s/.varve/staging", home);
	ck_assert_int_eq(test_entries(test_path("%s/subvolumes", home)), 1);
	ck_assert_uint_eq(test_subvolumes_below(staging), 1);
	DIR *owners = opendir(staging);
	struct dirent *owner;
	while ((owner = readdir(owners))) {
		struct stat stat;
		ck_assert_int_eq(fstatat(dirfd(owners), owner->d_name, &stat, 0), 0);
		ck_assert_msg(*owner->d_name == '.' || (stat.st_mode & 07777) == 0700, "%s: %o",
			      owner->d_name, stat.st_mode);
	}
	closedir(owners);
}

START_TEST(test_private)
{
	setup();
	at_flush = look_around;
	adopted();
	ck_assert(!at_flush);
}
END_TEST

START_TEST(test_immutable)
{
	static const char *const below[] = { "", "/file", "/sub" };
	setup();
	for (size_t i = 0; i < TEST_COUNT(below); i++) {
		const char *path = test_path("%s%s", plain, below[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC), flags = FS_IMMUTABLE_FL, none = 0;
		struct varve_store *store = test_open(home);
		struct varve_failure failure = { 0 };
		ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
		test_error(varve_layer_adopt_wait(store, "plain", 0, &failure), -EPERM);
		ck_assert_msg(strstr(failure.detail, "chattr -i") &&
				      strstr(failure.path, path + strlen(home)),
			      "%s: %s", failure.path, failure.detail);
		ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &none), 0);
		close(fd);
		test_close(store);
		ck_assert_uint_eq(test_leftovers(home), 0);
	}
	adopted();
}
END_TEST

TEST_MAIN("adopt", test_changed, test_mapped, test_mapped_no_sums, test_clock_set, test_ahead,
	  test_swapped, test_replaced, test_replaced_twice, test_replaced_early, test_locked,
	  test_refilled, test_private, test_immutable)
