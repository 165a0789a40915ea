/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller's descriptor that an archive is written to or read from, on a thread that may wait until
 * a cancel. The descriptor may be blocking or not, and is not changed:
 *
 *	pipe	opened anew without blocking, through /proc; without /proc moved in pieces that do not block after poll()
 *	socket	MSG_DONTWAIT
 *	other	as it is: files do not wait for a peer
 *	channel	no descriptor, but callbacks of the caller's: see engine/core/channel.h
 */
#ifndef VARVE_ARCHIVE_STREAM_H
#define VARVE_ARCHIVE_STREAM_H

#include "engine/core/channel.h"

#include <sys/types.h>

enum stream_kind { STREAM_FILE, STREAM_PIPE, STREAM_SOCKET, STREAM_CHANNEL };

struct stream {
	/* Our duplicate; a descriptor that is readable once the stream was interrupted. */
	int fd, wake_fd;
	/* The request's. */
	struct channel *channel;
	enum stream_kind kind;
	/* Most bytes moved in one call. */
	size_t piece;
	/* Bytes moved; a counter of all streams of the store, which counts each transfer. */
	uint64_t bytes;
	_Atomic uint64_t *moved;
};

/*
 * Take a duplicate of FD, to be written (or read), for STORE. 0, -EBADF, -EMFILE, ... Any thread;
 * does not block.
 */
int stream_init(struct stream *stream, struct varve_store *store, int fd, bool write);

/* The same for the caller's callbacks, for REQUEST, which is not yet submitted. 0 or -ENOMEM. */
int stream_init_channel(struct stream *stream, struct request *request,
			const struct channel_ends *ends);

/* Write all SIZE bytes: 0, -ECANCELED, or -errno. */
int stream_write(struct stream *stream, const void *buffer, size_t size);

/* Read up to SIZE bytes: how many, 0 at the end, -ECANCELED, or -errno. */
ssize_t stream_read(struct stream *stream, void *buffer, size_t size);

/*
 * End without an error: wait until the reader has taken all bytes, or read what the writer still
 * writes. 0, -ECANCELED, or -errno.
 */
int stream_finish(struct stream *stream, bool write);

/* End every wait, now and later, with -ECANCELED. Any thread. */
void stream_interrupt(struct stream *stream);

/* Close the descriptors. */
void stream_close(struct stream *stream);

#endif
