/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/stream.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/store/store.h"

#include <fcntl.h>
#include <linux/major.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int stream_init(struct stream *stream, struct varve_store *store, int fd, bool write)
{
	int access = write ? O_WRONLY : O_RDONLY, flags = fcntl(fd, F_GETFL);
	char path[64];
	struct stat stat;

	*stream = (struct stream){ .fd = -EBADF,
				   .wake_fd = -EBADF,
				   .piece = STREAM_CHUNK_BYTES,
				   .moved = &store->core.fds.moved };
	if (flags < 0 || ((flags & O_ACCMODE) != access && (flags & O_ACCMODE) != O_RDWR) ||
	    flags & O_PATH)
		return -EBADF;
	if (fstat(fd, &stat) < 0)
		return negative_errno();
	stream->kind = S_ISFIFO(stat.st_mode)   ? STREAM_PIPE
		       : S_ISSOCK(stat.st_mode) ? STREAM_SOCKET
						: STREAM_FILE;
	/* Devices such as /dev/null do not wait. */
	if (S_ISCHR(stat.st_mode) && major(stat.st_rdev) != MEM_MAJOR)
		stream->kind = STREAM_PIPE;
	if (stream->kind == STREAM_PIPE) {
		/* A file description of our own, so that the caller's keeps its flags. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		stream->fd = S_ISFIFO(stat.st_mode) ? open(path, access | O_NONBLOCK | O_CLOEXEC)
						    : -EBADF;
		if (stream->fd < 0 && !(flags & O_NONBLOCK))
			stream->piece = PIPE_BUF;
	}
	if (stream->fd < 0)
		stream->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	stream->wake_fd = stream->fd < 0 ? -EBADF : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stream->wake_fd >= 0)
		return 0;
	fd = negative_errno();
	stream_close(stream);
	return fd;
}

int stream_init_channel(struct stream *stream, struct request *request,
			const struct channel_ends *ends)
{
	int r = channel_new(request, ends);

	*stream = (struct stream){
		.fd = -EBADF, .wake_fd = -EBADF, .channel = request->channel, .kind = STREAM_CHANNEL
	};
	return r;
}

/* Wait until FD is ready for EVENTS, or another thread interrupts. */
static int stream_wait(struct stream *stream, short events)
{
	struct pollfd fds[2] = { { .fd = stream->fd, .events = events },
				 { .fd = stream->wake_fd, .events = POLLIN } };

	for (;;) {
		int r = poll(fds, 2, -1);

		if (r < 0 && errno != EINTR)
			return negative_errno();
		if (r > 0)
			return fds[1].revents ? -ECANCELED : 0;
	}
}

int stream_write(struct stream *stream, const void *buffer, size_t size)
{
	const char *at = buffer;

	if (stream->kind == STREAM_CHANNEL) {
		int r = channel_write(stream->channel, buffer, size);

		stream->bytes += r ? 0 : size;
		return r;
	}
	while (size) {
		size_t piece = MIN(size, stream->piece);
		ssize_t written = stream_wait(stream, POLLOUT);

		if (!written && stream->kind == STREAM_SOCKET)
			written = RET_NERRNO(
				send(stream->fd, at, piece, MSG_DONTWAIT | MSG_NOSIGNAL));
		else if (!written)
			written = RET_NERRNO(write(stream->fd, at, piece));
		if (written == -EAGAIN || written == -EINTR)
			continue;
		if (written < 0)
			return (int)written;
		at += written;
		size -= (size_t)written;
		stream->bytes += (uint64_t)written;
		atomic_fetch_add(stream->moved, 1);
	}
	return 0;
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t size)
{
	if (stream->kind == STREAM_CHANNEL)
		return channel_read(stream->channel, buffer, size);
	for (;;) {
		int r = stream_wait(stream, POLLIN);
		ssize_t length;

		if (r)
			return r;
		if (stream->kind == STREAM_SOCKET)
			length = RET_NERRNO(recv(stream->fd, buffer, size, MSG_DONTWAIT));
		else
			length = RET_NERRNO(read(stream->fd, buffer, size));
		if (length == -EAGAIN || length == -EINTR)
			continue;
		stream->bytes += (uint64_t)MAX(length, 0);
		atomic_fetch_add(stream->moved, 1);
		return length;
	}
}

int stream_finish(struct stream *stream, bool write)
{
	char rest[512];
	ssize_t r;

	if (stream->kind != STREAM_CHANNEL)
		return 0;
	if (write)
		return channel_flush(stream->channel);
	while ((r = channel_read(stream->channel, rest, sizeof(rest))) > 0)
		;
	return (int)r;
}

void stream_interrupt(struct stream *stream)
{
	uint64_t one = 1;

	if (stream->kind == STREAM_CHANNEL) {
		channel_interrupt(stream->channel);
		return;
	}
	/* The only possible error is a full counter, which also makes the descriptor readable. */
	if (write(stream->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void stream_close(struct stream *stream)
{
	fd_close(TAKE_FD(stream->fd));
	fd_close(TAKE_FD(stream->wake_fd));
}
