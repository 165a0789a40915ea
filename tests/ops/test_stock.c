/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VARVE_OPEN_SPARES: a create takes a copy that was made ahead, without a snapshot of its own; what
 * it gets is what a snapshot of that moment would be, whatever was done to the parent, by whom and
 * how; and when copies are made, and dropped.
 *
 * varve-test: size=6G
 */
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/store/stock.h"
#include "engine/store/store.h"
#include "test.h"

#include <btrfsutil.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What the library does to the machine, and sees of it. */
static struct {
	/* Snapshots made that are no spare copies. */
	_Atomic unsigned snapshots;
	/* Spare copies are made only when the test gives `hold` back; so many wait. */
	_Atomic bool held;
	_Atomic unsigned waiting;
	/* The kernel finds a name taken before it writes what is buffered. */
	_Atomic bool early;
	/* Little is free. */
	_Atomic bool full;
	/* The file system is so small that there is no room for one copy; looks at what is free. */
	_Atomic bool small;
	_Atomic unsigned looks;
	/* No copy can be destroyed. */
	_Atomic bool stuck;
	/* No transaction is seen to end: all copies of a refill share one. */
	_Atomic bool shared;
} machine;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

/* In the place of libc's. */
int fstatfs(int fd, struct statfs *buffer)
{
	int r = (int)syscall(SYS_fstatfs, fd, buffer);
	if (machine.full)
		buffer->f_bavail = 0;
	if (machine.small)
		buffer->f_blocks = buffer->f_bavail = STOCK_ROOM_PART;
	machine.looks++;
	return r;
}

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	va_start(list, request);
	void *argument = va_arg(list, void *);
	va_end(list);
	int r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (!r && machine.shared && request == BTRFS_IOC_FS_INFO)
		((struct btrfs_ioctl_fs_info_args *)argument)->generation = 1;
	return r;
}

/* Is this the name of a spare copy? */
static bool is_spare(const char *name)
{
	size_t length = strlen(name);
	return length > 6 && !strcmp(name + length - 6, ".spare");
}

/* In the place of libbtrfsutil's. */
enum btrfs_util_error btrfs_util_create_snapshot_fd2(int fd, int parent_fd, const char *name,
						     int flags, uint64_t *unused,
						     struct btrfs_util_qgroup_inherit *inherit)
{
	enum btrfs_util_error (*snapshot)(int, int, const char *, int, uint64_t *,
					  struct btrfs_util_qgroup_inherit *) =
		(enum btrfs_util_error(*)(int, int, const char *, int, uint64_t *,
					  struct btrfs_util_qgroup_inherit *))
			dlsym(RTLD_NEXT, "btrfs_util_create_snapshot_fd2");
	bool spare = is_spare(name);
	if (spare && machine.early && !faccessat(parent_fd, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
		errno = EEXIST;
		return BTRFS_UTIL_ERROR_SNAP_CREATE_FAILED;
	}
	if (spare && machine.held) {
		machine.waiting++;
		pthread_mutex_lock(&hold);
		pthread_mutex_unlock(&hold);
	}
	enum btrfs_util_error error = snapshot(fd, parent_fd, name, flags, unused, inherit);
	machine.snapshots += !spare && error == BTRFS_UTIL_OK;
	return error;
}

/* In the place of libbtrfsutil's. */
enum btrfs_util_error btrfs_util_delete_subvolume_fd(int parent_fd, const char *name, int flags)
{
	enum btrfs_util_error (*destroy)(int, const char *, int) = (enum btrfs_util_error(*)(
		int, const char *, int))dlsym(RTLD_NEXT, "btrfs_util_delete_subvolume_fd");
	if (machine.stuck && is_spare(name)) {
		errno = ENOMEM;
		return BTRFS_UTIL_ERROR_SNAP_DESTROY_FAILED;
	}
	return destroy(parent_fd, name, flags);
}

static struct varve_statistics statistics(struct varve_store *store)
{
	struct varve_statistics seen = VARVE_STATISTICS_INIT;
	test_error(varve_statistics(store, &seen), 0);
	return seen;
}

/* Work for the reactor's thread: the stock, and its settings, are its own. */
struct posted {
	struct inbox_node node;
	struct varve_store *store;
	void (*run)(struct posted *posted);
	sem_t over;
	/* A setting and its value; a copy of "parent". */
	uint64_t *setting, value;
	struct stock_copy *copy;
};

static void posted_receive(struct inbox_node *node)
{
	struct posted *posted = container_of(node, struct posted, node);
	posted->run(posted);
	sem_post(&posted->over);
}

/* Let the reactor of STORE do what POSTED says, and wait until it is done. */
static void posted_run(struct varve_store *store, struct posted *posted)
{
	posted->node.receive = posted_receive;
	posted->store = store;
	ck_assert_int_eq(sem_init(&posted->over, 0, 0), 0);
	io_post(&store->core.io, &posted->node);
	while (sem_wait(&posted->over) < 0)
		ck_assert_int_eq(errno, EINTR);
	sem_destroy(&posted->over);
}

static void run_set(struct posted *posted)
{
	*posted->setting = posted->value;
}

/* Set *SETTING, one of STORE's, to VALUE. */
static void set_ns(struct varve_store *store, uint64_t *setting, uint64_t value)
{
	struct posted posted = { .run = run_set, .setting = setting, .value = value };
	posted_run(store, &posted);
}

static void run_take(struct posted *posted)
{
	posted->copy = stock_take(posted->store, "parent");
}

static void run_return(struct posted *posted)
{
	stock_return(posted->store, "parent", posted->copy);
}

/* Open HOME for spare copies. */
static struct varve_store *open_spares(const char *home)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SPARES | VARVE_OPEN_RELAXED;
	struct varve_store *store = test_open_config(&config);
	/* A machine may stand still for long. The reactor reads it when it knows a parent. */
	store->settings.stock_idle_ns = UINT64_MAX / 4;
	return store;
}

/* Wait until CONDITION holds, while the reactor turns. */
#define await(store, condition)                                      \
	do {                                                         \
		int64_t end_ = test_now_ms() + TEST_WAIT_MS;         \
		while (!(condition)) {                               \
			ck_assert_int_lt(test_now_ms(), end_);       \
			test_error(varve_noop_wait(store, NULL), 0); \
		}                                                    \
	} while (0)

/* Create layers from PARENT until one took a copy, of which there are others then. */
static void stock_up(struct varve_store *store, const char *parent)
{
	static unsigned number;
	uint64_t taken = statistics(store).spares_taken;
	int64_t end = test_now_ms() + TEST_WAIT_MS;
	while (statistics(store).spares_taken == taken) {
		uint64_t made = statistics(store).spares_made;
		ck_assert_int_lt(test_now_ms(), end);
		test_create(store, test_path("stock%u", number++), parent);
		for (int i = 0; i < 1000 && statistics(store).spares_made == made; i++)
			test_error(varve_noop_wait(store, NULL), 0);
	}
}

/* A file of SIZE bytes BYTE at PATH. */
static void write_bytes(const char *path, int byte, size_t size)
{
	char *bytes = test_alloc(size + 1);
	memset(bytes, byte, size);
	test_write(path, bytes);
}

/* A store with a layer "parent" of some files. */
static struct varve_store *open_parent(const char *home)
{
	struct varve_store *store = open_spares(home);
	test_create(store, "parent", NULL);
	char *path = test_layer(home, "parent");
	write_bytes(test_path("%s/large", path), 'a', 65536);
	write_bytes(test_path("%s/small", path), 'a', 100);
	test_mkdir(test_path("%s/dir", path));
	test_error(varve_sync_wait(store, 0, NULL), 0);
	return store;
}

START_TEST(test_taken)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	static const char *const labels[] = { "job=17", NULL };
	stock_up(store, "parent");
	struct varve_statistics before = statistics(store);
	machine.snapshots = 0;
	options.parent = "parent";
	options.labels = labels;
	options.record = "record";
	options.record_bytes = 6;
	test_error(varve_layer_create_wait(store, "child", &options, NULL), 0);
	/* Without a snapshot, and without waiting for the disk. */
	ck_assert_uint_eq(machine.snapshots, 0);
	struct varve_statistics after = statistics(store);
	ck_assert_uint_eq(after.spares_taken, before.spares_taken + 1);
	ck_assert_uint_eq(after.syncs, before.syncs);
	char *path = test_layer(home, "child");
	ck_assert(test_is_subvolume(path));
	ck_assert_uint_eq(strlen(test_read(test_path("%s/large", path))), 65536);
	/* It is a child of its parent, writable, with its record. */
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT, of_parent = VARVE_LAYER_INFO_INIT;
	test_error(varve_layer_info_wait(store, "child", &info, NULL), 0);
	test_error(varve_layer_info_wait(store, "parent", &of_parent, NULL), 0);
	ck_assert_mem_eq(info.parent_uuid, of_parent.uuid, sizeof(info.parent_uuid));
	test_write(test_path("%s/new", path), "writable");
	ck_assert(!test_exists(test_path("%s/new", test_layer(home, "parent"))));
	struct test_record record = { 0 };
	test_error(varve_layer_record(store, "child", test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	/* A name that is taken is refused, and the copy stays. */
	stock_up(store, "parent");
	test_error(varve_layer_create_wait(store, "child", &options, NULL), -EEXIST);
	/* A durable one waits for its commit. */
	options.flags = VARVE_DURABLE;
	before = statistics(store);
	test_error(varve_layer_create_wait(store, "durable", &options, NULL), 0);
	after = statistics(store);
	ck_assert_uint_gt(after.syncs + after.snapshots, before.syncs + before.snapshots);
	test_remove_layer(store, "child");
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/staging", home)), 0);
}
END_TEST

/* ---- a parent that changes ------------------------------------------------------------------- */

/* Descriptors and a mapping of a parent that were made before it became read-only. */
struct opened {
	char *path;
	int root_fd, large_fd, small_fd, direct_fd, nocow_fd;
	char *map;
};

static void set_read_only(const struct opened *opened, bool read_only)
{
	uint64_t flags = read_only ? BTRFS_SUBVOL_RDONLY : 0;
	ck_assert_int_eq(ioctl(opened->root_fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
}

static struct opened open_all(const char *path)
{
	struct opened opened = { .path = test_strdup(path) };
	opened.root_fd = open(path, O_RDONLY | O_DIRECTORY);
	opened.large_fd = open(test_path("%s/large", path), O_RDWR);
	opened.small_fd = open(test_path("%s/small", path), O_RDWR);
	opened.direct_fd = open(test_path("%s/large", path), O_RDWR | O_DIRECT);
	opened.map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, opened.large_fd, 0);
	ck_assert_ptr_ne(opened.map, MAP_FAILED);
	return opened;
}

static void close_all(struct opened *opened)
{
	munmap(opened->map, 65536);
	close(opened->root_fd);
	close(opened->large_fd);
	close(opened->small_fd);
	close(opened->direct_fd);
}

enum { CHANGES = 14 };

/* Change number CHANGE of the parent; BYTE is not there yet. */
static void change(const struct opened *opened, unsigned number, char byte)
{
	static char block[4096] __attribute__((aligned(4096)));
	char *file = test_path("%s/small", opened->path);
	memset(block, byte, sizeof(block));
	switch (number) {
	case 0:
		break;
	case 1:
		ck_assert_int_eq(pwrite(opened->large_fd, &byte, 1, 5000), 1);
		break;
	case 2:
		ck_assert_int_eq(pwrite(opened->small_fd, &byte, 1, 7), 1);
		break;
	case 3:
		ck_assert_int_eq(pwrite(opened->direct_fd, block, 4096, 8192), 4096);
		break;
	case 4:
		opened->map[20000] = byte;
		break;
	case 5:
		ck_assert_int_eq(truncate(test_path("%s/large", opened->path), 65536 - byte), 0);
		break;
	case 6:
		test_write(test_path("%s/file%d", opened->path, byte), "new");
		break;
	case 7:
		ck_assert_int_eq(chmod(file, 0600 + byte % 8), 0);
		break;
	case 8:
		ck_assert_int_eq(setxattr(file, "user.byte", &byte, 1, 0), 0);
		break;
	case 9:
		/* A program may write to a read-only subvolume by what it has opened before. */
		set_read_only(opened, true);
		ck_assert_int_eq(pwrite(opened->large_fd, &byte, 1, 30000), 1);
		break;
	case 10:
		set_read_only(opened, true);
		set_read_only(opened, false);
		ck_assert_int_eq(pwrite(opened->large_fd, &byte, 1, 40000), 1);
		set_read_only(opened, true);
		break;
	case 11:
		set_read_only(opened, true);
		break;
	case 12:
		ck_assert_int_eq(rename(file, test_path("%s/x", opened->path)), 0);
		ck_assert_int_eq(rename(test_path("%s/x", opened->path), file), 0);
		ck_assert_int_eq(chmod(opened->path, 0700 + byte % 8), 0);
		break;
	case 13:
		/* On its way to the disk already. */
		ck_assert_int_eq(pwrite(opened->large_fd, &byte, 1, 50000), 1);
		ck_assert_int_eq(sync_file_range(opened->large_fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
		break;
	}
}

/* Fail unless the files at A are those at B. */
static void assert_same(const char *a, const char *b)
{
	static const char *const names[] = { "large", "small" };
	struct stat of_a, of_b;
	ck_assert_int_eq(test_entries(a), test_entries(b));
	ck_assert(!stat(a, &of_a) && !stat(b, &of_b));
	ck_assert_uint_eq(of_a.st_mode, of_b.st_mode);
	for (size_t i = 0; i < TEST_COUNT(names); i++) {
		char *in_a = test_path("%s/%s", a, names[i]),
		     *in_b = test_path("%s/%s", b, names[i]);
		char byte_a = 0, byte_b = 0;
		ck_assert(!stat(in_a, &of_a) && !stat(in_b, &of_b));
		ck_assert_uint_eq(of_a.st_mode, of_b.st_mode);
		ck_assert_int_eq(of_a.st_size, of_b.st_size);
		ck_assert_int_eq(of_a.st_mtim.tv_nsec, of_b.st_mtim.tv_nsec);
		ck_assert_str_eq(test_read(in_a), test_read(in_b));
		ck_assert_int_eq(getxattr(in_a, "user.byte", &byte_a, 1),
				 getxattr(in_b, "user.byte", &byte_b, 1));
		ck_assert_int_eq(byte_a, byte_b);
	}
}

START_TEST(test_changed)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	unsigned taken = 0;
	for (unsigned number = 0; number < CHANGES; number++) {
		struct opened opened = open_all(test_layer(home, "parent"));
		uint64_t before;
		/* A parent that changes often gets no copies for a while. */
		char *parent = test_path("parent%u", number);
		test_create(store, parent, "parent");
		close_all(&opened);
		opened = open_all(test_layer(home, parent));
		stock_up(store, parent);
		before = statistics(store).spares_taken;
		change(&opened, number, (char)('b' + number));
		test_create(store, test_path("child%u", number), parent);
		assert_same(test_layer(home, parent),
			    test_layer(home, test_path("child%u", number)));
		taken += statistics(store).spares_taken > before;
		/* Only these change nothing. */
		ck_assert_int_eq(statistics(store).spares_taken > before,
				 number == 0 || number == 11);
		set_read_only(&opened, false);
		close_all(&opened);
	}
	ck_assert_uint_eq(taken, 2);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

START_TEST(test_random_changes)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	uint64_t seed = test_seed();
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 50 : 2;
	for (unsigned round = 0; round < rounds; round++) {
		char *parent = test_path("parent%u", round);
		test_create(store, parent, "parent");
		struct opened opened = open_all(test_layer(home, parent));
		stock_up(store, parent);
		for (unsigned step = 0; step < 40; step++) {
			unsigned number = (unsigned)(test_random(&seed) % CHANGES);
			char byte = (char)('b' + (round * 40 + step) % 100);
			char *child = test_path("child%u-%u", round, step);
			if (test_random(&seed) % 4 == 0)
				change(&opened, number, byte);
			test_create(store, child, parent);
			assert_same(test_layer(home, parent), test_layer(home, child));
			set_read_only(&opened, false);
		}
		close_all(&opened);
	}
	ck_assert_uint_gt(statistics(store).spares_taken, 0);
	test_close(store);
}
END_TEST

/* A program that writes to the parent all the time: what it has written last. */
static struct {
	_Atomic uint64_t written;
	_Atomic bool end;
	int fd;
} writer;

static void *write_on(void *data)
{
	for (uint64_t number = 1; !writer.end; number++) {
		if (pwrite(writer.fd, &number, sizeof(number), 4096) != sizeof(number))
			break;
		writer.written = number;
		/* Leave some creates a parent that does not change. */
		for (unsigned i = 0; number % 16 == 0 && i < 1000; i++)
			sched_yield();
	}
	return NULL;
}

/*
 * Create layers in STORE while a program writes to the parent. Returns how many lack what was
 * written when their create was submitted.
 */
static unsigned behind_writer(struct varve_store *store, const char *home, const char *prefix)
{
	unsigned behind = 0;
	pthread_t thread;
	writer.end = false;
	writer.written = 0;
	writer.fd = open(test_path("%s/large", test_layer(home, "parent")), O_RDWR);
	ck_assert_int_ge(writer.fd, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, NULL), 0);
	for (unsigned i = 0; i < 200; i++) {
		char *id = test_path("%s%u", prefix, i);
		uint64_t least = writer.written, found = 0;
		test_create(store, id, "parent");
		int fd = open(test_path("%s/large", test_layer(home, id)), O_RDONLY);
		ck_assert_int_eq(pread(fd, &found, sizeof(found), 4096), sizeof(found));
		close(fd);
		behind += least && (found == 0x6161616161616161 || found < least);
	}
	writer.end = true;
	pthread_join(thread, NULL);
	close(writer.fd);
	return behind;
}

START_TEST(test_concurrent_writer)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	unsigned behind = behind_writer(store, home, "child");
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
	if (!behind)
		return;
	/* Linux 6.1: a page that is written to while it is written back is in no snapshot. */
	store = test_open_relaxed(home);
	ck_assert_uint_gt(behind_writer(store, home, "plain"), 0);
	test_close(store);
}
END_TEST

START_TEST(test_replaced)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home), *other = test_open_relaxed(home);
	stock_up(store, "parent");
	/* Another process makes another layer of the name. */
	test_remove_layer(other, "parent");
	test_create(other, "parent", NULL);
	test_write(test_path("%s/other", test_layer(home, "parent")), "other");
	test_create(store, "child", "parent");
	ck_assert_str_eq(test_read(test_path("%s/other", test_layer(home, "child"))), "other");
	ck_assert(!test_exists(test_path("%s/large", test_layer(home, "child"))));
	/* A parent that was renamed is the same. */
	stock_up(store, "parent");
	test_error(varve_layer_rename_wait(store, "parent", "renamed", 0, NULL), 0);
	test_create(store, "parent", NULL);
	test_create(store, "empty", "parent");
	ck_assert(!test_exists(test_path("%s/other", test_layer(home, "empty"))));
	/* A parent that is gone. */
	test_remove_layer(other, "parent");
	test_error(varve_layer_create_wait(store, "orphan",
					   &(struct varve_create_options){
						   .size = sizeof(struct varve_create_options),
						   .parent = "parent" },
					   NULL),
		   -ENOENT);
	test_close(other);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* Find a spare copy in PATH, which lies DEPTH directories above those; NULL: there is none. */
static char *find_spare(const char *path, int depth)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char *found = NULL;
	while (dir && !found && (entry = readdir(dir))) {
		char *below = test_path("%s/%s", path, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		if (depth)
			found = find_spare(below, depth - 1);
		else if (is_spare(entry->d_name))
			found = below;
	}
	if (dir)
		closedir(dir);
	return found;
}

START_TEST(test_vanished)
{
	char *home = test_home(), *spare;
	struct varve_store *store = open_parent(home);
	stock_up(store, "parent");
	/* A person has tidied up. */
	while ((spare = find_spare(test_path("%s/.varve/staging", home), 2)))
		test_subvolume_destroy(spare);
	test_create(store, "child", "parent");
	assert_same(test_layer(home, "parent"), test_layer(home, "child"));
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* ---- when they are made and dropped ---------------------------------------------------------- */

START_TEST(test_returned)
{
	/* A copy that was returned counts as held, also where others were taken meanwhile. */
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	struct posted posted = { .run = run_take };
	stock_up(store, "parent");
	await(store, test_leftovers(home) == statistics(store).spares);
	posted_run(store, &posted);
	ck_assert_ptr_nonnull(posted.copy);
	uint64_t taken = statistics(store).spares_taken;
	test_create(store, "child", "parent");
	ck_assert_uint_eq(statistics(store).spares_taken, taken + 1);
	await(store, test_leftovers(home) == statistics(store).spares + 1);
	posted.run = run_return;
	posted_run(store, &posted);
	ck_assert_uint_eq(test_leftovers(home), statistics(store).spares);
	test_close(store);
}
END_TEST

START_TEST(test_once)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	/* Each parent is used once. */
	for (unsigned i = 0; i < 40; i++)
		test_create(store, test_path("%u", i), i ? test_path("%u", i - 1) : "parent");
	ck_assert_uint_eq(statistics(store).spares_made, 0);
	test_close(store);
	/* Nor are there any that were not asked for. */
	store = test_open(home);
	for (unsigned i = 0; i < 10; i++)
		test_create(store, test_path("child%u", i), "parent");
	ck_assert_uint_eq(statistics(store).spares_made, 0);
	test_close(store);
}
END_TEST

START_TEST(test_options)
{
	static const char *const size[] = { "size=64m", NULL };
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	stock_up(store, "parent");
	uint64_t taken = statistics(store).spares_taken;
	options.parent = "parent";
	options.flags = VARVE_CREATE_READ_ONLY;
	test_error(varve_layer_create_wait(store, "read-only", &options, NULL), 0);
	options.flags = 0;
	options.storage_options = size;
	test_error(varve_layer_create_wait(store, "limited", &options, NULL), 0);
	/* Quota runs now: there are none while it does. */
	options.storage_options = NULL;
	for (unsigned i = 0; i < 10; i++)
		test_error(varve_layer_create_wait(store, test_path("%u", i), &options, NULL), 0);
	ck_assert_uint_eq(statistics(store).spares_taken, taken);
	await(store, !statistics(store).spares);
	test_error(varve_quota_disable_wait(store, NULL), 0);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

START_TEST(test_parent_removed)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	stock_up(store, "parent");
	test_remove_layer(store, "parent");
	await(store, !statistics(store).spares && !test_leftovers(home));
	/* Another process removes it, or it is used no more. */
	test_create(store, "parent", NULL);
	stock_up(store, "parent");
	set_ns(store, &store->settings.stock_idle_ns, 1);
	await(store, !statistics(store).spares && !test_leftovers(home));
	struct varve_statistics seen = statistics(store);
	ck_assert_uint_eq(seen.spares_made, seen.spares_taken + seen.spares_dropped);
	test_close(store);
}
END_TEST

START_TEST(test_parent_renamed)
{
	/* Its new name does not lead to its copies, which would keep its space. */
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	stock_up(store, "parent");
	test_error(varve_layer_rename_wait(store, "parent", "renamed", 0, NULL), 0);
	test_remove_layer(store, "renamed");
	await(store, !statistics(store).spares && !test_leftovers(home));
	test_close(store);
}
END_TEST

START_TEST(test_parents_many)
{
	/* Of more parents than there is room for, those used last have copies. */
	char *home = test_home();
	struct varve_store *store = open_spares(home);
	for (unsigned i = 0; i < 20; i++) {
		test_create(store, test_path("parent%u", i), NULL);
		stock_up(store, test_path("parent%u", i));
	}
	await(store, test_leftovers(home) == statistics(store).spares);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

START_TEST(test_full)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	machine.full = true;
	for (unsigned i = 0; i < 20; i++)
		test_create(store, test_path("%u", i), "parent");
	ck_assert_uint_eq(statistics(store).spares_made, 0);
	test_close(store);
	/* What is held is dropped where room becomes short. */
	machine.full = false;
	store = open_spares(home);
	stock_up(store, "parent");
	machine.full = true;
	for (unsigned i = 0; i < 200 && statistics(store).spares; i++)
		test_create(store, test_path("child%u", i), "parent");
	await(store, !statistics(store).spares && !test_leftovers(home));
	test_close(store);
}
END_TEST

START_TEST(test_small)
{
	/* Copies that find no room are not tried for again and again. */
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	stock_up(store, "parent");
	machine.small = true;
	for (unsigned i = 0; statistics(store).spares; i++)
		test_create(store, test_path("%u", i), "parent");
	machine.looks = 0;
	for (unsigned i = 0; i < 1000; i++)
		test_error(varve_noop_wait(store, NULL), 0);
	ck_assert_uint_lt(machine.looks, 50);
	test_close(store);
}
END_TEST

/* Create layers from "parent" until LEFT of the HELD copies are left; none is made before. */
static void use_up(struct varve_store *store, unsigned held, unsigned left)
{
	static unsigned number;
	struct varve_statistics before = statistics(store);
	ck_assert_uint_eq(before.spares, held);
	for (unsigned i = 1; i <= held - left; i++) {
		ck_assert_uint_eq(statistics(store).spares_made, before.spares_made);
		test_create(store, test_path("use%u", number++), "parent");
		ck_assert_uint_eq(statistics(store).spares_taken, before.spares_taken + i);
	}
}

START_TEST(test_sizes)
{
	/* How many copies are held, at most, and how many of those are left when more are made. */
	static const struct {
		unsigned held, left;
	} sizes[] = { { 4, 2 },  { 8, 4 },    { 16, 4 },   { 32, 4 },
		      { 64, 8 }, { 128, 16 }, { 256, 32 }, { 256, 32 } };
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	uint64_t made;
	machine.shared = true;
	set_ns(store, &store->settings.stock_rest_ns, UINT64_MAX / 4);
	set_ns(store, &store->settings.stock_fast_ns, 0);
	set_ns(store, &store->settings.stock_slow_ns, UINT64_MAX / 4);
	/* They are neither soon used up nor late: there remain few. The first was probed. */
	stock_up(store, "parent");
	await(store, statistics(store).spares > sizes[0].left);
	if (statistics(store).spares < sizes[0].held)
		test_create(store, "first", "parent");
	await(store, statistics(store).spares == sizes[0].held);
	/* Each time soon: twice as many, up to the most. */
	set_ns(store, &store->settings.stock_fast_ns, UINT64_MAX / 4);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(sizes); i++) {
		made = statistics(store).spares_made;
		use_up(store, sizes[i].held, sizes[i].left);
		await(store, statistics(store).spares == sizes[i + 1].held);
		ck_assert_uint_eq(statistics(store).spares_made - made,
				  sizes[i + 1].held - sizes[i].left);
	}
	/* Each time late: half as many, down to the least. */
	set_ns(store, &store->settings.stock_fast_ns, 0);
	set_ns(store, &store->settings.stock_slow_ns, 0);
	for (size_t i = ARRAY_SIZE(sizes) - 2; i > 0; i--) {
		use_up(store, sizes[i].held, sizes[i].left);
		await(store, statistics(store).spares == sizes[i - 1].held);
	}
	/* Those that were left of eight were enough, and more are made when they are not. */
	for (unsigned i = 0; i < 3; i++) {
		use_up(store, sizes[0].held, sizes[0].left);
		await(store, statistics(store).spares == sizes[0].held);
	}
	/* In the end all are given back. */
	set_ns(store, &store->settings.stock_idle_ns, 1);
	await(store, !statistics(store).spares && !test_leftovers(home));
	test_close(store);
}
END_TEST

START_TEST(test_group_whole)
{
	/* All of a refill are one group: there is a thread for each. */
	struct rlimit limit = { 4096, 4096 };
	char *home = test_home();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	struct varve_store *store = test_open(home);
	ck_assert_uint_eq(store->settings.io.threads_max[LANE_COMMIT], COMMIT_THREADS_DEFAULT);
	test_close(store);
	store = open_spares(home);
	ck_assert_uint_eq(store->settings.io.threads_max[LANE_COMMIT], COMMIT_THREADS_SPARES);
	test_close(store);
}
END_TEST

START_TEST(test_backlog)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SPARES | VARVE_OPEN_RELAXED;
	config.backlog_max = 1;
	struct varve_store *store = test_open_config(&config);
	test_create(store, "parent", NULL);
	for (unsigned i = 0; i < 10; i++) {
		test_create(store, test_path("%u", i), "parent");
		test_remove_layer(store, test_path("%u", i));
	}
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

START_TEST(test_kernel_order)
{
	/* A kernel that finds a name taken before it writes what is buffered: none are kept. */
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	machine.early = true;
	for (unsigned i = 0; i < 10; i++)
		test_create(store, test_path("%u", i), "parent");
	await(store, statistics(store).spares_made);
	await(store, !test_leftovers(home));
	int fd = open(test_path("%s/large", test_layer(home, "parent")), O_RDWR);
	ck_assert_int_eq(pwrite(fd, "z", 1, 0), 1);
	close(fd);
	test_create(store, "child", "parent");
	assert_same(test_layer(home, "parent"), test_layer(home, "child"));
	ck_assert_uint_eq(statistics(store).spares_taken, 0);
	test_close(store);
}
END_TEST

START_TEST(test_stuck)
{
	/* What could not be destroyed is tried again, and once more at the end. */
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	for (int end = 0; end < 2; end++) {
		stock_up(store, "parent");
		uint64_t dropped = statistics(store).spares_dropped;
		set_ns(store, &store->settings.stock_rest_ns, end ? UINT64_MAX / 4 : 0);
		machine.stuck = true;
		test_remove_layer(store, "parent");
		await(store, statistics(store).spares_dropped > dropped);
		for (int i = 0; i < 100; i++)
			test_error(varve_noop_wait(store, NULL), 0);
		ck_assert_uint_gt(test_leftovers(home), 0);
		machine.stuck = false;
		if (!end)
			await(store, !test_leftovers(home));
		test_create(store, "parent", NULL);
	}
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* A store can be closed, whatever fails. */
	store = open_spares(home);
	stock_up(store, "parent");
	machine.stuck = true;
	test_close(store);
	ck_assert_uint_gt(test_leftovers(home), 0);
	machine.stuck = false;
	test_close(test_open(home));
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

START_TEST(test_close_while_made)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	enum { COUNT = 32 };
	struct test_record *records = test_alloc(COUNT * sizeof(*records));
	options.parent = "parent";
	stock_up(store, "parent");
	pthread_mutex_lock(&hold);
	machine.held = true;
	/* Takes what there is, until more is to be made, and waits for that. */
	for (unsigned i = 0; i < COUNT; i++)
		test_error(varve_layer_create(store, test_path("%u", i), &options, test_record,
					      &records[i], NULL),
			   0);
	await(store, machine.waiting);
	machine.held = false;
	pthread_mutex_unlock(&hold);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/staging", home)), 0);
}
END_TEST

START_TEST(test_cancel)
{
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	enum { COUNT = 64 };
	struct test_record *records = test_alloc(COUNT * sizeof(*records));
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	unsigned made = 0;
	stock_up(store, "parent");
	options.parent = "parent";
	for (unsigned i = 0; i < COUNT; i++) {
		varve_request request;
		test_error(varve_layer_create(store, test_path("%u", i), &options, test_record,
					      &records[i], &request),
			   0);
		if (i % 2)
			varve_cancel(store, request);
	}
	test_await_all(store, records, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		ck_assert(!records[i].error || records[i].error == -ECANCELED);
		made += !records[i].error;
		ck_assert_int_eq(test_layer_exists(home, test_path("%u", i)), !records[i].error);
	}
	ck_assert_uint_ge(made, COUNT / 2);
	await(store, test_leftovers(home) == statistics(store).spares);
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
}
END_TEST

/* Die with copies at hand. */
static int die(void *home)
{
	stock_up(open_parent(home), "parent");
	_exit(0);
}

START_TEST(test_crash)
{
	char *home = test_home();
	test_in_child(die, home);
	ck_assert_uint_gt(test_leftovers(home), 0);
	struct varve_store *store = test_open(home);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

START_TEST(test_faults)
{
	/* Whatever fails, a create reports it or ends well, and nothing is left. */
	enum { INJECTED = -ENOTRECOVERABLE };
	/* Those of the create itself come first. */
	long passes = getenv("VARVE_TEST_SOAK") ? 24 : 4;
	char *home = test_home();
	struct varve_store *store = open_parent(home);
	unsigned number = 0;
	test_close(store);
	for (int point = FAULT_ALLOCATION; point <= FAULT_LANE; point++)
		for (long nth = 1; nth <= passes; nth++) {
			store = open_spares(home);
			stock_up(store, "parent");
			fault_arm(&store->core.io.fault, (enum fault_point)point, nth, INJECTED,
				  nth % 2);
			char *id = test_path("fault%u", number++);
			struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
			options.parent = "parent";
			int r = varve_layer_create_wait(store, id, &options, NULL);
			fault_arm(&store->core.io.fault, (enum fault_point)point, 0, 0, false);
			ck_assert(!r || r == (point == FAULT_ALLOCATION ? -ENOMEM : INJECTED));
			ck_assert_int_eq(test_layer_exists(home, id), !r);
			if (!r)
				assert_same(test_layer(home, "parent"), test_layer(home, id));
			/* It goes on. */
			test_create(store, test_path("%s-next", id), "parent");
			test_close(store);
			/* What could not be destroyed then is swept. */
			if (test_leftovers(home))
				test_close(test_open(home));
			ck_assert_uint_eq(test_leftovers(home), 0);
		}
}
END_TEST

TEST_MAIN("stock", test_taken, test_changed, test_random_changes, test_concurrent_writer,
	  test_replaced, test_vanished, test_returned, test_once, test_options, test_parent_removed,
	  test_parent_renamed, test_parents_many, test_full, test_small, test_sizes,
	  test_group_whole, test_backlog, test_kernel_order, test_stuck, test_close_while_made,
	  test_cancel, test_crash, test_faults)
