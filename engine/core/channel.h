/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: bytes on their way between a lane thread of the engine and callbacks of the caller's,
 * through a ring of CHANNEL_BYTES. It belongs to one request and goes one way:
 *
 *	sink	lane: channel_write() -> ring -> dispatching thread: the caller's varve_sink
 *	source	any thread: varve_stream_write() -> ring -> lane: channel_read()
 *
 * The lane thread waits while the ring is full (or empty), the caller's threads never do. What the
 * caller gets, a chunk or news of room, is an event in core->ready like the end of a request; each
 * event has one chunk, and stands at the end of the list again when there are more. Taken off that
 * list a channel is `delivering`, so that one thread alone runs its callbacks, and the end of its
 * request, which frees it, waits until they have returned.
 *
 * The bytes of the ring are touched without a lock, by one reader and one writer, each in its own
 * part; all else is guarded by core->lock.
 */
#ifndef VARVE_CORE_CHANNEL_H
#define VARVE_CORE_CHANNEL_H

#include "engine/core/request.h"

/* The caller's ends of it. */
struct channel_ends {
	/*
	 * What takes the chunks; NULL: the caller writes, and `room` (may be NULL) tells him of
	 * room.
	 */
	varve_sink *sink;
	varve_room *room;
	/* What they are handed. */
	void *data;
	/* Most bytes of a chunk; 0: no bound but the ring. */
	size_t chunk_bytes;
};

struct channel {
	/* In core->ready, while there is something to tell. */
	struct event event;
	struct request *request;
	struct channel_ends ends;
	/* The ring, of CHANNEL_BYTES; where its content begins, and how much that is. */
	char *ring;
	size_t begin, used;
	/*
	 * Broadcast to the lane thread, and to the thread that frees the request, when anything
	 * below has changed.
	 */
	pthread_cond_t changed;
	/* The event is in core->ready; it was taken off, and its callback has not returned. */
	bool queued, delivering;
	/*
	 * Sink: no chunk goes out before varve_stream_resume(); that came while the callback ran.
	 */
	bool paused, resumed;
	/*
	 * Source: the caller wrote more than there was room for; a thread of the caller copies; the
	 * caller has ended the stream.
	 */
	bool wanted, writing, ended;
	/* The lane thread is to end: the request was cancelled. */
	bool interrupted;
	/* The request has ended. */
	bool over;
	/* What the caller broke it off with; 0: he did not. Why, or "". */
	int error;
	char detail[VARVE_FAILURE_DETAIL_SIZE];
};

/* Give REQUEST, not yet submitted, a channel to ENDS, which is freed with it. 0 or -ENOMEM. */
int channel_new(struct request *request, const struct channel_ends *ends);

/* The request has its handle: tell a source that there is room. With the lock held. */
void channel_begin(struct channel *channel);

/* Free CHANNEL; NULL is fine. */
void channel_free(struct channel *channel);

/* Hand SIZE bytes to the sink: 0, -ECANCELED, or what the sink broke off with. Lane thread. */
int channel_write(struct channel *channel, const void *bytes, size_t size);

/* Wait until the sink has had all: 0 or as channel_write(). Lane thread. */
int channel_flush(struct channel *channel);

/*
 * Take up to SIZE bytes that the caller has written: how many, 0 at the end, or -errno as above.
 * Lane thread.
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
 * Take up BYTES for a source; the request is in flight. With the lock held, which is released
 * meanwhile.
 */
int channel_take(struct channel *channel, const void *bytes, size_t size, size_t *ret_taken);

/*
 * Tell a source that ERROR broke it off (0: that it has ended), for the reason DETAIL (may be
 * NULL). With the lock held.
 */
int channel_finish(struct channel *channel, int error, const char *detail);

/*
 * Has the caller broken CHANNEL off with ERROR? His reason, or "", goes to RET_DETAIL
 * (VARVE_FAILURE_DETAIL_SIZE bytes). Any thread.
 */
bool channel_broken(struct channel *channel, int error, char *ret_detail);

/* Let a sink have more. With the lock held. */
int channel_resume(struct channel *channel);

/* Wait until nobody copies into it. With the lock held. */
void channel_settle(struct channel *channel);

/* Run the callback for the event of CHANNEL, which was taken off core->ready. Without the lock. */
void channel_deliver(struct channel *channel);

#endif
