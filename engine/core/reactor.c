/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor's thread: one loop that runs every operation's steps. It never blocks but in io_turn(), when nothing can be
 * done; each turn ends with what was finished being handed over in one go.
 */
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <signal.h>

/* Nanoseconds until the timer, -1 without one; runs it when it is due. */
static int64_t reactor_timer(struct varve_store *store)
{
	uint64_t now;

	if (!store->timer_ns)
		return -1;
	now = now_ns();
	if (now < store->timer_ns)
		return (int64_t)(store->timer_ns - now);
	store->timer_ns = 0;
	store->timer(store);
	return 0;
}

/* The sooner of two times to sleep, where -1 is for ever. */
static int64_t reactor_sooner(int64_t one, int64_t other)
{
	return one < 0 ? other : other < 0 ? one : MIN(one, other);
}

/* How long io_turn() may sleep at most; runs what is due. */
static int64_t reactor_due(struct varve_store *store)
{
	return reactor_sooner(reactor_sooner(reactor_timer(store), op_again(store)), fds_unstall(store));
}

/* Is there nothing left to do, and are we asked to end? */
static bool reactor_over(const struct varve_store *store)
{
	return atomic_load(&store->stopping) && list_empty(&store->in_flight) && inbox_empty(&store->io.inbox) &&
	       list_empty(&store->io.done) && !store->background && !clock_busy(&store->clock);
}

/* Tell reactor_start() how it went. */
static void reactor_started(struct varve_store *store, int r)
{
	pthread_mutex_lock(&store->lock);
	store->started = r ? r : 1;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

/* What the thread does. */
static void *reactor_run(void *data)
{
	struct varve_store *store = data;
	int r = io_start(&store->io, &store->settings.io);

	reactor_started(store, r);
	if (r)
		return NULL;
	while (!reactor_over(store)) {
		io_turn(&store->io, reactor_due(store));
		do {
			requests_run(store);
			requests_cancel(store);
		} while (!list_empty(&store->holds.runnable));
		clock_turn(&store->clock);
		requests_flush(store);
	}
	io_stop(&store->io);
	return NULL;
}

int reactor_start(struct varve_store *store)
{
	sigset_t all, old;
	int r;

	/* Signals are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&store->reactor, NULL, reactor_run, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	pthread_setname_np(store->reactor, "varve-reactor");
	pthread_mutex_lock(&store->lock);
	while (!store->started)
		pthread_cond_wait(&store->changed, &store->lock);
	r = MIN(store->started, 0);
	pthread_mutex_unlock(&store->lock);
	if (r)
		pthread_join(store->reactor, NULL);
	return r;
}

void reactor_stop(struct varve_store *store)
{
	atomic_store(&store->stopping, true);
	io_interrupt(&store->io);
	pthread_join(store->reactor, NULL);
}
