/* SPDX-License-Identifier: Apache-2.0 */
/* Code that a test runs in a child process, as another user, or as another program. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int test_child_start(int (*function)(void *data), void *data)
{
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_msg(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		/* A test that is ended by its time limit takes its children along. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int status = function(data);
		fflush(NULL);
		_exit(status);
	}
	return pid;
}

/* Send to nowhere what Check records of this process. */
static void record_nothing(void)
{
	struct dirent *entry;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	DIR *descriptors = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(descriptors);
	while ((entry = readdir(descriptors))) {
		char target[PATH_MAX] = "";
		if (readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target) - 1) < 0)
			continue;
		const char *slash = strrchr(target, '/');
		if (slash && strncmp(slash, "/check_", 7) == 0)
			dup2(null, atoi(entry->d_name));
	}
	closedir(descriptors);
	close(null);
}

/* A function that does not return. */
struct endless {
	int (*function)(void *data);
	void *data;
};

/* Run it. */
static int run_endless(void *data)
{
	struct endless *endless = data;
	record_nothing();
	return endless->function(endless->data);
}

int test_child_endless(int (*function)(void *data), void *data)
{
	struct endless endless = { function, data };
	return test_child_start(run_endless, &endless);
}

int test_child_kill(int pid)
{
	kill(pid, SIGKILL);
	return test_child_end(pid);
}

int test_child_end(int pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void test_in_child(int (*function)(void *data), void *data)
{
	int status = test_child_end(test_child_start(function, data));
	ck_assert_msg(status == 0, "the child ended with status %d", status);
}

/* A function to be run as another user. */
struct nobody {
	int (*function)(void *data);
	void *data;
};

/* Become nobody, then go on. */
static int run_as_nobody(void *data)
{
	struct nobody *nobody = data;
	if (setgroups(0, NULL) < 0 || setresgid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0 ||
	    setresuid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0)
		return 125;
	return nobody->function(nobody->data);
}

void test_as_nobody(int (*function)(void *data), void *data)
{
	struct nobody nobody = { function, data };
	test_in_child(run_as_nobody, &nobody);
}

/* A function that is given a home. */
struct denied {
	int (*function)(void *home);
	char *home;
};

/* Run it, in a child whose failure does not keep the file system from being unmounted. */
static int run_denied(void *data)
{
	struct denied *denied = data;
	test_as_nobody(denied->function, denied->home);
	return 0;
}

void test_as_nobody_denied(int (*function)(void *home))
{
	char *image = test_path("%s-image", test_home()), *point = test_home();
	struct denied denied = { function, test_path("%s/home", point) };
	const char *const mkfs[] = { "mkfs.btrfs", "-q", image, NULL };
	const char *const mount_[] = { "mount", "-o", "loop", image, point, NULL };
	test_write(image, "");
	ck_assert_int_eq(truncate(image, 200 << 20), 0);
	test_mkdir(point);
	ck_assert_int_eq(test_command(mkfs), 0);
	ck_assert_int_eq(test_command(mount_), 0);
	ck_assert_int_eq(mkdir(denied.home, 0700), 0);
	ck_assert_int_eq(chown(denied.home, TEST_NOBODY, TEST_NOBODY), 0);
	int status = test_child_end(test_child_start(run_denied, &denied));
	ck_assert_int_eq(umount(point), 0);
	ck_assert_int_eq(status, 0);
}

bool test_child_may_allocate(void)
{
	if (TEST_SANITIZED)
		test_skip(
			"forks while threads allocate, which the sanitizer's allocator does not survive");
	return !TEST_SANITIZED;
}

bool test_child_may_start_threads(void)
{
	if (TEST_SANITIZED_THREADS)
		test_skip(
			"starts threads in children of a threaded process, which the thread sanitizer cannot follow");
	return !TEST_SANITIZED_THREADS;
}

int test_command(const char *const *argv)
{
	pid_t pid;
	fflush(NULL);
	int error = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);
	if (error)
		return 127;
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
