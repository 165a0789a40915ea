/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot joins a group under full quotas while commits count what its layers have written: the
 * two numbers that decide are of one moment.
 */
#include "quota.h"

#include "engine/base/util.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What each commit finds to count. */
#define PIECE_BYTES 65536

/* A file in a layer of the group that grows, with a commit, after each look at quota; -1: none. */
static _Atomic int growing = -1;
static atomic_uint looks;

/* After a look at quota: the file system counts a piece more. */
static void count_more(void)
{
	static const char piece[PIECE_BYTES] = "piece";
	int fd = atomic_load(&growing), error = errno;
	if (fd < 0)
		return;
	atomic_fetch_add(&looks, 1);
	ck_assert_int_eq(write(fd, piece, sizeof(piece)), sizeof(piece));
	ck_assert_int_eq(syncfs(fd), 0);
	errno = error;
}

/* In the place of libc's: what is read of sysfs is a look at quota. */
ssize_t read(int fd, void *buffer, size_t size)
{
	ssize_t length = syscall(SYS_read, fd, buffer, size);
	struct statfs statfs;
	if (atomic_load(&growing) >= 0 && !fstatfs(fd, &statfs) && statfs.f_type == SYSFS_MAGIC)
		count_more();
	return length;
}

/* In the place of libc's: so is a search of a tree. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	int r = (int)syscall(SYS_ioctl, fd, request, va_arg(arguments, void *));
	va_end(arguments);
	if (request == BTRFS_IOC_TREE_SEARCH_V2)
		count_more();
	return r;
}

START_TEST(test_commits_between)
{
	if (!test_kernel_since(6, 9)) {
		test_skip("no snapshot joins a group under full quotas before Linux 6.9");
		return;
	}
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);
	struct varve_failure failure;
	test_error(create_with(store, "base", NULL, "group=job", 0), 0);
	test_error(write_bytes(test_path("%s/file", test_layer(home, "base")), MIB), 0);
	int fd = open(test_path("%s/growing", test_layer(home, "base")),
		      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	atomic_store(&growing, fd);
	int error = create_with(store, "child", "base", "group=job", 0);
	atomic_store(&growing, -1);
	close(fd);
	test_error(error, 0);
	ck_assert_uint_gt(looks, 0);
	test_ok(varve_sync_wait(store, 0, &failure), &failure);
	ck_assert_uint_eq(quota_of(store).flags & VARVE_QUOTA_INCONSISTENT, 0);
	test_close(store);
}
END_TEST

TEST_MAIN("group_numbers", test_commits_between)
