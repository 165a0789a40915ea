/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/pressure.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <poll.h>

int pressure_open(const char *path)
{
	_cleanup_close_ int fd = RET_NERRNO(
		open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));

	if (fd < 0)
		return fd;
	/* With its NUL, as the kernel wants it. */
	if (write(fd, PRESSURE_TRIGGER, sizeof(PRESSURE_TRIGGER)) < 0)
		return negative_errno();
	return TAKE_FD(fd);
}

bool pressure_seen(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	return fd >= 0 && poll(&pollfd, 1, 0) > 0 && pollfd.revents & POLLPRI;
}
