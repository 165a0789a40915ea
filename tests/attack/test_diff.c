/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes, diff and diff_size of a layer in use: whatever takes a name's place meanwhile, nothing
 * outside of the layer is read, no device or fifo is opened, and the archive is whole. What keeps a
 * file from being read is waited for, or fails it.
 *
 * varve-test: timeout=240
 */
#include "storm.h"
#include "test.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

#define FILES 12
/* More than is read ahead, fewer than are searched for, and each too large to lie in the tree. */
#define MANY_FILES 1500
#define MANY_BYTES 3000
/* How often all is asked at least. */
#define ROUNDS 3

/* ---- a storm --------------------------------------------------------------------------------- */

/* Watch what fits PATTERN for being opened. */
static void watch(int inotify, const char *pattern)
{
	glob_t found;

	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		ck_assert_int_ge(inotify_add_watch(inotify, found.gl_pathv[i], IN_OPEN), 0);
	globfree(&found);
}

/* Write an archive of "top", compared with PARENT, to memory. */
static int archive(struct varve_store *store, const char *parent, uint64_t flags)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	int file = memfd_create("archive", MFD_CLOEXEC);
	struct varve_failure failure = { 0 };

	ck_assert_int_ge(file, 0);
	options.parent = parent;
	options.flags = flags;
	test_ok(varve_layer_diff_wait(store, "top", &options, file, NULL, NULL, &failure),
		&failure);
	return file;
}

/*
 * Fail the test when something of the guarded trees is in the archive FILE, or tar does not take
 * it.
 */
static void check_archive(int file)
{
	off_t size = lseek(file, 0, SEEK_END);
	const char *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0);
	const char *path = test_path("/proc/%d/fd/%d", (int)getpid(), file);

	ck_assert_ptr_ne(bytes, MAP_FAILED);
	ck_assert_ptr_null(memmem(bytes, (size_t)size, "guarded", 7));
	ck_assert_ptr_null(memmem(bytes, (size_t)size, "privileged", 10));
	munmap((void *)bytes, (size_t)size);
	ck_assert_int_eq(test_command((const char *const[]){
				 "tar", "--list", "--index-file=/dev/null", "--file", path, NULL }),
			 0);
	close(file);
}

/* Ask all that can be asked of "top". */
static void ask(struct varve_store *store, uint64_t flags)
{
	struct varve_failure failure = { 0 };
	struct varve_change *changes;
	size_t count;
	uint64_t bytes;

	test_ok(varve_layer_changes_wait(store, "top", TEST_CHANGES(NULL, flags), &changes, &count,
					 &failure),
		&failure);
	free(changes);
	test_ok(varve_layer_diff_size_wait(store, "top", TEST_CHANGES(NULL, flags), &bytes,
					   &failure),
		&failure);
	test_ok(varve_layer_diff_size_wait(store, "top", TEST_CHANGES("", flags), &bytes, &failure),
		&failure);
	check_archive(archive(store, NULL, flags));
	check_archive(archive(store, "", flags));
}

START_TEST(test_storm)
{
	char *home = test_home(), *place = test_path("%s/place", test_layer(home, "top")),
	     buffer[4096];
	struct storm *storm = storm_new(STORM_USER, 0);
	struct varve_store *store = test_open_relaxed(home);
	const char *names[FILES + 1] = { NULL };
	int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	ck_assert_int_ge(inotify, 0);
	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/place", test_layer(home, "base")));
	for (unsigned i = 0; i < FILES; i += 4)
		test_write(test_path("%s/place/name-%u", test_layer(home, "base"), i), "base");
	test_create(store, "top", "base");
	for (unsigned i = 0; i < FILES; i++) {
		names[i] = test_path("%s/name-%u", place, i);
		if (i % 4 != 3)
			test_write(names[i], "top");
		else
			test_mkdir(names[i]);
	}
	/* The user gets there by the path. */
	ck_assert_int_eq(chmod(home, 0711), 0);
	ck_assert_int_eq(chmod(test_path("%s/subvolumes", home), 0711), 0);
	storm_arm(storm, place, STORM_ALL);
	watch(inotify, test_path("%s/" STORM_PREFIX "fifo-*", place));
	watch(inotify, test_path("%s/" STORM_PREFIX "device-*", place));
	storm_start(storm, names);
	storm_wait(storm, 1);
	for (unsigned round = 0; round < ROUNDS || storm_count(storm) < storm_scaled(2000); round++)
		ask(store, round % 2 ? VARVE_CHANGES_WALK : 0);
	storm_stop(storm);
	storm_check(storm);
	ck_assert_uint_eq(storm_opens(storm), 0);
	ck_assert_msg(read(inotify, buffer, sizeof(buffer)) < 0 && errno == EAGAIN,
		      "a device or fifo was opened");
	storm_end(storm);
	close(inotify);
	test_close(store);
}
END_TEST

/* ---- an exchange between listing and opening ------------------------------------------------- */

/* What is done before the next file is opened by its number, with the path of the layer. */
static void (*_Atomic between)(const char *layer);
static const char *between_layer;
/* What is in each file. */
#define EXCHANGED_TEXT "content of the files"

/* This stands for the C library's. */
__attribute__((visibility("default"))) int open_by_handle_at(int mount, struct file_handle *handle,
							     int flags)
{
	void (*act)(const char *layer) = atomic_exchange(&between, NULL);

	if (act)
		act(between_layer);
	return (int)syscall(SYS_open_by_handle_at, mount, handle, flags);
}

/* Exchange the names of file NUMBER in LAYER and of its arm. */
static void exchange(const char *layer, unsigned number)
{
	char file[PATH_MAX], arm[PATH_MAX];

	snprintf(file, sizeof(file), "%s/file%u", layer, number);
	snprintf(arm, sizeof(arm), "%s/arm%u", layer, number);
	ck_assert_int_eq(renameat2(AT_FDCWD, file, AT_FDCWD, arm, RENAME_EXCHANGE), 0);
}

/* Fail the test unless NAME is in the archive of SIZE BYTES with TEXT; NULL: is not in it. */
static void check_member(const char *bytes, off_t size, const char *name, const char *text)
{
	for (off_t at = 0; at + 1024 <= size; at += 512)
		if (!strcmp(bytes + at, name)) {
			ck_assert_msg(text && !memcmp(bytes + at + 512, text, strlen(text)),
				      "%s has \"%.20s\"", name, bytes + at + 512);
			return;
		}
	ck_assert_msg(!text, "%s is not in the archive", name);
}

/* Map the archive FILE. */
static const char *map_archive(int file, off_t *ret_size)
{
	const char *bytes;

	*ret_size = lseek(file, 0, SEEK_END);
	bytes = mmap(NULL, (size_t)*ret_size, PROT_READ, MAP_PRIVATE, file, 0);
	ck_assert_ptr_ne(bytes, MAP_FAILED);
	return bytes;
}

/* Wait for a reader of the fifo PATH. */
static void *write_fifo(void *path)
{
	int descriptor = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(descriptor, 0);
	close(descriptor);
	return NULL;
}

/* Exchange the two files of test_exchange. */
static void exchange_two(const char *layer)
{
	exchange(layer, 0);
	exchange(layer, 1);
}

/*
 * A fifo for which a process waits, and a device, get the names of files after those were listed:
 * neither is opened, the process waits on, and the files are in the archive.
 */
START_TEST(test_exchange)
{
	char *home = test_home(), *top = test_layer(home, "top"), buffer[4096];
	struct varve_store *store = test_open_relaxed(home);
	int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), file, descriptor;
	pthread_t writer;
	const char *bytes;
	off_t size;

	ck_assert_int_ge(inotify, 0);
	test_create(store, "top", NULL);
	for (unsigned i = 0; i < 2; i++)
		test_write(test_path("%s/file%u", top, i), EXCHANGED_TEXT);
	ck_assert_int_eq(mkfifo(test_path("%s/arm0", top), 0666), 0);
	ck_assert_int_eq(link(test_path("%s/arm0", top), test_path("%s/door", top)), 0);
	ck_assert_int_eq(mknod(test_path("%s/arm1", top), S_IFCHR | 0666, makedev(1, 3)), 0);
	watch(inotify, test_path("%s/arm?", top));
	test_error(pthread_create(&writer, NULL, write_fifo, test_path("%s/door", top)), 0);
	between_layer = top;
	atomic_store(&between, exchange_two);
	file = archive(store, "", 0);
	ck_assert_ptr_null(atomic_load(&between));
	ck_assert_msg(read(inotify, buffer, sizeof(buffer)) < 0 && errno == EAGAIN,
		      "a device or fifo was opened");
	bytes = map_archive(file, &size);
	for (unsigned i = 0; i < 2; i++)
		check_member(bytes, size, test_path("file%u", i), EXCHANGED_TEXT);
	munmap((void *)bytes, (size_t)size);
	close(file);
	/* Let the process go. */
	descriptor = open(test_path("%s/door", top), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(descriptor, 0);
	test_error(pthread_join(writer, NULL), 0);
	close(descriptor);
	close(inotify);
	test_close(store);
}
END_TEST

/* What becomes of the name of a file between its listing and its opening. */
enum fate {
	FATE_SOCKET,    /* a socket */
	FATE_LINK,      /* a link out of the layer */
	FATE_DIR,       /* a directory */
	FATE_SUBVOLUME, /* a nested subvolume */
	FATE_FILE,      /* another file */
	FATE_MOVED,     /* nothing: the file has another name */
	FATE_MOUNT,     /* something is mounted there */
	FATE_REPLACED,  /* another file, and this one is gone */
	FATE_OPEN,      /* the same, but a process has it open */
	FATE_GONE,      /* nothing, and the file is gone */
	FATES
};

/* What is mounted on a file. */
static const char *mounted;

/* Bring them about. */
static void bring_fates(const char *layer)
{
	for (unsigned i = FATE_SOCKET; i <= FATE_FILE; i++)
		exchange(layer, i);
	ck_assert_int_eq(rename(test_path("%s/file%u", layer, FATE_MOVED),
				test_path("%s/moved", layer)),
			 0);
	ck_assert_int_eq(mount(mounted, test_path("%s/file%u", layer, FATE_MOUNT), NULL, MS_BIND,
			       NULL),
			 0);
	for (unsigned i = FATE_REPLACED; i <= FATE_OPEN; i++)
		ck_assert_int_eq(rename(test_path("%s/arm%u", layer, i),
					test_path("%s/file%u", layer, i)),
				 0);
	ck_assert_int_eq(unlink(test_path("%s/file%u", layer, FATE_GONE)), 0);
}

/*
 * Whatever gets the name of a file, the archive has what was listed, or what replaced it, and of
 * the rest of them nothing.
 */
START_TEST(test_fates)
{
	char *home = test_home(), *top = test_layer(home, "top");
	struct varve_store *store;
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	int file = open(test_mount(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), opened;
	uint64_t skipped = 0;
	const char *bytes;
	off_t size;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	/* Its threads are in the namespace. */
	store = test_open_relaxed(home);
	test_create(store, "top", NULL);
	for (unsigned i = 0; i < FATES; i++)
		test_write(test_path("%s/file%u", top, i), EXCHANGED_TEXT);
	for (unsigned i = FATE_FILE; i <= FATE_OPEN; i++)
		test_write(test_path("%s/arm%u", top, i), "another file");
	mounted = test_path("%s-outside", home);
	test_write(mounted, "guarded");
	ck_assert_int_eq(mknod(test_path("%s/arm%u", top, FATE_SOCKET), S_IFSOCK | 0666, 0), 0);
	ck_assert_int_eq(symlink(mounted, test_path("%s/arm%u", top, FATE_LINK)), 0);
	test_mkdir(test_path("%s/arm%u", top, FATE_DIR));
	test_subvolume_create(test_path("%s/arm%u", top, FATE_SUBVOLUME));
	opened = open(test_path("%s/file%u", top, FATE_OPEN), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(opened, 0);
	between_layer = top;
	atomic_store(&between, bring_fates);
	options.parent = "";
	test_ok(varve_layer_diff_wait(store, "top", &options, file, NULL, &skipped, &failure),
		&failure);
	ck_assert_ptr_null(atomic_load(&between));
	ck_assert_int_eq(umount(test_path("%s/file%u", top, FATE_MOUNT)), 0);
	bytes = map_archive(file, &size);
	for (unsigned i = 0; i < FATES; i++)
		check_member(bytes, size, test_path("file%u", i),
			     i == FATE_GONE       ? NULL
			     : i >= FATE_REPLACED ? "another file"
						  : EXCHANGED_TEXT);
	munmap((void *)bytes, (size_t)size);
	check_archive(file);
	/* The file that is gone. */
	ck_assert_uint_eq(skipped, 1);
	close(opened);
	test_close(store);
}
END_TEST

/* ---- a sandbox ------------------------------------------------------------------------------- */

/*
 * Let this process read what has a path below HOME, and what belongs to the system. False where the
 * kernel cannot do that.
 */
static bool enter_sandbox(const char *home)
{
#ifdef LANDLOCK_ACCESS_FS_READ_FILE
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
	};
	const char *const places[] = { home, "/usr", "/etc", "/proc", "/sys", "/dev" };
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (rules < 0)
		return false;
	for (size_t i = 0; i < TEST_COUNT(places); i++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = attr.handled_access_fs,
			.parent_fd = open(places[i], O_PATH | O_CLOEXEC),
		};

		ck_assert_int_ge(rule.parent_fd, 0);
		ck_assert_int_eq(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
					 &rule, 0),
				 0);
		close(rule.parent_fd);
	}
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(syscall(SYS_landlock_restrict_self, rules, 0), 0);
	return true;
#else
	return false;
#endif
}

/*
 * A sandbox that goes by paths forbids a file that was opened by its number, unless its name was
 * looked up before: its name is in the archive all the same.
 */
START_TEST(test_sandbox)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	const char *bytes;
	off_t size;
	int file;

	test_create(store, "base", NULL);
	for (unsigned i = 0; i < FILES; i++)
		test_write(test_path("%s/file%u", test_layer(home, "base"), i), EXCHANGED_TEXT);
	/* In a snapshot no name was looked up. */
	test_create(store, "top", "base");
	test_close(store);
	if (!enter_sandbox(home)) {
		test_skip("no Landlock");
		return;
	}
	store = test_open_relaxed(home);
	file = archive(store, "", 0);
	bytes = map_archive(file, &size);
	for (unsigned i = 0; i < FILES; i++)
		check_member(bytes, size, test_path("file%u", i), EXCHANGED_TEXT);
	munmap((void *)bytes, (size_t)size);
	close(file);
	test_close(store);
}
END_TEST

/* ---- a lease --------------------------------------------------------------------------------- */

/* A process that keeps a lease on a file. */
struct keeper {
	const char *path;
	/* It lets go when it is asked to; else when the test says so. */
	bool gives;
	_Atomic bool has, asked, end;
};

/* Keep a lease until it is asked for, or longer. */
static int keep(void *data)
{
	struct keeper *keeper = data;
	int descriptor = open(keeper->path, O_RDWR | O_CLOEXEC);
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	if (descriptor < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    fcntl(descriptor, F_SETLEASE, F_WRLCK) < 0)
		return 1;
	keeper->has = true;
	if (sigwait(&set, &number))
		return 1;
	keeper->asked = true;
	while (!keeper->gives && !keeper->end)
		sched_yield();
	return fcntl(descriptor, F_SETLEASE, F_UNLCK) < 0;
}

/* Start a keeper of a lease on PATH. */
static struct keeper *keeper_start(const char *path, bool gives, int *ret_pid)
{
	struct keeper *keeper = mmap(NULL, sizeof(*keeper), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(keeper, MAP_FAILED);
	keeper->path = path;
	keeper->gives = gives;
	*ret_pid = test_child_start(keep, keeper);
	while (!keeper->has)
		sched_yield();
	return keeper;
}

/* A file that a process keeps a lease on is in the archive, once that has let go. */
START_TEST(test_lease)
{
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	uint64_t skipped = 1;
	int pid, file = open(test_mount(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path = test_path("%s/leased", test_layer(home, "layer"));

	test_create(store, "layer", NULL);
	test_write(path, "the leased content");
	keeper_start(path, true, &pid);
	test_ok(varve_layer_diff_wait(store, "layer", &options, file, NULL, &skipped, &failure),
		&failure);
	ck_assert_int_eq(test_child_end(pid), 0);
	ck_assert_uint_eq(skipped, 0);
	off_t size = lseek(file, 0, SEEK_END);
	char *bytes = test_alloc((size_t)size);
	ck_assert_int_eq(pread(file, bytes, (size_t)size, 0), size);
	ck_assert_ptr_nonnull(memmem(bytes, (size_t)size, "the leased content", 18));
	close(file);
	test_close(store);
}
END_TEST

/* One that is kept can be cancelled, and holds up no other archive. */
START_TEST(test_lease_kept)
{
	char *home = test_home(), *path = test_path("%s/leased", test_layer(home, "layer"));
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct test_record record = { 0 };
	varve_request request;
	int pid, file = open("/dev/null", O_WRONLY | O_CLOEXEC);

	test_create(store, "layer", NULL);
	test_create(store, "other", NULL);
	test_write(path, "the leased content");
	test_write(test_path("%s/file", test_layer(home, "other")), "text");
	struct keeper *keeper = keeper_start(path, false, &pid);
	test_error(varve_layer_diff(store, "layer", &options, file, test_record, &record, &request),
		   0);
	while (!keeper->asked)
		sched_yield();
	test_ok(varve_layer_diff_wait(store, "other", &options, file, NULL, NULL, &failure),
		&failure);
	ck_assert_uint_eq(record.calls, 0);
	test_error(varve_cancel(store, request), 0);
	test_error(test_await(store, &record), -ECANCELED);
	keeper->end = true;
	ck_assert_int_eq(test_child_end(pid), 0);
	close(file);
	test_close(store);
}
END_TEST

/* ---- too few descriptors --------------------------------------------------------------------- */

/* Take all descriptors away when the archive has begun. */
static int starve(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		  void *data)
{
	struct rlimit *limit = data;

	if (limit->rlim_max) {
		struct rlimit none = { .rlim_cur = 0, .rlim_max = limit->rlim_max };
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	}
	return 0;
}

/* Without a descriptor nothing is left out: it fails. */
START_TEST(test_starved)
{
	char *home = test_home(), *layer = test_layer(home, "layer");
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	struct rlimit limit;
	uint64_t skipped = 0;
	char content[MANY_BYTES + 1];

	memset(content, 'x', MANY_BYTES);
	content[MANY_BYTES] = '\0';
	test_create(store, "layer", NULL);
	for (unsigned i = 0; i < MANY_FILES; i++)
		test_write(test_path("%s/%u", layer, i), content);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	options.sink = starve;
	options.sink_data = &limit;
	int error = varve_layer_diff_wait(store, "layer", &options, VARVE_STREAM, NULL, &skipped,
					  &failure);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(skipped, 0);
	test_error(error, -EMFILE);
	ck_assert_msg(strstr(failure.path, "layer/"), "the failure is about %s", failure.path);
	test_close(store);
}
END_TEST

TEST_MAIN("diff", test_storm, test_exchange, test_fates, test_sandbox, test_lease, test_lease_kept,
	  test_starved)
