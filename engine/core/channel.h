/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel carries bytes between a lane thread and the caller's callbacks, through a ring of
 * CHANNEL_BYTES: those of an archive, or of the addresses of what is passed on (ops/list.c). It
 * belongs to one request and has one direction:
 *
 *	sink	lane: channel_write() -> ring -> dispatching thread: the caller's varve_sink
 *	source	any thread: varve_stream_write() -> ring -> lane: channel_read()
 *
 * The lane thread waits while the ring is full (or empty); the caller's threads never wait. A
 * chunk, or room, for the caller is an event in core->ready, as is the end of a request; each event
 * has one chunk, and is appended again when there are more. A channel that was taken off the list
 * is `delivering`: only that thread runs its callbacks, and the end of the request, which frees the
 * channel, waits until they have returned.
 *
 * One reader and one writer access the bytes of the ring without a lock, each in its own part; all
 * else is guarded by core->lock.
 */
#ifndef VARVE_CORE_CHANNEL_H
#define VARVE_CORE_CHANNEL_H

#include "engine/core/core.h"

/* The caller's ends of a channel. */
struct channel_ends {
	/*
	 * The callback that takes chunks; NULL: the caller writes, and `room` (may be NULL)
	 * announces room.
	 */
	varve_sink *sink;
	varve_room *room;
	/* Their argument. */
	void *data;
	/* Most bytes of a chunk; 0: no bound but the ring. */
	size_t chunk_bytes;
};

struct channel {
	/* In core->ready, while a callback is due. */
	struct event event;
	struct request *request;
	struct channel_ends ends;
	/* The ring, of CHANNEL_BYTES; where its content begins, and its length. */
	char *ring;
	size_t begin, used;
	/*
	 * Broadcast to the lane thread, and to the thread that frees the request, when a field
	 * below has changed.
	 */
	pthread_cond_t changed;
	/* The event is in core->ready; it was taken off, and its callback has not returned. */
	bool queued, delivering;
	/*
	 * Sink: no chunk is delivered before varve_stream_resume(); that was called while the
	 * callback ran.
	 */
	bool paused, resumed;
	/*
	 * Source: the caller wrote more than the room; a thread of the caller copies; the caller
	 * has ended the stream.
	 */
	bool wanted, writing, ended;
	/* The lane thread is to end: the request was cancelled. */
	bool interrupted;
	/* The request has ended. */
	bool over;
	/* The error with which the caller ended the stream, or 0; the reason, or "". */
	int error;
	char detail[VARVE_FAILURE_DETAIL_SIZE];
};

/* Give REQUEST, not yet submitted, a channel to ENDS, which is freed with it. 0 or -ENOMEM. */
int channel_new(struct request *request, const struct channel_ends *ends);

/* Put the event of CHANNEL on the ready list, if a callback is due. With the lock held. */
void channel_announce(struct channel *channel);

/* Free CHANNEL; NULL is fine. */
void channel_free(struct channel *channel);

/* Pass SIZE bytes to the sink: 0, -ECANCELED, or the sink's error. Lane thread. */
int channel_write(struct channel *channel, const void *bytes, size_t size);

/* Wait until the sink has taken all bytes: 0 or as channel_write(). Lane thread. */
int channel_flush(struct channel *channel);

/*
 * Take up to SIZE bytes that the caller has written: their number, 0 at the end, or -errno as
 * above. Lane thread.
 */
ssize_t channel_read(struct channel *channel, void *buffer, size_t size);

/* Let the lane thread end with -ECANCELED. Any thread. */
void channel_interrupt(struct channel *channel);

/*
 * The request has ended: its channel has no more events. Is a callback of the channel running? Then
 * the thread that runs it announces the end. With the lock held.
 */
bool channel_end(struct channel *channel);

/*
 * Copy BYTES for a source; the request is in flight. With the lock held, which is released
 * meanwhile.
 */
int channel_take(struct channel *channel, const void *bytes, size_t size, size_t *ret_taken);

/*
 * End a source with ERROR (0: the archive is complete), for the reason DETAIL (may be NULL). With
 * the lock held.
 */
int channel_finish(struct channel *channel, int error, const char *detail);

/*
 * Has the caller ended CHANNEL with ERROR? The reason, or "", goes to RET_DETAIL
 * (VARVE_FAILURE_DETAIL_SIZE bytes). Any thread.
 */
bool channel_broken(struct channel *channel, int error, char *ret_detail);

/* Resume a sink. With the lock held. */
int channel_resume(struct channel *channel);

/* Wait until no thread copies into CHANNEL. With the lock held. */
void channel_settle(struct channel *channel);

/* Run the callback for the event of CHANNEL, which was taken off core->ready. Without the lock. */
void channel_deliver(struct channel *channel);

#endif
