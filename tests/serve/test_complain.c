/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* The log waits for no reader, whatever it is written to, and says what was lost. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "complain.h"
#include "test.h"

#define ROUNDS 3000

static char page[4096];
static atomic_bool over;

/* Fill the pipe whose end DATA is, as another process that has the same standard error. */
static void *fill(void *data)
{
	const int *fd = data;

	while (!over)
		(void)!write(*fd, page, sizeof(page));
	return NULL;
}

/* A pipe that is filled between the look whether there is room and the write. */
START_TEST(test_shared_pipe)
{
	uint64_t dropped = 0;
	char taken[sizeof(page)];
	pthread_t thread;
	int ends[2], filler;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	filler = open(test_path("/proc/self/fd/%d", ends[1]), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(filler, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, fill, &filler), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		ck_assert_int_gt(read(ends[0], taken, sizeof(taken)), 0);
		complain_write(ends[1], "line\n", 5, &dropped);
	}
	over = true;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close(filler);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* Read from FD until there is nothing. Return the last SIZE bytes at most. */
static const char *last(int fd, size_t size)
{
	static char bytes[1 << 20];
	size_t count = 0;
	ssize_t r;

	while ((r = recv(fd, bytes + count, sizeof(bytes) - 1 - count, MSG_DONTWAIT)) > 0 ||
	       (r < 0 && errno == ENOTSOCK &&
		(r = read(fd, bytes + count, sizeof(bytes) - 1 - count)) > 0))
		count += (size_t)r;
	bytes[count] = '\0';
	return bytes + (count > size ? count - size : 0);
}

START_TEST(test_dropped_lines)
{
	static const char expected[] = "5 lines were dropped\nthree\n";

	for (unsigned is_socket = 0; is_socket < 2; is_socket++) {
		uint64_t dropped = 0;
		int ends[2];

		if (is_socket)
			ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
					 0);
		else
			ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
		ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
		memset(page, '\n', sizeof(page));
		while (!dropped)
			complain_write(ends[1], page, sizeof(page), &dropped);
		dropped = 0;
		complain_write(ends[1], "one\n", 4, &dropped);
		ck_assert_uint_eq(dropped, 1);
		complain_write(ends[1], "two\nand\nmore\nlines\n", 19, &dropped);
		ck_assert_uint_eq(dropped, 5);
		last(ends[0], 0);
		complain_write(ends[1], "three\n", 6, &dropped);
		ck_assert_uint_eq(dropped, 0);
		ck_assert_str_eq(last(ends[0], strlen(expected)), expected);
		close(ends[0]);
		close(ends[1]);
	}
}
END_TEST

TEST_MAIN_UNIT("complain", test_shared_pipe, test_dropped_lines)
