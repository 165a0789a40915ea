/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of the records: what forked children do to it, and which process is named as its holder;
 * what a record is; how many calls of the kernel records take.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/size_record.h"
#include "test.h"

/* Calls of the library so far, while they are counted. */
static struct {
	_Atomic bool counts;
	/* Looks at files, reads of an attribute, ioctls, attempts to lock. */
	_Atomic unsigned looks, attributes, ioctls, locks;
} calls;

/* In the place of libc's. */
int fstatat(int fd, const char *path, struct stat *stat, int flags)
{
	calls.looks += calls.counts;
	return (int)syscall(SYS_newfstatat, fd, path, stat, flags);
}

int flock(int fd, int operation)
{
	calls.locks += calls.counts && operation != LOCK_UN;
	return (int)syscall(SYS_flock, fd, operation);
}

int fstat(int fd, struct stat *stat)
{
	calls.looks += calls.counts;
	return (int)syscall(SYS_fstat, fd, stat);
}

/* The number of getxattrat(), which the headers need not have. */
#define CALL_GETXATTRAT 464

long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long argument[6];
	va_list arguments;
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	va_start(arguments, number);
	for (size_t i = 0; i < TEST_COUNT(argument); i++)
		argument[i] = va_arg(arguments, long);
	va_end(arguments);
	calls.attributes += calls.counts && number == CALL_GETXATTRAT;
	return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		    argument[5]);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	calls.ioctls += calls.counts;
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* Count calls from now on. */
static void count_begin(void)
{
	calls.looks = calls.attributes = calls.ioctls = calls.locks = 0;
	calls.counts = true;
}

/* A store with COUNT layers, named in *RET_IDS, which have labels where LABELS says so. */
static struct varve_store *open_with(char *home, unsigned count, const char *const *labels,
				     const char ***ret_ids)
{
	struct varve_config config = test_config(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char **ids = test_alloc(count * sizeof(*ids));
	config.flags |= VARVE_OPEN_RELAXED | VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	for (unsigned i = 0; i < count; i++)
		ids[i] = test_path("layer-%u", i);
	options.labels = labels;
	test_error(varve_layer_create_batch_wait(store, ids, count, &options, NULL, NULL), 0);
	*ret_ids = ids;
	return store;
}

/* Layers that are published together are so under one lock, and their records are made in place. */
START_TEST(test_create_calls)
{
	enum { MANY = 300 };
	const char **ids;
	count_begin();
	struct varve_store *store = open_with(test_home(), MANY,
					      (const char *const[]){ "job=1", NULL }, &ids);
	calls.counts = false;
	ck_assert_uint_lt(calls.locks, MANY / 4);
	test_close(store);
}
END_TEST

/* A removal does not look for records where no layer has any: their batch does. */
START_TEST(test_removal_looks)
{
	enum { MANY = 300 };
	const char **ids;
	struct varve_store *store = open_with(test_home(), MANY, NULL, &ids);
	count_begin();
	test_error(varve_layer_remove_batch_wait(store, ids, MANY, 0, NULL, NULL), 0);
	calls.counts = false;
	ck_assert_uint_lt(calls.looks, MANY / 4);
	test_close(store);
}
END_TEST

/* Nor does an open look at each layer that has a record; one whose layer is gone is removed. */
START_TEST(test_open_looks)
{
	enum { MANY = 300 };
	const char **ids;
	char *home = test_home();
	test_close(open_with(home, MANY, (const char *const[]){ "job=1", NULL }, &ids));
	test_subvolume_destroy(test_layer(home, ids[7]));
	count_begin();
	struct varve_store *store = test_open(home);
	calls.counts = false;
	ck_assert_uint_lt(calls.looks, MANY / 4);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), MANY - 1);
	ck_assert(!test_exists(test_path("%s/.varve/layers/%s", home, ids[7])));
	test_close(store);
}
END_TEST

/*
 * Records are found by a few searches, not by a call each; also those that were changed since,
 * whose files are new, and with other files in between. One that is too long for a search is read.
 */
START_TEST(test_find_calls)
{
	enum { MANY = 300, LONG = 20000 };
	struct varve_find_options find = VARVE_FIND_OPTIONS_INIT;
	struct varve_label_options change = VARVE_LABEL_OPTIONS_INIT;
	struct varve_layer_record **records;
	const char **ids;
	char *home = test_home(), **found;
	size_t count;
	struct varve_store *store = open_with(home, MANY, (const char *const[]){ "job=1", NULL },
					      &ids);
	test_create(store, "plain", NULL);
	for (unsigned i = 0; i < 10 * MANY; i++)
		test_write(test_path("%s/file-%u", home, i), "");
	change.labels = (const char *const[]){ "job=2", NULL };
	for (unsigned i = 0; i < 5; i++)
		test_error(varve_layer_label_wait(store, ids[i * 7], &change, NULL, NULL), 0);
	change.flags = VARVE_LABEL_RECORD;
	change.record = test_alloc(LONG);
	change.record_bytes = LONG;
	test_error(varve_layer_label_wait(store, ids[99], &change, NULL, NULL), 0);
	find.flags = VARVE_FIND_RECORDS;
	count_begin();
	test_error(varve_layer_find_wait(store, &find, &found, &records, &count, NULL), 0);
	calls.counts = false;
	ck_assert_uint_le(calls.attributes, 4);
	ck_assert_uint_le(calls.ioctls, 40);
	ck_assert_uint_eq(count, MANY + 1);
	for (size_t i = 0; i < count; i++) {
		unsigned number = 0;
		if (sscanf(found[i], "layer-%u", &number) != 1) {
			ck_assert_ptr_null(records[i]);
			continue;
		}
		bool changed = number == 99 || (number < 35 && number % 7 == 0);
		ck_assert_uint_eq(records[i]->labels_count, 1);
		ck_assert_str_eq(records[i]->labels[0], changed ? "job=2" : "job=1");
		ck_assert_uint_eq(records[i]->bytes_count, number == 99 ? LONG : 0);
	}
	free(found);
	free(records);
	find.flags = 0;
	find.labels = change.labels;
	test_error(varve_layer_find_wait(store, &find, &found, NULL, &count, NULL), 0);
	ck_assert_uint_eq(count, 6);
	free(found);
	test_close(store);
}
END_TEST

/* Be there, with all descriptors of the parent. */
static int stay(void *data)
{
	(void)data;
	pause();
	return 0;
}

/*
 * A child that the program forks while the lock is held has the descriptor, and must not keep the
 * lock.
 */
START_TEST(test_forked)
{
	struct varve_store *store = test_open(test_home());
	struct size_record_lock lock = { 0 };
	test_error(size_record_lock(store, &lock), 0);
	int child = test_child_endless(stay, NULL);
	size_record_unlock(&lock);
	test_error(size_record_lock(store, &lock), 0);
	size_record_unlock(&lock);
	test_child_kill(child);
	test_close(store);
}
END_TEST

/* What a process holds that is asked for. */
struct holder {
	const char *records, *point;
};

/* Open what is mounted at the point, hold the lock, and stop. */
static int hold(void *data)
{
	const struct holder *holder = data;
	int stalled = open(holder->point, O_PATH | O_CLOEXEC);
	int file = open(holder->records, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (stalled < 0 || file < stalled || flock(file, LOCK_EX | LOCK_NB) < 0)
		return 1;
	raise(SIGSTOP);
	return 0;
}

/*
 * Finding the holder of the lock asks nothing of a file system whose server never answers: else the
 * test would time out.
 */
START_TEST(test_holder_with_stalled_mount)
{
	char *home = test_home();
	struct holder holder = { test_path("%s/.varve/records", home),
				 test_path("%s/point", home) };
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), status = 0;
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_store *store = test_open(home);
	test_mkdir(test_path("%s/.varve", home));
	test_mkdir(holder.point);
	if (fuse < 0 || mount("none", holder.point, "fuse", 0,
			      test_path("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)) < 0) {
		test_skip("needs FUSE");
		test_close(store);
		return;
	}
	int pid = test_child_start(hold, &holder);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_msg(WIFSTOPPED(status), "the holder has ended: %d", status);
	ck_assert_int_eq(size_record_holder(store), pid);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(test_child_end(pid), 0);
	close(fuse);
	ck_assert_int_eq(umount2(holder.point, MNT_DETACH), 0);
	test_close(store);
}
END_TEST

/* There are so many marks at most, and one less makes room for one. */
START_TEST(test_marks_bound)
{
	const char *home = test_home();
	struct varve_store *store = test_open(home), *other = test_open(home);
	for (unsigned i = 0; i < RECORD_MARKS_MAX; i++)
		ck_assert(size_record_mark(store, test_path("layer-%u", i)));
	ck_assert(!size_record_mark(store, "one-more"));
	test_error(size_record_marked(store, "one-more"), 0);
	test_error(size_record_marked(other, "layer-0"), 1);
	/* The marks of another store are its own. */
	ck_assert(size_record_mark(other, "one-more"));
	size_record_unmark(other, "one-more");
	size_record_unmark(store, "layer-0");
	test_error(size_record_marked(other, "layer-0"), 0);
	ck_assert(size_record_mark(store, "one-more"));
	test_error(size_record_marked(other, "one-more"), 1);
	size_record_unmark(store, "one-more");
	for (unsigned i = 1; i < RECORD_MARKS_MAX; i++)
		size_record_unmark(store, test_path("layer-%u", i));
	test_error(size_record_marked(other, "layer-1"), 0);
	test_close(other);
	test_close(store);
}
END_TEST

/* A record is a number in digits, all of it: no part of a longer one is taken for it. */
START_TEST(test_texts)
{
	static const struct {
		const char *text;
		int error;
		uint64_t bytes;
	} records[] = {
		{ "8388608", 0, 8388608 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "0000000000000000000000000000042", 0, 42 },
		{ "18446744073709551616", -EINVAL, 0 },
		{ "00000000000000000000000000000428", -EINVAL, 0 },
		{ "00000000000000000000000000000000008388608", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "8388608\n", -EINVAL, 0 },
		{ " 8388608", -EINVAL, 0 },
		{ "+8388608", -EINVAL, 0 },
		{ "8m", -EINVAL, 0 },
	};
	char *path = test_path("%s/record", test_mount());
	for (size_t i = 0; i < TEST_COUNT(records); i++) {
		uint64_t bytes = 0;
		test_write(path, records[i].text);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		int error = size_record_read(fd, &bytes);
		ck_assert_msg(error == records[i].error, "'%s': %s", records[i].text,
			      test_errno_name(error));
		ck_assert_uint_eq(bytes, records[i].bytes);
		close(fd);
	}
}
END_TEST

TEST_MAIN("records", test_create_calls, test_removal_looks, test_open_looks, test_find_calls,
	  test_forked, test_marks_bound, test_texts, test_holder_with_stalled_mount)
