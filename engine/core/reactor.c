/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor's thread: one loop that runs every operation's steps. It never blocks but in
 * io_turn(), when nothing can be done; each turn ends with what was finished being handed over in
 * one go.
 */
#include "engine/core/request.h"
#include "engine/core/core.h"

#include <signal.h>

/* Nanoseconds until the timer, -1 without one; runs it when it is due. */
static int64_t reactor_timer(struct core *core)
{
	uint64_t now;

	if (!core->timer_ns)
		return -1;
	now = now_ns();
	if (now < core->timer_ns)
		return (int64_t)(core->timer_ns - now);
	core->timer_ns = 0;
	core->timer(core);
	return 0;
}

/* The sooner of two times to sleep, where -1 is for ever. */
static int64_t reactor_sooner(int64_t one, int64_t other)
{
	return one < 0 ? other : other < 0 ? one : MIN(one, other);
}

/* Is there nothing left to do, and are we asked to end? */
static bool reactor_over(const struct core *core)
{
	return atomic_load(&core->stopping) && list_empty(&core->in_flight) &&
	       inbox_empty(&core->io.inbox) && list_empty(&core->io.done) && !core->background &&
	       !core->hooks->busy(core);
}

/* What the thread does. */
static void *reactor_run(void *data)
{
	struct core *core = data;
	int r = io_start(&core->io, core->io_config);

	/* Tell reactor_start() how it went. */
	pthread_mutex_lock(&core->lock);
	core->started = r ? r : 1;
	pthread_cond_broadcast(&core->changed);
	pthread_mutex_unlock(&core->lock);
	if (r)
		return NULL;
	while (!reactor_over(core)) {
		/* What is due is run now; sleep until the next of it at most. */
		int64_t due_ns = reactor_sooner(reactor_timer(core), op_again(core));

		io_turn(&core->io, reactor_sooner(due_ns, fds_unstall(core)));
		do {
			requests_run(core);
			requests_cancel(core);
		} while (!list_empty(&core->holds.runnable));
		core->hooks->turn(core);
		requests_flush(core);
	}
	io_stop(&core->io);
	return NULL;
}

int reactor_start(struct core *core)
{
	sigset_t all, old;
	int r;

	/* Signals are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&core->reactor, NULL, reactor_run, core);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	pthread_setname_np(core->reactor, "varve-reactor");
	pthread_mutex_lock(&core->lock);
	while (!core->started)
		pthread_cond_wait(&core->changed, &core->lock);
	r = MIN(core->started, 0);
	pthread_mutex_unlock(&core->lock);
	if (r)
		pthread_join(core->reactor, NULL);
	return r;
}

void reactor_stop(struct core *core)
{
	atomic_store(&core->stopping, true);
	io_interrupt(&core->io);
	pthread_join(core->reactor, NULL);
}
