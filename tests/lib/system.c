/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing the file system of a test, looking at what is on its device, counting threads and
 * descriptors.
 */
#include "test.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where btrfs keeps its first superblock, and the generation in it. */
#define SUPERBLOCK_OFFSET 65536
#define SUPERBLOCK_SIZE 4096
#define SUPERBLOCK_GENERATION_OFFSET 72

/* The guardian of a frozen file system, and the pipe whose end tells it that we are gone. */
static pid_t guardian = -1;
static int guardian_pipe = -1;

/* Wait until the other end of the pipe closes, or too long, then thaw. */
static void __attribute__((noreturn)) guard_frozen(int root, int pipe)
{
	struct pollfd pollfd = { .fd = pipe };
	poll(&pollfd, 1, TEST_WAIT_MS);
	ioctl(root, FITHAW, 0);
	_exit(0);
}

/* Open the root of the mount. */
static int open_root(void)
{
	int root = open(test_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(root, 0);
	return root;
}

void test_freeze(void)
{
	int root = open_root(), pipes[2];
	ck_assert_int_lt(guardian, 0);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	guardian = fork();
	ck_assert_int_ge(guardian, 0);
	if (guardian == 0) {
		close(pipes[1]);
		guard_frozen(root, pipes[0]);
	}
	close(pipes[0]);
	guardian_pipe = pipes[1];
	ck_assert_msg(ioctl(root, FIFREEZE, 0) == 0, "FIFREEZE: %s", strerror(errno));
	close(root);
}

void test_thaw(void)
{
	int root = open_root();
	ck_assert_msg(ioctl(root, FITHAW, 0) == 0, "FITHAW: %s", strerror(errno));
	close(root);
	kill(guardian, SIGKILL);
	while (waitpid(guardian, NULL, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	close(guardian_pipe);
	guardian = guardian_pipe = -1;
}

/* The device that is mounted on the test's mount. */
static char *find_device(void)
{
	char *line = NULL, *device = NULL;
	size_t size = 0;
	FILE *mounts = fopen("/proc/self/mounts", "re");
	ck_assert_ptr_nonnull(mounts);
	while (getline(&line, &size, mounts) > 0) {
		char source[256], target[1024];
		if (sscanf(line, "%255s %1023s", source, target) == 2 &&
		    !strcmp(target, test_mount()))
			device = test_path("%s", source);
	}
	fclose(mounts);
	free(line);
	ck_assert_ptr_nonnull(device);
	return device;
}

uint64_t test_committed_generation(void)
{
	char *device = find_device();
	uint64_t generation;
	void *block;
	/* O_DIRECT: the device's own cache need not know what the file system has written. */
	int descriptor = open(device, O_RDONLY | O_CLOEXEC | O_DIRECT);
	ck_assert_msg(descriptor >= 0, "%s: %s", device, strerror(errno));
	ck_assert_int_eq(posix_memalign(&block, SUPERBLOCK_SIZE, SUPERBLOCK_SIZE), 0);
	ck_assert_int_eq(pread(descriptor, block, SUPERBLOCK_SIZE, SUPERBLOCK_OFFSET),
			 SUPERBLOCK_SIZE);
	memcpy(&generation, (char *)block + SUPERBLOCK_GENERATION_OFFSET, sizeof(generation));
	close(descriptor);
	free(block);
	return generation;
}

bool test_kernel_since(int major, int minor)
{
	struct utsname name;
	int is_major = 0, is_minor = 0;
	ck_assert_int_eq(uname(&name), 0);
	ck_assert_int_eq(sscanf(name.release, "%d.%d", &is_major, &is_minor), 2);
	return is_major > major || (is_major == major && is_minor >= minor);
}

enum varve_quota_mode test_quota_mode(void)
{
	return test_kernel_since(6, 7) ? VARVE_QUOTA_SIMPLE : VARVE_QUOTA_FULL;
}

static int count_threads(void)
{
	return test_entries("/proc/self/task");
}

#ifdef __SANITIZE_THREAD__
static void *do_nothing(void *data)
{
	return data;
}

/* The sanitizer starts a thread of its own beside the first one of a program. */
int test_threads(void)
{
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return count_threads();
}
#else
int test_threads(void)
{
	return count_threads();
}
#endif

void test_threads_are(int threads)
{
	int64_t end_ms = test_now_ms() + TEST_WAIT_MS;
	while (count_threads() > threads) {
		ck_assert_msg(test_now_ms() < end_ms, "%d threads, not %d", count_threads(),
			      threads);
		sched_yield();
	}
}

int test_descriptors(void)
{
	return test_entries("/proc/self/fd");
}
