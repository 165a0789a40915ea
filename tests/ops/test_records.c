/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of the records: what forked children do to it, and which process is named as its holder;
 * and what a record is.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/store/size_record.h"
#include "test.h"

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

/** What a process holds that is asked for. */
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

TEST_MAIN("records", test_forked, test_texts, test_holder_with_stalled_mount)
