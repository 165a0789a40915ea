/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complain.c: see complain.h. Standard error is shared with other processes, so that its
 * descriptor cannot be made non-blocking.
 */
#include "complain.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "limits.h"

/* Write PARTS to FD without a wait. Return whether that was done. */
static bool complain_send(int fd, struct iovec *parts, int count)
{
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	struct stat status;

	/* systemd's journal. */
	if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno != ENOTSOCK || poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT))
		return false;
	/* Another process may fill a pipe meanwhile. Before Linux 6.4 pipes have no such flag. */
	if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)) {
		if (pwritev2(fd, parts, count, -1, RWF_NOWAIT) >= 0)
			return true;
		if (errno != EOPNOTSUPP)
			return false;
	}
	return writev(fd, parts, count) >= 0;
}

void complain_write(int fd, const char *lines, size_t size, uint64_t *dropped)
{
	char notice[COMPLAIN_NOTICE_BYTES];
	struct iovec parts[] = { { notice, 0 }, { (char *)(uintptr_t)lines, size } };

	if (*dropped)
		parts[0].iov_len = (size_t)snprintf(notice, sizeof(notice),
						    "%" PRIu64 " lines were dropped\n", *dropped);
	if (complain_send(fd, parts, 2)) {
		*dropped = 0;
		return;
	}
	for (size_t i = 0; i < size; i++)
		*dropped += lines[i] == '\n';
}

void complain(const char *format, ...)
{
	/* There is no place where they could be counted. */
	uint64_t dropped = 0;
	char line[COMPLAIN_BYTES_MAX] = "varve serve: ";
	size_t size = strlen(line);
	va_list arguments;
	int length;

	va_start(arguments, format);
	/* Room for the end of the line. */
	length = vsnprintf(line + size, sizeof(line) - size - 1, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	size = strlen(line);
	line[size] = '\n';
	complain_write(STDERR_FILENO, line, size + 1, &dropped);
}
