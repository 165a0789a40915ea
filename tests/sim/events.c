/* SPDX-License-Identifier: Apache-2.0 */
/* Events that are waited for. */
#include "engine/base/util.h"
#include "kernel.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

WRAP(int, eventfd, (unsigned count, int flags))
{
	struct file *file;
	int r;

	OUTSIDE(__real_eventfd(count, flags));
	r = kernel_enter("eventfd", ERRORS_OPEN);
	if (r)
		return (int)kernel_answer(r);
	file = kernel_new_file(FILE_EVENT, flags & EFD_NONBLOCK ? O_NONBLOCK : 0);
	file->count = count;
	return (int)kernel_answer(kernel_install(file));
}

/* Is FILE ready to be read, or written? Files of the model always are. */
static bool kernel_ready(const struct file *file)
{
	if (!file || (file->kind != FILE_EVENT && file->kind != FILE_INODE))
		sim_fail("unknown call: poll of what is neither a file nor an eventfd");
	return file->kind == FILE_INODE || file->count;
}

/* poll() until UNTIL_NS; it waits for one eventfd alone. */
static int kernel_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns)
{
	int ready = 0;

	sim_point();
	for (;;) {
		for (nfds_t i = 0; i < count; i++) {
			fds[i].revents = kernel_ready(kernel_file(fds[i].fd)) ? fds[i].events : 0;
			ready += fds[i].revents != 0;
		}
		if (ready || sim.now_ns >= until_ns)
			return ready;
		if (count != 1)
			sim_fail("unknown call: poll waits for several eventfds");
		task_block(kernel_file(fds->fd), until_ns);
	}
}

WRAP(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *time, const void *mask))
{
	uint64_t ns;

	OUTSIDE(__real_ppoll(fds, count, time, mask));
	if (!time)
		return kernel_poll(fds, count, SIM_FOREVER);
	ns = (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
	return kernel_poll(fds, count, sim.now_ns + ns);
}

WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms))
{
	OUTSIDE(__real_poll(fds, count, timeout_ms));
	return kernel_poll(fds, count,
			   timeout_ms < 0 ? SIM_FOREVER
					  : sim.now_ns + (uint64_t)timeout_ms * 1000000);
}
