/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* Listeners: paths and addresses, and what happens when the process has no descriptor left. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listener.h"
#include "test.h"

static struct loop *loop;
static int accepted[64];
static unsigned accepted_count;

/* A client has connected. */
static void take(void *data, int fd)
{
	accepted[accepted_count++] = fd;
}

/* Connect to the socket at PATH: a descriptor or -errno. */
static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -errno;
}

/* A path in a directory of its own. */
static char *place(void)
{
	char *directory = test_path("%s/varve-listener-XXXXXX", getenv("TMPDIR") ?: "/tmp");

	ck_assert_ptr_nonnull(mkdtemp(directory));
	return test_path("%s/socket", directory);
}

/* Remove the directory of PATH, which must be empty. */
static void leave(char *path)
{
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(rmdir(path), 0);
}

START_TEST(test_descriptors_end)
{
	struct listener listener = { .source.fd = -1 };
	struct rlimit limit, old;
	char *path = place();
	int first, second, spare;

	test_error(loop_create(&loop), 0);
	test_error(listener_bind(&listener, path, false), 0);
	test_error(listener_start(&listener, loop, take, NULL), 0);
	first = dial(path);
	second = dial(path);
	ck_assert_int_ge(first, 0);
	ck_assert_int_ge(second, 0);
	/* Room for one more descriptor. */
	spare = dup(first);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)spare + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(spare);
	ck_assert_int_gt(loop_turn(loop, 0), 0);
	ck_assert_uint_eq(accepted_count, 1);
	/* The second client waits, and the loop does not turn for it. */
	ck_assert_int_eq(loop_turn(loop, 0), 0);
	/* A descriptor is free. */
	close(accepted[0]);
	listener_resume(&listener);
	while (accepted_count < 2)
		ck_assert_int_ge(loop_turn(loop, -1), 0);
	/* Where nothing of ours ends, it is tried again. */
	close(second);
	second = dial(path);
	ck_assert_int_ge(second, 0);
	loop_turn(loop, 0);
	ck_assert_uint_eq(accepted_count, 2);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (accepted_count < 3)
		ck_assert_int_ge(loop_turn(loop, -1), 0);
	listener_stop(&listener);
	ck_assert(!test_exists(path));
	loop_destroy(loop);
	leave(path);
}
END_TEST

START_TEST(test_paths)
{
	struct listener listener = { .source.fd = -1 }, other = { .source.fd = -1 };
	char *path = place(), *deep = test_path("%s.d/socket", path);
	struct stat status;
	pid_t pid = 0;
	int fd;

	test_error(listener_bind(&listener, path, false), 0);
	ck_assert_int_eq(lstat(path, &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	fd = dial(path);
	ck_assert_int_ge(fd, 0);
	test_error(listener_peer(fd, &pid), 0);
	ck_assert_int_eq(pid, getpid());
	/* Somebody listens. */
	test_error(listener_bind(&other, path, false), -EADDRINUSE);
	listener_stop(&other);
	ck_assert(test_exists(path));
	/* Nobody does any more, as after a kill. */
	close(listener.source.fd);
	free(listener.path);
	listener = (struct listener){ .source.fd = -1 };
	test_error(listener_bind(&other, path, false), 0);
	listener_stop(&other);
	ck_assert(!test_exists(path));
	/* Files and links stay. */
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	test_error(listener_bind(&listener, path, false), -EEXIST);
	listener_stop(&listener);
	ck_assert(test_exists(path));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/nonexistent", path), 0);
	test_error(listener_bind(&listener, path, false), -EEXIST);
	listener_stop(&listener);
	ck_assert_int_eq(unlink(path), 0);
	/* The directory is made. */
	test_error(listener_bind(&listener, deep, false), 0);
	listener_stop(&listener);
	*strrchr(deep, '/') = '\0';
	ck_assert_int_eq(rmdir(deep), 0);
	close(fd);
	leave(path);
}
END_TEST

START_TEST(test_addresses)
{
	static const char *const bad[] = { "",
					   "socket",
					   "0.0.0.0:1",
					   "10.0.0.1:1",
					   "localhost:1",
					   "127.0.0.1",
					   "127.0.0.1:",
					   "127.0.0.1:x",
					   "[::]:1",
					   "127.0.0.1:1x",
					   "127.0.0.1:65536",
					   ":1",
					   "127.0.0.1:-1" };
	struct listener listener = { .source.fd = -1 };

	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		ck_assert_msg(listener_bind(&listener, bad[i], true) == -EINVAL, "%s", bad[i]);
		ck_assert_int_eq(listener.source.fd, -1);
	}
	test_error(listener_bind(&listener, "127.0.0.1:0", false), -EINVAL);
	test_error(listener_bind(&listener, "127.0.0.1:0", true), 0);
	listener_stop(&listener);
	test_error(listener_bind(&listener, test_path("/%0120d", 1), true), -ENAMETOOLONG);
	listener_stop(&listener);
}
END_TEST

/* Have LISTEN_PID and LISTEN_FDS in the environment; NULL: not set. */
static void pass(const char *pid, const char *count)
{
	ck_assert_int_eq(pid ? setenv("LISTEN_PID", pid, 1) : unsetenv("LISTEN_PID"), 0);
	ck_assert_int_eq(count ? setenv("LISTEN_FDS", count, 1) : unsetenv("LISTEN_FDS"), 0);
}

START_TEST(test_passed_numbers)
{
	static const char *const bad[] = { "",   "x",   "1x",
					   "-1", "+1",  " 1",
					   "1 ", "0x1", "99999999999999999999" };
	char *pid = test_path("%d", getpid());
	struct listener_passed passed;

	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		pass(pid, bad[i]);
		ck_assert_msg(listener_take_passed(&passed) == -EINVAL, "LISTEN_FDS=%s", bad[i]);
		pass(bad[i], "1");
		ck_assert_msg(listener_take_passed(&passed) == -EINVAL, "LISTEN_PID=%s", bad[i]);
	}
	pass(pid, "9");
	test_error(listener_take_passed(&passed), -E2BIG);
	/* None, none for this process, and what was meant for another one. */
	pass(pid, "0");
	test_error(listener_take_passed(&passed), 0);
	ck_assert_uint_eq(passed.count, 0);
	pass(NULL, "1");
	test_error(listener_take_passed(&passed), 0);
	ck_assert_uint_eq(passed.count, 0);
	pass("1", "x");
	test_error(listener_take_passed(&passed), 0);
	ck_assert_uint_eq(passed.count, 0);
	pass(pid, NULL);
	test_error(listener_take_passed(&passed), 0);
	ck_assert_uint_eq(passed.count, 0);
}
END_TEST

TEST_MAIN_UNIT("listener", test_descriptors_end, test_paths, test_addresses, test_passed_numbers)
