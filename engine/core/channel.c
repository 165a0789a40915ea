/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/channel.h"
#include "engine/base/limits.h"
#include "engine/core/completion.h"

#include <stdio.h>
#include <string.h>

int channel_new(struct request *request, const struct channel_ends *ends)
{
	struct fault *fault = &request->core->io.fault;
	struct channel *channel = fault_calloc(fault, 1, sizeof(*channel));

	if (!channel)
		return -ENOMEM;
	channel->ring = fault_realloc(fault, NULL, CHANNEL_BYTES);
	if (!channel->ring) {
		free(channel);
		return -ENOMEM;
	}
	channel->event.channel = channel;
	list_init(&channel->event.link);
	channel->request = request;
	channel->ends = *ends;
	if (!channel->ends.chunk_bytes)
		channel->ends.chunk_bytes = CHANNEL_BYTES;
	pthread_cond_init(&channel->changed, NULL);
	request->channel = channel;
	/* There is room. The first call of the callback also passes the request's handle. */
	channel->wanted = true;
	return 0;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	pthread_cond_destroy(&channel->changed);
	free(channel->ring);
	free(channel);
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* Copy SIZE bytes to AT, where the free part begins. Without the lock: no other thread moves AT. */
static void channel_fill(struct channel *channel, size_t at, const char *bytes, size_t size)
{
	size_t first;

	at %= CHANNEL_BYTES;
	first = MIN(size, CHANNEL_BYTES - at);
	memcpy(channel->ring + at, bytes, first);
	memcpy(channel->ring, bytes + first, size - first);
}

/* Free the first SIZE bytes. With the lock held. */
static void channel_drop(struct channel *channel, size_t size)
{
	channel->begin = (channel->begin + size) % CHANNEL_BYTES;
	channel->used -= size;
	pthread_cond_broadcast(&channel->changed);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Is a callback due? With the lock held. */
static bool channel_has_news(const struct channel *channel)
{
	if (channel->over || atomic_load(&channel->request->cancelled))
		return false;
	if (channel->ends.sink)
		return channel->used && !channel->paused && !channel->error;
	/* Wake a producer only when half of the ring is free. */
	return channel->ends.room && channel->wanted && !channel->ended &&
	       channel->used <= CHANNEL_BYTES / 2;
}

void channel_announce(struct channel *channel)
{
	if (channel->queued || channel->delivering || !channel_has_news(channel))
		return;
	channel->queued = true;
	completion_announce(channel->request->core, &channel->event);
}

void channel_deliver(struct channel *channel)
{
	struct request *request = channel->request;
	struct core *core = request->core;
	const struct channel_ends *ends = &channel->ends;
	size_t size, room;
	const char *chunk;
	bool skip;
	int r = 0;

	pthread_mutex_lock(&core->lock);
	/* The request may be cancelled by now, or the room used. */
	skip = !channel_has_news(channel);
	chunk = channel->ring + channel->begin;
	size = MIN(MIN(channel->used, CHANNEL_BYTES - channel->begin), ends->chunk_bytes);
	room = CHANNEL_BYTES - channel->used;
	channel->wanted &= skip;
	pthread_mutex_unlock(&core->lock);
	if (!skip && ends->sink)
		r = ends->sink(core->store, request->handle, chunk, size, ends->data);
	else if (!skip)
		ends->room(core->store, request->handle, room, ends->data);
	pthread_mutex_lock(&core->lock);
	channel->delivering = false;
	if (!skip && ends->sink) {
		channel_drop(channel, size);
		if (r < 0 || r > VARVE_PAUSE)
			channel->error = r < 0 ? r : -EINVAL;
		/* varve_stream_resume() may come before the callback returns VARVE_PAUSE. */
		channel->paused = r == VARVE_PAUSE && !channel->resumed;
		channel->resumed = false;
	}
	if (channel->over)
		completion_announce(core, &request->event);
	else
		channel_announce(channel);
	pthread_mutex_unlock(&core->lock);
}

bool channel_end(struct channel *channel)
{
	channel->over = true;
	if (channel->queued) {
		list_remove(&channel->event.link);
		channel->queued = false;
	}
	return channel->delivering;
}

/* ---- the lane thread's side ------------------------------------------------------------------ */

/* Get the error with which the lane thread has to stop; 0: none. With the lock held. */
static int channel_stop(const struct channel *channel)
{
	return channel->error ? channel->error : channel->interrupted ? -ECANCELED : 0;
}

/* Wait until less than FULL bytes are in the ring: 0 or -errno. With the lock held. */
static int channel_await(struct channel *channel, size_t full)
{
	while (!channel_stop(channel) && channel->used >= full)
		pthread_cond_wait(&channel->changed, &channel->request->core->lock);
	return channel_stop(channel);
}

int channel_write(struct channel *channel, const void *bytes, size_t size)
{
	pthread_mutex_t *lock = &channel->request->core->lock;
	const char *at = bytes;
	int r = 0;

	pthread_mutex_lock(lock);
	while (size && !(r = channel_await(channel, CHANNEL_BYTES))) {
		size_t length = MIN(size, CHANNEL_BYTES - channel->used),
		       end = channel->begin + channel->used;

		pthread_mutex_unlock(lock);
		channel_fill(channel, end, at, length);
		pthread_mutex_lock(lock);
		channel->used += length;
		channel_announce(channel);
		atomic_fetch_add(&channel->request->core->fds.moved, 1);
		at += length;
		size -= length;
	}
	pthread_mutex_unlock(lock);
	return r;
}

int channel_flush(struct channel *channel)
{
	pthread_mutex_t *lock = &channel->request->core->lock;
	int r;

	pthread_mutex_lock(lock);
	r = channel_await(channel, 1);
	pthread_mutex_unlock(lock);
	return r;
}

ssize_t channel_read(struct channel *channel, void *buffer, size_t size)
{
	pthread_mutex_t *lock = &channel->request->core->lock;
	ssize_t r;

	pthread_mutex_lock(lock);
	while (!(r = channel_stop(channel)) && !channel->used && !channel->ended)
		pthread_cond_wait(&channel->changed, lock);
	if (!r && channel->used) {
		size_t length = MIN(size, channel->used), begin = channel->begin;
		size_t first = MIN(length, CHANNEL_BYTES - begin);

		pthread_mutex_unlock(lock);
		memcpy(buffer, channel->ring + begin, first);
		memcpy((char *)buffer + first, channel->ring, length - first);
		pthread_mutex_lock(lock);
		channel_drop(channel, length);
		channel_announce(channel);
		atomic_fetch_add(&channel->request->core->fds.moved, 1);
		r = (ssize_t)length;
	}
	pthread_mutex_unlock(lock);
	return r;
}

void channel_interrupt(struct channel *channel)
{
	pthread_mutex_t *lock = &channel->request->core->lock;

	pthread_mutex_lock(lock);
	channel->interrupted = true;
	pthread_cond_broadcast(&channel->changed);
	pthread_mutex_unlock(lock);
}

/* ---- the caller's side ----------------------------------------------------------------------- */

int channel_take(struct channel *channel, const void *bytes, size_t size, size_t *ret_taken)
{
	pthread_mutex_t *lock = &channel->request->core->lock;
	size_t length = MIN(size, CHANNEL_BYTES - channel->used),
	       end = channel->begin + channel->used;

	if (channel->ends.sink)
		return -EINVAL;
	if (channel->over || channel->ended || channel_stop(channel) ||
	    atomic_load(&channel->request->cancelled))
		return -EPIPE;
	if (channel->writing)
		return -EBUSY;
	channel->wanted = length < size;
	if (size && !length)
		return -EAGAIN;
	channel->writing = true;
	pthread_mutex_unlock(lock);
	channel_fill(channel, end, bytes, length);
	pthread_mutex_lock(lock);
	channel->writing = false;
	channel->used += length;
	pthread_cond_broadcast(&channel->changed);
	/* There may be room by now. */
	channel_announce(channel);
	*ret_taken = length;
	return 0;
}

int channel_finish(struct channel *channel, int error, const char *detail)
{
	if (channel->ends.sink || error > 0)
		return -EINVAL;
	if (channel->over || channel->ended || channel_stop(channel))
		return -EPIPE;
	if (channel->writing)
		return -EBUSY;
	channel->ended = true;
	channel->error = error;
	if (error && detail)
		snprintf(channel->detail, sizeof(channel->detail), "%s", detail);
	pthread_cond_broadcast(&channel->changed);
	return 0;
}

bool channel_broken(struct channel *channel, int error, char *ret_detail)
{
	pthread_mutex_t *lock = &channel->request->core->lock;
	bool broken;

	pthread_mutex_lock(lock);
	broken = channel->error && channel->error == error;
	memcpy(ret_detail, channel->detail, sizeof(channel->detail));
	pthread_mutex_unlock(lock);
	return broken;
}

int channel_resume(struct channel *channel)
{
	if (!channel->ends.sink)
		return -EINVAL;
	channel->resumed = channel->delivering;
	channel->paused = false;
	channel_announce(channel);
	return 0;
}

void channel_settle(struct channel *channel)
{
	while (channel->writing)
		pthread_cond_wait(&channel->changed, &channel->request->core->lock);
}
