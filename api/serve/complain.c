/* SPDX-License-Identifier: Apache-2.0 */
/* complain.c: see complain.h. */
#include "complain.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool complain_can(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLOUT;
}

void complain(const char *format, ...)
{
	char line[PIPE_BUF] = "varve serve: ";
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
	if (complain_can(STDERR_FILENO))
		(void)!write(STDERR_FILENO, line, size + 1);
}
